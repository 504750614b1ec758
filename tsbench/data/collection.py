"""Collections of cases, and the two views of a data set: with its test cases, and without."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tsbench.data.column_roles import Columns
from tsbench.data.stored import seal, verify
from tsbench.errors import DataError
from tsbench.recipe.messages import count_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ARRAYS", "CHUNK_SIZE", "COLUMNS", "Collection", "DataSet", "TrainingSet", "parts"]

CHUNK_SIZE = 2**20
"""Values that are processed at once, so that a memory-mapped collection is never copied whole."""


ARRAYS = ("values", "lengths", "labels", "groups")
COLUMNS = "columns.json"
"""The file beside the arrays with the columns of the table that they were read from."""


def parts(cases: int, values_per_case: int) -> Iterator[slice]:
    """Slices of cases, each of at most `CHUNK_SIZE` values; a single one for all but large collections."""
    step = max(1, CHUNK_SIZE // max(1, values_per_case))
    for start in range(0, cases, step):
        yield slice(start, min(start + step, cases))


@dataclass(frozen=True, repr=False)
class Collection:
    """Labelled cases.

    Attributes:
        values: shape (cases, channels, longest length); steps past a case's own length are 0, missing values NaN.
        lengths: shape (cases,), the true length of each case in time steps.
        labels: shape (cases,), texts.
        groups: shape (cases,), texts: the source of each case; cases of one group are never split.
        columns: the columns of the table that the cases were read from; None if it was not a table.
        stored: the folder that `save` wrote the arrays to, if they are memory maps of it.
    """

    values: NDArray[np.floating]
    lengths: NDArray[np.int64]
    labels: NDArray[np.str_]
    groups: NDArray[np.str_] | None = None
    columns: Columns | None = None
    stored: Path | None = field(default=None, init=False, compare=False, repr=False)

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        low, high = int(self.lengths.min(initial=self.length)), int(self.lengths.max(initial=0))
        cases = f"{count_of(len(self), 'case')} of {count_of(len(self.classes), 'class', 'classes')}"
        steps = f"{high} time steps" if low >= high else f"{low} to {high} time steps"
        return f"Collection({cases}, {count_of(self.channels, 'channel')}, {steps})"

    @property
    def X(self) -> NDArray[np.floating] | list[pd.DataFrame]:  # noqa: N802
        """The series as classifiers of sktime and tsbench take them.

        An array of shape (cases, channels, time steps), or if lengths differ or the channels have names, a data frame
        for each case, with a row for each time step and a column for each channel.
        """
        named = None if self.columns is None else self.columns.channels
        if named is None and self.equal_length:
            return self.values
        import pandas as pd

        return [pd.DataFrame(case.T, columns=None if named is None else list(named)) for case in self.cases()]

    @property
    def y(self) -> NDArray[np.str_]:
        """The labels."""
        return self.labels

    @property
    def channels(self) -> int:
        """Number of channels."""
        return int(self.values.shape[1])

    @property
    def length(self) -> int:
        """The longest case's length in time steps."""
        return int(self.values.shape[2])

    @property
    def equal_length(self) -> bool:
        """Whether every case has the same length."""
        return bool((self.lengths == self.length).all())

    @property
    def missing_values(self) -> bool:
        """Whether a value is missing."""
        return any(bool(np.isnan(self.values[part]).any()) for part in self.parts())

    @property
    def classes(self) -> NDArray[np.str_]:
        """The distinct labels, sorted."""
        return np.unique(self.labels)

    def subset(self, indices: NDArray[np.integer]) -> Collection:
        """The cases at some indices, as long as the longest of the whole collection."""
        groups = None if self.groups is None else self.groups[indices]
        return Collection(self.values[indices], self.lengths[indices], self.labels[indices], groups, self.columns)

    def channel_name(self, channel: int) -> str:
        """What a message calls a channel, by its number from 0: `channel 'vib'`, or `channel 1` counted from 1."""
        if self.columns is not None and self.columns.channels:
            return f"channel {self.columns.channels[channel]!r}"
        return f"channel {channel + 1}"

    def group_numbers(self, indices: NDArray[np.integer] | None = None) -> NDArray[np.int64] | None:
        """The groups of all cases, or of some, as numbers from 0; None if there are none."""
        if self.groups is None:
            return None
        groups = self.groups if indices is None else self.groups[indices]
        return np.unique(groups, return_inverse=True)[1].astype(np.int64)

    def parts(self) -> Iterator[slice]:
        """Slices of the cases that are small enough to be processed at once."""
        return parts(len(self), self.channels * self.length)

    def cases(self) -> list[NDArray[np.floating]]:
        """Each case separately, of shape (channels, its own length)."""
        return [values[:, :length] for values, length in zip(self.values, self.lengths, strict=True)]

    def digest(self) -> str:
        """SHA-256 of shapes, values, lengths and labels, in hexadecimal."""
        sha = hashlib.sha256(repr((self.values.shape, list(map(str, self.labels)))).encode())
        for part in self.parts():
            sha.update(np.ascontiguousarray(self.values[part], dtype="<f8").data)
        sha.update(np.ascontiguousarray(self.lengths, dtype="<i8").data)
        return sha.hexdigest()

    def save(self, folder: Path) -> None:
        """Writes the arrays into a folder, with their checksums, for `load`."""
        arrays = {name: getattr(self, name) for name in ARRAYS}
        written = [f"{name}.npy" for name, array in arrays.items() if array is not None]
        for name in written:
            # A copy of the file is several times as fast as writing a memory map page by page.
            source = None if self.stored is None else self.stored / name
            if source is not None and source.exists():
                shutil.copyfile(source, folder / name)
            else:
                np.save(folder / name, arrays[name.removesuffix(".npy")])
        if self.columns is not None:
            (folder / COLUMNS).write_text(json.dumps(self.columns.to_json()), encoding="utf-8")
            written.append(COLUMNS)
        seal(folder, written)

    @classmethod
    def load(cls, folder: Path, note: bool = False) -> Collection:
        """The arrays that `save` wrote, as memory maps, which all processes share.

        With `note` the verification of their checksums is recorded, so that the next one only compares file times.

        Writes to the arrays change neither the files nor other processes' arrays. Compiled code accepts them.

        Raises:
            OSError: a file does not exist.
            ValueError, KeyError, TypeError: a file is damaged or was changed.
        """
        verify(folder, note)
        names = [name for name in ARRAYS if (folder / f"{name}.npy").exists()]
        arrays = {
            name: np.load(folder / f"{name}.npy", mmap_mode="c", allow_pickle=False).view(np.ndarray) for name in names
        }
        columns = None
        if (folder / COLUMNS).exists():
            columns = Columns.from_json(json.loads((folder / COLUMNS).read_text(encoding="utf-8")))
        cases = cls(arrays["values"], arrays["lengths"], arrays["labels"], arrays.get("groups"), columns)
        object.__setattr__(
            cases, "stored", folder
        )  # not an argument, so that a copy with other values does not inherit it
        return cases

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles a memory-mapped collection by its path, not by its content."""
        if self.stored is not None:
            return _load, (self.stored,)
        return Collection, (self.values, self.lengths, self.labels, self.groups, self.columns)


def _load(folder: Path) -> Collection:
    try:
        return Collection.load(folder)
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(f"{folder}: the cached cases are missing or damaged; run the same command again") from None


@dataclass(frozen=True)
class TrainingSet:
    """The training cases of a data set, all that a search may use. There is no field for test cases."""

    name: str
    cases: Collection


@dataclass(frozen=True)
class DataSet:
    """A data set as an archive gives it, or a resample of it.

    Attributes:
        name: the archive's name for it.
        train: the training cases.
        test: the test cases; only code that scores the chosen models may use them.
        resample: 0 for the archive's own split, r > 0 for the r-th stratified resample.
        source: the folder, or for own data the file, that the cases came from.
        files: SHA-256 of each file, by its name.
        remarks: notes on how the files were read, one sentence each.
    """

    name: str
    train: Collection
    test: Collection
    resample: int = 0
    source: str = ""
    files: dict[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    def training_set(self) -> TrainingSet:
        """The data set without its test cases."""
        return TrainingSet(self.name, self.train)
