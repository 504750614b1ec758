"""Collections of cases, and the two views of a data set: with its test cases, and without."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["Collection", "DataSet", "TrainingSet"]


@dataclass(frozen=True)
class Collection:
    """Labelled cases.

    Attributes:
        values: shape (cases, channels, longest length); steps past a case's own length are 0, missing values NaN.
        lengths: shape (cases,), the true length of each case in time steps.
        labels: shape (cases,), texts.
    """

    values: NDArray[np.floating]
    lengths: NDArray[np.int64]
    labels: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.labels)

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
        return bool(np.isnan(self.values).any())

    @property
    def classes(self) -> NDArray[np.str_]:
        """The distinct labels, sorted."""
        return np.unique(self.labels)

    def subset(self, indices: NDArray[np.integer]) -> Collection:
        """The cases at some indices, as long as the longest of the whole collection."""
        return Collection(self.values[indices], self.lengths[indices], self.labels[indices])

    def cases(self) -> list[NDArray[np.floating]]:
        """Each case by itself, of shape (channels, its own length)."""
        return [values[:, :length] for values, length in zip(self.values, self.lengths, strict=True)]

    def digest(self) -> str:
        """SHA-256 of shapes, values, lengths and labels, in hexadecimal."""
        sha = hashlib.sha256(repr((self.values.shape, list(map(str, self.labels)))).encode())
        sha.update(np.ascontiguousarray(self.values, dtype="<f8").tobytes())
        sha.update(np.ascontiguousarray(self.lengths, dtype="<i8").tobytes())
        return sha.hexdigest()


@dataclass(frozen=True)
class TrainingSet:
    """What a search may see of a data set: its training cases. There is no field for test cases."""

    name: str
    cases: Collection


@dataclass(frozen=True)
class DataSet:
    """A data set as an archive gives it, or a resample of it.

    Attributes:
        name: the archive's name for it.
        train: the training cases.
        test: the test cases; only what scores the chosen models may look at them.
        resample: 0 for the archive's own split, r > 0 for the r-th stratified resample.
        source: the folder that the files came from.
        files: SHA-256 of each file, by its name.
    """

    name: str
    train: Collection
    test: Collection
    resample: int = 0
    source: str = ""
    files: dict[str, str] = field(default_factory=dict)

    def training_set(self) -> TrainingSet:
        """The data set without its test cases."""
        return TrainingSet(self.name, self.train)
