"""The dense classifier (rows N15 to N17)."""

from __future__ import annotations

from torch import Tensor, nn

from tsbench.nn.generators import Dropout

__all__ = ["Head"]


class Head(nn.Module):
    """Dense layers, each with LayerNorm, GELU (exact, by erf) and dropout, then one unit for each class.

    Shape: (cases, inputs) to (cases, classes), the logits whose softmax row N17 is.
    """

    def __init__(self, inputs: int, hidden_sizes: tuple[int, ...], classes: int, dropout: float) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for size in hidden_sizes:
            layers += [nn.Linear(inputs, size), nn.LayerNorm(size), nn.GELU(), Dropout(dropout)]
            inputs = size
        self.layers = nn.Sequential(*layers, nn.Linear(inputs, classes))

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        logits: Tensor = self.layers(x)
        return logits
