"""Adapts cases to a classifier that cannot take them as they are: gives them one length, and fills missing values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tsbench.data.collection import Collection, parts
from tsbench.data.preprocessing import channel_means, common_length, filled, resampled
from tsbench.recipe.schema import BaselinePreprocessingConfig

__all__ = ["Adaptation"]

PADDING = {"last": "their last value", "zero": "zeros", "mean": "their own mean"}
FILLING = {"linear": "linear interpolation", "forward": "the value before", "mean": "the training mean"}


@dataclass(frozen=True)
class Adaptation:
    """A fitted adaptation of cases.

    Attributes:
        config: the settings; `none` leaves lengths or missing values as they are.
        length: time steps of every adapted case; 0 if each case keeps its own.
        mean: shape (channels,): fills a channel in which a case has no value.
    """

    config: BaselinePreprocessingConfig
    length: int
    mean: NDArray[np.float64]

    @classmethod
    def fit(cls, cases: Collection, config: BaselinePreprocessingConfig) -> Adaptation:
        """Takes the length and each channel's mean from the training cases only."""
        length = 0 if config.unequal_length == "none" else common_length(cases.lengths, config.length)
        fills = config.missing_values != "none"
        return cls(config, length, channel_means(cases) if fills else np.zeros(cases.channels))

    def apply(self, cases: Collection) -> Collection:
        """The adapted cases, in the floating-point type of the given ones; cases that need nothing are returned."""
        lengths = np.full(len(cases), self.length, dtype=np.int64) if self.length else cases.lengths
        steps = self.length or cases.length
        adapts = steps != cases.length or not np.array_equal(lengths, cases.lengths)
        if not adapts and (self.config.missing_values == "none" or not cases.missing_values):
            return cases
        values = np.empty((len(cases), cases.channels, steps), dtype=cases.values.dtype)
        for part in parts(len(cases), cases.channels * max(cases.length, steps)):
            values[part] = self._apply(cases.values[part], cases.lengths[part])
        return Collection(values, lengths, cases.labels, cases.groups)

    def _apply(self, values: NDArray[np.floating], lengths: NDArray[np.int64]) -> NDArray[np.floating]:
        if self.config.missing_values != "none":
            values = filled(values, lengths, self.config.missing_values)
            values = np.where(np.isnan(values), self.mean[:, None], values)
        match self.config.unequal_length:
            case "resample":
                return resampled(values, np.isnan(values), lengths, self.length)[0]
            case "pad":
                return _padded(values, lengths, self.length, self.config.padding)
        return values

    def describe(self, train: Collection, test: Collection) -> str:
        """Describes what the adaptation changes in these cases; empty if nothing."""
        return "; ".join(self._sentences(train, test))

    def _sentences(self, train: Collection, test: Collection) -> Iterator[str]:
        steps = f"{self.length} time step{'' if self.length == 1 else 's'}"
        if self.config.unequal_length == "resample":
            yield f"cases resampled to {steps} by linear interpolation"
        elif self.config.unequal_length == "pad":
            yield f"cases padded at the end with {PADDING[self.config.padding]} to {steps}"
            longer = {
                what: int((cases.lengths > self.length).sum()) for what, cases in (("training", train), ("test", test))
            }
            if cut := [f"{count} longer {what} case{'s' * (count > 1)}" for what, count in longer.items() if count]:
                yield f"{' and '.join(cut)} cut at the end"
        if self.config.missing_values != "none":
            yield f"missing values filled with {FILLING[self.config.missing_values]}"


def _padded(
    values: NDArray[np.floating], lengths: NDArray[np.int64], length: int, padding: str
) -> NDArray[np.floating]:
    """Every case on `length` steps: steps past its own end are filled, steps past `length` are cut off.

    Missing values within a case stay; a channel of which a case has no value is padded with missing values.
    """
    result = np.empty((*values.shape[:2], length), dtype=values.dtype)
    for case, own in enumerate(lengths):
        kept = min(int(own), length)
        result[case, :, :kept] = values[case, :, :kept]
        result[case, :, kept:] = _pad_value(values[case, :, :own], padding)[:, None]
    return result


def _pad_value(case: NDArray[np.floating], padding: str) -> NDArray[np.floating]:
    """The padding of a case of shape (channels, time steps), shape (channels,)."""
    if padding == "zero":
        return np.zeros(len(case))
    there = ~np.isnan(case)
    found = there.any(axis=1)
    if padding == "mean":
        total = np.where(there, case, 0).sum(axis=1) / there.sum(axis=1).clip(min=1)
        return np.where(found, total, np.nan)
    last = case.shape[1] - 1 - there[:, ::-1].argmax(axis=1)
    return np.where(found, case[np.arange(len(case)), last], np.nan)
