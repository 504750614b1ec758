"""Applies Optuna's pruners to a trial, in a view of the study that does not depend on which worker is faster.

The view holds the trials from which this one's parameters were chosen, under their own numbers, and a copy of this
one. Rungs count from 1 to ten for any number of epochs, so that trials of different length can be compared.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import optuna
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    SuccessiveHalvingPruner,
    WilcoxonPruner,
)
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from tsbench.adapters.optuna import create_study, frozen
from tsbench.recipe.registries import PRUNERS, registered
from tsbench.recipe.schema import SearchConfig

__all__ = ["FOLD_PRUNERS", "RUNGS", "Direction", "TrialPruner", "make_pruner", "pruning_note"]

Direction = Literal["minimize", "maximize"]
RUNGS = 10
REDUCTION = 3  # of successive halving and Hyperband: at each of their rungs a third continues
FIRST_RUNG = 2  # of both: the first score is of a network that has hardly learned anything (docs/search.md)
WILCOXON_P = 0.1
ROUNDING = 1e-9  # of means of scores, which are summed in another order elsewhere
FOLD_PRUNERS = ("wilcoxon", "bound")
"""Pruners that hear of each fold's score, for which folds are trained one after another."""


class BoundPruner(BasePruner):
    """Ends a trial that could not come among the best even with perfect scores on the folds that are left.

    So it ends none that would be chosen: what it needs of the metric is a best value, 1 where more is better, else 0.

    Args:
        rank: how many of the best configurations a trial must be able to come among.
    """

    def __init__(self, rank: int) -> None:
        self._rank = rank

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether the trial is to end after the folds that it has reported."""
        sign, perfect = (1.0, 1.0) if study.direction is StudyDirection.MAXIMIZE else (-1.0, 0.0)
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        best: dict[str, float] = {}  # by configuration, as the same one may have been tried twice
        for earlier in complete:
            key, value = repr(sorted(earlier.params.items())), sign * earlier.values[0]
            best[key] = max(value, best.get(key, -math.inf))
        if len(best) < self._rank:
            return False
        # A fold without a score, as its validation cases are of one class, has none for any trial.
        folds = [fold for fold, score in complete[0].intermediate_values.items() if math.isfinite(score)]
        if trial.intermediate_values.keys() >= set(folds):
            return False  # nothing is saved any more
        bound = sign * math.fsum(trial.intermediate_values.get(fold, perfect) for fold in folds) / len(folds)
        return bound < sorted(best.values(), reverse=True)[self._rank - 1] - ROUNDING


@dataclass(frozen=True)
class Pruner:
    """A pruner of Optuna's.

    Attributes:
        make: creates it for a search.
        fewest: minimum number of earlier trials for a comparison.
        against: the reason recorded for a pruned trial.
    """

    make: Callable[[SearchConfig], BasePruner]
    fewest: Callable[[SearchConfig], float]
    against: str = ""


MEDIAN = Pruner(
    lambda search: MedianPruner(_startup(search), n_warmup_steps=RUNGS // 4),
    lambda search: _startup(search),
    "is behind the median of earlier trials",
)
SUCCESSIVE_HALVING = Pruner(
    lambda search: SuccessiveHalvingPruner(FIRST_RUNG, REDUCTION),
    lambda search: 1,
    "is not among the best third that reached this rung",
)
HYPERBAND = Pruner(
    lambda search: HyperbandPruner(FIRST_RUNG, RUNGS, REDUCTION),
    # Each bracket is a separate successive halving over its share of the trials.
    lambda search: math.floor(math.log(RUNGS / FIRST_RUNG, REDUCTION)) + 1,
    "is not among the best third of its bracket that reached this rung",
)
WILCOXON = Pruner(
    lambda search: WilcoxonPruner(p_threshold=WILCOXON_P),
    lambda search: 1,
    "is worse than the best trial's by Wilcoxon's test over the folds",
)
BOUND = Pruner(
    lambda search: BoundPruner(_candidates(search)),
    lambda search: _candidates(search),
    "leaves it no way among the best, whatever its other folds' scores",
)
NONE = Pruner(lambda search: NopPruner(), lambda search: -math.inf)


def _candidates(search: SearchConfig) -> int:
    """How many of the best the choice at the end may look at: those that are confirmed, and the default among them."""
    return search.confirm + 1


def _startup(search: SearchConfig) -> int:
    return min(5, max(2, search.trials // 4))


def make_pruner(search: SearchConfig) -> BasePruner:
    """Optuna's pruner of the configured name."""
    pruner: Pruner = registered(PRUNERS, search.pruner)
    with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
        return pruner.make(search)


def pruning_note(search: SearchConfig, trials: int, concurrency: int) -> str | None:
    """A note if there are too few trials for a pruner to work; None otherwise.

    A trial is compared with those at least `concurrency` before it.
    """
    fewest = registered(PRUNERS, search.pruner).fewest(search)
    if trials > concurrency + fewest - 1:
        return None
    return (
        f"search.pruner {search.pruner} will prune none of {trials} trials: a trial is compared with those at least "
        f"{concurrency} before it, and with at least {fewest} of them; use {concurrency + int(fewest)} trials or more, "
        "or a lower search.concurrency"
    )


class TrialPruner:
    """Decides after each rung whether a trial should end.

    Args:
        search: the study's settings.
        direction: Optuna's word for the metric.
        earlier: the trials that it may be compared with, the study's first.
        number: of the trial; a retry has the number of the lost trial.
    """

    def __init__(self, search: SearchConfig, direction: Direction, earlier: Sequence[FrozenTrial], number: int) -> None:
        self._name = search.pruner
        self._pruner = make_pruner(search)
        # Hyperband draws a trial's bracket from the study's name and the trial's number.
        self._view = create_study(study_name="study", direction=direction)
        self._view.add_trials(earlier)
        for _ in range(number - len(earlier)):
            self._view.add_trial(optuna.trial.create_trial(state=TrialState.FAIL))
        self._stand_in = self._view.ask()

    def verdict(self, rung: int, score: float) -> str | None:
        """Why the trial should end after this rung's score; None if it should continue."""
        self._stand_in.report(score, rung)
        if not self._pruner.prune(self._view, self._frozen()):
            return None
        against: str = registered(PRUNERS, self._name).against
        return against

    def notes(self) -> dict[str, float]:
        """The pruner's records on the trial, with which later trials are compared."""
        return dict(self._frozen().system_attrs)

    def _frozen(self) -> FrozenTrial:
        return frozen(self._view, self._stand_in)
