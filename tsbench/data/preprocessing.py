"""What is done to series before a classifier sees them; fitted on training cases alone."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tsbench.data.collection import Collection
from tsbench.recipe.schema import PreprocessingConfig

__all__ = ["Preprocessing"]


@dataclass(frozen=True)
class Preprocessing:
    """A fitted filling of missing values (NaN) and normalisation, `(x - mean) / scale`; padded steps stay 0.

    Attributes:
        normalise: `channel`, `case` or `none`.
        mean: shape (channels,), of the values that are there.
        scale: shape (channels,), standard deviations; see `_scale` for a constant channel; used by `channel`.
        missing: `linear`, `forward` or `mean`.
        marked: the channels of which a further channel tells where values are missing.
    """

    normalise: str
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    missing: str = "linear"
    marked: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    @classmethod
    def fit(cls, cases: Collection, config: PreprocessingConfig) -> Preprocessing:
        """Takes each channel's mean and standard deviation over all values of the training cases that are there."""
        absent = np.isnan(cases.values)
        mean, deviation = (one.reshape(-1) for one in _moments(cases.values, _valid(cases) & ~absent, (0, 2)))
        marked = np.flatnonzero(absent.any(axis=(0, 2))) if config.mark_missing else np.zeros(0, dtype=np.int64)
        return cls(config.normalise, mean, _scale(deviation, np.abs(mean)), config.missing, marked)

    @property
    def channels(self) -> int:
        """Channels of what `apply` gives."""
        return len(self.mean) + len(self.marked)

    def apply(self, cases: Collection) -> NDArray[np.float32]:
        """The normalised series, shape (cases, self.channels, longest length).

        What float32 cannot hold becomes its largest. Statistics and differences are in float64. A channel of which a
        case has no value at all becomes the training mean, or with `case` the case's own, which is 0.
        """
        valid = _valid(cases)
        absent = np.isnan(cases.values)
        values = _filled(cases, self.missing) if absent.any() else cases.values
        values = np.where(np.isnan(values), self.mean[:, None], values)
        with np.errstate(over="ignore"):
            if self.normalise == "channel":
                values = (values - self.mean[:, None]) / self.scale[:, None]
            elif self.normalise == "case":
                mean, deviation = _moments(values, valid, 2)
                values = (values - mean) / _scale(deviation, np.abs(mean))
        largest = np.finfo(np.float32).max
        values = np.where(valid, values, 0).clip(-largest, largest).astype(np.float32)
        if not len(self.marked):
            return values
        return np.concatenate([values, absent[:, self.marked].astype(np.float32)], axis=1)


def _filled(cases: Collection, how: str) -> NDArray[np.float64]:
    """The values with missing ones filled in from their own case and channel; a channel without any value stays NaN."""
    values = cases.values.astype(np.float64)
    if how == "mean":
        return values
    for case, channel in np.argwhere(np.isnan(values).any(axis=2)):
        series = values[case, channel, : cases.lengths[case]]  # a view
        there = np.flatnonzero(~np.isnan(series))
        if not len(there):
            continue
        steps = np.arange(len(series))
        if how == "linear":  # the first and last values reach to the ends
            series[:] = np.interp(steps, there, series[there])
        else:  # before the first value there is none to carry forward, so it is carried back
            series[:] = series[there[np.maximum(np.searchsorted(there, steps, side="right") - 1, 0)]]
    return values


def _valid(cases: Collection) -> NDArray[np.bool_]:
    """Shape (cases, 1, longest length): which steps lie within the case's own length."""
    return (np.arange(cases.length) < cases.lengths[:, None])[:, None, :]


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
