"""A comparison: one table of test scores, and the statistics that every table, plot and sentence is made from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tsbench.comparisons.results import is_network
from tsbench.comparisons.score_table import ScoreTable
from tsbench.comparisons.significance import Statistics
from tsbench.errors import RecipeError, argument

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from tsbench.comparisons.versions import Provenance

__all__ = ["Comparison", "Lead", "Standing"]


@dataclass(frozen=True)
class Standing:
    """A classifier's results over the complete data sets, compared with the control.

    Attributes:
        classifier: its label.
        mean: mean score.
        rank: average rank.
        wins: data sets on which it is better, equal and worse than the control; None for the control itself.
        difference: mean score less the control's.
        interval: bootstrap interval of the difference.
        p: of Wilcoxon's signed-rank test, adjusted by Holm over all pairs of the table.
    """

    classifier: str
    mean: float
    rank: float
    wins: tuple[int, int, int] | None
    difference: float
    interval: tuple[float, float]
    p: float


@dataclass(frozen=True)
class Lead:
    """The first's mean score less the second's, over the data sets for which both have one; `advantage` if better."""

    first: str
    second: str
    difference: float
    advantage: float
    count: int


@dataclass(frozen=True)
class Comparison(ScoreTable):
    """A table of test scores, the statistics of its differences, and its reports.

    Statistics are over the data sets for which every classifier of the table has a score (complete cases).

    Attributes:
        against: the control, the classifier that the others are compared with; empty for the network, or without one
            the best rank.
        alpha: significance level of the tests.
        rope: differences of at most this much count as equivalent (Bayesian test).
        with_nemenyi: whether Nemenyi's test is reported too.

    Raises:
        RecipeError: a chosen classifier does not exist.
    """

    against: str = ""
    alpha: float = 0.05
    rope: float = 0.01
    with_nemenyi: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.control  # noqa: B018  unknown names are refused at once

    @cached_property
    def statistics(self) -> Statistics:
        """The tests of all differences."""
        return Statistics(self.sign * self.scores, self.sign, self.alpha, self.rope)

    @cached_property
    def control(self) -> str:
        """The classifier that the others are compared with; empty if there is none at all."""
        if self.against:
            found = self.selection.find(self.against)
            if found not in self.classifiers:
                raise RecipeError(
                    [
                        f"the control {found!r} is not among the classifiers shown; add it to "
                        f"{argument('--classifiers', 'classifiers')}"
                    ]
                )
            return found
        networks = [name for name in self.classifiers if is_network(name)]
        if len(networks) == 1:
            return networks[0]
        if not self.classifiers or not self.complete.any():
            return self.classifiers[0] if self.classifiers else ""
        return self.classifiers[int(np.argmin(self.statistics.ranks))]

    @property
    def control_column(self) -> int:
        """The control's number; 0 if there is none."""
        return self.classifiers.index(self.control) if self.control else 0

    @cached_property
    def bayesian(self) -> NDArray[np.float64]:
        """Shape (classifiers, 3): probabilities of being worse than the control, as good, and better."""
        return self.statistics.bayesian(self.control_column)

    def lead_over(self, name: str) -> Lead:
        """By how much the control is ahead of another classifier.

        Raises:
            RecipeError: there is no such classifier, it is the control itself, or they share no data set.
        """
        other = self.selection.find(name)
        if other == self.control:
            raise RecipeError([f"{other!r} is the control itself; name another to compare it with"])
        if not self.control:
            raise RecipeError([f"there is no classifier to compare with {other!r}"])
        columns = self.columns[self.control], self.columns[other]
        pairs = [tuple(column.score(dataset) for column in columns) for dataset in self.datasets]
        both = [(first, second) for first, second in pairs if first is not None and second is not None]
        if not both:
            raise RecipeError([f"{self.control!r} and {other!r} have scores on no common data set"])
        difference = float(np.mean([first - second for first, second in both]))
        return Lead(self.control, other, difference, self.sign * difference, len(both))

    @cached_property
    def standings(self) -> list[Standing]:
        """Every classifier, the best rank first; empty without a complete data set."""
        if not self.complete.any():
            return []
        against = self.control_column
        means, pairs = self.complete_scores.mean(axis=0), self.statistics.pairs
        low, high = self.statistics.intervals(against)
        found = []
        for column in np.argsort(self.statistics.ranks, kind="stable"):
            wins = (int(counts[column, against]) for counts in (pairs.wins, pairs.ties, pairs.losses))
            standing = Standing(
                self.classifiers[column],
                float(means[column]),
                float(self.statistics.ranks[column]),
                None if column == against else tuple(wins),  # type: ignore[arg-type]
                float(pairs.mean_difference[column, against]),
                (float(low[column]), float(high[column])),
                float(pairs.p_holm[column, against]),
            )
            found.append(standing)
        return found

    @property
    def ranks(self) -> pd.Series:
        """Average rank of each classifier over the complete data sets, the best first."""
        import pandas as pd

        ranks = pd.Series(self.statistics.ranks, pd.Index(self.classifiers, name="classifier"), name="average rank")
        return ranks.sort_values(kind="stable")

    @property
    def pairwise(self) -> pd.DataFrame:
        """The test of every pair of classifiers: mean difference, wins, p without and with Holm's adjustment.

        The classifier of the better rank is `first`; empty without a complete data set.
        """
        import pandas as pd

        from tsbench.comparisons.report import pairs_of

        order = [self.classifiers.index(standing.classifier) for standing in self.standings]
        return pd.DataFrame(pairs_of(self, order))

    def plot_critical_difference(self) -> Figure:
        """Average ranks on a line; bars join groups without significant differences.

        Raises:
            RecipeError: it cannot be drawn, with the reason; the other plots raise it too.
        """
        return self._draw("critical_difference")

    def plot_comparison_matrix(self) -> Figure:
        """Mean differences of every pair, with wins, ties, losses and p."""
        return self._draw("comparison_matrix")

    def plot_pairwise_scatter(self) -> Figure:
        """The control's score against each other classifier's, one point for each data set."""
        return self._draw("pairwise_scatter")

    def plot_accuracy_against_time(self) -> Figure:
        """Mean score against the seconds to fit."""
        return self._draw("accuracy_against_time")

    def plot_resample_boxes(self) -> Figure:
        """Boxes of the scores over data sets and resamples."""
        return self._draw("resample_boxes")

    def _draw(self, name: str) -> Figure:
        from tsbench.comparisons.plots import PICTURES

        picture = PICTURES[name]
        if lacks := picture.lacks(self):
            raise RecipeError([f"{name} cannot be drawn: {lacks}"])
        return picture.draw(self)

    @cached_property
    def _provenance(self) -> Provenance:
        from tsbench.comparisons.versions import Provenance, read_provenance

        if self.results.store is None:
            return Provenance()
        return read_provenance(self.results.store, self.results.experiments, self.datasets)

    def report(self, path: str | Path) -> None:
        """Writes a self-contained HTML report; missing folders are created.

        Raises:
            RecipeError: the file cannot be written, or its name is not that of an HTML page.
        """
        from tsbench.comparisons.output import write_report

        write_report(self, self._provenance, Path(path))

    def log(self) -> str:
        """Records it as a run of its first experiment, and returns the run's id.

        Raises:
            RecipeError: it has no MLflow experiment.
            TrackingError: the store failed.
        """
        from tsbench.comparisons.output import log_comparison

        if self.results.store is None:
            raise RecipeError(["only a comparison of MLflow experiments can be recorded in MLflow"])
        return log_comparison(self, self._provenance, self.results.store, self.results.experiments[0])

    def __str__(self) -> str:
        from tsbench.comparisons.report import as_markdown

        return as_markdown(self)

    def _repr_html_(self) -> str:
        from tsbench.comparisons.fragment import as_fragment

        return as_fragment(self)
