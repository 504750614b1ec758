"""Pure functions on tables of scores: rows are data sets, columns classifiers, NaN where there is no figure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["average_ranks", "complete_rows", "win_tie_loss"]


def complete_rows(scores: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Shape (data sets,): which have a figure for every classifier."""
    complete: NDArray[np.bool_] = np.asarray(~np.isnan(scores).any(axis=1))
    return complete


def average_ranks(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean rank of each classifier over the complete rows, 1 the best; ties share the mean of their ranks.

    Args:
        scores: shape (data sets, classifiers), more is better.

    Returns:
        Shape (classifiers,); NaN where no row is complete.
    """
    rows = scores[complete_rows(scores)]
    if len(rows) == 0:
        return np.full(scores.shape[1], np.nan)
    better = (rows[:, None, :] > rows[:, :, None]).sum(axis=2)
    equal = (rows[:, None, :] == rows[:, :, None]).sum(axis=2)
    ranks: NDArray[np.float64] = (better + (equal + 1) / 2).mean(axis=0)
    return ranks


def win_tie_loss(first: NDArray[np.float64], second: NDArray[np.float64]) -> tuple[int, int, int]:
    """On how many data sets the first is better, equal and worse, over those where both have a figure."""
    both = ~np.isnan(first) & ~np.isnan(second)
    difference = first[both] - second[both]
    return int((difference > 0).sum()), int((difference == 0).sum()), int((difference < 0).sum())
