"""A comparison in sentences: protocol, notes below a table, cautions, and sentences for a paper."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tsbench.comparisons.classifier_columns import marks_of
from tsbench.comparisons.comparison import Comparison, Standing
from tsbench.comparisons.formatting import fixed, format_p
from tsbench.comparisons.preprocessed import preprocessing_notes
from tsbench.comparisons.published import Reference
from tsbench.comparisons.results import ARCHIVE_SPLIT
from tsbench.errors import argument
from tsbench.recipe.messages import count_of, listed
from tsbench.tracking import names
from tsbench.tracking.split import Split

__all__ = [
    "capitalise",
    "cautions",
    "first_split_note",
    "legend",
    "marked",
    "notes",
    "protocol",
    "run_notes",
    "sentences",
    "split_words",
]


def capitalise(text: str) -> str:
    """The text with its first letter in upper case."""
    return f"{text[:1].upper()}{text[1:]}"


# Protocol


def protocol(comparison: Comparison) -> str:
    """The splits of every score, and their origin."""
    results, words = comparison.results, comparison.words
    if not results.scored() and not comparison.published:
        return "nothing scored yet"
    numbers = results.protocol
    if numbers == ARCHIVE_SPLIT:
        return f"{words} on {split_words(comparison)}"
    if len(numbers) == 1:
        return f"{words} on resample {numbers[0]} of each data set"
    which = "" if numbers == tuple(range(len(numbers))) else f" ({', '.join(map(str, numbers))})"
    return f"mean {words} over {len(numbers)} resamples{which} of each data set"


_AMONG_OTHERS = {"unknown": "a split that was not recorded", "reference": "the split of the reference file"}


def split_words(comparison: Comparison) -> str:
    """The origin of the first split, of all data sets with a score or, if they differ, of each."""
    by_split: dict[Split, list[str]] = {}
    for dataset in _scored(comparison) or comparison.datasets:
        by_split.setdefault(comparison.splits[dataset], []).append(dataset)
    if len(by_split) == 1:
        return str(next(iter(by_split)))
    return "different splits: " + "; ".join(
        f"{listed(datasets, 3)} on {_AMONG_OTHERS.get(split.kind, split)}" for split, datasets in by_split.items()
    )


def first_split_note(comparison: Comparison) -> str:
    """The origin of resample 0."""
    words = split_words(comparison)
    return f"Resample 0 is {'of ' if words.startswith('different') else ''}{words}."


def _scored(comparison: Comparison) -> list[str]:
    known = np.atleast_1d(~np.isnan(comparison.scores).all(axis=1))
    return [dataset for dataset, kept in zip(comparison.datasets, known, strict=True) if kept]


# Marks instead of the words in brackets, for tables and plots


def marked(comparison: Comparison, label: str) -> str:
    """A column's name, with a footnote mark if it is of a reference."""
    column = comparison.columns[label]
    if column.reference is None:
        return column.name
    return column.name + marks_of(comparison.references)[column.reference.name]


def legend(comparison: Comparison) -> str:
    """The meaning of the marks of the classifiers shown; empty if there are none."""
    shown = {comparison.source(label) for label in comparison.published}
    marks = marks_of(comparison.references)
    parts = [
        f"{marks[reference.name]} {'published' if reference.carried else f'from {reference.name}'}, not run here."
        for reference in comparison.references
        if reference.name in shown
    ]
    return " ".join(parts)


# Notes


def notes(comparison: Comparison) -> list[str]:
    """Lines below a table: protocol, data sets behind the statistics, missing scores, omissions."""
    lines = [f"{capitalise(protocol(comparison))}.", comparison.remark, *_first_split_notes(comparison)]
    lines += _complete_notes(comparison)
    lines += _reference_notes(comparison)
    if comparison.absent:
        lines.append(f"No scores on: {', '.join(comparison.absent)}.")
    lines += _preprocessing_notes(comparison)
    lines += _missing_notes(comparison.missing())
    lines += _first_split_hint(comparison)
    return [line for line in lines if line]


def run_notes(comparison: Comparison) -> list[str]:
    """Lines below the final table of a search, which has no ranks: protocol and missing scores."""
    lines = [f"{capitalise(protocol(comparison))}.", *_first_split_notes(comparison)]
    lines += _preprocessing_notes(comparison)
    return [*lines, *_missing_notes(comparison.missing()), *_first_split_hint(comparison)]


def _preprocessing_notes(comparison: Comparison) -> list[str]:
    return preprocessing_notes(comparison.results, comparison.datasets, comparison.classifiers)


def _first_split_notes(comparison: Comparison) -> Iterator[str]:
    several = comparison.results.protocol != ARCHIVE_SPLIT and bool(comparison.results.scored())
    if several and any(split.kind not in ("archive", "unknown") for split in comparison.splits.values()):
        yield first_split_note(comparison)
    if changed := [dataset for dataset in comparison.results.changed if dataset in comparison.datasets]:
        yield (
            f"The files of {listed(changed)} differ between the searches compared (by their SHA-256), so these scores "
            "may not be comparable."
        )


def _complete_notes(comparison: Comparison) -> Iterator[str]:
    complete, total = int(comparison.complete.sum()), len(comparison.datasets)
    if complete == total or len(comparison.classifiers) < 2:
        return
    if complete == 0:
        yield (
            "No data set has a score of every classifier, so there are no ranks and no tests; see "
            f"{argument('--classifiers', 'classifiers')}."
        )
    else:
        yield f"Ranks are over the {complete} of {count_of(total, 'data set')} for which every classifier has a score."


def _reference_notes(comparison: Comparison) -> Iterator[str]:
    if comparison.published:
        yield f"Not run here: {_sources(comparison.published)}."
    if comparison.rounded is not None:
        yield f"All scores are rounded to {comparison.rounded} decimals, as the published ones are."
    for reference in comparison.references:
        yield from reference.remarks
    yield from _chosen_on_test_notes(comparison)
    yield from _left_out_notes(comparison)
    yield from _split_notes(comparison)


def _left_out_notes(comparison: Comparison) -> Iterator[str]:
    if comparison.only:
        return
    hidden = {label: count for label, count in comparison.coverage.items() if label not in comparison.classifiers}
    if chosen := [label for label in hidden if label in comparison.chosen_on_test]:
        yield (
            f"Left out, because the epoch was chosen on the test cases: {', '.join(chosen)}. "
            f"{argument('--classifiers', 'classifiers')} shows them."
        )
    rest = {label: count for label, count in hidden.items() if label not in comparison.chosen_on_test}
    again = [label for label, count in rest.items() if count and _is_run_again(comparison, label)]
    if again:
        yield (
            f"Reruns by other papers, left out: {', '.join(again)}. "
            f"{argument('--classifiers', 'classifiers')} shows them."
        )
    if fewer := [label for label, count in rest.items() if count and label not in again]:
        yield f"Published on fewer of these data sets, and left out: {', '.join(fewer)}."
    for reference in comparison.references:
        without = [label for label, count in hidden.items() if not count and comparison.source(label) == reference.name]
        all_of_it = len(without) == len(reference.classifiers)
        if without and not reference.carried:
            of = "" if all_of_it else f" of {', '.join(without)}"
            yield f"{reference.name} has no score{of} on these data sets under this protocol."
        elif without and all_of_it and not _own_data(comparison, reference):
            yield "There are no published scores on these data sets under this protocol."


def _is_run_again(comparison: Comparison, label: str) -> bool:
    column = comparison.columns[label]
    return column.reference is not None and column.reference.original(column.name) is not None


def _chosen_on_test_notes(comparison: Comparison) -> Iterator[str]:
    for label in comparison.classifiers:
        if chosen := comparison.chosen_on_test.get(label):
            yield (
                f"{label}: the epoch was chosen on the test cases of {listed(chosen, 3)}, so these scores are "
                "optimistic."
            )


def _split_notes(comparison: Comparison) -> Iterator[str]:
    """Caveats on reading references beside own results."""
    ours = [dataset for dataset in comparison.datasets if dataset in comparison.results.datasets]
    for reference in comparison.references:
        both = [dataset for dataset in ours if dataset in reference.datasets]
        if not reference.carried:
            if both:
                yield f"The scores in {reference.name} are assumed to be of the same splits; the file does not say so."
            continue
        if own := _own_data(comparison, reference):
            yield (
                f"The published scores for {listed(own)} are of the archive's data; the runs here are on the user's "
                "own data, so those scores are left out."
            )
        if unclear := [dataset for dataset in both if comparison.splits[dataset].kind in ("unknown", "folder")]:
            yield (
                f"The published scores are of the archive's own split; whether the runs on {listed(unclear)} are was "
                "not recorded."
            )


def _own_data(comparison: Comparison, reference: Reference) -> list[str]:
    """The user's own data sets that share a name with one of the reference."""
    return [name for name in comparison.datasets if comparison.splits[name].is_own and name in reference.datasets]


def _missing_notes(cells: Sequence[dict[str, str]]) -> Iterator[str]:
    """One line for each classifier and reason."""
    grouped: dict[tuple[str, str], list[str]] = {}
    for cell in cells:
        grouped.setdefault((cell["classifier"], cell["reason"]), []).append(cell["dataset"])
    for (classifier, reason), datasets in grouped.items():
        yield f"Missing: {classifier} on {listed(datasets)} ({reason})"


def _first_split_hint(comparison: Comparison) -> Iterator[str]:
    results, metric = comparison.results, names.test(comparison.metric)
    if results.protocol == ARCHIVE_SPLIT:
        return
    held = (results.scores_of(metric, cell["dataset"], cell["classifier"]) for cell in comparison.missing())
    if any(0 in scores for scores in held):
        words = split_words(comparison)
        where = "the first splits" if words.startswith("different") else words
        yield f"Scores on {where}: {argument('--resamples 1', 'resamples=1')}."


def _sources(published: dict[str, str]) -> str:
    by_source: dict[str, list[str]] = {}
    for label, source in published.items():
        by_source.setdefault(source, []).append(label)
    return "; ".join(f"{', '.join(labels)} [{source}]" for source, labels in by_source.items())


# Cautions


def cautions(comparison: Comparison) -> list[str]:
    """Why no difference can be significant, and what would help."""
    complete, labels = int(comparison.complete.sum()), comparison.classifiers
    if len(labels) == 1 and complete:
        return [f"There is only one classifier, {labels[0]}, so there is nothing to compare."]
    pairs = len(labels) * (len(labels) - 1) // 2
    if not pairs or not complete or (least := 2 * 0.5**complete * pairs) <= comparison.alpha:
        return []
    sets = "one data set" if complete == 1 else f"{complete} data sets"
    fewer = f", or fewer classifiers ({argument('--classifiers', 'classifiers')})" if pairs > 1 else ""
    return [
        f"With {sets}{f' and {pairs} pairs' if pairs > 1 else ''} no difference can be significant at "
        f"{comparison.alpha:g}: the smallest possible p is {min(1.0, least):.2g}. More data sets would help{fewer}."
    ]


# Sentences


def sentences(comparison: Comparison) -> list[str]:
    """A sentence for a paper on each classifier against the control, the best rank first."""
    return [_sentence(comparison, standing) for standing in comparison.standings if standing.wins is not None]


def _sentence(comparison: Comparison, standing: Standing) -> str:
    assert standing.wins is not None
    wins, ties, losses = standing.wins
    count = comparison.statistics.pairs.count
    first, second, sign = comparison.control, standing.classifier, -comparison.sign
    if wins == losses == 0:
        where = "the one data set" if count == 1 else f"all {count} data sets"
        return f"{first} and {second} have equal scores on {where}."
    advantage = comparison.sign * standing.difference
    better = losses
    if advantage > 0 or (advantage == 0 and wins > losses):
        first, second, sign, better = second, first, -sign, wins
    low, high = sorted((sign * standing.interval[0], sign * standing.interval[1]))
    if wins == losses and fixed(standing.difference) == "0.0000":
        each = f"each wins on {wins} of {count} data sets (ties: {ties})"
        return f"{first} and {second} do not differ: {each}, and their mean scores are equal."
    pairs = len(comparison.classifiers) * (len(comparison.classifiers) - 1) // 2
    adjusted = f"Wilcoxon-Holm over {pairs} pairs" if pairs > 1 else "Wilcoxon"
    sets = "the one data set" if count == 1 else f"{better} of {count} data sets (ties: {ties})"
    interval = f" (95 % bootstrap interval {fixed(low)} to {fixed(high)})" if count > 1 else ""
    unit = "" if comparison.metric == "accuracy" else f" in {comparison.words}"
    average = "" if count == 1 else " on average"
    by = f"{fixed(abs(standing.difference))}{unit}{average}{interval}, {adjusted} p {format_p(standing.p)}."
    if standing.p <= comparison.alpha:
        return f"{first} is better than {second} on {sets}, by {by}"
    return f"{first} and {second} do not differ significantly: {first} wins on {sets} and leads by {by}"
