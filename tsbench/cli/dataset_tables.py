"""Prints data sets for `tsbench datasets`."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tsbench.cli.output import print_json
from tsbench.data.archive import Archive
from tsbench.data.catalogue import Facts, archives, describe_collection
from tsbench.errors import DataError
from tsbench.recipe.registries import COLLECTIONS
from tsbench.spreadsheet import as_cell

if TYPE_CHECKING:
    from tsbench.data.collection import Collection
    from tsbench.data.inspection import Inspection

__all__ = [
    "print_available",
    "print_catalogue_facts",
    "print_classes",
    "print_collections",
    "print_facts",
    "print_inspection",
    "say",
]

MAX_CLASSES = 20  # classes in the table of `check`


def say(text: str) -> None:
    """Prints a text without wrapping or markup."""
    Console().print(text, highlight=False, markup=False, soft_wrap=True)


def _table(*columns: str) -> Table:
    """A table with right-aligned columns, except the first and those of text."""
    table = Table(padding=(0, 1), box=box.SIMPLE_HEAD)
    for number, title in enumerate(columns):
        if title in ("domain", "remarks") or number == 0:
            table.add_column(title, overflow="fold")
        else:
            table.add_column(title, justify="right", no_wrap=True)
    return table


def _facts_table(*further: str) -> Table:
    return _table("data set", "train", "test", "channels", "length", "classes", *further)


def print_available(folder: Path | None, as_json: bool = False) -> None:
    """The data sets that need no download.

    Args:
        folder: to look into first.
        as_json: print a list of their sizes or errors instead of a table.
    """
    found = Archive(folder)
    if as_json:
        print_json([_row(found, name, place) for name, place in found.names().items()])
        return
    table = _facts_table("remarks")
    folders: dict[Path, int] = {}
    for name, place in found.names().items():
        try:
            about = found.describe(name)
        except DataError as error:
            table.add_row(name, *[""] * 5, escape(str(error)), style="dim")
            continue
        if about is not None:
            folders[place.parent] = folders.get(place.parent, 0) + 1
            sizes = (about.train, about.test, about.channels, about.lengths, about.classes)
            table.add_row(name, *map(str, sizes), about.remarks)
    Console().print(table)
    for place, count in folders.items():
        say(f"{count} in {place}")
    say(f"Other data sets are downloaded into {found.home} when a recipe names them.")


def print_collections(as_json: bool = False) -> None:
    """Every collection with the number of its data sets and, as far as they are known, their sizes."""
    facts = [describe_collection(name) for name in COLLECTIONS]
    if as_json:
        print_json([asdict(about) for about in facts])
        return
    table = _table("collection", "data sets", "sizes known of", "training cases", "length")
    for about in facts:
        ranges = ("not known" if pair is None else f"{pair[0]} to {pair[1]}" for pair in (about.train, about.lengths))
        known = "all" if about.known == about.datasets else str(about.known or "none")
        table.add_row(about.name, str(about.datasets), known, *ranges)
    Console().print(table)


def _row(archive: Archive, name: str, folder: Path) -> dict[str, Any]:
    try:
        about = archive.describe(name)
    except DataError as error:
        return {"name": name, "folder": folder, "problem": str(error)}
    return {"name": name, "folder": folder, **({} if about is None else asdict(about))}


def print_facts(facts: Sequence[Facts], available: set[str], how: str, listed: Sequence[str] = ()) -> None:
    """The catalogue's entries as `names`, `json`, `csv` or `table`, and after them names without any facts."""
    rows = [{**asdict(dataset), "available": dataset.name in available} for dataset in facts]
    unknown = dict.fromkeys(field.name for field in fields(Facts))
    rows += [{**unknown, "name": name, "available": name in available} for name in listed]
    if how == "names":
        typer.echo("\n".join([*(dataset.name for dataset in facts), *listed]))
    elif how == "json":
        typer.echo(json.dumps(rows, indent=2))
    elif how == "csv":
        writer = csv.DictWriter(sys.stdout, list(rows[0]) if rows else ["name"], lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: as_cell(value) for key, value in row.items()} for row in rows)
    else:
        _print_table(facts, available)
        if listed:
            say(f"Sizes not in the catalogue ({len(listed)}): {', '.join(listed)}.")


def _print_table(facts: Sequence[Facts], available: set[str]) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)  # a file or pipe has no width limit
    further = ["remarks", "domain"]
    while True:
        table = _facts_table(*reversed(further))
        table.pad_edge, table.collapse_padding = False, True  # so that 80 columns hold the longest names and sizes
        for column in table.columns:
            column.no_wrap = True
        for dataset in facts:
            remarks = ["missing values"] * dataset.missing_values + ["available"] * (dataset.name in available)
            sizes = (dataset.train, dataset.test, dataset.channels, dataset.lengths, dataset.classes)
            texts = {"domain": dataset.domain, "remarks": ", ".join(remarks)}
            table.add_row(dataset.name, *map(str, sizes), *(texts[title] for title in reversed(further)))
        width = console.measure(table, options=console.options.update(max_width=500)).maximum
        if width <= console.width or not further:
            break
        further.pop()
    console.print(table)
    if left_out := [title for title in ("domain", "remarks") if title not in further]:
        say(f"Left out at this width: {', '.join(left_out)}. A wider terminal or --format csv has them.")
    say(f"{len(facts)} data sets, {sum(dataset.name in available for dataset in facts)} available.")


def print_catalogue_facts(facts: Facts) -> None:
    """Prints the catalogue's entry for a data set."""
    source = archives()[facts.archive]
    missing = ", missing values" if facts.missing_values else ""
    say(f"{facts.name}, of the {source.title}")
    say(f"  {facts.train} training and {facts.test} test cases, {facts.classes} classes, domain {facts.domain}")
    say(f"  {facts.channels} channel{'s' if facts.channels > 1 else ''}, {facts.lengths} time steps{missing}")
    if facts.ed_error is not None:
        say(f"  1NN with the Euclidean distance: accuracy {1 - facts.ed_error:.4f}, according to the archive")
    if facts.donor:
        say(f"  data donor or editor: {facts.donor}")
    say(f"  cite: {source.citation}")


def print_classes(train: Collection, test: Collection) -> None:
    """Prints each class with its number of cases and the mean of its training cases."""
    from tsbench.data.dataset_plots import mean_of_class, sparkline

    table = _table("class", "train", "test")
    channel = f", {train.channel_name(0)}" if train.channels > 1 else ""
    table.add_column(f"mean of the training cases{channel}", no_wrap=True)
    for label in map(str, train.classes):
        counts = [str(int((cases.labels == label).sum())) for cases in (train, test)]
        table.add_row(label, *counts, sparkline(mean_of_class(train, label)))
    Console().print(table)


def print_inspection(found: Inspection, remarks: list[str]) -> None:
    """Prints what an inspection found in files of cases."""
    table = _table("", *found.parts)
    parts = found.parts.values()
    rows: dict[str, list[str]] = {
        "cases": [str(part.cases) for part in parts],
        "channels": [str(part.channels) for part in parts],
        "lengths": [_range(part.shortest, part.longest) for part in parts],
        "classes": [str(len(part.classes)) for part in parts],
        "cases of a class": [_range(min(part.classes.values()), max(part.classes.values())) for part in parts],
        "missing values": [f"{part.missing} ({part.missing_share:.2%})" for part in parts],
        "constant channels": [str(len(part.constant_channels)) for part in parts],
        "constant cases": [str(part.constant_cases) for part in parts],
        "duplicate cases": [str(part.duplicates) for part in parts],
    }
    if any(part.groups is not None for part in parts):
        rows["groups"] = ["" if part.groups is None else str(part.groups) for part in parts]
    for what, values in rows.items():
        table.add_row(what, *values)
    labels = list(dict.fromkeys(label for part in parts for label in part.classes))
    for label in labels[:MAX_CLASSES]:
        table.add_row(f"  class {label}", *(str(part.classes.get(label, 0)) for part in parts))
    if len(labels) > MAX_CLASSES:
        table.add_row(f"  and {len(labels) - MAX_CLASSES} more")
    Console().print(table)
    for sentence in [*remarks, *found.findings]:
        say(f"- {sentence}")
    if not (remarks or found.findings):
        say("No problems found.")


def _range(low: int, high: int) -> str:
    return str(low) if low == high else f"{low} to {high}"
