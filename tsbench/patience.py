"""Waits for what passes by itself: a full disk that somebody clears, a server that comes back."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from tsbench.errors import TsbenchError

__all__ = ["lose_patience", "patience", "patiently"]

R = TypeVar("R")

_lost = False


def lose_patience() -> None:
    """From now on this process waits for nothing: somebody wants it to end."""
    global _lost
    _lost = True


def patience() -> float:
    """Seconds that such a thing is waited for: what TSBENCH_PATIENCE says, else 90.

    Raises:
        TsbenchError: it says something that is no number of seconds.
    """
    text = os.environ.get("TSBENCH_PATIENCE", "90")
    try:
        return float(text)
    except ValueError:
        raise TsbenchError(f"TSBENCH_PATIENCE is {text!r}; expected a number of seconds, such as 90") from None


def patiently(call: Callable[[], R], passes: Callable[[Exception], bool]) -> R:
    """Calls until it succeeds, fails for a reason that does not pass by itself, or `patience` is at its end.

    Args:
        call: what is to be done; where it fails, it must have done nothing.
        passes: whether an error is of the kind to be waited for.
    """
    for wait in _waits():
        try:
            return call()
        except Exception as error:
            if not passes(error):
                raise
        time.sleep(wait)
    return call()


def _waits() -> Iterator[float]:
    """Seconds to wait between attempts, doubling up to 10."""
    left, wait = patience(), 0.5
    while left > 0 and not _lost:
        yield min(wait, left)
        left -= wait
        wait = min(10.0, 2 * wait)
