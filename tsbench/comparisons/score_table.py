"""The test scores of classifiers on data sets under one protocol."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tsbench.comparisons.classifier_columns import Column
from tsbench.comparisons.formatting import METRIC_WORDS
from tsbench.comparisons.published import Reference, decimals
from tsbench.comparisons.results import Results
from tsbench.comparisons.selection import Selection
from tsbench.comparisons.statistics import complete_rows
from tsbench.evaluation.metrics import MAXIMISED
from tsbench.tracking.split import UNKNOWN, Split

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ScoreTable"]


@dataclass(frozen=True)
class ScoreTable:
    """Test scores by data set and classifier under one protocol.

    Attributes:
        results: own results from MLflow, with the protocol of every column.
        references: scores of other sources, shown beside them.
        chosen: the data sets to show; empty for those of the results, or the references' if there are none.
        only: the classifiers to show; empty for all own ones, all of a file's, and the published ones with the most
            data sets.
        metric: which test score is compared.
        remark: why these data sets were chosen, in a sentence; empty if the user chose them.
        selection: the rows and columns; its attributes are also the table's.

    Raises:
        RecipeError: a chosen classifier does not exist.
    """

    results: Results
    references: tuple[Reference, ...] = ()
    chosen: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
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

    @property
    def published(self) -> dict[str, str]:
        """The columns of references, each with its source."""
        found = {label: self.columns[label] for label in self.classifiers}
        return {
            label: column.reference.source(column.name)
            for label, column in found.items()
            if column.reference is not None
        }

    def source(self, label: str) -> str:
        """The name of a column's reference; empty if it was run here."""
        reference = self.columns[label].reference
        return "" if reference is None else reference.name

    @cached_property
    def scores(self) -> NDArray[np.float64]:
        """Shape (data sets, classifiers): the metric under the protocol, NaN where it is missing.

        Beside references, all are rounded to as many decimals as those have, so that equal ones are ties.
        """
        cells = [[self.columns[label].score(dataset) for label in self.classifiers] for dataset in self.datasets]
        scores = np.array(cells, dtype=np.float64).reshape(len(self.datasets), len(self.classifiers))
        scores = scores if self.rounded is None else np.round(scores, self.rounded)
        return scores + 0.0  # turns -0.0, a perfect log loss, into 0.0

    @cached_property
    def rounded(self) -> int | None:
        """Decimals that all scores are rounded to; None without rounding."""
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
        """The rows of `scores` in the statistics."""
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
        """The split of each data set shown."""
        ours = set(self.results.datasets)
        return {
            dataset: self.results.splits.get(dataset, UNKNOWN) if dataset in ours else self.selection.split_of(dataset)
            for dataset in self.datasets
        }

    @property
    def words(self) -> str:
        """The metric's name in sentences."""
        return METRIC_WORDS[self.metric]

    @property
    def sign(self) -> int:
        """1 if more of the metric is better, else -1."""
        return 1 if MAXIMISED[self.metric] else -1

    def best(self, row: NDArray[np.float64]) -> float:
        """The best score of a row of `scores`; NaN if it has none."""
        return self.sign * float(np.fmax.reduce(self.sign * row, initial=-np.inf))

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

    @property
    def table(self) -> pd.DataFrame:
        """The scores: a row for each data set, a column for each classifier, NaN where one is missing."""
        import pandas as pd

        return pd.DataFrame(self.scores, pd.Index(self.datasets, name="dataset"), list(self.classifiers))
