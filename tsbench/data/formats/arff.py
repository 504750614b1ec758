"""Reads Weka's .arff files as Weka does: univariate, and multivariate as a relational attribute.

The grammar is that of Weka's ARFF format: names, labels and values may be quoted by ' or ", a backslash escapes the
next character inside quotes, % begins a comment, and a case may be sparse, `{index value, ...}`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tsbench.data.formats.case_file import CaseFile, collect, trimmed
from tsbench.data.formats.labels import label_text, uniform_label
from tsbench.data.formats.numbers import MISSING, read_numbers
from tsbench.data.formats.text import read_lines
from tsbench.errors import DataError

__all__ = ["read_arff"]

_TEXT = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\""
_ATTRIBUTE = re.compile(rf"@attribute\s+({_TEXT}|[^\s'\"{{][^\s{{]*)(?:\s+|(?={{))(.+)", re.IGNORECASE)
_KIND = re.compile(r"(numeric|real|integer)(\s*\[[^\]]*\])?", re.IGNORECASE)  # Weka reads and ignores the range
_FIELD = re.compile(rf"\s*({_TEXT}|[^,'\"]*?)\s*(,|$)")
_SPARSE = re.compile(rf"\s*(\d+)\s+({_TEXT}|[^,'\"\s]+)\s*(,|$)")
_WEIGHT = re.compile(r",\s*(\{\s*[\d.eE+-]+\s*\})$")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "u0027": "'"}


@dataclass
class _Header:
    """The header: the lines before `@data`.

    Attributes:
        steps: numeric attributes, the time steps of a channel.
        classes: labels that the nominal attribute names; None if the class is a string.
        class_line: the line of the class attribute; 0 until there is one.
        relational: whether the steps are in a relational attribute, a row for each channel.
    """

    steps: int = 0
    classes: tuple[str, ...] | None = None
    class_line: int = 0
    relational: bool = False


def read_arff(path: Path, labelled: bool = True) -> CaseFile:
    r"""Reads an .arff file whose attributes are time steps and, last, the class: nominal or a string.

    A multivariate case is `'1,2,3\n4,5,6',label`, a row for each channel. Values in float64; missing values (`?`) are
    NaN, and those at a case's end mean that it ends there, as .arff has no other way to declare lengths.

    Args:
        path: the file.
        labelled: whether every case must have a label; otherwise a missing one (`?`) is empty.

    Raises:
        DataError: names the file and, if there is one, the line and case at fault.
    """
    lines = read_lines(path)
    header, first = _read_header(path, lines)
    cases: list[NDArray[np.float64]] = []
    labels: list[str] = []
    numbers: list[int] = []
    for number, line in enumerate(lines[first:], first + 1):
        line = _without_comment(line).strip()
        if not line:
            continue
        place = f"{path}:{number}: case {len(cases) + 1}"
        case, label = _read_case(place, line, header)
        if labelled and not label:
            raise DataError(f"{place} has no class label; add one, or remove the case")
        if cases and len(case) != len(cases[0]):
            raise DataError(f"{place} has {len(case)} channels, the first case has {len(cases[0])}")
        cases.append(case)
        labels.append(label)
        numbers.append(number)
    if not cases:
        raise DataError(f"{path}:{len(lines)}: there are no cases after @data; is the file truncated?")
    return CaseFile(path, collect(path, cases, labels), np.array(numbers), True)


def _read_header(path: Path, lines: list[str]) -> tuple[_Header, int]:
    header = _Header()
    for number, line in enumerate(lines, 1):
        line = _without_comment(line).strip()
        word = line.lower().split(maxsplit=1)[0] if line else ""
        if word == "@data":
            if not header.steps or not header.class_line:
                what = "nominal attribute, the class ({a,b}), after the numeric ones"
                what = what if header.steps else "numeric attribute"
                raise DataError(f"{path}:{number}: there is no {what}; is the file truncated?")
            return header, number
        if word == "@attribute":
            _read_attribute(f"{path}:{number}", line, number, header)
        elif word not in ("", "@relation", "@end"):
            raise DataError(f"{path}:{number}: expected @relation, @attribute, @data or a comment (%...)")
    raise DataError(f"{path}: there is no @data line; is it a complete .arff file?")


def _read_attribute(place: str, line: str, number: int, header: _Header) -> None:
    match = _ATTRIBUTE.fullmatch(line)
    if match is None:
        raise DataError(f"{place}: expected `@attribute name type`")
    if header.class_line:
        raise DataError(f"{place}: the class must be the last attribute; line {header.class_line} already declares it")
    kind = match[2].strip()
    if _KIND.fullmatch(kind):
        header.steps += 1
    elif kind.lower() == "relational":
        header.relational = True
    elif kind.lower() == "string":
        header.class_line = number
    elif kind.startswith("{") and kind.endswith("}"):
        header.class_line = number
        header.classes = tuple(uniform_label(field) for field in _fields(place, kind[1:-1]))
    else:
        raise DataError(f"{place}: the type {kind[:30]!r} is neither numeric, relational, string nor nominal ({{a,b}})")


def _read_case(place: str, line: str, header: _Header) -> tuple[NDArray[np.float64], str]:
    if weight := _WEIGHT.search(line):
        raise DataError(f"{place} has the weight {weight[1]}; weights are not taken into account, so remove them")
    if line.startswith("{"):
        rows, label = _sparse(place, line, header)
    elif header.relational:
        *quoted, label = _fields(place, line)
        if len(quoted) != 1 or line[0] not in "'\"":
            raise DataError(f"{place}: expected the channels in quotes, then a comma and the label")
        rows = quoted[0].split("\n")
    else:
        row, label = _row_and_label(place, line)
        rows = [row]
    text, label = uniform_label(label), label_text(label)
    if header.classes is not None and text in header.classes:  # a class may also be named `?` or `NaN`
        label = text
    elif header.classes is not None and label:
        known = ", ".join(header.classes[:10]) + (", ..." if len(header.classes) > 10 else "")
        raise DataError(f"{place} has the label {label[:30]!r}, which the header does not name ({known})")
    channels = [_read_row(place, channel, row, header) for channel, row in enumerate(rows, 1)]
    return trimmed(place, np.stack(channels)), label


def _row_and_label(place: str, line: str) -> tuple[str, str]:
    """The numbers of a case as one text, to be read at once, and its label."""
    if "'" in line or '"' in line:
        *fields, label = _fields(place, line)
        return ",".join(fields), label
    row, comma, label = line.rpartition(",")
    return (row, label) if comma else _in_blanks(line)


def _in_blanks(line: str) -> tuple[str, str]:
    """A case whose fields are separated by blanks, which Weka accepts too."""
    *fields, label = line.split()
    return ",".join(fields), label


def _sparse(place: str, line: str, header: _Header) -> tuple[list[str], str]:
    """A case that names only the values that are not 0; a class that it does not name is the first."""
    if header.relational or not line.endswith("}"):
        raise DataError(
            f"{place}: expected a sparse case as {{index value, ...}} of attributes that are not relational"
        )
    values = ["0"] * header.steps
    label = header.classes[0] if header.classes else ""
    for index, value in _sparse_fields(place, line[1:-1]):
        if index > header.steps:
            raise DataError(f"{place}: there is no attribute {index}; they are counted from 0 to {header.steps}")
        if index == header.steps:
            label = value
        else:
            values[index] = value
    return [",".join(values)], label


def _read_row(place: str, channel: int, row: str, header: _Header) -> NDArray[np.float64]:
    steps = row.count(",") + 1
    if steps != header.steps:
        raise DataError(
            f"{place}, channel {channel} has {steps} time steps, the header has {header.steps} numeric attributes; "
            "is the file truncated?"
        )
    return read_numbers(place, row, channel, MISSING)


def _fields(place: str, text: str) -> list[str]:
    """The fields between commas outside quotes, without quotes and escapes."""
    return [_unquoted(match[1]) for match in _matches(_FIELD, place, text)]


def _sparse_fields(place: str, text: str) -> Iterator[tuple[int, str]]:
    if text.strip():
        for match in _matches(_SPARSE, place, text):
            yield int(match[1][:9]), _unquoted(match[2])


def _matches(pattern: re.Pattern[str], place: str, text: str) -> Iterator[re.Match[str]]:
    position = 0
    while True:
        match = pattern.match(text, position)
        if match is None:
            rest = text[position : position + 30].strip()
            raise DataError(f"{place}: expected fields separated by commas, quotes closed, got {rest!r}")
        yield match
        if match.end() == len(text) and not match[match.re.groups]:
            return
        position = match.end()


def _unquoted(text: str) -> str:
    if len(text) < 2 or text[0] not in "'\"":
        return text
    text = text[1:-1]
    return re.sub(r"\\(u0027|.)", lambda match: _ESCAPES.get(match[1], match[1]), text) if "\\" in text else text


def _without_comment(line: str) -> str:
    """A line up to a % outside quotes."""
    if "%" not in line:
        return line
    quote = ""
    escaped = False
    for position, letter in enumerate(line):
        if escaped:
            escaped = False
        elif letter == "\\":
            escaped = bool(quote)
        elif quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter == "%":
            return line[:position]
    return line
