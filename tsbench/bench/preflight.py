"""Checks a search before it changes anything, so that a refusal leaves everything as it was."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from tsbench.bench.plan import home_of, study_folders
from tsbench.data.folders import is_writable, nearest_folder
from tsbench.errors import SearchError, TrackingError
from tsbench.recipe.schema import Recipe
from tsbench.redaction import redacted
from tsbench.studies.specification import or_fresh
from tsbench.studies.storage import open_database
from tsbench.studies.study import Study
from tsbench.tracking.addresses import database_of
from tsbench.tracking.store import Store
from tsbench.workers import check_launcher
from tsbench.workers.joining import ADDRESS

__all__ = ["LOCK", "check_ready", "held", "is_held", "refusal_of_second"]

LOCK = "lock"
"""The lock file in a recipe's folder, held by the process of its search."""


def check_ready(recipe: Recipe, fresh: bool) -> None:
    """Refuses a search that could not be run, and changes nothing.

    Whatever depends on the data sets is checked later, as they may have to be downloaded.

    Args:
        recipe: the recipe.
        fresh: whether to archive its studies and create new ones.

    Raises:
        SearchError: the search is running, its folder or database cannot be written, or a study is damaged.
        TsbenchError: there is no cluster at the recipe's address.
        TrackingError: the MLflow store cannot be reached or written, or the runs to continue were deleted there.
    """
    store = Store(recipe.tracking.uri)
    home = home_of(store, recipe.name)
    _check_folder(home)
    if is_held(home):
        raise refusal_of_second(recipe.name, home)
    check_launcher(recipe.execution)  # quick checks first, as the store may have to be waited for
    store.connection.check(recipe.name)
    if recipe.search.storage is not None:
        open_database(recipe.search.storage)
    if not fresh:
        _check_studies(store, study_folders(recipe, home))


def is_held(home: Path) -> bool:
    """Whether a process runs the search of this folder.

    Raises:
        SearchError: the file of its lock cannot be opened.
    """
    if not (home / LOCK).exists():
        return False
    try:
        with held(home):
            return False
    except Timeout:
        return True


@contextmanager
def held(home: Path) -> Iterator[None]:
    """Holds the lock of the search of this folder.

    Raises:
        Timeout: another process holds it.
        SearchError: its file cannot be opened.
    """
    lock = FileLock(home / LOCK, timeout=0)
    try:
        lock.acquire()
    except OSError as error:
        if isinstance(error, Timeout):
            raise
        raise SearchError(
            f"{home / LOCK} cannot be opened ({error.strerror}); remove it, or change its permissions"
        ) from None
    try:
        yield
    finally:
        lock.release()


def refusal_of_second(recipe: str, home: Path) -> SearchError:
    """The error that another process runs the search."""
    return SearchError(
        f"another `tsbench search` of {recipe!r} is running (it holds {home / LOCK}); wait for it, or give this "
        "recipe another name"
    )


def _check_folder(home: Path) -> None:
    folder = nearest_folder(home)
    if not folder.is_dir():
        raise SearchError(f"the studies cannot be written to {home}: {folder} is a file, not a folder")
    if not is_writable(folder):
        raise SearchError(f"the studies cannot be written to {home}: {folder} is read-only; change its permissions")
    if (home / ADDRESS).is_dir():
        raise SearchError(f"{home / ADDRESS} is a folder, and the search writes a file of this name; remove it")


def _check_studies(store: Store, folders: Iterable[Path]) -> None:
    """Refuses to continue a study that is damaged or no longer in MLflow, as all its trials would be run again."""
    studies = [Study.open(folder) for folder in folders if (folder / "study.json").exists()]
    for study in studies:
        study.check()
        if not is_writable(study.folder):
            raise SearchError(f"the study cannot be continued: {study.folder} is read-only; change its permissions")
    there: dict[str, bool] = {}
    for experiment in sorted({study.spec.experiment for study in studies}) if store.connection.exists() else ():
        there |= store.searches(experiment)
    problems = [problem for study in studies if (problem := _problem_of(study, store, there)) is not None]
    if problems:
        raise TrackingError("\n".join(problems))


def _problem_of(study: Study, store: Store, there: dict[str, bool]) -> str | None:
    """Why MLflow does not let a study be continued.

    Args:
        study: the study.
        store: the recipe's store.
        there: for each parent run in the store, whether it exists rather than being deleted.
    """
    spec = study.spec
    search = f"the search of {spec.dataset}" + (f" resample {spec.resample}" if spec.resample else "")
    recorded, now = redacted(spec.tracking_uri), redacted(store.uri)
    if _is_another_file(spec.tracking_uri, store.uri):
        return (
            f"{search} is recorded in the MLflow store {recorded}, and the recipe now names {now}; set tracking.uri to "
            f"the former, or move its folder back, {or_fresh()}"
        )
    if spec.parent_run not in there:
        return (
            f"{search} is recorded in the MLflow run {spec.parent_run}, which {now} does not have; set "
            f"tracking.uri to the store that has it, {or_fresh()}"
        )
    if not there[spec.parent_run]:
        return (
            f"the MLflow run {spec.parent_run}, in which {search} is recorded, was deleted; restore it in the MLflow "
            f"UI, {or_fresh()}"
        )
    return None


def _is_another_file(recorded: str, now: str) -> bool:
    """Whether two addresses are of different SQLite files; a server may have been renamed."""
    before, after = database_of(recorded), database_of(now)
    if before is None or after is None or before == after:
        return False
    return not (before.exists() and after.exists() and before.samefile(after))
