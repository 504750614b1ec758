"""The folders that are searched for data sets. Reads no cases, so that a recipe is checked quickly."""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from tsbench.errors import DataError
from tsbench.recipe.messages import shown

__all__ = [
    "DEFAULT_ARCHIVE",
    "Places",
    "expanded",
    "is_file",
    "is_folder",
    "is_writable",
    "nearest_folder",
    "shipped",
    "ts_files",
]

DEFAULT_ARCHIVE = Path("datasets/archive")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]*")


class Places:
    """The folders that are searched for data sets, in order.

    Args:
        folder: the recipe's archive, searched first, to which data sets are downloaded; None for the default.

    Raises:
        DataError: a folder cannot exist or cannot be listed.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        environment = os.environ.get("TSBENCH_ARCHIVE")
        given = (("", folder), ("TSBENCH_ARCHIVE: ", environment))
        self._given = [expanded(text, start) for start, text in given if text]

    @property
    def home(self) -> Path:
        """The folder for downloads."""
        return (self._given or [DEFAULT_ARCHIVE])[0].absolute()

    @property
    def folders(self) -> list[Path]:
        """The recipe's archive, the one TSBENCH_ARCHIVE names, ./datasets/archive, what sktime ships."""
        return list(dict.fromkeys(folder.absolute() for folder in [*self._given, DEFAULT_ARCHIVE, shipped()]))

    def names(self) -> dict[str, Path]:
        """All data sets in the folders, for classification or not, each with its folder."""
        found: dict[str, Path] = {}
        for folder in self.folders:
            for path in folder.iterdir() if folder.is_dir() else ():
                if path.name not in found and all(file.is_file() for file in ts_files(path)):
                    found[path.name] = path
        return dict(sorted(found.items()))

    def locate(self, name: str) -> Path | None:
        """The folder of a data set; None if none of the folders has it.

        Raises:
            DataError: the name is not valid, or the folder exists but lacks one of its two files.
        """
        if not _NAME.fullmatch(name):
            raise DataError(
                f"{name!r} is not a valid data set name: it may hold letters, digits, '-', '_' and '.', "
                "and must begin with a letter or digit"
            )
        for folder in self.folders:
            path = folder / name
            missing = [file for file in ts_files(path) if not file.is_file()]
            if not missing:
                return path
            if len(missing) == 1:
                raise DataError(
                    f"{missing[0]}: this file is missing, but the other of the pair exists; download the data set again"
                )
        return None


def expanded(path: str | Path, start: str = "") -> Path:
    """The absolute path, with a leading `~` expanded to the user's home.

    Args:
        path: of a file or folder, which need not exist.
        start: what precedes the path in an error.

    Raises:
        DataError: the user after `~` does not exist, or the path is invalid.
    """
    try:
        found = Path(path).expanduser().absolute()
        found.exists()  # raises an error if the name is too long or a parent folder cannot be listed
    except RuntimeError:  # Python's own message does not name the user
        raise DataError(
            f"{start}the path {shown(str(path))} begins with ~ and the name of a user who has no home "
            "directory on this machine"
        ) from None
    except OSError as error:
        raise DataError(f"{start}the path {shown(str(path))} cannot be read: {error.strerror}") from None
    return found


def ts_files(folder: Path) -> tuple[Path, Path]:
    """The paths of a data set's train and test file in its folder."""
    return folder / f"{folder.name}_TRAIN.ts", folder / f"{folder.name}_TEST.ts"


def shipped() -> Path:
    """The folder of the data sets that come with sktime, found without importing it."""
    spec = find_spec("sktime")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "datasets" / "data"


def is_writable(folder: Path) -> bool:
    """Whether a folder is writable by its mode; root, which could write anyway, respects the mode too."""
    with suppress(OSError):
        return bool(folder.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH)) and os.access(folder, os.W_OK)
    return False


def is_file(text: str) -> bool:
    """Whether a text is the path of a file; one that is too long for a path, or holds a zero byte, is not."""
    try:
        return Path(text).is_file()
    except (OSError, ValueError):
        return False


def is_folder(text: str) -> bool:
    """Whether a text is the path of a folder; see `is_file`."""
    try:
        return Path(text).is_dir()
    except (OSError, ValueError):
        return False


def nearest_folder(path: Path) -> Path:
    """The path itself, or its closest parent that exists: what must be writable if the path is to be created."""
    return next(place for place in (path, *path.parents) if place.exists())
