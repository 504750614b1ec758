"""Marks the scores on preprocessed cases, in footnotes and JSON."""

from __future__ import annotations

from collections.abc import Iterable

from tsbench.comparisons.results import Results

__all__ = ["preprocessed", "preprocessing_notes"]


def preprocessed(results: Results, datasets: Iterable[str], classifiers: Iterable[str]) -> list[dict[str, str]]:
    """The cells whose classifier could not take the cases unchanged, each with its preprocessing."""
    labels = tuple(classifiers)
    return [
        {"dataset": dataset, "classifier": label, "preprocessing": done}
        for dataset in datasets
        for label in labels
        if (done := results.preprocessing(dataset, label))
    ]


def preprocessing_notes(results: Results, datasets: Iterable[str], classifiers: Iterable[str]) -> list[str]:
    """One footnote for each data set and preprocessing."""
    grouped: dict[tuple[str, str], list[str]] = {}
    for cell in preprocessed(results, datasets, classifiers):
        grouped.setdefault((cell["dataset"], cell["preprocessing"]), []).append(cell["classifier"])
    return [
        f"On preprocessed cases of {dataset}: {', '.join(labels)} ({done})."
        for (dataset, done), labels in grouped.items()
    ]
