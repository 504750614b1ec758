"""Self-attention and the Transformer encoder (rows N8, N10, N11)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from tsbench.nn.generators import Dropout

__all__ = ["SelfAttention", "TransformerEncoder", "positions"]


class SelfAttention(nn.Module):
    """`softmax(Q K^T / sqrt(d_k)) V` over all time steps (row N8), with several heads (row N10).

    With one head this is row N8 exactly, without an output projection. With several, each head is `d_k =
    ceil(width / heads)` wide and their concatenation is projected back.

    Shape: (cases, steps, width) to (cases, steps, width).
    """

    def __init__(self, width: int, heads: int = 1) -> None:
        super().__init__()
        self.heads = heads
        self.head_width = math.ceil(width / heads)
        inner = heads * self.head_width
        self.query = nn.Linear(width, inner, bias=False)
        self.key = nn.Linear(width, inner, bias=False)
        self.value = nn.Linear(width, inner, bias=False)
        self.output = nn.Identity() if heads == 1 else nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Attends to valid steps only."""
        query, key, value = (self._split(projection(x)) for projection in (self.query, self.key, self.value))
        mask = None if valid is None else valid[:, None, None, :]
        y = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        attended: Tensor = self.output(y.transpose(1, 2).flatten(2))
        return attended

    def weights(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """`softmax(Q K^T / sqrt(d_k))`, shape (cases, heads, querying steps, attended steps); 0 for padded ones."""
        query, key = (self._split(projection(x)) for projection in (self.query, self.key))
        scores = query @ key.transpose(2, 3) / math.sqrt(self.head_width)
        if valid is not None:
            scores = scores.masked_fill(~valid[:, None, None, :], float("-inf"))
        return scores.softmax(dim=3)

    def _split(self, x: Tensor) -> Tensor:
        # (cases, steps, inner) to (cases, heads, steps, d_k)
        return x.view(*x.shape[:2], self.heads, self.head_width).transpose(1, 2)


def positions(steps: int, width: int, like: Tensor) -> Tensor:
    """Positions, shape (steps, width): sine and cosine of `t / 10000^(2 i / width)` (Vaswani et al. 2017)."""
    half = (width + 1) // 2
    t = torch.arange(steps, device=like.device, dtype=like.dtype).unsqueeze(1)
    rate = torch.exp(torch.arange(half, device=like.device, dtype=like.dtype) * (-math.log(10000.0) * 2 / width))
    return torch.stack([torch.sin(t * rate), torch.cos(t * rate)], dim=2).flatten(1)[:, :width]


class TransformerLayer(nn.Module):
    """Self-attention and a feed-forward layer, each behind a LayerNorm and with a residual connection."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads)
        self.feedforward_norm = nn.LayerNorm(width)
        self.feedforward = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), Dropout(dropout), nn.Linear(4 * width, width)
        )
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Shape (cases, steps, width), kept."""
        x = x + self.dropout(self.attention(self.attention_norm(x), valid))
        y: Tensor = x + self.dropout(self.feedforward(self.feedforward_norm(x)))
        return y


class TransformerEncoder(nn.Module):
    """Transformer layers over position-encoded features (row N11).

    Shape: (cases, steps, inputs) to (cases, steps, width).
    """

    def __init__(self, inputs: int, layers: int, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.width = width
        self.project = nn.Linear(inputs, width)
        self.layers = nn.ModuleList(TransformerLayer(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Encodes positions, then runs the layers in turn."""
        x = self.project(x)
        x = x + positions(x.shape[1], self.width, x)
        for layer in self.layers:
            x = layer(x, valid)
        y: Tensor = self.norm(x)
        return y
