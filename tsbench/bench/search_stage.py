"""The search: runs the trials of a cell's study."""

from __future__ import annotations

import math
from typing import Any

from tsbench.bench.opening import OpenCell, mark_lost
from tsbench.bench.stages import Stage, TaskKey
from tsbench.studies.trials import Configuration
from tsbench.workers.protocol import Task

__all__ = ["SearchStage"]

MAX_DEATHS = 30  # consecutive deaths of workers without a trial that ended
SPENT = "the study's time is spent"


class SearchStage(Stage):
    """Runs trials until there are as many as the recipe asks for, or their time is spent.

    Attributes:
        best: the result: a trial, or the recipe's own values if the cases cannot be cross-validated; None while it
            runs, if it failed, or if there is nothing to search for.
        trial_seconds: of the trials that ended in this call.

    Args:
        cell: the cell that is searched.
        needed: whether a search is needed.
    """

    name = "search"
    progress = "searching"
    ended = False

    def __init__(self, cell: OpenCell, needed: bool) -> None:
        super().__init__(cell)
        self.study = cell.study
        self.best: Configuration | None = None
        self.trial_seconds: list[float] = []
        self.ended = not needed or bool(cell.undivided)
        if needed and cell.undivided:
            self.best = Configuration(self.study.spec.base, None, math.nan, {}, 0.0)
        self._deaths_in_a_row = 0

    def next_task(self) -> Task | None:
        """The next trial; ends the search if none is left."""
        if not self._is_stopped() and (number := self._next_trial()) is not None:
            return self._task(self._key(f"trial {number}", number), "tasks:run_trial", self.study.files, number)
        if not self.running and (self.stopped or self.study.queue.is_complete()):
            self._end()
        return None

    def _next_trial(self) -> int | None:
        begun = {key.number for key in self.running}
        for numbers in (self.study.queue.waiting, self.study.queue.refill):
            if (number := next((number for number in numbers() if number not in begun), None)) is not None:
                return number
        if not begun:  # taken by a worker of a killed search, which was killed too
            mark_lost(self.study, self.cell.plan.store, self.study.trials().running(), "the search was killed")
        return None

    def prefetch(self) -> None:
        """Chooses the next trials while the workers are busy, so that no worker waits."""
        if not (self.ended or self._is_stopped()):
            self.study.queue.refill()

    def only_awaits_trials(self) -> bool:
        """Whether only its last trials still run, so that it has no task for another worker."""
        return not self.ended and bool(self.running) and not self._is_stopped() and self.study.queue.is_filled()

    def stop_reason(self, key: TaskKey) -> str:
        """Why a trial should be ended; empty if it should not."""
        return self.stopped if self._is_stopped() else ""

    def _is_stopped(self) -> bool:
        if self.cell.budget.is_search_over():
            self.stop(SPENT)
        return bool(self.stopped)

    def _end(self) -> None:
        self.ended = True
        self.cell.budget.end_search(timed_out=bool(self.stopped))
        self.best = self.study.trials().best()
        if self.best is None:
            last = self.study.trials().last_reason()
            if self.stopped:
                self.cell.fail(f"no trial was completed: {last or self.stopped}; give search.timeout more time")
            else:
                reason = f" ({last})" if last else ""
                self.cell.fail(f"no trial was completed: every trial failed or was pruned{reason}")

    def _take_result(self, key: TaskKey, result: Any) -> None:
        self._deaths_in_a_row = 0
        if result is None:
            self._lose(key, "its worker had lost it")  # nothing to do if it had ended
            return
        if result.state == "complete":
            self.cell.budget.add_trial(result.seconds)
        if result.state in ("complete", "pruned"):
            self.trial_seconds.append(result.seconds)
        elif result.state == "failed":
            self.cell.note(f"{key.title} failed: {result.reason}")

    def _take_death(self, key: TaskKey, sentence: str) -> None:
        """The study itself queues a lost trial again, at most twice."""
        self._lose(key, sentence)
        self._deaths_in_a_row += 1
        if self._deaths_in_a_row < MAX_DEATHS:
            self.cell.note(f"{sentence}; {key.title} is tried again")
        elif not self.ended:
            self.ended = True
            died = f"{self._deaths_in_a_row} workers died running its trials, and no trial ended meanwhile"
            self.cell.fail(f"{died}: {sentence}")

    def _fail(self, key: TaskKey, reason: str, details: str = "") -> None:
        self._lose(key, reason)
        super()._fail(key, reason, details)
        self.ended = True

    def _lose(self, key: TaskKey, reason: str) -> None:
        """Marks a trial that its worker left running as failed, in Optuna and in MLflow."""
        assert key.number is not None
        mark_lost(self.study, self.cell.plan.store, [key.number], reason)
