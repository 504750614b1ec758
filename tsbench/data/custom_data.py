"""The user's own data, by path: a train and a test file, or one file that is split."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tsbench.data.cache import Cache, user_cache
from tsbench.data.checks import check_finite, check_set
from tsbench.data.collection import DataSet
from tsbench.data.column_roles import Columns
from tsbench.data.folders import expanded
from tsbench.data.formats import CaseFile, column_names, format_of, read_long_alike, reader_of
from tsbench.data.remarks import remarks_on_channels, remarks_on_labels
from tsbench.data.splitting import split_cases
from tsbench.errors import DataError, RecipeError
from tsbench.recipe.messages import sentence
from tsbench.recipe.plain import plain
from tsbench.recipe.registries import FORMATS
from tsbench.recipe.schema import OwnDataConfig

__all__ = ["columns_of", "load_own", "own_data", "read_own"]


def own_data(
    path: str | Path, test: str | Path | None, options: Mapping[str, Any], called: Callable[[str], str] = str
) -> OwnDataConfig:
    """The settings of one file, or of a train and a test file.

    Args:
        path: the file of all cases, or of the training cases if there is a test file.
        test: the file of the test cases.
        options: further settings by their names in a recipe.
        called: what an error calls a setting.

    Raises:
        RecipeError: with every setting that is wrong.
    """
    files = {"file": str(path)} if test is None else {"train": str(path), "test": str(test)}
    try:
        return OwnDataConfig.model_validate({"name": "own", **files, **plain(options)})
    except ValidationError as error:
        problems = [f"{called(str(problem['loc'][-1]))}: {sentence(problem)}" for problem in error.errors()]
        raise RecipeError(problems) from None


def load_own(config: OwnDataConfig) -> DataSet:
    """Reads and checks a data set of the user's own.

    The test file of a table is read by the training file's columns, whatever their order.

    Raises:
        DataError: with file, line and case, if a file is absent or broken, or no classifier can be trained on it.
    """
    if config.file is not None:
        return _load_one_file(config, Path(config.file))
    assert config.train is not None
    assert config.test is not None
    train, train_digest = read_own(Path(config.train), config)
    test, test_digest = read_own(Path(config.test), config, train.collection.columns)
    cache = Cache(user_cache())
    if not cache.passed("own", train_digest, test_digest):
        check_set(train, test)
        cache.note_passed("own", train_digest, test_digest)
    # Two files may have the same name, for example in folders `train` and `test`.
    files = {f"train {_plain(train.path)}": train_digest, f"test {_plain(test.path)}": test_digest}
    return _data_set(config, train, test, config.train, files)


def _load_one_file(config: OwnDataConfig, path: Path) -> DataSet:
    """Caches each part separately, so that they are memory-mapped like the cases of two files."""
    path = expanded(path)
    file, digest = read_own(path, config)
    cache, how = Cache(user_cache()), f"{_how(path, config)} {config.split.model_dump_json()}"
    train, test = (
        cache.derive(path, digest, f"{how} {part}", partial(_part, config, part, file)) for part in ("train", "test")
    )
    if not cache.passed("own", how, digest):
        check_set(train, test)
        cache.note_passed("own", how, digest)
    return _data_set(config, train, test, str(path), {_plain(path): digest})


def _data_set(config: OwnDataConfig, train: CaseFile, test: CaseFile, source: str, files: dict[str, str]) -> DataSet:
    labels = [*train.collection.classes, *test.collection.classes]
    remarks = dict.fromkeys(
        [*remarks_on_channels(train.collection), *train.remarks, *test.remarks, *remarks_on_labels(labels)]
    )
    return DataSet(config.name, train.collection, test.collection, source=source, files=files, remarks=tuple(remarks))


def _part(config: OwnDataConfig, part: str, file: CaseFile) -> CaseFile:
    """The training or the test cases of one file."""
    check_finite(file)
    try:
        train, test = split_cases(file.collection.labels, file.collection.groups, config.split)
    except DataError as error:
        raise DataError(f"{file.path}: {error}") from None
    indices = train if part == "train" else test
    cases = file.collection.subset(indices)
    # Without padding that no case of the part needs: the length of the others must not leak.
    trimmed = replace(cases, values=cases.values[:, :, : int(cases.lengths.max())])
    return replace(file, collection=trimmed, lines=file.lines[indices] if len(file.lines) else file.lines)


def read_own(path: Path, config: OwnDataConfig, known: Columns | None = None) -> tuple[CaseFile, str]:
    """The cases of one file, from cached arrays after the first time, and its SHA-256.

    Args:
        path: the file.
        config: how it is read.
        known: the columns of the training table, if this is another table of the same data set.

    Raises:
        DataError: the file is absent or broken, or lacks the groups that the recipe names.
    """
    path = expanded(path)
    if not path.is_file():
        what = "is a folder, not a file" if path.is_dir() else "file not found"
        raise DataError(f"{path}: {what}; paths of own data are relative to the current folder")
    name, how = _format(path, config), _how(path, config)
    reader = reader_of(name)
    if FORMATS[name].columns:
        reader = partial(reader, columns=_columns(config))
        if known is not None:
            reader, how = partial(read_long_alike, columns=known), f"{name} like {known}"
    file, digest = Cache(user_cache()).read(path, how, reader)
    if config.grouping is not None and file.collection.groups is None:
        raise DataError(
            f"{path}: has no groups; `group` names a column of a long table, or in an .npz file the array `groups`"
        )
    return file, digest


def columns_of(path: Path, config: OwnDataConfig) -> tuple[str, ...]:
    """The column names of a table, read from its header only; empty if the format has no columns.

    Raises:
        DataError: the file cannot be read, or two columns have the same name.
    """
    path = expanded(path)
    return column_names(path) if FORMATS[_format(path, config)].columns else ()


def _plain(path: Path) -> str:
    """The file's name in the characters that MLflow allows in a tag's name."""
    return re.sub(r"[^\w.\- ]", "_", path.name)


def _format(path: Path, config: OwnDataConfig) -> str:
    return format_of(path) if config.format == "auto" else config.format


def _how(path: Path, config: OwnDataConfig) -> str:
    """What the cases depend on besides the file: the format, and the columns if it needs them."""
    how = _format(path, config)
    return f"{how} {_columns(config)}" if FORMATS[how].columns else how


def _columns(config: OwnDataConfig) -> Columns:
    return Columns(config.case, config.label, config.time, config.grouping, config.channels)
