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
    pooled = [_POOLS[name](x, valid) for name in POOLINGS[kind]]
    return torch.cat(pooled, dim=1)


def _max(x: Tensor, valid: Tensor | None) -> Tensor:
    if valid is not None:
        x = x.masked_fill(~valid.unsqueeze(1), float("-inf"))
    return x.amax(dim=2)


def _average(x: Tensor, valid: Tensor | None) -> Tensor:
    if valid is None:
        return x.mean(dim=2)
    mask = valid.unsqueeze(1).to(x.dtype)
    return (x * mask).sum(dim=2) / mask.sum(dim=2)


_POOLS = {"max": _max, "average": _average}
