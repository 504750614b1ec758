"""A comparison: one table of accuracies, and the statistics that every table, picture and sentence is made from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tsbench.compare import statistics
from tsbench.compare.preprocessed import preprocessing_notes
from tsbench.compare.published import PUBLISHED, Reference, decimals
from tsbench.compare.results import ARCHIVE_SPLIT, Results, is_network
from tsbench.compare.statistics import Friedman, Pairwise, complete_rows, win_tie_loss
from tsbench.errors import RecipeError
from tsbench.recipe.sentences import suggestion
from tsbench.tracking import names

__all__ = ["Comparison", "Lead", "Standing", "spell_p"]

CONFIDENCE = 0.95
ACCURACY = names.test("accuracy")
LISTED = 6
"""Data sets that a note lists by name; of more, the number is told."""


@dataclass(frozen=True)
class Standing:
    """How a classifier stands over the complete data sets, beside the control.

    Attributes:
        classifier: its label.
        mean: mean accuracy.
        rank: average rank.
        wins: data sets on which it is better, equal and worse than the control; None for the control itself.
        difference: mean accuracy less the control's.
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
    """By how much mean accuracy the first is ahead of the second, over the data sets where both have a figure."""

    first: str
    second: str
    difference: float
    count: int


@dataclass(frozen=True)
class Comparison:
    """Test accuracies by data set and classifier under one protocol, and their statistics.

    Statistics are over the data sets where every classifier of the table has a figure (complete cases).

    Attributes:
        results: ours, out of MLflow, with the protocol that holds for every column.
        references: figures of others beside them.
        chosen: the data sets to show; empty for ours, or the references' where there are none.
        only: the classifiers to show; empty for all of ours, and of a reference's those with the most data sets.
        against: the classifier that the others are compared with; empty for the network, else the best rank.
        alpha: level of the tests.
        rope: differences of accuracy of at most this much are practically none (Bayesian test).
        with_nemenyi: whether Nemenyi's test is told too.

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
    datasets: tuple[str, ...] = field(init=False)
    absent: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        ours = self.results.datasets
        references = tuple(one.respelt(self.chosen or ours) for one in self.references)
        theirs = tuple(dict.fromkeys(name for one in references for name in one.datasets))
        wanted = tuple(dict.fromkeys(self.chosen)) or ours or theirs
        shown = tuple(name for name in wanted if name in ours or name in theirs)
        for name, value in (
            ("references", references),
            ("datasets", shown),
            ("absent", tuple(one for one in wanted if one not in shown)),
        ):
            object.__setattr__(self, name, value)
        self.control  # noqa: B018  unknown names are told at once

    # The table

    @cached_property
    def _published(self) -> dict[str, tuple[Reference, str]]:
        """The columns of others, by their label."""
        columns: dict[str, tuple[Reference, str]] = {}
        for reference in self.references:
            mark = PUBLISHED if reference.name == PUBLISHED else reference.name
            for name in reference.classifiers:
                columns[f"{name} ({mark})"] = (reference, name)
        return columns

    @cached_property
    def _coverage(self) -> dict[str, int]:
        """On how many of the data sets shown each classifier of others has a figure."""
        return {
            label: sum(reference.figure(dataset, name, self.results.protocol) is not None for dataset in self.datasets)
            for label, (reference, name) in self._published.items()
        }

    @cached_property
    def classifiers(self) -> tuple[str, ...]:
        """The labels of the columns: ours, the network first, then those of others."""
        ours = tuple(name for name in self.results.classifiers if any(self._is_ours(name)))
        if self.only:
            return tuple(dict.fromkeys(self._find(name) for name in self.only))
        most = max(self._coverage.values(), default=0)
        return ours + tuple(label for label, count in self._coverage.items() if count == most > 0)

    def _is_ours(self, classifier: str) -> Iterator[bool]:
        """Whether it was begun on each of the data sets shown."""
        return (self.results.reason(dataset, classifier) != "never run" for dataset in self.datasets)

    def _find(self, name: str) -> str:
        """The label that a name means: ours before others', as spelt before another case.

        Raises:
            RecipeError: there is none.
        """
        labels = [*self.results.classifiers, *self._published]
        spellings = [(label, label) for label in labels] + [(one, label) for label, (_, one) in self._published.items()]
        for same in (str, str.lower):
            for spelling, label in spellings:
                if same(spelling) == same(name):
                    return label
        known = [spelling for spelling, _ in spellings]
        hint = suggestion(name, known) or f"; there are: {', '.join(labels) or 'none'}"
        raise RecipeError([f"classifier {name!r} has no result here{hint}"])

    @property
    def published(self) -> dict[str, str]:
        """The columns that are of others, each with its source."""
        found = {label: self._published[label] for label in self.classifiers if label in self._published}
        return {label: reference.source(name) for label, (reference, name) in found.items()}

    def is_published(self, label: str) -> bool:
        """Whether a column is of others."""
        return label in self._published

    @cached_property
    def scores(self) -> NDArray[np.float64]:
        """Shape (data sets, classifiers): accuracy under the protocol, NaN where it is missing.

        Beside figures of others, all are rounded to as many decimals as those have, so that equal ones are ties.
        """
        cells = [[self._figure(dataset, label) for label in self.classifiers] for dataset in self.datasets]
        scores = np.array(cells, dtype=np.float64).reshape(len(self.datasets), len(self.classifiers))
        return scores if self.rounded is None else np.round(scores, self.rounded)

    @cached_property
    def rounded(self) -> int | None:
        """Decimals that all figures are rounded to; None where they are as measured."""
        if not self.published or len(self.published) == len(self.classifiers):
            return None
        given = [[self._figure(dataset, label) for dataset in self.datasets] for label in self.published]
        return min(max(4, decimals([one for one in column if one is not None])) for column in given)

    def _figure(self, dataset: str, label: str) -> float | None:
        if label not in self._published:
            return self.results.mean(ACCURACY, dataset, label)
        reference, name = self._published[label]
        return reference.figure(dataset, name, self.results.protocol)

    def by_resample(self, dataset: str, label: str) -> dict[int, float]:
        """A column's figures on each resample of the protocol, as far as they are known."""
        if label not in self._published:
            found = self.results.figures(ACCURACY, dataset, label)
            return {number: found[number] for number in self.results.protocol if number in found}
        reference, name = self._published[label]
        each = {number: reference.figure(dataset, name, (number,)) for number in self.results.protocol}
        return {number: value for number, value in each.items() if value is not None}

    @cached_property
    def complete(self) -> NDArray[np.bool_]:
        """Shape (data sets,): where every classifier has a figure."""
        return complete_rows(self.scores) if self.classifiers else np.zeros(len(self.datasets), dtype=np.bool_)

    @property
    def complete_scores(self) -> NDArray[np.float64]:
        """The rows of `scores` that the statistics are over."""
        return self.scores[self.complete]

    # The statistics

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
        """Every pair; the only source of p-values."""
        return statistics.pairwise(self.scores)

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

    @cached_property
    def intervals(self) -> NDArray[np.float64]:
        """Shape (2, classifiers): the ends of the bootstrap interval of the mean difference from the control."""
        return statistics.bootstrap_mean_difference(self._differences, CONFIDENCE)

    @cached_property
    def bayesian(self) -> NDArray[np.float64]:
        """Shape (classifiers, 3): probabilities of being worse than the control, as good, and better."""
        return statistics.bayesian_signed_rank(self._differences, self.rope)

    @property
    def _differences(self) -> NDArray[np.float64]:
        column = self.classifiers.index(self.control) if self.control else 0
        differences: NDArray[np.float64] = self.complete_scores - self.complete_scores[:, [column]]
        return differences

    @cached_property
    def control(self) -> str:
        """The classifier that the others are compared with; empty where there is none at all."""
        if self.against:
            found = self._find(self.against)
            if found not in self.classifiers:
                raise RecipeError(
                    [f"the control {found!r} is not among the classifiers shown; add it to --classifiers"]
                )
            return found
        networks = [name for name in self.classifiers if is_network(name)]
        if len(networks) == 1:
            return networks[0]
        if not self.classifiers or not self.complete.any():
            return self.classifiers[0] if self.classifiers else ""
        return self.classifiers[int(np.argmin(self.ranks))]

    def against_control(self) -> list[tuple[int, int, int] | None]:
        """Each classifier's wins, ties and losses against the control where both have a figure; None for itself."""
        if not self.control:
            return []
        control = self.scores[:, self.classifiers.index(self.control)]
        return [
            None if name == self.control else win_tie_loss(self.scores[:, column], control)
            for column, name in enumerate(self.classifiers)
        ]

    def lead_over(self, name: str) -> Lead:
        """By how much the control is ahead of another classifier.

        Raises:
            RecipeError: there is no such classifier, it is the control itself, or they share no data set.
        """
        other = self._find(name)
        if other == self.control:
            raise RecipeError([f"{other!r} is the control itself; name another to compare it with"])
        pairs = [(self._figure(dataset, self.control), self._figure(dataset, other)) for dataset in self.datasets]
        both = [(first, second) for first, second in pairs if first is not None and second is not None]
        if not both:
            raise RecipeError([f"{self.control!r} and {other!r} have figures on no common data set: {self.protocol()}"])
        return Lead(self.control, other, float(np.mean([a - b for a, b in both])), len(both))

    @cached_property
    def standings(self) -> list[Standing]:
        """Every classifier, the best rank first; empty without a complete data set."""
        if not self.complete.any():
            return []
        against = self.classifiers.index(self.control)
        means = self.complete_scores.mean(axis=0)
        found = []
        for column in np.argsort(self.ranks, kind="stable"):
            first, second = self.complete_scores[:, column], self.complete_scores[:, against]
            standing = Standing(
                self.classifiers[column],
                float(means[column]),
                float(self.ranks[column]),
                None if column == against else win_tie_loss(first, second),
                float(self.pairs.mean_difference[column, against]),
                (float(self.intervals[0, column]), float(self.intervals[1, column])),
                float(self.pairs.p_holm[column, against]),
            )
            found.append(standing)
        return found

    @cached_property
    def fit_seconds(self) -> NDArray[np.float64]:
        """Shape (classifiers,): geometric mean of the seconds to fit, over the complete data sets; or NaN."""
        complete = [dataset for dataset, kept in zip(self.datasets, self.complete, strict=True) if kept]
        seconds = [
            [None if self.is_published(one) else self.results.mean("fit_seconds", dataset, one) for dataset in complete]
            for one in self.classifiers
        ]
        found = np.array(seconds, dtype=np.float64).reshape(len(self.classifiers), len(complete))
        with np.errstate(divide="ignore"):
            logarithms = np.log(np.maximum(found, 1e-6))
        return np.exp(logarithms.mean(axis=1)) if complete else np.full(len(self.classifiers), np.nan)

    # In words

    def protocol(self) -> str:
        """Which splits every figure is of."""
        if not self.results.scored() and not self.published:
            return "nothing scored yet"
        numbers = self.results.protocol
        if numbers == ARCHIVE_SPLIT:
            return "accuracy on the archive's own split"
        if len(numbers) == 1:
            return f"accuracy on resample {numbers[0]} of each data set"
        which = "" if numbers == tuple(range(len(numbers))) else f" ({', '.join(map(str, numbers))})"
        return f"mean accuracy over {len(numbers)} resamples{which} of each data set"

    def missing(self) -> list[dict[str, str]]:
        """The cells without a figure, each with its reason."""
        return [
            {"dataset": dataset, "classifier": label, "reason": self._reason(dataset, label)}
            for dataset, row in zip(self.datasets, self.scores, strict=True)
            for label, score in zip(self.classifiers, row, strict=True)
            if np.isnan(score)
        ]

    def _reason(self, dataset: str, label: str) -> str:
        if not self.is_published(label):
            return self.results.reason(dataset, label)
        reference, name = self._published[label]
        if reference.cells.get((dataset, name)):
            return "published under another protocol"
        return "not published"

    def notes(self) -> list[str]:
        """Lines to stand below a table: protocol, data sets behind the statistics, what is missing or left out."""
        protocol = self.protocol()
        lines = [f"{protocol[0].upper()}{protocol[1:]}."]
        complete, total = int(self.complete.sum()), len(self.datasets)
        if complete < total and self.classifiers:
            lines.append(f"Ranks are over the {complete} of {total} data sets where every classifier has a figure.")
        if self.published:
            lines.append(f"Not run here: {_sources(self.published)}.")
        if self.rounded is not None:
            lines.append(f"All figures are rounded to {self.rounded} decimals, as those are.")
        left_out = [label for label, count in self._coverage.items() if label not in self.classifiers and count]
        if left_out and not self.only:
            lines.append(f"Published on fewer of these data sets, and left out: {', '.join(left_out)}.")
        if self.absent:
            lines.append(f"No figure at all on: {', '.join(self.absent)}.")
        lines += preprocessing_notes(self.results, self.datasets, self.classifiers)
        lines += _missing_notes(self.missing())
        if self.results.protocol != ARCHIVE_SPLIT and any(0 in self._known(cell) for cell in self.missing()):
            lines.append("Figures on the archive's own split: --resamples 1.")
        return lines

    def cautions(self) -> list[str]:
        """What keeps the tests from telling anything, with what would mend it."""
        return list(self._cautions(int(self.complete.sum())))

    def _cautions(self, complete: int) -> Iterator[str]:
        if len(self.classifiers) == 1 and complete:
            yield f"There is one classifier, {self.classifiers[0]}, and so nothing to compare it with."
        pairs = len(self.classifiers) * (len(self.classifiers) - 1) // 2
        if pairs and complete and (least := 2 * 0.5**complete * pairs) > self.alpha:
            sets = "one data set" if complete == 1 else f"{complete} data sets"
            fewer = ", or fewer classifiers (--classifiers)" if pairs > 1 else ""
            yield (
                f"With {sets}{f' and {pairs} pairs' if pairs > 1 else ''} no difference can be significant at "
                f"{self.alpha:g}: the least p there can be is {min(1.0, least):.2g}. More data sets would help{fewer}."
            )

    def _known(self, cell: dict[str, str]) -> dict[int, float]:
        if self.is_published(cell["classifier"]):
            return {}
        return self.results.figures(ACCURACY, cell["dataset"], cell["classifier"])

    def sentences(self) -> list[str]:
        """What a paper would print of each classifier against the control, the best rank first."""
        pairs = len(self.classifiers) * (len(self.classifiers) - 1) // 2
        return [self._sentence(one, pairs) for one in self.standings if one.wins is not None]

    def _sentence(self, standing: Standing, pairs: int) -> str:
        assert standing.wins is not None
        wins, ties, losses = standing.wins
        first, second, sign = self.control, standing.classifier, -1
        if standing.difference > 0 or (standing.difference == 0 and wins > losses):
            first, second, sign = second, first, 1
        better = wins if sign > 0 else losses
        low, high = sorted((sign * standing.interval[0], sign * standing.interval[1]))
        adjusted = f"Wilcoxon-Holm over {pairs} pairs" if pairs > 1 else "Wilcoxon"
        count = f"{better} of {self.pairs.count} data set{'' if self.pairs.count == 1 else 's'} (ties: {ties})"
        interval = f" (95 % bootstrap interval {low:.4f} to {high:.4f})" if self.pairs.count > 1 else ""
        figures = f"{abs(standing.difference):.4f} on average{interval}, {adjusted} p {spell_p(standing.p)}."
        if standing.p <= self.alpha:
            return f"{first} is better than {second} on {count}, by {figures}"
        return f"{first} and {second} do not differ significantly: {first} wins on {count} and leads by {figures}"


def spell_p(p: float) -> str:
    """`= 0.012`, `< 0.0001`."""
    if p < 1e-4:
        return "< 0.0001"
    return f"= {p:.4f}" if p < 0.001 else f"= {p:.3f}"


def _sources(published: dict[str, str]) -> str:
    by_source: dict[str, list[str]] = {}
    for label, source in published.items():
        by_source.setdefault(source, []).append(label)
    return "; ".join(f"{', '.join(labels)} [{source}]" for source, labels in by_source.items())


def _missing_notes(cells: Sequence[dict[str, str]]) -> list[str]:
    """One line for each classifier and reason."""
    grouped: dict[tuple[str, str], list[str]] = {}
    for cell in cells:
        grouped.setdefault((cell["classifier"], cell["reason"]), []).append(cell["dataset"])
    lines = []
    for (classifier, reason), datasets in grouped.items():
        shown = ", ".join(datasets[:LISTED])
        more = f" and {len(datasets) - LISTED} more" if len(datasets) > LISTED else ""
        lines.append(f"Missing: {classifier} on {shown}{more} ({reason})")
    return lines
