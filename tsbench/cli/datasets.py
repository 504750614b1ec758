"""`tsbench datasets`: the catalogue, what is available, and files of one's own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tsbench.cli import completion
from tsbench.cli.app import app, sentences
from tsbench.recipe.registries import FORMATS

if TYPE_CHECKING:
    from rich.console import Console

    from tsbench.data.catalogue import Facts
    from tsbench.data.collection import Collection
    from tsbench.data.download import Progress
    from tsbench.data.inspection import Inspection

datasets = typer.Typer(help="The archives' data sets, and your own.", rich_markup_mode=None)
app.add_typer(datasets, name="datasets")

ArchiveFolder = Annotated[
    Path | None,
    typer.Option("--archive", metavar="FOLDER", help="A folder to look into first, besides TSBENCH_ARCHIVE."),
]
Plot = Annotated[
    Path | None, typer.Option("--plot", metavar="FILE", help="Write a picture, such as classes.png or classes.pdf.")
]


class Format(StrEnum):
    """How a list is printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    NAMES = "names"


@datasets.callback(invoke_without_command=True)
@sentences
def _main(context: typer.Context, archive: ArchiveFolder = None) -> None:
    """The archives' data sets, and your own; without a command, what is available."""
    if context.invoked_subcommand is None:
        _print_at_hand(archive)


def _print_at_hand(archive: Path | None) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from tsbench.data.archive import Archive
    from tsbench.errors import DataError

    found = Archive(archive)
    table = Table(padding=(0, 1), box=box.SIMPLE_HEAD)
    table.add_column("data set", overflow="fold")
    for title in ("train", "test", "channels", "length", "classes"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("remarks")
    folders: dict[Path, int] = {}
    for name, folder in found.names().items():
        try:
            about = found.describe(name)
        except DataError as error:
            table.add_row(name, *[""] * 5, escape(str(error)), style="dim")
            continue
        if about is None:
            continue
        folders[folder.parent] = folders.get(folder.parent, 0) + 1
        table.add_row(
            name,
            str(about.train),
            str(about.test),
            str(about.channels),
            about.lengths,
            str(about.classes),
            about.remarks,
        )
    console = Console()
    console.print(table)
    for folder, count in folders.items():
        console.print(f"{count} in {folder}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"Others are downloaded into {found.home} when a recipe names them.", highlight=False, soft_wrap=True)


@datasets.command("list")
@sentences
def list_(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME or COLLECTION]...",
            help="Names, patterns (Gun*) or ucr, ucr-112, uea-26, ...",
            autocompletion=completion.data_sets,
        ),
    ] = None,
    univariate: Annotated[bool | None, typer.Option("--univariate/--multivariate", help="One channel or more.")] = None,
    equal_length: Annotated[bool | None, typer.Option("--equal-length/--unequal-length")] = None,
    missing_values: Annotated[bool | None, typer.Option("--missing-values/--no-missing-values")] = None,
    max_cases: Annotated[int | None, typer.Option(min=1, help="Training cases at most.")] = None,
    min_cases: Annotated[int | None, typer.Option(min=1, help="Training cases at least.")] = None,
    max_length: Annotated[int | None, typer.Option(min=1, help="Time steps at most.")] = None,
    min_length: Annotated[int | None, typer.Option(min=1, help="Time steps at least.")] = None,
    max_channels: Annotated[int | None, typer.Option(min=1, help="Channels at most.")] = None,
    max_classes: Annotated[int | None, typer.Option(min=1, help="Classes at most.")] = None,
    domain: Annotated[list[str] | None, typer.Option(help="Kind of data, such as ECG; may be given again.")] = None,
    at_hand: Annotated[bool, typer.Option("--at-hand", help="Only what needs no download.")] = False,
    format_: Annotated[Format, typer.Option("--format", help="How the list is printed.")] = Format.TABLE,
    archive: ArchiveFolder = None,
) -> None:
    """List the catalogue's data sets, all or filtered. It holds the UCR and UEA archives."""
    from tsbench.data.archive import Archive
    from tsbench.data.catalogue import catalogue, kept
    from tsbench.data.selection import expand
    from tsbench.recipe.schema import SelectionConfig

    place = Archive(archive)
    filters = SelectionConfig(
        collection="*",
        univariate=univariate,
        equal_length=equal_length,
        missing_values=missing_values,
        max_cases=max_cases,
        min_cases=min_cases,
        max_length=max_length,
        min_length=min_length,
        max_channels=max_channels,
        max_classes=max_classes,
        domains=tuple(domain or ()),
    )
    here = place.names()
    wanted = expand(names, lambda: place) if names else list(catalogue())
    _refuse_unknown(wanted)
    facts = [catalogue()[name] for name in kept(wanted, filters) if name in here or not at_hand]
    _print_facts(facts, set(here), format_)


def _refuse_unknown(names: Sequence[str]) -> None:
    """Names that the catalogue does not hold; a set that is available all the same is listed by `tsbench datasets`."""
    from tsbench.data.catalogue import catalogue
    from tsbench.errors import DataError
    from tsbench.recipe.messages import suggestion

    for name in names:
        if name not in catalogue():
            raise DataError(f"the catalogue holds no data set {name!r}{suggestion(name, catalogue())}")


def _print_facts(facts: Sequence[Facts], here: set[str], how: Format) -> None:
    import csv
    import json
    import sys
    from dataclasses import asdict

    from tsbench.spreadsheet import as_cell

    if how is Format.NAMES:
        typer.echo("\n".join(dataset.name for dataset in facts))
    elif how is Format.JSON:
        typer.echo(json.dumps([{**asdict(dataset), "at_hand": dataset.name in here} for dataset in facts], indent=2))
    elif how is Format.CSV:
        rows = [{**asdict(dataset), "at_hand": dataset.name in here} for dataset in facts]
        writer = csv.DictWriter(sys.stdout, list(rows[0]) if rows else ["name"], lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: as_cell(value) for key, value in row.items()} for row in rows)
    else:
        _print_table(facts, here)


def _print_table(facts: Sequence[Facts], here: set[str]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(padding=(0, 1), box=box.SIMPLE_HEAD)
    table.add_column("data set", no_wrap=True)
    for title in ("train", "test", "channels", "length", "classes"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("domain", no_wrap=True)
    table.add_column("remarks", no_wrap=True)
    for dataset in facts:
        remarks = ["missing values"] * dataset.missing_values + ["available"] * (dataset.name in here)
        sizes = (dataset.train, dataset.test, dataset.channels, dataset.lengths, dataset.classes)
        table.add_row(dataset.name, *map(str, sizes), dataset.domain, ", ".join(remarks))
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)  # in a file or pipe there is no width to keep to
    console.print(table)
    count = sum(dataset.name in here for dataset in facts)
    console.print(f"{len(facts)} data sets, {count} available.", highlight=False)


@datasets.command()
@sentences
def info(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A data set.", show_default=False, autocompletion=completion.data_sets)
    ],
    plot: Plot = None,
    archive: ArchiveFolder = None,
) -> None:
    """Show what is known of a data set. If its files are available, each class is drawn."""
    from rich.console import Console

    from tsbench.data.archive import Archive
    from tsbench.data.catalogue import catalogue
    from tsbench.errors import DataError
    from tsbench.recipe.messages import suggestion

    place, facts, console = Archive(archive), catalogue().get(name), Console()
    folder = place.locate(name)
    if facts is None and folder is None:
        known = {*catalogue(), *place.names()}
        raise DataError(f"data set {name!r} is neither in the catalogue nor available{suggestion(name, known)}")
    if facts is not None:
        _print_catalogue_facts(console, facts)
    if folder is None:
        console.print(f"not available; `tsbench datasets download {name}` fetches it", highlight=False, soft_wrap=True)
        if plot is not None:
            raise DataError(f"there is no picture without the cases: {name} is not available")
        return
    loaded = place.load(name)
    console.print(f"available in {folder}", highlight=False, markup=False, soft_wrap=True)
    for file, digest in loaded.files.items():
        console.print(f"  {file}  SHA-256 {digest}", highlight=False, markup=False, soft_wrap=True)
    _print_classes(console, loaded.train, loaded.test)
    if plot is not None:
        from tsbench.data.dataset_plots import draw_classes

        with _written(plot):
            draw_classes(loaded.train, name, plot)


def _print_catalogue_facts(console: Console, facts: Facts) -> None:
    from tsbench.data.catalogue import archives

    source = archives()[facts.archive]
    missing = ", missing values" if facts.missing_values else ""
    lines = [
        f"{facts.name}, of the {source.title}",
        f"  {facts.train} training and {facts.test} test cases, {facts.classes} classes, domain {facts.domain}",
        f"  {facts.channels} channel{'s' if facts.channels > 1 else ''}, {facts.lengths} time steps{missing}",
    ]
    if facts.ed_error is not None:
        lines.append(f"  1NN with the Euclidean distance: accuracy {1 - facts.ed_error:.4f}, says the archive")
    if facts.donor:
        lines.append(f"  data donor or editor: {facts.donor}")
    lines.append(f"  cite: {source.citation}")
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _print_classes(console: Console, train: Collection, test: Collection) -> None:
    from rich import box
    from rich.table import Table

    from tsbench.data.dataset_plots import mean_of_class, sparkline

    table = Table(padding=(0, 1), box=box.SIMPLE_HEAD)
    table.add_column("class", overflow="fold")
    table.add_column("train", justify="right")
    table.add_column("test", justify="right")
    table.add_column(
        "mean of the training cases" + (f", {train.channel_name(0)}" if train.channels > 1 else ""), no_wrap=True
    )
    for label in map(str, train.classes):
        counts = [str(int((cases.labels == label).sum())) for cases in (train, test)]
        table.add_row(label, *counts, sparkline(mean_of_class(train, label)))
    console.print(table)


@datasets.command()
@sentences
def download(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME or COLLECTION...", help="Names, patterns, ucr, uea, ...", autocompletion=completion.data_sets
        ),
    ],
    archive: ArchiveFolder = None,
) -> None:
    """Download data sets into the archive. Those that are already there are skipped."""
    from rich.console import Console

    from tsbench.data.archive import Archive
    from tsbench.data.selection import expand
    from tsbench.errors import DataError

    console = Console()
    with _download_progress(console) as (progress, say):
        place = Archive(archive, progress=progress)
        wanted = expand(names, lambda: place)
        absent = [name for name in wanted if place.locate(name) is None]
        failed: list[str] = []
        for number, name in enumerate(absent, 1):
            say(f"{name} ({number} of {len(absent)})")
            try:
                place.obtain(name)
                place.load(name)
            except DataError as error:
                failed.append(str(error))
                typer.echo(str(error), err=True)
    at_hand = len(wanted) - len(absent)
    console.print(
        f"{len(absent) - len(failed)} downloaded into {place.home}, {at_hand} available before, {len(failed)} failed.",
        highlight=False,
        soft_wrap=True,
    )
    if failed:
        raise typer.Exit(1)


@contextmanager
def _download_progress(console: Console) -> Iterator[tuple[Progress, Any]]:
    """What to call with bytes, and with the name of the next set: a line that moves on a terminal, else plain ones."""
    if not console.is_terminal:
        yield (lambda name, count: None), (lambda text: typer.echo(f"downloading {text}"))
        return
    with console.status("") as status:
        yield (
            lambda name, count: status.update(f"downloading {name}: {count / 1e6:.1f} MB"),
            lambda text: status.update(f"downloading {text}"),
        )


@datasets.command()
@sentences
def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...", help="By default all that are available.", autocompletion=completion.data_sets
        ),
    ] = None,
    accept: Annotated[bool, typer.Option("--accept", help="Record files that have changed as they are now.")] = False,
    archive: ArchiveFolder = None,
) -> None:
    """Verify the files of data sets. Compares them with their recorded SHA-256 and with the catalogue."""
    from tsbench.data.archive import Archive
    from tsbench.data.selection import expand
    from tsbench.data.verification import verify as verify_set
    from tsbench.errors import DataError

    place = Archive(archive)
    wanted = expand(names, lambda: place) if names else list(place.names())
    for name in wanted:
        if place.locate(name) is None:  # before anything is recorded
            raise DataError(f"data set {name!r} is not available; `tsbench datasets download {name}` fetches it")
    broken = recorded = 0
    for name in wanted:
        verdict = verify_set(place, name, accept)
        recorded += len(verdict.news)
        broken += bool(verdict.problems)
        for problem in verdict.problems:
            typer.echo(problem, err=True)
    read = "1 data set" if len(wanted) == 1 else f"{len(wanted)} data sets"
    files = "1 file" if recorded == 1 else f"{recorded} files"
    typer.echo(f"{read} read, {broken} with problems; {files} recorded as they are now")
    if broken:
        raise typer.Exit(1)


@datasets.command()
@sentences
def check(
    file: Annotated[
        str, typer.Argument(metavar="FILE or NAME", help="The training cases, all cases, or an available data set.")
    ],
    test: Annotated[Path | None, typer.Argument(metavar="[TEST FILE]", help="The test cases.")] = None,
    format_: Annotated[str, typer.Option("--format", help=f"auto, {', '.join(FORMATS)}.")] = "auto",
    case: Annotated[str, typer.Option(help="long: column that tells the cases apart.")] = "case",
    time: Annotated[str | None, typer.Option(help="long: column that orders a case's rows.")] = None,
    label: Annotated[str, typer.Option(help="long: column of the class.")] = "label",
    group: Annotated[str | None, typer.Option(help="Column of groups that must not be parted.")] = None,
    channels: Annotated[list[str] | None, typer.Option(help="long: column of values; may be given again.")] = None,
    plot: Plot = None,
    archive: ArchiveFolder = None,
) -> None:
    """Check a file of your own. Reports missing values, duplicates, leakage and other problems."""
    from rich.console import Console

    from tsbench.data.archive import Archive
    from tsbench.data.custom_data import read_own
    from tsbench.data.dataset_plots import draw_inspection
    from tsbench.data.inspection import inspect
    from tsbench.data.remarks import remarks_on_channels, remarks_on_labels

    place, path = Archive(archive), Path(file)
    parts: dict[str, Collection]
    remarks: list[str] = []
    if test is None and not path.exists() and not path.suffix and place.locate(file) is not None:
        loaded = place.load(file)
        parts = {"train": loaded.train, "test": loaded.test}
        remarks += loaded.remarks
    else:
        config = _own_config(
            path, test, format=format_, case=case, time=time, label=label, group=group, channels=channels
        )
        files = {"all": path} if test is None else {"train": path, "test": test}
        parts, known = {}, None
        for name, part in files.items():
            read, _ = read_own(part, config, known)
            parts[name], known = read.collection, known or read.collection.columns
            remarks += read.remarks
    first = next(iter(parts.values()))
    labels = [label for cases in parts.values() for label in cases.classes]
    remarks += remarks_on_labels(labels)
    console = Console()
    for remark in remarks_on_channels(first):
        console.print(remark, highlight=False, markup=False, soft_wrap=True)
    _print_inspection(console, inspect(parts), list(dict.fromkeys(remarks)))
    if plot is not None:
        with _written(plot):
            draw_inspection(parts, Path(file).name, plot)


def _own_config(path: Path, test: Path | None, **options: Any) -> Any:
    from pydantic import ValidationError

    from tsbench.errors import DataError
    from tsbench.recipe.messages import sentence
    from tsbench.recipe.schema import OwnDataConfig

    files = {"file": str(path)} if test is None else {"train": str(path), "test": str(test)}
    try:
        return OwnDataConfig.model_validate({"name": "own", **files, **options})
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][-1])
        place = {"file": "FILE", "train": "FILE", "test": "TEST FILE"}.get(key, f"--{key}")
        raise DataError(f"{place}: {sentence(first)}") from None


def _print_inspection(console: Console, found: Inspection, remarks: list[str]) -> None:
    from rich import box
    from rich.table import Table

    table = Table(padding=(0, 1), box=box.SIMPLE_HEAD)
    table.add_column("")
    for name in found.parts:
        table.add_column(name, justify="right")
    facts = found.parts.values()
    rows: dict[str, list[str]] = {
        "cases": [str(part.cases) for part in facts],
        "channels": [str(part.channels) for part in facts],
        "lengths": [_range(part.shortest, part.longest) for part in facts],
        "classes": [str(len(part.classes)) for part in facts],
        "cases of a class": [_range(min(part.classes.values()), max(part.classes.values())) for part in facts],
        "missing values": [f"{part.missing} ({part.missing_share:.2%})" for part in facts],
        "constant channels": [str(len(part.constant_channels)) for part in facts],
        "constant cases": [str(part.constant_cases) for part in facts],
        "duplicate cases": [str(part.duplicates) for part in facts],
    }
    if any(part.groups is not None for part in facts):
        rows["groups"] = ["" if part.groups is None else str(part.groups) for part in facts]
    for what, values in rows.items():
        table.add_row(what, *values)
    labels = list(dict.fromkeys(label for part in facts for label in part.classes))
    for label in labels[:MAX_CLASSES]:
        table.add_row(f"  class {label}", *(str(part.classes.get(label, 0)) for part in facts))
    if len(labels) > MAX_CLASSES:
        table.add_row(f"  and {len(labels) - MAX_CLASSES} more")
    console.print(table)
    for sentence in [*remarks, *found.findings]:
        console.print(f"- {sentence}", highlight=False, markup=False, soft_wrap=True)
    if not (remarks or found.findings):
        console.print("No problems found.", highlight=False)


MAX_CLASSES = 20  # that the table of `check` lists


def _range(low: int, high: int) -> str:
    return str(low) if low == high else f"{low} to {high}"


@contextmanager
def _written(path: Path) -> Iterator[None]:
    """Says in one sentence why a picture cannot be written."""
    from tsbench.errors import DataError

    try:
        yield
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}") from None
    except ValueError as error:
        raise DataError(f"{path}: {error}") from None
    typer.echo(f"wrote {path}")
