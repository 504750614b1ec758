"""A comparison in text: for a terminal, as CSV, JSON, Markdown and LaTeX."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
from rich.markup import escape
from rich.table import Table

from tsbench.compare.comparison import CONFIDENCE, Comparison, Standing, spell_p
from tsbench.compare.preprocessed import preprocessed, preprocessing_notes
from tsbench.compare.results import Results
from tsbench.tracking import names

__all__ = ["FORMATS", "WIDEST", "as_csv", "as_json", "as_latex", "as_markdown", "as_table", "leaderboard", "standings"]

WIDEST = 12
"""Classifiers that a terminal's table by data set can hold."""


def as_json(comparison: Comparison) -> str:
    """The table, `protocol`, `missing` with reasons, `published` with sources, and `statistics`."""
    results, scores = comparison.results, comparison.scores
    wins = zip(comparison.classifiers, comparison.against_control(), strict=True)
    tree: dict[str, Any] = {
        "name": results.name,
        "protocol": comparison.protocol(),
        "resamples": list(results.protocol),
        "datasets": list(comparison.datasets),
        "classifiers": list(comparison.classifiers),
        "published": comparison.published,
        "accuracy": {
            dataset: {
                classifier: float(value)
                for classifier, value in zip(comparison.classifiers, row, strict=True)
                if not np.isnan(value)
            }
            for dataset, row in zip(comparison.datasets, scores, strict=True)
        },
        "rank": {
            classifier: None if np.isnan(rank) else float(rank)
            for classifier, rank in zip(comparison.classifiers, comparison.ranks, strict=True)
        },
        "control": comparison.control or None,
        "win_tie_loss": {classifier: list(counts) for classifier, counts in wins if counts is not None},
        "missing": comparison.missing(),
        "preprocessed": preprocessed(results, comparison.datasets, comparison.classifiers),
        "sentences": comparison.sentences(),
        "cautions": comparison.cautions(),
        "statistics": _statistics(comparison),
    }
    return json.dumps(tree, indent=2, allow_nan=False)


def _statistics(comparison: Comparison) -> dict[str, Any] | None:
    """None without a complete data set."""
    if not comparison.standings:
        return None
    labels, friedman = comparison.classifiers, comparison.friedman
    tree: dict[str, Any] = {
        "alpha": comparison.alpha,
        "datasets": [name for name, kept in zip(comparison.datasets, comparison.complete, strict=True) if kept],
        "left_out": [name for name, kept in zip(comparison.datasets, comparison.complete, strict=True) if not kept],
        "mean_accuracy": {one.classifier: one.mean for one in comparison.standings},
        "friedman": friedman
        and {
            "chi_square": friedman.statistic,
            "p": friedman.p,
            "iman_davenport_f": friedman.f if np.isfinite(friedman.f) else None,
            "iman_davenport_p": friedman.p_f,
            "degrees_of_freedom": list(friedman.degrees),
        },
        "pairs": list(_pairs(comparison)),
        "cliques": [[labels[column] for column in clique] for clique in comparison.cliques],
        "bootstrap": {
            "confidence": CONFIDENCE,
            "mean_difference_from_control": {
                one.classifier: list(one.interval) for one in comparison.standings if one.wins is not None
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
        from tsbench.compare.statistics import critical_difference

        count = len(labels)
        tree["nemenyi"] = {
            "critical_difference": critical_difference(count, comparison.pairs.count, comparison.alpha)
            if count > 1
            else None,
            "p": [
                {"first": labels[i], "second": labels[j], "p": float(comparison.nemenyi[i, j])}
                for i in range(count)
                for j in range(i + 1, count)
            ],
        }
    return tree


def _pairs(comparison: Comparison) -> Any:
    labels, pairs = comparison.classifiers, comparison.pairs
    for i in range(len(labels)):
        for j in range(i + 1, len(labels)):
            yield {
                "first": labels[i],
                "second": labels[j],
                "mean_difference": float(pairs.mean_difference[i, j]),
                "win_tie_loss": [int(pairs.wins[i, j]), int(pairs.ties[i, j]), int(pairs.losses[i, j])],
                "p": float(pairs.p[i, j]),
                "p_holm": float(pairs.p_holm[i, j]),
                "significant": bool(comparison.differs[i, j]),
            }


def rows(comparison: Comparison) -> list[list[str]]:
    """The table as texts: a header, a row for each data set, the ranks, and the wins against the control."""
    table = [["data set", *comparison.classifiers]]
    for dataset, row in zip(comparison.datasets, comparison.scores, strict=True):
        table.append([dataset, *("" if np.isnan(value) else f"{value:.4f}" for value in row)])
    table.append(["average rank", *("" if np.isnan(rank) else f"{rank:.2f}" for rank in comparison.ranks)])
    wins = ["" if counts is None else "/".join(map(str, counts)) for counts in comparison.against_control()]
    if any(wins):
        table.append([f"win/tie/loss against {comparison.control}", *wins])
    return table


def as_csv(comparison: Comparison) -> str:
    """The data sets' rows alone, in full precision, empty where there is no figure; `--reference` reads it."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["dataset", *comparison.classifiers])
    for dataset, row in zip(comparison.datasets, comparison.scores, strict=True):
        writer.writerow([dataset, *("" if np.isnan(value) else repr(float(value)) for value in row)])
    return text.getvalue()


def as_markdown(comparison: Comparison) -> str:
    """Pipe tables by data set and by classifier, with notes."""
    header, *body = rows(comparison)
    lines = [_pipes(header), _pipes(["---", *["---:"] * (len(header) - 1)]), *map(_pipes, body), ""]
    if len(comparison.standings) > 1:
        header, *body = standing_rows(comparison)
        lines += [f"{_over(comparison)} (Wilcoxon, Holm):", ""]
        lines += [_pipes(header), _pipes(["---", *["---:"] * (len(header) - 1)]), *map(_pipes, body), ""]
    return "\n".join([*lines, *(f"{note}  " for note in comparison.notes() + comparison.cautions())]) + "\n"


def as_latex(comparison: Comparison) -> str:
    """A table for a paper (packages booktabs and, for many columns, graphicx), the best of each row in bold."""
    labels = comparison.classifiers
    header = " & ".join(["Data set", *map(_latex_label, labels)])
    lines = [
        f"% {comparison.protocol()}; needs \\usepackage{{booktabs}}",
        "\\begin{table}",
        "\\centering",
        f"\\caption{{{_latex(_caption(comparison))}}}",
        f"\\begin{{tabular}}{{l{'r' * len(labels)}}}",
        "\\toprule",
        f"{header} \\\\",
        "\\midrule",
    ]
    for dataset, row in zip(comparison.datasets, comparison.scores, strict=True):
        best = np.fmax.reduce(row, initial=-np.inf)
        cells = ["--" if np.isnan(x) else f"\\textbf{{{x:.4f}}}" if x == best else f"{x:.4f}" for x in row]
        lines.append(" & ".join([_latex(dataset), *cells]) + " \\\\")
    lines.append("\\midrule")
    lines.append(
        " & ".join(["Average rank", *("--" if np.isnan(r) else f"{r:.2f}" for r in comparison.ranks)]) + " \\\\"
    )
    if len(comparison.standings) > 1:
        p = {one.classifier: one.p for one in comparison.standings}
        spelt = ["--" if one == comparison.control else f"${spell_p(p[one]).removeprefix('= ')}$" for one in labels]
        lines.append(" & ".join([f"$p$ against {_latex_label(comparison.control)}", *spelt]) + " \\\\")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", "\\end{table}"]) + "\n"


def _caption(comparison: Comparison) -> str:
    protocol = comparison.protocol()
    text = f"{protocol[0].upper()}{protocol[1:]}; best in bold."
    if len(comparison.standings) > 1:
        text += (
            f" Ranks and p-values (Wilcoxon signed-rank, two-sided, Holm-adjusted over all pairs) are over "
            f"{comparison.pairs.count} data sets."
        )
    for note in preprocessing_notes(comparison.results, comparison.datasets, comparison.classifiers):
        text += f" {note}."
    return text + (" A dagger marks published figures, not run here." if comparison.published else "")


def _latex_label(label: str) -> str:
    """Published classifiers get a dagger in place of the words."""
    if label.endswith(" (published)"):
        return f"{_latex(label.removesuffix(' (published)'))}$^\\dagger$"
    return _latex(label)


def _latex(text: str) -> str:
    special = {char: f"\\{char}" for char in "&%$#_{}"} | {
        "\\": "\\textbackslash{}",
        "~": "\\textasciitilde{}",
        "^": "\\textasciicircum{}",
    }
    return "".join(special.get(char, char) for char in text)


FORMATS: dict[str, Callable[[Comparison], str]] = {
    "csv": as_csv,
    "json": as_json,
    "markdown": as_markdown,
    "latex": as_latex,
}
"""The spellings of a comparison as plain text; a terminal's is `as_table`."""


def as_table(comparison: Comparison) -> Table:
    """For a terminal, by data set, the best of each in bold."""
    header, *body = rows(comparison)
    table = Table(title=f"Test accuracy: {escape(comparison.results.name)}", caption=None)
    table.add_column(header[0])
    for name in header[1:]:
        table.add_column(escape(name), justify="right")
    scores = comparison.scores
    for number, row in enumerate(body):
        figures = scores[number] if number < len(scores) else np.full(len(row) - 1, np.nan)
        best = np.fmax.reduce(figures, initial=-np.inf)
        cells = [
            f"[bold]{cell}[/bold]" if figure == best else escape(cell)
            for cell, figure in zip(row[1:], figures, strict=True)
        ]
        table.add_row(escape(row[0]), *cells, end_section=number == len(scores) - 1)
    return table


def standing_rows(comparison: Comparison) -> list[list[str]]:
    """How each classifier stands, as texts: a header, then the best rank first."""
    header = ["classifier", "average rank", "mean accuracy", "win/tie/loss", "mean difference", "95 % interval", "p"]
    return [header, *map(_standing_row, comparison.standings)]


def _standing_row(one: Standing) -> list[str]:
    cells = [one.classifier, f"{one.rank:.2f}", f"{one.mean:.4f}"]
    if one.wins is None:
        return [*cells, "", "", "", ""]
    low, high = one.interval
    counts = "/".join(map(str, one.wins))
    return [*cells, counts, f"{one.difference:+.4f}", f"{low:+.4f} to {high:+.4f}", spell_p(one.p).removeprefix("= ")]


def standings(comparison: Comparison) -> Table:
    """For a terminal, by classifier: ranks and what the control differs by."""
    header, *body = standing_rows(comparison)
    table = Table(title=escape(f"{_over(comparison)} (Wilcoxon, Holm)"))
    for number, name in enumerate(header):
        table.add_column(escape(name), justify="left" if number == 0 else "right", overflow="fold")
    for row in body:
        table.add_row(*map(escape, row))
    return table


def _over(comparison: Comparison) -> str:
    count = comparison.pairs.count
    return f"Over {count} data set{'' if count == 1 else 's'}, against {comparison.control}"


def leaderboard(results: Results, metric: str) -> Table:
    """The table that ends a search: each classifier's CV score, test scores and fit seconds, by data set."""
    notes = preprocessing_notes(results, results.datasets, results.classifiers)
    caption = escape("\n".join(notes)) or None
    table = Table(title=f"Results: {escape(results.name)}", caption=caption, caption_justify="left")
    table.add_column("data set", no_wrap=True)
    longest = max(map(len, ("classifier", *results.classifiers)))
    table.add_column("classifier", overflow="fold", no_wrap=longest <= 20)  # the figures' titles wrap instead
    for title in (f"cv {metric}", "test accuracy", "balanced accuracy", "fit seconds"):
        table.add_column(title, justify="right", min_width=8)
    columns = [names.cv(metric), names.test("accuracy"), names.test("balanced_accuracy"), "fit_seconds"]
    for dataset in results.datasets:
        means = {c: [results.mean(column, dataset, c) for column in columns] for c in results.classifiers}
        best = max((row[1] for row in means.values() if row[1] is not None), default=None)
        for number, (classifier, row) in enumerate(means.items()):
            cells = [_cell(value, column) for value, column in zip(row, columns, strict=True)]
            if row[1] is not None and row[1] == best:
                cells[1] = f"[bold]{cells[1]}[/bold]"
            last = number == len(means) - 1
            table.add_row(escape(dataset) if number == 0 else "", escape(classifier), *cells, end_section=last)
    return table


def _cell(value: float | None, column: str) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" if column == "fit_seconds" else f"{value:.4f}"


def _pipes(cells: list[str]) -> str:
    escaped = (cell.replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(escaped)} |"
