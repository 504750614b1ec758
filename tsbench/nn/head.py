"""The dense classifier (rows N15 to N17)."""

from __future__ import annotations

from torch import Tensor, nn

from tsbench.nn.convolution import BatchNorm
from tsbench.nn.generators import Dropout

__all__ = ["Head"]


class Head(nn.Module):
    """Dense layers, each with LayerNorm, GELU (exact, by erf) and dropout, then one unit for each class.

    Shape: (cases, inputs) to (cases, classes), the logits whose softmax row N17 is.
    """

    def __init__(
        self, inputs: int, hidden_sizes: tuple[int, ...], classes: int, dropout: float, normalise: str = "none"
    ) -> None:
        super().__init__()
        self.norm = BatchNorm(inputs) if normalise == "batch" else nn.Identity()
        layers: list[nn.Module] = []
        for size in hidden_sizes:
            layers += [nn.Linear(inputs, size), nn.LayerNorm(size), nn.GELU(), Dropout(dropout)]
            inputs = size
        self.layers = nn.Sequential(*layers, nn.Linear(inputs, classes))

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        if isinstance(self.norm, BatchNorm):
            x = self.norm(x.unsqueeze(2)).squeeze(2)
        logits: Tensor = self.layers(x)
        return logits
