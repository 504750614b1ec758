"""Retries what may succeed later: a full disk may be cleared, a server may come back."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from tsbench.errors import TsbenchError

__all__ = ["retry", "retry_timeout", "stop_retrying"]

R = TypeVar("R")

_stopped = False


def stop_retrying() -> None:
    """Makes every later `retry` of this process try once only, because the process is to end."""
    global _stopped
    _stopped = True


def retry_timeout() -> float:
    """Seconds for which a failed call is retried: TSBENCH_RETRY_TIMEOUT, 90 by default.

    Raises:
        TsbenchError: the variable is not a number of seconds.
    """
    text = os.environ.get("TSBENCH_RETRY_TIMEOUT", "90")
    try:
        return float(text)
    except ValueError:
        raise TsbenchError(f"TSBENCH_RETRY_TIMEOUT is {text!r}; expected a number of seconds, such as 90") from None


def retry(call: Callable[[], R], is_transient: Callable[[Exception], bool]) -> R:
    """Calls until it succeeds, fails for another reason, or `retry_timeout` has passed.

    Args:
        call: must have changed nothing if it fails.
        is_transient: whether an error may go away without a change to the call.
    """
    for wait in _waits():
        try:
            return call()
        except Exception as error:
            if not is_transient(error):
                raise
        time.sleep(wait)
    return call()


def _waits() -> Iterator[float]:
    """Seconds to wait between attempts, doubling up to 10."""
    left, wait = retry_timeout(), 0.5
    while left > 0 and not _stopped:
        yield min(wait, left)
        left -= wait
        wait = min(10.0, 2 * wait)
