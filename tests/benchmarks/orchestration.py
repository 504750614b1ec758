"""What Optuna, MLflow and processes cost beside the training itself."""

from __future__ import annotations

import statistics
import tempfile
import time
from io import StringIO
from pathlib import Path

from rich.console import Console

from tests.benchmarks.table import Row
from tsbench.bench.plan import make_plan
from tsbench.bench.progress import PlainDisplay
from tsbench.bench.run import BenchmarkRun
from tsbench.classifiers.baselines import BASELINES
from tsbench.recipe.loading import load_recipe
from tsbench.recipe.schema import HyperparameterConfig
from tsbench.search.worker import mlflow_params
from tsbench.tracking import names
from tsbench.tracking.store import RunRecord, Store

ROOT = Path(__file__).parents[2]
TRIALS = 80


def measure_trials() -> list[Row]:
    """What a trial costs besides its training: MLflow's part of it, and that of Optuna and processes.

    A run's end is dated when MLflow is told of it, so what MLflow then does falls between two runs; it is measured by
    itself and counted as MLflow's.
    """
    runs, _ = _carry_out(
        f"search.trials={TRIALS}",
        "search.timeout=null",
        "search.pruner=none",
        "datasets=[ItalyPowerDemand]",
        "training.epochs=20",
        "baselines=[]",
        "evaluation.ensemble=1",
        "execution.workers=2",
        "execution.device=cpu",
    )
    trials = _of(runs, "trial")
    steady = sorted(trials, key=lambda run: run.started)[4:]  # the first ones wait for the workers' imports
    seconds = statistics.mean(run.metrics["fit_seconds"] for run in steady)
    recording = 1000 * statistics.mean((run.finished or 0) - run.started - run.metrics["fit_seconds"] for run in steady)
    between = 1000 * statistics.mean(_gaps(steady))
    ending = 1000 * _seconds_to_end_a_run()
    what = f"{len(steady)} trials of {seconds:.2f} s, two workers"
    return [
        Row("orchestration of a trial", recording + between, "ms", 50, f"all that is not training; {what}"),
        Row(
            "of which MLflow",
            recording + ending,
            "ms",
            None,
            f"the run's duration less the training, and {ending:.1f} ms to end it, measured by itself",
        ),
        Row(
            "of which Optuna and processes",
            between - ending,
            "ms",
            10,
            f"between two runs of a worker, idle waiting among it ({between:.1f} ms), less that end",
        ),
    ]


def _seconds_to_end_a_run() -> float:
    """What MLflow does after it took the time for a run's end; median of 40, with as much logged as of a trial."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(f"sqlite:///{folder}/mlflow.db")
        store.prepare()
        experiment, seconds = store.experiment("ends"), []
        for number in range(40):
            run = store.begin(experiment, f"run {number}", {f"tsbench.tag{one}": one for one in range(8)})
            store.log(run, params=mlflow_params(HyperparameterConfig()))
            curves = {name: [(epoch, 0.5) for epoch in range(1, 21)] for name in ("train_loss", "learning_rate")}
            store.log(run, {f"cv_metric{one}": 0.5 for one in range(8)}, curves=curves)
            began = time.perf_counter()
            store.end(run)
            seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def _gaps(trials: list[RunRecord]) -> list[float]:
    """Seconds from the end of a trial to the start of the next; the worker that is free the longest goes on first."""
    gaps: list[float] = []
    free: list[float] = []
    events = [(run.started, 1) for run in trials] + [(run.finished or 0.0, 0) for run in trials]
    for moment, begins in sorted(events):
        if not begins:
            free.append(moment)
        elif free:
            gaps.append(moment - free.pop(0))
    return gaps


def measure_quickstart() -> list[Row]:
    """The share of the quickstart's core time that is not training or fitting."""
    runs, wall = _carry_out("execution.workers=2", "execution.device=cpu")
    trials, models, baselines = (_of(runs, role) for role in ("trial", "model", "baseline"))
    work = sum(run.metrics["fit_seconds"] for run in trials + models)
    work += sum((run.finished or 0) - run.started for run in baselines)
    rows = [Row("quickstart, wall time", wall, "s", 240, f"{len(trials)} trials, two workers")]
    share = 100 * (1 - work / (2 * wall))
    remark = "all core time that is no training or baseline: processes, imports, MLflow, Optuna, idle ends"
    return [*rows, Row("quickstart, orchestration's share of core time", share, "%", 5, remark)]


def _carry_out(*overrides: str) -> tuple[list[RunRecord], float]:
    with tempfile.TemporaryDirectory() as folder:
        uri = f"tracking.uri=sqlite:///{folder}/mlflow.db"
        loaded = load_recipe(ROOT / "recipes" / "quickstart.yaml", [*overrides, uri], BASELINES)
        plan = make_plan(loaded)
        started = time.perf_counter()
        failures = BenchmarkRun(plan, PlainDisplay(Console(file=StringIO()))).carry_out()
        wall = time.perf_counter() - started
        assert not failures, failures
        return list(plan.store.runs(loaded.recipe.name)), wall


def _of(runs: list[RunRecord], role: str) -> list[RunRecord]:
    return [run for run in runs if run.tags.get(names.ROLE) == role]
