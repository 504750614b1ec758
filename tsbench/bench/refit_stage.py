"""The refit: trains the final networks with the chosen configuration, and has their ensemble scored."""

from __future__ import annotations

import time
from typing import Any

from tsbench.bench.confirm_stage import ConfirmStage, choice_of
from tsbench.bench.opening import OpenCell
from tsbench.bench.payloads import ENSEMBLE, SHORTENED, FinalNetwork, FittedMember
from tsbench.bench.stages import Stage, TaskKey
from tsbench.studies.specification import derive_seed
from tsbench.studies.trials import Configuration
from tsbench.tracking import names
from tsbench.tracking.store import RunRecord
from tsbench.workers.protocol import Task

__all__ = ["RefitStage", "is_current"]


def is_current(cell: OpenCell, record: RunRecord | None) -> bool:
    """Whether a recorded network is that of the finished search and the current recipe."""
    if record is None or not (cell.study.queue.is_complete() or cell.budget.ended_search()):
        return False
    choice = choice_of(cell)
    if choice is None and cell.trials:
        return False
    if record.tags.get(names.TRIAL) != (None if choice is None else str(choice.trial.number)):
        return False
    networks, asked, timeout = int(record.tags[ENSEMBLE]), cell.recipe.evaluation.ensemble, cell.budget.timeout
    if networks < asked and timeout is not None:
        return timeout <= float(record.tags.get(SHORTENED, 0))
    return networks == asked


class RefitStage(Stage):
    """Trains the networks when their configuration is chosen or nearly so, and has them scored.

    Attributes:
        networks: of the ensemble; fewer than in the recipe if a timeout leaves no time for all.
        fitted: by task; networks of other trials than the chosen one were started before the choice.
        accuracy: on the test cases, when it is known.

    Args:
        cell: the cell that is refitted.
        choice: gives the configuration.
        recorded: the final network of an earlier call.
    """

    name = "refit"

    def __init__(self, cell: OpenCell, choice: ConfirmStage, recorded: RunRecord | None) -> None:
        super().__init__(cell)
        self.choice = choice
        self.recorded = recorded
        self.networks = cell.recipe.evaluation.ensemble
        self.fitted: dict[TaskKey, FittedMember] = {}
        self.accuracy: float | None = None
        self._begun_at: dict[int | None, float] = {}  # by trial
        self._failed_early: set[int] = set()  # trials of which a network failed before the choice
        self._score = self._key("final network")
        self._has_begun = False

    @property
    def ended(self) -> bool:
        """Whether the ensemble is being scored, or there is nothing to refit."""
        is_scored = self.accuracy is not None or self._score in self.running
        return bool(self.stopped) or is_scored or (self.choice.ended and self.choice.best is None)

    @property
    def all_begun(self) -> bool:
        """Whether every network has been given to a worker."""
        return self.ended or (self._has_begun and self._count_begun(self.choice.best) >= self.networks)

    @property
    def progress(self) -> str:
        """What it is doing, for the display."""
        return "scoring" if self._score in self.running else "refitting"

    @property
    def steps_left(self) -> int:
        """Remaining networks."""
        return max(0, self.networks - len(self.members))

    @property
    def members(self) -> list[FittedMember]:
        """The fitted networks of the ensemble in the order of their seeds; none before the choice."""
        kept = {key.number: member for key, member in self.fitted.items() if self._is_of_best(key)}
        return [kept[number] for number in range(self.networks) if number in kept]

    def next_task(self) -> Task | None:
        """A network with the chosen configuration, or the scoring if all are fitted."""
        best = self.choice.best
        if best is not None and not self._has_begun:
            self._choose_networks(best)
        if best is None or self.stopped:
            return None
        if task := self._next_member(best):
            return task
        if len(self.members) < self.networks:
            return None
        return self._task(self._score, "tasks:score_network", self.cell.records, self._final(best))

    def early_task(self) -> Task | None:
        """A network with the configuration that would be chosen now, while the last trials run or are scored again."""
        best = self.choice.presumed()
        return None if best is None or best.number in self._failed_early else self._next_member(best)

    def stop_reason(self, key: TaskKey) -> str:
        """Why a network's training should be ended; empty if it should not."""
        if key != self._score and self.choice.ended and (self.ended or not self._is_of_best(key)):
            return "another trial is the best, or nothing can be scored"
        return self.stopped

    def _is_of_best(self, key: TaskKey) -> bool:
        return self.choice.best is not None and key.trial == self.choice.best.number

    def _count_begun(self, best: Configuration | None) -> int:
        return sum(best is not None and key.trial == best.number for key in (*self.running, *self.fitted))

    def _choose_networks(self, best: Configuration) -> None:
        """Decides the number of networks from the time that is left."""
        self._has_begun = True
        self.networks = self.cell.budget.networks_in_time(best.seconds, self._count_begun(best))
        asked, record = self.cell.recipe.evaluation.ensemble, self.recorded
        if self.networks == asked:
            return
        left = f"search.timeout leaves time for {self.networks} of the {asked} final networks"
        is_same_trial = record is not None and record.tags.get(names.TRIAL) == str(best.number)
        if record is not None and is_same_trial and int(record.tags[ENSEMBLE]) >= self.networks:
            self.stop("the recorded ensemble is kept")
            kept = "keeping the recorded ensemble, which has at least as many networks of the same trial"
            self.cell.note(f"{left}; {kept}")
        else:
            self.cell.note(f"{left} (evaluation.ensemble)")

    def _next_member(self, best: Configuration) -> Task | None:
        for number in range(self.networks):
            key = self._key(f"final network {number + 1}", number, best.number)
            if key not in self.running and key not in self.fitted:
                self._begun_at.setdefault(best.number, time.time())
                seed = derive_seed(self.cell.study.spec.seed, 2, number)
                return self._task(key, "tasks:fit_member", self.cell.dataset.train, best.hyperparameters, seed)
        return None

    def _final(self, best: Configuration) -> FinalNetwork:
        recipe, members = self.cell.recipe, self.members
        tags: dict[str, Any] = {ENSEMBLE: len(members)}
        if best.number is not None:
            tags[names.TRIAL] = best.number
        choice = self.choice.choice
        confirmed = {} if choice is None else choice.metrics
        if choice is not None and choice.sentence:
            tags[names.CHOICE] = choice.sentence
        if len(members) < recipe.evaluation.ensemble:
            tags[SHORTENED] = recipe.search.timeout
        return FinalNetwork(
            members=members,
            dataset=self.cell.dataset,
            metric=recipe.search.metric,
            metrics={**best.scores, **confirmed, "search_seconds": self.cell.budget.search_seconds},
            tags=tags,
            started=self._begun_at[best.number],
            register=recipe.tracking.register,
            trial_run="" if best.number is None else self.cell.study.trials().run_of(best.number),
        )

    def _take_result(self, key: TaskKey, result: Any) -> None:
        if key == self._score:
            self.accuracy = result[names.test("accuracy")]
        # None if its worker left, the run was interrupted, or another trial was better.
        elif result is not None and (not self.choice.ended or self._is_of_best(key)):
            self.fitted[key] = result
            self.cell.budget.note(now=self.choice.ended)

    def _fail(self, key: TaskKey, reason: str, details: str = "") -> None:
        if key.trial is not None and not self._is_of_best(key):
            self._failed_early.add(key.trial)
            del self._deaths[key]
            return
        super()._fail(key, reason, details)
        self.stop("the final network cannot be scored")
