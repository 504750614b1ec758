"""Reads Weka's .arff files as the archives write them: univariate, and multivariate as a relational attribute."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tsbench.data.formats.case_file import CaseFile, collect, read_lines, trimmed
from tsbench.data.formats.numbers import MISSING, read_numbers
from tsbench.errors import DataError

__all__ = ["read_arff"]

_ATTRIBUTE = re.compile(r"@attribute\s+('[^']*'|\"[^\"]*\"|\S+)\s+(.+)", re.IGNORECASE)
_NUMERIC = ("numeric", "real", "integer")


@dataclass
class _Header:
    """What the lines before `@data` say.

    Attributes:
        steps: numeric attributes, the time steps of a channel.
        classes: labels that the nominal attribute names.
        relational: whether the steps stand within a relational attribute, a row for each channel.
    """

    steps: int = 0
    classes: tuple[str, ...] = ()
    relational: bool = False


def read_arff(path: Path) -> CaseFile:
    r"""Reads an .arff file whose attributes are time steps and, last, a nominal class.

    A multivariate case is `'1,2,3\n4,5,6',label`, a row for each channel. Values in float64; missing values (`?`) are
    NaN, and those at a case's end mean that it ends there, as .arff has no other way to tell lengths.

    Raises:
        DataError: names the file and, where there is one, the line and case at fault.
    """
    lines = read_lines(path)
    header, first = _read_header(path, lines)
    cases: list[NDArray[np.float64]] = []
    labels: list[str] = []
    numbers: list[int] = []
    for number, line in enumerate(lines[first:], first + 1):
        line = line.strip()
        if not line or line.startswith("%"):
            continue
        place = f"{path}:{number}: case {len(cases) + 1}"
        case, label = _read_case(place, line, header)
        if cases and len(case) != len(cases[0]):
            raise DataError(f"{place} has {len(case)} channels, the first case has {len(cases[0])}")
        cases.append(case)
        labels.append(label)
        numbers.append(number)
    if not cases:
        raise DataError(f"{path}:{len(lines)}: there are no cases after @data; is the file cut short?")
    return CaseFile(path, collect(cases, labels), np.array(numbers), True)


def _read_header(path: Path, lines: list[str]) -> tuple[_Header, int]:
    header = _Header()
    for number, line in enumerate(lines, 1):
        line = line.strip()
        word = line.lower().split(maxsplit=1)[0] if line else ""
        if word == "@data":
            if not header.steps or not header.classes:
                what = (
                    "nominal attribute, the class ({a,b}), after the numeric ones"
                    if header.steps
                    else "numeric attribute"
                )
                raise DataError(f"{path}:{number}: there is no {what}; is the file cut short?")
            return header, number
        if word == "@attribute":
            _read_attribute(f"{path}:{number}", line, header)
        elif word not in ("", "@relation", "@end") and not word.startswith("%"):
            raise DataError(f"{path}:{number}: expected @relation, @attribute, @data or a comment (%...)")
    raise DataError(f"{path}: there is no @data line; is it an .arff file, and whole?")


def _read_attribute(place: str, line: str, header: _Header) -> None:
    match = _ATTRIBUTE.fullmatch(line)
    if match is None:
        raise DataError(f"{place}: expected `@attribute name type`")
    if header.classes:
        raise DataError(f"{place}: the nominal attribute, which is the class, must be the last one")
    kind = match[2].strip()
    if kind.lower() in _NUMERIC:
        header.steps += 1
    elif kind.lower() == "relational":
        header.relational = True
    elif kind.startswith("{") and kind.endswith("}"):
        header.classes = tuple(_unquoted(one) for one in kind[1:-1].split(","))
    else:
        raise DataError(f"{place}: the type {kind[:30]!r} is neither numeric, relational nor nominal ({{a,b}})")


def _read_case(place: str, line: str, header: _Header) -> tuple[NDArray[np.float64], str]:
    if line.startswith("{"):
        raise DataError(f"{place}: sparse cases are not supported")
    if header.relational:
        quote = line[0]
        end = line.rfind(quote)
        if quote not in "'\"" or end == 0 or not line[end + 1 :].lstrip().startswith(","):
            raise DataError(f"{place}: expected the channels in quotes, then a comma and the label")
        rows, label = line[1:end].split("\\n"), line[end + 1 :].lstrip()[1:]
    else:
        row, _, label = line.rpartition(",")
        rows = [row]
    label = _unquoted(label)
    if label not in header.classes:
        known = ", ".join(header.classes[:10]) + (", ..." if len(header.classes) > 10 else "")
        raise DataError(f"{place} has the label {label[:30]!r}, which the header does not name ({known})")
    channels = [_read_row(place, channel, row, header) for channel, row in enumerate(rows, 1)]
    return trimmed(place, np.stack(channels)), label


def _read_row(place: str, channel: int, row: str, header: _Header) -> NDArray[np.float64]:
    steps = row.count(",") + 1
    if steps != header.steps:
        raise DataError(
            f"{place}, channel {channel} has {steps} time steps, the header has {header.steps} numeric attributes; "
            "is the file cut short?"
        )
    return read_numbers(place, row, channel, MISSING)


def _unquoted(text: str) -> str:
    text = text.strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text
