"""Preprocessing of series, fitted on training cases only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tsbench.data.collection import Collection, parts
from tsbench.recipe.schema import PreprocessingConfig

__all__ = ["PreparedSeries", "Preprocessing", "channel_means", "common_length", "filled", "resampled"]

MAX_IN_MEMORY = 2**26
"""Values (256 MiB in float32) of a collection that is prepared once; of a larger one cases are prepared as they are
drawn, so that only the memory map, which all processes share, holds them."""


@dataclass(frozen=True)
class Preprocessing:
    """A fitted filling of missing values (NaN), resampling and normalisation, `(x - mean) / scale`.

    Attributes:
        normalise: `channel`, `case` or `none`.
        mean: shape (channels,), of the values that are present.
        scale: shape (channels,), standard deviations; see `_scale` for a constant channel; used by `channel`.
        missing: `linear`, `forward`, `mean` or `none`.
        marked: the channels that have a further channel marking where values are missing.
        length: time steps that every case is resampled to; 0 if each keeps its own, and padded steps stay 0.
    """

    normalise: str
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    missing: str = "linear"
    marked: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    length: int = 0

    @classmethod
    def fit(
        cls, cases: Collection, config: PreprocessingConfig, indices: NDArray[np.int64] | None = None
    ) -> Preprocessing:
        """Takes each channel's mean and standard deviation over all values present in the training cases.

        Args:
            cases: the training cases, or a collection of which they are a part.
            config: the `preprocessing` part of a recipe.
            indices: of the training cases among `cases`; None for all. A memory map is then not copied.
        """
        mean, deviation, missing = _channel_moments(cases, indices)
        mark = config.mark_missing or config.missing == "none"
        marked = np.flatnonzero(missing) if mark else np.zeros(0, dtype=np.int64)
        lengths = cases.lengths if indices is None else cases.lengths[indices]
        scale = _scale(deviation, np.abs(mean))
        return cls(config.normalise, mean, scale, config.missing, marked, common_length(lengths, config.length))

    @property
    def channels(self) -> int:
        """Channels of `apply`'s result."""
        return len(self.mean) + len(self.marked)

    def lengths(self, cases: Collection) -> NDArray[np.int64]:
        """The lengths of `apply`'s result, shape (cases,)."""
        return np.full(len(cases), self.length, dtype=np.int64) if self.length else cases.lengths

    def steps(self, cases: Collection) -> int:
        """The time steps of `apply`'s result."""
        return self.length or cases.length

    def apply(self, cases: Collection) -> NDArray[np.float32]:
        """The normalised series, shape (cases, self.channels, self.steps(cases)).

        Values beyond float32 become its largest. Statistics and differences are in float64. A channel of which a
        case has no value at all becomes the training mean, or with `case` the case's own, which is 0. With missing
        values left out (`none`), they are 0 after the normalisation.
        """
        result = np.empty((len(cases), self.channels, self.steps(cases)), dtype=np.float32)
        for part in parts(len(cases), cases.channels * max(cases.length, self.length)):
            result[part] = self._apply(cases.values[part], cases.lengths[part])
        return result

    def series(
        self, cases: Collection, indices: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32] | PreparedSeries:
        """`apply`'s result for all cases or some; cases of a large collection are prepared when they are drawn."""
        if len(cases) * self.channels * self.steps(cases) > MAX_IN_MEMORY:
            return PreparedSeries(self, cases, indices)
        return self.apply(cases if indices is None else cases.subset(indices))

    def _apply(self, given: NDArray[np.floating], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
        absent = np.isnan(given)
        values = filled(given, lengths, self.missing) if absent.any() and self.missing != "none" else given
        if self.length:
            values, absent = resampled(values, absent, lengths, self.length)
            lengths = np.full(len(values), self.length, dtype=np.int64)
        valid = _valid(lengths, values.shape[2])
        if self.missing == "none":
            there = valid & ~np.isnan(values)
        else:
            values, there = np.where(np.isnan(values), self.mean[:, None], values), valid
        with np.errstate(over="ignore"):
            if self.normalise == "channel":
                values = (values - self.mean[:, None]) / self.scale[:, None]
            elif self.normalise == "case":
                mean, deviation = _moments(values, there, 2)
                values = (values - mean) / _scale(deviation, np.abs(mean))
        largest = np.finfo(np.float32).max
        values = np.where(there, values, 0).clip(-largest, largest).astype(np.float32)
        if not len(self.marked):
            return values
        return np.concatenate([values, absent[:, self.marked].astype(np.float32)], axis=1)


@dataclass(frozen=True)
class PreparedSeries:
    """The series of many cases, prepared when they are read.

    Attributes:
        preprocessing: fitted.
        cases: a collection, as a rule memory-mapped.
        indices: of the cases among them; None for all.
    """

    preprocessing: Preprocessing
    cases: Collection
    indices: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.cases) if self.indices is None else len(self.indices)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Cases, channels and time steps."""
        return len(self), self.preprocessing.channels, self.preprocessing.steps(self.cases)

    def __getitem__(self, which: NDArray[np.int64] | slice) -> NDArray[np.float32]:
        """The series of some of them, shape (cases, channels, time steps)."""
        if self.indices is not None:
            which = self.indices[which]
        return self.preprocessing.apply(
            Collection(self.cases.values[which], self.cases.lengths[which], self.cases.labels[which])
        )


def resampled(
    values: NDArray[np.floating], absent: NDArray[np.bool_], lengths: NDArray[np.int64], length: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Resamples every case to `length` evenly spaced steps by linear interpolation.

    A new step between a value and a missing one is missing.

    Args:
        values: shape (cases, channels, time steps).
        absent: of the same shape: True if a value is missing.
        lengths: shape (cases,), each case's own time steps.
        length: time steps of each case of the result.

    Returns:
        Values and absence, each of shape (cases, channels, length).
    """
    new = np.empty((len(values), values.shape[1], length))
    gaps = np.zeros(new.shape, dtype=bool)
    for old in np.unique(lengths):
        cases = np.flatnonzero(lengths == old)
        place = np.linspace(0, old - 1, length)
        below = np.floor(place).astype(np.int64)
        above = np.minimum(below + 1, old - 1)
        share = place - below
        low, high = (values[cases][:, :, steps].astype(np.float64) for steps in (below, above))
        new[cases] = np.where(share == 0, low, low + (high - low) * share)
        gaps[cases] = absent[cases][:, :, below] | ((share > 0) & absent[cases][:, :, above])
    return new, gaps


def common_length(lengths: NDArray[np.int64], wanted: int | str) -> int:
    """The number of time steps to resample to, at least 2; 0 if each case keeps its own."""
    if wanted == "keep":
        return 0
    if isinstance(wanted, int):
        return wanted
    share = {"shortest": 0.0, "median": 0.5, "longest": 1.0}[wanted]
    return max(2, round(float(np.quantile(lengths, share))))


def filled(given: NDArray[np.floating], lengths: NDArray[np.int64], how: str) -> NDArray[np.float64]:
    """The values with missing ones filled in from their own case and channel; a channel without any value stays NaN."""
    values = given.astype(np.float64)
    if how == "mean":
        return values
    for case, channel in np.argwhere(np.isnan(values).any(axis=2)):
        series = values[case, channel, : lengths[case]]  # a view
        there = np.flatnonzero(~np.isnan(series))
        if not len(there):
            continue
        steps = np.arange(len(series))
        if how == "linear":  # the first and last values extend to the ends
            series[:] = np.interp(steps, there, series[there])
        else:  # before the first value there is none to carry forward, so it is carried back
            series[:] = series[there[np.maximum(np.searchsorted(there, steps, side="right") - 1, 0)]]
    return values


def _valid(lengths: NDArray[np.int64], steps: int) -> NDArray[np.bool_]:
    """Shape (cases, 1, steps): which steps lie within the case's own length."""
    return (np.arange(steps) < lengths[:, None])[:, None, :]


def channel_means(cases: Collection) -> NDArray[np.float64]:
    """Each channel's mean over the values present, shape (channels,); 0 for a channel without any."""
    return _channel_moments(cases, None)[0]


def _channel_moments(
    cases: Collection, indices: NDArray[np.int64] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Each channel's mean, standard deviation and whether it lacks values, computed part by part."""
    gathered = list(_part_moments(cases, indices))
    if len(gathered) == 1:
        return gathered[0][1:]
    counts, means, deviations = (np.stack([part[index] for part in gathered]) for index in range(3))
    missing = np.logical_or.reduce([part[3] for part in gathered])
    # The moments of the whole from those of its parts, see Chan, Golub and LeVeque 1983.
    shares = counts / counts.sum(axis=0).clip(min=1)
    mean = (shares * means).sum(axis=0)
    variance = (shares * (deviations**2 + (means - mean) ** 2)).sum(axis=0)
    return mean, np.sqrt(variance), missing


def _part_moments(
    cases: Collection, indices: NDArray[np.int64] | None
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]]:
    """For each part and channel: the number of values present, their mean and deviation, and whether any is missing."""
    count = len(cases) if indices is None else len(indices)
    for part in parts(count, cases.channels * cases.length):
        chosen = part if indices is None else indices[part]
        values = cases.values[chosen]
        absent = np.isnan(values)
        there = _valid(cases.lengths[chosen], cases.length) & ~absent
        mean, deviation = (moments.reshape(-1) for moments in _moments(values, there, (0, 2)))
        yield there.sum(axis=(0, 2)).astype(np.float64), mean, deviation, absent.any(axis=(0, 2))


def _moments(
    values: NDArray[np.floating], valid: NDArray[np.bool_], axis: int | tuple[int, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of the valid values along some axes, which stay, with length 1; 0 of none."""
    values = np.where(valid, values, 0).astype(np.float64)
    exponent = np.frexp(np.abs(values).max(axis=axis, keepdims=True))[1]
    values = np.ldexp(values, -exponent)  # below 1, so that no square overflows; a power of 2 rounds nothing
    count = np.broadcast_to(valid, values.shape).sum(axis=axis, keepdims=True).clip(min=1)
    mean = values.sum(axis=axis, keepdims=True) / count
    variance = np.where(valid, (values - mean) ** 2, 0).sum(axis=axis, keepdims=True) / count
    return np.ldexp(mean, exponent), np.ldexp(np.sqrt(variance), exponent)


def _scale(deviation: NDArray[np.float64], level: NDArray[np.float64]) -> NDArray[np.float64]:
    """The deviation, or for a constant channel, which deviates by rounding errors alone, its level and at least 1."""
    constant = deviation <= 1e-7 * np.maximum(level, 1e-30)
    return np.where(constant, np.maximum(level, 1.0), deviation)
