"""Limits on what a file may expand to, so that a small file cannot exhaust memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tsbench.errors import DataError

__all__ = ["FREE", "MAX_RATIO", "check_expansion", "check_padding", "gigabytes"]

FREE = 2**28
"""Bytes that anything may take: 256 MiB."""

MAX_RATIO = 100
"""How many times its compressed size a larger file may hold; measured series compress to a half or a tenth."""

MAX_PADDING = 8
"""How many times its own size a larger collection may take once all cases are padded to the longest."""


def check_expansion(place: str, packed: int, expanded: int) -> None:
    """Refuses a compressed file that expands far beyond its size.

    Raises:
        DataError: with both sizes.
    """
    if expanded > FREE and expanded > MAX_RATIO * packed:
        raise DataError(
            f"{place}: expands from {gigabytes(packed)} to {gigabytes(expanded)} or more, over {MAX_RATIO} times its "
            "size, which is not read; if the data are right, save them uncompressed"
        )


def check_padding(place: str, lengths: NDArray[np.int64] | Sequence[int], channels: int) -> None:
    """Refuses cases that take far more memory once all are as long as the longest.

    Args:
        place: of the cases, for the message.
        lengths: shape (cases,), in time steps.
        channels: of a case.

    Raises:
        DataError: with the longest case and the memory that padding would take.
    """
    steps = np.asarray(lengths, dtype=np.int64)
    if not len(steps):
        return
    longest = int(steps.max())
    own, padded = (8 * channels * size for size in (int(steps.sum()), len(steps) * longest))
    if padded > FREE and padded > MAX_PADDING * own:
        case = int(np.argmax(steps))
        raise DataError(
            f"{place}: case {case + 1} has {longest} time steps, half of the cases at most {int(np.median(steps))}; "
            f"to pad all {len(steps)} cases to it would take {gigabytes(padded)}. Cut or resample that case, or leave "
            "it out"
        )


def gigabytes(size: int) -> str:
    """A number of bytes in a readable unit: `3.8 GB`, `12 MB`."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{max(1, round(size / 1e6))} MB"
