"""Draws the time steps that a saved model's predictions rest on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from tsbench.classifiers.ensemble import NetworkEnsemble
from tsbench.classifiers.explanation import draw
from tsbench.classifiers.occlusion import draw_importance
from tsbench.classifiers.serving import NamedCases, check
from tsbench.data.collection import Collection
from tsbench.errors import DataError, ModelError
from tsbench.models.prediction import read_cases
from tsbench.models.reopening import SavedModel, open_cell, open_model
from tsbench.tracking.store import Store

__all__ = ["draw_cases"]

MAX_DRAWN = 10
"""Maximum number of cases that are drawn if none are named."""


def draw_cases(
    store: Store | None, reference: str, cases: Sequence[int] | None, file: Path | None, folder: Path
) -> Iterator[Path]:
    """Writes a PNG for each case, and yields its path.

    Args:
        store: see `open_model`.
        reference: see `open_model`.
        cases: their numbers from 0; None for the first case of each class, of at most ten classes.
        file: of the cases; None for the data set's test cases.
        folder: for the plots; created if absent.

    Raises:
        DataError: the data set or file is not available, or the folder cannot be written.
        ModelError: there is no such model or case, or the model cannot take it.
    """
    saved = open_model(store, reference)
    collection, what = _collection(store, saved, file)
    chosen = _first_of_each_class(collection) if cases is None else list(cases)
    for case in chosen:
        if case >= len(collection):
            raise ModelError(f"there is no {what} {case}: there are {len(collection)}, counted from 0")
    for case in chosen:  # before the first plot is drawn
        check(saved.classifier, NamedCases(collection.subset(np.array([case])), [case]))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be created: {error.strerror}") from None
    for case in chosen:
        single = collection.subset(np.array([case]))
        path = folder / f"{what.replace(' ', '_')}_{case}.png"
        if isinstance(saved.classifier, NetworkEnsemble):
            draw(saved.classifier.explain(single), single, 0, path, f"{what} {case}")
        else:
            draw_importance(saved.classifier, single, path, f"{what} {case}")
        yield path


def _collection(store: Store | None, saved: SavedModel, file: Path | None) -> tuple[Collection, str]:
    if file is not None:
        return read_cases(file, saved.classifier, {}).collection, "case"
    if store is not None and saved.run is not None:
        return open_cell(store, saved.run).dataset.test, "test case"
    return saved.examples, "training case"


def _first_of_each_class(cases: Collection) -> list[int]:
    first = np.sort(np.unique(cases.labels, return_index=True)[1])
    chosen = first if len(first) > 1 else np.arange(len(cases))
    return [int(case) for case in chosen[:MAX_DRAWN]]
