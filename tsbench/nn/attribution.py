"""Attribution: a network's attention weights, and the positions of its pooled maxima (row N22)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import get_ident

import torch
from torch import Tensor, nn

from tsbench.nn.attention import SelfAttention
from tsbench.nn.network import Network
from tsbench.recipe.registries import POOLINGS

__all__ = ["NetworkExplanation", "explain", "max_steps"]


@dataclass(frozen=True)
class NetworkExplanation:
    """A network's attention and pooled maxima, in its own steps; step i covers the time steps from `i * stride` on.

    Attributes:
        attention: attention weights of shape (cases, heads, querying steps, attended steps): the heads of a
            Transformer's layers first, then those of the self-attention; None if the network has neither.
        maxima: shape (cases, channels), see `max_steps`: the steps of the encoder's (or attention's) output that max
            pooling took; None without max pooling.
        skip_maxima: shape (cases, channels), as `maxima`, of the convolutions' output; None if it is not pooled.
        stride: time steps in one step of `attention` and `maxima`.
        skip_stride: time steps in one step of `skip_maxima`.
    """

    attention: Tensor | None
    maxima: Tensor | None
    skip_maxima: Tensor | None
    stride: int
    skip_stride: int


@torch.inference_mode()
def explain(network: Network, x: Tensor, lengths: Tensor | None = None) -> NetworkExplanation:
    """Computes attention and pooled maxima of a prediction; the network keeps its mode.

    The feature branch, which has no attention and no max pooling, is left out.

    Args:
        network: the network.
        x: shape (cases, channels, steps), 0 on padded steps.
        lengths: true lengths in time steps, shape (cases,), or None if no case is padded.
    """
    valid = None if lengths is None else torch.arange(x.shape[2], device=x.device) < lengths.unsqueeze(1)
    before = network.training
    network.eval()
    with _attending(network) as weights:
        parts = network.unpooled(x, valid)
    network.train(before)
    maxima = [max_steps(part, steps) for part, steps in parts] if "max" in POOLINGS[network.pooling] else []
    stem = 1 if network.stem is None else network.stem.stride
    return NetworkExplanation(
        attention=torch.cat(weights, dim=1) if weights else None,
        maxima=maxima[0] if maxima else None,
        skip_maxima=maxima[1] if len(maxima) > 1 else None,
        stride=stem * network.stride,
        skip_stride=stem * (network.stride if network.encoder_first else 1),
    )


def max_steps(x: Tensor, valid: Tensor | None = None) -> Tensor:
    """The first step of each channel's maximum, shape (cases, channels).

    A channel that is the same at all of a case's steps, as one that ReLU cut off, has no maximum: -1. In a
    case of one step it is that step.

    Args:
        x: shape (cases, channels, steps).
        valid: shape (cases, steps), or None; only valid steps are named.
    """
    inside = torch.ones_like(x[:, :1], dtype=torch.bool) if valid is None else valid.unsqueeze(1)
    highest = x.masked_fill(~inside, float("-inf")).amax(2, keepdim=True)
    lowest = x.masked_fill(~inside, float("inf")).amin(2)
    first = ((x == highest) & inside).to(torch.uint8).argmax(2)
    flat = (highest.squeeze(2) == lowest) & (inside.sum(2) > 1)
    return first.masked_fill(flat, -1)


@contextmanager
def _attending(network: Network) -> Iterator[list[Tensor]]:
    """Collects the weights of every self-attention, in the order of the forward pass."""
    weights: list[Tensor] = []
    home = get_ident()

    def collect(module: nn.Module, given: tuple[Tensor, Tensor | None], attended: Tensor) -> None:
        assert isinstance(module, SelfAttention)
        if get_ident() == home:  # another thread may use the same network meanwhile
            weights.append(module.weights(*given))

    hooks = [layer.register_forward_hook(collect) for layer in network.modules() if isinstance(layer, SelfAttention)]
    try:
        yield weights
    finally:
        for hook in hooks:
            hook.remove()
