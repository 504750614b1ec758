"""What is done to series before a classifier sees them; fitted on training cases alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tsbench.data.collection import Collection
from tsbench.recipe.schema import PreprocessingConfig

__all__ = ["Preprocessing"]


@dataclass(frozen=True)
class Preprocessing:
    """A fitted normalisation: `(x - mean) / scale`, padded steps staying 0.

    Attributes:
        normalise: `channel`, `case` or `none`.
        mean: shape (channels,); used by `channel`.
        scale: shape (channels,), standard deviations; see `_scale` for a constant channel; used by `channel`.
    """

    normalise: str
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    @classmethod
    def fit(cls, cases: Collection, config: PreprocessingConfig) -> Preprocessing:
        """Takes each channel's mean and standard deviation over all valid steps of the training cases."""
        mean, deviation = (one.reshape(-1) for one in _moments(cases.values, _valid(cases), (0, 2)))
        return cls(config.normalise, mean, _scale(deviation, np.abs(mean)))

    def apply(self, cases: Collection) -> NDArray[np.float32]:
        """The normalised series, shape (cases, channels, longest length); what float32 cannot hold becomes its largest.

        Statistics and differences are in float64.
        """
        valid = _valid(cases)
        values = cases.values
        with np.errstate(over="ignore"):
            if self.normalise == "channel":
                values = (values - self.mean[:, None]) / self.scale[:, None]
            elif self.normalise == "case":
                mean, deviation = _moments(values, valid, 2)
                values = (values - mean) / _scale(deviation, np.abs(mean))
        largest = np.finfo(np.float32).max
        return np.where(valid, values, 0).clip(-largest, largest).astype(np.float32)


def _valid(cases: Collection) -> NDArray[np.bool_]:
    """Shape (cases, 1, longest length): which steps lie within the case's own length."""
    return (np.arange(cases.length) < cases.lengths[:, None])[:, None, :]


def _moments(
    values: NDArray[np.floating], valid: NDArray[np.bool_], axis: int | tuple[int, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of the valid steps along some axes, which stay, with length 1."""
    values = np.where(valid, values, 0).astype(np.float64)
    exponent = np.frexp(np.abs(values).max(axis=axis, keepdims=True))[1]
    values = np.ldexp(values, -exponent)  # below 1, so that no square overflows; a power of 2 rounds nothing
    count = valid.sum(axis=axis, keepdims=True)
    mean = values.sum(axis=axis, keepdims=True) / count
    variance = np.where(valid, (values - mean) ** 2, 0).sum(axis=axis, keepdims=True) / count
    return np.ldexp(mean, exponent), np.ldexp(np.sqrt(variance), exponent)


def _scale(deviation: NDArray[np.float64], level: NDArray[np.float64]) -> NDArray[np.float64]:
    """The deviation, or for a constant channel, which deviates by rounding errors alone, its level and at least 1."""
    constant = deviation <= 1e-7 * np.maximum(level, 1e-30)
    return np.where(constant, np.maximum(level, 1.0), deviation)
