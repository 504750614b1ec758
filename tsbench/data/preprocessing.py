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
        scale: shape (channels,), standard deviations, 1 for a constant channel; used by `channel`.
    """

    normalise: str
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    @classmethod
    def fit(cls, cases: Collection, config: PreprocessingConfig) -> Preprocessing:
        """Takes each channel's mean and standard deviation over all valid steps of the training cases."""
        valid = _valid(cases)
        count = valid.sum()
        mean = np.where(valid, cases.values, 0).sum(axis=(0, 2)) / count
        variance = np.where(valid, (cases.values - mean[:, None]) ** 2, 0).sum(axis=(0, 2)) / count
        return cls(config.normalise, mean, _scale(np.sqrt(variance), np.abs(mean)))

    def apply(self, cases: Collection) -> NDArray[np.float32]:
        """The normalised series, shape (cases, channels, longest length)."""
        valid = _valid(cases)
        values = cases.values
        if self.normalise == "channel":
            values = (values - self.mean[:, None]) / self.scale[:, None]
        elif self.normalise == "case":
            steps = cases.lengths[:, None, None]
            mean = np.where(valid, values, 0).sum(axis=2, keepdims=True) / steps
            variance = np.where(valid, (values - mean) ** 2, 0).sum(axis=2, keepdims=True) / steps
            values = (values - mean) / _scale(np.sqrt(variance), np.abs(mean))
        return np.where(valid, values, 0).astype(np.float32)


def _valid(cases: Collection) -> NDArray[np.bool_]:
    """Shape (cases, 1, longest length): which steps lie within the case's own length."""
    return (np.arange(cases.length) < cases.lengths[:, None])[:, None, :]


def _scale(deviation: NDArray[np.float64], level: NDArray[np.float64]) -> NDArray[np.float64]:
    """A constant channel deviates by rounding errors alone; it is centred and not blown up."""
    constant = deviation <= 1e-7 * np.maximum(level, 1e-30)
    return np.where(constant, 1.0, deviation)
