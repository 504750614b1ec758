"""Reads names and ids from MLflow's SQLite tables, without MLflow, whose import takes seconds.

Shell completion and the start of `tsbench ui` need them at once. Only columns that MLflow has had since its first
release are read; everything else goes through `Store`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from tsbench.errors import TrackingError
from tsbench.tracking import names

__all__ = [
    "ExperimentRow",
    "RunRow",
    "classifiers",
    "experiments",
    "newest_runs",
    "registered_models",
    "with_test_scores",
]

BUSY = 2.0  # seconds that a reader waits for a writer


@dataclass(frozen=True)
class ExperimentRow:
    """An experiment; `active` is False if it was deleted."""

    id: str
    name: str
    active: bool


@dataclass(frozen=True)
class RunRow:
    """An active run, with the role that tsbench gave it."""

    id: str
    name: str
    role: str


def experiments(database: Path) -> list[ExperimentRow]:
    """The experiments of a store, the newest first, without MLflow's own experiment Default.

    Raises:
        TrackingError: the file is not an MLflow store, or cannot be read.
    """
    rows = _rows(database, "SELECT experiment_id, name, lifecycle_stage FROM experiments ORDER BY experiment_id DESC")
    return [ExperimentRow(str(id_), str(name), stage == "active") for id_, name, stage in rows if name != "Default"]


def with_test_scores(database: Path, experiment: str) -> bool:
    """Whether any active run of an experiment, by its id, has a test accuracy.

    Raises:
        TrackingError: the file is not an MLflow store, or cannot be read.
    """
    found = _rows(
        database,
        "SELECT 1 FROM latest_metrics JOIN runs USING (run_uuid) "
        "WHERE runs.experiment_id = ? AND runs.lifecycle_stage = 'active' AND latest_metrics.key = ? LIMIT 1",
        (int(experiment), names.test("accuracy")),
    )
    return bool(found)


def newest_runs(database: Path, roles: Sequence[str], limit: int = 50) -> list[RunRow]:
    """The newest active runs of these roles.

    Raises:
        TrackingError: the file is not an MLflow store, or cannot be read.
    """
    marks = ", ".join("?" * len(roles))
    rows = _rows(
        database,
        "SELECT runs.run_uuid, runs.name, tags.value FROM runs JOIN tags USING (run_uuid) "
        f"WHERE runs.lifecycle_stage = 'active' AND tags.key = ? AND tags.value IN ({marks}) "
        "ORDER BY runs.start_time DESC LIMIT ?",
        (names.ROLE, *roles, limit),
    )
    return [RunRow(str(id_), str(name or ""), str(role)) for id_, name, role in rows]


def classifiers(database: Path) -> list[str]:
    """Names of the classifiers of all active runs, sorted.

    Raises:
        TrackingError: the file is not an MLflow store, or cannot be read.
    """
    rows = _rows(
        database,
        "SELECT DISTINCT tags.value FROM tags JOIN runs USING (run_uuid) "
        "WHERE runs.lifecycle_stage = 'active' AND tags.key = ? ORDER BY tags.value",
        (names.CLASSIFIER,),
    )
    return [str(value) for (value,) in rows]


def registered_models(database: Path) -> list[str]:
    """Names in the registry of models.

    Raises:
        TrackingError: the file is not an MLflow store, or cannot be read.
    """
    return [str(name) for (name,) in _rows(database, "SELECT name FROM registered_models ORDER BY name")]


def _rows(database: Path, query: str, values: Sequence[object] = ()) -> list[tuple[object, ...]]:
    with _explained(database), closing(_connect(database)) as connection:
        return list(connection.execute(query, tuple(values)))


def _connect(database: Path) -> sqlite3.Connection:
    """A connection that cannot write, and that does not create the file."""
    return sqlite3.connect(f"file:{quote(str(database))}?mode=ro", uri=True, timeout=BUSY)


@contextmanager
def _explained(database: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise TrackingError(f"the MLflow store {database} cannot be read: {error}") from error
