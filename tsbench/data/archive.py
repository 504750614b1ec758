"""Finds a data set's two files, downloads them where they are absent, and checks what they hold."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from tsbench.data.collection import DataSet
from tsbench.data.formats import TsFile, is_labelled, read_ts
from tsbench.errors import DataError

__all__ = ["DEFAULT_ARCHIVE", "Archive", "Description"]

DEFAULT_ARCHIVE = Path("datasets/archive")
DOWNLOAD_TIMEOUT = 30.0
"""Seconds that a download may stand still."""


@dataclass(frozen=True)
class Description:
    """Numbers of cases, channels, time steps (a range where they vary) and classes."""

    train: int
    test: int
    channels: int
    lengths: str
    classes: int
    remarks: str


class Archive:
    """The folders in which data sets are looked for, in order; see `folders`.

    Args:
        folder: the recipe's own archive, looked into first and downloaded into; None for the default.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        environment = os.environ.get("TSBENCH_ARCHIVE")
        self._given = [Path(one).expanduser() for one in (folder, environment) if one]

    @property
    def home(self) -> Path:
        """The folder that downloads go to."""
        return (self._given or [DEFAULT_ARCHIVE])[0].absolute()

    @property
    def folders(self) -> list[Path]:
        """The recipe's archive, the one TSBENCH_ARCHIVE names, ./datasets/archive, what sktime ships."""
        return list(dict.fromkeys(folder.absolute() for folder in [*self._given, DEFAULT_ARCHIVE, _shipped()]))

    def names(self) -> dict[str, Path]:
        """The data sets at hand, sorted by name, each with its folder."""
        found: dict[str, Path] = {}
        for folder in self.folders:
            for path in folder.iterdir() if folder.is_dir() else ():
                if path.name not in found and all(file.is_file() for file in _files(path)):
                    found[path.name] = path
        return dict(sorted(found.items()))

    def locate(self, name: str) -> Path | None:
        """The folder of a data set at hand, or None.

        Raises:
            DataError: the folder is there but one of its two files is not.
        """
        for folder in self.folders:
            path = folder / name
            missing = [file for file in _files(path) if not file.is_file()]
            if not missing:
                return path
            if len(missing) == 1:
                raise DataError(f"{missing[0]}: this file is missing beside its other half; fetch the data set again")
        return None

    def obtain(self, name: str) -> Path:
        """The folder of a data set, downloaded by sktime where it is not at hand.

        Raises:
            DataError: it is not at hand and cannot be downloaded; names the folder to fill and close names.
        """
        if path := self.locate(name):
            return path
        try:
            return self._download(name)
        except Exception as error:  # sktime raises whatever its mirrors' failures happen to be
            close = get_close_matches(name, list(self.names()), n=3)
            hint = f" Names close to it, at hand: {', '.join(close)}." if close else ""
            raise DataError(
                f"data set {name!r} is not at hand and could not be downloaded ({_reason(error)}). "
                f"Put {name}_TRAIN.ts and {name}_TEST.ts into {self.home / name}, or name another folder by "
                f"`archive:` in the recipe or TSBENCH_ARCHIVE.{hint}"
            ) from None

    def _download(self, name: str) -> Path:
        from sktime.datasets import load_UCR_UEA_dataset

        self.home.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(dir=self.home, prefix=".download-") as folder,
            _socket_timeout(),
            warnings.catch_warnings(action="ignore"),  # advice on optional mirrors
        ):
            load_UCR_UEA_dataset(name, split="train", extract_path=folder)
            arrived = Path(folder) / name
            if absent := [file.name for file in _files(arrived) if not file.is_file()]:
                raise DataError(f"the download holds no {absent[0]}")
            target = self.home / name
            if not target.exists():
                shutil.move(arrived, target)
        return target

    def describe(self, name: str) -> Description | None:
        """Sizes of a data set at hand; None where it is not one for classification.

        Raises:
            DataError: a file of it is broken.
        """
        folder = self.locate(name)
        if folder is None or not is_labelled(_files(folder)[0]):
            return None
        train, test = (read_ts(file).collection for file in _files(folder))
        lengths = np.concatenate([train.lengths, test.lengths])
        shortest, longest = int(lengths.min()), int(lengths.max())
        return Description(
            len(train),
            len(test),
            train.channels,
            str(longest) if shortest == longest else f"{shortest} to {longest}",
            len(train.classes),
            "missing values" if any(np.isnan(one.values).any() for one in (train, test)) else "",
        )

    def load(self, name: str) -> DataSet:
        """Reads and checks a data set, in the archive's own split.

        Raises:
            DataError: with file, line and case, where a file is broken or holds what no classifier can be trained on.
        """
        folder = self.obtain(name)
        train, test = (read_ts(file) for file in _files(folder))
        _check_finite(train)
        _check_finite(test)
        _check_labels(train, test)
        if train.collection.channels != test.collection.channels:
            raise DataError(
                f"{test.place(0)} has {test.collection.channels} channels, "
                f"the training file's cases have {train.collection.channels}"
            )
        digests = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in _files(folder)}
        return DataSet(name, train.collection, test.collection, source=str(folder), files=digests)


def _shipped() -> Path:
    """The folder of the data sets that come with sktime, found without importing it."""
    spec = find_spec("sktime")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "datasets" / "data"


def _files(folder: Path) -> tuple[Path, Path]:
    return folder / f"{folder.name}_TRAIN.ts", folder / f"{folder.name}_TEST.ts"


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else text[:157] + "..."


@contextmanager
def _socket_timeout() -> Iterator[None]:
    """Sktime's download sets no time-out of its own."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _check_finite(file: TsFile) -> None:
    cases = file.collection
    wrong = ~np.isfinite(cases.values)
    if not wrong.any():
        return
    case, channel, step = (int(index) for index in np.argwhere(wrong)[0])
    others = int(wrong.any(axis=(1, 2)).sum()) - 1
    what = "missing (NaN)" if np.isnan(cases.values[case, channel, step]) else "infinite"
    raise DataError(
        f"{file.place(case)}, channel {channel + 1}, time step {step + 1}: the value is {what}"
        + (f", and {others} other cases have such values" if others else "")
        + "; missing and infinite values are not supported yet: fill them in, or leave the case out"
    )


def _check_labels(train: TsFile, test: TsFile) -> None:
    classes = train.collection.classes
    if len(classes) < 2:
        raise DataError(
            f"{train.place(0)}: all {len(train.collection)} training cases have the one label {str(classes[0])!r}; "
            "classification needs at least two classes"
        )
    unknown = ~np.isin(test.collection.labels, classes)
    if unknown.any():
        case = int(np.argmax(unknown))
        raise DataError(
            f"{test.place(case)} has the label {str(test.collection.labels[case])!r}, which no training case has"
        )
