"""Data of one's own, by path: a train and a test file, or one file that is split."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from functools import partial
from pathlib import Path

from tsbench.data.cache import Cache, user_cache
from tsbench.data.checks import check_finite, check_set
from tsbench.data.collection import DataSet
from tsbench.data.formats import READERS, CaseFile, LongColumns, format_of, read_long
from tsbench.data.splitting import split_cases
from tsbench.errors import DataError
from tsbench.recipe.schema import OwnDataConfig

__all__ = ["columns_of", "load_own", "read_own"]


def load_own(config: OwnDataConfig) -> DataSet:
    """Reads and checks a data set of one's own.

    Raises:
        DataError: with file, line and case, where a file is absent or broken, or no classifier can be trained on it.
    """
    if config.file is not None:
        return _load_one_file(config, Path(config.file))
    assert config.train is not None
    assert config.test is not None
    (train, one), (test, other) = (read_own(Path(path), config) for path in (config.train, config.test))
    cache = Cache(user_cache())
    if not cache.passed("own", one, other):
        check_set(train, test)
        cache.note_passed("own", one, other)
    # Two files may have one name, in folders `train` and `test` say.
    files = {f"train {_plain(train.path)}": one, f"test {_plain(test.path)}": other}
    return DataSet(config.name, train.collection, test.collection, source=config.train, files=files)


def _load_one_file(config: OwnDataConfig, path: Path) -> DataSet:
    """Both parts are kept by themselves, so that they are memory-mapped as two files' cases are."""
    path = path.expanduser().absolute()
    cache, digest = Cache(user_cache()), read_own(path, config)[1]
    how = f"{_how(path, config)} {config.split.model_dump_json()}"
    train, test = (
        cache.read(path, digest, f"{how} {part}", partial(_part, config, part)) for part in ("train", "test")
    )
    if not cache.passed("own", how, digest):
        check_set(train, test)
        cache.note_passed("own", how, digest)
    return DataSet(config.name, train.collection, test.collection, source=str(path), files={_plain(path): digest})


def _part(config: OwnDataConfig, part: str, path: Path) -> CaseFile:
    """The training or the test cases of one file."""
    file, _ = read_own(path, config)
    check_finite(file)
    try:
        train, test = split_cases(file.collection.labels, file.collection.groups, config.split)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    indices = train if part == "train" else test
    cases = file.collection.subset(indices)
    # Without the padding that no case of it needs: how long the others are must not show.
    trimmed = replace(cases, values=cases.values[:, :, : int(cases.lengths.max())])
    return CaseFile(path, trimmed, file.lines[indices] if len(file.lines) else file.lines, file.missing)


def read_own(path: Path, config: OwnDataConfig) -> tuple[CaseFile, str]:
    """The cases of one file, a second time from arrays that are kept, and its SHA-256.

    Raises:
        DataError: the file is absent or broken, or lacks the groups that the recipe names.
    """
    path = path.expanduser().absolute()
    if not path.is_file():
        what = "is a folder, not a file" if path.is_dir() else "there is no such file"
        raise DataError(f"{path}: {what}; paths of own data are relative to the current folder")
    how = _how(path, config)
    reader = READERS.get(how) or partial(read_long, columns=_columns(config))
    cache = Cache(user_cache())
    digest = cache.digest(path)
    file = cache.read(path, digest, how, reader)
    if config.grouping is not None and file.collection.groups is None:
        raise DataError(
            f"{path}: has no groups; `group` names a column of a long table, or in an .npz file the array `groups`"
        )
    return file, digest


def columns_of(path: Path, config: OwnDataConfig) -> tuple[str, ...]:
    """The column names of a table, read from its header alone; empty if the format has no columns.

    Raises:
        DataError: the format is not known, or the header cannot be read.
    """
    how = format_of(path) if config.format == "auto" else config.format
    if how in READERS:
        return ()
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            return _parquet_columns(path)
        with path.open(encoding="utf-8-sig", newline="") as file:
            head = file.readline()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    separator = max((",", ";", "\t"), key=head.count)
    return tuple(next(csv.reader([head], delimiter=separator), ()))


def _parquet_columns(path: Path) -> tuple[str, ...]:
    from pyarrow import ArrowException
    from pyarrow.parquet import read_schema

    try:
        schema = read_schema(path)
    except (ArrowException, ValueError) as error:
        raise DataError(f"{path}: is not a whole Parquet file: {str(error).splitlines()[0][:160]}") from None
    return tuple(schema.names)


def _plain(path: Path) -> str:
    """The file's name in the letters that MLflow takes in the name of a tag."""
    return re.sub(r"[^\w.\- ]", "_", path.name)


def _how(path: Path, config: OwnDataConfig) -> str:
    """The format, with the columns where it needs them: what the cases of a file depend on besides the file."""
    how = format_of(path) if config.format == "auto" else config.format
    return how if how in READERS else f"{how} {_columns(config)}"


def _columns(config: OwnDataConfig) -> LongColumns:
    return LongColumns(config.case, config.label, config.time, config.grouping, config.channels)
