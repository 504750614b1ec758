"""What MLflow's records cost: a trial's, a model's, and the time until the table of 500 runs is there."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from tests.benchmarks.table import Row
from tests.browser import CHROMIUM, chromium_page, served_ui
from tsbench.classifiers.ensemble import NetworkEnsemble
from tsbench.data.archive import Archive
from tsbench.recipe.dotted import hyperparameters_of
from tsbench.studies.trial_runner import mlflow_params
from tsbench.tracking import names, provenance
from tsbench.tracking.models import LoggedModel, log_model
from tsbench.tracking.monitoring import Monitor
from tsbench.tracking.store import Store

TRIALS, EPOCHS = 500, 100


def measure() -> list[Row]:
    """Made-up trials, recorded by the calls that a worker makes; then MLflow's page on them in a browser."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(f"sqlite:///{folder}/mlflow.db")
        store.connection.prepare()
        experiment = store.experiment("many")
        parent = store.begin(experiment, "Made-up", {names.ROLE: "search", names.RECIPE: "many"})
        seconds = [_record_trial(store, experiment, parent, number) for number in range(TRIALS)]
        store.end(parent)
        rows = [
            Row(
                "records of a trial",
                1000 * statistics.mean(seconds),
                "ms",
                30,
                f"mean of {TRIALS}, {EPOCHS} epochs each; the last 50: {1000 * statistics.mean(seconds[-50:]):.0f} ms",
            ),
            Row(
                "records of a final network", _model_seconds(store, experiment), "s", 1, "the MLflow model; median of 5"
            ),
        ]
        if CHROMIUM is not None:
            seconds = _page_seconds(Path(folder))
            remark = f"median of {len(seconds)} loads in headless Chromium, {TRIALS} runs in the table, server warm"
            rows.append(Row("table of runs in MLflow's page", statistics.median(seconds), "s", 3, remark))
        return rows


def _record_trial(store: Store, experiment: str, parent: str, number: int) -> float:
    """Seconds of what a worker does for a trial in MLflow."""
    settings = hyperparameters_of({"model.dropout": number / 1000})
    curves = {name: [(epoch, 1 / epoch) for epoch in range(1, EPOCHS + 1)] for name in ("train_loss", "learning_rate")}
    curves["cv_accuracy"] = [(epoch, epoch / EPOCHS) for epoch in range(10, EPOCHS + 1, 10)]
    scores = {names.cv(metric): 0.5 for metric in ("balanced_accuracy", "f1_macro", "log_loss", "roc_auc")}
    monitor = Monitor("cpu")
    begun = time.perf_counter()
    tags = {
        names.ROLE: "trial",
        names.DATASET: "Made-up",
        names.RESAMPLE: 0,
        names.CLASSIFIER: names.NETWORK,
        names.RECIPE: "many",
        names.STUDY: "0",
        names.TRIAL: number,
        names.DEVICE: "cpu",
        names.DESCRIPTION: "One configuration of the network, cross-validated on 3 folds.",
    }
    run = store.begin(experiment, f"Made-up trial {number}", tags, parent)
    store.log(run, params=mlflow_params(settings))
    monitor.sample(now=True)
    metrics = {**scores, "fit_seconds": 1.0}
    store.log(run, metrics, curves={**curves, **monitor.curves}, tags={names.STATE: "complete"})
    store.end(run)
    return time.perf_counter() - begun


def _model_seconds(store: Store, experiment: str) -> float:
    train = Archive().load("ItalyPowerDemand").train
    ensemble = NetworkEnsemble.fit(train, hyperparameters_of({"training.epochs": 1}), seeds=range(3))
    seconds = []
    for _ in range(6):
        with tempfile.TemporaryDirectory() as folder:
            ensemble.save(Path(folder) / "ensemble")
            run = store.begin(experiment, "network", {names.ROLE: "model"})
            model = LoggedModel(
                Path(folder) / "ensemble",
                "tsbench.classifiers.serving",
                train.values[:1],
                [str(label) for label in ensemble.classes],
                provenance.requirements(),
                {},
            )
            begun = time.perf_counter()
            log_model(store, run, model)
            seconds.append(time.perf_counter() - begun)
            store.end(run)
    return statistics.median(seconds[1:])  # the first imports parts of MLflow


def _page_seconds(folder: Path) -> list[float]:
    """Seconds from the address to the table's rows, each in a page of its own after a first one."""
    seconds = []
    with served_ui(folder, "many") as address:
        for _ in range(6):
            with chromium_page() as (page, _):
                begun = time.perf_counter()
                page.goto(address)
                page.get_by_role("link", name="Made-up", exact=True).first.wait_for()
                seconds.append(time.perf_counter() - begun)
    return seconds[1:]
