"""Multi-scale convolutions with batch normalisation over valid steps (rows N1 to N3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from tsbench.recipe.schema import ConvolutionConfig

__all__ = [
    "BatchNorm",
    "ConvolutionStack",
    "FixedFilters",
    "MultiScaleConvolution",
    "ResidualConvolution",
    "average_steps",
    "kernel_lengths",
    "same_convolution",
    "side_by_side",
]


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation whose statistics leave padded steps out (row N3).

    It is PyTorch's of four dimensions, one of which has size 1, as only that one is fast if the channels of a step
    lie side by side in memory; see `side_by_side`.
    """

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Normalises `x` of shape (cases, channels, steps); padded steps of the output are 0."""
        if valid is None and (not self.training or x.shape[0] * x.shape[2] > 1):
            return self._normalised(x)
        if valid is None:  # one case of one step, which PyTorch refuses: its deviation is 0
            valid = torch.ones(1, 1, dtype=torch.bool, device=x.device)
        if not self.training:
            return self._normalised(x) * valid.unsqueeze(1).to(x.dtype)
        given = x.dtype
        x = x.to(self.weight.dtype)  # under autocast: sums of many steps need more than bfloat16's 8 bits
        mask = valid.unsqueeze(1).to(x.dtype)
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
            # Not by lerp_, which torch.func.vmap runs network by network when many are stacked into one.
            self.running_mean.add_(mean.to(self.running_mean.dtype) - self.running_mean, alpha=momentum)
            self.running_var.add_(unbiased.to(self.running_var.dtype) - self.running_var, alpha=momentum)
            self.num_batches_tracked.add_(1)
        normalised = centred / torch.sqrt(variance + self.eps)[:, None]
        return ((normalised * self.weight[:, None] + self.bias[:, None]) * mask).to(given)

    def _normalised(self, x: Tensor) -> Tensor:
        y: Tensor = super().forward(x.unsqueeze(2))
        return y.squeeze(2)


def side_by_side(parts: Sequence[Tensor]) -> Tensor:
    """Concatenates channels, so that those of a step lie side by side in memory on a CPU.

    Dilated convolutions and batch normalisation are up to twice as fast on this layout there; what follows keeps it.
    The result has the shape and values of any other layout.

    Args:
        parts: shape (cases, channels, steps) each.
    """
    if parts[0].device.type != "cpu":
        return torch.cat(tuple(parts), dim=1)
    return torch.cat([part.transpose(1, 2) for part in parts], dim=2).transpose(1, 2)


class Convolution(nn.Conv1d):
    """PyTorch's convolution, which on a CPU also keeps and uses the layout of `side_by_side`.

    PyTorch computes a convolution of one dimension as one of two, of which one has size 1, but copies its input to the
    other layout first.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Shape (cases, channels, steps) to (cases, width, steps)."""
        if x.device.type != "cpu":
            return super().forward(x)
        assert not isinstance(self.padding, str)  # numbers are given
        stride, padding, dilation = (1, *self.stride), (0, *self.padding), (1, *self.dilation)
        inputs, weight = x.unsqueeze(2), self.weight.unsqueeze(2)
        return functional.conv2d(inputs, weight, self.bias, stride, padding, dilation, self.groups).squeeze(2)


def same_convolution(channels: int, width: int, kernel: int, dilation: int = 1, groups: int = 1) -> nn.Module:
    """A convolution that keeps the length; an even kernel reaches one step further ahead than back."""
    reach = (kernel - 1) * dilation
    if reach % 2 == 0:
        return Convolution(channels, width, kernel, padding=reach // 2, dilation=dilation, groups=groups, bias=False)
    pad = nn.ConstantPad1d((reach // 2, reach - reach // 2), 0.0)
    return nn.Sequential(pad, Convolution(channels, width, kernel, dilation=dilation, groups=groups, bias=False))


def kernel_lengths(kernels: Iterable[int | float], length: int) -> list[int]:
    """Kernels in time steps; one below 1 is that share of `length`, rounded to an odd number of at least 3."""
    return [
        kernel if isinstance(kernel, int) else max(3, 2 * round((kernel * length - 1) / 2) + 1) for kernel in kernels
    ]


class MultiScaleConvolution(nn.Module):
    """Parallel 'same' convolutions of several lengths, concatenated, normalised and rectified (rows N1 to N3).

    Args:
        channels: channels of the input.
        kernels: lengths in time steps; the documents' short, medium and long are 3, 5 and 7.
        width: output channels of each convolution.
        dilation: time steps between two neighbouring taps of a kernel.
        fixed_filters: concatenate the responses of `FixedFilters` too.

    Shape: (cases, channels, steps) to (cases, self.width, steps).
    """

    def __init__(
        self, channels: int, kernels: Sequence[int], width: int, dilation: int = 1, fixed_filters: bool = False
    ) -> None:
        super().__init__()
        # Batch normalisation subtracts the mean, so a bias would be learned for nothing.
        self.branches = nn.ModuleList(same_convolution(channels, width, k, dilation) for k in kernels)
        self.width = width * len(kernels)
        if fixed_filters:
            filters = FixedFilters(channels)
            self.branches.append(filters)
            self.width += filters.width
        self.norm = BatchNorm(self.width)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Padded steps of `x` must be 0, as the zeros of 'same' padding are; those of the output are 0."""
        y = side_by_side([branch(x) for branch in self.branches])
        y = functional.relu(self.norm(y, valid))
        return y if valid is None else y * valid.unsqueeze(1)


class FixedFilters(nn.Module):
    """Hand-crafted filters, not learned, for a rise, a fall and a peak at several lengths.

    Of Ismail-Fawaz et al. 2022 ("Deep learning for time series classification using new hand-crafted convolution
    filters"): `(-1)^(i+1)` and `(-1)^i` for i = 0 ... k - 1, k = 2, 4, ..., 64, and for k = 6, 12, ..., 96 a parabola
    up and down over half of the steps between two negative ones of half its height. Each reads the channels' sum.

    Shape: (cases, channels, steps) to (cases, 17, steps).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        filters = [sign * _alternating(2**power) for power in range(1, 7) for sign in (1.0, -1.0)]
        filters += [_peak(6 * 2**power) for power in range(5)]
        self.width = len(filters)
        for number, kernel in enumerate(filters):
            self.register_buffer(f"filter_{number}", kernel.expand(1, channels, -1).clone(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """'Same' convolutions with each filter."""
        responses = []
        for buffer in self.buffers():
            reach = buffer.shape[2] - 1
            padded = functional.pad(x, (reach // 2, reach - reach // 2))
            responses.append(functional.conv1d(padded, buffer.to(x.dtype)))
        return torch.cat(responses, dim=1)


def _alternating(length: int) -> Tensor:
    return torch.tensor([-1.0, 1.0]).repeat(length // 2)


def _peak(length: int) -> Tensor:
    quarter = max(1, length // 4)
    side = (torch.arange(1, quarter + 1) / quarter) ** 2
    hill = torch.cat([side, side.flip(0)])
    return torch.cat([-hill, 2 * hill, -hill])


class ResidualConvolution(nn.Module):
    """A further multi-scale block, `relu(norm(F(x)) + x)`, with a linear projection if the widths differ.

    `F` first narrows the input to `width` channels (a bottleneck, as InceptionTime's), then convolves them with each
    kernel in parallel. Separable, each channel is convolved by itself and a 1x1 convolution mixes them (as LITE's).

    Shape: (cases, channels, steps) to (cases, width * len(kernels), steps).
    """

    def __init__(self, channels: int, kernels: Sequence[int], width: int, dilation: int, separable: bool) -> None:
        super().__init__()
        self.bottleneck = Convolution(channels, width, 1, bias=False)
        self.branches = nn.ModuleList(
            nn.Sequential(
                same_convolution(width, width, k, dilation, groups=width), Convolution(width, width, 1, bias=False)
            )
            if separable
            else same_convolution(width, width, k, dilation)
            for k in kernels
        )
        self.width = width * len(kernels)
        self.norm = BatchNorm(self.width)
        self.shortcut = nn.Identity() if channels == self.width else Convolution(channels, self.width, 1, bias=False)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Padded steps of `x` must be 0; those of the output are 0."""
        narrow = self.bottleneck(x)
        y = self.norm(side_by_side([branch(narrow) for branch in self.branches]), valid)
        y = functional.relu(y + self.shortcut(x))
        return y if valid is None else y * valid.unsqueeze(1)


class ConvolutionStack(nn.Module):
    """The configured blocks of multi-scale convolutions in turn.

    Args:
        channels: channels of the input.
        config: the `model.convolution` part of a recipe; its first block is rows N1 to N3.
        length: longest training series in time steps; settles kernels that are shares of it.

    Shape: (cases, channels, steps) to (cases, self.width, steps).
    """

    def __init__(self, channels: int, config: ConvolutionConfig, length: int) -> None:
        super().__init__()
        kernels = kernel_lengths(config.kernels, length)
        first = MultiScaleConvolution(channels, kernels, config.channels, fixed_filters=config.fixed_filters)
        self.blocks = nn.ModuleList([first])
        self.width = first.width
        for block in range(1, config.blocks):
            layer = ResidualConvolution(self.width, kernels, config.channels, config.dilation**block, config.separable)
            self.blocks.append(layer)
            self.width = layer.width

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Padded steps of `x` must be 0; those of the output are 0."""
        for block in self.blocks:
            x = block(x, valid)
        return x


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
