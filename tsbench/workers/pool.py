"""The supervisor's side of its workers: gives each one task at a time, and tracks it.

So the death of a worker loses no more than its task. Some workers are child processes, others have joined.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from tsbench.errors import SearchError
from tsbench.retries import stop_retrying
from tsbench.workers.inbox import Inbox
from tsbench.workers.local import begin_imports, describe_exit, start_process
from tsbench.workers.protocol import END, STOP, Channel, Message, Task

__all__ = ["Joined", "News", "WorkerPool"]

MAX_EARLY_DEATHS = 10
INTERRUPTED = "the search was interrupted"


@dataclass(frozen=True)
class Joined:
    """A worker that is not a child process has joined: its channel, device and machine."""

    channel: Channel
    device: str
    host: str


@dataclass(frozen=True)
class News:
    """The channel of a joined worker has a message."""

    channel: Channel


@dataclass
class _Worker:
    """The supervisor's view of a worker; a worker with a host has joined, others are child processes."""

    device: str
    host: str = ""
    process: BaseProcess | None = None
    channel: Channel | None = None
    task: Task | None = None
    stopped: bool = False  # whether it was asked to end this task
    early_deaths: int = 0  # processes that ended before they sent anything


class WorkerPool:
    """Workers that run tasks; a child process is started with its first task, or by `start`.

    Args:
        devices: a torch device for each child process, such as `["cpu", "cpu"]`.
        preload: modules that a process imports before it waits for its first task.
        inbox: receives workers that join, and news of workers whose channel is not a connection.
    """

    def __init__(
        self, devices: Sequence[str], preload: Sequence[str] = (), inbox: Inbox[Joined | News] | None = None
    ) -> None:
        self.preload = tuple(preload)
        self._inbox = inbox or Inbox()
        self._workers = {number: _Worker(device) for number, device in enumerate(devices)}
        self._next = len(devices)
        self._stopping = False
        self._at_once = False

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self._workers.values():
            self._say(worker, (END, INTERRUPTED))
        try:
            self._wait_for_processes()
        except KeyboardInterrupt:
            stop_retrying()
            self.end_at_once()
            self._wait_for_processes()
            raise
        finally:
            for worker in self._workers.values():
                if worker.channel is not None:
                    worker.channel.close()

    def _wait_for_processes(self) -> None:
        deadline = time.monotonic() + 10
        for process in [worker.process for worker in self._workers.values() if worker.process is not None]:
            if self._at_once:
                process.kill()
            _end(process, deadline)

    def start(self) -> None:
        """Starts the processes' imports, which run while the supervisor prepares."""
        if begin_imports(self.preload):
            return
        for number, worker in self._workers.items():
            if worker.channel is None:
                self._start(number)

    def idle(self) -> Iterator[int]:
        """Numbers of the idle workers."""
        return (number for number, worker in self._workers.items() if worker.task is None)

    @property
    def size(self) -> int:
        """Number of workers now."""
        return len(self._workers)

    @property
    def busy(self) -> list[Task]:
        """The running tasks."""
        return [worker.task for worker in self._workers.values() if worker.task is not None]

    def submit(self, number: int, task: Task) -> None:
        """Gives an idle worker a task; if it has just died, `wait` will report it."""
        worker = self._workers[number]
        assert worker.task is None
        if worker.channel is None:
            self._start(number)
        worker.task, worker.stopped = task, False
        self._say(worker, ("task", task.function, task.arguments))

    @staticmethod
    def _say(worker: _Worker, request: Any) -> None:
        if worker.channel is not None:
            with suppress(OSError):  # `wait` finds that it has ended and reports its task as lost
                worker.channel.send(request)

    def stop(self) -> None:
        """Asks every worker to end its task soon, as the search is interrupted."""
        self._stopping = True
        for worker in self._workers.values():
            if worker.task is not None:
                self._say(worker, (STOP, INTERRUPTED))

    def end_at_once(self) -> None:
        """Leaving the pool will not wait for running tasks."""
        self._at_once = True

    def stop_where(self, reason: Callable[[Task], str]) -> None:
        """Asks workers to end their task if there is a reason to; they continue with other tasks."""
        for worker in self._workers.values():
            if worker.task is not None and not worker.stopped and (why := reason(worker.task)):
                worker.stopped = True
                self._say(worker, (STOP, why))

    def wait(self, seconds: float) -> list[Message]:
        """News of the workers, after at most the given time; a child process that died is replaced.

        Raises:
            SearchError: child processes repeatedly die before they do anything.
        """
        sources: dict[Any, int] = {}
        for number, worker in self._workers.items():
            if isinstance(worker.channel, Connection):
                sources[worker.channel] = number
            if worker.process is not None:
                sources[worker.process.sentinel] = number
        waited_for: list[Any] = [*sources, self._inbox]
        ready = wait(waited_for, seconds)
        messages = [
            message
            for number in sorted({sources[source] for source in ready if source in sources})
            for message in self._news(number)
        ]
        for event in self._inbox.take():
            if isinstance(event, Joined):
                messages.append(self._add(event))
            else:
                messages += [message for number in self._numbers_of(event.channel) for message in self._news(number)]
        return messages

    def _add(self, joined: Joined) -> Message:
        number, self._next = self._next, self._next + 1
        self._workers[number] = _Worker(joined.device, joined.host, channel=joined.channel)
        return Message(number, "joined", joined, None)

    def _numbers_of(self, channel: Channel) -> list[int]:
        return [number for number, worker in self._workers.items() if worker.channel is channel]

    def _news(self, number: int) -> Iterator[Message]:
        worker = self._workers[number]
        assert worker.channel is not None
        gone = False
        try:
            while worker.channel.poll():
                kind, payload, details = worker.channel.recv()
                worker.early_deaths = 0
                task = worker.task
                if kind != "progress":
                    worker.task = None
                yield Message(number, kind, payload, task, details)
        except (EOFError, OSError):
            gone = True
        if worker.process is not None and not worker.process.is_alive():
            yield self._replace(number, worker.process)
        elif gone and worker.host:
            worker.channel.close()
            del self._workers[number]
            yield Message(number, "died", f"worker {number + 1} on {worker.host} is gone", worker.task)

    def _replace(self, number: int, process: BaseProcess) -> Message:
        worker = self._workers[number]
        sentence = f"worker {number + 1} {describe_exit(process)}"
        task, worker.task = worker.task, None
        worker.early_deaths += 1
        if worker.early_deaths > MAX_EARLY_DEATHS:
            raise SearchError(f"{sentence} before it did anything, like {MAX_EARLY_DEATHS} before it; see its output")
        assert worker.channel is not None
        worker.channel.close()
        worker.process = worker.channel = None
        if not self._stopping:
            self._start(number)
        return Message(number, "died", sentence, task)

    def _start(self, number: int) -> None:
        worker = self._workers[number]
        worker.process, worker.channel = start_process(f"tsbench-worker-{number + 1}", worker.device, self.preload)


def _end(process: BaseProcess, deadline: float) -> None:
    process.join(max(0.0, deadline - time.monotonic()))
    if process.is_alive():
        process.kill()  # workers ignore SIGTERM
        process.join(5)
