"""Searches whose workers are elsewhere: a real Ray cluster, submitit's jobs, PostgreSQL and an MLflow server."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState
from rich.console import Console

from tests.processes import TSBENCH, wait_for
from tests.servers import mlflow_server, postgresql
from tsbench.bench.plan import Plan, make_plan
from tsbench.bench.progress import PlainDisplay
from tsbench.bench.removal import plan_removal, remove
from tsbench.bench.run import BenchmarkRun
from tsbench.classifiers.baselines import BASELINES
from tsbench.errors import RecipeError, SearchError, TsbenchError
from tsbench.recipe.loading import load_recipe
from tsbench.search.study import Study, invitations_in

Write = Callable[..., Path]


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Addresses of a PostgreSQL database and an MLflow server."""
    folder = tmp_path_factory.mktemp("servers")
    with postgresql() as database, mlflow_server(folder / "mlflow") as server:
        yield database.uri, server.uri


def plan_of(path: Path, *overrides: str) -> Plan:
    return make_plan(load_recipe(path, overrides, BASELINES))


def carry_out(plan: Plan) -> tuple[list[str], str]:
    output = StringIO()
    failures = BenchmarkRun(plan, PlainDisplay(Console(file=output, width=200))).carry_out()
    return failures, output.getvalue()


def check_that_all_ended_once(plan: Plan) -> None:
    """As many trials as asked for, each told once, in Optuna and in MLflow alike, and nothing left running."""
    study = Study.open(plan.units[0].folder)
    trials = study.trials()
    told = [one for one in trials if one.state is TrialState.COMPLETE]
    assert len(told) == plan.trials
    assert {one.state for one in trials} <= {TrialState.COMPLETE, TrialState.FAIL}
    runs = list(plan.store.runs(plan.loaded.recipe.name))
    assert not [run for run in runs if run.status == "RUNNING"]
    finished = [run for run in runs if run.tags["tsbench.role"] == "trial" and run.status == "FINISHED"]
    assert sorted(int(run.tags["tsbench.trial"]) for run in finished) == [one.number for one in told]
    assert [run.tags["tsbench.state"] for run in runs if run.tags["tsbench.role"] == "model"] == ["complete"]


def test_stores_that_only_this_machine_can_write_are_refused(recipe_file: Write) -> None:
    with pytest.raises(RecipeError) as caught:
        plan_of(recipe_file(), "execution.launcher=ray", "execution.workers=2")
    text = str(caught.value)
    assert "execution.launcher 'ray' needs search.storage: postgresql://..." in text
    assert "execution.launcher 'ray' needs tracking.uri: http://... of an MLflow server" in text


def test_a_journal_or_sqlite_is_no_storage_for_many(recipe_file: Write) -> None:
    with pytest.raises(RecipeError, match=r"search.storage: must be a postgresql:// address; .* SQLite locks out"):
        plan_of(recipe_file(), "search.storage=sqlite:///study.db")


def test_a_database_that_is_not_there_is_told_without_its_password(recipe_file: Write) -> None:
    plan = plan_of(recipe_file(), "search.storage=postgresql://me:secret@127.0.0.1:1/none")
    assert "secret" not in str(plan.resolved())
    with pytest.raises(
        TsbenchError, match=r"search.storage postgresql://me:\*\*\*@127.0.0.1:1/none cannot be opened"
    ) as caught:
        carry_out(plan)
    assert "secret" not in str(caught.value)


def test_a_password_from_the_environment_may_hold_any_character(monkeypatch: pytest.MonkeyPatch) -> None:
    from sqlalchemy.engine import make_url

    from tsbench.search.storage import _with_driver_and_password

    for password in ("p@ss/w#rd", "100%ab", "a%20b", "a:b?c"):
        monkeypatch.setenv("PGPASSWORD", password)
        url = make_url(_with_driver_and_password("postgresql://me@db.example.org:5432/studies"))
        assert (url.username, url.password, url.host, url.database) == ("me", password, "db.example.org", "studies")


@pytest.mark.parametrize(
    ("error", "away"),
    [
        ({"C": "57P03", "M": "the database system is starting up"}, True),
        ({"C": "53300", "M": "sorry, too many clients already"}, True),
        ({"C": "42P01", "M": 'relation "studies" does not exist'}, False),
    ],
)
def test_a_database_that_starts_or_is_full_is_one_that_is_away(error: dict[str, str], away: bool) -> None:
    from sqlalchemy.exc import ProgrammingError

    from tsbench.search.storage import _is_away

    raised = StorageInternalError("An exception is raised during the commit.")
    raised.__cause__ = ProgrammingError("SELECT 1", None, Exception(error))  # as pg8000 has it
    assert _is_away(raised) is away
    assert not _is_away(ValueError("another"))


def test_a_broken_connection_of_the_pool_prints_no_traceback() -> None:
    import logging

    from tsbench.search.storage import open_database

    with pytest.raises(TsbenchError):
        open_database("postgresql://me@127.0.0.1:1/none")
    loggers = [logging.getLogger("sqlalchemy.pool.impl.QueuePool"), logging.getLogger("sqlalchemy.pool")]
    assert any(isinstance(handler, logging.NullHandler) for logger in loggers for handler in logger.handlers)


def remote(recipe: Path, stores: tuple[str, str], *overrides: str) -> Plan:
    database, server = stores
    return plan_of(recipe, f"search.storage={database}", f"tracking.uri={server}", *overrides)


@pytest.mark.slow
def test_local_workers_share_a_database_and_give_the_same_figures(
    recipe_file: Write, stores: tuple[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    shared = remote(recipe_file(("name: tiny", "name: shared")), stores)
    assert carry_out(shared)[0] == []
    check_that_all_ended_once(shared)
    alone = plan_of(recipe_file(file="alone.yaml"))
    assert carry_out(alone)[0] == []
    values = [[one.values for one in Study.open(plan.units[0].folder).trials()] for plan in (shared, alone)]
    assert values[0] == values[1]
    database, _ = stores
    assert invitations_in(database, "shared")
    removal = plan_removal(shared.store, "shared")
    assert removal.described() == f"1 parent run, 4 trials, 1 final network, 1 baseline, studies in {removal.folder}"
    remove(shared.store, removal)
    assert not invitations_in(database, "shared")
    assert list(shared.store.runs("shared")) == []
    assert not shared.units[0].folder.exists()


@pytest.mark.slow
def test_a_worker_of_another_machine_finds_the_search_by_its_database(
    recipe_file: Write, stores: tuple[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    database, _ = stores
    monkeypatch.chdir(tmp_path)
    plan = remote(recipe_file(("name: tiny", "name: far"), ("epochs: 4", "epochs: 60")), stores)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    command = [TSBENCH, "worker", "far", "--storage", database]
    told: list[subprocess.CompletedProcess[str]] = []

    def help_out() -> None:
        told.append(subprocess.run(command, cwd=elsewhere, capture_output=True, text=True, timeout=200, check=False))

    helper = Thread(target=when, args=(lambda: is_running(plan), help_out))
    helper.start()
    failures, output = carry_out(plan)
    helper.join()
    assert failures == []
    assert "joined from" in output
    assert told[0].returncode == 0, told[0].stderr
    assert told[0].stdout.splitlines()[-1] == "Done."
    check_that_all_ended_once(plan)


@pytest.mark.slow
def test_a_ray_cluster_that_loses_a_node_ends_every_trial_exactly_once(
    recipe_file: Write, stores: tuple[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from ray.cluster_utils import Cluster

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "1")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    second = cluster.add_node(num_cpus=1)
    try:
        plan = remote(
            recipe_file(("name: tiny", "name: rays"), ("epochs: 4", "epochs: 40"), ("trials: 4", "trials: 6")),
            stores,
            "execution.launcher=ray",
            f"execution.address={cluster.address}",
            "execution.workers=2",
        )

        def both_at_work() -> bool:
            folder = plan.units[0].folder
            return Study.stored_meaning(folder) is not None and len(Study.open(folder).running()) == 2

        removal = Thread(target=when, args=(both_at_work, lambda: cluster.remove_node(second, allow_graceful=False)))
        removal.start()
        failures, output = carry_out(plan)
        removal.join()
    finally:
        cluster.shutdown()
    assert failures == []
    assert output.count("joined from") >= 2
    assert "is gone; trial" in output
    check_that_all_ended_once(plan)
    assert Study.open(plan.units[0].folder).counts()["lost"] == 1


@pytest.mark.slow
def test_a_database_that_is_restarted_is_waited_for_and_loses_nothing(
    recipe_file: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with postgresql() as server:
        plan = plan_of(
            recipe_file(("epochs: 4", "epochs: 30"), ("trials: 4", "trials: 6")),
            f"search.storage={server.uri}",
            "execution.workers=2",
        )

        def away() -> None:
            server.stop()
            time.sleep(8)
            server.start()

        outage = Thread(target=when, args=(lambda: is_running(plan), away))
        outage.start()
        failures, _ = carry_out(plan)
        outage.join()
        assert failures == []
        check_that_all_ended_once(plan)


@pytest.mark.slow
def test_a_database_that_is_away_for_good_ends_the_search_with_a_sentence_and_its_records_closed(
    recipe_file: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TSBENCH_PATIENCE", "3")
    with postgresql() as server:
        plan = plan_of(recipe_file(("epochs: 4", "epochs: 60")), f"search.storage={server.uri}")
        outage = Thread(target=when, args=(lambda: is_running(plan), server.stop))
        outage.start()
        with pytest.raises(SearchError, match=r"search.storage postgresql://.*@127.0.0.1:\d+/postgres is away"):
            carry_out(plan)
        outage.join()
        assert not [run for run in plan.store.runs("tiny") if run.status == "RUNNING"]
        server.start()
        assert carry_out(plan_of(recipe_file(("epochs: 4", "epochs: 60")), f"search.storage={server.uri}"))[0] == []
        check_that_all_ended_once(plan)


def is_running(plan: Plan) -> bool:
    folder = plan.units[0].folder
    return Study.stored_meaning(folder) is not None and bool(Study.open(folder).running())


def when(condition: Callable[[], bool], action: Callable[[], Any]) -> None:
    wait_for(condition)
    action()


@pytest.mark.slow
def test_submitted_jobs_work_for_a_search(
    recipe_file: Write, stores: tuple[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """submitit's local executor stands in for Slurm: the same submission, the same job script."""
    monkeypatch.chdir(tmp_path)
    plan = remote(
        recipe_file(("name: tiny", "name: jobs")),
        stores,
        "execution.launcher=slurm",
        "execution.workers=2",
        "execution.slurm={cluster: local, cpus_per_task: 1}",
    )
    failures, output = carry_out(plan)
    assert failures == []
    assert output.count("joined from") == 2
    check_that_all_ended_once(plan)


NOWHERE = ("postgresql://nobody@127.0.0.1:1/none", "http://127.0.0.1:1")


def test_a_cluster_that_is_not_there_is_a_sentence(recipe_file: Write) -> None:
    overrides = ("execution.launcher=ray", "execution.workers=1", "execution.address=127.0.0.1:1")
    plan = remote(recipe_file(), NOWHERE, *overrides)
    with pytest.raises(TsbenchError, match=r"execution.address is '127.0.0.1:1', but no Ray cluster is there"):
        carry_out(plan)


def test_slurm_that_is_not_there_is_a_sentence(recipe_file: Write) -> None:
    plan = remote(recipe_file(), NOWHERE, "execution.launcher=slurm", "execution.workers=1")
    with pytest.raises(TsbenchError, match=r"execution.slurm: .*srun"):
        carry_out(plan)


def test_workers_of_a_cluster_are_counted(recipe_file: Write) -> None:
    with pytest.raises(RecipeError, match=r"workers must be a number with launcher 'ray'"):
        remote(recipe_file(), NOWHERE, "execution.launcher=ray", "execution.workers=auto")
