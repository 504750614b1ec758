"""Removes a search completely, so that no child run is left without its parent."""

from __future__ import annotations

import shutil
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from filelock import Timeout

from tsbench.bench.plan import home_of
from tsbench.bench.preflight import held
from tsbench.data.folders import is_folder
from tsbench.errors import SearchError
from tsbench.studies.study import Study
from tsbench.tracking import names
from tsbench.tracking.models import delete_registered_model
from tsbench.tracking.store import RunRecord, Store

__all__ = ["Removal", "plan_removal", "remove"]


@dataclass(frozen=True)
class Removal:
    """The runs, models and studies of a search.

    Attributes:
        name: of the recipe.
        runs: parents, trials, networks and baselines.
        models: names of its registered models.
        folder: of its studies on disk, if there is one.
        unreadable: a sentence for each study whose file cannot be read; it is removed with the folder.
    """

    name: str
    runs: tuple[RunRecord, ...]
    models: tuple[str, ...]
    folder: Path | None
    unreadable: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether there is nothing to remove."""
        return not (self.runs or self.models or self.folder)

    def described(self) -> str:
        """Describes what would be removed."""
        counts = Counter(run.tags[names.ROLE] for run in self.runs)
        words = {"search": "parent run", "trial": "trial", "model": "final network", "baseline": "baseline"}
        parts = [
            f"{counts[role]} {word}{'' if counts[role] == 1 else 's'}" for role, word in words.items() if counts[role]
        ]
        parts += [f"registered model {name} with all its versions" for name in self.models]
        if self.folder is not None:
            parts.append(f"studies in {self.folder}")
        return ", ".join(parts)


def plan_removal(store: Store, name: str) -> Removal:
    """Finds the runs, models and studies of a search.

    Raises:
        TrackingError: the store has no such experiment.
    """
    runs = tuple(store.runs(name, names.where({names.RECIPE: name})))
    registered = {run.tags[names.REGISTERED].rpartition(" version ")[0] for run in runs if names.REGISTERED in run.tags}
    folder = home_of(store, name)
    if not is_folder(str(folder)):
        return Removal(name, runs, tuple(sorted(registered)), None)
    return Removal(name, runs, tuple(sorted(registered)), folder, tuple(_read_studies(folder)[1]))


def remove(store: Store, removal: Removal) -> None:
    """Removes the studies, then the runs, children before parents, and the registered models.

    Raises:
        SearchError: the search is running, its folder cannot be written, or the studies' database cannot be opened;
            nothing was removed.
        TrackingError: the store cannot be written, and nothing was removed; or it failed later, and the same call
            removes what is left.
    """
    try:
        with held(removal.folder) if removal.folder is not None else nullcontext():
            studies = _studies_in(removal.folder)
            store.connection.check(removal.name)
            for study in studies:
                study.delete()
            for run in sorted(removal.runs, key=lambda run: run.tags[names.ROLE] == "search"):
                store.delete(run.run_id)
            for name in removal.models:
                delete_registered_model(store, name)
    except Timeout:
        raise SearchError(f"a search of {removal.name!r} is running; stop it first") from None
    if removal.folder is not None:
        shutil.rmtree(removal.folder)


def _studies_in(folder: Path | None) -> list[Study]:
    """The studies of a recipe, archived ones too, each with its storage open so that it can be deleted.

    Raises:
        SearchError: the database of one cannot be opened.
    """
    studies = [] if folder is None else _read_studies(folder)[0]
    for study in studies:
        if study.in_database:
            _ = study.storage
    return studies


def _read_studies(folder: Path) -> tuple[list[Study], list[str]]:
    """The studies in a recipe's folder, and a sentence for each whose file cannot be read."""
    studies: list[Study] = []
    unreadable: list[str] = []
    for file in sorted(folder.glob("*/study.json")):
        try:
            studies.append(Study.open(file.parent))
        except SearchError:
            unreadable.append(
                f"{file} cannot be read; if its trials are in a database (search.storage), they are not removed there"
            )
    return studies, unreadable
