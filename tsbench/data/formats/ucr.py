"""Reads the UCR archive's own text files: a case a line, its label first (.tsv of 2018, .txt of 2015)."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tsbench.data.formats.case_file import CaseFile, collect, read_lines, trimmed
from tsbench.data.formats.numbers import MISSING, read_numbers
from tsbench.errors import DataError

__all__ = ["plain_label", "read_ucr"]

_WHOLE = re.compile(r"[+-]?\d{1,9}(\.0*)?(e[+-]?0*)?", re.IGNORECASE)


def read_ucr(path: Path) -> CaseFile:
    """Reads a file of univariate cases, fields parted by tabs, commas or blanks, whichever its first line has.

    Values in float64; missing values are NaN, and those at a case's end mean that it ends there, as in the archive.

    Raises:
        DataError: names the file, line and case at fault.
    """
    lines = read_lines(path)
    first = next(line for line in lines if line.strip())
    separator = next((one for one in ("\t", ",") if one in first), None)
    cases: list[NDArray[np.float64]] = []
    labels: list[str] = []
    numbers: list[int] = []
    width = None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        place = f"{path}:{number}: case {len(cases) + 1}"
        label, *texts = line.strip("\r\n ").split(separator)
        if not label.strip() or not texts:
            raise DataError(f"{place} has no label followed by values; is the file cut short?")
        width = width or len(texts)
        if len(texts) != width:
            raise DataError(f"{place} has {len(texts)} time steps, the first case has {width}; is the file cut short?")
        values = read_numbers(place, ",".join(texts), None, MISSING)
        cases.append(trimmed(place, values[None]))
        labels.append(plain_label(label))
        numbers.append(number)
    return CaseFile(path, collect(cases, labels), np.array(numbers), True)


def plain_label(text: str) -> str:
    """A whole number as such, however it is spelt (`1.0000000e+00`), so that train and test agree; else the text."""
    text = text.strip()
    if _WHOLE.fullmatch(text) and not text.lstrip("+-").isdigit():
        return str(int(float(text)))
    return text
