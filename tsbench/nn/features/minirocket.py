"""MiniROCKET's features: shares of positive responses of fixed dilated kernels."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tsbench.recipe.schema import FeaturesConfig

__all__ = ["MiniRocket"]

TAPS = 9
MAX_DILATIONS = 32
MAX_CHANNELS = 9  # of a multivariate series that one kernel reads


class MiniRocket(nn.Module):
    """`mean_t [response_t > bias]` for 84 kernels, many dilations and several biases each.

    After Dempster, Schmidt and Webb 2021 ("MiniRocket: a very fast (almost) deterministic transform for time series
    classification"): the kernels have nine taps, three of weight 2 and six of weight -1; dilations grow
    exponentially to `(length - 1) / 8`; biases are quantiles of the responses of randomly drawn training cases; every
    second kernel leaves out the steps at which it reaches beyond the series. Of a multivariate series each pair of
    kernel and dilation reads the sum of a random subset of channels.

    The share is of a case's own valid steps, so that padding changes nothing.

    Args:
        channels: channels of the series.
        length: longest training series in time steps.
        config: `size` is the number of features, rounded down to a multiple of 84, at least 84.

    Shape: (cases, channels, steps) to (cases, width).
    """

    kernels: Tensor

    def __init__(self, channels: int, length: int, config: FeaturesConfig) -> None:
        super().__init__()
        triples = list(combinations(range(TAPS), 3))
        kernels = torch.full((len(triples), 1, TAPS), -1.0)
        for number, triple in enumerate(triples):
            kernels[number, 0, list(triple)] = 2.0
        self.register_buffer("kernels", kernels, persistent=False)
        self.dilations, self.counts = _dilations(length, max(1, config.size // len(triples)))
        self.width = len(triples) * sum(self.counts)
        for number, count in enumerate(self.counts):
            self.register_buffer(f"bias_{number}", torch.zeros(len(triples), count))
            if channels > 1:
                self.register_buffer(f"channels_{number}", torch.ones(len(triples), channels))

    @torch.no_grad()
    def prepare(self, x: Tensor, valid: Tensor | None, generator: torch.Generator) -> None:
        """Draws the channels of each kernel, and its biases from the responses of training cases.

        Args:
            x: the training cases.
            valid: their valid steps.
            generator: a CPU generator, so that every device draws the same.
        """
        shares = torch.split(
            _low_discrepancy(self.width).to(x.device), [len(self.kernels) * count for count in self.counts]
        )
        for number, dilation in enumerate(self.dilations):
            if x.shape[1] > 1:
                self._draw_channels(number, x.shape[1], generator)
            drawn = torch.randint(len(x), (len(self.kernels),), generator=generator).to(x.device)
            cases, one_valid = x[drawn], None if valid is None else valid[drawn]
            kernel = torch.arange(len(self.kernels), device=x.device)
            response = self._respond(cases, number)[kernel, kernel]
            inside = self._inside(x.shape[2], dilation, one_valid, x.device)
            inside = inside.expand(len(kernel), -1, -1)[kernel, kernel]
            response = response.masked_fill(~inside, math.inf).sort(dim=1).values
            last = (inside.sum(1, keepdim=True) - 1).to(x.dtype)
            place = shares[number].to(x.dtype).view(len(self.kernels), -1) * last
            below = place.floor()
            low = response.gather(1, below.long())
            high = response.gather(1, torch.minimum(below + 1, last).long())
            self.get_buffer(f"bias_{number}").copy_(low + (high - low) * (place - below))

    @torch.no_grad()  # no learned weight stands before it
    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Shares between 0 and 1."""
        features = []
        for number, dilation in enumerate(self.dilations):
            response = self._respond(x, number)
            inside = self._inside(x.shape[2], dilation, valid, x.device).to(x.dtype)
            weight = inside / inside.sum(2, keepdim=True)
            # It is written again and again: three times as fast as new tensors.
            above = torch.empty_like(response, dtype=x.dtype)
            for bias in self.get_buffer(f"bias_{number}").unbind(1):
                torch.gt(response, bias.to(x.dtype)[:, None], out=above)
                features.append(above.mul_(weight).sum(2))
        return torch.stack(features, dim=2).flatten(1)

    def _respond(self, x: Tensor, number: int) -> Tensor:
        """Every kernel's response, shape (cases, kernels, steps), at the dilation of this number."""
        weight = self.kernels.to(x.dtype)
        if x.shape[1] > 1:
            weight = weight * self.get_buffer(f"channels_{number}").to(x.dtype)[:, :, None]
        dilation = self.dilations[number]
        return functional.conv1d(x, weight, dilation=dilation, padding=dilation * (TAPS // 2))

    def _inside(self, steps: int, dilation: int, valid: Tensor | None, device: torch.device) -> Tensor:
        """The steps that count, shape (cases or 1, kernels, steps)."""
        reach = dilation * (TAPS // 2)
        step = torch.arange(steps, device=device)
        full = torch.full((1, 1), steps, device=device)
        lengths = full if valid is None else valid.sum(1, keepdim=True)
        whole = step < lengths
        middle = (step >= reach) & (step < lengths - reach)
        # A case too short for any whole response counts all of its steps.
        middle = middle | (whole & ~middle.any(1, keepdim=True))
        padded = (torch.arange(len(self.kernels), device=device) + self.dilations.index(dilation)) % 2 == 0
        # The middle is a part of the whole; ONNX Runtime does not support `torch.where` of bools.
        return middle[:, None] | (whole[:, None] & padded[:, None])

    def _draw_channels(self, number: int, channels: int, generator: torch.Generator) -> None:
        most = math.log2(min(channels, MAX_CHANNELS) + 1)
        chosen = torch.zeros(len(self.kernels), channels)
        for kernel in range(len(self.kernels)):
            count = int(2 ** (torch.rand((), generator=generator).item() * most))
            chosen[kernel, torch.randperm(channels, generator=generator)[:count]] = 1.0
        self.get_buffer(f"channels_{number}").copy_(chosen)


def _dilations(length: int, per_kernel: int) -> tuple[list[int], list[int]]:
    """The dilations, and the number of a kernel's features at each."""
    most = min(per_kernel, MAX_DILATIONS)
    exponent = math.log2(max(1.0, (length - 1) / (TAPS - 1)))
    dilations, repeats = np.unique(np.logspace(0, exponent, most, base=2).astype(int), return_counts=True)
    counts = (repeats * (per_kernel / most)).astype(int)
    for number in range(per_kernel - int(counts.sum())):
        counts[number % len(counts)] += 1
    return dilations.tolist(), counts.tolist()


def _low_discrepancy(count: int) -> Tensor:
    """Fractions of multiples of the golden ratio, spread evenly between 0 and 1."""
    golden = (math.sqrt(5) + 1) / 2
    return (torch.arange(1, count + 1, dtype=torch.float64) * golden) % 1
