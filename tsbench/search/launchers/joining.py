"""How a worker that was not started as a child finds its supervisor and joins it, over TCP.

Both sides prove that they know a key (HMAC, by `multiprocessing.connection`) before anything is read; what follows is
pickled, so the key is worth as much as an account on the machines: it is written only where the studies themselves are.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import sys
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import AuthenticationError, Pipe
from multiprocessing.connection import Client, Connection, Listener, answer_challenge, deliver_challenge
from pathlib import Path
from typing import Any

from tsbench import __version__
from tsbench.errors import SearchError
from tsbench.search.launchers.protocol import carry_out_tasks

__all__ = ["INVITATION", "LOCAL", "Arrival", "Door", "Invitation", "join", "own_address"]

LOCAL = "127.0.0.1"
INVITATION = "invitation.json"
"""The file in a recipe's folder by which workers of this machine find a search that is under way."""


@dataclass(frozen=True)
class Invitation:
    """Where a supervisor takes workers in, and the key to prove that one may join."""

    host: str
    port: int
    key: str

    def write(self, file: Path) -> None:
        """Writes it to a file that only this user can read."""
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(self.to_json())

    def to_json(self) -> str:
        """As text."""
        return json.dumps({"host": self.host, "port": self.port, "key": self.key})

    @classmethod
    def from_json(cls, text: str) -> Invitation:
        """What `to_json` gave."""
        return cls(**json.loads(text))


@dataclass(frozen=True)
class Arrival:
    """A worker that has come in: its connection, device and machine."""

    connection: Connection
    device: str
    host: str


class Door:
    """Takes in workers that know the key, in a thread of its own.

    Args:
        preload: modules that they import first.
        host: the address that they are told: this machine's own for workers of it alone.
    """

    def __init__(self, preload: Sequence[str], host: str = LOCAL) -> None:
        self._preload = tuple(preload)
        key = secrets.token_hex(32)
        self._key = bytes.fromhex(key)
        self._listener = Listener((LOCAL if host == LOCAL else "", 0), backlog=128)
        self.invitation = Invitation(host, self._listener.address[1], key)
        self.bell, self._rope = Pipe(duplex=False)
        self._arrivals: deque[Arrival] = deque()
        self._one_at_a_time = threading.Lock()
        self._open = True
        threading.Thread(target=self._receive, name="tsbench-door", daemon=True).start()

    def arrivals(self) -> list[Arrival]:
        """Who has come in since the last call; `bell` is ready to be read where somebody has."""
        come = []
        while self.bell.poll():
            self.bell.recv_bytes()
            come.append(self._arrivals.popleft())
        return come

    def close(self) -> None:
        """Takes nobody in any more."""
        self._open = False
        # `accept` does not hear that its socket is closed, but a call at the door wakes it.
        with suppress(OSError):
            socket.create_connection((LOCAL, self.invitation.port), timeout=1).close()

    def _receive(self) -> None:
        while self._open:
            with suppress(OSError):  # who went away at once
                # A thread each, as somebody who calls and says nothing must not keep the others out.
                caller = self._listener.accept()
                threading.Thread(target=self._greet, args=(caller,), name="tsbench-greeting", daemon=True).start()
        self._listener.close()

    def _greet(self, connection: Connection) -> None:
        with suppress(OSError, EOFError, AuthenticationError):  # somebody without the key, or who went away
            _keep_alive(connection)
            deliver_challenge(connection, self._key)
            answer_challenge(connection, self._key)
            self._let_in(connection, connection.recv())

    def _let_in(self, connection: Connection, hello: dict[str, str]) -> None:
        if hello["version"] != __version__:
            connection.send(("refused", f"the search runs tsbench {__version__}, this worker {hello['version']}"))
            connection.close()
            return
        connection.send(("welcome", self._preload))
        with self._one_at_a_time:
            self._arrivals.append(Arrival(connection, hello["device"], hello["host"]))
            self._rope.send_bytes(b"!")


def own_address(towards: str) -> str:
    """The address of this machine that others see who stand where host `towards` does."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        try:
            line.connect((towards, 9))  # sends nothing
        except OSError:
            return socket.getfqdn()
        return str(line.getsockname()[0])


def join(invitation: Invitation, device: str, may_leave: bool = False) -> bool:
    """Works for a supervisor until it needs no more; False where it was lost rather than done.

    Args:
        invitation: where it is.
        device: torch device to work on.
        may_leave: see `carry_out_tasks`.

    Raises:
        SearchError: it cannot be reached, or does not take this worker.
    """
    where = f"{invitation.host}:{invitation.port}"
    try:
        connection = Client((invitation.host, invitation.port), authkey=bytes.fromhex(invitation.key))
        _keep_alive(connection)
        connection.send({"device": device, "host": socket.gethostname(), "version": __version__})
        answer, details = connection.recv()
    except AuthenticationError:
        raise SearchError(f"the search at {where} is another one than this worker was invited to") from None
    except (OSError, EOFError) as error:
        raise SearchError(
            f"no search can be reached at {where} ({error or 'it went away'}); begin it with `tsbench search` first"
        ) from None
    if answer == "refused":
        raise SearchError(details)
    return not carry_out_tasks(connection, device, details, may_leave).abandoned


def _keep_alive(connection: Connection) -> None:
    """A machine that vanished without a word is noticed within a minute."""
    with socket.socket(fileno=os.dup(connection.fileno())) as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        options: dict[str, Any] = {"TCP_KEEPIDLE": 20, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 4}
        if sys.platform == "linux":
            options["TCP_USER_TIMEOUT"] = 60_000
        for name, value in options.items():
            if hasattr(socket, name):
                line.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
