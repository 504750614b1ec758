"""Commands in separate processes: started, watched, served and ended as a person would."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import psutil

TSBENCH = str(Path(sys.executable).with_name("tsbench"))
NO_VARIABLES: Mapping[str, str] = {}


def _hear_signals() -> None:
    """Undoes what a shell does for its background, and nohup."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def start(command: Sequence[str], folder: Path, environment: Mapping[str, str] = NO_VARIABLES) -> subprocess.Popen[str]:
    """A command in a process group of its own, which hears signals even if the tests do not, as under nohup."""
    return subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=_hear_signals,
    )


def finish(process: subprocess.Popen[str], seconds: float = 240) -> tuple[int, str, str]:
    """Exit code, output and errors of one that ends by itself."""
    output, errors = process.communicate(timeout=seconds)
    return process.returncode, output, errors


def wait_for(
    condition: Callable[[], object], process: subprocess.Popen[str] | None = None, seconds: float = 240
) -> None:
    """Until the condition holds; a process that ends before fails the test with what it said."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert process is None or process.poll() is None, finish(process)
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def workers_of(pid: int) -> list[psutil.Process]:
    """A search's worker processes: forked from multiprocessing's server on Linux, elsewhere its children."""
    try:
        search = psutil.Process(pid)
        children = {child: " ".join(child.cmdline()) for child in search.children(recursive=True)}
        servers = [child.pid for child, command in children.items() if "forkserver" in command and child.ppid() == pid]
        return [
            child
            for child, command in children.items()
            if ("forkserver" in command and child.ppid() in servers)
            or ("spawn_main" in command and child.ppid() == pid)
        ]
    except psutil.NoSuchProcess:
        return []


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def answers(address: str) -> bool:
    """Whether a server is up and well."""
    try:
        with urlopen(address, timeout=5):
            return True
    except OSError:
        return False


@dataclass(frozen=True)
class Server:
    """A process that serves, and the file that it prints to."""

    process: subprocess.Popen[bytes]
    log: Path


@contextmanager
def served(
    command: Sequence[str], address: str, folder: Path, environment: Mapping[str, str] = NO_VARIABLES
) -> Iterator[Server]:
    """A server that is up, until it hears Ctrl-C.

    Raises:
        AssertionError: it ended before it answered at the address.
    """
    with tempfile.TemporaryDirectory() as place:
        log = Path(place) / "log"
        with log.open("w") as output:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, **environment},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_hear_signals,
            )
        try:
            deadline = time.monotonic() + 120
            while not answers(address):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.2)
            yield Server(process, log)
        finally:
            end(process)


def end(process: subprocess.Popen[bytes], timeout: float = 20) -> None:
    """Ctrl-C for a process group, and what does not heed it is killed."""
    os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
