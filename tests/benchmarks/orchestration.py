"""What Optuna, MLflow and processes cost beside the training itself."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any, TextIO

import pytest
from rich.console import Console

from tests.benchmarks.table import Row
from tsbench.bench import tasks
from tsbench.bench.plan import make_plan
from tsbench.bench.progress import PlainDisplay
from tsbench.bench.run import BenchmarkRun
from tsbench.bench.stages import Stage, TaskKey
from tsbench.classifiers.baselines import BASELINES
from tsbench.recipe.loading import load_recipe
from tsbench.studies.study import Study
from tsbench.tracking import names
from tsbench.tracking.store import RunRecord, Store
from tsbench.workers.protocol import Task, WorkerContext

ROOT = Path(__file__).parents[2]
TRIALS = 80
EPOCHS_OF_A_SECOND, MANY_EPOCHS = 7, 20  # the bounds are for trials of a second; more epochs are more to be logged
TIMES = "TSBENCH_BENCHMARK_TIMES"  # environment variable: the folder where workers note their times
GIVEN_TASK = Stage._task


def measure_trials() -> list[Row]:
    """What a trial costs besides its training, from the end of a worker's trial to that of its next one."""
    return [row for epochs in (EPOCHS_OF_A_SECOND, MANY_EPOCHS) for row in _trials_of(epochs)]


def _trials_of(epochs: int) -> list[Row]:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(Stage, "_task", _timed_task)
        patch.setenv(TIMES, folder)
        runs, *_ = _run(
            f"search.trials={TRIALS}",
            "search.timeout=null",
            "search.pruner=none",
            "datasets=[ItalyPowerDemand]",
            f"training.epochs={epochs}",
            "baselines=[]",
            "evaluation.ensemble=1",
            "execution.workers=2",
            "execution.device=cpu",
        )
        workers = [_read(path) for path in Path(folder).iterdir()]
    training = {run.tags[names.TRIAL]: run.metrics["fit_seconds"] for run in _of(runs, "trial")}
    recording, rest, trained = [], [], []
    for trials in workers:
        for (_, before, _), (number, ended, in_mlflow) in pairwise(trials[1:]):  # the first one imports
            trained.append(training[number])
            recording.append(in_mlflow)
            rest.append(ended - before - in_mlflow - training[number])
    mlflow, others = 1000 * statistics.mean(recording), 1000 * statistics.mean(rest)
    what = f"{len(rest)} trials of {statistics.mean(trained):.2f} s, two workers"
    bounds = (50, 10) if epochs == EPOCHS_OF_A_SECOND else (None, None)
    trial = f"a trial of {epochs} epochs"
    return [
        Row(f"orchestration of {trial}", mlflow + others, "ms", bounds[0], f"all that is not training; {what}"),
        Row(f"of which MLflow, {trial}", mlflow, "ms", None, "in SQLite: a run begun, logged to twice, and ended"),
        Row(f"of which Optuna and processes, {trial}", others, "ms", bounds[1], "all the rest, idle waiting among it"),
    ]


def _timed_task(self: Stage, key: TaskKey, function: str, *arguments: Any) -> Task:
    task = GIVEN_TASK(self, key, function, *arguments)
    return replace(task, function=f"{__name__}:timed_trial") if key.stage == "search" else task


def timed_trial(context: WorkerContext, *arguments: Any) -> Any:
    """What a worker does with a trial; the time it spends in MLflow, and when it is done, are noted in a file."""
    seconds, file = _timekeeping()
    seconds.clear()
    outcome = tasks.run_trial(context, *arguments)
    file.write(f"{outcome.trial} {time.time():.6f} {sum(seconds):.6f}\n")
    return outcome


@cache
def _timekeeping() -> tuple[list[float], TextIO]:
    """The seconds of each call of the store in this process from now on, and where its trials' times are noted."""
    seconds: list[float] = []
    for name in ("begin", "log", "end"):
        setattr(Store, name, _timed(getattr(Store, name), seconds))
    return seconds, (Path(os.environ[TIMES]) / str(os.getpid())).open("a", buffering=1)


def _timed(method: Callable[..., Any], seconds: list[float]) -> Callable[..., Any]:
    def timed(*arguments: Any, **options: Any) -> Any:
        began = time.perf_counter()
        try:
            return method(*arguments, **options)
        finally:
            seconds.append(time.perf_counter() - began)

    return timed


def _read(path: Path) -> list[tuple[str, float, float]]:
    """A worker's trials: number, when it ended, seconds in MLflow."""
    rows = [line.split() for line in path.read_text().splitlines()]
    return [(number, float(ended), float(seconds)) for number, ended, seconds in rows]


def measure_quickstart() -> list[Row]:
    """The share of the quickstart's core time that is not training or fitting."""
    runs, wall, confirming = _run("execution.workers=2", "execution.device=cpu")
    trials, models, baselines = (_of(runs, role) for role in ("trial", "model", "baseline"))
    work = sum(run.metrics["fit_seconds"] for run in trials + models)
    work += confirming + sum((run.finished or 0) - run.started for run in baselines)
    rows = [Row("quickstart, wall time", wall, "s", 75, f"{len(trials)} trials, two workers")]
    share = 100 * (1 - work / (2 * wall))
    remark = "all core time that is no training or baseline: processes, imports, MLflow, Optuna, idle ends"
    return [*rows, Row("quickstart, orchestration's share of core time", share, "%", 5, remark)]


def _run(*overrides: str) -> tuple[list[RunRecord], float, float]:
    """The runs, the seconds in all, and those of scoring trials again on other folds."""
    with tempfile.TemporaryDirectory() as folder:
        uri = f"tracking.uri=sqlite:///{folder}/mlflow.db"
        loaded = load_recipe(ROOT / "recipes" / "quickstart.yaml", [*overrides, uri], BASELINES)
        plan = make_plan(loaded)
        started = time.perf_counter()
        failures = BenchmarkRun(plan, PlainDisplay(Console(file=StringIO()))).run()
        wall = time.perf_counter() - started
        assert not failures, failures
        confirmed = [Study.open(cell.folder).notes.confirmed for cell in plan.cells]
        confirming = sum(found.seconds for of_cell in confirmed for found in of_cell.values())
        return list(plan.store.runs(loaded.recipe.name)), wall, confirming


def _of(runs: list[RunRecord], role: str) -> list[RunRecord]:
    return [run for run in runs if run.tags.get(names.ROLE) == role]
