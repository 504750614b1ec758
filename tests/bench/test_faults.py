"""What must hold when something breaks: each fault is really brought about, on a search in processes of its own."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import torch
from optuna.trial import TrialState

from tests.chaos.invariants import violations
from tests.processes import TSBENCH, finish, start, wait_for, workers_of
from tests.servers import mlflow_server
from tsbench.bench.file_watch import FileWatch
from tsbench.errors import TrackingError
from tsbench.studies import trial_runner
from tsbench.studies.outcome import COMPLETE, FAILED, PRUNED
from tsbench.studies.specification import stored_fingerprint
from tsbench.studies.study import Study
from tsbench.studies.trial_runner import run_trial
from tsbench.tracking.store import RunRecord, Store

Write = Callable[..., Path]


def search(recipe: Path, *overrides: str, retry_timeout: float = 90, fresh: bool = False) -> subprocess.Popen[str]:
    settings = [part for override in overrides for part in ("--set", override)] + ["--fresh"] * fresh
    return start(
        [TSBENCH, "search", recipe.name, *settings], recipe.parent, {"TSBENCH_RETRY_TIMEOUT": str(retry_timeout)}
    )


def folder_of(recipe: Path) -> Path:
    return recipe.parent / ".tsbench" / "tiny" / "ItalyPowerDemand"


def running(recipe: Path) -> list[int]:
    folder = folder_of(recipe)
    return Study.open(folder).trials().running() if stored_fingerprint(folder) is not None else []


def role_of(run: RunRecord) -> str:
    return run.tags["tsbench.role"]


def check_that_all_is_told(recipe: Path, trials: int) -> list[RunRecord]:
    """Exactly so many trials, each told once, the same in Optuna and in MLflow; nothing runs any more."""
    store = Store(f"sqlite:///{recipe.parent}/mlflow.db")
    assert violations(Study.open(folder_of(recipe)), store, trials) == []
    return list(store.runs("tiny"))


@pytest.mark.nightly
@pytest.mark.slow
def test_when_the_search_is_killed_its_workers_end_and_the_next_one_goes_on(recipe_file: Write) -> None:
    recipe = recipe_file(("epochs: 4", "epochs: 60"))
    process = search(recipe, "execution.workers=2")
    wait_for(lambda: running(recipe) and len(workers_of(process.pid)) == 2, process)
    workers = workers_of(process.pid)
    process.kill()
    process.communicate()
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert not alive
    # The workers tell what they were at, and close the search's own run.
    assert running(recipe) == []
    store = Store(f"sqlite:///{recipe.parent}/mlflow.db")
    assert not [run for run in store.runs("tiny") if run.status == "RUNNING"]
    code, _, errors = finish(search(recipe, "execution.workers=2"))
    assert code == 0, errors
    check_that_all_is_told(recipe, 4)


@pytest.mark.slow
def test_a_second_ctrl_c_ends_at_once_and_leaves_nothing_running(recipe_file: Write) -> None:
    recipe = recipe_file(("epochs: 4", "epochs: 3000"))
    process = search(recipe, fresh=True)
    wait_for(lambda: running(recipe), process)
    (worker,) = workers_of(process.pid)
    worker.suspend()  # a worker that does not react, so that only a second Ctrl-C can end the search soon
    os.kill(process.pid, signal.SIGINT)
    time.sleep(1.0)
    assert process.poll() is None
    os.kill(process.pid, signal.SIGINT)
    code, _, errors = finish(process, 40)
    assert code == 130
    assert not worker.is_running()
    assert "Interrupted. The same command without --fresh continues where it stopped." in errors
    assert "Traceback" not in errors
    assert running(recipe) == []
    store = Store(f"sqlite:///{recipe.parent}/mlflow.db")
    assert not [run for run in store.runs("tiny") if run.status == "RUNNING"]


@pytest.mark.nightly
@pytest.mark.slow
def test_random_kills_of_workers_and_of_the_search_lose_no_trial(recipe_file: Write) -> None:
    recipe = recipe_file(("trials: 4", "trials: 12"), ("epochs: 4", "epochs: 60"))
    kills, chance = 0, random.Random(0)
    deadline = time.monotonic() + 200
    while True:
        process = search(recipe, "execution.workers=2")
        killed = False
        while process.poll() is None:
            if kills < 8 and len(workers_of(process.pid)) == 2 and running(recipe):
                time.sleep(chance.uniform(0.0, 1.0))
                victim = process if chance.random() < 0.3 else chance.choice(workers_of(process.pid) or [process])
                victim.kill()
                kills += 1
                killed = killed or victim is process
            time.sleep(0.1)
            assert time.monotonic() < deadline
        _, errors = process.communicate()
        if not killed:
            break
    assert process.returncode == 0, errors
    assert kills == 8
    check_that_all_is_told(recipe, 12)


def small_disk(folder: Path, kilobytes: int) -> None:
    """A file system of its own for a folder, which a test can fill."""
    if os.geteuid() != 0:
        pytest.skip("only root can make a small disk")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"no small disk can be made here: {done.stderr.decode().strip()}")


def fill(file: Path) -> None:
    """Writes until nothing more can be written."""
    with file.open("wb", buffering=0) as stream, suppress(OSError):
        while True:
            stream.write(bytes(4096))


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.parametrize("comes_back", [True, False])
def test_a_full_disk_is_waited_for_and_loses_nothing(recipe_file: Write, tmp_path: Path, comes_back: bool) -> None:
    original = recipe_file(("epochs: 4", "epochs: 30"))
    disk = tmp_path / "disk"
    disk.mkdir()
    small_disk(disk, 24 * 1024)
    try:
        recipe = disk / "tiny.yaml"
        recipe.write_text(original.read_text().replace(str(tmp_path / "mlflow.db"), str(disk / "mlflow.db")))
        process = search(recipe, retry_timeout=60 if comes_back else 4)
        wait_for(lambda: running(recipe), process)
        filler = disk / "filler"
        fill(filler)
        if comes_back:
            time.sleep(10)
            filler.unlink()
        code, _, errors = finish(process)
        if not comes_back:
            assert code == 1
            assert "Traceback" not in errors
            assert "no space is left on the disk" in errors or "database or disk is full" in errors
            filler.unlink()
            code, _, errors = finish(search(recipe))
        assert code == 0, errors
        check_that_all_is_told(recipe, 4)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.parametrize("comes_back", [True, False])
def test_an_mlflow_server_that_is_away_is_waited_for_and_loses_nothing(
    recipe_file: Write, tmp_path: Path, comes_back: bool
) -> None:
    recipe = recipe_file(("epochs: 4", "epochs: 60"))
    with mlflow_server(tmp_path / "server") as server:
        where = f"tracking.uri={server.uri}"
        process = search(recipe, where, retry_timeout=90 if comes_back else 5)
        wait_for(lambda: running(recipe), process)
        server.stop()
        if comes_back:
            time.sleep(30)
            server.start()
        code, output, errors = finish(process)
        if not comes_back:
            assert code == 1
            assert "Traceback" not in errors + output
            assert f"the MLflow store {server.uri} failed" in errors
            assert running(recipe) == []
            server.start()
            code, _, errors = finish(search(recipe, where))
        assert code == 0, errors
        runs = list(Store(server.uri).runs("tiny"))
        assert not [run for run in runs if run.status == "RUNNING"]
        study = Study.open(folder_of(recipe))
        assert study.trials().counts()["complete"] == 4
        finished = [run for run in runs if role_of(run) == "trial" and run.status == "FINISHED"]
        assert len(finished) == 4
        assert [run.status for run in runs if role_of(run) == "model"] == ["FINISHED"]


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["mlflow.db", ".tsbench", ".tsbench/tiny/ItalyPowerDemand/values.npy"])
def test_files_that_are_deleted_in_mid_search_end_it_in_one_sentence(
    recipe_file: Write, tmp_path: Path, lost: str
) -> None:
    recipe = recipe_file(("epochs: 4", "epochs: 60"))
    process = search(recipe, retry_timeout=5)
    wait_for(lambda: running(recipe), process)
    place = tmp_path / lost
    shutil.rmtree(place) if place.is_dir() else place.unlink()
    code, output, errors = finish(process, 120)
    assert "Traceback" not in output + errors
    if place.suffix == ".npy":
        # The search notices it unless the worker has all files open already; the next one always does.
        assert code == 0 or "damaged" in errors
        code, _, errors = finish(search(recipe))
        assert code == 1
        assert "the training cases of this study are missing or damaged; put the files back" in errors
        return
    assert code == 1
    sentence = "was deleted, moved or replaced during the search" if lost == "mlflow.db" else "was deleted or moved"
    assert sentence in errors


def test_a_store_whose_file_is_replaced_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    path.write_text("1")
    watch = FileWatch.of(path)
    path.write_text("2")
    watch.check()
    FileWatch.of(None).check()
    path.rename(tmp_path / "aside")
    path.write_text("1")
    with pytest.raises(TrackingError, match="was deleted, moved or replaced during the search"):
        watch.check()
    path.unlink()
    with pytest.raises(TrackingError, match="was deleted, moved or replaced during the search"):
        watch.check()


@pytest.mark.nightly
@pytest.mark.slow
def test_eight_workers_at_once_begin_on_a_fresh_store(recipe_file: Write, tmp_path: Path) -> None:
    recipe = recipe_file(("trials: 4", "trials: 16"), ("epochs: 4", "epochs: 1"))
    (tmp_path / "mlflow.db").unlink()
    code, _, errors = finish(search(recipe, "execution.workers=8"))
    assert code == 0, errors
    check_that_all_is_told(recipe, 16)


@pytest.fixture
def one_trial(recipe_file: Write) -> Callable[..., Path]:
    """Makes a study with one waiting trial, and returns its folder."""
    from tsbench.bench.opening import open_study
    from tsbench.bench.plan import make_plan
    from tsbench.classifiers.baselines import BASELINES
    from tsbench.recipe.loading import load_recipe

    def make(*overrides: str) -> Path:
        plan = make_plan(load_recipe(recipe_file(), overrides, BASELINES))
        plan.store.connection.prepare()
        study, _ = open_study(plan, plan.cells[0], plan.load(plan.cells[0]))
        study.queue.refill()
        return study.folder

    return make


def out_of_memory_above(cases: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device with memory for so many cases of a mini-batch."""
    from tsbench.nn.network import Network

    learned = Network._learned

    def limited(self: Network, x: torch.Tensor, *rest: object) -> torch.Tensor:
        if len(x) > cases and self.training:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return learned(self, x, *rest)

    monkeypatch.setattr(Network, "_learned", limited)


def test_out_of_memory_is_tried_once_more_with_half_of_each_mini_batch(
    one_trial: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    out_of_memory_above(17, monkeypatch)  # a last case alone joins the mini-batch before it
    outcome = run_trial(one_trial("training.batch_size=32"), 0, "cpu")
    assert outcome is not None
    assert (outcome.state, outcome.reason) == (COMPLETE, "")


def test_out_of_memory_with_half_a_mini_batch_too_fails_the_trial_with_the_reason(
    one_trial: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    out_of_memory_above(4, monkeypatch)
    folder = one_trial("training.batch_size=32")
    outcome = run_trial(folder, 0, "cpu")
    assert outcome is not None
    assert outcome.state == FAILED
    assert "CUDA out of memory" in outcome.reason
    assert Study.open(folder).trials().counts()["fail"] == 1


def test_a_training_that_diverges_is_pruned_with_the_reason(one_trial: Callable[..., Path]) -> None:
    folder = one_trial("training.learning_rate=1e30", "training.max_gradient_norm=null", "model.features.blocks=[]")
    outcome = run_trial(folder, 0, "cpu")
    assert outcome is not None
    assert outcome.state == PRUNED
    assert "not finite" in outcome.reason or "became nan" in outcome.reason
    assert Study.open(folder).trials().counts()["pruned"] == 1


@pytest.mark.cuda
def test_a_gpu_that_is_too_small_fails_the_trial_with_the_reason(one_trial: Callable[..., Path]) -> None:
    folder = one_trial("training.batch_size=64", "model.convolution.channels=64")
    torch.cuda.set_per_process_memory_fraction(1e-4)
    try:
        outcome = run_trial(folder, 0, "cuda:0")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert outcome is not None
    assert outcome.state == FAILED
    assert "out of memory" in outcome.reason


def test_a_trial_that_was_given_up_is_not_reported_twice(
    one_trial: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that was taken for dead, and lives, must not overwrite what the supervisor has told."""
    folder = one_trial()
    study = Study.open(folder)

    def mark_lost(progress: object) -> None:
        study.queue.fail_lost(0, "worker 1 on node-7 is gone")

    assert run_trial(folder, 0, "cpu", report=mark_lost) is None
    trial = Study.open(folder).trials()[0]
    assert trial.state is TrialState.FAIL
    assert study.trials().reason_of(0) == "worker 1 on node-7 is gone"
    (run,) = runs_of_trials(study)
    assert (run.status, run.tags["tsbench.reason"]) == ("FAILED", "worker 1 on node-7 is gone")


def runs_of_trials(study: Study) -> list[RunRecord]:
    store = Store(study.spec.tracking_uri)
    return [run for run in store.runs_in(study.spec.experiment) if role_of(run) == "trial"]


def die_before_telling(folder: Path, monkeypatch: pytest.MonkeyPatch, before: str = "_report_to_optuna") -> None:
    """Runs trial 0 by a worker that ends its MLflow run, or does not, and dies before it tells Optuna."""

    def die(*arguments: object) -> None:
        raise ConnectionError("the database is away")

    with monkeypatch.context() as patch:
        patch.setattr(trial_runner._TrialRun, before, die)
        with pytest.raises(ConnectionError):
            run_trial(folder, 0, "cpu")


def test_a_trial_whose_worker_died_before_it_reported_to_optuna_is_failed_in_mlflow_too(
    one_trial: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tsbench.bench.opening import mark_lost

    folder = one_trial()
    die_before_telling(folder, monkeypatch)
    study = Study.open(folder)
    assert study.trials().running() == [0]
    assert [run.status for run in runs_of_trials(study)] == ["FINISHED"]
    mark_lost(study, Store(study.spec.tracking_uri), study.trials().running(), "worker 1 is gone")
    assert study.trials().counts()["lost"] == 1
    (run,) = runs_of_trials(study)
    assert (run.status, run.tags["tsbench.reason"]) == ("FAILED", "worker 1 is gone")


@pytest.mark.parametrize(("before", "status"), [("_report_to_optuna", "FINISHED"), ("_record", "RUNNING")])
def test_a_search_that_was_killed_between_optuna_and_mlflow_brings_them_into_agreement(
    one_trial: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, before: str, status: str
) -> None:
    """A worker died, before or after it ended the run; the search was killed when Optuna knew, and MLflow did not."""
    folder = one_trial()
    die_before_telling(folder, monkeypatch, before)
    assert [run.status for run in runs_of_trials(Study.open(folder))] == [status]
    assert Study.open(folder).queue.fail_lost(0, "worker 1 is gone")
    assert one_trial() == folder  # which continues the study
    outcome = run_trial(folder, 1, "cpu")
    assert outcome is not None
    study = Study.open(folder)
    told = {run.tags["tsbench.trial"]: (run.status, run.tags.get("tsbench.reason")) for run in runs_of_trials(study)}
    assert told == {"0": ("FAILED", "worker 1 is gone"), "1": ("FINISHED", None)}
    one_trial()
    assert [run.status for run in runs_of_trials(study)] == ["FAILED", "FINISHED"]


def test_half_a_line_of_a_killed_process_does_not_spoil_the_journal(one_trial: Callable[..., Path]) -> None:
    folder = one_trial()
    journal = folder / "journal.log"
    with journal.open("ab") as file:
        file.write(b'{"op_code":4,"worker_id":"half a li')
    outcome = run_trial(folder, 0, "cpu")
    assert outcome is not None
    assert outcome.state == COMPLETE
    assert Study.open(folder).trials().counts()["complete"] == 1
    assert all(line.endswith(b"}\n") for line in journal.read_bytes().splitlines(keepends=True))
