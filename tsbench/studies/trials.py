"""The stored trials of a study: how each ended, which count, and which is the best."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from tsbench.recipe.schema import HyperparameterConfig
from tsbench.studies.specification import StudySpec
from tsbench.tracking.names import COSTS

__all__ = ["BestTrial", "Configuration", "Trials", "as_best", "deserves_retry", "fixed_parameters", "retries"]

RESULT = "result"  # user attribute: a trial's scores, seconds and reason, as its worker reports them
INFEASIBLE = "infeasible"  # in a trial's result: it exceeds a constraint
LOST = "lost"  # user attribute: why a trial was lost; it does not count, and is tried again
FOLDS = "folds"  # user attribute: for each fold its training loss and its score by epoch, thinned
RUN = "run"  # user attribute: a trial's MLflow run, if its worker ended it
RETRY_OF = "retry_of"  # user attribute: number of the lost trial whose parameters are tried again
RETRIES = "retries"  # user attribute: how often the parameters of a trial were lost before
MAX_RETRIES = 2


@dataclass(frozen=True)
class Configuration:
    """A cross-validated configuration of the network, or the recipe's own if it could not be cross-validated.

    Attributes:
        hyperparameters: all of them.
        number: of its trial; None without one.
        value: its score by the searched metric; NaN without a trial.
        scores: `cv_<metric>` of every metric, the mean over the folds, with its standard error (`cv_<metric>_se`), and
            `predict_seconds` and `parameters`.
        seconds: of the trial.
    """

    hyperparameters: HyperparameterConfig
    number: int | None
    value: float
    scores: Mapping[str, float]
    seconds: float


@dataclass(frozen=True)
class BestTrial(Configuration):
    """A complete trial."""

    number: int


class Trials(list[FrozenTrial]):
    """All trials of a study by number, at the time of reading."""

    def __init__(self, trials: Sequence[FrozenTrial], spec: StudySpec) -> None:
        super().__init__(trials)
        self.spec = spec

    def latest(self) -> list[FrozenTrial]:
        """The latest trial at each place of the search's order; a retry has the place of the lost trial."""
        return list(dict(zip(_places(self), self, strict=True)).values())

    def counted(self) -> list[FrozenTrial]:
        """The trials that count towards the budget: all but the lost ones."""
        return [trial for trial in self if not _is_lost(trial)]

    def counts(self) -> dict[str, int]:
        """Number of trials by state, with Optuna's names in lower case; lost ones separate."""
        counts = {"complete": 0, "pruned": 0, "fail": 0, "lost": 0, "running": 0, "waiting": 0}
        for trial in self:
            counts["lost" if _is_lost(trial) else trial.state.name.lower()] += 1
        return counts

    def running(self) -> list[int]:
        """Numbers of the trials that are marked as running."""
        return [trial.number for trial in self if trial.state is TrialState.RUNNING]

    def lost(self) -> dict[int, str]:
        """The reason of each lost trial; they are marked as failed, and their parameters are tried again."""
        return {trial.number: _reason(trial) for trial in self if _is_lost(trial)}

    def complete_seconds(self) -> list[float]:
        """Seconds of each complete trial."""
        return [trial.user_attrs[RESULT]["seconds"] for trial in self if trial.state is TrialState.COMPLETE]

    def last_reason(self) -> str:
        """The reason of the last trial that is not complete; empty if there is none."""
        return next(filter(None, map(_reason, reversed(self))), "")

    def best(self) -> BestTrial | None:
        """The best complete trial; None without any."""
        return next(self.ranked(), None)

    def chosen(self, number: int | None) -> BestTrial | None:
        """The trial of this number, or without a number the best one."""
        return self.best() if number is None else as_best(self[number])

    def best_few(self, count: int) -> list[BestTrial]:
        """The best complete trials, at most this many."""
        return list(islice(self.ranked(), count))

    def ranked(self) -> Iterator[BestTrial]:
        """The complete trials, the best first: by the metric, then by lower CV log loss, then the earlier."""
        complete = [trial for trial in self.latest() if trial.state is TrialState.COMPLETE]
        sign = -1 if self.spec.maximise else 1
        complete.sort(key=lambda trial: (sign * trial.values[0], trial.user_attrs[RESULT]["cv_log_loss"]))
        return map(as_best, complete)

    def default(self) -> BestTrial | None:
        """The trial of the recipe's own values, if the space offers them, also if it was pruned.

        None if there is no such trial, it failed, or it exceeds a constraint. The score of a pruned trial is NaN.
        """
        ended = [
            trial
            for trial in self.latest()
            if trial.state in (TrialState.COMPLETE, TrialState.PRUNED) and INFEASIBLE not in trial.user_attrs[RESULT]
        ]
        search, places = self.spec.search, self.latest()
        if search.sampler == "grid":
            ended = [trial for trial in ended if as_best(trial).hyperparameters == self.spec.base]
        else:
            ended = [trial for trial in ended if places[len(search.enqueue) :][:1] == [trial]]
        return as_best(ended[0]) if ended else None

    def is_among_best(self, score: float | None, count: int) -> bool:
        """Whether fewer than `count` complete trials have a better score of the searched metric."""
        if score is None or not math.isfinite(score):
            return False
        scores = [trial.values[0] for trial in self if trial.state is TrialState.COMPLETE]
        better = [known for known in scores if (known > score if self.spec.maximise else known < score)]
        return len(better) < count

    def origin_of(self, number: int) -> str:
        """What a trial's parameters come from: `enqueue`, `recipe`, `portfolio`, or the sampler's name."""
        search, place = self.spec.search, _places(self)[number]
        queued, portfolio = len(search.enqueue), len(self.spec.portfolio)
        if search.sampler == "grid" or place > queued + portfolio:
            return str(search.sampler)
        return "enqueue" if place < queued else "portfolio" if place > queued else "recipe"

    def run_of(self, number: int) -> str:
        """The MLflow run of a trial that a worker ended; empty for others."""
        return str(self[number].user_attrs.get(RUN, ""))

    def reason_of(self, number: int) -> str:
        """The reason of a trial that is not complete; empty for others."""
        return _reason(self[number])

    def parameters_of(self, number: int) -> dict[str, Any]:
        """The parameters of a queued or running trial."""
        return fixed_parameters(self[number])

    def fold_curves(self, number: int) -> list[tuple[list[tuple[int, float]], list[tuple[int, float]]]]:
        """For each fold of a trial its training loss and its score by epoch; empty if they were not recorded."""
        found = self[number].user_attrs.get(FOLDS, [])
        pairs = [[[(int(epoch), float(value)) for epoch, value in curve] for curve in fold] for fold in found]
        return [(losses, scores) for losses, scores in pairs]

    def visible_to(self, number: int) -> tuple[int, list[FrozenTrial]]:
        """Trial `number`'s place, and the trials that it may be compared with: those from which it was chosen."""
        place = _places(self)[number]
        return place, self.latest()[: max(0, place + 1 - self.spec.concurrency)]


def as_best(trial: FrozenTrial) -> BestTrial:
    """A complete trial by its worker's record, or a pruned one with score NaN."""
    scores = {key: value for key, value in trial.user_attrs[RESULT].items() if key.startswith("cv_") or key in COSTS}
    settings = HyperparameterConfig.model_validate_json(json.dumps(trial.user_attrs["hyperparameters"]))
    value = trial.values[0] if trial.state is TrialState.COMPLETE else math.nan
    return BestTrial(settings, trial.number, value, scores, trial.user_attrs[RESULT]["seconds"])


def _is_lost(trial: FrozenTrial) -> bool:
    return trial.state is TrialState.FAIL and LOST in trial.user_attrs


def _reason(trial: FrozenTrial) -> str:
    return str(trial.user_attrs.get(LOST) or trial.user_attrs.get(RESULT, {}).get("reason", ""))


def retries(trial: FrozenTrial) -> int:
    """How often its parameters were lost by a worker's death, this trial included; ends by a worker do not count."""
    return int(trial.user_attrs.get(RETRIES, 0)) + (_is_lost(trial) and RESULT not in trial.user_attrs)


def deserves_retry(trial: FrozenTrial) -> bool:
    """Whether the parameters of a trial are to be tried again."""
    return _is_lost(trial) and retries(trial) <= MAX_RETRIES


def _places(trials: Sequence[FrozenTrial]) -> list[int]:
    """Each trial's place in the search's order; a retry has the place of the lost trial.

    So choices by earlier trials do not depend on which trials were lost.
    """
    places: list[int] = []
    new = 0
    for trial in trials:
        lost = trial.user_attrs.get(RETRY_OF)
        places.append(new if lost is None else places[lost])
        new += lost is None
    return places


def fixed_parameters(trial: FrozenTrial) -> dict[str, Any]:
    """The parameters that a trial was enqueued with."""
    return dict(trial.system_attrs.get("fixed_params", {}))
