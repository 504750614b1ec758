"""Tables for a notebook, as a fragment of HTML."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from tsbench.comparisons.comparison import Comparison
from tsbench.comparisons.report import over, score_rows, standing_rows
from tsbench.comparisons.wording import cautions, notes, sentences

__all__ = ["as_fragment", "as_table"]


def as_fragment(comparison: Comparison) -> str:
    """Scores by data set, the classifiers' standings, and notes."""
    parts = [as_table(score_rows(comparison), f"Test {comparison.words}: {comparison.results.name}")]
    if len(comparison.standings) > 1:
        parts.append(as_table(standing_rows(comparison), f"{over(comparison)} (Wilcoxon, Holm)"))
    lines = sentences(comparison)[:1] + notes(comparison) + cautions(comparison)
    return "\n".join([*parts, *(f"<p>{escape(line)}</p>" for line in lines)])


def as_table(rows: Sequence[Sequence[str]], caption: str) -> str:
    """A table whose first row is its header and whose first column names the rows."""
    header, *body = ([escape(cell) for cell in row] for row in rows)
    lines = ["<table>", f"<caption>{escape(caption)}</caption>"]
    lines.append(f"<thead><tr>{''.join(f'<th>{cell}</th>' for cell in header)}</tr></thead>")
    lines += [f"<tr><th>{first}</th>{''.join(f'<td>{cell}</td>' for cell in rest)}</tr>" for first, *rest in body]
    return "\n".join([*lines, "</table>"])
