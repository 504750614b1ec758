"""The choice after a search: the best trials and the default are scored again on other folds, and compared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tsbench.evaluation.metrics import standard_error
from tsbench.studies.specification import derive_seed
from tsbench.studies.trials import BestTrial, Trials

__all__ = ["Choice", "Confirmation", "candidates", "choose", "confirming_seed"]

POINTS = ("accuracy", "balanced_accuracy", "f1_macro", "roc_auc")  # metrics given in points, that is hundredths


@dataclass(frozen=True)
class Confirmation:
    """A candidate's result on the other folds.

    Attributes:
        scores: of the searched metric by fold; NaN if a fold does not define it; empty if it could not be trained.
        seconds: of the cross-validation.
        metrics: means of all metrics over the folds with their standard errors, by their names in MLflow.
        repeats: how often the folds hold out each case.
        reason: why it could not be trained; empty if it could.
    """

    scores: Sequence[float]
    seconds: float
    metrics: Mapping[str, float] = field(default_factory=dict)
    repeats: int = 1
    reason: str = ""


@dataclass(frozen=True)
class Choice:
    """The configuration that is refitted.

    Attributes:
        trial: that ran it.
        sentence: the reason for the choice, without a full stop; empty if there was only one candidate.
        metrics: of its confirmation, by their names in MLflow; empty without one.
    """

    trial: BestTrial
    sentence: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_compared(self) -> bool:
        """Whether the choice was made by scores on other folds."""
        return bool(self.metrics)


def confirming_seed(seed: int) -> int:
    """Seed of the folds and networks of a study's confirmations, whose trials use `seed`."""
    return derive_seed(seed, 3)


def candidates(trials: Trials, count: int) -> list[BestTrial]:
    """The trials that are scored again: the default if there is one, then the best few others that differ from it.

    Args:
        trials: all of the study.
        count: maximum number of trials besides the default.

    Returns:
        The default first. Empty if there is nothing to choose from: no trial besides the default was completed,
        or a single one and there is no default.
    """
    default = trials.default()
    found = [] if default is None else [default]
    for trial in trials.ranked():
        if len(found) - (default is not None) == count:
            break
        if all(trial.hyperparameters != other.hyperparameters for other in found):
            found.append(trial)
    return found if len(found) > 1 and count else []


def choose(
    trials: Trials, count: int, confirmed: Mapping[int, Confirmation], whatever_is_known: bool = False
) -> Choice | None:
    """Chooses the configuration that is refitted.

    Another than the default is chosen only if it is better on the other folds by more than the standard error of the
    difference. The difference is taken fold by fold, as all candidates are scored on the same folds: its mean over the
    folds counts, and the standard error of that mean, the standard deviation of the differences (with n - 1) divided by
    the square root of the number of folds. Where folds are repeated, that is the number in one repeat, as repeats
    validate on the same cases.

    Of several such trials, the one with the best mean over its first folds and the other ones is chosen: each trial's
    first scores are optimistic, as it was selected by them, but all candidates' are, and twice the folds halve the
    noise of their order. (If candidates are draws from one normal distribution with equal noise, the mean of all of a
    candidate's scores orders them as their expectations do, however they were selected.) Studies of earlier versions
    choose by the other folds alone.

    Without a default among the trials, the best by the same mean is chosen.

    Args:
        trials: all of the study.
        count: as in `candidates`; 0 chooses by the trials' own scores.
        confirmed: confirmations so far, by trial number.
        whatever_is_known: do not wait for more: choose among the candidates that were scored again.

    Returns:
        None if no trial was completed, or a candidate still has to be scored again.
    """
    best, default, rivals = trials.best(), trials.default(), candidates(trials, count)
    if best is None:
        return None
    if not rivals:
        return Choice(best)
    if not whatever_is_known and any(trial.number not in confirmed for trial in rivals):
        return None
    known = {trial.number: confirmed[trial.number] for trial in rivals if trial.number in confirmed}
    folds = len(trials.fold_curves(best.number))
    scored = [
        replace(trial, seconds=_seconds_of_trial(known[trial.number], folds))
        for trial in rivals
        if trial.number in known and known[trial.number].scores
    ]
    is_default_scored = default is not None and any(trial.number == default.number for trial in scored)
    if len(scored) < 2 or not (default is None or is_default_scored):
        return Choice(
            best, "the best trial by its CV score was chosen, as too few could be scored again on other folds"
        )
    sign = 1.0 if trials.spec.maximise else -1.0
    # Ties are resolved by the search's ranking.
    scored.sort(key=lambda trial: _worth(trials, trial, known[trial.number].scores, sign), reverse=True)
    if default is None:
        first = scored[0]
        where = "all its folds" if trials.spec.pooled else "other folds"
        text = f"trial {first.number} is the best of {len(scored)} on {where}; the default is not among the trials"
        return Choice(first, text, known[first.number].metrics)
    for trial in scored:
        if trial.number == default.number:
            continue
        difference, error = _paired(known[trial.number], known[default.number])
        if sign * difference > error:
            text = f"trial {trial.number} beats the default by {_by(trials.spec.search.metric, abs(difference), error)}"
            return Choice(trial, text, known[trial.number].metrics)
    kept = next(trial for trial in scored if trial.number == default.number)
    return Choice(kept, "no trial beat the default beyond chance; the default was kept", known[default.number].metrics)


def _seconds_of_trial(confirmation: Confirmation, folds: int) -> float:
    """Seconds that a trial takes without a pruner, by its number of folds; 0 folds: as many as the confirmation has.

    With a held-out part a trial has one fold, and the confirmation several.
    """
    return confirmation.seconds * (folds or len(confirmation.scores)) / len(confirmation.scores)


def _worth(trials: Trials, trial: BestTrial, scores: Sequence[float], sign: float) -> float:
    """Mean over the other folds that have a score and the trial's own, oriented so that more is better."""
    found = [score for score in scores if math.isfinite(score)]
    if not found:
        return -math.inf
    if trials.spec.pooled and math.isfinite(trial.value):
        # With a held-out part a trial has one score, and the confirmation as many as there are folds.
        found += [trial.value] * (len(trials.fold_curves(trial.number)) or len(scores))
    return sign * float(np.mean(found))


def _paired(one: Confirmation, other: Confirmation) -> tuple[float, float]:
    """Mean difference over the folds for which both have a score, and its standard error; see `choose`."""
    differences = np.subtract(one.scores, other.scores)
    differences = differences[np.isfinite(differences)]
    if not len(differences):
        return math.nan, math.nan
    return float(differences.mean()), standard_error(differences, one.repeats)


def _by(metric: str, difference: float, error: float) -> str:
    if metric not in POINTS:
        return f"{difference:.3f} in {metric.replace('_', ' ')} (standard error {error:.3f})"
    of = "" if metric == "accuracy" else f" of {metric.replace('_', ' ')}"
    return f"{100 * difference:.1f} points{of} (standard error {100 * error:.1f})"
