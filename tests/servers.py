"""Real servers for tests: PostgreSQL and MLflow, each in a folder and on a port of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread

import pytest

from tests.processes import answers, free_port


class PostgresqlServer:
    """A PostgreSQL server on a folder, which can be stopped and started again at the same address."""

    def __init__(self, control: Sequence[str], data: Path) -> None:
        self.port = free_port()
        self.uri = f"postgresql://tsbench@127.0.0.1:{self.port}/postgres"
        self._control, self._log = [*control, "-D", str(data)], str(data / "log")

    def start(self) -> None:
        """Starts it and waits until it answers."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
        _call([*self._control, "-o", options, "-w", "-l", self._log, "start"])

    def stop(self) -> None:
        """Ends it, whatever its clients are at."""
        _call([*self._control, "-m", "immediate", "stop"])


@contextmanager
def postgresql() -> Iterator[PostgresqlServer]:
    """A running server of Debian's packages. Skips the test where they are not installed."""
    found = shutil.which("initdb") or next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))), None)
    if found is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    tools = Path(found).resolve().parent
    # A folder that the server's own user can reach, unlike pytest's.
    data = Path(tempfile.mkdtemp(prefix="tsbench-postgresql-"))
    run: list[str] = []
    if os.geteuid() == 0:  # the server refuses to run as root
        owner = pwd.getpwnam("postgres")
        os.chown(data, owner.pw_uid, owner.pw_gid)
        run = ["runuser", "-u", "postgres", "--"]
    _call([*run, str(tools / "initdb"), "-D", str(data), "-U", "tsbench", "-A", "trust", "--no-sync"])
    server = PostgresqlServer([*run, str(tools / "pg_ctl")], data)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(data)


def _call(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False)
    assert done.returncode == 0, done.stdout + done.stderr


class LossyRelay:
    """A way to a PostgreSQL server that is cut when a trial's end is committed, and before the client hears of it.

    Attributes:
        uri: the address.
        awaited: state of the trial at whose end it is cut; None when it was.
    """

    def __init__(self, server: PostgresqlServer) -> None:
        self.uri = server.uri
        self.awaited: str | None = "COMPLETE"
        self._behind = server.port

    def __enter__(self) -> LossyRelay:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.uri = self.uri.replace(f":{self._behind}", f":{self._listening.getsockname()[1]}")
        Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):  # it was closed
            while True:
                client, server = self._listening.accept()[0], socket.create_connection(("127.0.0.1", self._behind))
                said = bytearray()  # by the client in this transaction
                Thread(target=self._pass_on, args=(client, server, said, self._is_heard), daemon=True).start()
                Thread(target=self._pass_on, args=(server, client, said, self._is_answered), daemon=True).start()

    @staticmethod
    def _pass_on(
        source: socket.socket, target: socket.socket, said: bytearray, passes: Callable[[bytes, bytearray], bool]
    ) -> None:
        with suppress(OSError):
            while (data := source.recv(65536)) and passes(data, said):
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def _is_heard(data: bytes, said: bytearray) -> bool:
        said.extend(data)
        return True

    def _is_answered(self, data: bytes, said: bytearray) -> bool:
        if b"COMMIT\0" not in data:
            return True
        passes = self.awaited is None or b"UPDATE trials SET" not in said or self.awaited.encode() not in said
        if not passes:
            self.awaited = None
        said.clear()
        return passes


class MlflowServer:
    """An `mlflow server` on a SQLite file, which can be stopped and started again at the same address."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it and waits until it answers."""
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{self.folder}/server.db"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # eight more processes, for judges
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self.folder, env=environment, start_new_session=True
            )
        deadline = time.monotonic() + 240  # a busy machine takes minutes to import MLflow's server
        while time.monotonic() < deadline and self.process.poll() is None:
            if answers(f"{self.uri}/health"):
                return
            time.sleep(0.2)
        self.stop()
        raise AssertionError((self.folder / "server.log").read_text())

    def stop(self) -> None:
        """Kills it with its workers."""
        if self.process is not None:
            with suppress(ProcessLookupError):  # it has ended by itself
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@contextmanager
def mlflow_server(folder: Path) -> Iterator[MlflowServer]:
    """A running server."""
    folder.mkdir(parents=True, exist_ok=True)
    server = MlflowServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()
