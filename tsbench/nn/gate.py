"""Residual gates that begin at zero."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["Gate"]


class Gate(nn.Module):
    """`g x` with a learned factor for each feature, all 0 at first.

    In `y = g F(x) + x` a block then does nothing until its gradient says that it helps. After Bachlechner et al. 2021
    ("ReZero is all you need: fast convergence at large depth"), with a factor for each feature as in Touvron et al.
    2021 ("Going deeper with image transformers").

    Shape: (..., width), kept.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """The product."""
        return x * self.factor
