"""Finds a data set's two files, downloads them where they are absent, and checks what they hold."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

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
        """The data sets for classification at hand, sorted by name, each with its folder."""
        found: dict[str, Path] = {}
        for folder in self.folders:
            for path in folder.iterdir() if folder.is_dir() else ():
                if path.name not in found and all(file.is_file() for file in _files(path)):
                    found[path.name] = path
        found = {name: path for name, path in found.items() if is_labelled(_files(path)[0])}
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
        except (DataError, OSError) as error:
            reason = error if isinstance(error, DataError) else f"{self.home} cannot be written: {_cause(error)}"
            close = get_close_matches(name, list(self.names()), n=3)
            hint = f" Names close to it, at hand: {', '.join(close)}." if close else ""
            raise DataError(
                f"data set {name!r} is not at hand and could not be downloaded ({reason}). "
                f"Put {name}_TRAIN.ts and {name}_TEST.ts into {self.home / name}, or name another folder by "
                f"`archive:` in the recipe or TSBENCH_ARCHIVE.{hint}"
            ) from None

    def _download(self, name: str) -> Path:
        """Fetches a data set into `home` from the first of sktime's mirrors that has it whole.

        Raises:
            DataError: none has; gives each mirror's reason.
            OSError: nothing can be written there.
        """
        from sktime.datasets._data_io import CLASSIF_URLS

        place = next(folder for folder in (self.home, *self.home.parents) if folder.is_dir())
        reasons = {}
        with tempfile.TemporaryDirectory(dir=place, prefix=".download-") as folder, _socket_timeout():
            for mirror in CLASSIF_URLS:
                try:
                    arrived = _fetch(f"{mirror}/{name}.zip", Path(folder) / name)
                except Exception as error:  # whatever the mirror's failure happens to be
                    reasons[urlsplit(mirror).hostname] = _cause(error).replace(f"{folder}/{name}/", "")
                    continue
                target = self.home / name
                self.home.mkdir(parents=True, exist_ok=True)
                if not target.exists():
                    shutil.move(arrived, target)
                return target
        raise DataError("; ".join(f"{host}: {reason}" for host, reason in reasons.items()))

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


def _fetch(url: str, folder: Path) -> Path:
    """Unpacks one mirror's zip file and reads what it holds; sktime's loaders would stop at the first mirror's failure.

    Raises:
        DataError: it is not a data set that can be read.
        Exception: whatever sktime's downloader raises.
    """
    from sktime.datasets._dataset_downloader import URLDownloader

    URLDownloader(url).download(folder.parent, force_download=True)
    for file in _files(folder):
        if not file.is_file():
            raise DataError(f"the download holds no {file.name}")
        read_ts(file)
    return folder


def _cause(error: BaseException) -> str:
    """What lies beneath an error, in a few words, such as `Connection refused` or `File is not a zip file`."""
    while inner := error.__cause__ or (None if error.__suppress_context__ else error.__context__):
        error = inner
    text = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
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
    """Infinite values are never right; missing ones are where the header announces them."""
    cases = file.collection
    wrong = np.isinf(cases.values) if file.missing else ~np.isfinite(cases.values)
    if not wrong.any():
        return
    case, channel, step = (int(index) for index in np.argwhere(wrong)[0])
    others = int(wrong.any(axis=(1, 2)).sum()) - 1
    cases_have = "case has" if others == 1 else "cases have"
    missing = np.isnan(cases.values[case, channel, step])
    raise DataError(
        f"{file.place(case)}, channel {channel + 1}, time step {step + 1}: "
        f"the value is {'missing (NaN)' if missing else 'infinite'}"
        + (f", and {others} other {cases_have} such values" if others else "")
        + "; fill such values in, or leave the case out"
        + (", or if they are meant, say so in the header: @missing true" if missing else "")
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
