"""The stages of a cell: what they have in common, and those whose tasks are known from the start.

Each creates tasks and receives their results. `CellRun` asks them in turn for their next task. A stage refers to the
stages that it waits for; a task has only the name of its stage. The search, the confirmation and the refit have their
own modules.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from tsbench.bench.opening import OpenCell
from tsbench.recipe.schema import BaselineConfig
from tsbench.tracking import names
from tsbench.workers.protocol import Message, Task

__all__ = ["PICTURES", "REPORT", "AutoStage", "BaselineStage", "ListedStage", "ReportStage", "Stage", "TaskKey"]

PICTURES, REPORT = "pictures of the search", "report"
NETWORKS = 2  # number of the search's best configurations that become members of `auto`
MAX_RETRIES = 2  # attempts at a task whose worker died


@dataclass(frozen=True)
class TaskKey:
    """Identifies a task.

    Attributes:
        cell: title of its cell.
        stage: name of its stage.
        title: describes it; unique in its stage except for networks of different trials.
        number: of a trial, or of a network in the final ensemble.
        trial: whose configuration a network has.
    """

    cell: str
    stage: str
    title: str
    number: int | None = None
    trial: int | None = None


class Stage(ABC):
    """A part of the work on a cell.

    Attributes:
        name: the stage's name in the keys of its tasks.
        running: tasks that workers have.
        stopped: why the stage was stopped; empty if it was not.
    """

    name: ClassVar[str]

    def __init__(self, cell: OpenCell) -> None:
        self.cell = cell
        self.running: set[TaskKey] = set()
        self.stopped = ""
        self._deaths: Counter[TaskKey] = Counter()

    @abstractmethod
    def next_task(self) -> Task | None:
        """The most urgent task that can be started now; not called when the stage has ended."""

    @property
    @abstractmethod
    def progress(self) -> str:
        """The current activity, for the display."""

    @property
    def steps_left(self) -> int:
        """Remaining fits, from which the time left is estimated."""
        return 0

    @property
    @abstractmethod
    def ended(self) -> bool:
        """Whether no further task is known."""

    @property
    def done(self) -> bool:
        """Whether it has ended and none of its tasks is running."""
        return self.ended and not self.running

    def stop(self, reason: str) -> None:
        """Starts no more tasks, and ends the running ones."""
        self.stopped = self.stopped or reason

    def stop_reason(self, key: TaskKey) -> str:
        """Why a worker should end one of its tasks; empty if it should not."""
        return self.stopped

    def receive(self, message: Message) -> None:
        """Handles the end of one of its tasks."""
        assert message.task is not None
        key: TaskKey = message.task.key
        self.running.discard(key)
        match message.kind:
            case "result":
                self._take_result(key, message.payload)
            case "died":
                self._take_death(key, message.payload)
            case _:
                self._fail(key, message.payload, message.details)

    @abstractmethod
    def _take_result(self, key: TaskKey, result: Any) -> None:
        """Handles a task's result."""

    def _take_death(self, key: TaskKey, sentence: str) -> None:
        """Gives up a task whose worker died three times; before that, `next_task` returns it again."""
        self._deaths[key] += 1
        if self._deaths[key] > MAX_RETRIES:
            self._fail(key, f"{sentence}, three times")
        elif not self.stop_reason(key):
            self.cell.note(f"{sentence}; {key.title} is started again")

    def _fail(self, key: TaskKey, reason: str, details: str = "") -> None:
        """Gives up a task."""
        self.cell.fail(f"{key.title}: {reason}", details)

    def _key(self, title: str, number: int | None = None, trial: int | None = None) -> TaskKey:
        return TaskKey(self.cell.title, self.name, title, number, trial)

    def _task(self, key: TaskKey, function: str, *arguments: Any) -> Task:
        self.running.add(key)
        return Task(f"tsbench.bench.{function}", arguments, key)


class ListedStage(Stage):
    """A stage whose tasks are known from the start: their titles in the order of their start."""

    def __init__(self, cell: OpenCell, titles: Iterable[str]) -> None:
        super().__init__(cell)
        self.left = dict.fromkeys(map(self._key, titles))  # includes running ones until they have a result

    @property
    def ended(self) -> bool:
        """Whether all remaining tasks are running."""
        return bool(self.stopped) or self.left.keys() <= self.running

    def next_task(self) -> Task | None:
        """The first task that is not running, if it can be started."""
        return next((self._begin(key) for key in self.left if key not in self.running), None)

    @abstractmethod
    def _begin(self, key: TaskKey) -> Task | None:
        """Creates a task; None if it cannot be started yet."""

    def _take_result(self, key: TaskKey, result: Any) -> None:
        del self.left[key]

    def _fail(self, key: TaskKey, reason: str, details: str = "") -> None:
        del self.left[key]
        super()._fail(key, reason, details)


class BaselineStage(ListedStage):
    """Fits and scores the baselines.

    Args:
        cell: the cell of the baselines.
        baselines: those that are missing.
        search: goes first if time counts, as a worker that is at a baseline would be missed when the refit begins.
        auto: goes first, as it has a time limit and takes every core that this cell may use.
    """

    name = "baselines"
    progress = "baselines"

    def __init__(self, cell: OpenCell, baselines: Sequence[BaselineConfig], search: Stage, auto: Stage) -> None:
        self.baselines = {baseline.name: baseline for baseline in baselines}
        super().__init__(cell, self.baselines)
        self.search = search
        self.auto = auto

    @property
    def steps_left(self) -> int:
        """Remaining baselines."""
        return len(self.left)

    def _begin(self, key: TaskKey) -> Task | None:
        recipe, cell = self.cell.recipe, self.cell
        if (not self.search.ended and recipe.search.timeout is not None) or not self.auto.done:
            return None
        folds = cell.folds if recipe.evaluation.cross_validate_baselines else []
        seed = recipe.search.seed + cell.resample
        arguments = (cell.records, self.baselines[key.title], cell.dataset, folds, seed, recipe.evaluation)
        return self._task(key, "tasks:run_baseline", *arguments)

    def _take_result(self, key: TaskKey, result: Any) -> None:
        if result.state != "stopped":  # by a worker that left
            super()._take_result(key, result)
        if result.state == "skipped":
            self.cell.note(f"{key.title} skipped: {result.reason}")
        if result.preprocessing:
            self.cell.note(f"{key.title} was given preprocessed cases: {result.preprocessing}")
        if result.state == "failed":
            self.cell.fail(f"{key.title} failed: {result.reason}")


class AutoStage(ListedStage):
    """Fits and scores the ensemble over families, when the search's best configurations are known.

    Args:
        cell: the cell of the ensemble.
        needed: whether the recipe asks for it, and there is no run of the current recipe.
        refit: goes first, as the members take every core that this cell may use.

    Attributes:
        accuracy: on the test cases, when it is known.
    """

    name = "auto"
    progress = "auto"

    def __init__(self, cell: OpenCell, needed: bool, refit: Stage) -> None:
        super().__init__(cell, [names.AUTO] if needed else [])
        self.refit = refit
        self.accuracy: float | None = None

    @property
    def steps_left(self) -> int:
        """Remaining ensembles."""
        return len(self.left)

    def _begin(self, key: TaskKey) -> Task | None:
        recipe, cell = self.cell.recipe, self.cell
        if not self.refit.done or recipe.auto is None:
            return None
        jobs = max(1, cell.plan.workers // len(cell.plan.cells))
        trials = cell.study.trials()
        chosen = trials.chosen(cell.study.notes.chosen)
        ranked = [] if chosen is None else [chosen, *trials.best_few(NETWORKS)]
        networks = list({trial.number: trial.hyperparameters for trial in ranked}.values())[:NETWORKS]
        arguments = (recipe.auto, cell.dataset, recipe.search.seed + cell.resample, jobs, networks)
        return self._task(key, "auto_task:run_auto", cell.records, *arguments, recipe.tracking.register)

    def _take_result(self, key: TaskKey, result: Any) -> None:
        if result.state != "stopped":  # by a worker that left
            super()._take_result(key, result)
        self.accuracy = result.accuracy
        if result.state == "failed":
            self.cell.fail(f"{key.title} failed: {result.reason}")


class ReportStage(ListedStage):
    """Draws the search when it has ended, and writes the report when everything else is done.

    Args:
        cell: the cell of the report.
        titles: `PICTURES` and `REPORT`, whichever are missing.
        search: the stage to draw.
        others: the other stages of the report.
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
        return self._task(key, "tasks:write_report", self.cell.records, self.cell.study.files, of_search)
