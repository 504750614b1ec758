"""A comparison as CSV, JSON and Markdown."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable
from itertools import combinations
from typing import Any

import numpy as np

from tsbench.comparisons.comparison import Comparison, Standing
from tsbench.comparisons.formatting import METRIC_WORDS, fixed, format_p, signed
from tsbench.comparisons.latex import as_latex
from tsbench.comparisons.preprocessed import preprocessed
from tsbench.comparisons.results import Results
from tsbench.comparisons.significance import CONFIDENCE
from tsbench.comparisons.wording import cautions, notes, protocol, sentences
from tsbench.evaluation.metrics import error_name, format_score
from tsbench.recipe.messages import count_of
from tsbench.spreadsheet import as_cell
from tsbench.tracking import names

__all__ = [
    "FORMATS",
    "as_csv",
    "as_json",
    "as_latex",
    "as_markdown",
    "leaderboard_rows",
    "over",
    "pairs_of",
    "score_rows",
    "standing_rows",
]


def as_json(comparison: Comparison) -> str:
    """The table under the metric's name, `protocol`, `splits`, `missing` with reasons, `published` with sources,
    `chosen_on_test` with data sets, and `statistics`."""
    results, scores = comparison.results, comparison.scores
    wins = zip(comparison.classifiers, comparison.statistics.wins_against(comparison.control_column), strict=True)
    tree: dict[str, Any] = {
        "name": results.name,
        "metric": comparison.metric,
        "protocol": protocol(comparison),
        "resamples": list(results.protocol),
        "splits": {dataset: str(split) for dataset, split in comparison.splits.items()},
        "datasets": list(comparison.datasets),
        "classifiers": list(comparison.classifiers),
        "published": comparison.published,
        "chosen_on_test": {
            label: list(chosen) for label, chosen in comparison.chosen_on_test.items() if label in comparison.published
        },
        comparison.metric: {
            dataset: {
                classifier: float(value)
                for classifier, value in zip(comparison.classifiers, row, strict=True)
                if not np.isnan(value)
            }
            for dataset, row in zip(comparison.datasets, scores, strict=True)
        },
        "rank": {
            classifier: None if np.isnan(rank) else float(rank)
            for classifier, rank in zip(comparison.classifiers, comparison.statistics.ranks, strict=True)
        },
        "control": comparison.control or None,
        "win_tie_loss": {classifier: list(counts) for classifier, counts in wins if counts is not None},
        "missing": comparison.missing(),
        "preprocessed": preprocessed(results, comparison.datasets, comparison.classifiers),
        "sentences": sentences(comparison),
        "notes": notes(comparison),
        "cautions": cautions(comparison),
        "statistics": _statistics(comparison),
    }
    return json.dumps(tree, indent=2, allow_nan=False)


def _statistics(comparison: Comparison) -> dict[str, Any] | None:
    """None without a complete data set."""
    if not comparison.standings:
        return None
    labels, friedman = comparison.classifiers, comparison.statistics.friedman
    pairs = pairs_of(comparison, range(len(labels)))
    tree: dict[str, Any] = {
        "alpha": comparison.alpha,
        "datasets": [name for name, kept in zip(comparison.datasets, comparison.complete, strict=True) if kept],
        "left_out": [name for name, kept in zip(comparison.datasets, comparison.complete, strict=True) if not kept],
        f"mean_{comparison.metric}": {standing.classifier: standing.mean for standing in comparison.standings},
        "friedman": friedman
        and {
            "chi_square": friedman.statistic,
            "p": friedman.p,
            "iman_davenport_f": friedman.f if np.isfinite(friedman.f) else None,
            "iman_davenport_p": friedman.p_f,
            "degrees_of_freedom": list(friedman.degrees),
        },
        "pairs": [{name: value for name, value in pair.items() if name != "nemenyi"} for pair in pairs],
        "cliques": [[labels[column] for column in clique] for clique in comparison.statistics.cliques],
        "bootstrap": {
            "confidence": CONFIDENCE,
            "mean_difference_from_control": {
                standing.classifier: list(standing.interval)
                for standing in comparison.standings
                if standing.wins is not None
            },
        },
        "bayesian_signed_rank": {
            "rope": comparison.rope,
            "against_control": {
                label: dict(zip(("worse", "equivalent", "better"), map(float, row), strict=True))
                for label, row in zip(labels, comparison.bayesian, strict=True)
                if label != comparison.control
            },
        },
    }
    if comparison.with_nemenyi:
        from tsbench.comparisons.statistics import critical_difference

        count = len(labels)
        tree["nemenyi"] = {
            "critical_difference": critical_difference(count, comparison.statistics.pairs.count, comparison.alpha)
            if count > 1
            else None,
            "p": [{"first": pair["first"], "second": pair["second"], "p": pair["nemenyi"]} for pair in pairs],
        }
    return tree


def pairs_of(comparison: Comparison, order: Iterable[int]) -> list[dict[str, Any]]:
    """The test of every pair of classifiers, each before those that come later in an order of their numbers."""
    labels, pairs = comparison.classifiers, comparison.statistics.pairs
    return [
        {
            "first": labels[i],
            "second": labels[j],
            "mean_difference": float(pairs.mean_difference[i, j]),
            "win_tie_loss": [int(pairs.wins[i, j]), int(pairs.ties[i, j]), int(pairs.losses[i, j])],
            "p": float(pairs.p[i, j]),
            "p_holm": float(pairs.p_holm[i, j]),
            "significant": bool(comparison.statistics.differs[i, j]),
            **({"nemenyi": float(comparison.statistics.nemenyi[i, j])} if comparison.with_nemenyi else {}),
        }
        for i, j in combinations(order, 2)
    ]


def score_rows(comparison: Comparison) -> list[list[str]]:
    """The table as texts: a header, a row for each data set, the ranks, and the wins against the control."""
    table = [["data set", *comparison.classifiers]]
    for dataset, row in zip(comparison.datasets, comparison.scores, strict=True):
        table.append([dataset, *("" if np.isnan(value) else fixed(value) for value in row)])
    table.append(["average rank", *("" if np.isnan(rank) else fixed(rank, 2) for rank in comparison.statistics.ranks)])
    wins = [
        "" if counts is None else "/".join(map(str, counts))
        for counts in comparison.statistics.wins_against(comparison.control_column)
    ]
    if any(wins):
        table.append([f"win/tie/loss against {comparison.control}", *wins])
    return table


def as_csv(comparison: Comparison) -> str:
    """Only the data sets' rows, in full precision, empty if there is no score; `--reference` reads it."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["dataset", *map(as_cell, comparison.classifiers)])
    for dataset, row in zip(comparison.datasets, comparison.scores, strict=True):
        writer.writerow([as_cell(dataset), *("" if np.isnan(value) else repr(float(value)) for value in row)])
    return text.getvalue()


def as_markdown(comparison: Comparison) -> str:
    """Pipe tables by data set and by classifier, with notes."""
    header, *body = score_rows(comparison)
    lines = [_pipes(header), _pipes(["---", *["---:"] * (len(header) - 1)]), *map(_pipes, body), ""]
    if len(comparison.standings) > 1:
        header, *body = standing_rows(comparison)
        lines += [f"{over(comparison)} (Wilcoxon, Holm):", ""]
        lines += [_pipes(header), _pipes(["---", *["---:"] * (len(header) - 1)]), *map(_pipes, body), ""]
    return "\n".join([*lines, *(f"{note}  " for note in notes(comparison) + cautions(comparison))]) + "\n"


FORMATS: dict[str, Callable[[Comparison], str]] = {
    "csv": as_csv,
    "json": as_json,
    "markdown": as_markdown,
    "latex": as_latex,
}
"""The plain-text formats of a comparison; the terminal's is in `terminal`."""


def standing_rows(comparison: Comparison) -> list[list[str]]:
    """The standings as texts: a header, then the best rank first."""
    header = ["classifier", "average rank", f"mean {comparison.words}", "win/tie/loss"]
    header += ["mean difference", "95 % interval", "p"]
    return [header, *map(_standing_row, comparison.standings)]


def _standing_row(standing: Standing) -> list[str]:
    cells = [standing.classifier, fixed(standing.rank, 2), fixed(standing.mean)]
    if standing.wins is None:
        return [*cells, "", "", "", ""]
    low, high = standing.interval
    counts = "/".join(map(str, standing.wins))
    return [
        *cells,
        counts,
        signed(standing.difference),
        f"{signed(low)} to {signed(high)}",
        format_p(standing.p).removeprefix("= "),
    ]


def leaderboard_rows(results: Results, metric: str) -> list[list[str]]:
    """A search's results as texts: a header, then a row for each data set and classifier.

    A score of one resample has its standard error, if it is known; there is none of a mean over resamples.

    Args:
        results: of the search.
        metric: that was searched by.
    """
    columns = {
        f"cv {METRIC_WORDS[metric]}": names.cv(metric),
        "test accuracy": names.test("accuracy"),
        "balanced accuracy": names.test("balanced_accuracy"),
        "fit seconds": "fit_seconds",
    }

    def cell(key: str, pair: tuple[str, str]) -> str:
        value = results.mean(key, *pair)
        if value is None or key == "fit_seconds":
            return "" if value is None else fixed(value, 2)
        is_one = len(results.protocol) == 1
        return format_score(value, results.mean(error_name(key), *pair) if is_one else None)

    pairs = [(dataset, classifier) for dataset in results.datasets for classifier in results.classifiers]
    return [
        ["data set", "classifier", *columns],
        *([*pair, *(cell(key, pair) for key in columns.values())] for pair in pairs),
    ]


def over(comparison: Comparison) -> str:
    """The title of the standings: data sets and control."""
    return f"Over {count_of(comparison.statistics.pairs.count, 'data set')}, against {comparison.control}"


def _pipes(cells: list[str]) -> str:
    escaped = (cell.replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(escaped)} |"
