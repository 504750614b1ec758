"""Hydra's features: how often, and how strongly, each of several competing random kernels fits best."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from tsbench.recipe.schema import FeaturesConfig

__all__ = ["Hydra"]

TAPS = 9
GROUPS, KERNELS = 32, 8
"""Groups for each dilation, of the series and of their differences each, and kernels that compete in a group."""

MAX_CHANNELS = 8  # of a multivariate series that one group reads


class Hydra(nn.Module):
    """`sqrt(mean_t [k wins at t] max(response, 0))` and `sqrt(mean_t [k loses at t])` for each kernel of each group.

    After Dempster, Schmidt and Webb 2023 ("HYDRA: competing convolutional kernels for fast and accurate time series
    classification"): kernels of nine taps drawn from a normal distribution, less their mean, with absolute values that
    sum to 1; dilations 1, 2, 4, ... up to an eighth of the length; groups of eight kernels, of which at each time step
    the one with the largest response wins and the one with the smallest loses; one half of the groups reads the series,
    the other their first differences. A group of a multivariate series reads the sum of at most eight channels.

    The mean is over a case's own valid steps, so that padding changes nothing.

    Args:
        channels: channels of the series.
        length: longest training series in time steps.
        config: the `model.features` part of a recipe; unused.

    Shape: (cases, channels, steps) to (cases, width).
    """

    def __init__(self, channels: int, length: int, config: FeaturesConfig) -> None:
        super().__init__()
        exponent = int(math.log2(max(1.0, (length - 1) / (TAPS - 1))))
        self.dilations = [2**power for power in range(exponent + 1)]
        self.width = 2 * 2 * len(self.dilations) * GROUPS * KERNELS
        for number in range(2 * len(self.dilations)):
            self.register_buffer(f"kernels_{number}", torch.zeros(GROUPS * KERNELS, 1, TAPS))
            if channels > 1:
                self.register_buffer(f"channels_{number}", torch.ones(GROUPS, channels))

    @torch.no_grad()
    def prepare(self, x: Tensor, valid: Tensor | None, generator: torch.Generator) -> None:
        """Draws the kernels and the channels of each group; only the cases' number of channels is used.

        Args:
            x: the training cases.
            valid: their valid steps.
            generator: a CPU generator, so that every device draws the same.
        """
        for number in range(2 * len(self.dilations)):
            kernels = torch.randn(GROUPS * KERNELS, 1, TAPS, generator=generator)
            kernels = kernels - kernels.mean(2, keepdim=True)
            self.get_buffer(f"kernels_{number}").copy_(kernels / kernels.abs().sum(2, keepdim=True))
            if x.shape[1] > 1:
                count = min(x.shape[1], max(2, x.shape[1] // 2), MAX_CHANNELS)
                chosen = torch.zeros(GROUPS, x.shape[1])
                for group in range(GROUPS):
                    chosen[group, torch.randperm(x.shape[1], generator=generator)[:count]] = 1.0
                self.get_buffer(f"channels_{number}").copy_(chosen)

    @torch.no_grad()  # no learned weight stands before it
    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Roots of mean responses and of shares; padded steps of `x` must be 0."""
        differences, both = x[:, :, 1:] - x[:, :, :-1], None if valid is None else valid[:, 1:]
        if x.shape[2] == 1:  # there is no difference, so no step counts
            differences, both = torch.zeros_like(x), torch.zeros(len(x), 1, dtype=torch.bool, device=x.device)
        if both is not None:
            differences = differences * both.unsqueeze(1)
        features = []
        for number, dilation in enumerate(self.dilations):
            features += self._count(x, valid, 2 * number, dilation)
            features += self._count(differences, both, 2 * number + 1, dilation)
        return torch.cat(features, dim=1)

    def _count(self, x: Tensor, valid: Tensor | None, number: int, dilation: int) -> list[Tensor]:
        kernels = self.get_buffer(f"kernels_{number}").to(x.dtype)
        if x.shape[1] > 1:
            chosen = self.get_buffer(f"channels_{number}").to(x.dtype)
            x = torch.einsum("ncs,gc->ngs", x, chosen)
            response = functional.conv1d(x, kernels, dilation=dilation, padding=dilation * (TAPS // 2), groups=GROUPS)
        else:
            response = functional.conv1d(x, kernels, dilation=dilation, padding=dilation * (TAPS // 2))
        response = response.view(len(x), GROUPS, KERNELS, -1)
        if valid is None:
            share = torch.full((1, 1, 1, 1), 1 / response.shape[3], dtype=x.dtype, device=x.device)
        else:
            mask = valid[:, None, None, :].to(x.dtype)
            share = mask / mask.sum(3, keepdim=True).clamp(min=1)
        # It is written twice: new tensors of this size take most of the time.
        chosen = torch.empty_like(response, dtype=x.dtype)
        torch.eq(response, response.amin(2, keepdim=True), out=chosen)
        lost = chosen.mul_(share).sum(3).sqrt()
        torch.eq(response, response.amax(2, keepdim=True), out=chosen)
        won = chosen.mul_(response).mul_(share).sum(3).clamp(min=0).sqrt()
        return [won.flatten(1), lost.flatten(1)]
