"""Selects the rows and columns of a comparison: its data sets and classifiers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tsbench.comparisons.classifier_columns import Column, columns_of
from tsbench.comparisons.published import Reference
from tsbench.comparisons.results import Results
from tsbench.errors import RecipeError
from tsbench.recipe.messages import suggestion
from tsbench.tracking.split import ARCHIVE, Split

__all__ = ["Selection"]


@dataclass(frozen=True)
class Selection:
    """The rows and columns that a comparison shows.

    Attributes:
        references: scores of other sources, with data sets spelt as in the results.
        datasets: the data sets shown.
        absent: requested data sets without any score.
        columns: every column, shown or not, by its label.
        coverage: number of shown data sets for which each classifier of the references has a score.
        classifiers: labels of the columns shown: own results, the network first, then references.
        chosen_on_test: by column of a reference, the data sets shown whose test cases chose its epoch.
    """

    references: tuple[Reference, ...]
    datasets: tuple[str, ...]
    absent: tuple[str, ...]
    columns: dict[str, Column]
    coverage: dict[str, int]
    classifiers: tuple[str, ...]
    chosen_on_test: dict[str, tuple[str, ...]]

    @classmethod
    def of(
        cls, results: Results, given: Sequence[Reference], chosen: Sequence[str], only: Sequence[str], metric: str
    ) -> Selection:
        """Selects by the attributes of `ScoreTable`."""
        ours = results.datasets
        carried = tuple(name for reference in given if reference.carried for name in reference.datasets)
        references = tuple(reference.match_names((*chosen, *ours) or carried) for reference in given)
        # Beside a file, the published scores add classifiers but not the archives' other data sets.
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
        chosen_on_test = _chosen_on_test(columns, datasets)
        if only:
            classifiers = tuple(dict.fromkeys(_find(name, columns) for name in only))
        else:
            offered = {
                label: column
                for label, column in columns.items()
                if label not in chosen_on_test and not _is_run_again(column, coverage)
            }
            most = max((coverage[label] for label, column in offered.items() if _is_carried(column)), default=0)
            classifiers = tuple(
                label
                for label, column in offered.items()
                if (
                    any(column.reason(dataset) != "never run" for dataset in datasets)
                    if column.reference is None
                    else coverage[label] > 0 and (coverage[label] == most or not _is_carried(column))
                )
            )
        absent = tuple(name for name in wanted if name not in known)
        return cls(references, datasets, absent, columns, coverage, classifiers, chosen_on_test)

    def find(self, name: str) -> str:
        """The label of a name: own results before references, exact spelling before another case.

        Raises:
            RecipeError: there is none.
        """
        return _find(name, self.columns)

    def split_of(self, dataset: str) -> Split:
        """The split of the references' scores on a data set."""
        columns = [self.columns[label] for label in self.classifiers]
        with_score = [column for column in columns if column.reference and column.score(dataset) is not None]
        return ARCHIVE if any(map(_is_carried, with_score)) else Split("reference")


def _chosen_on_test(columns: dict[str, Column], datasets: Sequence[str]) -> dict[str, tuple[str, ...]]:
    found = {
        label: tuple(
            dataset
            for dataset in datasets
            if (dataset, column.name) in column.reference.chosen_on_test and column.score(dataset) is not None
        )
        for label, column in columns.items()
        if column.reference is not None
    }
    return {label: chosen for label, chosen in found.items() if chosen}


def _is_run_again(column: Column, coverage: dict[str, int]) -> bool:
    """Whether these are a rerun of a classifier whose original scores cover as many of the data sets."""
    if column.reference is None or (original := column.reference.original(column.name)) is None:
        return False
    label = column.label.replace(column.name, original, 1)
    return coverage.get(label, 0) >= coverage[column.label]


def _find(name: str, columns: dict[str, Column]) -> str:
    spellings = [(label, label) for label in columns]
    spellings += [(column.name, label) for label, column in columns.items()]
    of_papers = [(column.name.partition("@")[0], label) for label, column in columns.items() if _is_carried(column)]
    counts = Counter(bare for bare, _ in of_papers)
    spellings += [(bare, label) for bare, label in of_papers if counts[bare] == 1]  # `Mantis` for `Mantis@UniShape`
    for same in (str, str.lower):
        for spelling, label in spellings:
            if same(spelling) == same(name):
                return label
    known = [spelling for spelling, _ in spellings]
    hint = suggestion(name, known) or f"; available: {', '.join(columns) or 'none'}"
    raise RecipeError([f"classifier {name!r} has no result here{hint}"])


def _is_carried(column: Column) -> bool:
    return column.reference is not None and column.reference.carried
