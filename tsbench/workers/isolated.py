"""A process apart for code that may crash, hang or take all memory: it is ended, and its caller goes on.

The process is kept for the next call, so that imports and what numba compiled are paid for once; it is replaced after
a call that overran or brought it down. It ends itself when its caller is gone.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any

from tsbench.signals import blocked_signals, ignore_until_told
from tsbench.workers.local import ONE_THREAD, own_modules

__all__ = ["CrashedError", "FailedError", "IsolatedProcess", "OverranError", "StoppedError"]

LOOK = 0.1  # seconds between two looks at whether to stop


class FailedError(Exception):
    """The function raised; holds its error as a sentence, and the traceback in `details`."""

    def __init__(self, sentence: str, details: str) -> None:
        super().__init__(sentence)
        self.details = details


class CrashedError(Exception):
    """The process ended before the function returned."""


class OverranError(Exception):
    """The function took longer than it may, and was ended."""


class StoppedError(Exception):
    """The caller wanted it ended."""


class IsolatedProcess:
    """Calls functions in a process apart, which is started at the first call."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._answers: queue.Queue[tuple[str, Any, str] | None] = queue.Queue()

    def call(
        self,
        function: str,
        arguments: tuple[Any, ...],
        timeout: float | None = None,
        report: Callable[[Any], None] = lambda progress: None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> Any:
        """Calls `function(report, *arguments)` there and returns what it returns.

        Args:
            function: as `module:name`.
            arguments: picklable, as is the result.
            timeout: seconds that it may take, the start of the process left out.
            report: called here with what the function reports there, and with the last of it every now and then.
            stopping: asked every now and then; True ends it.

        Raises:
            FailedError: it raised.
            CrashedError: its process ended.
            OverranError: it took longer than the timeout.
            StoppedError: `stopping` was True.
        """
        process = self._started()
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # the answer's end tells
            pickle.dump((function, arguments), process.stdin)
            process.stdin.flush()
        latest: Any = None
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            try:
                answer = self._answers.get(timeout=LOOK)
            except queue.Empty:
                report(latest)
                if stopping():
                    self.end()
                    raise StoppedError from None
                if deadline is not None and time.monotonic() > deadline:
                    self.end()
                    raise OverranError from None
                continue
            if answer is None:
                raise CrashedError(self._how_it_ended())
            kind, value, details = answer
            match kind:
                case "progress":
                    latest = value
                    report(value)
                case "error":
                    raise FailedError(value, details)
                case _:
                    return value

    def end(self) -> None:
        """Ends the process, whatever it is at."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for stream in (self._process.stdin, self._process.stdout):
                assert stream is not None
                with suppress(OSError):
                    stream.close()
            self._process = None

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.end()
            self._answers = queue.Queue()
            command = [sys.executable, "-m", "tsbench.workers.isolated"]
            environment = {**os.environ, **own_modules(), **ONE_THREAD}
            with blocked_signals():
                self._process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
                )
            threading.Thread(target=_listen, args=(self._process, self._answers), daemon=True).start()
            answer = self._answers.get()  # it says that it is there
            if answer is None:
                raise CrashedError(self._how_it_ended())
        return self._process

    def _how_it_ended(self) -> str:
        assert self._process is not None
        code = self._process.wait()
        self.end()
        if code < 0:
            hint = "; the machine may be out of memory" if -code == signal.SIGKILL else ""
            return f"its process was ended by {signal.Signals(-code).name}{hint}"
        return f"its process ended with exit code {code}"


def _listen(process: subprocess.Popen[bytes], answers: queue.Queue[tuple[str, Any, str] | None]) -> None:
    """Hands on what the process writes; None is its end."""
    assert process.stdout is not None
    try:
        while True:
            answers.put(pickle.load(process.stdout))
    except (EOFError, OSError, ValueError, pickle.UnpicklingError):
        answers.put(None)


# The process's own side


def _main() -> None:
    """Call after call; what is printed meanwhile goes to standard error."""
    ignore_until_told()  # by the caller, which ends it
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    calls: queue.Queue[tuple[str, tuple[Any, ...]]] = queue.Queue()
    threading.Thread(target=_take, args=(calls,), daemon=True).start()

    def answer(kind: str, value: Any, details: str = "") -> None:
        try:
            pickle.dump((kind, value, details), answers)
            answers.flush()
        except BrokenPipeError:
            os._exit(1)

    answer("ready", None)
    while True:
        function, arguments = calls.get()
        module, _, name = function.partition(":")
        try:
            result = getattr(import_module(module), name)(lambda progress: answer("progress", progress), *arguments)
        except Exception as error:
            answer("error", f"{type(error).__name__}: {error}", traceback.format_exc())
        else:
            answer("result", result)


def _take(calls: queue.Queue[tuple[str, tuple[Any, ...]]]) -> None:
    """Reads calls; where the caller is gone, ends the process at once, whatever it is at."""
    try:
        while True:
            calls.put(pickle.load(sys.stdin.buffer))
    except EOFError:
        os._exit(0)


if __name__ == "__main__":
    _main()
