"""What a trial writes, and how fast the stores take it: without any training, one client and two."""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from _pytest.outcomes import Skipped
from optuna.trial import TrialState

from tests.benchmarks.table import Row
from tests.servers import mlflow_server, postgresql
from tsbench.data.archive import Archive
from tsbench.recipe.schema import HyperparameterConfig, SearchConfig
from tsbench.recipe.space_parsing import parse_space
from tsbench.studies.specification import StudySpec
from tsbench.studies.storage import together
from tsbench.studies.study import Study
from tsbench.studies.trial_runner import mlflow_params
from tsbench.studies.trials import RESULT, RUN
from tsbench.tracking.store import Store

TRIALS = 40
RUNGS = 9
EPOCHS = 100


def measure() -> list[Row]:
    """Milliseconds a trial, by store and number of clients."""
    rows = []
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        rows += _study_rows("journal file", folder / "journal", None)
        try:
            with postgresql() as database:
                rows += _study_rows("PostgreSQL", folder / "database", database.uri)
        except Skipped as reason:
            print(reason)
        local = Store(f"sqlite:///{folder}/mlflow.db")
        local.prepare()
        rows += _record_rows("SQLite", local.uri)
        with mlflow_server(folder / "server") as server:
            rows += _record_rows("server, one process on SQLite", server.uri)
    return rows


def _study_rows(what: str, folder: Path, storage: str | None) -> Iterator[Row]:
    """Choosing, claiming, reporting and telling trials, in as many writes as a worker makes."""
    space, _ = parse_space({"model.dropout": {"float": [0.0, 0.5]}, "training.batch_size": {"choice": [8, 16]}}, set())
    for clients in (1, 2):
        search = SearchConfig(trials=10_000, sampler="random", storage=storage)
        identity = f"{clients}-clients"
        spec = StudySpec(
            identity,
            "scaling",
            "UnitTest",
            0,
            HyperparameterConfig(),
            space,
            search,
            10_000,
            "sqlite:///none",
            "1",
            "parent",
        )
        study = Study.create(folder / identity, spec, Archive().load("UnitTest").training_set(), "meaning")
        began = time.perf_counter()
        for _ in range(clients * (TRIALS + 1)):
            study._enqueue(study.trials())
        enqueued = (time.perf_counter() - began) / (clients * (TRIALS + 1))
        numbers = [list(range(c * (TRIALS + 1), (c + 1) * (TRIALS + 1))) for c in range(clients)]
        seconds = _at_once(_run_trials, [(study.folder, own) for own in numbers])
        yield _row(
            f"study in a {what}, a worker's part" if storage is None else f"study in {what}, a worker's part",
            seconds,
            clients,
        )
        if clients == 1:
            yield Row(f"{what}, the supervisor's part", 1000 * enqueued, "ms a trial", None, "choosing and queueing")


def _run_trials(folder: Path, numbers: list[int]) -> float:
    study = Study.open(folder)
    settings = HyperparameterConfig().model_dump(mode="json")
    began = 0.0
    for index, number in enumerate(numbers):
        if index == 1:
            began = time.perf_counter()  # the first one opens everything
        trial = study.queue.claim(number)
        assert trial is not None
        study.trials().parameters_of(number)
        with together(study.storage):
            trial.suggest_float("model.dropout", 0.0, 0.5)
            trial.suggest_categorical("training.batch_size", [8, 16])
            trial.set_user_attr("hyperparameters", settings)
            trial.set_user_attr(RUN, "run")
            for rung in range(RUNGS):
                trial.report(0.5, rung)
            trial.set_user_attr(RESULT, {"cv_accuracy": 0.5, "seconds": 1.0, "reason": ""})
            study.storage.set_trial_state_values(trial._trial_id, TrialState.COMPLETE, [0.5])
    return time.perf_counter() - began


def _record_rows(what: str, uri: str) -> Iterator[Row]:
    """A trial's MLflow run: settings, curves of 100 epochs, scores."""
    for clients in (1, 2):
        experiment = Store(uri).experiment(f"scaling-{clients}")
        seconds = _at_once(_record_trials, [(uri, experiment)] * clients)
        yield _row(f"MLflow {what}", seconds, clients)


def _record_trials(uri: str, experiment: str) -> float:
    store, settings = Store(uri), mlflow_params(HyperparameterConfig())
    curve = [(epoch, 0.5) for epoch in range(EPOCHS)]
    began = 0.0
    for index in range(TRIALS + 1):
        if index == 1:
            began = time.perf_counter()
        run = store.begin(experiment, "trial", {"tsbench.role": "trial"})
        store.log(run, params=settings)
        store.log(
            run,
            {"fit_seconds": 1.0},
            curves={"train_loss": curve, "learning_rate": curve, "cv_accuracy": curve[:RUNGS]},
        )
        store.end(run)
    return time.perf_counter() - began


def _at_once(function, calls) -> list[float]:  # type: ignore[no-untyped-def]
    with ProcessPoolExecutor(len(calls), multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(function, *zip(*calls, strict=True)))


def _row(what: str, seconds: list[float], clients: int) -> Row:
    rate = sum(TRIALS / elapsed for elapsed in seconds)
    each = 1000 * max(seconds) / TRIALS
    return Row(f"{what}, {clients} at once", each, "ms a trial", None, f"{rate:.0f} trials a second in all")
