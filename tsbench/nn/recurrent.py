"""Residual recurrent layers, one- or bidirectional (rows N4 to N7)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tsbench.nn.gate import Gate
from tsbench.nn.generators import Dropout

__all__ = ["RecurrentEncoder", "reverse_steps"]

CELLS: dict[str, type[nn.LSTM] | type[nn.GRU]] = {"lstm": nn.LSTM, "gru": nn.GRU}


def reverse_steps(x: Tensor, valid: Tensor | None) -> Tensor:
    """Reverses each case within its own length, padded steps staying behind it.

    Shape: `x` is (cases, steps, features), `valid` (cases, steps).
    """
    if valid is None:
        return x.flip(1)
    steps = torch.arange(x.shape[1], device=x.device)
    lengths = valid.sum(1, keepdim=True)
    index = torch.where(valid, lengths - 1 - steps, steps)
    return x.gather(1, index.unsqueeze(2).expand(-1, -1, x.shape[2]))


class RecurrentLayer(nn.Module):
    """One recurrent layer, `h_t` of both directions concatenated, with its input added (rows N4, N6, N7).

    PyTorch's cells are as fast as a CPU allows. The two directions are separate cells, so that the backward one
    can begin at each case's own last step.

    Dropout falls on what the cells give, so that the residual path is never cut.

    Shape: (cases, steps, inputs) to (cases, steps, width).
    """

    def __init__(
        self,
        cell: str,
        inputs: int,
        hidden_size: int,
        bidirectional: bool,
        dropout: float = 0.0,
        gated: bool = False,
    ) -> None:
        super().__init__()
        make = CELLS[cell]
        self.ahead = make(inputs, hidden_size, batch_first=True)
        self.back = make(inputs, hidden_size, batch_first=True) if bidirectional else None
        self.width = hidden_size * (2 if bidirectional else 1)
        self.shortcut = nn.Identity() if inputs == self.width else nn.Linear(inputs, self.width)
        self.dropout = Dropout(dropout)
        self.gate = Gate(self.width) if gated else nn.Identity()

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Adds a linear projection of `x` if the widths differ, else `x` itself."""
        y: Tensor = self.ahead(x)[0]
        if self.back is not None:
            backward = self.back(reverse_steps(x, valid))[0]
            y = torch.cat([y, reverse_steps(backward, valid)], dim=2)
        shortcut: Tensor = self.shortcut(x)
        gated: Tensor = self.gate(self.dropout(y))
        return gated + shortcut


class RecurrentEncoder(nn.Module):
    """Recurrent layers, each with its own residual connection, dropout in each (rows N5, N7).

    Args:
        cell: `lstm` or `gru`.
        inputs: features of the input.
        layers: their number; 2 by default in the schema: one for short-range, one for long-range dependence.
        hidden_size: hidden units of each layer and direction.
        bidirectional: whether each layer reads in both directions.
        dropout: probability that a unit of a layer's cells is dropped.
        gated: whether what a layer's cells give is multiplied by a learned `Gate`, which begins at 0.

    Shape: (cases, steps, inputs) to (cases, steps, width).
    """

    def __init__(
        self,
        cell: str,
        inputs: int,
        layers: int,
        hidden_size: int,
        bidirectional: bool,
        dropout: float,
        gated: bool = False,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        self.width = inputs
        for _ in range(layers):
            layer = RecurrentLayer(cell, self.width, hidden_size, bidirectional, dropout, gated)
            self.layers.append(layer)
            self.width = layer.width

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Runs the layers in turn."""
        for layer in self.layers:
            x = layer(x, valid)
        return x
