"""The connection to an MLflow store: checks and creates it, retries calls, and turns its errors into sentences."""

from __future__ import annotations

import gc
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import cached_property, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from tsbench.adapters.mlflow import engine_of
from tsbench.errors import TrackingError
from tsbench.quiet import environment, quiet, quiet_variables
from tsbench.redaction import redacted
from tsbench.retries import is_retrying, retry
from tsbench.tracking.addresses import check_driver, check_reachable, database_of, resolve_uri
from tsbench.tracking.database import check_writable, created_whole, refuse_other_databases

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

__all__ = ["Connection", "collection_paused", "current_uri", "passes"]

R = TypeVar("R")

AWAY_SECONDS = 10  # timeout of a server that did not answer before, or if the process is about to exit
MAX_LOCATION = 2000  # characters of an experiment's address, to which MLflow adds a run's; it takes 2048

PASSING = (
    "Max retries exceeded",
    "Connection refused",
    "Connection aborted",
    "Connection reset",
    "Read timed out",
    "error 502",
    "error 503",
    "error 504",
    "database is locked",
    "database or disk is full",
    "disk I/O error",
    "No space left on device",
)
"""Errors of a store that is unavailable, locked or out of disk; MLflow gives most of them one class and code."""

FAILURES = {
    "database is locked": "is locked by another process that writes to it; stop that process, or try again later",
    "attempt to write a readonly database": "is read-only: its file or folder cannot be written; change its "
    "permissions, or name another store",
    "unable to open database file": "cannot be opened: its folder does not exist or cannot be written",
    "error code 401": "refused: it requires credentials; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "
    "MLFLOW_TRACKING_TOKEN, in the environment",
    "error code 403": "refused: the credentials in the environment do not allow this",
}
"""Texts in MLflow's long errors, and the sentences that replace them."""


class Connection:
    """An MLflow store that may have to be created.

    The first process calls `prepare` before any other opens a fresh one.

    Args:
        uri: MLflow tracking URI; see `resolve_uri`.

    Attributes:
        database: the SQLite file, if the store is one.
    """

    def __init__(self, uri: str) -> None:
        self.uri = resolve_uri(uri)
        self.database = database_of(self.uri)

    @cached_property
    def client(self) -> MlflowClient:
        """MLflow's own client, made at first use."""
        if self.database is not None:
            refuse_other_databases(self.database)
        else:
            check_driver(self.uri)
        return _open_client(self.uri)

    def check(self, experiment: str) -> None:
        """Refuses a store in which a search could not be recorded, and changes nothing.

        Raises:
            TrackingError: it cannot be reached or written, or the experiment of this name was deleted.
        """
        if self.database is not None:
            check_writable(self.database)
            location = self.location_of(experiment) or ""
            if len(location) > MAX_LOCATION:
                raise TrackingError(
                    f"the path of {self.database.parent} is too long: as an address it takes {len(location)} "
                    f"characters, of which MLflow allows {MAX_LOCATION}; name another store by tracking.uri"
                )
            if not self.exists():
                return
        elif self.uri.startswith(("http://", "https://")):
            check_reachable(self.uri)  # before MLflow's own retries, which take minutes
        self.find(experiment)

    def find(self, experiment: str) -> str | None:
        """The id of an experiment; None if there is none.

        Raises:
            TrackingError: it was deleted, or the store cannot be reached.
        """
        with self.explained():
            found = self.client.get_experiment_by_name(experiment)
        if found is not None and found.lifecycle_stage != "active":
            raise TrackingError(
                f"the MLflow experiment {experiment!r} was deleted; restore it in the MLflow UI, or rename the recipe"
            )
        return None if found is None else str(found.experiment_id)

    def prepare(self) -> None:
        """Creates the store if it is absent, so that processes started later do not race to create it.

        Raises:
            TrackingError: it cannot be reached or written.
        """
        with self.explained():
            if self.database is None:
                self.client.search_experiments(max_results=1)
                return
            refuse_other_databases(self.database)
            with created_whole(self.database):
                _write_ahead(self.database)
                self.client.search_experiments(max_results=1)
                _write_ahead(self.database)  # moves the write-ahead log into the file itself

    def exists(self) -> bool:
        """Whether the store exists: a SQLite file that is not empty, or any other address."""
        return self.database is None or (self.database.is_file() and self.database.stat().st_size > 0)

    def location_of(self, experiment: str) -> str | None:
        """The address of an experiment's artifacts, beside a SQLite file; None if the server chooses it."""
        return None if self.database is None else (self.database.parent / "mlartifacts" / experiment).as_uri()

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turns the store's own errors into one sentence."""
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (MlflowException, SQLAlchemyError, OSError) as error:
            raise self.failure(error) from error

    def failure(self, error: Exception) -> TrackingError:
        """One of the store's own errors as a sentence."""
        return TrackingError(f"the MLflow store {redacted(self.uri)} {_failure(str(error), self.uri)}")


def _failure(text: str, uri: str) -> str:
    """A store's failure and what to do, from the text of its error, which may contain the store's address."""
    text = redacted(" ".join(text.split()), uri)
    for sign, sentence in FAILURES.items():
        if sign in text:
            return sentence
    return f"failed: {text[:300]}"


@contextmanager
def collection_paused() -> Iterator[None]:
    """Pauses garbage collection: SQLAlchemy creates some 30 objects per run, and scanning them doubles the time."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def _open_client(uri: str) -> MlflowClient:
    with environment(**quiet_variables("mlflow")):
        from mlflow import MlflowClient  # sets its logger's level
    with quiet("mlflow"):
        client = MlflowClient(tracking_uri=uri)
        _spare_syncs(client)
    return cast("MlflowClient", _RetryingClient(client))


def _write_ahead(database: Path) -> None:
    """Lets SQLite log ahead of its file: a commit then waits for no disk, and readers for no writer.

    If the file system or the file does not allow it, all is as before.
    """
    with suppress(sqlite3.Error), closing(sqlite3.connect(database, timeout=20)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _spare_syncs(client: MlflowClient) -> None:
    """Skips syncs at commits, which a write-ahead log does not need; only a power cut could lose the last commits."""
    from sqlalchemy import event

    engine = engine_of(client)
    if engine is not None and engine.dialect.name == "sqlite" and not event.contains(engine, "connect", _spare_sync):
        event.listen(engine, "connect", _spare_sync)
        engine.dispose()  # further connections are new and trigger the listener


def _spare_sync(connection: sqlite3.Connection, _: object) -> None:
    with suppress(sqlite3.Error):  # MLflow reports a file that is not a database
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        if mode == "wal":
            connection.execute("PRAGMA synchronous = NORMAL")


class _RetryingClient:
    """MLflow's client, which retries if a store is unavailable, locked or out of disk."""

    def __init__(self, client: MlflowClient) -> None:
        self._client = client
        self._away = False

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        if not callable(method):
            return method

        @wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            return self._retry(lambda: method(*args, **kwargs))

        return call

    def create_run(self, experiment: str, start: int, tags: dict[str, str], name: str) -> Run:
        """As MLflow's, but creates no second run if an earlier attempt created it and its answer was lost."""
        failed = False

        def create() -> Run:
            nonlocal failed
            if failed:
                for run in self._client.search_runs([experiment], f"attributes.start_time = {start}"):
                    if run.info.run_name == name and run.info.status == "RUNNING":
                        return run
            failed = True
            return self._client.create_run(experiment, start, tags, name)

        return self._retry(create)

    def _retry(self, call: Callable[[], R]) -> R:
        # After one failed wait, further calls do not wait again.
        may_pass = (lambda error: False) if self._away else passes
        waits = is_retrying() and not self._away
        limit = {} if waits else {"MLFLOW_HTTP_REQUEST_TIMEOUT": str(AWAY_SECONDS)}
        try:
            with quiet("mlflow"), environment(**limit):
                result = retry(call, may_pass)
        except Exception as error:
            self._away = passes(error)
            raise
        self._away = False
        return result


def passes(error: Exception) -> bool:
    """Whether an error of the store may be transient."""
    text = str(error)
    return any(sign in text for sign in PASSING)


@contextmanager
def current_uri(uri: str) -> Iterator[None]:
    """Directs MLflow's fluent calls to the URI; restores everything afterwards, including the environment variable."""
    import mlflow

    before = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None  # type: ignore[no-untyped-call]
    variable = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)  # type: ignore[arg-type]
        if variable is not None:
            os.environ["MLFLOW_TRACKING_URI"] = variable
        else:
            os.environ.pop("MLFLOW_TRACKING_URI", None)
