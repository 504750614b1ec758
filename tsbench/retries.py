"""Retries calls that may succeed later: a full disk may be cleared, a server may come back."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

from tsbench.errors import TsbenchError

__all__ = ["is_retrying", "retry", "retry_timeout", "stop_retrying"]

R = TypeVar("R")

_stopped = False


def stop_retrying() -> None:
    """Makes every later `retry` of this process try only once, because the process is about to exit."""
    global _stopped
    _stopped = True


def is_retrying() -> bool:
    """False after `stop_retrying`."""
    return not _stopped


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
    """Calls until it succeeds, fails for another reason, or `retry_timeout` has passed; a call's own time counts.

    Args:
        call: must change nothing if it fails.
        is_transient: whether an error may go away without a change to the call.
    """
    deadline, wait = time.monotonic() + retry_timeout(), 0.5
    while True:
        try:
            return call()
        except Exception as error:
            left = deadline - time.monotonic()
            if left <= 0 or _stopped or not is_transient(error):
                raise
        time.sleep(min(wait, left))
        wait = min(10.0, 2 * wait)
