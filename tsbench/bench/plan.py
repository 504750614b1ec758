"""The plan of a recipe: its cells, checked before anything is started."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tsbench.data.archive import Archive
from tsbench.data.cache import nothing_kept
from tsbench.data.catalogue import catalogue
from tsbench.data.collection import DataSet
from tsbench.data.selection import absent_from, archive_of, names_of
from tsbench.errors import DataError, RecipeError
from tsbench.evaluation.resampling import resample
from tsbench.recipe.former import as_formerly_resolved
from tsbench.recipe.loading import LoadedRecipe
from tsbench.recipe.messages import count_of
from tsbench.recipe.schema import OwnDataConfig, Recipe, SearchConfig, format_duration
from tsbench.recipe.space import grid_size
from tsbench.recipe.writing import to_yaml
from tsbench.redaction import redacted, redacted_tree
from tsbench.tracking.store import Store
from tsbench.workers.local import find_devices

__all__ = ["Cell", "Plan", "describe_plan", "folder_of", "home_of", "make_plan", "studies_folder", "study_folders"]

BUDGETS_AND_PLACES = ("trials", "timeout", "storage", "confirm")
"""Search settings on which a study's trials do not depend."""


@dataclass(frozen=True)
class Cell:
    """One data set in one resample, a cell of the benchmark: a study, a final network and the baselines.

    Attributes:
        dataset: name of the data set.
        resample: number of the resample.
        folder: of its study.
        size: training cases times time steps, from which the time left is estimated.
    """

    dataset: str
    resample: int
    folder: Path
    size: int

    @property
    def title(self) -> str:
        """The cell's name in messages."""
        return self.dataset if self.resample == 0 else f"{self.dataset} resample {self.resample}"


@dataclass(frozen=True)
class Plan:
    """A checked recipe with its cells.

    Attributes:
        loaded: the recipe and its space.
        cells: in the order they are started.
        devices: a torch device for each worker process of this machine; empty if a launcher starts them elsewhere.
        workers: number of workers.
        concurrency: maximum number of trials of a study in flight.
        trials: of each study; 1 if there is nothing to search.
        store: the MLflow store.
    """

    loaded: LoadedRecipe
    cells: tuple[Cell, ...]
    devices: tuple[str, ...]
    workers: int
    concurrency: int
    trials: int
    store: Store

    @property
    def home(self) -> Path:
        """The folder of the recipe's studies."""
        return self.cells[0].folder.parent

    @property
    def portfolio(self) -> tuple[dict[str, Any], ...]:
        """What new studies try after the recipe's own values, as Optuna's parameters."""
        from tsbench.studies.portfolio import portfolio_of

        return portfolio_of(self.loaded.space, self.loaded.recipe.hyperparameters, self.loaded.recipe.search)

    @property
    def notes(self) -> list[str]:
        """Notes on the search's settings, shown before it runs."""
        from tsbench.studies.pruning import pruning_note

        search, space = self.loaded.recipe.search, self.loaded.space
        notes = []
        if self.trials and not space:
            instead = f", in 1 trial instead of {search.trials}" if search.trials > 1 else ""
            notes.append(f"the space is empty: only the recipe's own values are tried{instead}")
        elif self.trials and "space" not in self.loaded.recipe.model_fields_set:
            notes.append(
                f"the recipe has no space, so the default space is searched ({count_of(len(space), 'setting')}); "
                "`space: {}` tries only the recipe's own values"
            )
        if search.sampler == "grid":
            given = {
                "enqueue": bool(search.enqueue),
                "portfolio": "portfolio" in search.model_fields_set and search.portfolio != "none",
            }
            unused = [f"search.{name}" for name, is_given in given.items() if is_given]
            notes += [f"{name} is not used: a grid tries every combination of the space" for name in unused]
        if "pruner" in search.model_fields_set and (note := pruning_note(search, self.trials, self.concurrency)):
            notes.append(note)
        return notes

    def load(self, cell: Cell) -> DataSet:
        """Reads a cell's data."""
        return resample(archive_of(self.loaded.recipe).load(cell.dataset), cell.resample)

    def resolved(self) -> dict[str, Any]:
        """The recipe with every value that will be used, in plain data, without credentials."""
        tree: dict[str, Any] = redacted_tree(self.loaded.resolved())
        tree["execution"]["workers"] = self.workers
        tree["search"]["concurrency"] = self.concurrency
        tree["search"]["trials"] = self.trials
        return tree

    def fixed_settings(self, cell: Cell, files: dict[str, str]) -> dict[str, Any]:
        """The settings on which a study's results depend, without budgets, baselines, storage and workers."""
        tree = self.loaded.resolved()
        search = {key: value for key, value in tree["search"].items() if key not in BUDGETS_AND_PLACES}
        kept = {key: tree[key] for key in ("model", "training", "preprocessing", "space")}
        for entry in self.loaded.recipe.datasets:
            if isinstance(entry, OwnDataConfig) and entry.name == cell.dataset:  # how its files are read and split
                kept["data"] = entry.model_dump(mode="json", exclude={"train", "test", "file"})
        return {**kept, "search": search, "resample": cell.resample, "files": files}

    def earlier_settings(self, cell: Cell, files: dict[str, str]) -> list[dict[str, Any]]:
        """`fixed_settings` as earlier versions without some settings wrote them; the recipe sets none of these.

        The first are of the version before the constraints, the second of that before the portfolio too, the third of
        the versions before all of these settings, the last of version 0.1.0, whose network had other defaults.
        """
        from tsbench.studies.specification import EARLIER, EARLIER_HOLDOUT

        fixed, named = self.fixed_settings(cell, files), self.loaded.recipe.search.model_fields_set
        unnamed = {key for key, value in EARLIER.items() if key not in named or fixed["search"].get(key) == value}
        searches = [
            {key: value for key, value in fixed["search"].items() if key not in unnamed & lacking}
            for lacking in ({"constraints"}, {"constraints", "portfolio"}, EARLIER.keys())
        ]
        if "holdout_above" not in named:
            searches[-1]["holdout_above"] = EARLIER_HOLDOUT
        earlier = [{**fixed, "search": search} for search in searches]
        return [*earlier, as_formerly_resolved(earlier[-1], self.loaded.named)]


def studies_folder(store: Store) -> Path:
    """The folder of all recipes' studies: beside a SQLite store, otherwise in the current folder."""
    return (store.database.parent if store.database else Path.cwd()) / ".tsbench"


def home_of(store: Store, name: str) -> Path:
    """The folder of a recipe's studies."""
    return studies_folder(store) / name


def folder_of(home: Path, dataset: str, resample: int) -> Path:
    """The folder of one of a recipe's studies."""
    return home / (dataset if resample == 0 else f"{dataset}-resample-{resample}")


def study_folders(recipe: Recipe, home: Path) -> Iterator[Path]:
    """The folders of all studies of a recipe, whether or not they exist."""
    for name in names_of(recipe):
        for number in range(recipe.evaluation.resamples):
            yield folder_of(home, name, number)


def make_plan(loaded: LoadedRecipe, say: Callable[[str], None] = lambda text: None, dry: bool = False) -> Plan:
    """Checks the recipe against this machine: every data set is read once, so that no error appears an hour later.

    Args:
        loaded: the recipe.
        say: called with a line for each data set before it is downloaded, and for what a person should know of how its
            files were read, the channels of a table first.
        dry: change nothing: no data set is downloaded, and nothing that is read is kept in a cache.

    Raises:
        DataError: with every data set that is unavailable or broken.
        TsbenchError: a device does not exist.
        TrackingError: a store that MLflow does not accept.
    """
    recipe = loaded.recipe
    execution = recipe.execution
    local = execution.launcher == "local"
    if not local:
        check_reach(recipe)
    devices = find_devices(execution.device, execution.workers, execution.trials_per_device) if local else []
    workers = len(devices) if local else int(execution.workers)
    concurrency = recipe.search.concurrency
    store = Store(recipe.tracking.uri)
    return Plan(
        loaded,
        tuple(_cells(loaded, home_of(store, recipe.name), _dry_sizes(loaded, say) if dry else _sizes(loaded, say))),
        tuple(devices),
        workers,
        max(4, 2 * workers) if concurrency == "auto" else concurrency,
        _trials(loaded),
        store,
    )


def check_reach(recipe: Recipe) -> None:
    """Refuses stores that only this machine can write to if workers are on other machines.

    Raises:
        RecipeError: with the address to write instead.
    """
    if recipe.execution.address == "local":  # a Ray of this machine's own
        return
    launcher, problems = f"execution.launcher {recipe.execution.launcher!r}", []
    if recipe.search.storage is None:
        problems.append(
            f"{launcher} needs search.storage: postgresql://..., as workers on other machines cannot safely write the "
            "journal file in which trials are kept otherwise"
        )
    if not recipe.tracking.uri.startswith(("http://", "https://")):
        problems.append(
            f"{launcher} needs tracking.uri: http://... of an MLflow server, as workers on other machines cannot reach "
            f"{redacted(recipe.tracking.uri)}"
        )
    if problems:
        raise RecipeError(problems)


def _trials(loaded: LoadedRecipe) -> int:
    search = loaded.recipe.search
    if not loaded.space:
        return min(1, search.trials)
    return min(search.trials, grid_size(loaded.space)) if search.sampler == "grid" else search.trials


def _cells(loaded: LoadedRecipe, home: Path, sizes: Mapping[str, int]) -> Iterator[Cell]:
    for number in range(loaded.recipe.evaluation.resamples):
        for name, size in sizes.items():
            yield Cell(name, number, folder_of(home, name, number), size)


def _sizes(loaded: LoadedRecipe, say: Callable[[str], None]) -> dict[str, int]:
    """Training cases times time steps of each data set, which is downloaded if necessary.

    Raises:
        DataError: with every data set that cannot be downloaded, or is broken.
    """
    archive, names = archive_of(loaded.recipe), names_of(loaded.recipe)
    archive.obtain_all(names, say)
    return _read_sizes(archive, names, say)


def _dry_sizes(loaded: LoadedRecipe, say: Callable[[str], None]) -> dict[str, int]:
    """As `_sizes`, with the catalogue's sizes of sets that would be downloaded; 0 if it has none."""
    names, absent = names_of(loaded.recipe), absent_from(loaded.recipe)
    with nothing_kept():
        sizes = _read_sizes(archive_of(loaded.recipe), [name for name in names if name not in absent], say)
    sizes |= {name: facts.train * facts.longest for name in absent if (facts := catalogue().get(name))}
    return {name: sizes.get(name, 0) for name in names}


def _read_sizes(archive: Archive, names: Sequence[str], say: Callable[[str], None]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    problems: list[str] = []
    for name in names:
        try:
            dataset = archive.load(name)
            sizes[name] = len(dataset.train) * dataset.train.length
            for remark in dataset.remarks:
                say(f"{name}: {remark}")
        except DataError as error:
            problems.append(str(error))
    if problems:
        raise DataError("\n".join(problems))
    return sizes


def _repeats(search: SearchConfig) -> str:
    if search.repeats == "auto":
        return " (drawn twice below 60 training cases)"
    return "" if search.repeats == 1 else f" drawn {search.repeats} times"


def _portfolio(plan: Plan) -> list[str]:
    before = len(plan.loaded.recipe.search.enqueue) + 1
    count = max(0, min(len(plan.portfolio), plan.trials - before))
    return [f"# {count_of(count, 'trial')} of the portfolio, after the recipe's own values;"] if count else []


def _confirmation(plan: Plan) -> list[str]:
    confirm = min(plan.loaded.recipe.search.confirm, plan.trials - 1)
    if confirm < 1:
        return []
    return [f"# {count_of(confirm, 'best trial')} and the default again, on other folds, to choose between them;"]


def describe_plan(plan: Plan) -> str:
    """The resolved recipe as YAML-compatible text, with a summary of the plan in comments."""
    recipe = plan.loaded.recipe
    on = f"{count_of(plan.workers, 'worker')} ({', '.join(sorted(set(plan.devices))) or recipe.execution.launcher})"
    further = f"{count_of(len(recipe.baselines), 'baseline')} for each."
    if recipe.auto is not None:
        limit = recipe.auto.time_limit
        further = f"auto ({'no time limit' if limit is None else f'at most {format_duration(limit)}'}) and {further}"
    if plan.trials:
        lines = [
            f"# {count_of(len(plan.cells), 'study', 'studies')} of {count_of(plan.trials, 'trial')} on {on}, "
            f"{recipe.search.folds} folds each{_repeats(recipe.search)};",
            f"# one held-out part instead if there are more than {recipe.search.holdout_above} training cases;",
            *_portfolio(plan),
            *_confirmation(plan),
            f"# then {count_of(recipe.evaluation.ensemble, 'network')} of the chosen configuration, {further}",
        ]
    else:
        lines = [f"# {count_of(len(plan.cells), 'data set')} on {on}, no search;", f"# {further}"]
    lines += [f"# note: {note}" for note in plan.notes]
    lines += [f"# - {cell.title}: {cell.size} training values per channel" for cell in plan.cells[:20]]
    if len(plan.cells) > 20:
        lines.append(f"# - and {len(plan.cells) - 20} more")
    if plan.loaded.freed:
        lines.append(f"# fixed by --set, so not searched: {', '.join(plan.loaded.freed)}")
    return "\n".join(lines) + "\n" + to_yaml(plan.resolved())
