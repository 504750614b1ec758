"""Predicts the cases of a file with a saved model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsbench.classifiers.network import NetworkEnsemble
from tsbench.classifiers.serving import LABEL, NamedCases, predict_table, read_input
from tsbench.data.formats import READERS, SUFFIXES
from tsbench.errors import DataError, ModelError

__all__ = ["Predictions", "predict_file", "read_cases", "write_table"]


@dataclass(frozen=True)
class Predictions:
    """What a model says of the cases of a file.

    Attributes:
        table: see `predict_table`; where the file has labels, they are its column `true_label`.
        accuracy: the share of labels that are right; None where the file has none.
    """

    table: pd.DataFrame
    accuracy: float | None


def predict_file(ensemble: NetworkEnsemble, path: Path, columns: dict[str, str]) -> Predictions:
    """Predicts every case of a file.

    Args:
        ensemble: the model.
        path: see `read_cases`.
        columns: see `read_cases`.

    Raises:
        DataError: the file cannot be read.
        ModelError: the model cannot take a case of it.
    """
    cases, labels = read_cases(path, ensemble.channels, columns)
    try:
        table = predict_table(ensemble, cases)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None
    if labels is None:
        return Predictions(table, None)
    table.insert(1, "true_label", labels)
    return Predictions(table, float((table[LABEL].to_numpy() == labels).mean()))


def read_cases(path: Path, channels: int, columns: dict[str, str]) -> tuple[NamedCases, NDArray[np.str_] | None]:
    """The cases of a file and their labels, where it has any.

    Args:
        path: a data set's file (.ts, .arff, .tsv, .txt, .npz); a long table (.csv, .parquet) with the columns case,
            time, one for each channel and maybe label; JSON as a server takes it (.json); or an array of shape (cases,
            channels, steps) (.npy).
        channels: of the model.
        columns: what a table calls its columns `case`, `time` and `label`, by these names.

    Raises:
        DataError: the file is not there, or not what its suffix says.
        ModelError: its cases are not of one kind.
    """
    if not path.is_file():
        raise DataError(f"{path}: there is no such file")
    suffix = path.suffix.lower()
    if suffix in (".json", ".npy"):
        try:
            return read_input(_read_input(path), channels), None
        except ModelError as error:
            raise ModelError(f"{path}: {error}") from None
    if suffix not in SUFFIXES:
        raise DataError(
            f"{path}: no format is known by the suffix {suffix!r}; known: {', '.join([*SUFFIXES, '.json', '.npy'])}"
        )
    if SUFFIXES[suffix] == "long":
        return _of_table(path, _read_table(path), columns, channels)
    collection = READERS[SUFFIXES[suffix]](path).collection
    return NamedCases.numbered(collection), collection.labels


def _read_table(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path) if path.suffix.lower() == ".csv" else pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pandas' and pyarrow's own errors are of these kinds
        raise DataError(f"{path}: is not a table: {' '.join(str(error).split())[:200]}") from None


def _of_table(
    path: Path, table: pd.DataFrame, columns: dict[str, str], channels: int
) -> tuple[NamedCases, NDArray[np.str_] | None]:
    for what, name in columns.items():
        if name != what and name not in table.columns:
            raise DataError(f"{path}: there is no column {name!r}; there are: {', '.join(map(str, table.columns))}")
    table = table.rename(columns={name: what for what, name in columns.items()})
    try:
        cases = read_input(table, channels)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None
    if LABEL not in table.columns:
        return cases, None
    of_case = table.groupby("case", sort=False)[LABEL].first()
    return cases, of_case.loc[list(cases.names)].astype(str).to_numpy(dtype=np.str_)


def _read_input(path: Path) -> Any:
    if path.suffix.lower() == ".json":
        return path.read_bytes()
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: is not an array that NumPy saved: {error}") from None


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Writes predictions as CSV, or as Parquet where the file's suffix says so.

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
            table.to_csv(path)
        else:
            table.to_parquet(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}") from None
