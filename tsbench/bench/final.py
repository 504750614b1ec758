"""The record of a final network: its scores, the model with its card, and plots on the parent run."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsbench import __version__
from tsbench.bench.model_files import MODEL_FOLDER, ModelFiles, few_of_each_class, write_model_files
from tsbench.bench.payloads import FinalNetwork, Records
from tsbench.classifiers.card import CardFacts
from tsbench.classifiers.ensemble import NetworkEnsemble
from tsbench.classifiers.explanation import draw_several
from tsbench.data.collection import Collection, DataSet
from tsbench.evaluation import prediction_plots
from tsbench.evaluation.metrics import MAXIMISED
from tsbench.spreadsheet import as_cell
from tsbench.tracking import names, provenance
from tsbench.tracking.models import LoggedModel, link_scores, log_model, register_model
from tsbench.tracking.store import Store

__all__ = ["log_model_files", "record_model", "record_pictures"]

MAX_DRAWN = 4
"""Cases in the plot of misclassified cases."""


def record_model(
    store: Store,
    records: Records,
    run: str,
    final: FinalNetwork,
    ensemble: NetworkEnsemble,
    metrics: Mapping[str, float],
) -> None:
    """Logs the model on its run, with card, examples and requirements, and registers it if requested."""
    facts = CardFacts(
        names.title(records.tags),
        str(records.tags[names.RECIPE]),
        final.tags.get(names.TRIAL),
        len(final.dataset.train),
        len(final.dataset.test),
        metrics,
        provenance.requirements(),
        own_values=names.TRIAL not in final.tags,
    )
    with tempfile.TemporaryDirectory() as scratch:
        example = final.dataset.train.subset(few_of_each_class(final.dataset.train.labels))
        files = write_model_files(Path(scratch) / MODEL_FOLDER, ensemble, facts, example)
        uri = log_model_files(store, records, run, files, metrics, final.dataset)
    if final.register and int(records.tags[names.RESAMPLE]) == 0:
        metric = names.cv(final.metric)
        name = f"{facts.recipe}-{records.tags[names.DATASET]}"
        version = register_model(
            store, run, uri, name, files.card, metric, metrics.get(metric), MAXIMISED[final.metric]
        )
        store.log(run, tags={names.REGISTERED: f"{name} version {version}"})


def log_model_files(
    store: Store, records: Records, run: str, files: ModelFiles, metrics: Mapping[str, float], dataset: DataSet
) -> str:
    """Logs a saved classifier as the model of a run, with its card as the run's description; returns its URI.

    The run's scores are linked with the model and the data set.
    """
    metadata = {
        "tsbench": __version__,
        "data set": names.title(records.tags),
        "recipe": str(records.tags[names.RECIPE]),
    }
    loader = "tsbench.classifiers.serving"
    model = LoggedModel(files.folder, loader, files.example, files.classes, files.requirements, metadata)
    uri = log_model(store, run, model)
    title = names.title(records.tags)
    parts = {"test_": ("test", dataset.test), "cv_": ("train", dataset.train)}
    data = {start: (f"{title} {part}", cases.digest()) for start, (part, cases) in parts.items()}
    tags = {**records.tags, names.CLASSIFIER: store.run(run).tags[names.CLASSIFIER]}
    link_scores(store, run, uri, metrics, data, tags)
    store.log(run, tags={names.DESCRIPTION: files.card})
    return uri


def record_pictures(
    store: Store,
    records: Records,
    run: str,
    ensemble: NetworkEnsemble,
    test: Collection,
    probabilities: NDArray[np.float64],
) -> None:
    """Logs the test predictions on the network's run, and plots of confusion, calibration and errors on the parent."""
    classes = ensemble.classes
    predicted = classes[probabilities.argmax(axis=1)]
    table = pd.DataFrame({"case": range(len(test)), "label": test.labels, "predicted": predicted})
    for number, name in enumerate(classes):
        table[f"probability_{name}"] = probabilities[:, number]
    with tempfile.TemporaryDirectory() as scratch:
        table.map(as_cell).rename(columns=as_cell).to_csv(Path(scratch) / "test_predictions.csv", index=False)
        store.artifacts.add(run, Path(scratch))
    with tempfile.TemporaryDirectory() as scratch:
        prediction_plots.confusion_matrix(test.labels, predicted, classes).savefig(
            Path(scratch) / "confusion_matrix.png"
        )
        prediction_plots.reliability_diagram(test.labels, probabilities, classes).savefig(
            Path(scratch) / "reliability_diagram.png"
        )
        _draw_errors(ensemble, test, probabilities, Path(scratch) / "misclassified_cases.png")
        store.artifacts.add(records.parent, Path(scratch))


def _draw_errors(ensemble: NetworkEnsemble, test: Collection, probabilities: NDArray[np.float64], path: Path) -> None:
    """Draws the misclassified cases of highest confidence; if there are none, the correct ones of lowest confidence."""
    wrong = ensemble.classes[probabilities.argmax(axis=1)] != test.labels
    shown, sign = (wrong, -1) if wrong.any() else (~wrong, 1)
    numbers = np.flatnonzero(shown)
    chosen = numbers[np.argsort(sign * probabilities[numbers].max(axis=1), kind="stable")][:MAX_DRAWN]
    cases = test.subset(chosen)
    titles = [f"test case {case}{'' if wrong[case] else ' (right)'}" for case in chosen]
    draw_several(ensemble.explain(cases), cases, titles, path)
