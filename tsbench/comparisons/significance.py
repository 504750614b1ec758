"""The statistics of a table of scores: ranks, and tests of every difference between classifiers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tsbench.comparisons import statistics
from tsbench.comparisons.statistics import Friedman, Pairwise, complete_rows, win_tie_loss

__all__ = ["CONFIDENCE", "Statistics"]

CONFIDENCE = 0.95


@dataclass(frozen=True, eq=False)
class Statistics:
    """Statistics over the data sets for which every classifier has a score.

    Attributes:
        scores: shape (data sets, classifiers), so that more is better; NaN if one is missing.
        sign: -1 if lower values of the metric are better, so that differences are of the metric itself; otherwise 1.
        alpha: significance level of the tests.
        rope: differences of at most this much count as equivalent (Bayesian test).
    """

    scores: NDArray[np.float64]
    sign: int
    alpha: float
    rope: float

    @cached_property
    def ranks(self) -> NDArray[np.float64]:
        """Average rank of each classifier."""
        return statistics.average_ranks(self.scores)

    @cached_property
    def friedman(self) -> Friedman | None:
        """Friedman's test of whether any classifiers differ."""
        return statistics.friedman(self.scores)

    @cached_property
    def pairs(self) -> Pairwise:
        """Every pair; the only source of p-values. Differences are of the metric as it is, wins of what is better."""
        return statistics.pairwise(self.scores).times(self.sign)

    @cached_property
    def differs(self) -> NDArray[np.bool_]:
        """Shape (classifiers, classifiers): which pairs differ significantly after Holm's adjustment."""
        return np.asarray(self.pairs.p_holm <= self.alpha)

    @cached_property
    def cliques(self) -> list[tuple[int, ...]]:
        """Groups of classifiers of which no two differ."""
        return statistics.cliques(self.ranks, self.differs)

    @cached_property
    def nemenyi(self) -> NDArray[np.float64]:
        """P-values of Nemenyi's test."""
        return statistics.nemenyi(self.scores)

    def intervals(self, control: int) -> NDArray[np.float64]:
        """Shape (2, classifiers): the ends of the bootstrap interval of the mean difference from a column."""
        return statistics.bootstrap_mean_difference(self.sign * self._less(control), CONFIDENCE) + 0.0

    def bayesian(self, control: int) -> NDArray[np.float64]:
        """Shape (classifiers, 3): probabilities of being worse than a column, as good, and better."""
        return statistics.bayesian_signed_rank(self._less(control), self.rope)

    def wins_against(self, control: int) -> list[tuple[int, int, int] | None]:
        """Each classifier's wins, ties and losses against a column, where both have a score; None for itself."""
        columns = range(self.scores.shape[1])
        return [
            None if column == control else win_tie_loss(self.scores[:, column], self.scores[:, control])
            for column in columns
        ]

    def _less(self, control: int) -> NDArray[np.float64]:
        complete = self.scores[complete_rows(self.scores)]
        differences: NDArray[np.float64] = complete - complete[:, [control]]
        return differences
