"""The messages between a supervisor and its workers, and how a worker runs one task after another.

A worker in a child process or in a second terminal reads its tasks from a connection; to a Ray actor they are calls.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

from tsbench.errors import TsbenchError
from tsbench.signals import ENDING

__all__ = [
    "END",
    "STOP",
    "Channel",
    "Message",
    "SharedFolder",
    "StoppedError",
    "Task",
    "WorkerContext",
    "run_task",
    "run_tasks",
]

REPORT_EVERY = 0.2
"""Minimum seconds between two progress reports of a worker."""

STOP, END = "stop", "end"
"""The supervisor's requests besides tasks, each with a reason: end this task soon; end it, and the worker too."""


class StoppedError(Exception):
    """A task was asked to end: it is no longer needed, its time is spent, or the search was interrupted."""


class Channel(Protocol):
    """One end of the channel between a supervisor and a worker, such as a `multiprocessing` connection."""

    def send(self, obj: Any, /) -> None:
        """Sends an object; raises OSError if the receiver is gone."""

    def poll(self) -> bool:
        """Whether `recv` would return or raise immediately."""

    def recv(self) -> Any:
        """The next object; raises EOFError or OSError if there will be none."""

    def close(self) -> None:
        """Closes the channel."""


@dataclass(frozen=True)
class SharedFolder:
    """A folder of files that a task reads.

    Attributes:
        path: its path on the machine of the process that reads this.
        files: names of the files that a worker on another machine needs.
        written: whether the task writes to it too, so that no copy will do: its worker must be on this machine.
    """

    path: Path
    files: tuple[str, ...]
    written: bool = False

    def contents(self) -> dict[str, bytes]:
        """The files, by their names."""
        return {name: (self.path / name).read_bytes() for name in self.files}


@dataclass(frozen=True)
class Task:
    """A call for a worker: `function(context, *arguments)`.

    Attributes:
        function: as `module:name`, which only the worker imports; its first argument is the `WorkerContext`.
        arguments: sent to the worker, so they must be picklable; a `SharedFolder` among them can be read there.
        key: identifies the task in the supervisor's process.
    """

    function: str
    arguments: tuple[Any, ...]
    key: Any


@dataclass(frozen=True)
class Message:
    """News of a worker.

    Attributes:
        worker: its number.
        kind: `progress`, `result`, `error` (the task raised), `died` (the process ended) or `joined`.
        payload: what was reported or returned; for `error` and `died` a sentence.
        task: the running or ended task.
        details: for `error` the traceback, if the error is not one that a user can fix.
    """

    worker: int
    kind: str
    payload: Any
    task: Task | None
    details: str = ""


class WorkerContext:
    """A worker's side: its device, a way to report, and whether to stop.

    Attributes:
        device: a torch device.
        abandoned: whether the supervisor was found to be gone.
        dismissed: whether this worker is no longer needed, or leaves.
        why: the reason to end a task, if there is one.
        busy: whether it runs a task.
    """

    def __init__(self, device: str, channel: Channel) -> None:
        self.device = device
        self.abandoned = False
        self.dismissed = False
        self.busy = False
        self.why = ""
        self._channel = channel
        self._stopping = False
        self._last_report = 0.0
        self._cleanups: dict[Any, Callable[[], None]] = {}

    @property
    def stopping(self) -> bool:
        """Whether the task should end: on request, or because the supervisor is gone."""
        if not self._stopping:
            try:
                while self._channel.poll():
                    self.hear(self._channel.recv())
            except (EOFError, OSError):
                self.abandon()
        return self._stopping

    def stop_reason(self) -> str | None:
        """Why the task should end; None if it should not."""
        return self.why if self.stopping else None

    def begin(self) -> None:
        """Starts a task; earlier requests to stop were for the task before."""
        self._stopping = False
        self.busy = True

    def hear(self, request: tuple[str, str]) -> None:
        """Handles a request to stop or end, with its reason; the first request counts."""
        kind, why = request
        self.why = self.why if self._stopping else why
        self._stopping = True
        self.dismissed = self.dismissed or kind == END

    def leave(self) -> None:
        """Ends the task soon, and the worker with it; immediately if there is no task.

        Raises:
            KeyboardInterrupt: there is none.
        """
        if not self.busy:
            raise KeyboardInterrupt
        self.hear((END, "its worker left the search"))

    def abandon(self) -> None:
        """Records that the supervisor is gone."""
        self.why = "the search process has exited"
        self.abandoned = self._stopping = True

    def report(self, progress: Any) -> None:
        """Sends progress, at a limited rate."""
        now = time.monotonic()
        if now - self._last_report >= REPORT_EVERY:
            self._last_report = now
            self.send("progress", progress)

    def send(self, kind: str, payload: Any, details: str = "") -> None:
        """Sends a message to the supervisor, if it still exists."""
        try:
            self._channel.send((kind, payload, details))
        except OSError:
            self.abandon()

    def on_orphaned(self, key: Any, cleanup: Callable[[], None]) -> None:
        """Registers a cleanup, once per key, that runs if the supervisor is gone when this worker ends."""
        self._cleanups[key] = cleanup

    def run_cleanup(self) -> None:
        """Runs the cleanups of `on_orphaned`."""
        for cleanup in self._cleanups.values():
            with suppress(TsbenchError):  # nobody is left to report it to
                cleanup()


def run_tasks(
    connection: Connection, device: str, preload: Sequence[str] = (), may_leave: bool = False
) -> WorkerContext:
    """Runs the supervisor's tasks until it sends END or is gone.

    Args:
        connection: to the supervisor.
        device: torch device that tasks run on.
        preload: modules to be imported before the first task.
        may_leave: Ctrl-C, SIGTERM and SIGHUP end the task and this worker. Otherwise Ctrl-C is left to the
            supervisor, which stops its workers.
    """
    if threading.current_thread() is threading.main_thread() and not may_leave:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    for module in preload:
        import_module(module)
    if (torch := sys.modules.get("torch")) is not None:  # a child process also has it from its environment
        torch.set_num_threads(1)
    context = WorkerContext(device, connection)
    if may_leave:
        for number in ENDING:
            if number == signal.SIGINT or signal.getsignal(number) is not signal.SIG_IGN:  # as SIGHUP is under nohup
                signal.signal(number, lambda *_: context.leave())
    while not (context.abandoned or context.dismissed):
        try:
            request = connection.recv()
        except (EOFError, OSError):
            context.abandon()
            break
        if request[0] in (STOP, END):
            context.hear(request)
        else:
            context.begin()
            context.send(*run_task(context, *request[1:]))
            context.busy = False
    if context.abandoned:
        context.run_cleanup()
    return context


def run_task(context: WorkerContext, function: str, arguments: Sequence[Any]) -> tuple[str, Any, str]:
    """Calls `function(context, *arguments)`.

    Returns:
        Kind, payload and details of the message that reports its end; see `Message`.
    """
    module, _, name = function.partition(":")
    try:
        return "result", getattr(import_module(module), name)(context, *arguments), ""
    except TsbenchError as error:
        return "error", str(error), ""
    except Exception as error:
        return "error", f"{type(error).__name__}: {error}", traceback.format_exc()
