"""The vote of an ensemble's members: recalibrated, weighted, and recalibrated together, all out of fold.

1. Each member's probabilities are raised to the power of 1/temperature and normalised, so that a network trained with
   label smoothing and a ridge head vote on one scale (Guo et al., On Calibration of Modern Neural Networks, 2017).
2. Weights are chosen greedily with replacement to minimise the log loss (Caruana et al., Ensemble Selection from
   Libraries of Models, 2004), then shrunk halfway towards equal weights. docs/auto.md compares this rule with others.
3. The weighted mean gets its own temperature, as a mean of calibrated probabilities is underconfident.

Everything is fitted on out-of-fold probabilities, so a member that memorised its training cases gains nothing by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tsbench.classifiers.ridge import fit_temperature, softmax

__all__ = [
    "Combination",
    "fit_member_temperature",
    "is_better_than_chance",
    "log_loss",
    "nested_probabilities",
    "recalibrated",
]

Floats = NDArray[np.float64]

LEAST_PROBABILITY = 1e-6
"""Smaller probabilities are raised to this before a logarithm is taken."""

STEPS = 50
"""Of the greedy selection; a weight is a multiple of 1/50 before it is shrunk."""

SHRINKAGE = 0.5
"""The share of equal weights in the final ones."""


def log_loss(probabilities: Floats, codes: NDArray[np.integer]) -> float:
    """Mean negative logarithm of the true classes' probabilities, shape (cases, classes) and (cases,)."""
    true = probabilities[np.arange(len(codes)), codes]
    return float(-np.log(np.clip(true, LEAST_PROBABILITY, 1.0)).mean())


def recalibrated(probabilities: Floats, temperature: float) -> Floats:
    """Probabilities raised to the power of 1/temperature and normalised, shape (cases, classes)."""
    if temperature == 1.0:
        return probabilities
    return softmax(np.log(np.clip(probabilities, LEAST_PROBABILITY, 1.0)) / temperature)


def is_better_than_chance(probabilities: Floats, codes: NDArray[np.integer]) -> bool:
    """Whether a member's log loss, after recalibration, is below the entropy of the classes' shares.

    The entropy is the log loss of a prediction by the shares alone.

    Args:
        probabilities: shape (cases, classes), out of fold.
        codes: shape (cases,), numbers of the true classes.
    """
    shares = np.bincount(codes)[np.unique(codes)] / len(codes)
    entropy = float(-(shares * np.log(shares)).sum())
    temperature = fit_member_temperature(probabilities, codes)
    return log_loss(recalibrated(probabilities, temperature), codes) < entropy


@dataclass(frozen=True)
class Combination:
    """Combines members' probabilities to the ensemble's.

    Attributes:
        temperatures: one of each member.
        weights: one of each member; they sum to 1.
        temperature: of the weighted mean.
    """

    temperatures: tuple[float, ...]
    weights: tuple[float, ...]
    temperature: float

    @classmethod
    def equal(cls, members: int) -> Combination:
        """Equal weights without recalibration, if there are no out-of-fold probabilities."""
        return cls((1.0,) * members, (1 / members,) * members, 1.0)

    @classmethod
    def fit(cls, members: Sequence[Floats], codes: NDArray[np.integer]) -> Combination:
        """Fits temperatures and weights on out-of-fold probabilities.

        Args:
            members: for each member its probabilities, shape (cases, classes).
            codes: shape (cases,), numbers of the true classes.
        """
        temperatures = [fit_member_temperature(probabilities, codes) for probabilities in members]
        calibrated = [
            recalibrated(probabilities, temperature)
            for probabilities, temperature in zip(members, temperatures, strict=True)
        ]
        weights = (1 - SHRINKAGE) * _greedy(calibrated, codes) + SHRINKAGE / len(members)
        mean: Floats = np.tensordot(weights, np.stack(calibrated), axes=1).astype(np.float64)
        return cls(tuple(temperatures), tuple(float(weight) for weight in weights), fit_member_temperature(mean, codes))

    def apply(self, members: Sequence[Floats]) -> Floats:
        """The ensemble's probabilities, shape (cases, classes), from those of each member."""
        mean = sum(
            weight * recalibrated(probabilities, temperature)
            for probabilities, temperature, weight in zip(members, self.temperatures, self.weights, strict=True)
        )
        return recalibrated(np.asarray(mean), self.temperature)


def nested_probabilities(
    members: Sequence[Floats], codes: NDArray[np.integer], folds: Sequence[NDArray[np.integer]]
) -> Floats:
    """The ensemble's probabilities of each case, by a combination that was fitted on the other folds' cases.

    Args:
        members: for each member its out-of-fold probabilities, shape (cases, classes).
        codes: shape (cases,), numbers of the true classes.
        folds: the cases of each fold; a case that is in none of them keeps NaN.
    """
    found = np.full_like(members[0], np.nan)
    for fold in folds:
        others = np.setdiff1d(np.arange(len(codes)), fold)
        combination = Combination.fit([probabilities[others] for probabilities in members], codes[others])
        found[fold] = combination.apply([probabilities[fold] for probabilities in members])
    return found


def fit_member_temperature(probabilities: Floats, codes: NDArray[np.integer]) -> float:
    """The temperature that minimises the log loss of probabilities; see `tsbench.classifiers.ridge.fit_temperature`."""
    return fit_temperature(np.log(np.clip(probabilities, LEAST_PROBABILITY, 1.0)), codes)


def _greedy(members: Sequence[Floats], codes: NDArray[np.integer]) -> Floats:
    """The share of each member among STEPS choices, each of which lowers the log loss of their mean the most."""
    rows = np.arange(len(codes))
    true = np.stack([probabilities[rows, codes] for probabilities in members])
    counts, total = np.zeros(len(members)), np.zeros(len(codes))
    for step in range(1, STEPS + 1):
        means = np.clip((total + true) / step, LEAST_PROBABILITY, 1.0)
        best = int(np.log(means).mean(axis=1).argmax())
        counts[best] += 1
        total += true[best]
    return counts / STEPS
