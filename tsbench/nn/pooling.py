"""Global pooling over valid time steps (rows N12 to N14)."""

from __future__ import annotations

import torch
from torch import Tensor

from tsbench.recipe.registries import POOLINGS

__all__ = ["pool"]


def pool(x: Tensor, valid: Tensor | None, kind: str) -> Tensor:
    """Pools over time.

    Args:
        x: shape (cases, channels, steps).
        valid: shape (cases, steps), or None.
        kind: `max` (row N12), `average` (row N13), or `both`, concatenated in this order (row N14).

    Returns:
        Shape (cases, channels), or (cases, 2 * channels) for `both`.
    """
    # Over the second dimension, as gradients then have the layout of `side_by_side`.
    steps = x.transpose(1, 2)
    return torch.cat([_POOLS[name](steps, valid) for name in POOLINGS[kind]], dim=1)


def _max(steps: Tensor, valid: Tensor | None) -> Tensor:
    if valid is not None:
        steps = steps.masked_fill(~valid.unsqueeze(2), float("-inf"))
    return steps.amax(dim=1)


def _average(steps: Tensor, valid: Tensor | None) -> Tensor:
    if valid is None:
        return steps.mean(dim=1)
    mask = valid.unsqueeze(2).to(steps.dtype)
    return (steps * mask).sum(dim=1) / mask.sum(dim=1)


_POOLS = {"max": _max, "average": _average}
