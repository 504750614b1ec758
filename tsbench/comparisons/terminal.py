"""A comparison's tables for a terminal: no word is broken at any width, and shortened names are explained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tsbench.comparisons.comparison import Comparison
from tsbench.comparisons.formatting import METRIC_WORDS
from tsbench.comparisons.report import leaderboard_rows, over, score_rows, standing_rows
from tsbench.comparisons.results import Results
from tsbench.comparisons.wording import legend, marked
from tsbench.evaluation.metrics import error_name, format_score
from tsbench.tracking import names

__all__ = ["WIDEST", "Printed", "front_table", "leaderboard", "members_table", "score_tables", "standings_table"]

WIDEST = 12
"""Maximum number of classifiers whose scores by data set are printed on a terminal."""

NAME_WIDTH = 24
"""Maximum characters of a classifier's name as a column's title."""

LEAST_NAME = 12
"""Minimum characters of a classifier's name before columns of scores are left out."""

FRAME = 3
"""Characters of a column besides its cells."""


@dataclass(frozen=True)
class Printed:
    """The tables and notes to print.

    Attributes:
        tables: one below the other.
        notes: lines below the tables: marks, shortened names, columns left out.
    """

    tables: tuple[Table, ...]
    notes: tuple[str, ...] = ()

    def print(self, console: Console) -> None:
        """Prints tables and notes."""
        for table in self.tables:
            console.print(table)
        for note in self.notes:
            console.print(note, highlight=False, markup=False, soft_wrap=True)


# Names


@dataclass
class Shortener:
    """Shortens names to a width, and records the full names.

    Attributes:
        width: in characters, at most.
        given: the full names by their short forms.
    """

    width: int
    given: dict[str, str] = field(default_factory=dict)

    def __call__(self, name: str) -> str:
        """The name, the last part of an import path, or both ends; short names are unique."""
        if cell_len(name) <= self.width:
            self.given[name] = name
            return name
        last = name.rpartition(".")[2]
        short = last if last and cell_len(last) <= self.width else _ends(name, self.width)
        number = 1
        while self.given.get(short, name) != name:
            number += 1
            tail = f"~{number}"
            short = _ends(name, max(1, self.width - len(tail))) + tail
        self.given[short] = name
        return short

    @property
    def notes(self) -> tuple[str, ...]:
        """The full name of each short name."""
        shortened = [f"{short} = {name}" for short, name in self.given.items() if short != name]
        return (f"Shortened: {'; '.join(shortened)}.",) if shortened else ()


def _ends(name: str, width: int) -> str:
    """Both ends of a name, an ellipsis between them."""
    tail = (width - 1) // 2
    return f"{name[: width - 1 - tail]}\u2026{name[len(name) - tail :] if tail else ''}"


# Widths


def _needed(title: str, cells: Sequence[str]) -> int:
    """The width at which a column breaks no word of its title and no cell."""
    return max(max((cell_len(word) for word in title.split()), default=0), max(map(cell_len, cells), default=0))


def _natural(title: str, cells: Sequence[str]) -> int:
    """The width of a column on one line."""
    return max(map(cell_len, (title, *cells)))


def _widths(columns: Sequence[tuple[str, Sequence[str]]], spare: int) -> list[int]:
    """Widths at which no word is broken, with titles on one line if there is room."""
    widths = []
    for title, cells in columns:
        more = min(max(0, spare), _natural(title, cells) - _needed(title, cells))
        spare -= more
        widths.append(_needed(title, cells) + more)
    return widths


def _fitting(
    columns: Sequence[tuple[str, list[str]]], dropped: Sequence[str], width: int, name: int
) -> tuple[list[tuple[str, list[str]]], int, list[str]]:
    """The columns that fit beside one of names, the width left for it, and the titles dropped to make room."""
    for number in range(len(dropped) + 1):
        left_out = list(dropped[:number])
        kept = [column for column in columns if column[0] not in left_out]
        spare = width - 1 - sum(FRAME + _needed(*column) for column in kept)
        if spare >= name:
            break
    return kept, spare, left_out


def _columns(rows: Sequence[Sequence[str]]) -> list[tuple[str, list[str]]]:
    """Titles and cells of a table whose first row is its header."""
    return [(title, [row[number] for row in rows[1:]]) for number, title in enumerate(rows[0])]


# Scores by data set


def score_tables(comparison: Comparison, width: int) -> Printed:
    """Scores by data set, the best of each in bold; classifiers that do not fit side by side are in further tables.

    Args:
        comparison: to show.
        width: of the terminal, in characters.
    """
    rows = score_rows(comparison)
    last_row = rows[-1][0].partition(" against ")
    if last_row[1]:
        rows[-1] = [last_row[0], *rows[-1][1:]]
    shorten = Shortener(min(NAME_WIDTH, max(6, width // 2 - FRAME)))
    first = Shortener(max(6, min(32, width // 2 - FRAME)))
    labels = [shorten(marked(comparison, label)) for label in comparison.classifiers]
    cells = [["data set", *labels], *([first(row[0]), *row[1:]] for row in rows[1:])]
    blocks = list(_blocks(cells, width))
    tables = [_score_table(comparison, cells, block, (number, len(blocks))) for number, block in enumerate(blocks, 1)]
    lines = [legend(comparison)]
    if last_row[1]:
        lines.append(f"Wins, ties and losses are against {comparison.control}.")
    return Printed(tuple(tables), (*filter(None, lines), *shorten.notes, *first.notes))


def _blocks(rows: Sequence[Sequence[str]], width: int) -> Iterator[list[int]]:
    """Numbers of the columns that fit beside the first one, at least one at a time."""
    columns = _columns(rows)
    fixed_width = 1 + FRAME + _natural(*columns[0])
    block: list[int] = []
    taken = fixed_width
    for number, (title, cells) in enumerate(columns[1:], 1):
        column = FRAME + max(_needed(title, cells), min(_natural(title, cells), NAME_WIDTH))
        if block and taken + column > width:
            yield block
            block, taken = [], fixed_width
        block.append(number)
        taken += column
    yield block


def _score_table(
    comparison: Comparison, rows: Sequence[Sequence[str]], block: Sequence[int], part: tuple[int, int]
) -> Table:
    number, count = part
    of = f" ({number} of {count})" if count > 1 else ""
    table = Table(title=f"Test {comparison.words}: {escape(comparison.results.name)}{of}")
    table.add_column(rows[0][0], no_wrap=True, overflow="ellipsis")
    for column in block:
        table.add_column(escape(rows[0][column]), justify="right", no_wrap=True, overflow="ellipsis")
    scores = comparison.scores
    for line, row in enumerate(rows[1:]):
        values = scores[line] if line < len(scores) else np.full(len(row) - 1, np.nan)
        best = comparison.best(values)
        cells = [
            f"[bold]{row[column]}[/bold]" if values[column - 1] == best else escape(row[column]) for column in block
        ]
        table.add_row(escape(row[0]), *cells, end_section=line == len(scores) - 1)
    return table


# Standings


DROPPED = ("95 % interval", "mean difference", "win / tie / loss", "p")
"""Columns that are left out one after the other if a terminal is too narrow."""


def standings_table(comparison: Comparison, width: int) -> Printed:
    """The classifiers' standings: ranks, means and differences from the control.

    Args:
        comparison: with at least one complete data set.
        width: of the terminal, in characters.
    """
    rows = standing_rows(comparison)
    # spaces allow the title to wrap
    header = [title.replace("/", " / ") for title in rows[0]]
    rows = [header, *([marked(comparison, row[0]), *row[1:]] for row in rows[1:])]
    columns = _columns(rows)
    longest = min(_natural(*columns[0]), NAME_WIDTH)
    kept, spare, left_out = _fitting(columns[1:], DROPPED, width - FRAME, longest)
    shorten = Shortener(max(6, spare))
    names_width = min(_natural(*columns[0]), shorten.width)
    table = Table(title=escape(f"{over(comparison)} (Wilcoxon, Holm)"))
    table.add_column(columns[0][0], no_wrap=True, overflow="ellipsis", width=names_width)
    for (title, _), column_width in zip(kept, _widths(kept, spare - names_width), strict=True):
        table.add_column(escape(title), justify="right", width=column_width)
    for row in rows[1:]:
        shown = [cell for title, cell in zip(rows[0][1:], row[1:], strict=True) if title not in left_out]
        table.add_row(escape(shorten(row[0])), *map(escape, shown))
    lines = [legend(comparison)]
    if left_out:
        lines.append(f"Left out at this width: {', '.join(left_out)}. Use a wider terminal, --report or --format.")
    return Printed((table,), (*filter(None, lines), *shorten.notes))


# After a search


def leaderboard(results: Results, metric: str, width: int) -> Printed:
    """The table that ends a search: each classifier's CV score, test scores and fit seconds, by data set.

    If data sets and classifiers do not fit side by side, each data set's name is above its classifiers.

    Args:
        results: of the search.
        metric: of the search.
        width: of the terminal, in characters.
    """
    pairs = [(dataset, classifier) for dataset in results.datasets for classifier in results.classifiers]
    scores = _columns([row[2:] for row in leaderboard_rows(results, metric)])
    dropped = ("balanced accuracy", "fit seconds", f"cv {METRIC_WORDS[metric]}")
    scores, spare, left_out = _fitting(scores, dropped, width, FRAME + LEAST_NAME)
    dataset_width, classifier_width = (
        _natural(title, shown) for title, shown in (("data set", results.datasets), ("classifier", results.classifiers))
    )
    apart = dataset_width + classifier_width + 2 * FRAME <= spare
    shorten, indented = Shortener(max(6, spare - FRAME)), Shortener(max(4, spare - FRAME - 2))
    if not apart:
        classifier_width = min(max(dataset_width, classifier_width + 2), shorten.width)
    table = Table(title=f"Results: {escape(results.name)}")
    if apart:
        table.add_column("data set", no_wrap=True, width=dataset_width)
        spare -= dataset_width + FRAME
    table.add_column("classifier", no_wrap=True, overflow="ellipsis", width=classifier_width)
    for (title, _), widths in zip(scores, _widths(scores, spare - FRAME - classifier_width), strict=True):
        table.add_column(title, justify="right", width=widths)
    accuracies = {pair: results.mean(names.test("accuracy"), *pair) for pair in pairs}
    place = [title for title, _ in scores].index("test accuracy")
    for number, (dataset, classifier) in enumerate(pairs):
        first, last = number % len(results.classifiers) == 0, (number + 1) % len(results.classifiers) == 0
        known = [value for (other, _), value in accuracies.items() if other == dataset and value is not None]
        cells = [shown[number] for _, shown in scores]
        if known and accuracies[dataset, classifier] == max(known):
            cells[place] = f"[bold]{cells[place]}[/bold]"
        if first and not apart:
            table.add_row(escape(shorten(dataset)))
        name = [escape(dataset) if first else "", escape(classifier)]
        table.add_row(*(name if apart else [f"  {escape(indented(classifier))}"]), *cells, end_section=last)
    return Printed((table,), (*_left_out(left_out), *shorten.notes, *indented.notes))


def _left_out(titles: Sequence[str]) -> list[str]:
    return [f"Left out at this width: {', '.join(titles)}. A wider terminal shows all columns."] if titles else []


def members_table(title: str, rows: Sequence[Mapping[str, str]]) -> Table:
    """The members of an `auto`, the ensemble first; those that were left out have their reason below their scores.

    Args:
        title: of the data set.
        rows: as in the artifact `leaderboard.csv`.
    """
    table = Table(title=escape(f"auto on {title}: out of fold"))
    for name in ("member", "weight", "accuracy", "log loss", "fit seconds"):
        table.add_column(name, justify="left" if name == "member" else "right")

    def number(text: str, decimals: int) -> str:
        return f"{float(text):.{decimals}f}" if text else ""

    for row in rows:
        left_out = float(row["weight"]) == 0
        accuracy = number(row["accuracy"], 4)
        if accuracy and not left_out:
            accuracy += f" ± {number(row['standard_error'], 4)}"
        name = escape(row["member"]) + (f"\n[dim]{escape(row['note'])}[/dim]" if row["note"] else "")
        weight = "" if left_out else f"{float(row['weight']):.0%}"
        cells = (weight, accuracy, number(row["log_loss"], 4), number(row["fit_seconds"], 1))
        table.add_row(name, *cells, style="dim" if left_out else None)
    return table


def front_table(title: str, metrics: Sequence[str], front: Sequence[tuple[int, Mapping[str, float]]]) -> Table:
    """The Pareto front of a search over several metrics.

    Args:
        title: of the cell.
        metrics: names of the metrics.
        front: each trial's number with its scores by their names in MLflow.
    """
    table = Table(title=escape(f"{title}: trials that no other one surpasses in all metrics"))
    table.add_column("trial", justify="right")
    for metric in metrics:
        cost = metric in names.COSTS
        table.add_column(metric.replace("_", " ") if cost else f"cv {METRIC_WORDS[metric]}", justify="right")
    for number, scores in front:
        table.add_row(str(number), *(_front_cell(metric, scores) for metric in metrics))
    return table


def _front_cell(metric: str, scores: Mapping[str, float]) -> str:
    value = scores[names.cv(metric)]
    if metric in names.COSTS:
        return f"{value:.0f}" if metric == "parameters" else f"{value:.4g}"
    return format_score(value, scores.get(error_name(names.cv(metric))))
