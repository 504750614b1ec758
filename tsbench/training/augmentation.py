"""Random changes of training cases, by name; each keeps shapes, lengths and the zeros of padded steps.

They draw from the given generator, which is the job's own, on the series' device.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tsbench.adapters.torch import sample_dirichlet
from tsbench.recipe.schema import AugmentationConfig

__all__ = ["AUGMENTATIONS", "augment", "mixing"]

WINDOW = 0.1  # share of a case that window warping slows down or speeds up


def scaling(x: Tensor, lengths: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Each channel of each case times a factor of mean 1 and standard deviation `strength`."""
    factor = torch.empty(x.shape[0], x.shape[1], 1, device=x.device, dtype=x.dtype).normal_(generator=generator)
    return x * (1 + strength * factor)


def jitter(x: Tensor, lengths: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Normal noise of standard deviation `strength` on every valid step."""
    return x + strength * torch.empty_like(x).normal_(generator=generator) * _valid(x, lengths)


def window_warping(x: Tensor, lengths: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Of a share `strength` of the cases, a tenth is played at half or at double speed, the rest to fit the length.

    After Le Guennec, Malinowski and Tavenard 2016 ("Data augmentation for time series classification using
    convolutional neural networks"); steps in between are interpolated linearly.
    """
    cases = len(x)
    draw = torch.rand(3, cases, 1, device=x.device, dtype=x.dtype, generator=generator)
    length = lengths.to(x.dtype).unsqueeze(1)
    window = (WINDOW * length).floor()
    start = draw[0] * (length - window)
    stretch = torch.where(draw[1] < 0.5, 0.5, 2.0)
    warped = window * stretch
    step = torch.arange(x.shape[2], device=x.device, dtype=x.dtype)
    time = step * (length - window + warped - 1) / (length - 1).clamp(min=1)  # in the warped series
    source = torch.where(time < start, time, start + (time - start) / stretch)
    source = torch.where(time < start + warped, source, time - warped + window)
    source = torch.where(draw[2] < strength, source, step)
    source = torch.minimum(source.clamp(min=0), length - 1)
    below = source.floor()
    above = torch.minimum(below + 1, length - 1)
    low, high = (x.gather(2, index.long().unsqueeze(1).expand_as(x)) for index in (below, above))
    return (low + (high - low) * (source - below).unsqueeze(1)) * _valid(x, lengths)


AUGMENTATIONS: dict[str, Callable[[Tensor, Tensor, float, torch.Generator], Tensor]] = {
    "scaling": scaling,
    "window_warping": window_warping,
    "jitter": jitter,
}
"""Augmentations by their name in `training.augmentation`, in the order in which they are applied."""


def augment(x: Tensor, lengths: Tensor | None, config: AugmentationConfig, generator: torch.Generator) -> Tensor:
    """The cases changed by every augmentation whose strength is above 0.

    Args:
        x: shape (cases, channels, steps), 0 on padded steps.
        lengths: shape (cases,), or None if no case is padded.
        config: strengths by name.
        generator: of all random numbers; on the device of `x`.
    """
    for name, change in AUGMENTATIONS.items():
        strength = getattr(config, name)
        if strength > 0:
            if lengths is None:
                lengths = torch.full((len(x),), x.shape[2], device=x.device)
            x = change(x, lengths, strength, generator)
    return x


def mixing(cases: int, alpha: float, generator: torch.Generator) -> tuple[float, Tensor]:
    """Mixup's draw: the share of each case itself, from Beta(alpha, alpha), and the partner that gives the rest.

    After Zhang et al. 2018 ("mixup: beyond empirical risk minimization").
    """
    device = generator.device
    share = sample_dirichlet(torch.full((2,), alpha, device=device), generator)[0].item()
    return share, torch.randperm(cases, device=device, generator=generator)


def _valid(x: Tensor, lengths: Tensor) -> Tensor:
    return (torch.arange(x.shape[2], device=x.device) < lengths.unsqueeze(1)).unsqueeze(1).to(x.dtype)
