"""Lets a worker in another terminal of this machine join a search, by a Unix domain socket.

The socket is in a folder that only its owner can open, as whoever can connect may do whatever the search may do.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from tsbench import __version__
from tsbench.errors import SearchError
from tsbench.workers.inbox import Inbox
from tsbench.workers.pool import Joined, News
from tsbench.workers.protocol import run_tasks

__all__ = ["ADDRESS", "Address", "Listener", "join"]

ADDRESS = "listener.json"
"""The file in a recipe's folder by which a worker finds the running search."""

SOCKET = "workers.sock"
MAX_PATH = 100
"""Bytes of a socket's path; Linux takes 107 of them, macOS 103."""

MAX_PENDING = 32
"""Maximum number of callers in the handshake at the same time."""

MAX_HELLO = 1000
"""Maximum bytes of a worker's hello."""

HANDSHAKE_SECONDS = 10.0
PAUSE = 0.5
"""Seconds between two checks for overdue callers, and of the pause if the process has no file descriptor left."""

EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


@dataclass(frozen=True)
class Address:
    """The address at which a search accepts workers.

    Attributes:
        host: name of the machine, as the folder of the studies may be seen by several.
        socket: path of the Unix domain socket.
    """

    host: str
    socket: str

    def write(self, file: Path) -> None:
        """Writes it to a file, and removes the socket of a killed search that wrote the file before."""
        with suppress(OSError, ValueError, TypeError):
            self.read(file)._remove_socket()
        complete = file.with_suffix(".part")  # so that no reader sees a partial file
        complete.write_text(json.dumps(asdict(self)), encoding="utf-8")
        complete.replace(file)

    @classmethod
    def read(cls, file: Path) -> Address:
        """Reads the file that `write` wrote.

        Raises:
            OSError: the file cannot be read.
            ValueError, TypeError: it is damaged.
        """
        return cls(**json.loads(file.read_text(encoding="utf-8")))

    def _remove_socket(self) -> None:
        path = Path(self.socket)
        if self.host == socket.gethostname() and path.name == SOCKET and path.is_socket():
            path.unlink()
            path.parent.rmdir()


@dataclass(eq=False)
class _Caller:
    """A connection in its handshake."""

    line: socket.socket
    deadline: float
    hello: bytearray = field(default_factory=bytearray)

    def fileno(self) -> int:
        return self.line.fileno()


class Listener:
    """Accepts workers of this user and machine, in its own thread.

    Args:
        preload: modules that workers import first.
        inbox: receives each worker that has joined.
    """

    def __init__(self, preload: Sequence[str], inbox: Inbox[Joined | News]) -> None:
        self._preload = tuple(preload)
        self._inbox = inbox
        self._folder = _private_folder()
        path = self._folder / SOCKET
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        path.chmod(0o600)
        self._socket.listen(128)
        self._socket.setblocking(False)
        self.address = Address(socket.gethostname(), str(path))
        self._callers: list[_Caller] = []
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="tsbench-listener", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Accepts no more workers."""
        with suppress(OSError):
            (self._folder / SOCKET).unlink()
            self._folder.rmdir()
        self._closed.set()
        self._thread.join()

    def _listen(self) -> None:
        while not self._closed.is_set():
            waited_for: list[Any] = [self._socket, *self._callers]
            for ready in wait(waited_for, PAUSE):
                if isinstance(ready, _Caller):
                    self._read(ready)
                else:
                    self._accept()
            for caller in [caller for caller in self._callers if caller.deadline < time.monotonic()]:
                self._drop(caller)
        for caller in list(self._callers):
            self._drop(caller)
        self._socket.close()

    def _accept(self) -> None:
        try:
            line, _ = self._socket.accept()
        except OSError as error:
            if error.errno in EXHAUSTED:
                self._closed.wait(PAUSE)  # the caller stays in the queue, and `wait` would return at once
            return
        if len(self._callers) >= MAX_PENDING:
            line.close()
            return
        line.setblocking(False)
        self._callers.append(_Caller(line, time.monotonic() + HANDSHAKE_SECONDS))

    def _drop(self, caller: _Caller) -> None:
        self._callers.remove(caller)
        caller.line.close()

    def _read(self, caller: _Caller) -> None:
        """Reads the received part of a caller's hello, a line of JSON; drops the caller if it is wrong."""
        try:
            part = caller.line.recv(MAX_HELLO)
            caller.hello += part
            if part and b"\n" not in caller.hello and len(caller.hello) < MAX_HELLO:
                return
            hello = json.loads(caller.hello)
            version, device = str(hello["version"]), str(hello["device"])
        except BlockingIOError:
            return
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            self._drop(caller)
            return
        self._callers.remove(caller)
        caller.line.setblocking(True)
        self._answer(Connection(caller.line.detach()), version, device)

    def _answer(self, connection: Connection, version: str, device: str) -> None:
        with suppress(OSError):  # the caller has exited
            if version != __version__:
                connection.send(("refused", f"the search runs tsbench {__version__}, this worker {version}"))
                connection.close()
                return
            connection.send(("welcome", self._preload))
            self._inbox.put(Joined(connection, device, self.address.host))


def _private_folder() -> Path:
    """A new folder that only its owner can open, with a path short enough for a socket in it.

    Raises:
        SearchError: no folder for temporary files can be written.
    """
    for place in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp"):
        if place and len(os.fsencode(place)) + len(f"/tsbench-12345678/{SOCKET}") <= MAX_PATH:
            with suppress(OSError):
                return Path(tempfile.mkdtemp(prefix="tsbench-", dir=place))
    raise SearchError("no folder for the socket of workers can be created in XDG_RUNTIME_DIR, TMPDIR or /tmp")


def join(address: Address, device: str, may_leave: bool = False) -> bool:
    """Works for a search until it ends; returns False if the search exited without saying so.

    Args:
        address: of the search.
        device: torch device of the tasks.
        may_leave: see `run_tasks`.

    Raises:
        SearchError: it cannot be reached, or does not accept this worker.
    """
    hello = json.dumps({"device": device, "version": __version__}).encode() + b"\n"
    try:
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(address.socket)
            line.sendall(hello)
            connection = Connection(line.detach())
        answer, details = connection.recv()
    except (OSError, EOFError) as error:
        raise SearchError(
            f"the search cannot be reached at {address.socket} ({error or 'it closed the connection'}); start it with "
            "`tsbench search`, or try again if it has just started"
        ) from None
    if answer == "refused":
        raise SearchError(details)
    return not run_tasks(connection, device, details, may_leave).abandoned
