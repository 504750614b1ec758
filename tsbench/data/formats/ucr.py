"""Reads the UCR archive's own text files: one case per line, its label first (.tsv of 2018, .txt of 2015)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tsbench.data.formats.case_file import CaseFile, collect, trimmed
from tsbench.data.formats.labels import label_text
from tsbench.data.formats.numbers import MISSING, CommaError, check_commas, decimal_commas, read_numbers
from tsbench.data.formats.text import read_lines
from tsbench.errors import DataError

__all__ = ["read_ucr"]


def read_ucr(path: Path, labelled: bool = True) -> CaseFile:
    """Reads a file of univariate cases, fields separated by tabs, semicolons, commas or blanks, as in its first line.

    Values in float64; missing values are NaN, and those at a case's end mean that it ends there, as in the archive.
    If commas do not separate the fields, they may be decimal commas.

    Args:
        path: the file.
        labelled: whether every case must have a label; otherwise a missing one (`?`, `NaN`) is empty.

    Raises:
        DataError: names the file, line and case at fault.
    """
    lines = [(number, line.strip("\r\n ")) for number, line in enumerate(read_lines(path), 1) if line.strip()]
    if not lines:
        raise DataError(f"{path}: the file holds only blanks; remove it, or download it again")
    separator = _separator(lines[0][1])
    rows = [line.split(separator) for _, line in lines]
    places = [f"{path}:{number}: case {case}" for case, (number, _) in enumerate(lines, 1)]
    if separator != "," and any("," in line for _, line in lines) and _has_decimal_commas(places, rows):
        rows = [[label, *(text.replace(",", ".") for text in texts)] for label, *texts in rows]
    cases: list[NDArray[np.float64]] = []
    labels: list[str] = []
    width = len(rows[0]) - 1
    for place, (label, *texts) in zip(places, rows, strict=True):
        labels.append(label_text(label))
        if not texts or (labelled and not labels[-1]):
            raise DataError(f"{place} has no label followed by values; is the file truncated?")
        if len(texts) != width:
            raise DataError(f"{place} has {len(texts)} time steps, the first case has {width}; is the file truncated?")
        if separator == ",":
            check_commas(place, ",".join(texts))
        values = read_numbers(place, ",".join(texts), None, MISSING)
        if len(values) != width:
            raise DataError(f"{place} has {len(values)} numbers in {width} fields; separate all fields alike")
        cases.append(trimmed(place, values[None]))
    return CaseFile(path, collect(path, cases, labels), np.array([number for number, _ in lines]), True)


def _separator(line: str) -> str | None:
    """What separates the fields of a line; None for blanks."""
    for separator in ("\t", ";"):
        if separator in line:
            return separator
    words = line.split()
    decimal = len(words) > 1 and not any(word.startswith(",") or word.endswith(",") for word in words)
    return "," if "," in line and not decimal else None


def _has_decimal_commas(places: list[str], rows: list[list[str]]) -> bool:
    try:
        return decimal_commas(text for row in rows for text in row[1:])
    except CommaError as error:
        index = error.index
        for place, row in zip(places, rows, strict=True):
            if index < len(row) - 1:
                raise DataError(f"{place}, time step {index + 1}: {error}") from None
            index -= len(row) - 1
        raise
