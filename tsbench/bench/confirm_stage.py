"""The confirmation: scores the best trials and the default again on other folds, and chooses between them."""

from __future__ import annotations

from typing import Any

from tsbench.bench.opening import OpenCell
from tsbench.bench.search_stage import SearchStage
from tsbench.bench.stages import Stage, TaskKey
from tsbench.studies.confirming import Choice, candidates, choose
from tsbench.studies.trials import BestTrial, Configuration
from tsbench.workers.protocol import Task

__all__ = ["ConfirmStage", "choice_of"]

CHOSEN = "the configuration is chosen, or another trial is among the best"


def choice_of(cell: OpenCell) -> Choice | None:
    """The configuration chosen by a cell's finished search; None while a trial still has to be scored again."""
    notes, timeout = cell.study.notes, cell.budget.timeout
    cut = notes.unconfirmed is not None and timeout is not None and timeout <= notes.unconfirmed
    return choose(cell.study.trials(), cell.confirm, notes.confirmed, whatever_is_known=cut)


class ConfirmStage(Stage):
    """Scores candidates again when the search has ended, or while its last trials run, and chooses one.

    Attributes:
        best: the configuration to refit; None before it is chosen, and if there is none.
        sentence: the reason for the choice; empty if there was only one candidate.
        metrics: of its confirmation.

    Args:
        cell: the cell that is searched.
        search: gives the candidates.
    """

    name = "confirmation"
    progress = "confirming"

    def __init__(self, cell: OpenCell, search: SearchStage) -> None:
        super().__init__(cell)
        self.search = search
        self.best: Configuration | None = search.best if cell.undivided else None
        self.choice: Choice | None = None
        self._candidates: list[BestTrial] | None = None  # when the search has ended
        self._failed: set[int | None] = set()  # candidates whose worker died or failed; another call tries them again

    @property
    def ended(self) -> bool:
        """Whether the configuration is chosen, or there is none."""
        return self.best is not None or (self.search.ended and self.search.best is None)

    @property
    def steps_left(self) -> int:
        """Remaining fits: those of a trial, for each candidate without a score."""
        if not self.search.ended:
            return 0
        return len(self._missing()) * max(1, self.cell.recipe.search.folds - 1)

    def next_task(self) -> Task | None:
        """A candidate without a score; if there is none, chooses the configuration."""
        if not self.search.ended:
            return None
        missing = self._missing()
        is_over = bool(missing) and self.cell.budget.is_confirmation_over()
        if missing and not is_over:
            return self._begin(missing)
        self._choose(is_over)
        return None

    def early_task(self) -> Task | None:
        """The default, or one of the best trials so far, while the last trials run."""
        if not self.search.only_awaits_trials():
            return None
        return self._begin(self._unscored(candidates(self.cell.study.trials(), self.cell.confirm)))

    def presumed(self) -> Configuration | None:
        """The configuration that would be chosen now, while the last trials or candidates are scored."""
        trials, confirm = self.cell.study.trials(), self.cell.confirm
        if self.search.only_awaits_trials() and not confirm:
            return trials.best()
        if self.ended or not self.search.ended:
            return None
        default = trials.default()
        choice = choose(trials, confirm, self.cell.study.notes.confirmed, whatever_is_known=True)
        return choice.trial if choice is not None and choice.is_compared else default

    def stop_reason(self, key: TaskKey) -> str:
        """Why a candidate no longer needs a score; empty if it does."""
        if not self.search.ended:
            return ""
        if self.ended or key.number not in {trial.number for trial in self._found()}:
            return CHOSEN
        return "the study's time is spent" if self.cell.budget.is_confirmation_over() else ""

    def _found(self) -> list[BestTrial]:
        if self._candidates is None:
            self._candidates = candidates(self.cell.study.trials(), self.cell.confirm)
        return self._candidates

    def _unscored(self, found: list[BestTrial]) -> list[BestTrial]:
        confirmed = self.cell.study.notes.confirmed
        return [trial for trial in found if trial.number not in confirmed and trial.number not in self._failed]

    def _missing(self) -> list[BestTrial]:
        return [] if self.ended else self._unscored(self._found())

    def _begin(self, trials: list[BestTrial]) -> Task | None:
        for trial in trials:
            key = self._key(f"trial {trial.number} on other folds", trial.number)
            if key not in self.running:
                return self._task(key, "tasks:confirm_trial", self.cell.study.files, trial.number)
        return None

    def _choose(self, is_over: bool) -> None:
        notes, timeout = self.cell.study.notes, self.cell.budget.timeout
        self.choice = choose(
            self.cell.study.trials(),
            self.cell.confirm,
            notes.confirmed,
            whatever_is_known=is_over or bool(self._failed),
        )
        assert self.choice is not None
        self.best = self.choice.trial
        self.cell.budget.stop_clock()
        notes.note_choice(self.choice.trial.number, self.choice.sentence, timeout if is_over else None)
        if is_over:
            self.cell.note("search.timeout left too little time to score the best trials again on other folds")
        if self.choice.sentence:
            self.cell.note(self.choice.sentence)

    def _take_result(self, key: TaskKey, result: Any) -> None:
        assert key.number is not None
        if result is None or self.ended:  # its worker left, or it is no longer needed
            return
        self.cell.study.notes.note_confirmed(key.number, result)
        if result.reason:
            self.cell.note(f"{key.title} failed: {result.reason}")

    def _fail(self, key: TaskKey, reason: str, details: str = "") -> None:
        self._failed.add(key.number)
        self.cell.note(f"{key.title}: {reason}\n{details}" if details else f"{key.title}: {reason}")
