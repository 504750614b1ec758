"""Reads the archives' .ts files, and names the line and case at fault in a broken one.

sktime's own reader accepts a truncated file and names no line in its errors; this one checks each case against the
header. A test compares it with sktime's reader on every data set that sktime ships.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tsbench.data.formats.case_file import CaseFile, collect
from tsbench.data.formats.labels import label_text, uniform_label
from tsbench.data.formats.numbers import check_commas, read_numbers
from tsbench.data.formats.text import read_lines
from tsbench.errors import DataError

__all__ = ["is_labelled", "read_ts"]


@dataclass
class _Header:
    """The lines before `@data`; None for what they do not set."""

    classes: tuple[str, ...] | None = None
    channels: int | None = None
    length: int | None = None
    length_by: str = "@seriesLength"
    equal_length: bool = False
    missing: bool = False


def read_ts(path: Path, labelled: bool = True) -> CaseFile:
    """Reads a .ts file of labelled cases.

    Args:
        path: the file.
        labelled: whether every case must have a label; otherwise a missing one (`?`) is empty.

    Returns:
        Its cases, values in float64. A missing value (`?`) is NaN.

    Raises:
        DataError: names the file and, if there is one, the line and case at fault.
    """
    lines = read_lines(path)
    header, first = _read_header(path, lines)
    cases: list[NDArray[np.float64]] = []
    labels: list[str] = []
    numbers: list[int] = []
    for number, line in enumerate(lines[first:], first + 1):
        if line := line.strip():
            case, label = _read_case(f"{path}:{number}: case {len(cases) + 1}", line, header, labelled)
            cases.append(case)
            labels.append(label)
            numbers.append(number)
    if not cases:
        raise DataError(f"{path}:{len(lines)}: there are no cases after @data; is the file truncated?")
    return CaseFile(path, collect(path, cases, labels), np.array(numbers), header.missing)


def is_labelled(path: Path) -> bool:
    """Whether a .ts file's header announces class labels, rather than regression targets."""
    with suppress(OSError), path.open(encoding="utf-8-sig", errors="replace") as file:
        for line in file:
            words = line.lower().split()
            if words[:1] == ["@classlabel"]:
                return words[1:2] == ["true"]
            if words[:1] in (["@targetlabel"], ["@data"]):
                return False
    return True  # `read_ts` reports a broken header


def _read_header(path: Path, lines: list[str]) -> tuple[_Header, int]:
    header = _Header()
    for number, line in enumerate(lines, 1):
        key, *words = line.split() or [""]
        rest = " ".join(words)
        true = bool(words) and words[0].lower() == "true"
        match key.lower():
            case "@data":
                return header, number
            case "@classlabel":
                if not true:
                    raise DataError(f"{path}:{number}: the file has no class labels (@classLabel {rest})")
                header.classes = tuple(map(uniform_label, words[1:])) or None
            case "@targetlabel":
                raise DataError(f"{path}:{number}: holds targets for regression, not class labels")
            case "@timestamps" if true:
                raise DataError(f"{path}:{number}: series with time stamps are not supported")
            case "@dimensions" | "@dimension":
                header.channels = _count(path, number, key, rest)
            case "@univariate" if true:
                header.channels = 1
            case "@serieslength":
                header.length = _count(path, number, key, rest)
            case "@missing":
                header.missing = true
            case "@equallength":
                header.equal_length = true
            case _ if key and not key.startswith(("#", "@", "%")):
                raise DataError(f"{path}:{number}: expected a header line (@...) or a comment (#...) before @data")
    raise DataError(f"{path}: there is no @data line; is it a complete .ts file?")


def _count(path: Path, number: int, key: str, text: str) -> int:
    count = int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0
    if count < 1:
        raise DataError(f"{path}:{number}: {key} must be followed by a whole number of at least 1, got {text!r}")
    return count


def _read_case(place: str, line: str, header: _Header, labelled: bool) -> tuple[NDArray[np.float64], str]:
    *texts, label = line.split(":")
    label = label_text(label)
    if not texts:
        raise DataError(f"{place} has no ':' before a class label; is the file truncated?")
    if labelled and not label:
        raise DataError(f"{place} has no class label; is the file truncated?")
    if label and header.classes is not None and label not in header.classes:
        raise DataError(
            f"{place} has the label {label!r}, which @classLabel does not name "
            f"({', '.join(header.classes[:10])}{', ...' if len(header.classes) > 10 else ''})"
        )
    if header.channels is None:
        header.channels = len(texts)
    if len(texts) != header.channels:
        raise DataError(f"{place} has {len(texts)} channels, the header or the first case has {header.channels}")
    for text in texts:
        check_commas(place, text)
    channels = [read_numbers(place, text, number) for number, text in enumerate(texts, 1)]
    lengths = {len(channel) for channel in channels}
    if len(lengths) > 1:
        raise DataError(f"{place} has channels of different lengths: {', '.join(map(str, sorted(lengths)))}")
    length = lengths.pop()
    if header.length is not None and length != header.length:
        raise DataError(
            f"{place} has {length} time steps, {header.length_by} says {header.length}; is the file truncated?"
        )
    if header.equal_length and header.length is None:
        header.length, header.length_by = length, "@equalLength (by the first case)"
    return channels[0][None] if len(channels) == 1 else np.stack(channels), label
