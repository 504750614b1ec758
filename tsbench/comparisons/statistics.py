"""Pure functions on tables of scores: rows are data sets, columns classifiers, NaN for a missing score.

Rules that hold everywhere: more is better; equal scores share the mean of their ranks; a zero difference counts for
neither side and is left out of the signed ranks (Wilcoxon's own rule, scipy's `zero_method="wilcox"`); a pair whose
differences are all zero has p = 1; what needs complete rows says so. Demsar 2006, "Statistical comparisons of
classifiers over multiple data sets", is the source if no other is named.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Friedman",
    "Pairwise",
    "average_ranks",
    "bayesian_signed_rank",
    "bootstrap_mean_difference",
    "cliques",
    "complete_rows",
    "critical_difference",
    "friedman",
    "holm",
    "nemenyi",
    "pairwise",
    "wilcoxon",
    "win_tie_loss",
]

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

BAYES_CHUNK = 5_000
"""Draws held in memory at once."""


def complete_rows(scores: Floats) -> NDArray[np.bool_]:
    """Shape (data sets,): which have a score for every classifier."""
    complete: NDArray[np.bool_] = np.asarray(~np.isnan(scores).any(axis=1))
    return complete


def average_ranks(scores: Floats) -> Floats:
    """Mean rank of each classifier over the complete rows, 1 the best; ties share the mean of their ranks.

    Args:
        scores: shape (data sets, classifiers), more is better.

    Returns:
        Shape (classifiers,); NaN if no row is complete.
    """
    rows = scores[complete_rows(scores)]
    if len(rows) == 0:
        return np.full(scores.shape[1], np.nan)
    mean: Floats = _ranks(rows).mean(axis=0)
    return mean


def _ranks(rows: Floats) -> Floats:
    """Shape (data sets, classifiers): ranks within each row."""
    better = (rows[:, None, :] > rows[:, :, None]).sum(axis=2)
    equal = (rows[:, None, :] == rows[:, :, None]).sum(axis=2)
    ranks: Floats = better + (equal + 1) / 2
    return ranks


def win_tie_loss(first: Floats, second: Floats) -> tuple[int, int, int]:
    """The number of data sets on which the first is better, equal and worse, if both have a score."""
    both = ~np.isnan(first) & ~np.isnan(second)
    difference = first[both] - second[both]
    return int((difference > 0).sum()), int((difference == 0).sum()), int((difference < 0).sum())


@dataclass(frozen=True)
class Friedman:
    """Friedman's test of whether any classifiers differ.

    Attributes:
        statistic: Friedman's chi-square, corrected for ties.
        p: of it.
        f: Iman and Davenport's F (1980), which is less conservative; infinite if all data sets agree on the ranks.
        p_f: of it.
        degrees: degrees of freedom of F.
    """

    statistic: float
    p: float
    f: float
    p_f: float
    degrees: tuple[int, int]


def friedman(scores: Floats) -> Friedman | None:
    """Friedman's test over the complete rows, with Iman and Davenport's F.

    Returns:
        None for fewer than three classifiers or two data sets, as it is not defined. If all scores of every data
        set are equal nothing differs: statistics of 0, p = 1.
    """
    from scipy.stats import chi2
    from scipy.stats import f as f_distribution

    rows = scores[complete_rows(scores)]
    n, k = rows.shape
    if k < 3 or n < 2:
        return None
    ranks = _ranks(rows)
    degrees = (k - 1, (k - 1) * (n - 1))
    spread = ((ranks - (k + 1) / 2) ** 2).sum()  # n k (k^2 - 1) / 12 if there are no ties
    if spread == 0:
        return Friedman(0.0, 1.0, 0.0, 1.0, degrees)
    between = ((ranks.sum(axis=0) - n * (k + 1) / 2) ** 2).sum()
    statistic = float((k - 1) * between / spread)
    left = n * (k - 1) - statistic
    f = (n - 1) * statistic / left if left > 1e-9 * statistic else np.inf
    return Friedman(
        statistic, float(chi2.sf(statistic, k - 1)), float(f), float(f_distribution.sf(f, *degrees)), degrees
    )


def wilcoxon(first: Floats, second: Floats) -> float:
    """The p-value of Wilcoxon's two-sided signed-rank test, scipy's; 1 if no difference is other than zero.

    The differences are taken as they are, without rounding. scipy computes p exactly if there are at most 50
    differences without zeros or ties, else by the normal approximation without continuity correction (by all
    permutations of up to 13).

    Raises:
        ValueError: a score is missing.
    """
    from scipy.stats import wilcoxon as signed_rank

    if np.isnan(first).any() or np.isnan(second).any():
        raise ValueError("a score is missing")
    if (first == second).all():
        return 1.0
    return float(signed_rank(first, second, zero_method="wilcox", alternative="two-sided").pvalue)


def holm(p_values: Floats) -> Floats:
    """Holm's step-down adjustment (1979): each at most alpha if the procedure rejects at level alpha.

    Args:
        p_values: shape (hypotheses,).
    """
    count = len(p_values)
    order = np.argsort(p_values, kind="stable")
    stepped = np.maximum.accumulate(p_values[order] * (count - np.arange(count)))
    adjusted = np.empty(count)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


@dataclass(frozen=True)
class Pairwise:
    """Every pair of classifiers over the same data sets; all arrays have shape (classifiers, classifiers).

    Attributes:
        mean_difference: the row's mean score less the column's.
        wins: on how many data sets the row is better; `losses` is its transpose.
        ties: on how many they are equal.
        p: of Wilcoxon's two-sided signed-rank test; 1 on the diagonal.
        p_holm: adjusted by Holm over all pairs.
        count: number of data sets.
    """

    mean_difference: Floats
    wins: Counts
    ties: Counts
    p: Floats
    p_holm: Floats
    count: int

    @property
    def losses(self) -> Counts:
        """On how many data sets the column is better."""
        return self.wins.T

    def times(self, sign: int) -> Pairwise:
        """The same with the differences multiplied by 1 or -1; none of them is -0.0."""
        return replace(self, mean_difference=sign * self.mean_difference + 0.0)


def pairwise(scores: Floats) -> Pairwise:
    """Compares every pair over the complete rows; with none, differences are NaN and every p is 1."""
    rows = scores[complete_rows(scores)]
    n, k = rows.shape
    difference = rows[:, :, None] - rows[:, None, :]
    mean = difference.mean(axis=0) if n else np.full((k, k), np.nan)
    pairs = list(combinations(range(k), 2))
    p_values = np.array([wilcoxon(rows[:, i], rows[:, j]) if n else 1.0 for i, j in pairs])
    return Pairwise(
        mean,
        (difference > 0).sum(axis=0),
        (difference == 0).sum(axis=0),
        _symmetric(pairs, p_values, k),
        _symmetric(pairs, holm(p_values), k),
        n,
    )


def _symmetric(pairs: list[tuple[int, int]], values: Floats, k: int) -> Floats:
    matrix = np.ones((k, k))
    for (i, j), value in zip(pairs, values, strict=True):
        matrix[i, j] = matrix[j, i] = value
    return matrix


def cliques(ranks: Floats, differs: NDArray[np.bool_]) -> list[tuple[int, ...]]:
    """Groups of classifiers that follow one another in rank and of which no two differ; the bars of a CD diagram.

    Args:
        ranks: shape (classifiers,), average ranks.
        differs: shape (classifiers, classifiers), whether a pair differs significantly.

    Returns:
        The largest such groups of two or more, as columns in the order of their ranks; none lies within another.
    """
    order = np.argsort(ranks, kind="stable")
    found: list[tuple[int, ...]] = []
    reached = 0
    for first in range(len(order)):
        last = first + 1
        while last < len(order) and not differs[order[last], order[first:last]].any():
            last += 1
        if last - first > 1 and last > reached:
            found.append(tuple(int(index) for index in order[first:last]))
            reached = last
    return found


def critical_difference(classifiers: int, datasets: int, alpha: float = 0.05) -> float:
    """Nemenyi's critical difference of average ranks."""
    from scipy.stats import studentized_range

    q = studentized_range.ppf(1 - alpha, classifiers, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(classifiers * (classifiers + 1) / (6 * datasets)))


def nemenyi(scores: Floats) -> Floats:
    """The p-values of Nemenyi's test for every pair, shape (classifiers, classifiers), over the complete rows."""
    from scipy.stats import studentized_range

    rows = scores[complete_rows(scores)]
    n, k = rows.shape
    if n == 0 or k < 2:
        return np.ones((k, k))
    ranks = _ranks(rows).mean(axis=0)
    q = np.abs(ranks[:, None] - ranks) * np.sqrt(12 * n / (k * (k + 1)))
    p = np.ones((k, k))
    upper = np.triu_indices(k, 1)
    p[upper] = np.clip(studentized_range.sf(q[upper], k, np.inf), 0.0, 1.0)
    p.T[upper] = p[upper]
    return p


def bootstrap_mean_difference(
    differences: Floats, confidence: float = 0.95, draws: int = 10_000, seed: int = 0
) -> Floats:
    """Percentile bootstrap interval of the mean over the data sets (Efron 1979), which are drawn with replacement.

    Args:
        differences: shape (data sets, pairs), without NaN.
        confidence: share of the draws between the two ends.
        draws: how often the data sets are drawn again; every pair sees the same draws.
        seed: of the draws.

    Returns:
        Shape (2, pairs): the lower and the upper end; NaN if there are no data sets.
    """
    n, pairs = differences.shape
    if n == 0:
        return np.full((2, pairs), np.nan)
    counts = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=draws)
    ends: Floats = np.quantile(counts @ differences / n, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return ends


def bayesian_signed_rank(
    differences: Floats, rope: float, draws: int = 20_000, seed: int = 0, prior: float = 0.5
) -> Floats:
    """Bayesian signed-rank test with a region of practical equivalence (Benavoli et al. 2014, 2017).

    A Dirichlet process gives the data sets random weights, and one pseudo data set of difference 0 the weight of the
    prior. Each draw weighs, over all pairs of data sets, a mean difference below -rope, within, and above rope; the
    heaviest of the three wins the draw. The same as baycomp's `SignedRankTest`, by sorting instead of its matrix of
    all pairs, which takes seconds for each comparison over a whole archive.

    Args:
        differences: shape (data sets, pairs of classifiers), without NaN.
        rope: differences of at most this much count as none.
        draws: of the posterior, the same for every pair of classifiers.
        seed: of the draws.
        prior: weight of the pseudo data set.

    Returns:
        Shape (pairs of classifiers, 3): posterior probabilities that the first is worse, practically equal and better.
    """
    n, pairs = differences.shape
    values = np.vstack([np.zeros(pairs), differences])
    wins = np.zeros((pairs, 3))
    for weights in _dirichlet(np.array([prior, *np.ones(n)]), draws, seed):
        for pair in range(pairs):
            worse, better = _signed_weights(weights, values[:, pair], rope)
            winner = np.argmax([worse, 1 - worse - better, better], axis=0)
            wins[pair] += np.bincount(winner, minlength=3)
    shares: Floats = wins / draws
    return shares


def _dirichlet(parameters: Floats, draws: int, seed: int) -> Iterator[Floats]:
    """Weights of shape (parameters, draws), a part of the draws at a time."""
    generator = np.random.default_rng(seed)
    for begun in range(0, draws, BAYES_CHUNK):
        yield np.ascontiguousarray(generator.dirichlet(parameters, min(BAYES_CHUNK, draws - begun)).T)


def _signed_weights(weights: Floats, values: Floats, rope: float) -> tuple[Floats, Floats]:
    """For each draw, the weight of all pairs whose values' mean is below -rope, and above rope; half of one on it."""
    order = np.argsort(values)
    v, w = values[order], weights[order]
    before = np.vstack([np.zeros((1, w.shape[1])), np.cumsum(w, axis=0)])  # of the k smallest values

    def weight(threshold: float) -> Floats:
        """Of the pairs whose sum is below the threshold, and half of those on it."""
        ends = [np.searchsorted(v, threshold - v, side="left"), np.searchsorted(v, threshold - v, side="right")]
        halves: Floats = np.einsum("ij,ij->j", w, before[ends[0]])
        if (ends[0] == ends[1]).all():
            return halves
        other: Floats = np.einsum("ij,ij->j", w, before[ends[1]])
        return (halves + other) / 2

    return weight(-2 * rope), 1 - weight(2 * rope)
