"""Resolves the entries under `datasets` of a recipe to names of data sets, and finds their problems."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from tsbench.data.catalogue import catalogue, collection, collections_with, kept
from tsbench.data.folders import Places, expanded, is_writable, nearest_folder
from tsbench.errors import DataError
from tsbench.recipe.messages import suggestion
from tsbench.recipe.registries import COLLECTIONS, FORMATS
from tsbench.recipe.schema import OwnDataConfig, Recipe, SelectionConfig

if TYPE_CHECKING:  # it reads cases, which `tsbench validate` does not need
    from tsbench.data.archive import Archive
    from tsbench.data.download import Progress

__all__ = ["absent_from", "archive_of", "expand", "names_of", "problems_of"]

Entry = str | SelectionConfig | OwnDataConfig
Problem = tuple[tuple[str | int, ...], str]
"""The path of a key in the recipe, and its problem."""

MAX_COLUMNS = 20  # named in a sentence


def archive_of(recipe: Recipe, progress: Progress | None = None) -> Archive:
    """The archive of a recipe, with its own data."""
    from tsbench.data.archive import Archive

    return Archive(
        recipe.archive, [dataset for dataset in recipe.datasets if isinstance(dataset, OwnDataConfig)], progress
    )


def names_of(recipe: Recipe) -> list[str]:
    """The recipe's data sets, each once, with collections, patterns and filters expanded.

    Raises:
        DataError: a pattern or a filter matches nothing.
    """
    names: dict[str, None] = {}
    for entry in recipe.datasets:
        names |= dict.fromkeys(_names_in(entry, recipe.archive))
    return list(names)


def absent_from(recipe: Recipe) -> list[str]:
    """The recipe's data sets that are in none of the folders, and so will be downloaded.

    Raises:
        DataError: a pattern or a filter matches nothing, or one of a data set's two files is missing.
    """
    own = {entry.name for entry in recipe.datasets if isinstance(entry, OwnDataConfig)}
    places = Places(recipe.archive)
    return [name for name in names_of(recipe) if name not in own and places.locate(name) is None]


def problems_of(entries: Mapping[int, Entry], archive: str | None) -> Iterator[Problem]:
    """Finds problems of a recipe's data sets without reading a case or writing anything.

    A data set of the catalogue that is in none of the folders is fine, as it can be downloaded.

    Args:
        entries: by their place under `datasets`.
        archive: the recipe's own folder of data sets.
    """
    try:
        places = Places(archive)
    except DataError as error:
        yield ("datasets",) if archive is None else ("archive",), str(error)
        return
    spelling: dict[str, str] = {}  # the names so far by their letters in lower case
    # The schema compared explicit names with each other, but not with a collection's.
    spelt_out = {entry.name if isinstance(entry, OwnDataConfig) else str(entry) for entry in entries.values()}
    absent = False
    for number, entry in entries.items():
        path = ("datasets", number)
        try:
            names = _names_in(entry, archive)
        except DataError as error:
            yield path, str(error)
            continue
        alike = [(spelling[name.lower()], name) for name in names if spelling.get(name.lower(), name) != name]
        for before, name in [pair for pair in alike if not spelt_out.issuperset(pair)][:1]:
            yield path, f"{before!r} and {name!r} differ only in case, which some file systems treat as the same name"
        spelling |= {name.lower(): name for name in names}
        if isinstance(entry, OwnDataConfig):
            yield from ((path + place, message) for place, message in problems_of_own(entry))
            continue
        for name in names:
            try:
                found = places.locate(name)
            except DataError as error:
                yield path, str(error)
                continue
            absent = absent or found is None
            if found is None and name not in catalogue():
                yield path, _unknown(name, places)
    if absent:
        yield from _problems_of_home(archive, places)


def _problems_of_home(archive: str | None, places: Places) -> Iterator[Problem]:
    """Problems that would prevent downloads."""
    path = ("datasets",) if archive is None else ("archive",)
    folder = nearest_folder(places.home)
    if not folder.is_dir():
        yield path, f"{folder} is a file, not a folder, so that no data set can be downloaded into {places.home}"
    elif not is_writable(folder):
        yield path, f"{folder} cannot be written, so that no data set can be downloaded into {places.home}"


def _unknown(name: str, places: Places) -> str:
    if lists := collections_with(name):
        return (
            f"{name}, of {', '.join(lists)}, is not available, and the downloader may not have it: put "
            f"{name}_TRAIN.ts and {name}_TEST.ts into {places.home / name}, or try `tsbench datasets download {name}`"
        )
    if Path(name).suffix in {suffix for known in FORMATS.values() for suffix in known.suffixes}:
        return (
            f"{name!r} is not the name of a data set; write {{name: {Path(name).stem}, file: {name}}} for a file of "
            "your own, and the columns `case` and `label` of a table"
        )
    hint = suggestion(name, {**catalogue(), **places.names()}) or "."
    return (
        f"no data set in the catalogue or the folders is called {name!r}{hint} If it is right, put "
        f"{name}_TRAIN.ts and {name}_TEST.ts into {places.home / name}, or run `tsbench datasets download {name}`, "
        "which tries the archives' servers"
    )


def problems_of_own(entry: OwnDataConfig) -> Iterator[Problem]:
    """What is wrong with files of one's own and the columns named for them, found without reading the cases."""
    keys = ("file",) if entry.file is not None else ("train", "test")
    for key in keys:
        try:
            path = expanded(getattr(entry, key))
        except DataError as error:
            yield (key,), str(error)
            continue
        if (problem := _problem_of_file(path)) is not None:
            yield (key,), problem
            continue
        from tsbench.data.custom_data import columns_of  # imports NumPy, which recipes without own data do not need

        try:
            columns = columns_of(path, entry)
        except DataError as error:
            yield (key,), str(error)
            continue
        if columns:
            yield from _missing_columns(path, columns, entry)


def _problem_of_file(path: Path) -> str | None:
    try:
        if not path.exists():
            return f"{path}: file not found; paths of own data are relative to the current folder"
        if not path.is_file():
            return f"{path}: is a folder, not a file; paths of own data are relative to the current folder"
        if path.stat().st_size == 0:
            return f"{path}: the file is empty"
    except OSError as error:
        return f"{path}: cannot be read: {error.strerror}"
    return None if os.access(path, os.R_OK) else f"{path}: cannot be read: Permission denied"


def _missing_columns(path: Path, columns: Sequence[str], entry: OwnDataConfig) -> Iterator[Problem]:
    group = ("split", "group") if entry.split.group else ("group",)
    named: dict[tuple[str | int, ...], str | None] = {
        ("case",): entry.case,
        ("label",): entry.label,
        ("time",): entry.time,
        group: entry.grouping,
    }
    named |= {("channels", number): name for number, name in enumerate(entry.channels or ())}
    listed = ", ".join(columns[:MAX_COLUMNS]) + (", ..." if len(columns) > MAX_COLUMNS else "")
    for place, column in named.items():
        if column is not None and column not in columns:
            hint = suggestion(column, columns) or f"; its columns are: {listed}"
            yield place, f"{path} has no column {column!r}{hint}"


def expand(entries: Sequence[str | SelectionConfig], archive: Callable[[], Archive]) -> list[str]:
    """Names, collections, patterns and filters as names of data sets, each once, in their order.

    Args:
        entries: as a recipe has them, without own data.
        archive: returns the archive, whose available names patterns match too.

    Raises:
        DataError: a pattern or a filter matches nothing.
    """
    names: dict[str, None] = {}
    for entry in entries:
        filters = entry if isinstance(entry, SelectionConfig) else None
        found = _named(entry.collection if isinstance(entry, SelectionConfig) else entry, archive)
        if filters is not None and not (found := kept(found, filters)):
            given = ", ".join(f"{key}: {value}" for key, value in filters.model_dump(exclude_defaults=True).items())
            raise DataError(f"no data set of the catalogue passes {{{given}}}")
        names |= dict.fromkeys(found)
    return list(names)


def _names_in(entry: Entry, archive: str | None) -> list[str]:
    """The data sets of one entry.

    Raises:
        DataError: a pattern or a filter matches nothing.
    """
    if isinstance(entry, OwnDataConfig):
        return [entry.name]

    def folders() -> Archive:
        from tsbench.data.archive import Archive

        return Archive(archive)

    return expand([entry], folders)


def _named(name: str, archive: Callable[[], Archive]) -> Iterable[str]:
    if name in COLLECTIONS:
        return collection(name)
    if not set(name) & set("*?"):
        return [name]
    known = sorted({*catalogue(), *archive().names()})
    found = [candidate for candidate in known if fnmatchcase(candidate, name)]
    if not found:
        raise DataError(f"no data set's name matches {name!r}, neither in the catalogue nor available")
    return found
