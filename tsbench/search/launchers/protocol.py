"""What a supervisor and its workers say to each other, and a worker's life: task after task, until it is told to end.

The same code runs in a child process, in a second terminal, in a Ray actor and in a Slurm job; all that it needs is a
connection to the supervisor.
"""

from __future__ import annotations

import signal
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tsbench.errors import TsbenchError
from tsbench.signals import ENDING

__all__ = ["END", "STOP", "Message", "SharedFolder", "Task", "WorkerContext", "carry_out_tasks"]

REPORT_EVERY = 0.2
"""Seconds between two progress reports of a worker, at least."""

STOP, END = "stop", "end"
"""The supervisor's words besides tasks and folders, each with a reason: end this task soon; end it, and yourself."""


@dataclass(frozen=True)
class SharedFolder:
    """A folder of files that a task reads.

    Attributes:
        path: where it lies for the process that reads this.
        files: names of what is sent, once, to a worker that has joined; none where it reads the folder itself.
    """

    path: Path
    files: tuple[str, ...]

    def contents(self) -> dict[str, bytes]:
        """The files, to be sent."""
        return {name: (self.path / name).read_bytes() for name in self.files}


@dataclass(frozen=True)
class Task:
    """Something to be done by a worker: `function(context, *arguments)`.

    Attributes:
        function: as `module:name`, which the worker alone imports; its first argument is the `WorkerContext`.
        arguments: sent to the worker, so they must be picklable; a `SharedFolder` among them is at hand there.
        key: for the supervisor to know the task by; stays in its process.
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
        task: what it is or was at.
        details: for `error` the traceback, where the error is not one for a user to mend.
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
        dismissed: whether this worker is needed no more, or leaves.
        why: the reason to end a task, where there is one.
        busy: whether it is at a task.
    """

    def __init__(self, device: str, connection: Connection) -> None:
        self.device = device
        self.abandoned = False
        self.dismissed = False
        self.busy = False
        self.why = ""
        self._connection = connection
        self._stopping = False
        self._last_report = 0.0
        self._last_words: dict[Any, Callable[[], None]] = {}

    @property
    def stopping(self) -> bool:
        """Whether the task is to be ended: the supervisor wants it, or is gone."""
        if not self._stopping:
            try:
                while self._connection.poll():
                    self.hear(self._connection.recv())
            except (EOFError, OSError):
                self.abandon()
        return self._stopping

    def begin(self) -> None:
        """Begins a task; a word to stop was for the one before."""
        self._stopping = False
        self.busy = True

    def hear(self, word: tuple[str, str]) -> None:
        """Takes a word that is no task, with its reason; the first one counts."""
        kind, why = word
        self.why = self.why if self._stopping else why
        self._stopping = True
        self.dismissed = self.dismissed or kind == END

    def leave(self) -> None:
        """Ends the task soon, and the worker with it; at once where there is no task.

        Raises:
            KeyboardInterrupt: there is none.
        """
        if not self.busy:
            raise KeyboardInterrupt
        self.hear((END, "its worker left the search"))

    def abandon(self) -> None:
        """Notes that nobody waits for results any more."""
        self.why = "the search's own process ended"
        self.abandoned = self._stopping = True

    def report(self, progress: Any) -> None:
        """Sends progress, not more often than the supervisor can show it."""
        now = time.monotonic()
        if now - self._last_report >= REPORT_EVERY:
            self._last_report = now
            self.send("progress", progress)

    def send(self, kind: str, payload: Any, details: str = "") -> None:
        """Sends a message to the supervisor, if it is still there."""
        try:
            self._connection.send((kind, payload, details))
        except OSError:
            self.abandon()

    def if_abandoned(self, key: Any, last_words: Callable[[], None]) -> None:
        """What is to be done, once for each key, should the supervisor be gone when this worker ends."""
        self._last_words[key] = last_words

    def say_last_words(self) -> None:
        """Does what `if_abandoned` was told."""
        for last_words in self._last_words.values():
            with suppress(TsbenchError):  # nobody is left who could be told
                last_words()


def carry_out_tasks(
    connection: Connection, device: str, preload: Sequence[str] = (), may_leave: bool = False
) -> WorkerContext:
    """Does what the supervisor says until it says END or is gone.

    Args:
        connection: to the supervisor.
        device: torch device that tasks run on.
        preload: modules to be imported before the first task.
        may_leave: Ctrl-C, SIGTERM and SIGHUP end the task and this worker. Otherwise Ctrl-C is for the supervisor to
            hear, which decides and tells its workers.
    """
    if threading.current_thread() is threading.main_thread() and not may_leave:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    import torch

    torch.set_num_threads(1)
    for module in preload:
        import_module(module)
    context = WorkerContext(device, connection)
    if may_leave:
        for number in ENDING:
            if number == signal.SIGINT or signal.getsignal(number) is not signal.SIG_IGN:  # as SIGHUP is under nohup
                signal.signal(number, lambda *_: context.leave())
    with ExitStack() as scratch:
        folders: dict[Path, SharedFolder] = {}
        while not (context.abandoned or context.dismissed):
            try:
                word = connection.recv()
            except (EOFError, OSError):
                context.abandon()
                break
            if word[0] in (STOP, END):
                context.hear(word)
            elif word[0] == "folder":
                # Readable by its owner alone: a study's description may hold a password.
                folder = scratch.enter_context(tempfile.TemporaryDirectory(prefix="tsbench-worker-"))
                folders[word[1]] = _put_down(Path(folder), word[2])
            else:
                context.begin()
                _carry_out(context, word[1], [_at_hand(one, folders) for one in word[2]])
                context.busy = False
    if context.abandoned:
        context.say_last_words()
    return context


def _put_down(folder: Path, contents: dict[str, bytes]) -> SharedFolder:
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return SharedFolder(folder, tuple(contents))


def _at_hand(argument: Any, folders: dict[Path, SharedFolder]) -> Any:
    return folders.get(argument.path, argument) if isinstance(argument, SharedFolder) else argument


def _carry_out(context: WorkerContext, function: str, arguments: Sequence[Any]) -> None:
    module, _, name = function.partition(":")
    try:
        result = getattr(import_module(module), name)(context, *arguments)
    except TsbenchError as error:
        context.send("error", str(error))
    except Exception as error:
        context.send("error", f"{type(error).__name__}: {error}", traceback.format_exc())
    else:
        context.send("result", result)
