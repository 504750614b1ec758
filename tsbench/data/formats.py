"""Reads the archives' .ts files, and says of a broken one which line and case is at fault.

sktime's own reader accepts a file cut short and names no line in its errors; this one checks each case against the
header. A test holds it equal to sktime's reader on every data set that sktime ships.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tsbench.data.collection import Collection
from tsbench.errors import DataError

__all__ = ["TsFile", "is_labelled", "read_ts"]


@dataclass(frozen=True)
class TsFile:
    """The cases of one .ts file, and the line that each stands on, for messages about a case."""

    path: Path
    collection: Collection
    lines: tuple[int, ...]

    def place(self, case: int) -> str:
        """`file:line: case n`, both counted from 1; `case` counts from 0."""
        return f"{self.path}:{self.lines[case]}: case {case + 1}"


@dataclass
class _Header:
    """What the lines before `@data` say; None where they say nothing."""

    classes: tuple[str, ...] | None = None
    channels: int | None = None
    length: int | None = None


def read_ts(path: Path) -> TsFile:
    """Reads a .ts file of labelled cases.

    Args:
        path: the file.

    Returns:
        Its cases, values in float64. A missing value (`?`) is NaN.

    Raises:
        DataError: names the file and, where there is one, the line and case at fault.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    if not text.strip():
        raise DataError(f"{path}: the file is empty; remove it, or fetch it again")
    lines = text.splitlines()
    header, first = _read_header(path, lines)
    cases: list[list[NDArray[np.float64]]] = []
    labels: list[str] = []
    numbers: list[int] = []
    for number, line in enumerate(lines[first:], first + 1):
        if line := line.strip():
            channels, label = _read_case(f"{path}:{number}: case {len(cases) + 1}", line, header)
            cases.append(channels)
            labels.append(label)
            numbers.append(number)
    if not cases:
        raise DataError(f"{path}:{len(lines)}: there are no cases after @data; is the file cut short?")
    return TsFile(path, _collect(cases, labels), tuple(numbers))


def is_labelled(path: Path) -> bool:
    """Whether a .ts file's header announces class labels, rather than regression targets."""
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            words = line.lower().split()
            if words[:1] == ["@classlabel"]:
                return words[1:2] == ["true"]
            if words[:1] in (["@targetlabel"], ["@data"]):
                return False
    return True  # a broken header is for `read_ts` to explain


def _read_header(path: Path, lines: list[str]) -> tuple[_Header, int]:
    header = _Header()
    for number, line in enumerate(lines, 1):
        key, _, rest = line.strip().partition(" ")
        words = rest.split()
        match key.lower():
            case "@data":
                return header, number
            case "@classlabel":
                if words[:1] != ["true"]:
                    raise DataError(f"{path}:{number}: the file has no class labels (@classLabel {rest.strip()})")
                header.classes = tuple(words[1:]) or None
            case "@targetlabel":
                raise DataError(f"{path}:{number}: holds targets for regression, not class labels")
            case "@timestamps" if words[:1] == ["true"]:
                raise DataError(f"{path}:{number}: series with time stamps are not supported")
            case "@dimensions" | "@dimension":
                header.channels = _count(path, number, key, rest)
            case "@univariate" if words[:1] == ["true"]:
                header.channels = 1
            case "@serieslength":
                header.length = _count(path, number, key, rest)
            case _ if line.strip() and not line.lstrip().startswith(("#", "@", "%")):
                raise DataError(f"{path}:{number}: expected a header line (@...) or a comment (#...) before @data")
    raise DataError(f"{path}: there is no @data line; is it a .ts file, and whole?")


def _count(path: Path, number: int, key: str, text: str) -> int:
    try:
        count = int(text)
    except ValueError:
        count = 0
    if count < 1:
        raise DataError(f"{path}:{number}: {key} must be followed by a whole number of at least 1, got {text!r}")
    return count


def _read_case(place: str, line: str, header: _Header) -> tuple[list[NDArray[np.float64]], str]:
    *texts, label = line.split(":")
    label = label.strip()
    if not texts:
        raise DataError(f"{place} has no ':' before a class label; is the file cut short?")
    if not label:
        raise DataError(f"{place} has no class label; is the file cut short?")
    if header.classes is not None and label not in header.classes:
        raise DataError(
            f"{place} has the label {label!r}, which @classLabel does not name "
            f"({', '.join(header.classes[:10])}{', ...' if len(header.classes) > 10 else ''})"
        )
    if header.channels is None:
        header.channels = len(texts)
    if len(texts) != header.channels:
        raise DataError(f"{place} has {len(texts)} channels, the header or the first case says {header.channels}")
    channels = [_read_channel(place, number, text) for number, text in enumerate(texts, 1)]
    lengths = {len(channel) for channel in channels}
    if len(lengths) > 1:
        raise DataError(f"{place} has channels of different lengths: {', '.join(map(str, sorted(lengths)))}")
    if header.length is not None and lengths != {header.length}:
        raise DataError(
            f"{place} has {lengths.pop()} time steps, @seriesLength says {header.length}; is the file cut short?"
        )
    return channels, label


def _read_channel(place: str, number: int, text: str) -> NDArray[np.float64]:
    values = text.split(",")
    try:
        return np.array(values, dtype=np.float64)
    except ValueError:
        return np.array([_read_value(place, number, step, value) for step, value in enumerate(values, 1)])


def _read_value(place: str, channel: int, step: int, text: str) -> float:
    text = text.strip()
    if text in ("?", "NaN"):
        return float("nan")
    try:
        return float(text)
    except ValueError:
        raise DataError(f"{place}, channel {channel}, time step {step}: {text[:30]!r} is not a number") from None


def _collect(cases: list[list[NDArray[np.float64]]], labels: list[str]) -> Collection:
    channels = max(len(case) for case in cases)
    lengths = np.array([len(case[0]) for case in cases], dtype=np.int64)
    values = np.zeros((len(cases), channels, int(lengths.max())))
    for index, case in enumerate(cases):
        for channel, series in enumerate(case):
            values[index, channel, : len(series)] = series
    return Collection(values, lengths, np.array(labels))
