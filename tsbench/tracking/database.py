"""Checks a store's SQLite file before MLflow opens it and writes to it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from tsbench.data.folders import is_writable, nearest_folder
from tsbench.errors import TrackingError, argument

__all__ = ["check_writable", "created_whole", "refuse_other_databases"]

MLFLOW = {"experiments", "alembic_version"}
"""Tables of an MLflow database, also if its creation was interrupted."""


def refuse_other_databases(path: Path) -> None:
    """Refuses another program's database, to which MLflow would add its tables.

    Raises:
        TrackingError: the file is a database, but not MLflow's.
    """
    if not path.is_file():
        return
    tables: set[str] = set()
    # MLflow reports a file that is locked or not a database.
    with suppress(sqlite3.Error), closing(sqlite3.connect(path, timeout=1)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if tables and not tables & MLFLOW:
        raise TrackingError(
            f"{path} is a database of another program: it has the tables {', '.join(sorted(tables)[:5])}, and none of "
            f"MLflow's; name another file by tracking.uri or {argument('--tracking-uri', 'tracking_uri')}"
        )


def check_writable(path: Path) -> None:
    """Refuses a file that cannot be written or created, and changes nothing.

    Raises:
        TrackingError: it is a folder, it or its folder is read-only, or it is not a database.
    """
    folder = nearest_folder(path.parent)
    if not folder.is_dir():
        raise TrackingError(f"the MLflow store {path} cannot be created: {folder} is a file, not a folder")
    if not is_writable(folder):
        raise TrackingError(
            f"the MLflow store {path} cannot be written: {folder} is read-only; change its permissions, or name "
            "another store by tracking.uri"
        )
    if path.is_dir():
        raise TrackingError(f"the MLflow store {path} is a folder; name a file in it, as in {path / 'mlflow.db'}")
    if path.exists() and not os.access(path, os.W_OK):
        raise TrackingError(f"the MLflow store {path} is read-only; change its permissions, or name another store")
    refuse_other_databases(path)


@contextmanager
def created_whole(path: Path) -> Iterator[None]:
    """Removes a database created within the context, and its folders, if an error ends the creation."""
    fresh = not path.exists()
    folders = [folder for folder in path.parents if not folder.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        if fresh:
            with suppress(OSError):
                for suffix in ("", "-wal", "-shm"):
                    path.with_name(path.name + suffix).unlink(missing_ok=True)
                for folder in folders:
                    folder.rmdir()
        raise
