"""LaTeX tables of a comparison for a paper: the classifiers' standings, and the scores in parts that fit a page."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from tsbench.comparisons.comparison import Comparison, Standing
from tsbench.comparisons.formatting import fixed, format_p, signed
from tsbench.comparisons.preprocessed import preprocessing_notes
from tsbench.comparisons.wording import capitalise, cautions, legend, marked, notes, protocol
from tsbench.recipe.messages import count_of

__all__ = ["as_latex"]

COLUMNS = 5
"""Classifiers side by side: with a data set's name they fill the text width of an A4 article."""

UPRIGHT = 4
"""Up to this many classifiers side by side, names are not rotated."""

ROWS = 40
"""Data sets that fit one page; more are set as a table over several pages."""


def as_latex(comparison: Comparison) -> str:
    """Tables for a paper, each with a caption and a label: one of the classifiers, and the scores by data set.

    They need the packages booktabs, longtable and graphicx. The best score of each data set is bold.
    """
    lines = ["% Needs \\usepackage{booktabs,longtable,graphicx}; the labels are", ""]
    labels: list[str] = []
    if len(comparison.standings) > 1:
        labels.append(_label(comparison, "summary"))
        lines += [*_standings(comparison, labels[-1]), ""]
    parts = [range(begin, min(begin + COLUMNS, len(comparison.classifiers))) for begin in _starts(comparison)]
    for number, part in enumerate(parts, 1):
        labels.append(_label(comparison, f"scores-{number}" if len(parts) > 1 else "scores"))
        lines += [*_scores(comparison, part, labels[-1], (number, len(parts))), ""]
    lines[1] = f"% {', '.join(labels)}."
    remarks = [*notes(comparison), *cautions(comparison)]
    return "\n".join([*lines[:2], *(f"% {' '.join(remark.split())}" for remark in remarks), *lines[2:]])


def _starts(comparison: Comparison) -> Sequence[int]:
    """The first column of each part; without classifiers there is one part."""
    count = len(comparison.classifiers)
    return range(0, count, COLUMNS) if count else [0]


def _label(comparison: Comparison, what: str) -> str:
    """A label of letters, digits and hyphens, such as `tab:quickstart-accuracy-scores-1`."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", comparison.results.name).strip("-").lower() or "comparison"
    return f"tab:{name}-{comparison.metric.replace('_', '-')}-{what}"


# The classifiers


def _standings(comparison: Comparison, label: str) -> Iterator[str]:
    """One row for each classifier, in a table that fits a page for any number of them."""
    sets = count_of(comparison.statistics.pairs.count, "data set")
    caption = (
        f"{len(comparison.standings)} classifiers over {sets}, against "
        f"{marked(comparison, comparison.control)}: {protocol(comparison)}. Wins, ties and losses (W/T/L), mean "
        "difference with its 95 % bootstrap interval, and p of Wilcoxon's signed-rank test, two-sided, Holm-adjusted "
        f"over all pairs. {legend(comparison)}"
    )
    head = "Classifier & Rank & Mean & W/T/L & Diff. & 95\\,\\% interval & $p$ \\\\"
    body = [_standing(comparison, standing) for standing in comparison.standings]
    yield from _table("lrrrrrr", caption, label, head, body, [], "\\scriptsize")


def _standing(comparison: Comparison, standing: Standing) -> str:
    cells = [_latex(marked(comparison, standing.classifier)), fixed(standing.rank, 2), fixed(standing.mean)]
    if standing.wins is None:
        cells += ["--"] * 4
    else:
        low, high = map(fixed, standing.interval)
        p = format_p(standing.p).removeprefix("= ")
        cells += ["/".join(map(str, standing.wins)), _minus(signed(standing.difference)), f"$[{low}, {high}]$"]
        cells.append(f"$\\mathbf{{{p}}}$" if standing.p <= comparison.alpha else f"${p}$")
    return " & ".join(cells) + " \\\\"


def _minus(number: str) -> str:
    """A signed number in math mode, so that its minus is not a hyphen."""
    return f"${number}$" if number[:1] in "+-" else number


# The scores


def _scores(comparison: Comparison, part: range, label: str, place: tuple[int, int]) -> Iterator[str]:
    """One row for each data set, of some of the classifiers."""
    labels = [_latex(marked(comparison, comparison.classifiers[column])) for column in part]
    if len(labels) > UPRIGHT or any(len(text) > 14 for text in labels):
        labels = [f"\\rotatebox{{90}}{{{text}}}" for text in labels]
    body = []
    for dataset, row in zip(comparison.datasets, comparison.scores, strict=True):
        body.append(" & ".join([_latex(dataset), *_cells(row, comparison.best(row), part)]) + " \\\\")
    ranks = ("--" if np.isnan(rank) else fixed(rank, 2) for rank in comparison.statistics.ranks[list(part)])
    foot = [" & ".join(["Average rank", *ranks]) + " \\\\"]
    yield from _table(
        f"l{'r' * len(part)}",
        _caption(comparison, place),
        label,
        " & ".join(["Data set", *labels]) + " \\\\",
        body,
        foot,
    )


def _cells(row: NDArray[np.float64], best: float, part: range) -> Iterator[str]:
    for column in part:
        value = row[column]
        if np.isnan(value):
            yield "--"
        else:
            yield f"\\textbf{{{fixed(value)}}}" if value == best else fixed(value)


def _caption(comparison: Comparison, place: tuple[int, int]) -> str:
    number, count = place
    text = f"{capitalise(protocol(comparison))}; best of all classifiers in bold."
    if count > 1:
        text += f" Part {number} of {count}."
    if len(comparison.standings) > 1:
        text += f" Ranks are over {count_of(comparison.statistics.pairs.count, 'data set')}."
    done = preprocessing_notes(comparison.results, comparison.datasets, comparison.classifiers)
    return " ".join([text, legend(comparison), *done])


# LaTeX


def _table(
    columns: str,
    caption: str,
    label: str,
    head: str,
    body: Sequence[str],
    foot: Sequence[str],
    size: str = "\\footnotesize",
) -> Iterator[str]:
    """A floating table, or one over several pages."""
    title = f"\\caption{{{_latex(caption.strip())}}}"
    foot = ["\\midrule", *foot] if foot else []
    if len(body) <= ROWS:
        yield from ("\\begin{table}", "\\centering", size, "\\setlength{\\tabcolsep}{3.5pt}")
        yield from (title, f"\\label{{{label}}}", f"\\begin{{tabular}}{{{columns}}}", "\\toprule", head, "\\midrule")
        yield from (*body, *foot, "\\bottomrule", "\\end{tabular}", "\\end{table}")
        return
    yield from ("\\begingroup", size, "\\setlength{\\tabcolsep}{3.5pt}", f"\\begin{{longtable}}{{{columns}}}")
    yield from (f"{title}\\label{{{label}}}\\\\", "\\toprule", head, "\\midrule", "\\endfirsthead")
    yield from ("\\toprule", head, "\\midrule", "\\endhead", "\\bottomrule", "\\endfoot")
    yield from (*body, *foot, "\\end{longtable}", "\\endgroup")


_SPECIAL = {char: f"\\{char}" for char in "&%$#_{}"} | {
    "\\": "\\textbackslash{}",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "[": "{[}",  # after the end of a row, [ would start an option
    "*": "{*}",
    "<": "$<$",
    ">": "$>$",
    "\u2020": "$^\\dagger$",
    "\u2021": "$^\\ddagger$",
    "\u00a7": "\\S{}",
    "\u00b6": "\\P{}",
}


def _latex(text: str) -> str:
    return "".join(_SPECIAL.get(char, char) for char in text)
