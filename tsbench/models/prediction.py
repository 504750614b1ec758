"""Predicts the cases of a file with a saved model."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsbench.classifiers.contract import FittedClassifier
from tsbench.classifiers.serving import LABEL, NamedCases, named_cases, predict_table, read_input
from tsbench.data.formats import SUFFIXES, format_of, reader_of
from tsbench.data.formats.labels import uniform_label
from tsbench.data.formats.table import listed, read_table
from tsbench.data.formats.text import read_utf8, suffix_of
from tsbench.errors import DataError, ModelError
from tsbench.recipe.messages import count_of
from tsbench.recipe.registries import FORMATS
from tsbench.spreadsheet import as_cell

__all__ = ["Predictions", "as_csv", "predict_file", "read_cases", "write_table"]

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Predictions:
    """A model's predictions for the cases of a file.

    Attributes:
        table: see `predict_table`; if the file has labels, they are its column `true_label`, empty for cases without.
        accuracy: the share of labels that are right; None if the file has none.
        notes: notes on the labels, one sentence each.
    """

    table: pd.DataFrame
    accuracy: float | None
    notes: tuple[str, ...] = ()


def predict_file(classifier: FittedClassifier, path: Path, columns: Mapping[str, str]) -> Predictions:
    """Predicts every case of a file; the labelled ones are scored.

    Args:
        classifier: the model.
        path: see `read_cases`.
        columns: see `read_cases`.

    Raises:
        DataError: the file cannot be read.
        ModelError: the model cannot take a case of it.
    """
    cases = read_cases(path, classifier, columns)
    _logger.debug("%s: read %s", path, count_of(len(cases.collection), "case"))
    try:
        table = predict_table(classifier, cases)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None
    if cases.labels is None or not (cases.labels != "").any():
        return Predictions(table, None)
    labels = _in_spelling_of(classifier.classes, cases.labels)
    table.insert(1, "true_label", labels)
    labelled = labels != ""
    right = table[LABEL].to_numpy() == labels
    return Predictions(table, float(right[labelled].mean()), tuple(_notes(classifier.classes, labels)))


def _in_spelling_of(classes: NDArray[np.str_], labels: NDArray[np.str_]) -> NDArray[np.str_]:
    """Labels in the model's spelling: models of older versions have `1.0` for a label that is now read as `1`."""
    known = {uniform_label(str(name)): str(name) for name in classes}
    return np.array([known.get(str(label), str(label)) for label in labels])


def _notes(classes: NDArray[np.str_], labels: NDArray[np.str_]) -> Iterator[str]:
    if absent := int((labels == "").sum()):
        cases = "1 case has" if absent == 1 else f"{absent} cases have"
        yield f"{cases} no label and {'is' if absent == 1 else 'are'} left out of the score"
    unknown = sorted(set(map(str, labels)) - set(map(str, classes)) - {""})
    if unknown:
        count = int(np.isin(labels, unknown).sum())
        cases = "1 case has a label" if count == 1 else f"{count} cases have labels"
        yield (
            f"{cases} that the model does not know and cannot predict ({listed(unknown)}); "
            f"it knows {listed([str(name) for name in classes])}"
        )


def read_cases(path: Path, classifier: FittedClassifier, columns: Mapping[str, str]) -> NamedCases:
    """The cases of a file, with their labels if it has any.

    Args:
        path: a data set's file (.ts, .arff, .tsv, .txt, .npz); a long table (.csv, .parquet) with the columns of the
            training table, or for a model that was not trained on one with the columns case, time, one for each channel
            and maybe label; JSON as a server takes it (.json); or an array of shape (cases, channels, steps) (.npy).
        classifier: the model.
        columns: the table's columns by their role (`case`, `time`, `label`), if their names differ.

    Raises:
        DataError: the file does not exist, or does not match its suffix.
        ModelError: its cases differ in kind.
    """
    if not path.is_file():
        raise DataError(f"{path}: file not found")
    if path.suffix.lower() in (".json", ".npy"):
        try:
            return read_input(_read_input(path), classifier.channels, classifier.columns)
        except ModelError as error:
            raise ModelError(f"{path}: {error}") from None
    if suffix_of(path) not in SUFFIXES:
        raise DataError(
            f"{path}: no format has the suffix {path.suffix!r}; known: {', '.join([*SUFFIXES, '.json', '.npy'])}"
        )
    how = format_of(path)
    if FORMATS[how].columns:
        return named_cases(read_table(path), classifier.channels, classifier.columns, columns)
    collection = reader_of(how)(path, labelled=False).collection
    return NamedCases(collection, range(len(collection)), collection.labels)


def _read_input(path: Path) -> Any:
    if path.suffix.lower() == ".json":
        return read_utf8(path)
    try:
        array = np.load(path, allow_pickle=False)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    except Exception as error:  # NumPy parses the header as Python, so damage may raise anything
        raise DataError(
            f"{path}: is not a whole array that NumPy saved: {' '.join(str(error).split())[:160]}"
        ) from None
    if not isinstance(array, np.ndarray):
        raise DataError(f"{path}: holds several arrays; name it .npz, with the arrays values and labels")
    return array


def as_csv(table: pd.DataFrame) -> str:
    """Predictions as CSV, without cells that a spreadsheet would run as formulas."""
    cells = table.map(as_cell).rename(columns=as_cell, index=as_cell).rename_axis(index=as_cell(table.index.name))
    return str(cells.to_csv(lineterminator="\n"))


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Writes predictions as CSV, or as Parquet if the file's suffix says so.

    Raises:
        DataError: it cannot be written, or has another suffix.
    """
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".parquet"):
        raise DataError(
            f"{path}: predictions are written as .csv or .parquet, not as {suffix or 'a file without suffix'}"
        )
    try:
        if suffix == ".csv":
            path.write_text(as_csv(table), encoding="utf-8", newline="")
        else:
            table.to_parquet(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}") from None
