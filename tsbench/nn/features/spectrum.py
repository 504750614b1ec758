"""Features of the frequency domain."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from tsbench.recipe.schema import FeaturesConfig

__all__ = ["Spectrum"]

FREQUENCIES = 64


class Spectrum(nn.Module):
    """`log(1 + |sum_t x_t exp(-2 pi i k t / T)|^2 / T)` of each channel, for k = 1 ... 64 cycles over a case's T steps.

    Frequencies at and beyond half a cycle a step are left out for the longest training series.

    Shape: (cases, channels, steps) to (cases, channels * frequencies).
    """

    def __init__(self, channels: int, length: int, config: FeaturesConfig) -> None:
        super().__init__()
        self.frequencies = max(1, min(FREQUENCIES, (length - 1) // 2))
        self.width = channels * self.frequencies

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Padded steps of `x` must be 0."""
        step = torch.arange(x.shape[2], device=x.device, dtype=x.dtype)
        cycle = torch.arange(1, self.frequencies + 1, device=x.device, dtype=x.dtype)
        if valid is None:
            lengths = torch.full((1, 1, 1), x.shape[2], device=x.device, dtype=x.dtype)
        else:
            lengths = valid.sum(1).to(x.dtype)[:, None, None]
        angle = 2 * math.pi * step[:, None] * cycle / lengths  # (cases or 1, steps, frequencies)
        power = (x @ torch.cos(angle)) ** 2 + (x @ torch.sin(angle)) ** 2
        return torch.log1p(power / lengths).flatten(1)
