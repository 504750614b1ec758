"""The columns of a comparison: classifiers that were run here and those of references, with the same interface."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tsbench.comparisons.published import PUBLISHED, Reference
from tsbench.comparisons.results import Results
from tsbench.tracking import names
from tsbench.tracking.split import UNKNOWN

__all__ = ["Column", "OwnColumn", "ReferenceColumn", "columns_of", "marks_of"]

MARKS = "\u2020\u2021\u00a7\u00b6"
"""Footnote marks: the first for published scores, the others for files in their order."""


@dataclass(frozen=True)
class OwnColumn:
    """A classifier that was run here."""

    label: str
    results: Results
    metric: str
    reference: None = None

    @property
    def name(self) -> str:
        """The same as its label."""
        return self.label

    def score(self, dataset: str) -> float | None:
        """The mean over the protocol's resamples."""
        return self.results.mean(names.test(self.metric), dataset, self.label)

    def by_resample(self, dataset: str) -> dict[int, float]:
        """The scored resamples."""
        found = self.results.scores_of(names.test(self.metric), dataset, self.label)
        return {number: found[number] for number in self.results.protocol if number in found}

    def reason(self, dataset: str) -> str:
        """The reason that the runs give."""
        return self.results.reason(dataset, self.label, self.metric)


@dataclass(frozen=True)
class ReferenceColumn:
    """A classifier of a reference."""

    label: str
    name: str
    reference: Reference
    results: Results

    def score(self, dataset: str) -> float | None:
        """None also if the results are of the user's own data, for which there are no published scores."""
        if self._is_of_other_data(dataset):
            return None
        return self.reference.score(dataset, self.name, self.results.protocol)

    def by_resample(self, dataset: str) -> dict[int, float]:
        """The published resamples."""
        if self._is_of_other_data(dataset):
            return {}
        each = {number: self.reference.score(dataset, self.name, (number,)) for number in self.results.protocol}
        return {number: value for number, value in each.items() if value is not None}

    def reason(self, dataset: str) -> str:
        """Why there is no score."""
        if self._is_of_other_data(dataset) and self.reference.cells.get((dataset, self.name)):
            return f"published for the archive's data set; the runs here are on {self.results.splits[dataset]}"
        return self.reference.reason(dataset, self.name)

    def _is_of_other_data(self, dataset: str) -> bool:
        return self.reference.carried and self.results.splits.get(dataset, UNKNOWN).is_own


Column = OwnColumn | ReferenceColumn
"""The scores of one classifier under the comparison's protocol, from any source."""


def columns_of(results: Results, references: Iterable[Reference], metric: str) -> dict[str, Column]:
    """Every column by its label: own results, the network first, then those of the references."""
    columns: dict[str, Column] = {name: OwnColumn(name, results, metric) for name in results.classifiers}
    for reference in references:
        mark = PUBLISHED if reference.carried else reference.name
        for name in reference.classifiers:
            label = f"{name} ({mark})"
            columns[label] = ReferenceColumn(label, name, reference, results)
    return columns


def marks_of(references: Iterable[Reference]) -> dict[str, str]:
    """A footnote mark for each reference, by its name."""
    marks: dict[str, str] = {}
    ordered = sorted(references, key=lambda reference: not reference.carried)
    spare = list(MARKS if any(reference.carried for reference in ordered) else MARKS[1:])
    for reference in ordered:
        number = len(marks)
        marks.setdefault(reference.name, spare[number] if number < len(spare) else f"[{number + 1}]")
    return marks
