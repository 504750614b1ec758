"""Comparison tables: for a terminal, as CSV, JSON and Markdown."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.markup import escape
from rich.table import Table

from tsbench.compare.results import Results
from tsbench.compare.statistics import average_ranks, complete_rows, win_tie_loss
from tsbench.tracking import names

__all__ = ["FORMATS", "Comparison", "leaderboard"]

FORMATS = ("table", "csv", "json", "markdown")


@dataclass(frozen=True)
class Comparison:
    """Test accuracies by data set and classifier, with ranks and wins against the network."""

    results: Results

    @property
    def scores(self) -> NDArray[np.float64]:
        """Shape (data sets, classifiers): mean test accuracy over the resamples, NaN where it is missing."""
        metric = names.test("accuracy")
        cells = [
            [self.results.mean(metric, dataset, classifier) for classifier in self.results.classifiers]
            for dataset in self.results.datasets
        ]
        return np.array(cells, dtype=np.float64).reshape(len(cells), len(self.results.classifiers))

    @property
    def ranks(self) -> NDArray[np.float64]:
        """Average rank of each classifier over the data sets where all have a figure."""
        return average_ranks(self.scores)

    def against_network(self) -> list[tuple[int, int, int] | None]:
        """Each classifier's wins, ties and losses against the network; None for the network itself or without it."""
        classifiers = self.results.classifiers
        if names.NETWORK not in classifiers:
            return [None] * len(classifiers)
        scores = self.scores
        network = scores[:, classifiers.index(names.NETWORK)]
        return [
            None if name == names.NETWORK else win_tie_loss(scores[:, column], network)
            for column, name in enumerate(classifiers)
        ]

    def protocol(self) -> str:
        """Which splits the figures are of, in words."""
        found = {self.results.resamples(dataset) for dataset in self.results.datasets} - {()}
        if not found:
            return "nothing scored yet"
        if found == {(0,)}:
            return "accuracy on the archive's own split"
        counts = sorted({len(one) for one in found})
        spread = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        return f"mean accuracy over {spread} resample{'' if spread == '1' else 's'} of each data set"

    def notes(self) -> list[str]:
        """Lines to stand below a table: protocol, rows behind the ranks, missing cells."""
        lines = [f"{self.protocol()[0].upper()}{self.protocol()[1:]}."]
        complete, total = int(complete_rows(self.scores).sum()), len(self.results.datasets)
        if complete < total:
            lines.append(f"Ranks are over the {complete} of {total} data sets where every classifier has a figure.")
        lines += [
            f"Missing: {cell['classifier']} on {cell['dataset']} ({cell['reason']})" for cell in self.results.missing()
        ]
        return lines

    def as_json(self) -> str:
        """Keys `datasets`, `classifiers`, `accuracy`, `rank`, `missing`; also `protocol` and `win_tie_loss`."""
        results, scores = self.results, self.scores
        wins = zip(results.classifiers, self.against_network(), strict=True)
        tree: dict[str, Any] = {
            "name": results.name,
            "protocol": self.protocol(),
            "datasets": list(results.datasets),
            "classifiers": list(results.classifiers),
            "accuracy": {
                dataset: {
                    classifier: float(value)
                    for classifier, value in zip(results.classifiers, row, strict=True)
                    if not np.isnan(value)
                }
                for dataset, row in zip(results.datasets, scores, strict=True)
            },
            "rank": {
                classifier: None if np.isnan(rank) else float(rank)
                for classifier, rank in zip(results.classifiers, self.ranks, strict=True)
            },
            "win_tie_loss": {classifier: list(counts) for classifier, counts in wins if counts is not None},
            "missing": results.missing(),
        }
        return json.dumps(tree, indent=2)

    def rows(self) -> list[list[str]]:
        """The table as texts: a header, a row for each data set, the ranks, and the wins against the network."""
        results = self.results
        table = [["data set", *results.classifiers]]
        for dataset, row in zip(results.datasets, self.scores, strict=True):
            table.append([dataset, *("" if np.isnan(value) else f"{value:.4f}" for value in row)])
        table.append(["average rank", *("" if np.isnan(rank) else f"{rank:.2f}" for rank in self.ranks)])
        wins = ["" if counts is None else "/".join(map(str, counts)) for counts in self.against_network()]
        if any(wins):
            table.append([f"win/tie/loss against {names.NETWORK}", *wins])
        return table

    def as_csv(self) -> str:
        """The data sets' rows alone, in full precision, empty where there is no figure."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["dataset", *self.results.classifiers])
        for dataset, row in zip(self.results.datasets, self.scores, strict=True):
            writer.writerow([dataset, *("" if np.isnan(value) else repr(float(value)) for value in row)])
        return text.getvalue()

    def as_markdown(self) -> str:
        """A pipe table with its notes."""
        header, *rows = self.rows()
        lines = [_pipes(header), _pipes(["---", *["---:"] * (len(header) - 1)]), *map(_pipes, rows)]
        return "\n".join([*lines, "", *(f"{note}  " for note in self.notes())]) + "\n"

    def as_table(self) -> Table:
        """For a terminal, the best of each data set in bold."""
        header, *rows = self.rows()
        table = Table(title=f"Test accuracy: {escape(self.results.name)}", caption=None)
        table.add_column(header[0])
        for name in header[1:]:
            table.add_column(escape(name), justify="right")
        scores = self.scores
        for number, row in enumerate(rows):
            figures = scores[number] if number < len(scores) else np.full(len(row) - 1, np.nan)
            best = np.fmax.reduce(figures, initial=-np.inf)
            cells = [
                f"[bold]{cell}[/bold]" if figure == best else escape(cell)
                for cell, figure in zip(row[1:], figures, strict=True)
            ]
            table.add_row(escape(row[0]), *cells, end_section=number == len(scores) - 1)
        return table


def leaderboard(results: Results, metric: str) -> Table:
    """The table that ends a search: each classifier's CV score, test scores and fit seconds, by data set."""
    table = Table(title=f"Results: {escape(results.name)}")
    table.add_column("data set", no_wrap=True)
    table.add_column("classifier", no_wrap=True)
    for title in (f"cv {metric}", "test accuracy", "balanced accuracy", "fit seconds"):
        table.add_column(title, justify="right")
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
