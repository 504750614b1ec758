"""Optuna's storage of a study: a journal file for one machine, PostgreSQL for several."""

from __future__ import annotations

import errno
import json
import logging
import os
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import optuna
from filelock import FileLock
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from tsbench.adapters.optuna import CACHE_CALLS, JournalOperation, backend_of
from tsbench.errors import SearchError, argument
from tsbench.redaction import redacted
from tsbench.retries import retry
from tsbench.studies.integrity import check_journal, damaged_journal

__all__ = ["DatabaseAwayError", "open_database", "open_journal", "together", "when_there_is_space"]

HEARTBEAT = 30
"""Seconds between two heartbeats of a running trial in a database, for other readers such as Optuna's own
tools; a search hears of a worker's death by its connection, and sooner."""


class _Journal(JournalFileBackend):
    """Optuna's journal, for processes that may be killed at any moment.

    Its lock is one that the system takes back from the dead (Optuna's own, which a killed process would hold for 30 s,
    is never taken), and half a line, of a killed process or on a full disk, is
    taken away. Only a trial's end, with all that was noted before it, is waited for until it is on the disk: after a
    power cut the rest is done again.
    """

    def __init__(self, file: Path) -> None:
        super().__init__(str(file))
        self._path = file
        self._own_lock = FileLock(file.with_name(f"{file.name}.lock"), poll_interval=0.002)
        self._held: list[dict[str, Any]] | None = None

    @contextmanager
    def together(self) -> Iterator[None]:
        """Collects the records within the context and writes them at its end, with one sync."""
        self._held = []
        try:
            yield
        finally:
            held, self._held = self._held, None
            if held:
                self.append_logs(held)

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        if self._held is not None:  # Optuna reads new lines after each record
            return
        try:
            yield from super().read_logs(log_number_from)
        except OSError as error:
            raise self._unavailable(error) from None
        except ValueError:
            check_journal(self._path)  # the message names the line
            raise damaged_journal(self._path, "a line is not valid JSON") from None

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        if self._held is not None:
            self._held += logs
            return
        try:
            when_there_is_space(lambda: self._append(logs), self._path)
        except OSError as error:
            raise self._unavailable(error) from None

    def _unavailable(self, error: OSError) -> SearchError:
        if not self._path.exists():
            return SearchError(
                f"{self._path}, which holds the trials of a study, was deleted or moved while it was in use; put it "
                f"back, or run the search with {argument('--fresh', 'fresh=True')}, which starts a new study"
            )
        return SearchError(f"{self._path} cannot be read or written ({error.strerror}); the same command continues")

    def _append(self, logs: list[dict[str, Any]]) -> None:
        with self._own_lock:
            _cut_half_a_line(self._path)
            size = self._path.stat().st_size
            try:
                with self._path.open("ab") as file:
                    file.write("".join(f"{json.dumps(log, separators=(',', ':'))}\n" for log in logs).encode())
                    file.flush()
                    if any(map(_ends_a_trial, logs)):
                        os.fsync(file.fileno())
            except OSError:
                os.truncate(self._path, size)
                raise


def _ends_a_trial(log: dict[str, Any]) -> bool:
    return log["op_code"] == JournalOperation.SET_TRIAL_STATE_VALUES and TrialState(log["state"]).is_finished()


def when_there_is_space(call: Callable[[], None], place: Path) -> None:
    """Calls a function that writes to a disk, and retries while the disk is full.

    Args:
        call: the function; a failed call must change nothing.
        place: the file or folder that it writes.

    Raises:
        SearchError: it was full for too long.
    """
    try:
        retry(call, _is_full_disk)
    except OSError as error:
        if not _is_full_disk(error):
            raise
        raise SearchError(
            f"no space is left on the disk of {place}; free some space, then rerun the same command to resume"
        ) from None


def _is_full_disk(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def _cut_half_a_line(path: Path) -> None:
    with path.open("rb+") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - 1))
        if file.read() in (b"", b"\n"):
            return
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)


def open_journal(file: Path) -> JournalStorage:
    """The storage in a file of this machine."""
    with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
        return JournalStorage(_Journal(file))


@contextmanager
def together(storage: BaseStorage) -> Iterator[None]:
    """Writes the records on a trial within the context to a journal in one write.

    Raises:
        optuna.exceptions.UpdateFinishedTrialError: the trial had ended before; in a journal it was not changed.
    """
    backend = backend_of(storage)
    if not isinstance(backend, _Journal):
        yield
        return
    with backend.together():
        yield
    late: Exception | None = None
    while True:
        try:
            storage.get_all_studies()  # reads the file, and raises an error for each record that came too late
            break
        except optuna.exceptions.UpdateFinishedTrialError as error:
            late = error
    if late is not None:
        raise late


AWAY = ("08", "57P", "53")
"""Classes of PostgreSQL's error codes: no connection; starting or shutting down; no memory, disk or connection left."""


SILENCE = 60
"""Seconds after which a silently broken connection is given up; drivers would wait indefinitely."""

_LIBPQ = {"connect_timeout": SILENCE, "tcp_user_timeout": 1000 * SILENCE, "keepalives_idle": SILENCE // 2}
LIMITS = {"pg8000": {"timeout": SILENCE}, "psycopg": _LIBPQ, "psycopg2": _LIBPQ}
"""The drivers' options for it."""

_NO_OUTPUT = logging.NullHandler()


class DatabaseAwayError(SearchError):
    """The database cannot be reached now."""


class _Database(RDBStorage):
    """Optuna's storage in a database; retries while it is unavailable, such as during a server restart."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._away = False
        # The pool logs a traceback for each connection that a restart of the database broke. The call is repeated, or
        # ends in a sentence, so without a handler of the user's own nothing is printed.
        logging.getLogger("sqlalchemy.pool.impl.QueuePool.tsbench").addHandler(_NO_OUTPUT)
        address = _with_driver_and_password(uri)
        limits = LIMITS.get(urlsplit(address).scheme.partition("+")[2], {})
        super().__init__(
            address,
            engine_kwargs={
                "pool_pre_ping": True,
                "pool_size": 2,
                "pool_logging_name": "tsbench",
                "connect_args": dict(limits),
            },
            heartbeat_interval=HEARTBEAT,
            grace_period=4 * HEARTBEAT,
        )

    def record_heartbeat(self, trial_id: int) -> None:
        """Not retried: the next one follows, and the trial itself detects whether the database is unavailable."""
        try:
            super().record_heartbeat(trial_id)
        except Exception as error:
            if not _is_away(error):
                raise

    def wait_for(self, call: Callable[[], Any]) -> Any:
        """Calls the database and retries; after one failed wait, further calls do not wait again.

        Raises:
            DatabaseAwayError: it was unavailable for too long.
        """
        try:
            result = retry(call, (lambda error: False) if self._away else _is_away)
        except Exception as error:
            if not _is_away(error):
                raise
            self._away = True
            raise DatabaseAwayError(
                f"search.storage {redacted(self._uri)} cannot be reached ({redacted(_reason(error), self._uri)}); when "
                "it is back, run the same command again to resume"
            ) from None
        self._away = False
        return result


def _is_away(error: Exception) -> bool:
    """Whether an error means that the database cannot be reached or was lost; a transaction is then rolled back."""
    from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

    cause = error.__cause__ if isinstance(error, optuna.exceptions.StorageInternalError) else error
    if not isinstance(cause, DBAPIError):
        return isinstance(cause, OSError)  # error of a connection attempt
    if cause.connection_invalidated or isinstance(cause, (OperationalError, InterfaceError)):
        return True
    return _sqlstate(cause.orig).startswith(AWAY)


def _sqlstate(error: Any) -> str:
    """PostgreSQL's code of an error, which each driver stores differently."""
    fields = error.args[0] if error.args and isinstance(error.args[0], dict) else {}  # pg8000
    return str(fields.get("C") or getattr(error, "sqlstate", None) or getattr(error, "pgcode", None) or "")


def _reason(error: Exception) -> str:
    cause = error.__cause__ or error
    return str(getattr(cause, "orig", None) or cause).splitlines()[0]


def _retrying(name: str) -> Callable[..., Any]:
    method = getattr(RDBStorage, name)

    @wraps(method)
    def call(self: _Database, *args: Any, **kwargs: Any) -> Any:
        return self.wait_for(lambda: method(self, *args, **kwargs))

    return call


for _name in {*BaseStorage.__abstractmethods__, *CACHE_CALLS} - vars(_Database).keys():
    setattr(_Database, _name, _retrying(_name))


@lru_cache(maxsize=8)
def open_database(uri: str) -> BaseStorage:
    """The storage in a PostgreSQL database; one per process, as each holds connections.

    A password that the address lacks is taken from PGPASSWORD.

    Raises:
        DatabaseAwayError: it cannot be reached now.
        SearchError: it cannot be opened, or a driver is missing.
    """
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
            return _Database(uri)
    except ImportError as error:
        raise SearchError(
            f'search.storage needs a PostgreSQL driver: pip install "tsbench[postgresql]" ({error})'
        ) from None
    except (optuna.exceptions.StorageInternalError, SQLAlchemyError, OSError, ValueError) as error:
        kind = DatabaseAwayError if _is_away(error) else SearchError
        raise kind(f"search.storage {redacted(uri)} cannot be opened: {redacted(_reason(error), uri)}") from None


def _with_driver_and_password(uri: str) -> str:
    parts = urlsplit(uri)
    scheme = "postgresql+pg8000" if parts.scheme == "postgresql" else parts.scheme
    netloc = parts.netloc
    password = os.environ.get("PGPASSWORD")
    if parts.username and parts.password is None and password is not None:
        user, _, host = netloc.rpartition("@")
        netloc = f"{user}:{quote(password, safe='')}@{host}"
    return urlunsplit(parts._replace(scheme=scheme, netloc=netloc))
