"""Numbers in text: what NumPy reads at once, and what it does not, value by value."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from tsbench.errors import DataError

__all__ = ["MISSING", "read_numbers"]

MISSING = ("?", "NaN", "nan", "NA", "")
"""Spellings of a missing value in formats that do not say which they use."""


def read_numbers(
    place: str, text: str, channel: int | None = 1, missing: tuple[str, ...] = ("?", "NaN")
) -> NDArray[np.float64]:
    """The numbers of one channel; a missing value is NaN.

    Args:
        place: file, line and case, for messages.
        text: the numbers, parted by commas.
        channel: number of the channel for messages, from 1; None where there is but one.
        missing: spellings of a missing value.

    Raises:
        DataError: names the time step of what is no number.
    """
    with suppress(ValueError):  # of what is no number at all
        if text.isascii():
            values = np.fromstring(text.replace("?", "nan"), sep=",")
            if len(values) == text.count(",") + 1:
                return values
    texts = enumerate(text.split(","), 1)
    return np.array([_read_number(place, channel, step, one, missing) for step, one in texts])


def _read_number(place: str, channel: int | None, step: int, text: str, missing: tuple[str, ...]) -> float:
    """One of them; Python takes `1_0` and the digits of other scripts for numbers, nobody else does."""
    text = text.strip()
    if text in missing:
        return float("nan")
    with suppress(ValueError):
        if text.isascii() and "_" not in text:
            return float(text)
    where = "" if channel is None else f", channel {channel}"
    raise DataError(f"{place}{where}, time step {step}: {text[:30]!r} is not a number")
