"""Multi-scale convolutions with batch normalisation over valid steps (rows N1 to N3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["BatchNorm", "MultiScaleConvolution", "average_steps"]


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation whose statistics leave padded steps out (row N3)."""

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Normalises `x` of shape (cases, channels, steps); padded steps of the output are 0."""
        if valid is None:
            return super().forward(x)
        mask = valid.unsqueeze(1).to(x.dtype)
        if not self.training:
            return super().forward(x) * mask
        count = mask.sum()
        mean = (x * mask).sum((0, 2)) / count
        centred = (x - mean[:, None]) * mask
        variance = (centred**2).sum((0, 2)) / count
        with torch.no_grad():
            momentum = self.momentum or 0.0
            unbiased = variance * count / (count - 1).clamp(min=1)
            assert self.running_mean is not None
            assert self.running_var is not None
            assert self.num_batches_tracked is not None
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
            self.running_var.lerp_(unbiased.to(self.running_var.dtype), momentum)
            self.num_batches_tracked.add_(1)
        normalised = centred / torch.sqrt(variance + self.eps)[:, None]
        return (normalised * self.weight[:, None] + self.bias[:, None]) * mask


def _same_convolution(channels: int, width: int, kernel: int) -> nn.Module:
    """A convolution that keeps the length; an even kernel reaches one step further ahead than back."""
    if kernel % 2 == 1:
        return nn.Conv1d(channels, width, kernel, padding=kernel // 2, bias=False)
    pad = nn.ConstantPad1d(((kernel - 1) // 2, kernel // 2), 0.0)
    return nn.Sequential(pad, nn.Conv1d(channels, width, kernel, bias=False))


class MultiScaleConvolution(nn.Module):
    """Parallel 'same' convolutions of several lengths, concatenated, normalised and rectified (rows N1 to N3).

    Args:
        channels: channels of the input.
        kernels: lengths in time steps; the documents' short, medium and long are 3, 5 and 7.
        width: output channels of each convolution.

    Shape: (cases, channels, steps) to (cases, width * len(kernels), steps).
    """

    def __init__(self, channels: int, kernels: tuple[int, ...], width: int) -> None:
        super().__init__()
        # Batch normalisation subtracts the mean, so a bias would be learned for nothing.
        self.branches = nn.ModuleList(_same_convolution(channels, width, k) for k in kernels)
        self.norm = BatchNorm(width * len(kernels))
        self.width = width * len(kernels)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Padded steps of `x` must be 0, as the zeros of 'same' padding are; those of the output are 0."""
        y = torch.cat([branch(x) for branch in self.branches], dim=1)
        y = functional.relu(self.norm(y, valid))
        return y if valid is None else y * valid.unsqueeze(1)


def average_steps(x: Tensor, valid: Tensor | None, stride: int) -> tuple[Tensor, Tensor | None]:
    """Averages every `stride` time steps into one, over valid steps only; the last window may be shorter.

    Shape: (cases, channels, steps) to (cases, channels, ceil(steps / stride)), and `valid` alike.
    """
    if stride == 1:
        return x, valid
    if valid is None:
        return functional.avg_pool1d(x, stride, ceil_mode=True), None
    mask = valid.unsqueeze(1).to(x.dtype)
    share = functional.avg_pool1d(mask, stride, ceil_mode=True)
    average = functional.avg_pool1d(x * mask, stride, ceil_mode=True) / share.clamp(min=0.5 / stride)
    return average, share.squeeze(1) > 0
