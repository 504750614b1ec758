"""The rows and columns of a comparison: which data sets and classifiers it shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tsbench.compare.classifier_columns import Column, columns_of
from tsbench.compare.published import Reference
from tsbench.compare.results import Results
from tsbench.errors import RecipeError
from tsbench.recipe.messages import suggestion
from tsbench.tracking.split import ARCHIVE, Split

__all__ = ["Selection"]


@dataclass(frozen=True)
class Selection:
    """What a comparison shows.

    Attributes:
        references: scores of others, their data sets spelt as ours.
        datasets: the data sets shown.
        absent: those asked for of which there is no score.
        columns: every column that there is, shown or not, by its label.
        coverage: for how many of the data sets shown each classifier of the references has a score.
        classifiers: labels of the columns shown: ours, the network first, then those of others.
    """

    references: tuple[Reference, ...]
    datasets: tuple[str, ...]
    absent: tuple[str, ...]
    columns: dict[str, Column]
    coverage: dict[str, int]
    classifiers: tuple[str, ...]

    @classmethod
    def of(
        cls, results: Results, given: Sequence[Reference], chosen: Sequence[str], only: Sequence[str], metric: str
    ) -> Selection:
        """Arguments as the attributes of `Comparison`."""
        ours = results.datasets
        carried = tuple(name for reference in given if reference.carried for name in reference.datasets)
        references = tuple(reference.match_names((*chosen, *ours) or carried) for reference in given)
        # Beside a file the published scores add classifiers, not the other data sets of the archives.
        files = [reference for reference in references if not reference.carried] or references
        theirs = tuple(dict.fromkeys(name for reference in files for name in reference.datasets))
        known = {*ours, *(name for reference in references for name in reference.datasets)}
        wanted = tuple(dict.fromkeys(chosen)) or ours or theirs
        datasets = tuple(name for name in wanted if name in known)
        columns = columns_of(results, references, metric)
        coverage = {
            label: sum(column.score(dataset) is not None for dataset in datasets)
            for label, column in columns.items()
            if column.reference is not None
        }
        if only:
            classifiers = tuple(dict.fromkeys(_find(name, columns) for name in only))
        else:
            most = max((coverage[label] for label, column in columns.items() if _is_carried(column)), default=0)
            classifiers = tuple(
                label
                for label, column in columns.items()
                if (
                    any(column.reason(dataset) != "never run" for dataset in datasets)
                    if column.reference is None
                    else coverage[label] > 0 and (coverage[label] == most or not _is_carried(column))
                )
            )
        absent = tuple(name for name in wanted if name not in known)
        return cls(references, datasets, absent, columns, coverage, classifiers)

    def find(self, name: str) -> str:
        """The label that a name means: ours before others', as spelt before another case.

        Raises:
            RecipeError: there is none.
        """
        return _find(name, self.columns)

    def split_of(self, dataset: str) -> Split:
        """Whose split the scores of others on a data set are of."""
        columns = [self.columns[label] for label in self.classifiers]
        with_score = [column for column in columns if column.reference and column.score(dataset) is not None]
        return ARCHIVE if any(map(_is_carried, with_score)) else Split("reference")


def _find(name: str, columns: dict[str, Column]) -> str:
    spellings = [(label, label) for label in columns]
    spellings += [(column.name, label) for label, column in columns.items()]
    for same in (str, str.lower):
        for spelling, label in spellings:
            if same(spelling) == same(name):
                return label
    known = [spelling for spelling, _ in spellings]
    hint = suggestion(name, known) or f"; available: {', '.join(columns) or 'none'}"
    raise RecipeError([f"classifier {name!r} has no result here{hint}"])


def _is_carried(column: Column) -> bool:
    return column.reference is not None and column.reference.carried
