"""Finds a data set's two files, downloads them if they are absent, and checks their content."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from tsbench.data.cache import Cache, Seen, place_for, user_cache
from tsbench.data.catalogue import catalogue
from tsbench.data.checks import check_set
from tsbench.data.collection import DataSet
from tsbench.data.custom_data import load_own
from tsbench.data.download import Progress, cause_of, download
from tsbench.data.folders import DEFAULT_ARCHIVE, Places, is_writable, shipped, ts_files
from tsbench.data.formats import CaseFile, is_labelled, read_ts
from tsbench.data.remarks import remarks_on_labels
from tsbench.errors import DataError
from tsbench.recipe.schema import OwnDataConfig

__all__ = ["DEFAULT_ARCHIVE", "Archive", "Description"]


@dataclass(frozen=True)
class Description:
    """Numbers of cases, channels, time steps (a range if they vary) and classes."""

    train: int
    test: int
    channels: int
    lengths: str
    classes: int
    remarks: str


class Archive:
    """The folders that are searched for data sets, in order (see `folders`), and the user's own data.

    Args:
        folder: the recipe's archive, searched first, to which data sets are downloaded; None for the default.
        own: the user's data sets, which precede those of the same name in a folder.
        progress: called with the bytes of a download as they arrive.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        own: Sequence[OwnDataConfig] = (),
        progress: Progress | None = None,
    ) -> None:
        self._places = Places(folder)
        self._own = {config.name: config for config in own}
        self._progress = progress

    @property
    def home(self) -> Path:
        """The folder for downloads."""
        return self._places.home

    @property
    def folders(self) -> list[Path]:
        """The recipe's archive, the one TSBENCH_ARCHIVE names, ./datasets/archive, what sktime ships."""
        return self._places.folders

    def names(self) -> dict[str, Path]:
        """The available data sets for classification, sorted by name, each with its folder."""
        return {name: path for name, path in self._places.names().items() if is_labelled(ts_files(path)[0])}

    def locate(self, name: str) -> Path | None:
        """The folder of an available data set, or None.

        Raises:
            DataError: the name is none, or the folder exists but lacks one of its two files.
        """
        return self._places.locate(name)

    def obtain(self, name: str) -> Path:
        """The folder of a data set, downloaded by sktime if it is not available.

        Raises:
            DataError: it is not available and cannot be downloaded; names the folder to put it into, and similar names.
        """
        if path := self.locate(name):
            return path
        try:
            if self.home.is_dir() and not is_writable(self.home):
                raise PermissionError(13, "its permissions forbid it")
            return download(name, self.home, self._progress)
        except (DataError, OSError) as error:
            reason = error if isinstance(error, DataError) else f"{self.home} cannot be written: {cause_of(error)}"
            raise DataError(
                f"data set {name!r} is not available and could not be downloaded ({reason}). "
                f"Put {name}_TRAIN.ts and {name}_TEST.ts into {self.home / name}, or name another folder by "
                f"`archive:` in the recipe or TSBENCH_ARCHIVE.{self._alternatives(name)}"
            ) from None

    def obtain_all(self, names: Iterable[str], say: Callable[[str], None] = lambda text: None) -> None:
        """Downloads the data sets that are not available.

        If a download fails the rest are not tried, as each would take a time-out without a network.

        Args:
            names: of data sets.
            say: called with a line before each download.

        Raises:
            DataError: names all that are still missing.
        """
        absent = [name for name in names if name not in self._own and self.locate(name) is None]
        for number, name in enumerate(absent, 1):
            say(f"downloading {name} ({number} of {len(absent)}) into {self.home}")
            try:
                self.obtain(name)
            except DataError as error:
                rest = absent[number:]
                more = f"\nNot available either, and not tried ({len(rest)}): {', '.join(rest)}" if rest else ""
                raise DataError(f"{error}{more}") from None

    def _alternatives(self, name: str) -> str:
        """What is available instead."""
        available = self.names()
        if close := get_close_matches(name, list(available), n=3):
            return f" Names close to it, available: {', '.join(close)}."
        known = get_close_matches(name, list(catalogue()), n=3) if name not in catalogue() else []
        hint = f" Names close to it, in the catalogue: {', '.join(known)}." if known else ""
        counts: dict[Path, int] = {}
        for path in available.values():
            counts[path.parent] = counts.get(path.parent, 0) + 1
        where = ", ".join(f"{count} in {folder}" for folder, count in counts.items())
        return f"{hint} Available: {where} (`tsbench datasets` lists them)."

    def describe(self, name: str) -> Description | None:
        """Sizes of an available data set; None if it is not one for classification.

        Raises:
            DataError: a file of it is broken.
        """
        folder = self.locate(name)
        if folder is None or not is_labelled(ts_files(folder)[0]):
            return None
        train, test = (file.collection for file, _ in map(self._read, ts_files(folder)))
        lengths = np.concatenate([train.lengths, test.lengths])
        shortest, longest = int(lengths.min()), int(lengths.max())
        return Description(
            len(train),
            len(test),
            train.channels,
            str(longest) if shortest == longest else f"{shortest} to {longest}",
            len(train.classes),
            "missing values" if train.missing_values or test.missing_values else "",
        )

    def load(self, name: str) -> DataSet:
        """Reads and checks a data set, in the archive's own split; from cached arrays after the first time.

        Raises:
            DataError: with file, line and case, if a file is broken or unusable for training,
                or if a file is another than it was when it was first read.
        """
        if name in self._own:
            return load_own(self._own[name])
        folder = self.obtain(name)
        (train, train_digest), (test, test_digest) = map(self._read, ts_files(folder))
        cache = self.cache(folder)
        if not cache.passed(train_digest, test_digest):
            check_set(train, test)
            cache.note_passed(train_digest, test_digest)
        digests = {file.path.name: digest for file, digest in ((train, train_digest), (test, test_digest))}
        remarks = remarks_on_labels([*train.collection.classes, *test.collection.classes])
        return DataSet(
            name, train.collection, test.collection, source=str(folder), files=digests, remarks=tuple(remarks)
        )

    def cache(self, folder: Path) -> Cache:
        """The cache for a data set's folder."""
        archive = folder.parent
        return Cache(user_cache() if archive == shipped() else place_for(archive))

    def _read(self, path: Path) -> tuple[CaseFile, str]:
        """The cases of a file, and its SHA-256."""
        cache = self.cache(path.parent)
        return cache.read(path, "ts", read_ts, _refuse_change)


def _refuse_change(before: Seen, sha256: str) -> None:
    path = Path(before.path)
    raise DataError(
        f"{path}: the file has changed since it was first read: its SHA-256 was {before.sha256[:16]}..., and is now "
        f"{sha256[:16]}...; download the data set again, or, if the change is intended, run "
        f"`tsbench datasets verify --accept {path.parent.name}`"
    )
