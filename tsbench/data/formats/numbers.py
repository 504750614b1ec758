"""Numbers in text: read a row at once by pydantic's JSON reader, or value by value if that refuses it.

A row of numbers is a JSON list but for its brackets, and that reader is the fastest available: twice as fast as NumPy's
`fromstring` and as exact.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json

from tsbench.errors import DataError

__all__ = ["MISSING", "CommaError", "check_commas", "decimal_commas", "read_numbers"]

MISSING = ("?", "NaN", "nan", "NA", "")
"""Spellings of a missing value in formats that do not say which they use."""

_COMMA = re.compile(r"\s*[+-]?(\d*),(\d+)(e[+-]?\d+)?\s*", re.IGNORECASE | re.ASCII)


_NO_WHOLE_NUMBER = re.compile(r"(?:^|,)\s*(-0|[+-]?0\d+)\s*(?=,|$)", re.ASCII)
"""What a fraction after a decimal comma, or the whole part before it, looks like where commas separate fields."""


class CommaError(ValueError):
    """A comma in a number may be a decimal comma or separate thousands; `index` is the number of the text."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(reason)
        self.index = index


def decimal_commas(texts: Iterable[str]) -> bool:
    """Whether numbers are written with decimal commas, in a file whose fields are not separated by commas.

    Args:
        texts: the numbers of the whole file, as they are written.

    Raises:
        CommaError: the meaning of the commas is ambiguous: `1,234` alone may be 1.234 or 1234.
    """
    first, certain, point = -1, False, False
    for index, text in enumerate(texts):
        if "," not in text:
            point = point or "." in text
            continue
        match = _COMMA.fullmatch(text)
        if match is None:
            raise CommaError(index, f"{text.strip()[:30]!r} is not a number")
        if first < 0:
            first = index
        # Thousands come in groups of exactly three digits, after one to three that do not begin with a zero.
        certain = certain or len(match[2]) != 3 or not 1 <= len(match[1]) <= 3 or match[1].startswith("0")
    if first < 0:
        return False
    if point:
        raise CommaError(first, "this number has a comma and others of the file have a decimal point")
    if not certain:
        raise CommaError(first, "the comma may be a decimal comma or separate thousands; write a decimal point")
    return True


def check_commas(place: str, text: str) -> None:
    """Refuses commas that separate numbers and may be decimal commas: `-0,05` would be read as the values 0 and 5.

    Args:
        place: file, line and case, for the message.
        text: the numbers of a channel, separated by commas.

    Raises:
        DataError: names a field that is probably part of a number.
    """
    if "." not in text and (match := _NO_WHOLE_NUMBER.search(text)):
        raise DataError(
            f"{place}: the field {match[1]!r} looks like a part of a number with a decimal comma; write decimal points"
        )


def read_numbers(
    place: str, text: str, channel: int | None = 1, missing: tuple[str, ...] = ("?", "NaN")
) -> NDArray[np.float64]:
    """The numbers of one channel; a missing value is NaN.

    Args:
        place: file, line and case, for messages.
        text: the numbers, separated by commas.
        channel: number of the channel for messages, from 1; None if there is but one.
        missing: spellings of a missing value.

    Raises:
        DataError: a value is not a number; names its time step.
    """
    if not any(letter in text for letter in 'ul"'):  # null, true, false and strings are JSON, but not numbers
        with suppress(ValueError, TypeError, OverflowError):  # for anything but a list of numbers
            values = np.array(from_json(f"[{text.replace('?', 'NaN')}]"), dtype=np.float64)
            if values.ndim == 1 and len(values):
                return values
    fields = enumerate(text.split(","), 1)
    return np.array([_read_number(place, channel, step, field, missing) for step, field in fields])


def _read_number(place: str, channel: int | None, step: int, text: str, missing: tuple[str, ...]) -> float:
    """Reads a number; Python also accepts `1_0` and the digits of other scripts, which other programs do not."""
    text = text.strip()
    if text in missing:
        return float("nan")
    with suppress(ValueError):
        if text.isascii() and "_" not in text:
            return float(text)
    where = "" if channel is None else f", channel {channel}"
    raise DataError(f"{place}{where}, time step {step}: {text[:30]!r} is not a number")
