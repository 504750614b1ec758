"""The stages whose tasks are known from the start: baselines, and the report of a cell."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

from tsbench.bench.opening import OpenCell
from tsbench.bench.payloads import preprocessing_params
from tsbench.bench.stage import Stage, TaskKey
from tsbench.recipe.schema import BaselineConfig
from tsbench.tracking import names
from tsbench.tracking.store import RunRecord
from tsbench.workers.protocol import Task

__all__ = ["PICTURES", "REPORT", "BaselineStage", "ListedStage", "ReportStage", "missing_baselines"]

PICTURES, REPORT = "pictures of the search", "report"


def missing_baselines(cell: OpenCell, recorded: dict[str, RunRecord]) -> list[BaselineConfig]:
    """The baselines without a recorded run that is what today's recipe leads to.

    A run on preprocessed cases, and one that was skipped, depend on `evaluation.baseline_preprocessing`, which the run
    holds; runs of versions without this setting do not hold it, so what they skipped is tried again.
    """
    asked = preprocessing_params(cell.recipe.evaluation.baseline_preprocessing)

    def is_missing(record: RunRecord | None) -> bool:
        if record is None:
            return True
        if record.tags.get(names.STATE) == "complete" and names.PREPROCESSING not in record.tags:
            return False
        return any(record.params.get(name) != value for name, value in asked.items())

    return [baseline for baseline in cell.recipe.baselines if is_missing(recorded.get(baseline.name))]


class ListedStage(Stage):
    """A stage whose tasks are known from the start: their titles in the order in which they are begun."""

    def __init__(self, cell: OpenCell, titles: Iterable[str]) -> None:
        super().__init__(cell)
        self.left = dict.fromkeys(map(self._key, titles))  # those that run are among them until they have a result

    @property
    def ended(self) -> bool:
        """Whether all tasks that are left run."""
        return self.left.keys() <= self.running

    def next_task(self) -> Task | None:
        """The first task that does not run, if its time has come."""
        return next((self._begin(key) for key in self.left if key not in self.running), None)

    def stop(self, reason: str) -> None:
        """Begins no more tasks, and has those end that run."""
        super().stop(reason)
        self.left.clear()

    @abstractmethod
    def _begin(self, key: TaskKey) -> Task | None:
        """Makes a task; None if its time has not come."""

    def _take_result(self, key: TaskKey, result: Any) -> None:
        self.left.pop(key, None)

    def _fail(self, key: TaskKey, reason: str, details: str = "") -> None:
        self.left.pop(key, None)
        super()._fail(key, reason, details)


class BaselineStage(ListedStage):
    """Fits and scores the baselines.

    Args:
        cell: what they are fitted for.
        baselines: those that are missing.
        search: goes first if time counts, as a worker that is at a baseline would be missed when the refit begins.
    """

    name = "baselines"
    progress = "baselines"

    def __init__(self, cell: OpenCell, baselines: Sequence[BaselineConfig], search: Stage) -> None:
        self.baselines = {baseline.name: baseline for baseline in baselines}
        super().__init__(cell, self.baselines)
        self.search = search

    @property
    def steps_left(self) -> int:
        """Baselines still to be fitted."""
        return len(self.left)

    def _begin(self, key: TaskKey) -> Task | None:
        recipe, cell = self.cell.recipe, self.cell
        if not self.search.ended and recipe.search.timeout is not None:
            return None
        folds = cell.folds if recipe.evaluation.cross_validate_baselines else []
        seed = recipe.search.seed + cell.resample
        arguments = (cell.records, self.baselines[key.title], cell.dataset, folds, seed, recipe.evaluation)
        return self._task(key, "run_baseline", *arguments)

    def _take_result(self, key: TaskKey, result: Any) -> None:
        if result.state != "stopped":  # by a worker that left
            super()._take_result(key, result)
        if result.state == "skipped":
            self.cell.note(f"{key.title} skipped: {result.reason}")
        if result.preprocessing:
            self.cell.note(f"{key.title} was given preprocessed cases: {result.preprocessing}")
        if result.state == "failed":
            self.cell.fail(f"{key.title} failed: {result.reason}")


class ReportStage(ListedStage):
    """Draws the search when it has ended, and writes the report when all else is done.

    Args:
        cell: what is reported on.
        titles: `PICTURES` and `REPORT`, whichever are missing.
        search: what is drawn.
        others: what else is reported on.
    """

    name = "report"
    progress = "reporting"

    def __init__(self, cell: OpenCell, titles: Iterable[str], search: Stage, others: Sequence[Stage]) -> None:
        super().__init__(cell, titles)
        self.search = search
        self.others = others

    def _begin(self, key: TaskKey) -> Task | None:
        of_search = key.title == PICTURES
        all_done = not self.running and all(stage.done for stage in (self.search, *self.others))
        if not (self.search.ended if of_search else all_done):
            return None
        return self._task(key, "write_report", self.cell.records, self.cell.study.files, of_search)
