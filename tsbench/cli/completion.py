"""Completes names in a shell: recipes, experiments, data sets and runs, without any heavy import.

A completion function never fails: if names cannot be found, nothing is completed, and the command itself reports
the problem.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from tsbench.api.sources import DEFAULT_STORE
from tsbench.errors import TsbenchError

if TYPE_CHECKING:
    from tsbench.tracking.store import Store

__all__ = [
    "any_runs",
    "classifiers",
    "data_sets",
    "experiments",
    "experiments_and_recipes",
    "listed_data_sets",
    "models",
    "recipes",
]

SUFFIXES = (".yaml", ".yml")


def recipes(incomplete: str) -> list[str]:
    """YAML files in the typed folder and in its subfolders; the shell completes deeper ones."""
    folder, _, start = incomplete.rpartition("/")
    shown = f"{folder}/" if "/" in incomplete else ""
    root = Path(shown or ".")
    found = []
    with suppress(OSError, RuntimeError):  # RuntimeError: no such user after ~
        root = root.expanduser()
        for path in sorted(root.iterdir()):
            if not path.name.startswith(start) or path.name.startswith("."):
                continue
            inside = sorted(path.iterdir()) if path.is_dir() else [path]
            found += [f"{shown}{file.relative_to(root)}" for file in inside if file.suffix in SUFFIXES]
    return found


def experiments(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of searches: the experiments of a SQLite store, or the folders of studies here if the store is a server."""
    from tsbench.tracking import tables

    found: list[str] = []
    with suppress(TsbenchError, OSError):
        database = _store(ctx).database
        if database is None:
            found = sorted(path.name for path in Path(".tsbench").iterdir() if path.is_dir())
        else:
            found = [row.name for row in tables.experiments(database) if row.active]
    return [name for name in found if name.startswith(incomplete)]


def experiments_and_recipes(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of searches, and recipes' files."""
    return [*experiments(ctx, incomplete), *recipes(incomplete)]


def models(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Ids of runs that have a model, each with its name: final networks and searches."""
    return list(_runs(ctx, incomplete, ("model", "search")))


def any_runs(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Ids of runs that can be run again, each with its name: final networks, baselines, searches and trials."""
    return list(_runs(ctx, incomplete, ("model", "baseline", "search", "trial")))


def data_sets(incomplete: str) -> list[str]:
    """Data sets and collections of the catalogue."""
    from tsbench.data.catalogue import catalogue
    from tsbench.recipe.registries import COLLECTIONS

    with suppress(TsbenchError, OSError):
        return [name for name in (*COLLECTIONS, *catalogue()) if name.startswith(incomplete)]
    return []


def listed_data_sets(incomplete: str) -> list[str]:
    """As `data_sets`, of a list that is separated by commas: its last name is completed."""
    return _last_of_list(incomplete, data_sets)


def classifiers(ctx: typer.Context, incomplete: str) -> list[str]:
    """Classifiers that a comparison may show: of the store's runs, registered baselines and published ones."""
    from tsbench.classifiers.baselines import BASELINES
    from tsbench.tracking import tables

    found = dict.fromkeys(("network", "auto", *BASELINES))
    with suppress(TsbenchError, OSError):
        if (database := _store(ctx).database) is not None:
            found |= dict.fromkeys(tables.classifiers(database))
    if ctx.params.get("reference"):
        with suppress(TsbenchError, OSError):
            found |= dict.fromkeys(_published())
    return _last_of_list(incomplete, lambda start: [name for name in found if name.startswith(start)])


def _published() -> list[str]:
    """Names of the published classifiers; the files are read without NumPy."""
    import csv
    from importlib.resources import files

    folder = files("tsbench") / "comparisons" / "references"
    texts = [file.read_text(encoding="utf-8") for file in folder.iterdir() if file.name.endswith(".csv")]
    return sorted({row["classifier"] for text in texts for row in csv.DictReader(text.splitlines())})


def _last_of_list(incomplete: str, complete: Callable[[str], list[str]]) -> list[str]:
    before, comma, start = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in complete(start)]


def _runs(ctx: typer.Context, incomplete: str, roles: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    from tsbench.tracking import tables

    with suppress(TsbenchError, OSError):
        database = _store(ctx).database
        for run in tables.newest_runs(database, roles) if database is not None else ():
            if run.id.startswith(incomplete):
                yield run.id, f"{run.name} (search)" if run.role == "search" else run.name


def _store(ctx: typer.Context) -> Store:
    """The store that the command will read."""
    from tsbench.tracking.store import Store

    return Store(str(ctx.params.get("tracking_uri") or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_STORE))
