"""`tsbench.search`: runs a recipe and returns its results."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tsbench.api.sources import load_with_data
from tsbench.errors import RecipeError
from tsbench.quiet import environment, quiet_variables

if TYPE_CHECKING:
    import optuna
    import pandas as pd

    from tsbench.bench.plan import Cell, Plan
    from tsbench.bench.progress import Display
    from tsbench.bench.run import BenchmarkRun
    from tsbench.comparisons.comparison import Comparison
    from tsbench.comparisons.results import Result, Results
    from tsbench.models.reopening import SavedModel
    from tsbench.recipe.schema import Recipe

__all__ = ["SearchResults", "prepare", "search"]


def search(
    recipe: str | Path | Mapping[str, Any] | Recipe,
    overrides: Mapping[str, Any] | Sequence[str] = (),
    *,
    fresh: bool = False,
    progress: bool = True,
) -> SearchResults:
    """Tunes the network on a recipe's data sets, scores it and the baselines, and records everything in MLflow.

    It does what `tsbench search` does: the same recipe continues an interrupted search, and runs nothing if that is
    complete. Ctrl-C ends running tasks, records their end, and raises `KeyboardInterrupt`.

    Args:
        recipe: a recipe's file, its content as plain data, or a `tsbench.Recipe`. Paths in it are relative to
            the current folder.
        overrides: values that replace those of the recipe by their dotted names, such as `{"search.trials": 30}`.
        fresh: start new studies instead of continuing earlier ones.
        progress: show a table of data sets and workers, in a terminal or a notebook; elsewhere lines.

    Returns:
        The results, also those of earlier calls. A notebook shows them as a table.

    Raises:
        RecipeError: the recipe is wrong, or was changed since its studies were created.
        DataError: a data set is not available or broken.
        SearchError: another process runs this recipe.
        TrackingError: the MLflow store cannot be written.

    Warns:
        UserWarning: a part of it failed; see `SearchResults.failures`.

    Examples:
        >>> import tsbench
        >>> recipe = {
        ...     "name": "tiny",
        ...     "datasets": ["ItalyPowerDemand"],
        ...     "training": {"epochs": 3},
        ...     "space": {"training.learning_rate": {"float": [1e-3, 1e-1], "log": True}},
        ...     "search": {"trials": 2, "folds": 2},
        ...     "evaluation": {"ensemble": 1},
        ...     "baselines": ["dummy"],
        ... }
        >>> results = tsbench.search(recipe, progress=False)
        >>> results.leaderboard()[["dataset", "classifier", "state"]].values.tolist()
        [['ItalyPowerDemand', 'network', 'complete'], ['ItalyPowerDemand', 'dummy', 'complete']]
        >>> test = tsbench.load_dataset("ItalyPowerDemand").test
        >>> results.model("ItalyPowerDemand").predict_proba(test.X).shape
        (1029, 2)
        >>> len(results.study("ItalyPowerDemand").trials)
        2
        >>> results.compare().control
        'network'
    """
    from rich.console import Console

    from tsbench.bench.progress import make_display

    display = make_display(Console(quiet=not progress))
    with environment(**quiet_variables("mlflow")):
        with display:
            run = prepare(recipe, as_texts(overrides), fresh, display, display.say)
        failures = run.run()
    if failures:
        warnings.warn("\n".join(["what failed:", *failures]), UserWarning, stacklevel=2)
    return SearchResults(run.plan, tuple(failures))


def as_texts(overrides: Mapping[str, Any] | Sequence[str]) -> list[str]:
    """Overrides as texts: `search.trials=30`."""
    from tsbench.recipe.plain import plain

    if not isinstance(overrides, Mapping):
        return list(overrides)
    return [f"{name}={json.dumps(plain(value), default=str)}" for name, value in overrides.items()]


def prepare(
    recipe: str | Path | Mapping[str, Any] | Recipe,
    overrides: Sequence[str] | None,
    fresh: bool,
    display: Display,
    say: Callable[[str], None],
) -> BenchmarkRun:
    """Reads a recipe, checks it and its data, and refuses a search that cannot be started or continued.

    Args:
        recipe: see `search`.
        overrides: `dotted.key=value` texts.
        fresh: see `search`.
        display: shows each step that may take a while.
        say: called with notes on the data.

    Raises:
        RecipeError, DataError, SearchError, TrackingError: see `search`.
    """
    began = time.monotonic()
    plan = _plan(recipe, overrides, fresh, display, say)
    from tsbench.bench.opening import check_compatible
    from tsbench.bench.run import BenchmarkRun

    if not fresh:
        check_compatible(plan)
    run = BenchmarkRun(plan, display, fresh)
    run.state.began = began
    return run


def _plan(recipe: Any, overrides: Sequence[str] | None, fresh: bool, display: Display, say: Any) -> Plan:
    from tsbench.bench.plan import make_plan
    from tsbench.bench.preflight import check_ready
    from tsbench.data.selection import names_of
    from tsbench.recipe.messages import count_of

    loaded = load_with_data(recipe, overrides)
    with loaded.placed():
        check_ready(loaded.recipe, fresh)  # before anything is downloaded
        display.prepare(f"reading {count_of(len(names_of(loaded.recipe)), 'data set')}")
        return make_plan(loaded, say)


@dataclass(frozen=True)
class SearchResults:
    """The results of a search in MLflow and in its studies' folders; read on demand.

    Attributes:
        plan: the recipe and its cells, each a data set in a resample.
        failures: failures of the last call, one sentence each.
    """

    plan: Plan = field(repr=False)
    failures: tuple[str, ...] = ()

    @property
    def recipe(self) -> Recipe:
        """The recipe with its defaults."""
        return self.plan.loaded.recipe

    @property
    def datasets(self) -> tuple[str, ...]:
        """Names of the data sets."""
        return tuple(dict.fromkeys(cell.dataset for cell in self.plan.cells))

    def scores(self) -> Results:
        """The newest result of each classifier, data set and resample.

        Raises:
            TrackingError: nothing was recorded, or the store cannot be read.
        """
        from tsbench.comparisons.results import read_results

        return read_results(self.plan.store, self.recipe.name).of(self.datasets)

    def leaderboard(self) -> pd.DataFrame:
        """One row for each classifier, data set and resample.

        Returns:
            Columns: `dataset`, `classifier`, `resample`, `state` (complete, skipped, failed, ...), every metric that
            was recorded (`test_accuracy`, `cv_accuracy`, `fit_seconds` in seconds, ...; NaN where it was not),
            `reason` if the state is not complete, and `run_id` in MLflow.
        """
        import pandas as pd

        scores = self.scores()
        order = {name: place for place, name in enumerate((*scores.datasets, *scores.classifiers))}
        rows = sorted(scores.rows, key=lambda row: (order[row.dataset], row.resample, order[row.classifier]))
        metrics = sorted({name for row in rows for name in row.metrics}, key=_place_of_metric)
        return pd.DataFrame(
            [
                {
                    "dataset": row.dataset,
                    "classifier": row.classifier,
                    "resample": row.resample,
                    "state": row.state,
                    **{name: row.metrics.get(name, float("nan")) for name in metrics},
                    "reason": row.reason,
                    "run_id": row.run_id,
                }
                for row in rows
            ]
        )

    def model(self, dataset: str | None = None, classifier: str | None = None, resample: int = 0) -> SavedModel:
        """A fitted classifier.

        Args:
            dataset: its name; optional if there is only one.
            classifier: by its name in the leaderboard; by default the network, else `auto`.
            resample: number of the resample.

        Raises:
            RecipeError: there is no such data set, classifier or resample.
            ModelError: the classifier was not kept.
        """
        from tsbench.models.reopening import open_model
        from tsbench.tracking import names

        dataset = self._named(dataset)
        rows = {row.classifier: row for row in self.scores().rows if (row.dataset, row.resample) == (dataset, resample)}
        wanted = classifier or next((name for name in (names.NETWORK, names.AUTO) if _is_complete(rows, name)), None)
        if wanted is None or not _is_complete(rows, wanted):
            known = ", ".join(name for name in rows if _is_complete(rows, name)) or "none"
            what = f"classifier {wanted!r}" if wanted else "network and no auto"
            raise RecipeError([f"there is no fitted {what} of {dataset}, resample {resample}; fitted: {known}"])
        return open_model(self.plan.store, rows[wanted].run_id)

    def study(self, dataset: str | None = None, resample: int = 0) -> optuna.Study:
        """Optuna's study of a data set in a resample, with all of its trials.

        Raises:
            RecipeError: there is no such data set or resample.
            SearchError: the study was deleted or is damaged.
        """
        from tsbench.studies.study import Study

        return Study.open(self._cell(self._named(dataset), resample).folder).optuna

    def compare(self, **settings: Any) -> Comparison:
        """Calls `tsbench.compare` for this search and its data sets, with the same keyword arguments."""
        from tsbench.api.comparing import compare

        chosen = {"datasets": self.datasets, "tracking_uri": self.plan.store.uri}
        return compare(self.recipe.name, **(chosen | settings))

    def _named(self, dataset: str | None) -> str:
        known = self.datasets
        if dataset in known or (dataset is None and len(known) == 1):
            return dataset or known[0]
        what = "which data set?" if dataset is None else f"there is no data set {dataset!r} in this search;"
        raise RecipeError([f"{what} It has: {', '.join(known)}"])

    def _cell(self, dataset: str, resample: int) -> Cell:
        for cell in self.plan.cells:
            if (cell.dataset, cell.resample) == (dataset, resample):
                return cell
        raise RecipeError([f"there is no resample {resample}; the recipe has {self.recipe.evaluation.resamples}"])

    def __str__(self) -> str:
        return str(self.leaderboard().drop(columns="run_id").to_string(index=False))

    def _repr_html_(self) -> str:
        from tsbench.comparisons.fragment import as_table
        from tsbench.comparisons.report import leaderboard_rows

        rows = leaderboard_rows(self.scores(), self.recipe.search.metric)
        failures = [["what failed"], *([failure] for failure in self.failures)]
        return as_table(rows, f"Results: {self.recipe.name}") + (as_table(failures, "") if self.failures else "")


def _is_complete(rows: Mapping[str, Result], classifier: str) -> bool:
    return classifier in rows and rows[classifier].state == "complete"


def _place_of_metric(name: str) -> tuple[int, str]:
    """Test scores first, then CV scores, then all others; accuracy first of each."""
    kind = next((place for place, start in enumerate(("test_", "cv_")) if name.startswith(start)), 2)
    return kind, "" if name.endswith("_accuracy") and name.count("_") == 1 else name
