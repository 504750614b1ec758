"""Workers as Ray actors, on the machines of a cluster.

A task is a call of an actor, which returns its result. Data that tasks share (the training cases of a study, a data
set) is put into Ray's object store once and passed by reference. Ray places the actors; the supervisor decides what
each does, as with its own processes.
"""

from __future__ import annotations

import os
import queue
import socket
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from tsbench import __version__
from tsbench.data.collection import Collection, DataSet
from tsbench.errors import SearchError, TsbenchError
from tsbench.quiet import quiet_variables
from tsbench.recipe.schema import ExecutionConfig
from tsbench.signals import kept_handlers
from tsbench.workers.inbox import Inbox
from tsbench.workers.pool import MAX_EARLY_DEATHS, Joined, News
from tsbench.workers.protocol import SharedFolder, WorkerContext, run_task

__all__ = ["RayLauncher", "check_address"]

MAX_STORED = 32
"""Objects that the supervisor keeps in Ray's object store for further tasks; running tasks keep theirs anyway."""

CLOSING_SECONDS = 5.0
"""Seconds that actors have to remove their scratch files."""


@dataclass(frozen=True)
class _Files:
    """The contents of a shared folder, for a worker that cannot access the folder."""

    path: Path
    contents: dict[str, bytes]


class _Actor:
    """A worker. Its methods run in threads: one runs a task, while others report progress and receive requests.

    Args:
        device: torch device that tasks run on; Ray shows an actor its own GPUs only.
    """

    def __init__(self, device: str) -> None:
        os.environ.update(quiet_variables("mlflow"))
        self._context = WorkerContext(device, self)
        self._progress: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
        self._folders: dict[Path, tempfile.TemporaryDirectory[str]] = {}
        self._lock = threading.Lock()
        self._number = 0
        self._early: tuple[int, tuple[str, str]] | None = None  # a request that arrived before its task

    def ready(self, version: str, preload: Sequence[str]) -> str:
        """Imports what tasks need, and returns the machine's name.

        Raises:
            SearchError: the search runs another version.
        """
        host = socket.gethostname()
        if version != __version__:
            raise SearchError(f"{host} has tsbench {__version__}, and the search runs {version}")
        for module in preload:
            import_module(module)
        return host

    def run(self, number: int, function: str, *arguments: Any) -> tuple[str, Any, str]:
        """Runs a task; returns kind, payload and details of the message that reports its end."""
        import torch

        torch.set_num_threads(1)  # of this thread
        with self._lock:
            self._number = number
            self._context.begin()
            if self._early is not None and self._early[0] == number:
                self._context.hear(self._early[1])
        return run_task(self._context, function, [self._received(argument) for argument in arguments])

    def hear(self, number: int, request: tuple[str, str]) -> None:
        """Receives a request to end a task."""
        with self._lock:
            if number == self._number:
                self._context.hear(request)
            else:
                self._early = number, request

    def progress(self) -> tuple[int, Any]:
        """Waits for a task's progress; returns it with the task's number."""
        return self._progress.get()

    def close(self) -> None:
        """Removes the scratch files."""
        for folder in self._folders.values():
            folder.cleanup()

    def send(self, message: tuple[str, Any, str]) -> None:
        """Sends a progress message of the running task."""
        self._progress.put((self._number, message[1]))

    def poll(self) -> bool:
        """Whether there is a request: never, as `hear` is called instead."""
        return False

    def recv(self) -> Any:
        """See `poll`."""
        raise EOFError

    def _received(self, argument: Any) -> Any:
        if not isinstance(argument, _Files):
            return argument
        if argument.path not in self._folders:
            # Readable only by its owner: a study's description may hold a password.
            folder = tempfile.TemporaryDirectory(prefix="tsbench-worker-")
            for name, content in argument.contents.items():
                (Path(folder.name) / name).write_bytes(content)
            self._folders[argument.path] = folder
        return SharedFolder(Path(self._folders[argument.path].name), tuple(argument.contents))


def check_address(address: str) -> None:
    """Refuses an address at which nobody listens immediately; Ray itself would try for minutes.

    Raises:
        TsbenchError: nobody listens there.
    """
    host, _, port = address.rpartition(":")
    if host and port.isdecimal():
        try:
            socket.create_connection((host, int(port)), timeout=10).close()
        except OSError as error:
            raise _no_cluster(address, error) from None


def _no_cluster(address: str, error: Exception) -> TsbenchError:
    return TsbenchError(
        f"execution.address is {address!r}, but no Ray cluster is there; start one with `ray start --head`, or write "
        f"address: local ({(str(error).splitlines() or [''])[0]})"
    )


class RayLauncher:
    """Keeps the recipe's number of actors alive.

    Args:
        config: address, number of workers, and what each needs.
        preload: modules that an actor imports before its first task.
        inbox: receives actors that are ready, and news of them.

    Raises:
        TsbenchError: Ray is not installed, or no cluster is found at the address.
    """

    def __init__(self, config: ExecutionConfig, preload: Sequence[str], inbox: Inbox[Joined | News]) -> None:
        try:
            import ray
        except ImportError:
            raise TsbenchError('execution.launcher "ray" needs Ray: pip install "tsbench[ray]"') from None
        self.ray: Any = ray
        self.inbox = inbox
        self._config, self._preload = config, tuple(preload)
        self._began_ray = not ray.is_initialized()
        try:
            check_address(config.address)
            with kept_handlers():  # Ray's own handler would end this process at SIGTERM, whatever is running
                ray.init(address=config.address, log_to_driver=False, ignore_reinit_error=True, configure_logging=False)
        except (OSError, RuntimeError, ValueError) as error:
            raise _no_cluster(config.address, error) from None
        # Memory maps of this machine's files could not be read on another machine.
        ray.util.register_serializer(Collection, serializer=_arrays_of, deserializer=_collection_of)
        self._actor = ray.remote(num_cpus=config.cpus_per_worker, num_gpus=config.gpus_per_worker)(_Actor)
        self._actors: list[_ActorChannel] = []
        self._gone: queue.SimpleQueue[tuple[_ActorChannel, BaseException]] = queue.SimpleQueue()
        self._early_deaths = 0
        self._stored: dict[Any, tuple[Any, Any]] = {}

    @staticmethod
    def check(config: ExecutionConfig) -> None:
        """Refuses an address at which nobody listens; see `check_address`."""
        check_address(config.address)

    def start(self) -> None:
        """Requests all actors from Ray; each joins when its resources are free."""
        for _ in range(int(self._config.workers)):
            self._begin()

    def _begin(self) -> None:
        device = "cuda:0" if self._config.gpus_per_worker else "cpu"
        actor = self._actor.options(max_concurrency=4).remote(device)
        self._actors.append(_ActorChannel(self, actor, device, self._preload))

    def check_started(self) -> list[str]:
        """Replaces actors that ended, on another node if their own is gone; returns the reasons.

        Raises:
            SearchError: an actor cannot be started, or actors repeatedly end before they are ready.
        """
        lines = []
        while not self._gone.empty():
            channel, error = self._gone.get()
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            if isinstance(error, self.ray.exceptions.RayTaskError):
                raise SearchError(f"a Ray worker failed: {error.cause}")
            self._early_deaths = 0 if channel.joined else self._early_deaths + 1
            if self._early_deaths > MAX_EARLY_DEATHS:
                raise SearchError(f"Ray workers repeatedly end before they are ready: {reason}")
            self._actors.remove(channel)
            self.ray.kill(channel.actor)  # it may only be disconnected, and still be running
            self._begin()
            lines.append(f"Ray starts a worker again: {reason}")
        return lines

    def gone(self, channel: _ActorChannel, error: BaseException) -> None:
        """Records that an actor has ended, or cannot be reached."""
        self._gone.put((channel, error))

    def reference(self, argument: Any) -> Any:
        """The value to pass for an argument of a task: a reference, if several tasks share it."""
        if isinstance(argument, SharedFolder):
            if argument.written:
                return argument
            key: Any = argument.path
        elif isinstance(argument, Collection | DataSet):
            key = id(argument)
        else:
            return argument
        if key not in self._stored:
            if isinstance(argument, SharedFolder):
                value: Any = _Files(argument.path, argument.contents())
            else:
                value = argument
            self._stored[key] = argument, self.ray.put(value)  # held, so that its id is not reused
            if len(self._stored) > MAX_STORED:
                del self._stored[next(iter(self._stored))]
        return self._stored[key][1]

    def close(self) -> None:
        """Ends the actors; the cluster keeps running."""
        closing = [channel.actor.close.remote() for channel in self._actors if channel.joined]
        if closing:
            self.ray.wait(closing, num_returns=len(closing), timeout=CLOSING_SECONDS)
        for channel in self._actors:
            self.ray.kill(channel.actor)
        self.ray.util.deregister_serializer(Collection)
        if self._began_ray:
            self.ray.shutdown()


class _ActorChannel:
    """The supervisor's side of an actor, which a pool uses as it uses a connection."""

    def __init__(self, launcher: RayLauncher, actor: Any, device: str, preload: tuple[str, ...]) -> None:
        self.actor = actor
        self.joined = False
        self._launcher, self._device = launcher, device
        self._messages: deque[tuple[str, Any, str]] = deque()
        self._number = 0
        self._ended = False
        self._lock = threading.Lock()
        self._when_done(actor.ready.remote(__version__, preload), self._ready)

    def send(self, obj: Any, /) -> None:
        """Calls the actor with a task, or with a request to end the one that it runs."""
        if obj[0] != "task":
            self.actor.hear.remote(self._number, obj)
            return
        _, function, arguments = obj
        self._number += 1
        number = self._number
        passed = [self._launcher.reference(argument) for argument in arguments]
        call = self.actor.run.remote(number, function, *passed)
        self._when_done(call, lambda message: self._add(number, message), number)

    def poll(self) -> bool:
        """Whether there is a message, or the actor has ended."""
        return bool(self._messages) or self._ended

    def recv(self) -> tuple[str, Any, str]:
        """The next message; raises EOFError if the actor has ended."""
        if not self._messages:
            raise EOFError
        return self._messages.popleft()

    def close(self) -> None:
        """Does nothing, as the launcher ends the actor."""

    def _when_done(self, call: Any, receive: Callable[[Any], None], number: int | None = None) -> None:
        """Receives the result of a call, in one of Ray's threads.

        If the call fails, the actor has ended, unless it is that of task `number`, whose result cannot be sent.
        """

        def done(future: Future[Any]) -> None:
            if (error := future.exception()) is None:
                receive(future.result())
            elif number is not None and isinstance(error, self._launcher.ray.exceptions.RayTaskError):
                self._add(number, ("error", f"{type(error).__name__}: {error.cause}", str(error)))
            else:
                self._fail(error)

        call.future().add_done_callback(done)

    def _ready(self, host: str) -> None:
        self.joined = True
        self._launcher.inbox.put(Joined(self, self._device, host))
        self._watch()

    def _watch(self) -> None:
        """Keeps a call waiting, also while the actor is idle, so that its end is noticed."""
        self._when_done(self.actor.progress.remote(), self._report)

    def _report(self, progress: tuple[int, Any]) -> None:
        self._watch()
        number, payload = progress
        self._add(number, ("progress", payload, ""))

    def _add(self, number: int, message: tuple[str, Any, str]) -> None:
        if number == self._number:
            self._messages.append(message)
            self._launcher.inbox.put(News(self))

    def _fail(self, error: BaseException) -> None:
        with self._lock:  # every waiting call fails, each in its own thread
            if self._ended:
                return
            self._ended = True
        self._launcher.gone(self, error)
        self._launcher.inbox.put(News(self))


def _arrays_of(cases: Collection) -> tuple[Any, ...]:
    return cases.values, cases.lengths, cases.labels, cases.groups, cases.columns


def _collection_of(parts: tuple[Any, ...]) -> Collection:
    """A collection with copied arrays: those in the object store are read-only, which compiled code refuses."""
    arrays: list[Any] = [np.array(part) if isinstance(part, np.ndarray) else part for part in parts]
    return Collection(*arrays)
