"""Searches whose workers are on other machines: a real Ray cluster, PostgreSQL and an MLflow server."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from threading import Thread
from typing import Any

import psutil
import pytest
from optuna.exceptions import StorageInternalError
from optuna.study import StudyDirection
from optuna.trial import TrialState
from rich.console import Console

from tests.processes import TSBENCH, finish, start, wait_for
from tests.servers import LossyRelay, mlflow_server, postgresql
from tsbench.adapters.optuna import get_heartbeat_thread
from tsbench.bench.deletion import plan_removal, remove
from tsbench.bench.plan import Plan, make_plan
from tsbench.bench.progress import PlainDisplay
from tsbench.bench.run import BenchmarkRun
from tsbench.classifiers.baselines import BASELINES
from tsbench.errors import RecipeError, SearchError, TsbenchError
from tsbench.recipe.loading import load_recipe
from tsbench.studies.specification import stored_fingerprint
from tsbench.studies.storage import LIMITS, DatabaseAwayError, open_database
from tsbench.studies.study import Study

Write = Callable[..., Path]

RAY = str(Path(sys.executable).with_name("ray"))


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Addresses of a PostgreSQL database and an MLflow server."""
    folder = tmp_path_factory.mktemp("servers")
    with postgresql() as database, mlflow_server(folder / "mlflow") as server:
        yield database.uri, server.uri


def plan_of(path: Path, *overrides: str) -> Plan:
    return make_plan(load_recipe(path, overrides, BASELINES))


def run_plan(plan: Plan) -> tuple[list[str], str]:
    output = StringIO()
    failures = BenchmarkRun(plan, PlainDisplay(Console(file=output, width=200))).run()
    return failures, output.getvalue()


def check_that_all_ended_once(plan: Plan) -> None:
    """As many trials as asked for, each told once, in Optuna and in MLflow alike, and nothing left running."""
    study = Study.open(plan.cells[0].folder)
    trials = study.trials()
    told = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    assert len(told) == plan.trials
    assert {trial.state for trial in trials} <= {TrialState.COMPLETE, TrialState.FAIL}
    runs = list(plan.store.runs(plan.loaded.recipe.name))
    assert not [run for run in runs if run.status == "RUNNING"]
    finished = [run for run in runs if run.tags["tsbench.role"] == "trial" and run.status == "FINISHED"]
    assert sorted(int(run.tags["tsbench.trial"]) for run in finished) == [trial.number for trial in told]
    assert [run.tags["tsbench.state"] for run in runs if run.tags["tsbench.role"] == "model"] == ["complete"]


def test_stores_that_only_this_machine_can_write_are_refused(recipe_file: Write) -> None:
    with pytest.raises(RecipeError) as caught:
        plan_of(recipe_file(), "execution.launcher=ray", "execution.workers=2")
    text = str(caught.value)
    assert "execution.launcher 'ray' needs search.storage: postgresql://..." in text
    assert "execution.launcher 'ray' needs tracking.uri: http://... of an MLflow server" in text
    assert (
        plan_of(recipe_file(), "execution.launcher=ray", "execution.workers=2", "execution.address=local").workers == 2
    )


def test_a_journal_or_sqlite_is_no_storage_for_many(recipe_file: Write) -> None:
    with pytest.raises(RecipeError, match=r"search.storage: must be a postgresql:// address; .* SQLite locks out"):
        plan_of(recipe_file(), "search.storage=sqlite:///study.db")


def test_a_database_that_does_not_exist_is_reported_without_its_password(recipe_file: Write) -> None:
    plan = plan_of(recipe_file(), "search.storage=postgresql://me:secret@127.0.0.1:1/none")
    assert "secret" not in str(plan.resolved())
    with pytest.raises(
        TsbenchError, match=r"search.storage postgresql://me:\*\*\*@127.0.0.1:1/none cannot be opened"
    ) as caught:
        run_plan(plan)
    assert "secret" not in str(caught.value)


def test_a_password_from_the_environment_may_hold_any_character(monkeypatch: pytest.MonkeyPatch) -> None:
    from sqlalchemy.engine import make_url

    from tsbench.studies.storage import _with_driver_and_password

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

    from tsbench.studies.storage import _is_away

    raised = StorageInternalError("An exception is raised during the commit.")
    raised.__cause__ = ProgrammingError("SELECT 1", None, Exception(error))  # as pg8000 has it
    assert _is_away(raised) is away
    assert not _is_away(ValueError("another"))


def test_a_broken_connection_of_the_pool_prints_no_traceback() -> None:
    import logging

    from tsbench.studies.storage import open_database

    with pytest.raises(TsbenchError):
        open_database("postgresql://me@127.0.0.1:1/none")
    (handler,) = logging.getLogger("sqlalchemy.pool.impl.QueuePool.tsbench").handlers
    assert isinstance(handler, logging.NullHandler)
    assert logging.getLogger("sqlalchemy.pool").handlers == []  # pools of others log as they did


def remote(recipe: Path, stores: tuple[str, str], *overrides: str) -> Plan:
    database, server = stores
    return plan_of(recipe, f"search.storage={database}", f"tracking.uri={server}", *overrides)


@pytest.mark.nightly
@pytest.mark.slow
def test_local_workers_share_a_database_and_give_the_same_figures(
    recipe_file: Write, stores: tuple[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    shared = remote(recipe_file(("name: tiny", "name: shared")), stores)
    assert run_plan(shared)[0] == []
    check_that_all_ended_once(shared)
    alone = plan_of(recipe_file(file="alone.yaml"))
    assert run_plan(alone)[0] == []
    values = [[trial.values for trial in Study.open(plan.cells[0].folder).trials()] for plan in (shared, alone)]
    assert values[0] == values[1]
    removal = plan_removal(shared.store, "shared")
    assert removal.described() == f"1 parent run, 4 trials, 1 final network, 1 baseline, studies in {removal.folder}"
    remove(shared.store, removal)
    assert list(shared.store.runs("shared")) == []
    assert not shared.cells[0].folder.exists()


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A Ray cluster whose head runs no workers."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "1")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    yield cluster
    cluster.shutdown()


@pytest.mark.nightly
@pytest.mark.slow
def test_a_ray_cluster_that_loses_a_node_ends_every_trial_exactly_once(
    recipe_file: Write, stores: tuple[str, str], cluster: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    node = cluster.add_node(num_cpus=2)
    plan = remote(
        recipe_file(("name: tiny", "name: rays"), ("epochs: 4", "epochs: 120"), ("trials: 4", "trials: 6")),
        stores,
        "execution.launcher=ray",
        f"execution.address={cluster.address}",
        "execution.workers=2",
    )

    replacement: list[subprocess.Popen[str]] = []

    def replace_node() -> None:
        cluster.remove_node(node, allow_graceful=False)
        replacement.append(start([RAY, "start", f"--address={cluster.address}", "--num-cpus=2", "--block"], tmp_path))

    removal = Thread(target=when, args=(lambda: is_running(plan), replace_node))
    removal.start()
    try:
        failures, output = run_plan(plan)
    finally:
        removal.join()
        replacement[0].terminate()
        finish(replacement[0])
    assert failures == []
    assert output.count("joined from") >= 2
    check_that_all_ended_once(plan)
    # A worker that had not claimed its trial yet has lost none.
    assert 1 <= Study.open(plan.cells[0].folder).trials().counts()["lost"] <= output.count("is gone; trial")


@pytest.mark.nightly
@pytest.mark.slow
def test_a_search_on_ray_ends_in_order_at_a_signal_and_is_continued_after_sigkill(
    recipe_file: Write, stores: tuple[str, str], cluster: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    cluster.add_node(num_cpus=1)
    settings = (f"search.storage={stores[0]}", f"tracking.uri={stores[1]}", "execution.launcher=ray")
    recipe = recipe_file(("name: tiny", "name: signalled"), ("epochs: 4", "epochs: 60"))
    command = [TSBENCH, "search", str(recipe), "--set", f"execution.address={cluster.address}"]
    command += [part for setting in settings for part in ("--set", setting)]
    plan = plan_of(recipe, *settings)
    for number, code in ((signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)):
        process = start(command, tmp_path)
        wait_for(lambda: is_running(plan), process)
        os.kill(process.pid, number)
        ended, output, errors = finish(process)
        assert ended == code, output + errors
        if number == signal.SIGTERM:
            study = Study.open(plan.cells[0].folder)
            assert study.trials().running() == []
            assert all(reason.startswith("the search was interrupted") for reason in study.trials().lost().values())
            assert not [run for run in plan.store.runs("signalled") if run.status == "RUNNING"]
    code, output, errors = finish(start(command, tmp_path))
    assert code == 0, output + errors
    check_that_all_ended_once(plan)


SRUN = """#!/bin/bash
# Stands in for Slurm's srun, with this machine as each node.
while [[ "$1" == --* ]]; do shift; done
exec "$@"
"""


@pytest.mark.nightly
@pytest.mark.slow
def test_the_script_for_slurm_begins_a_cluster_and_searches_on_it(
    recipe_file: Write, stores: tuple[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    text = (Path(__file__).parents[2] / "docs" / "scaling.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"```sh\n(#!/bin/bash\n.*?)```", text, re.DOTALL)
    (tmp_path / "search.sbatch").write_text(script)
    for name, content in (("srun", SRUN), ("scontrol", "#!/bin/bash\necho 127.0.0.1\n")):
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o755)
    settings = (
        f"search.storage={stores[0]}",
        f"tracking.uri={stores[1]}",
        "execution.launcher=ray",
        "execution.workers=2",
    )
    recipe = recipe_file(("name: tiny", "name: slurm"), ("epochs: 4", "epochs: 60"))
    arguments = [part for setting in settings for part in ("--set", setting)]
    environment = {
        "PATH": os.pathsep.join((str(tmp_path), str(Path(sys.executable).parent), os.environ["PATH"])),
        "SLURM_JOB_ID": str(os.getpid()),
        "SLURM_JOB_NODELIST": "node[1-2]",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_CPUS_PER_TASK": "1",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1",
    }
    process = start(["bash", "search.sbatch", recipe.name, *arguments], tmp_path, environment)
    nodes: list[psutil.Process] = []
    try:
        plan = plan_of(recipe, *settings)
        wait_for(lambda: is_running(plan), process)
        nodes = [child for child in psutil.Process(process.pid).children() if "--block" in child.cmdline()]
        process.wait(240)
    finally:
        for node in nodes:  # as Slurm does when the script has ended
            node.terminate()
        psutil.wait_procs(nodes, timeout=60)
    code, output, errors = finish(process)
    assert code == 0, output + errors
    assert len(nodes) == 2
    assert output.count("joined from") == 2
    check_that_all_ended_once(plan)


@pytest.mark.nightly
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
        failures, _ = run_plan(plan)
        outage.join()
        assert failures == []
        check_that_all_ended_once(plan)


@pytest.mark.nightly
@pytest.mark.slow
def test_a_database_that_is_away_for_good_ends_the_search_with_a_sentence_and_its_records_closed(
    recipe_file: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TSBENCH_RETRY_TIMEOUT", "3")
    with postgresql() as server:
        plan = plan_of(recipe_file(("epochs: 4", "epochs: 60")), f"search.storage={server.uri}")
        outage = Thread(target=when, args=(lambda: is_running(plan), server.stop))
        outage.start()
        with pytest.raises(
            SearchError, match=r"search.storage postgresql://.*@127.0.0.1:\d+/postgres cannot be reached"
        ):
            run_plan(plan)
        outage.join()
        assert not [run for run in plan.store.runs("tiny") if run.status == "RUNNING"]
        server.start()
        assert run_plan(plan_of(recipe_file(("epochs: 4", "epochs: 60")), f"search.storage={server.uri}"))[0] == []
        check_that_all_ended_once(plan)


@pytest.mark.slow
def test_a_trial_whose_end_was_committed_before_the_connection_broke_is_reported_once(recipe_file: Write) -> None:
    with postgresql() as server, LossyRelay(server) as relay:
        plan = plan_of(recipe_file(), f"search.storage={relay.uri}")
        assert run_plan(plan)[0] == []
        assert relay.awaited is None
        check_that_all_ended_once(plan)
        relay.awaited = "FAIL"
        study = Study.open(plan.cells[0].folder)
        assert study.queue.fail_lost(study.optuna.ask().number, "its worker is gone")
        assert relay.awaited is None


@pytest.mark.slow
def test_a_heartbeat_that_the_database_misses_is_no_error_of_the_trial() -> None:
    with postgresql() as server:
        storage = open_database(server.uri)
        trial = storage.create_new_trial(storage.create_new_study([StudyDirection.MAXIMIZE]))
        server.stop()
        began = time.monotonic()
        with get_heartbeat_thread(trial, storage):  # an exception in a thread fails the test
            time.sleep(1)
        assert time.monotonic() - began < 10  # it is not waited for, though a trial's own calls are
        server.start()
        storage.set_trial_state_values(trial, TrialState.COMPLETE, [1.0])


@pytest.mark.slow
def test_a_database_that_never_answers_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TSBENCH_RETRY_TIMEOUT", "0")
    monkeypatch.setitem(LIMITS, "pg8000", {"timeout": 1})
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,  # connections are made, as by a server that is frozen
        pytest.raises(DatabaseAwayError, match=r"search.storage postgresql://.* cannot be opened: "),
    ):
        open_database(f"postgresql://someone@127.0.0.1:{silent.getsockname()[1]}/none")


def is_running(plan: Plan) -> bool:
    folder = plan.cells[0].folder
    return stored_fingerprint(folder) is not None and bool(Study.open(folder).trials().running())


def when(condition: Callable[[], bool], action: Callable[[], Any]) -> None:
    wait_for(condition)
    action()


NOWHERE = ("postgresql://nobody@127.0.0.1:1/none", "http://127.0.0.1:1")


def test_a_cluster_that_does_not_exist_is_a_sentence(recipe_file: Write) -> None:
    overrides = ("execution.launcher=ray", "execution.workers=1", "execution.address=127.0.0.1:1")
    plan = remote(recipe_file(), NOWHERE, *overrides)
    with pytest.raises(TsbenchError, match=r"execution.address is '127.0.0.1:1', but no Ray cluster is there"):
        run_plan(plan)


def test_slurm_is_refused_with_the_way_to_do_it_by_ray(recipe_file: Write) -> None:
    path = recipe_file()
    for settings in ("launcher: slurm", "launcher: slurm, slurm: {slurm_partition: gpu}"):
        path = recipe_file(("execution: {workers: 1", f"execution: {{workers: 1, {settings}"))
        with pytest.raises(RecipeError) as caught:
            load_recipe(path)
        (problem,) = caught.value.problems
        assert problem.startswith(f"{path}:15:25 execution.launcher: 'slurm' is no longer supported; start a Ray ")
        assert "launcher: ray (docs/scaling.md" in problem


def test_a_recipe_that_was_recorded_with_empty_slurm_settings_is_read(recipe_file: Write) -> None:
    recipe = load_recipe(recipe_file(("execution: {workers: 1", "execution: {slurm: {}, workers: 1"))).recipe
    assert recipe.execution.workers == 1
    with pytest.raises(RecipeError, match=r"execution.slurm: unknown key"):
        load_recipe(recipe_file(("execution: {workers: 1", "execution: {slurm: {slurm_partition: gpu}, workers: 1")))


def test_workers_of_a_cluster_are_counted(recipe_file: Write) -> None:
    with pytest.raises(RecipeError, match=r"execution.workers: must be a number with launcher 'ray'"):
        remote(recipe_file(), NOWHERE, "execution.launcher=ray", "execution.workers=auto")
