"""Worker processes on this machine, and the devices that it has for them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType

from tsbench.errors import TsbenchError
from tsbench.quiet import environment, quiet_variables
from tsbench.signals import blocked_signals, ignore_ending_signals
from tsbench.workers.protocol import run_tasks

__all__ = ["begin_imports", "count_cores", "describe_exit", "find_devices", "start_process"]


ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
"""Variables that limit numerical libraries to one thread: one process per core is faster than many threads."""

FORKS = sys.platform == "linux"
"""Whether workers are forked from a server process that has imported torch and the first pool's `preload` once.

So a worker starts quickly, and all share the memory of the imports. The server starts no thread of Python's
and touches no GPU, which a fork would not survive. macOS's own libraries do not survive it either, so there each
worker imports for itself.
"""


_starting = threading.Lock()
"""Held while a process is started, as the environment and the main module are changed temporarily."""


def begin_imports(preload: Sequence[str]) -> bool:
    """Starts the server, if this system uses one, without waiting for its imports; returns whether it does."""
    if FORKS:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["torch", *preload, "tsbench.workers.frozen"])
        with _clean_start(), blocked_signals():
            forkserver.ensure_running()
    return FORKS


def start_process(
    name: str, device: str, preload: Sequence[str] = (), forked: bool = FORKS
) -> tuple[BaseProcess, Connection]:
    """Starts a worker process and returns it with the connection to it.

    Args:
        name: of the process.
        device: torch device that its tasks run on.
        preload: modules that it imports before its first task.
        forked: whether it is forked from the server, or a new Python.
    """
    if forked:
        begin_imports(preload)
    with _clean_start(), blocked_signals():
        context: SpawnContext | ForkServerContext = (
            multiprocessing.get_context("forkserver") if forked else multiprocessing.get_context("spawn")
        )
        ours, theirs = context.Pipe()
        arguments = (theirs, device, tuple(preload), dict(os.environ))
        # Not a daemon: a worker may start an isolated process, which multiprocessing forbids to daemons.
        process = context.Process(target=_live, args=arguments, name=name, daemon=False)
        process.start()
    theirs.close()
    return process, ours


def describe_exit(process: BaseProcess) -> str:
    """Waits until a process has ended; returns the cause, as the end of a sentence such as "worker 1 ..."."""
    process.join()
    code = process.exitcode or 0
    if code >= 0:
        return f"ended with exit code {code}"
    hint = "; the machine may be out of memory" if -code == signal.SIGKILL else ""
    return f"was ended by {signal.Signals(-code).name}{hint}"


def _own_modules() -> dict[str, str]:
    """Variables by which a new Python finds the same modules; the current folder does not shadow them."""
    return {"PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(place for place in sys.path if place)}


def _live(connection: Connection, device: str, preload: Sequence[str], environment: Mapping[str, str]) -> None:
    ignore_ending_signals()
    # A worker forks nothing. Otherwise numba would guard its start by a semaphore of the system, of which Python prints
    # a warning if the worker ends without an orderly exit.
    multiprocessing.set_start_method("spawn", force=True)
    os.environ.clear()  # the server's may be outdated
    os.environ.update(environment)
    try:
        run_tasks(connection, device, preload)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    # Every result is sent and recorded; an orderly exit of torch and MLflow would take two more seconds.
    os._exit(0)


def find_devices(device: str, workers: int | str, trials_per_device: int = 1) -> list[str]:
    """A torch device for each worker.

    Args:
        device: auto, cpu, cuda or cuda:N.
        workers: their number, or auto: one for each GPU, otherwise one for each core that this process may use.
        trials_per_device: workers that share a GPU, if their number is auto.

    Raises:
        TsbenchError: CUDA is requested but not available.
    """
    gpus = _count_gpus() if device != "cpu" else 0
    if device.startswith("cuda"):
        index = int(device.partition(":")[2] or 0)
        if gpus <= index:
            raise TsbenchError(f"execution.device is {device!r}, but torch finds {gpus} CUDA devices here")
        available = [device] if ":" in device else [f"cuda:{i}" for i in range(gpus)]
    else:
        available = [f"cuda:{i}" for i in range(gpus)] or ["cpu"] * count_cores()
    if workers == "auto":
        return available if available[0] == "cpu" else available * trials_per_device
    return [available[i % len(available)] for i in range(int(workers))]


def count_cores() -> int:
    """The cores that this process may use, if the system reports them, otherwise all."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _count_gpus() -> int:
    """The GPUs that torch finds; it is imported only if there is a GPU's device file, as that costs a second."""
    if os.name == "posix" and not any(Path("/dev").glob("nvidia[0-9]*")) and not Path("/dev/dxg").exists():
        return 0
    import torch

    return int(torch.cuda.device_count())


@contextmanager
def _clean_start() -> Iterator[None]:
    """Sets the variables for a new process, and keeps `multiprocessing` from running the caller's script there.

    Tasks are named by their module, so nothing of the script is needed in the new process, and a script that fits a
    classifier without `if __name__ == "__main__":` would start process after process.
    """
    with _starting, environment(**ONE_THREAD, **_own_modules(), **quiet_variables("mlflow")):
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main
