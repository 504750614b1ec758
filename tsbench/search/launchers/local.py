"""Worker processes on this machine, one for each device, supervised by the process that started them.

The supervisor hands out tasks one at a time and knows what each worker is at, so that the death of one loses no more
than its task. Workers do not hear Ctrl-C: the supervisor decides, and tells them through a shared flag.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from tsbench.errors import TsbenchError

__all__ = ["Message", "Task", "WorkerContext", "WorkerPool", "find_devices"]

REPORT_EVERY = 0.2
"""Seconds between two progress reports of a worker, at least."""


@dataclass(frozen=True)
class Task:
    """Something to be done by a worker: `function(context, *arguments)`.

    Attributes:
        function: as `module:name`, which the worker alone imports; its first argument is the `WorkerContext`.
        arguments: sent to the worker, so they must be picklable.
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
        kind: `progress`, `result`, `error` (the task raised) or `died` (the process ended).
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
    """A worker's side: its device, a way to report, and whether to stop."""

    def __init__(self, device: str, connection: Connection, stop: Event) -> None:
        self.device = device
        self._connection = connection
        self._stop = stop
        self._last_report = 0.0

    @property
    def stopping(self) -> bool:
        """Whether the supervisor wants the task ended."""
        return self._stop.is_set()

    def report(self, progress: Any) -> None:
        """Sends progress, not more often than the supervisor can show it.

        Raises:
            SystemExit: the supervisor is gone, so nobody waits for the result.
        """
        now = time.monotonic()
        if now - self._last_report >= REPORT_EVERY:
            self._last_report = now
            self.send("progress", progress)

    def send(self, kind: str, payload: Any, details: str = "") -> None:
        """Sends a message to the supervisor."""
        try:
            self._connection.send((kind, payload, details))
        except OSError:
            raise SystemExit(1) from None


class WorkerPool:
    """Processes that carry out tasks; each is started when it is given its first, or by `start`.

    Args:
        devices: a torch device for each process, such as `["cpu", "cpu"]`.
        preload: modules that a process imports before it waits for its first task.
    """

    def __init__(self, devices: Sequence[str], preload: Sequence[str] = ()) -> None:
        self.devices = list(devices)
        self.preload = tuple(preload)
        self._context = multiprocessing.get_context("spawn")
        self._stop = self._context.Event()
        self._processes: dict[int, SpawnProcess] = {}
        self._connections: dict[int, Connection] = {}
        self._tasks: list[Task | None] = [None] * len(self.devices)

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for number, connection in self._connections.items():
            if self._tasks[number] is None:
                with suppress(OSError):  # it has ended already
                    connection.send(None)
        deadline = time.monotonic() + 10
        for process in self._processes.values():
            process.join(max(0.0, deadline - time.monotonic()))
            if process.is_alive():
                process.terminate()
                process.join(5)
            if process.is_alive():
                process.kill()

    def start(self) -> None:
        """Starts all processes now, so that their imports run while the supervisor prepares."""
        for number in range(len(self.devices)):
            if number not in self._processes:
                self._start(number)

    def idle(self) -> Iterator[int]:
        """Numbers of the workers that have nothing to do."""
        return (number for number, task in enumerate(self._tasks) if task is None)

    @property
    def busy(self) -> list[Task]:
        """The tasks under way."""
        return [task for task in self._tasks if task is not None]

    def submit(self, worker: int, task: Task) -> None:
        """Gives an idle worker a task; where it has just died, `wait` will say so."""
        assert self._tasks[worker] is None
        if worker not in self._processes:
            self._start(worker)
        self._tasks[worker] = task
        with suppress(OSError):  # `wait` finds the process ended and reports the task as lost
            self._connections[worker].send((task.function, task.arguments))

    def stop(self) -> None:
        """Asks every worker to end its task soon."""
        self._stop.set()

    def wait(self, seconds: float) -> list[Message]:
        """News of the workers, after at most the given time; a worker that died is replaced."""
        sources: dict[Any, int] = {connection: number for number, connection in self._connections.items()}
        sources |= {process.sentinel: number for number, process in self._processes.items()}
        ready = {sources[one] for one in wait(list(sources), seconds)}
        return [message for number in sorted(ready) for message in self._news(number)]

    def _news(self, number: int) -> Iterator[Message]:
        connection = self._connections[number]
        try:
            while connection.poll():
                kind, payload, details = connection.recv()
                task = self._tasks[number]
                if kind != "progress":
                    self._tasks[number] = None
                yield Message(number, kind, payload, task, details)
        except (EOFError, OSError):
            pass
        if not self._processes[number].is_alive():
            yield self._replace(number)

    def _replace(self, number: int) -> Message:
        process, task = self._processes[number], self._tasks[number]
        process.join()
        code = process.exitcode or 0
        how = f"was ended by signal {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        self._connections[number].close()
        self._start(number)
        self._tasks[number] = None
        return Message(number, "died", f"worker {number + 1} {how}", task)

    def _start(self, number: int) -> None:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=_serve,
            args=(theirs, self.devices[number], self._stop, self.preload),
            name=f"tsbench-worker-{number + 1}",
            daemon=True,
        )
        with _one_thread():
            process.start()
        theirs.close()
        self._processes[number], self._connections[number] = process, ours


def find_devices(device: str, workers: int | str) -> list[str]:
    """A torch device for each worker.

    Args:
        device: auto, cpu, cuda or cuda:N.
        workers: their number, or auto: one for each GPU, else one for each core that this process may use.

    Raises:
        TsbenchError: CUDA is asked for and not there.
    """
    gpus = _count_gpus() if device != "cpu" else 0
    if device.startswith("cuda"):
        index = int(device.partition(":")[2] or 0)
        if gpus <= index:
            raise TsbenchError(f"execution.device is {device!r}, but torch sees {gpus} CUDA devices here")
        available = [device] if ":" in device else [f"cuda:{i}" for i in range(gpus)]
    else:
        available = [f"cuda:{i}" for i in range(gpus)] or ["cpu"] * _count_cores()
    if workers == "auto":
        return available
    return [available[i % len(available)] for i in range(int(workers))]


def _count_cores() -> int:
    """The cores that this process may use, where the system tells, else all of them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _count_gpus() -> int:
    """What torch sees; it is imported only where the system has a GPU's device file, as that costs a second."""
    if os.name == "posix" and not any(Path("/dev").glob("nvidia[0-9]*")) and not Path("/dev/dxg").exists():
        return 0
    import torch

    return int(torch.cuda.device_count())


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread for each numerical library of a process started herein: one process a core beats many threads."""
    variables = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(dict.fromkeys(variables, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _serve(connection: Connection, device: str, stop: Event, preload: Sequence[str]) -> None:
    """The life of a worker process: task after task, until the supervisor says so or is gone."""
    try:
        _carry_out_tasks(connection, device, stop, preload)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    # Every result is sent and recorded; to take torch, MLflow and numba down in order would take two seconds more.
    os._exit(0)


def _carry_out_tasks(connection: Connection, device: str, stop: Event, preload: Sequence[str]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import torch

    torch.set_num_threads(1)
    for module in preload:
        import_module(module)
    context = WorkerContext(device, connection, stop)
    while True:
        try:
            task = connection.recv()
        except (EOFError, OSError):
            return
        if task is None:
            return
        (module, _, name), arguments = task[0].partition(":"), task[1]
        try:
            result = getattr(import_module(module), name)(context, *arguments)
        except TsbenchError as error:
            context.send("error", str(error))
        except Exception as error:
            context.send("error", f"{type(error).__name__}: {error}", traceback.format_exc())
        else:
            context.send("result", result)
