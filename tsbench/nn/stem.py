"""Stems, which shorten long series before the learned blocks."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from tsbench.nn.convolution import BatchNorm, average_steps

__all__ = ["AverageStem", "ConvolutionStem"]


class AverageStem(nn.Module):
    """Averages every `stride` valid steps into one.

    Shape: (cases, channels, steps) to (cases, channels, ceil(steps / stride)), and `valid` alike.
    """

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.width = channels
        self.stride = stride

    def forward(self, x: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """The last window of a case may be shorter."""
        return average_steps(x, valid, self.stride)


class ConvolutionStem(nn.Module):
    """A convolution of `2 stride - 1` steps at every `stride`-th step, with batch normalisation and ReLU.

    Shape: (cases, channels, steps) to (cases, width, ceil(steps / stride)), and `valid` alike.
    """

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.width = width
        self.stride = stride
        self.convolution = nn.Conv1d(channels, width, 2 * stride - 1, stride, padding=stride - 1, bias=False)
        self.norm = BatchNorm(width)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Padded steps of `x` must be 0; those of the output are 0."""
        y = self.convolution(x)
        shorter = None if valid is None else valid[:, :: self.stride]
        y = functional.relu(self.norm(y, shorter))
        return (y, None) if shorter is None else (y * shorter.unsqueeze(1), shorter)
