"""The supervisor's side of its workers: hands each one task at a time, and knows what each is at.

So the death of one loses no more than its task. Some workers are child processes, others have joined from elsewhere.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from tsbench.errors import SearchError
from tsbench.patience import lose_patience
from tsbench.search.launchers.joining import Arrival, Door
from tsbench.search.launchers.local import begin_imports, start_process
from tsbench.search.launchers.protocol import END, STOP, Message, SharedFolder, Task

__all__ = ["WorkerPool"]

MOST_EARLY_DEATHS = 10
INTERRUPTED = "the search was interrupted"


@dataclass
class _Worker:
    """A worker as its supervisor sees it; one without a process has joined from elsewhere."""

    device: str
    host: str = ""
    process: BaseProcess | None = None
    connection: Connection | None = None
    task: Task | None = None
    stopped: bool = False  # whether it was told to end this task
    sent: set[Path] = field(default_factory=set)  # folders that it has
    early_deaths: int = 0  # of processes that ended before any word

    @property
    def joined(self) -> bool:
        """Whether it came from elsewhere."""
        return bool(self.host)


class WorkerPool:
    """Workers that carry out tasks; a child process is started when it is given its first, or by `start`.

    Args:
        devices: a torch device for each child process, such as `["cpu", "cpu"]`.
        preload: modules that a process imports before it waits for its first task.
        door: where further workers come in.
    """

    def __init__(self, devices: Sequence[str], preload: Sequence[str] = (), door: Door | None = None) -> None:
        self.preload = tuple(preload)
        self.door = door
        self._workers = {number: _Worker(device) for number, device in enumerate(devices)}
        self._next = len(devices)
        self._stopping = False
        self._at_once = False

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *error: object) -> None:
        if self.door is not None:
            self.door.close()
        for worker in self._workers.values():
            self._say(worker, (END, INTERRUPTED))
        try:
            self._wait_for_processes()
        except KeyboardInterrupt:
            lose_patience()
            self.end_at_once()
            self._wait_for_processes()
            raise
        finally:
            for worker in self._workers.values():
                if worker.connection is not None:
                    worker.connection.close()

    def _wait_for_processes(self) -> None:
        deadline = time.monotonic() + 10
        for process in [worker.process for worker in self._workers.values() if worker.process is not None]:
            if self._at_once:
                process.kill()
            _end(process, deadline)

    def start(self) -> None:
        """Begins what processes need to import, so that it runs while the supervisor prepares."""
        if begin_imports(self.preload):
            return
        for number, worker in self._workers.items():
            if worker.connection is None:
                self._start(number)

    def idle(self) -> Iterator[int]:
        """Numbers of the workers that have nothing to do."""
        return (number for number, worker in self._workers.items() if worker.task is None)

    @property
    def size(self) -> int:
        """Number of workers now."""
        return len(self._workers)

    @property
    def busy(self) -> list[Task]:
        """The tasks under way."""
        return [worker.task for worker in self._workers.values() if worker.task is not None]

    def submit(self, number: int, task: Task) -> None:
        """Gives an idle worker a task; where it has just died, `wait` will say so."""
        worker = self._workers[number]
        assert worker.task is None
        if worker.connection is None:
            self._start(number)
        worker.task, worker.stopped = task, False
        if worker.joined:
            self._send_folders(worker, task)
        self._say(worker, ("task", task.function, task.arguments))

    def _send_folders(self, worker: _Worker, task: Task) -> None:
        for argument in task.arguments:
            if isinstance(argument, SharedFolder) and argument.files and argument.path not in worker.sent:
                self._say(worker, ("folder", argument.path, argument.contents()))
                worker.sent.add(argument.path)

    @staticmethod
    def _say(worker: _Worker, word: Any) -> None:
        if worker.connection is not None:
            with suppress(OSError):  # `wait` finds that it has ended and reports its task as lost
                worker.connection.send(word)

    def stop(self) -> None:
        """Asks every worker to end its task soon, as the search is interrupted."""
        self._stopping = True
        for worker in self._workers.values():
            if worker.task is not None:
                self._say(worker, (STOP, INTERRUPTED))

    def end_at_once(self) -> None:
        """Leaving the pool does not wait for what its processes are at."""
        self._at_once = True

    def stop_where(self, reason: Callable[[Task], str]) -> None:
        """Asks the workers whose task there is a reason to end to do it soon; they go on with others."""
        for worker in self._workers.values():
            if worker.task is not None and not worker.stopped and (why := reason(worker.task)):
                worker.stopped = True
                self._say(worker, (STOP, why))

    def wait(self, seconds: float) -> list[Message]:
        """News of the workers, after at most the given time; a child process that died is replaced.

        Raises:
            SearchError: child processes die again and again before they do anything.
        """
        sources: dict[Any, int] = {}
        for number, worker in self._workers.items():
            if worker.connection is not None:
                sources[worker.connection] = number
            if worker.process is not None:
                sources[worker.process.sentinel] = number
        bell = [self.door.bell] if self.door is not None else []
        ready = wait([*sources, *bell], seconds)
        messages = [
            news for number in sorted({sources[one] for one in ready if one in sources}) for news in self._news(number)
        ]
        return messages + [self._take_in(one) for one in (self.door.arrivals() if self.door else [])]

    def _take_in(self, arrival: Arrival) -> Message:
        number, self._next = self._next, self._next + 1
        self._workers[number] = _Worker(arrival.device, arrival.host, connection=arrival.connection)
        return Message(number, "joined", arrival, None)

    def _news(self, number: int) -> Iterator[Message]:
        worker = self._workers[number]
        assert worker.connection is not None
        gone = False
        try:
            while worker.connection.poll():
                kind, payload, details = worker.connection.recv()
                worker.early_deaths = 0
                task = worker.task
                if kind != "progress":
                    worker.task = None
                yield Message(number, kind, payload, task, details)
        except (EOFError, OSError):
            gone = True
        if worker.process is not None and not worker.process.is_alive():
            yield self._replace(number, worker.process)
        elif gone and worker.joined:
            worker.connection.close()
            del self._workers[number]
            yield Message(number, "died", f"worker {number + 1} on {worker.host} is gone", worker.task)

    def _replace(self, number: int, process: BaseProcess) -> Message:
        worker = self._workers[number]
        process.join()
        code = process.exitcode or 0
        how = f"was ended by signal {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        sentence = f"worker {number + 1} {how}"
        task, worker.task = worker.task, None
        worker.early_deaths += 1
        if worker.early_deaths > MOST_EARLY_DEATHS:
            raise SearchError(
                f"{sentence} before it did anything, as {MOST_EARLY_DEATHS} before it; see what it printed"
            )
        assert worker.connection is not None
        worker.connection.close()
        worker.process = worker.connection = None
        if not self._stopping:
            self._start(number)
        return Message(number, "died", sentence, task)

    def _start(self, number: int) -> None:
        worker = self._workers[number]
        worker.process, worker.connection = start_process(f"tsbench-worker-{number + 1}", worker.device, self.preload)


def _end(process: BaseProcess, deadline: float) -> None:
    process.join(max(0.0, deadline - time.monotonic()))
    if process.is_alive():
        process.kill()  # workers ignore SIGTERM
        process.join(5)
