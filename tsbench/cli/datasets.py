"""`tsbench datasets`: the catalogue, the available data sets, and the user's own files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tsbench.cli import completion
from tsbench.cli.app import app, sentences
from tsbench.cli.options import Json
from tsbench.cli.output import print_json
from tsbench.recipe.registries import FORMATS

if TYPE_CHECKING:
    from rich.console import Console

    from tsbench.data.catalogue import Facts
    from tsbench.data.collection import Collection, DataSet
    from tsbench.data.download import Progress

datasets = typer.Typer(help="List, describe, download and check data sets.", rich_markup_mode=None)
app.add_typer(datasets, name="datasets")

ArchiveFolder = Annotated[
    Path | None,
    typer.Option("--archive", metavar="FOLDER", help="A folder to search first, before TSBENCH_ARCHIVE."),
]
Plot = Annotated[
    Path | None, typer.Option("--plot", metavar="FILE", help="Write a plot, such as classes.png or classes.pdf.")
]


class Format(StrEnum):
    """Output formats of a list."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    NAMES = "names"


@datasets.callback(invoke_without_command=True)
@sentences
def _main(context: typer.Context, archive: ArchiveFolder = None, as_json: Json = False) -> None:
    """List, describe, download and check data sets; without a command, list the available ones."""
    if context.invoked_subcommand is None:
        from tsbench.cli.dataset_tables import print_available

        print_available(archive, as_json)


@datasets.command("list")
@sentences
def list_(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME or COLLECTION",
            help="Names, patterns (Gun*) or ucr, ucr-112, uea-26, ...",
            autocompletion=completion.data_sets,
        ),
    ] = None,
    univariate: Annotated[
        bool | None, typer.Option("--univariate/--multivariate", help="Univariate or multivariate sets only.")
    ] = None,
    equal_length: Annotated[
        bool | None,
        typer.Option("--equal-length/--unequal-length", help="Sets of cases of one length or of several lengths only."),
    ] = None,
    missing_values: Annotated[
        bool | None,
        typer.Option("--missing-values/--no-missing-values", help="Sets with or without missing values only."),
    ] = None,
    max_cases: Annotated[int | None, typer.Option(min=1, help="At most this many training cases.")] = None,
    min_cases: Annotated[int | None, typer.Option(min=1, help="At least this many training cases.")] = None,
    max_length: Annotated[int | None, typer.Option(min=1, help="At most this many time steps.")] = None,
    min_length: Annotated[int | None, typer.Option(min=1, help="At least this many time steps.")] = None,
    max_channels: Annotated[int | None, typer.Option(min=1, help="At most this many channels.")] = None,
    max_classes: Annotated[int | None, typer.Option(min=1, help="At most this many classes.")] = None,
    domain: Annotated[list[str] | None, typer.Option(help="Kind of data, such as ECG. Repeatable.")] = None,
    available: Annotated[bool, typer.Option("--available", help="Only sets that need no download.")] = False,
    format_: Annotated[Format, typer.Option("--format", help="Output format.")] = Format.TABLE,
    as_json: Json = False,
    archive: ArchiveFolder = None,
) -> None:
    """List the catalogue's data sets, all or filtered. It holds the UCR and UEA archives, and names of others."""
    from tsbench.cli.dataset_tables import print_facts
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
    facts = [catalogue()[name] for name in kept(wanted, filters) if name in here or not available]
    listed = [name for name in wanted if name not in catalogue() and (name in here or not available)]
    filtered = filters != SelectionConfig(collection="*")
    print_facts(facts, set(here), "json" if as_json else format_.value, () if filtered else listed)
    if filtered and listed:
        typer.echo(f"Left out, because their sizes are not in the catalogue: {', '.join(listed)}.", err=True)


@datasets.command()
@sentences
def collections(as_json: Json = False) -> None:
    """List the collections that a recipe may name. Sizes are those of the data sets that the catalogue knows."""
    from tsbench.cli.dataset_tables import print_collections

    print_collections(as_json)


def _refuse_unknown(names: Sequence[str]) -> None:
    """Refuses names that the catalogue does not hold; `tsbench datasets` lists available sets that it lacks."""
    from tsbench.data.catalogue import catalogue, collections_with
    from tsbench.errors import DataError
    from tsbench.recipe.messages import suggestion

    for name in names:
        if name not in catalogue() and not collections_with(name):
            raise DataError(f"the catalogue holds no data set {name!r}{suggestion(name, catalogue())}")


@datasets.command()
@sentences
def info(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A data set.", show_default=False, autocompletion=completion.data_sets)
    ],
    plot: Plot = None,
    archive: ArchiveFolder = None,
    as_json: Json = False,
) -> None:
    """Show the facts about a data set. If its files are available, each class is drawn."""
    from tsbench.cli.dataset_tables import print_catalogue_facts, print_classes, say
    from tsbench.data.archive import Archive
    from tsbench.data.catalogue import catalogue, collections_with
    from tsbench.errors import DataError
    from tsbench.recipe.messages import suggestion

    place, facts = Archive(archive), catalogue().get(name)
    folder, lists = place.locate(name), collections_with(name)
    if facts is None and folder is None and not lists:
        known = {*catalogue(), *place.names()}
        raise DataError(f"data set {name!r} is neither in the catalogue nor available{suggestion(name, known)}")
    if as_json:
        print_json(_described(name, facts, None if folder is None else place.load(name)))
    elif facts is not None:
        print_catalogue_facts(facts)
    elif lists:
        say(f"{name}, of {', '.join(lists)}; its sizes are not in the catalogue")
    if folder is None:
        if not as_json:
            say(f"not available; `tsbench datasets download {name}` fetches it")
        if plot is not None:
            raise DataError(f"no plot can be drawn without the cases: {name} is not available")
        return
    loaded = place.load(name)
    if not as_json:
        say(f"available in {folder}")
        for file, digest in loaded.files.items():
            say(f"  {file}  SHA-256 {digest}")
        print_classes(loaded.train, loaded.test)
    if plot is not None:
        from tsbench.data.dataset_plots import draw_classes

        with _written(plot):
            draw_classes(loaded.train, name, plot)


def _described(name: str, facts: Facts | None, loaded: DataSet | None) -> dict[str, Any]:
    """The facts about a data set, as plain data; counts of classes for each part if it is available."""
    from collections import Counter
    from dataclasses import asdict

    tree: dict[str, Any] = {"name": name, "catalogue": None if facts is None else asdict(facts)}
    tree["available"] = loaded is not None
    if loaded is not None:
        parts = {"train": loaded.train, "test": loaded.test}
        classes = {part: dict(sorted(Counter(map(str, cases.labels)).items())) for part, cases in parts.items()}
        tree |= {"folder": loaded.source, "sha256": loaded.files, "classes": classes, "remarks": loaded.remarks}
    return tree


@datasets.command()
@sentences
def download(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME or COLLECTION", help="Names, patterns, ucr, uea, ...", autocompletion=completion.data_sets
        ),
    ],
    archive: ArchiveFolder = None,
) -> None:
    """Download data sets into the archive. Available ones are skipped."""
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
    before = len(wanted) - len(absent)
    console.print(
        f"{len(absent) - len(failed)} downloaded into {place.home}, {before} available before, {len(failed)} failed.",
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
        typer.Argument(metavar="NAME", help="Default: all available data sets.", autocompletion=completion.data_sets),
    ] = None,
    accept: Annotated[
        bool, typer.Option("--accept", help="Accept changed files and record their new checksums.")
    ] = False,
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


FILES = {"file": "FILE", "train": "FILE", "test": "TEST FILE"}
"""The arguments of `check`, by their keys in a recipe; a problem of a file names its path."""


def _called(key: str) -> str:
    """What an error of `check` calls a setting of the data."""
    return FILES.get(key, f"--{key}")


@datasets.command()
@sentences
def check(
    file: Annotated[
        str, typer.Argument(metavar="FILE or NAME", help="The training cases, all cases, or an available data set.")
    ],
    test: Annotated[Path | None, typer.Argument(metavar="TEST FILE", help="The test cases.")] = None,
    format_: Annotated[str, typer.Option("--format", help=f"auto, {', '.join(FORMATS)}.")] = "auto",
    case: Annotated[str, typer.Option(help="A table's column of cases.")] = "case",
    time: Annotated[str | None, typer.Option(help="A table's column of times; default: rows in order.")] = None,
    label: Annotated[str, typer.Option(help="A table's column of labels.")] = "label",
    group: Annotated[str | None, typer.Option(help="A table's column of groups that are never split.")] = None,
    channels: Annotated[
        list[str] | None,
        typer.Option(help="A table's column of values, which is a channel; default: all others. Repeatable."),
    ] = None,
    plot: Plot = None,
    archive: ArchiveFolder = None,
    as_json: Json = False,
) -> None:
    """Check a file of your own, or a data set. Reports missing values, duplicates, leakage and other problems."""
    from tsbench.cli.dataset_tables import print_inspection, say
    from tsbench.data.archive import Archive
    from tsbench.data.custom_data import own_data, read_own
    from tsbench.data.dataset_plots import draw_inspection
    from tsbench.data.inspection import inspect
    from tsbench.data.remarks import remarks_on_channels, remarks_on_labels
    from tsbench.data.selection import problems_of_own
    from tsbench.errors import RecipeError

    place, path = Archive(archive), Path(file)
    parts: dict[str, Collection]
    remarks: list[str] = []
    if test is None and not path.exists() and not path.suffix and place.locate(file) is not None:
        loaded = place.load(file)
        parts = {"train": loaded.train, "test": loaded.test}
        remarks += loaded.remarks
    else:
        options = {"format": format_, "case": case, "time": time, "label": label, "group": group, "channels": channels}
        config = own_data(path, test, options, _called)
        problems = [
            problem if keys[0] in FILES else f"{_called(str(keys[0]))}: {problem}"
            for keys, problem in problems_of_own(config)
        ]
        if problems:
            raise RecipeError(problems)
        files = {"all": path} if test is None else {"train": path, "test": test}
        parts, known = {}, None
        for name, part in files.items():
            read, _ = read_own(part, config, known)
            parts[name], known = read.collection, known or read.collection.columns
            remarks += read.remarks
    first = next(iter(parts.values()))
    labels = [label for cases in parts.values() for label in cases.classes]
    remarks += remarks_on_labels(labels)
    remarks = list(dict.fromkeys(remarks))
    if as_json:
        from dataclasses import asdict

        print_json(asdict(inspect(parts)) | {"remarks": [*remarks_on_channels(first), *remarks]})
    else:
        for remark in remarks_on_channels(first):
            say(remark)
        print_inspection(inspect(parts), remarks)
    if plot is not None:
        with _written(plot):
            draw_inspection(parts, Path(file).name, plot)


@contextmanager
def _written(path: Path) -> Iterator[None]:
    """Reports in one sentence why a plot cannot be written."""
    from tsbench.errors import DataError

    try:
        yield
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}") from None
    except ValueError as error:
        raise DataError(f"{path}: {error}") from None
    typer.echo(f"Wrote {path}.")
