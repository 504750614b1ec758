"""A separate process for code that may crash, hang or exhaust memory, so that its caller continues.

The process is kept for the next call, so that imports and numba's compilation happen once; it is replaced after a call
that timed out or crashed it. It exits when its caller has exited.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from tsbench.workers.local import describe_exit, start_process
from tsbench.workers.protocol import StoppedError, WorkerContext

__all__ = ["CrashedError", "FailedError", "IsolatedProcess", "OverranError"]

POLL_SECONDS = 0.1
"""Seconds between two checks whether to stop."""


class FailedError(Exception):
    """The function raised; holds its error as a sentence, and the traceback in `details`."""

    def __init__(self, sentence: str, details: str) -> None:
        super().__init__(sentence)
        self.details = details


class CrashedError(Exception):
    """The process ended before the function returned."""


class OverranError(Exception):
    """The function exceeded its timeout, and was ended."""


class IsolatedProcess:
    """A worker that runs one task at a time for its caller; its process is started at the first call."""

    def __init__(self) -> None:
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None

    def call(
        self,
        function: str,
        arguments: tuple[Any, ...],
        timeout: float | None = None,
        report: Callable[[Any], None] = lambda progress: None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> Any:
        """Calls `function(context, *arguments)` in the process and returns its result.

        Args:
            function: as `module:name`; its first argument is the `WorkerContext`.
            arguments: picklable, as is the result.
            timeout: in seconds, not counting the start of the process.
            report: called in this process with the function's progress; the last report is repeated regularly.
            stopping: called regularly; True ends the process.

        Raises:
            FailedError: it raised.
            CrashedError: its process ended.
            OverranError: it took longer than the timeout.
            StoppedError: `stopping` was True.
        """
        try:
            if self._process is None or not self._process.is_alive():
                self._start(report, stopping)
            return self._run(function, arguments, timeout, report, stopping)
        except FailedError:  # the process waits for its next task
            raise
        except BaseException:  # of `report`, say: the next call would take this one's result for its own
            self.end()
            raise

    def _start(self, report: Callable[[Any], None], stopping: Callable[[], bool]) -> None:
        self.end()
        # Not forked from the workers' server, so that a baseline starts without that server's imports.
        self._process, self._connection = start_process("tsbench-isolated", "cpu", forked=False)
        atexit.register(self.end)  # before multiprocessing waits for it
        self._run(f"{__name__}:end_with_caller", (), None, report, stopping)

    def _run(
        self,
        function: str,
        arguments: tuple[Any, ...],
        timeout: float | None,
        report: Callable[[Any], None],
        stopping: Callable[[], bool],
    ) -> Any:
        assert self._process is not None
        assert self._connection is not None
        with suppress(OSError):  # its end is detected below
            self._connection.send(("task", function, arguments))
        latest: Any = None
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            wait([self._connection, self._process.sentinel], POLL_SECONDS)
            alive = self._process.is_alive()  # checked first, so that messages sent before its end are received
            if self._connection.poll():
                try:
                    kind, payload, details = self._connection.recv()
                except (EOFError, OSError):
                    raise CrashedError(self._how_it_ended()) from None
                if kind == "error":
                    raise FailedError(payload, details)
                if kind == "result":
                    return payload
                latest = payload
            elif not alive:
                raise CrashedError(self._how_it_ended())
            report(latest)
            if stopping():
                self.end()
                raise StoppedError
            if deadline is not None and time.monotonic() > deadline:
                self.end()
                raise OverranError

    def end(self) -> None:
        """Ends the process, whatever it is doing."""
        if self._process is not None and self._connection is not None:
            self._process.kill()
            self._process.join()
            self._connection.close()
            self._process = self._connection = None
            atexit.unregister(self.end)

    def _how_it_ended(self) -> str:
        assert self._process is not None
        how = f"its process {describe_exit(self._process)}"
        self.end()
        return how


# In the process itself


def end_with_caller(context: WorkerContext) -> None:
    """The first task: redirects standard output to standard error, and ends the process with its caller."""
    os.dup2(2, 1)
    threading.Thread(target=_end_with_caller, daemon=True).start()


def _end_with_caller() -> None:
    caller = multiprocessing.parent_process()
    assert caller is not None
    caller.join()
    os._exit(1)
