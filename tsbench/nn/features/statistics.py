"""Plain statistics of each series."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tsbench.recipe.schema import FeaturesConfig

__all__ = ["Statistics"]


class Statistics(nn.Module):
    """Of each channel over a case's valid steps: mean, standard deviation, minimum, maximum and slope.

    The slope is that of the least-squares line over time from -1/2 to 1/2. Worth having where level and scale tell the
    classes apart; `preprocessing.normalise: case` takes both away.

    Shape: (cases, channels, steps) to (cases, 5 * channels).
    """

    def __init__(self, channels: int, length: int, config: FeaturesConfig) -> None:
        super().__init__()
        self.width = 5 * channels

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Padded steps reach none of them."""
        if valid is None:
            valid = torch.ones(len(x), x.shape[2], dtype=torch.bool, device=x.device)
        inside = valid.unsqueeze(1)
        mask = inside.to(x.dtype)
        count = mask.sum(2)
        mean = (x * mask).sum(2) / count
        centred = (x - mean.unsqueeze(2)) * mask
        deviation = ((centred**2).sum(2) / count).sqrt()
        step = torch.arange(x.shape[2], device=x.device, dtype=x.dtype)
        time = (step / (count - 1).clamp(min=1).unsqueeze(2) - 0.5) * mask
        slope = (centred * time).sum(2) / (time**2).sum(2).clamp(min=1e-12)
        low = x.masked_fill(~inside, float("inf")).amin(2)
        high = x.masked_fill(~inside, float("-inf")).amax(2)
        return torch.cat([mean, deviation, low, high, slope], dim=1)
