"""Random numbers of a network from explicit generators, so that torch's global one is neither read nor changed.

A process has one global generator, which all of its threads draw from: a network that took its numbers from there would
depend on what the other threads do, and would change what they draw.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

__all__ = ["Dropout", "drawing_from", "initialising_from"]


class Dropout(nn.Dropout):
    """`nn.Dropout` that draws its masks from the generator of `drawing_from` (row N16).

    Outside of `drawing_from` it is `nn.Dropout`, which draws from torch's global generator. On a CPU both make the same
    masks of the same stream of numbers.
    """

    generator: torch.Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Each unit is 0 with probability `p`, else divided by `1 - p`; in evaluation `x` itself."""
        if self.generator is None or not self.training or self.p == 0:
            return super().forward(x)
        kept = 1 - self.p
        mask = torch.empty_like(x).bernoulli_(kept, generator=self.generator)
        return x * mask.div_(kept or 1.0)


@contextmanager
def drawing_from(generator: torch.Generator, module: nn.Module) -> Iterator[None]:
    """Lets every `Dropout` of a module draw from this generator, which must be of the module's device."""
    layers = [layer for layer in module.modules() if isinstance(layer, Dropout)]
    for layer in layers:
        layer.generator = generator
    try:
        yield
    finally:
        for layer in layers:
            layer.generator = None


def initialising_from(generator: torch.Generator) -> TorchFunctionMode:
    """A context in which tensors that this thread fills with random numbers take them from this generator.

    For modules as they are built: PyTorch's layers draw their initial weights without asking for a generator.
    """
    return _Initialising(generator)


_DRAWING = frozenset(
    [getattr(torch, name) for name in ("bernoulli", "multinomial", "normal", "rand", "randint", "randn", "randperm")]
    + [
        getattr(Tensor, f"{name}_")
        for name in ("bernoulli", "cauchy", "exponential", "geometric", "log_normal", "normal", "random", "uniform")
    ]
    # These call the mode themselves, which does not see what they call in turn.
    + [nn.init.kaiming_uniform_, nn.init.uniform_, nn.init.normal_]
)
"""Functions that draw from torch's global generator unless they are given another."""


class _Initialising(TorchFunctionMode):
    """Adds a generator to the calls that draw; a mode holds only in the thread that enters it."""

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self.generator = generator

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        if func in _DRAWING and given.get("generator") is None:
            given["generator"] = self.generator
        return func(*args, **given)
