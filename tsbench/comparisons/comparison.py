"""A comparison: one table of test scores, and the statistics that every table, picture and sentence is made from."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tsbench.comparisons import statistics
from tsbench.comparisons.classifier_columns import Column
from tsbench.comparisons.formatting import METRIC_WORDS
from tsbench.comparisons.published import Reference, decimals
from tsbench.comparisons.results import Results, is_network
from tsbench.comparisons.selection import Selection
from tsbench.comparisons.statistics import Friedman, Pairwise, complete_rows, win_tie_loss
from tsbench.errors import RecipeError, argument
from tsbench.evaluation.metrics import MAXIMISED
from tsbench.tracking.split import UNKNOWN, Split

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from tsbench.comparisons.versions import Provenance

__all__ = ["CONFIDENCE", "Comparison", "Lead", "Standing", "Statistics"]

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Standing:
    """How a classifier stands over the complete data sets, beside the control.

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


@dataclass(frozen=True, eq=False)
class Statistics:
    """Statistics over the data sets for which every classifier has a score.

    Attributes:
        scores: shape (data sets, classifiers), so that more is better; NaN if one is missing.
        sign: -1 if the metric is better the lower it is, so that differences are of the metric itself; else 1.
        alpha: level of the tests.
        rope: differences of at most this much are practically none (Bayesian test).
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
        """Whether any differ."""
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
        """P-values of Nemenyi's test, for those who ask for it."""
        return statistics.nemenyi(self.scores)

    def intervals(self, control: int) -> NDArray[np.float64]:
        """Shape (2, classifiers): the ends of the bootstrap interval of the mean difference from a column."""
        return statistics.bootstrap_mean_difference(self.sign * self._less(control), CONFIDENCE) + 0.0

    def bayesian(self, control: int) -> NDArray[np.float64]:
        """Shape (classifiers, 3): probabilities of being worse than a column, as good, and better."""
        return statistics.bayesian_signed_rank(self._less(control), self.rope)

    def _less(self, control: int) -> NDArray[np.float64]:
        complete = self.scores[complete_rows(self.scores)]
        differences: NDArray[np.float64] = complete - complete[:, [control]]
        return differences


@dataclass(frozen=True)
class Comparison:
    """Test scores by data set and classifier under one protocol, and their statistics.

    Statistics are over the data sets for which every classifier of the table has a score (complete cases).

    Attributes:
        results: ours, out of MLflow, with the protocol that holds for every column.
        references: scores of others beside them.
        chosen: the data sets to show; empty for ours, or the references' if there are none.
        only: the classifiers to show; empty for all of ours, all of a file's, and the published ones with the most
            data sets.
        against: the classifier that the others are compared with; empty for the network, else the best rank.
        alpha: level of the tests.
        rope: differences of at most this much are practically none (Bayesian test).
        with_nemenyi: whether Nemenyi's test is reported too.
        metric: which test score is compared.
        remark: why these data sets were chosen, in a sentence; empty if the user chose them.
        selection: the rows and columns; what it holds is the comparison's too.

    Raises:
        RecipeError: a classifier that is chosen is not there.
    """

    results: Results
    references: tuple[Reference, ...] = ()
    chosen: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    against: str = ""
    alpha: float = 0.05
    rope: float = 0.01
    with_nemenyi: bool = False
    metric: str = "accuracy"
    remark: str = ""
    selection: Selection = field(init=False)
    datasets: tuple[str, ...] = field(init=False)
    absent: tuple[str, ...] = field(init=False)
    columns: dict[str, Column] = field(init=False)
    coverage: dict[str, int] = field(init=False)
    classifiers: tuple[str, ...] = field(init=False)
    chosen_on_test: dict[str, tuple[str, ...]] = field(init=False)

    def __post_init__(self) -> None:
        selection = Selection.of(self.results, self.references, self.chosen, self.only, self.metric)
        for name, value in (("selection", selection), *vars(selection).items()):
            object.__setattr__(self, name, value)
        self.control  # noqa: B018  unknown names are refused at once

    # The table

    @property
    def published(self) -> dict[str, str]:
        """The columns that are of others, each with its source."""
        found = {label: self.columns[label] for label in self.classifiers}
        return {
            label: column.reference.source(column.name)
            for label, column in found.items()
            if column.reference is not None
        }

    def source(self, label: str) -> str:
        """The name of the reference that a column is of; empty if it was run here."""
        reference = self.columns[label].reference
        return "" if reference is None else reference.name

    @cached_property
    def scores(self) -> NDArray[np.float64]:
        """Shape (data sets, classifiers): the metric under the protocol, NaN where it is missing.

        Beside scores of others, all are rounded to as many decimals as those have, so that equal ones are ties.
        """
        cells = [[self.columns[label].score(dataset) for label in self.classifiers] for dataset in self.datasets]
        scores = np.array(cells, dtype=np.float64).reshape(len(self.datasets), len(self.classifiers))
        scores = scores if self.rounded is None else np.round(scores, self.rounded)
        return scores + 0.0  # without -0.0, which a perfect log loss is

    @cached_property
    def rounded(self) -> int | None:
        """Decimals that all scores are rounded to; None if they are as measured."""
        if not self.published or len(self.published) == len(self.classifiers):
            return None
        given = [[self.columns[label].score(dataset) for dataset in self.datasets] for label in self.published]
        return min(max(4, decimals([value for value in column if value is not None])) for column in given)

    @cached_property
    def complete(self) -> NDArray[np.bool_]:
        """Shape (data sets,): for which every classifier has a score."""
        return complete_rows(self.scores) if self.classifiers else np.zeros(len(self.datasets), dtype=np.bool_)

    @property
    def complete_scores(self) -> NDArray[np.float64]:
        """The rows of `scores` that the statistics are over."""
        return self.scores[self.complete]

    def missing(self) -> list[dict[str, str]]:
        """The cells without a score, each with its reason."""
        return [
            {"dataset": dataset, "classifier": label, "reason": self.columns[label].reason(dataset)}
            for dataset, row in zip(self.datasets, self.scores, strict=True)
            for label, score in zip(self.classifiers, row, strict=True)
            if np.isnan(score)
        ]

    @cached_property
    def splits(self) -> dict[str, Split]:
        """Whose split each of the data sets shown is of."""
        ours = set(self.results.datasets)
        return {
            dataset: self.results.splits.get(dataset, UNKNOWN) if dataset in ours else self.selection.split_of(dataset)
            for dataset in self.datasets
        }

    # The metric

    @property
    def words(self) -> str:
        """The metric as people write it."""
        return METRIC_WORDS[self.metric]

    @property
    def sign(self) -> int:
        """1 if more of the metric is better, else -1."""
        return 1 if MAXIMISED[self.metric] else -1

    def best(self, row: NDArray[np.float64]) -> float:
        """The best score of a row of `scores`; NaN if it has none."""
        return self.sign * float(np.fmax.reduce(self.sign * row, initial=-np.inf))

    @cached_property
    def statistics(self) -> Statistics:
        """The tests of all differences."""
        return Statistics(self.sign * self.scores, self.sign, self.alpha, self.rope)

    # The control

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

    def against_control(self) -> list[tuple[int, int, int] | None]:
        """Each classifier's wins, ties and losses against the control where both have a score; None for itself."""
        if not self.control:
            return []
        oriented = self.sign * self.scores
        control = oriented[:, self.control_column]
        return [
            None if name == self.control else win_tie_loss(oriented[:, column], control)
            for column, name in enumerate(self.classifiers)
        ]

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

    @cached_property
    def fit_seconds(self) -> NDArray[np.float64]:
        """Shape (classifiers,): geometric mean of the seconds to fit, over the complete data sets; or NaN."""
        complete = [dataset for dataset, kept in zip(self.datasets, self.complete, strict=True) if kept]
        seconds = [
            [
                None if name in self.published else self.results.mean("fit_seconds", dataset, name)
                for dataset in complete
            ]
            for name in self.classifiers
        ]
        found = np.array(seconds, dtype=np.float64).reshape(len(self.classifiers), len(complete))
        with np.errstate(divide="ignore"):
            logarithms = np.log(np.maximum(found, 1e-6))
        return np.exp(logarithms.mean(axis=1)) if complete else np.full(len(self.classifiers), np.nan)

    # For people

    @property
    def table(self) -> pd.DataFrame:
        """The scores: a row for each data set, a column for each classifier, NaN where one is missing."""
        import pandas as pd

        return pd.DataFrame(self.scores, pd.Index(self.datasets, name="dataset"), list(self.classifiers))

    @property
    def ranks(self) -> pd.Series:
        """Average rank of each classifier over the complete data sets, the best first."""
        import pandas as pd

        ranks = pd.Series(self.statistics.ranks, pd.Index(self.classifiers, name="classifier"), name="average rank")
        return ranks.sort_values(kind="stable")

    @property
    def pairwise(self) -> pd.DataFrame:
        """The test of every pair of classifiers: mean difference, wins, p as it is and after Holm's adjustment.

        The classifier of the better rank is `first`; empty without a complete data set.
        """
        import pandas as pd

        from tsbench.comparisons.report import pairs_of

        order = [self.classifiers.index(standing.classifier) for standing in self.standings]
        return pd.DataFrame(pairs_of(self, order))

    def plot_critical_difference(self) -> Figure:
        """Average ranks on a line, those joined of which no two differ.

        Raises:
            RecipeError: it cannot be drawn, with the reason; so do the others.
        """
        return self._draw("critical_difference")

    def plot_comparison_matrix(self) -> Figure:
        """Mean differences of every pair, with wins, ties, losses and p."""
        return self._draw("comparison_matrix")

    def plot_pairwise_scatter(self) -> Figure:
        """The control's score against each other classifier's, one point a data set."""
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
        """Writes all of it as one self-contained HTML page; folders on the way are created.

        Raises:
            RecipeError: the file cannot be written, or its name is not that of an HTML page.
        """
        from tsbench.comparisons.output import write_report

        write_report(self, self._provenance, Path(path))

    def log(self) -> str:
        """Records it as a run of its first experiment, and returns the run's id.

        Raises:
            RecipeError: it is of references alone.
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
