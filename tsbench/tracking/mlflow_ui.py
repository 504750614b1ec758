"""Starts MLflow's page on a SQLite store, waits until it answers, and stops it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from types import FrameType
from typing import IO, Any
from urllib.request import ProxyHandler, Request, build_opener

from tsbench.errors import TrackingError
from tsbench.tracking import server, tables
from tsbench.tracking.store import Store
from tsbench.tracking.views import LEADERBOARD, TRIALS, VIEWS, View, page_address

__all__ = ["Page", "remote_page", "served_page"]

LAST_LINES = 15  # lines of the server's log that are shown after a failure
POLL = 0.1  # seconds between two attempts to reach the server
ENDING = server.GRACE + 8  # seconds in which the server must end by itself


class Page:
    """MLflow's page while it is served; see `served_page`.

    Attributes:
        address: for a browser.
    """

    def __init__(self, process: subprocess.Popen[bytes], log: IO[bytes], address: str) -> None:
        self.address = address
        self._process = process
        self._log = log

    def wait(self) -> None:
        """Waits for Ctrl-C or SIGTERM; never returns.

        Raises:
            TrackingError: the server ended, with the last lines of its log.
            KeyboardInterrupt: at Ctrl-C.
            SystemExit: at SIGTERM.
        """
        self._process.wait()
        raise _failed(self._process, self._log)


@contextmanager
def served_page(store: Store, port: int, name: str | None) -> Iterator[Page]:
    """MLflow's page on 127.0.0.1; it answers when the context is entered and ends when it is left.

    Args:
        store: in a SQLite file.
        port: to listen on.
        name: of the experiment to open; None for the store's only one, or the list of all.

    Raises:
        TrackingError: the port is in use, there is no such experiment, or the server could not be started.
    """
    experiment = _experiment(store, name)
    _check_port(port)
    address = f"http://{server.HOST}:{port}"
    command = [sys.executable, "-m", "tsbench.tracking.server", store.uri, str(port)]
    with tempfile.TemporaryFile() as log, _sigterm_as_exit():
        process = subprocess.Popen(
            command,
            env={**os.environ, **server.VARIABLES},
            stdin=subprocess.PIPE,  # the server ends when this pipe is closed, even if this process is killed
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait_until_ready(process, log, address)
            view = None if experiment is None else _ensure_views(store, address, experiment)
            target = page_address("", experiment, view)
            yield Page(process, log, f"{address}{server.START}{target.removeprefix('/')}")
        finally:
            _end(process)


def remote_page(store: Store, name: str | None) -> str:
    """The address of an experiment, or of all, if the store is an MLflow server.

    Adds missing views to the experiment if the server allows it.

    Raises:
        TrackingError: there is no such experiment, or the server failed.
    """
    uri = store.uri.rstrip("/")
    if name is None:
        return page_address(uri, None)
    experiment = store.experiment_id(name)
    scored = next(iter(store.runs_in(experiment, LEADERBOARD.where)), None) is not None
    try:
        with store.explained():
            tags = store.client.get_experiment(experiment).tags
            for key, value in (view.tag for view in VIEWS):
                if key not in tags:
                    store.client.set_experiment_tag(experiment, key, value)
    except TrackingError:  # the user may have read access only
        return page_address(uri, experiment)
    return page_address(uri, experiment, LEADERBOARD if scored else TRIALS)


def _experiment(store: Store, name: str | None) -> str | None:
    """The id of the experiment of this name, or of the only one."""
    assert store.database is not None
    rows = tables.experiments(store.database)
    if name is None:
        active = [row for row in rows if row.active]
        return active[0].id if len(active) == 1 else None
    for row in rows:
        if row.name == name and row.active:
            return row.id
    return store.experiment_id(name)  # raises an error if it is deleted or unknown


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((server.HOST, port))
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise TrackingError(
                f"port {port} on {server.HOST} cannot be used: {reason}; choose another with --port"
            ) from None


def _wait_until_ready(process: subprocess.Popen[bytes], log: IO[bytes], address: str) -> None:
    """Waits until the page itself answers, not only the port."""
    while True:
        if process.poll() is not None:
            raise _failed(process, log)
        with suppress(OSError, HTTPException):
            _request(address + "/")
            return
        time.sleep(POLL)


def _ensure_views(store: Store, address: str, experiment: str) -> View | None:
    """Adds missing views to an experiment, and returns the one to show; None if the store cannot be written.

    A view that was changed on MLflow's page keeps the change.
    """
    assert store.database is not None
    api = f"{address}/api/2.0/mlflow/experiments"
    try:
        found = _request(f"{api}/get?experiment_id={experiment}")["experiment"].get("tags", [])
        keys = {tag["key"] for tag in found}
        for key, value in (view.tag for view in VIEWS):
            if key not in keys:
                _request(f"{api}/set-experiment-tag", {"experiment_id": experiment, "key": key, "value": value})
    except (OSError, HTTPException):
        return None
    return LEADERBOARD if tables.with_test_scores(store.database, experiment) else TRIALS


def _request(address: str, body: dict[str, str] | None = None) -> Any:
    """The answer of the server, never through a proxy; JSON is parsed."""
    data = None if body is None else json.dumps(body).encode()
    request = Request(address, data, {"Content-Type": "application/json"})
    with build_opener(ProxyHandler({})).open(request, timeout=30) as answer:
        content = answer.read()
        return json.loads(content) if "json" in answer.headers.get("Content-Type", "") else content


def _failed(process: subprocess.Popen[bytes], log: IO[bytes]) -> TrackingError:
    log.seek(0)
    lines = [line for line in log.read().decode(errors="replace").splitlines() if line.strip()]
    said = "\n".join(["; the last lines of its log:", *lines[-LAST_LINES:]]) if lines else " without a word"
    return TrackingError(f"MLflow's server ended with exit code {process.returncode}{said}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the server, a single process, and waits for its exit."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(ENDING)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        process.kill()
        process.wait()
    if process.stdin is not None:
        process.stdin.close()


@contextmanager
def _sigterm_as_exit() -> Iterator[None]:
    """Raises SystemExit on SIGTERM, so that the server is ended too."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
