"""Exports a saved model to ONNX, and keeps it if it agrees with PyTorch on real cases."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tsbench.classifiers.ensemble import NetworkEnsemble
from tsbench.classifiers.onnx import compare_onnx, export_onnx
from tsbench.data.collection import Collection
from tsbench.data.folders import is_writable
from tsbench.errors import DataError, ModelError, RecipeError
from tsbench.models.reopening import SavedModel, open_cell, open_model
from tsbench.tracking import names
from tsbench.tracking.store import Store

__all__ = ["Exported", "export_model"]

MAX_COMPARED = 200
"""Number of cases on which the export is compared."""


@dataclass(frozen=True)
class Exported:
    """An exported model.

    Attributes:
        path: the file.
        channels: of the series that it takes.
        classes: number of classes.
        compared: description of the cases on which it was compared with PyTorch.
        difference: the largest between two probabilities.
    """

    path: Path
    channels: int
    classes: int
    compared: str
    difference: float


def export_model(store: Store | None, reference: str, path: Path | None) -> Exported:
    """Writes a model as ONNX; a graph whose outputs differ from PyTorch's is not kept.

    Args:
        store: see `open_model`.
        reference: see `open_model`.
        path: the file; by default the data set's name in the current folder.

    Raises:
        ModelError: there is no such model, it cannot be exported, or the graph's outputs differ.
        DataError: the file cannot be written.
    """
    saved = open_model(store, reference)
    network = saved.network("exported as ONNX")
    name = "model" if saved.run is None else saved.run.tags[names.DATASET]
    path = path or Path(f"{name}.onnx")
    if path.is_dir() or not is_writable(path.absolute().parent):  # an export may take a minute
        reason = "it is a folder" if path.is_dir() else f"the folder {path.absolute().parent} does not exist"
        raise DataError(f"{path}: cannot be written: {reason}")
    cases, compared = _real_cases(store, saved, network)
    if not len(cases):
        raise ModelError(f"{reference} was saved without training cases, which a graph is traced and compared with")
    about = {} if saved.run is None else {"run": saved.run.run_id, "data set": names.title(saved.run.tags)}
    if network.columns is not None and network.columns.channels:
        about["channels"] = json.dumps(network.columns.channels)  # a graph takes them by position
    part = path.with_name(f".{path.name}.part")  # a file at the path is only replaced by a graph that was compared
    try:
        export_onnx(network, cases.subset(np.arange(min(3, len(cases)))), part, about)
        difference = compare_onnx(network, part, cases)
        part.replace(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    return Exported(path, network.channels, len(network.classes), compared, difference)


def _real_cases(store: Store | None, saved: SavedModel, network: NetworkEnsemble) -> tuple[Collection, str]:
    """Cases to compare on: the test cases if the data set is available, else the examples kept with the model."""
    cases, compared = saved.examples, "the training cases kept with the model"
    if store is not None and saved.run is not None:
        try:
            test = open_cell(store, saved.run).dataset.test
        except (DataError, RecipeError):
            pass  # on another machine than that of the training
        else:
            cases, compared = test.subset(np.arange(min(MAX_COMPARED, len(test)))), "test cases"
    whole = np.flatnonzero(~np.isnan(cases.values).any(axis=(1, 2)))
    if not len(whole):
        filled = np.where(np.isnan(cases.values), network.preprocessing.mean[:, None], cases.values)
        return Collection(filled, cases.lengths, cases.labels), f"{len(cases)} of {compared}, missing values filled in"
    return cases.subset(whole), f"{len(whole)} {compared}" if compared == "test cases" else compared
