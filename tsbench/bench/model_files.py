"""The files of a model in MLflow: the classifier's files, its card, and a few training cases."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsbench.classifiers.card import CardFacts, model_card
from tsbench.classifiers.contract import FittedClassifier
from tsbench.data.collection import Collection

__all__ = ["EXAMPLES", "MODEL_FOLDER", "ModelFiles", "few_of_each_class", "first_case", "write_model_files"]

EXAMPLES = "examples.npz"
"""The model's file of a few training cases: arrays `values`, `lengths` and `labels`, as in a `Collection`."""

MODEL_FOLDER = "ensemble"
"""Folder of tsbench's own files in an MLflow model's part `data`."""

MAX_EXAMPLES = 8
"""Number of training cases that are kept with a model."""


@dataclass(frozen=True)
class ModelFiles:
    """A model in a folder, with its metadata for MLflow.

    Attributes:
        folder: of the files.
        card: the model card, in Markdown.
        example: see `first_case`.
        classes: its labels.
        requirements: pip requirements.
    """

    folder: Path
    card: str
    example: NDArray[np.float64] | dict[str, list[Any]]
    classes: list[str]
    requirements: list[str]


def write_model_files(folder: Path, classifier: FittedClassifier, facts: CardFacts, examples: Collection) -> ModelFiles:
    """Saves a classifier with its card and examples.

    Args:
        folder: the model's folder; created if absent.
        classifier: the classifier.
        facts: of the card.
        examples: a few training cases.

    Raises:
        ModelError: the classifier cannot be saved without pickling code.
    """
    classifier.save(folder)
    card = model_card(classifier, facts)
    (folder / "model_card.md").write_text(card, encoding="utf-8")
    np.savez(folder / EXAMPLES, values=examples.values, lengths=examples.lengths, labels=examples.labels)
    classes = [str(name) for name in classifier.classes]
    return ModelFiles(folder, card, first_case(examples), classes, list(facts.requirements))


def first_case(cases: Collection) -> NDArray[np.float64] | dict[str, list[Any]]:
    """The first case as an array, or as the columns of the table that it was read from."""
    values = cases.values[0, :, : cases.lengths[0]].astype(np.float64)
    columns = cases.columns
    if columns is None or columns.channels is None:
        return values[None]
    steps = values.shape[1]
    table: dict[str, list[Any]] = {columns.case: ["1"] * steps}
    if columns.time is not None:
        table[columns.time] = list(range(steps))
    return table | {name: series.tolist() for name, series in zip(columns.channels, values, strict=True)}


def few_of_each_class(labels: NDArray[np.str_]) -> NDArray[np.int64]:
    """Numbers of a few cases that cover as many classes as possible."""
    return np.sort(np.unique(labels, return_index=True)[1][:MAX_EXAMPLES])
