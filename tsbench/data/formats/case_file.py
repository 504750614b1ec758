"""The result of every reader: the cases of one file, and the line of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tsbench.data.collection import Collection
from tsbench.data.formats.sizes import check_padding
from tsbench.errors import DataError

__all__ = ["CaseFile", "collect", "trimmed"]


@dataclass(frozen=True)
class CaseFile:
    """The cases of one file with their line numbers, for messages about a case.

    Attributes:
        path: of the file.
        collection: its cases.
        lines: shape (cases,), counted from 1, or empty if the format has no lines.
        missing: whether there may be missing values; .ts files announce them (`@missing true`), others just have them.
        remarks: notes on how the file was read, one sentence each.
    """

    path: Path
    collection: Collection
    lines: NDArray[np.int64]
    missing: bool = False
    remarks: tuple[str, ...] = ()

    def place(self, case: int) -> str:
        """`file:line: case n`, both counted from 1; `case` counts from 0."""
        line = f"{self.lines[case]}:" if len(self.lines) else ""
        return f"{self.path}:{line} case {case + 1}"


def collect(path: Path, cases: Sequence[NDArray[np.float64]], labels: Sequence[str]) -> Collection:
    """Cases of shape (channels, own length), padded with 0 to the longest.

    Raises:
        DataError: padding would take far more memory than the cases do.
    """
    lengths = np.array([case.shape[1] for case in cases], dtype=np.int64)
    check_padding(str(path), lengths, cases[0].shape[0])
    values = np.zeros((len(cases), cases[0].shape[0], int(lengths.max())))
    for index, case in enumerate(cases):
        values[index, :, : case.shape[1]] = case
    return Collection(values, lengths, np.array(labels))


def trimmed(place: str, case: NDArray[np.float64]) -> NDArray[np.float64]:
    """A case without the missing values at its end, by which formats of fixed width pad shorter series.

    Raises:
        DataError: the case has no value.
    """
    if not np.isnan(case[:, -1]).all():
        return case
    present = np.flatnonzero(~np.isnan(case).all(axis=0))
    if not len(present):
        raise DataError(f"{place} has no value at all; remove the case")
    return case[:, : present[-1] + 1]
