"""First differences as further channels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["Differences"]


class Differences(nn.Module):
    """A case's channels, and `(x_t - x_(t-1)) / s` of each, with 0 at the first step.

    `s` is the standard deviation of the differences of the training cases, or 1 if they never differ.

    Shape: (cases, channels, steps) to (cases, 2 * channels, steps).
    """

    scale: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.width = 2 * channels
        self.register_buffer("scale", torch.ones(channels))

    @torch.no_grad()
    def prepare(self, x: Tensor, valid: Tensor | None) -> None:
        """Takes the deviation of the training cases' differences over valid steps."""
        differences = self._differences(x, valid)
        count = differences[:, 0].numel() if valid is None else int(valid.sum())
        centred = differences - differences.sum((0, 2), keepdim=True) / count
        if valid is not None:
            centred = centred * valid.unsqueeze(1)
        deviation = ((centred**2).sum((0, 2)) / count).sqrt()
        self.scale.copy_(torch.where(deviation > 1e-6, 1 / deviation.clamp(min=1e-6), torch.ones_like(deviation)))

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Padded steps of `x` must be 0; those of the output are 0."""
        return torch.cat([x, self._differences(x, valid) * self.scale[:, None].to(x.dtype)], dim=1)

    def _differences(self, x: Tensor, valid: Tensor | None) -> Tensor:
        differences = torch.cat([torch.zeros_like(x[:, :, :1]), x[:, :, 1:] - x[:, :, :-1]], dim=2)
        return differences if valid is None else differences * valid.unsqueeze(1)
