"""The queue of a study's trials: a supervisor refills it, workers claim from it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from tsbench.adapters.optuna import id_of
from tsbench.studies.sampling import Suggester
from tsbench.studies.trials import LOST, RETRIES, RETRY_OF, deserves_retry, fixed_parameters, retries

if TYPE_CHECKING:
    from tsbench.studies.study import Study

__all__ = ["TrialQueue"]


class TrialQueue:
    """The waiting trials, limited by the concurrency and the budget.

    Only the process that supervises a study calls `refill`; any number of workers call `claim`.
    """

    def __init__(self, study: Study) -> None:
        self.study = study

    def waiting(self) -> list[int]:
        """Numbers of the trials in the queue, limited by the budget, which may have been lowered."""
        counted = self.study.trials().counted()
        waiting = [trial.number for trial in counted if trial.state is TrialState.WAITING]
        return waiting[: max(0, self.study.notes.budget - len(counted) + len(waiting))]

    def refill(self) -> list[int]:
        """Adds trials to the queue up to the concurrency, and returns the numbers of all that wait."""
        enqueue = self.study.optuna.enqueue_trial
        trials = self.study.trials()
        while len(trials.counted()) < self.study.notes.budget:
            places = trials.latest()
            if lost := next(filter(deserves_retry, places), None):
                attributes = {RETRY_OF: lost.number, RETRIES: retries(lost)}
                enqueue(fixed_parameters(lost) | lost.params, user_attrs=attributes)
            elif self._suggester.ready([trial.state.is_finished() for trial in places]):
                enqueue(self._suggester.suggest(list(map(_as_suggested, places, range(len(places))))))
            else:
                break
            known, trials = len(trials), self.study.trials()
            if len(trials) > known + 1:
                self._keep_last(trials[known:])
                trials = self.study.trials()
        return self.waiting()

    def _keep_last(self, copies: Sequence[FrozenTrial]) -> None:
        """Lets the last of several copies of a trial take the place of the others.

        If the connection to the database breaks after a trial was added and before the answer, it is added again.
        """
        for copy, again in pairwise(copies):
            self.study.storage.set_trial_user_attr(id_of(again), RETRY_OF, copy.number)
            self._lose(copy, "it was added twice, as the connection to the database broke")

    def is_filled(self) -> bool:
        """Whether the budget's trials exist, ended or not, so that only retries of lost ones may follow."""
        return len(self.study.trials().counted()) >= self.study.notes.budget

    def is_complete(self) -> bool:
        """Whether all of the budget's trials have ended."""
        return sum(trial.state.is_finished() for trial in self.study.trials().counted()) >= self.study.notes.budget

    @cached_property
    def _suggester(self) -> Suggester:
        spec = self.study.spec
        return Suggester(
            spec.space, spec.base, spec.search, spec.directions, spec.concurrency, spec.portfolio, spec.startup
        )

    def fail_lost(self, number: int, reason: str) -> bool:
        """Marks a trial whose worker died as failed, so that it is tried again; False if it had ended before."""
        trial = self.study.trials()[number]
        if trial.state is not TrialState.RUNNING:
            return False
        try:
            self._lose(trial, reason)
        except optuna.exceptions.UpdateFinishedTrialError:
            # Its worker has just ended it, or this call did and the connection broke before the answer.
            return number in self.study.trials().lost()
        return True

    def _lose(self, trial: FrozenTrial, reason: str) -> None:
        self.study.storage.set_trial_user_attr(id_of(trial), LOST, reason)
        self.study.storage.set_trial_state_values(id_of(trial), TrialState.FAIL)

    def claim(self, number: int) -> Trial | None:
        """Takes a waiting trial, which no other worker then gets; None if it is no longer waiting."""
        trial_id = id_of(self.study.trials()[number])
        try:
            if self.study.storage.set_trial_state_values(trial_id, state=TrialState.RUNNING):
                return Trial(self.study.optuna, trial_id)
        except optuna.exceptions.UpdateFinishedTrialError:
            pass  # another worker has already finished it
        return None


def _as_suggested(trial: FrozenTrial, place: int) -> FrozenTrial:
    """The trial in the suggester's view, by its place.

    Until its worker ends it, a trial has its parameters noted, not set; they count the same.
    """
    fixed = fixed_parameters(trial)
    if trial.number != place or trial.state is TrialState.WAITING or fixed.keys() - trial.params.keys():
        trial = optuna.trial.FrozenTrial(
            number=place,
            trial_id=id_of(trial),
            state=TrialState.RUNNING if trial.state is TrialState.WAITING else trial.state,
            value=None,
            values=trial.values,
            datetime_start=None,
            datetime_complete=None,
            params=fixed | trial.params,
            distributions={},
            user_attrs=trial.user_attrs,
            system_attrs=trial.system_attrs,
            intermediate_values=trial.intermediate_values,
        )
    return trial
