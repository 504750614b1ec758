"""The whole network, built from its configuration."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from tsbench.nn.attention import SelfAttention, TransformerEncoder
from tsbench.nn.convolution import MultiScaleConvolution, average_steps
from tsbench.nn.head import Head
from tsbench.nn.pooling import POOLINGS, pool
from tsbench.nn.recurrent import RecurrentEncoder
from tsbench.recipe.schema import ModelConfig

__all__ = ["ENCODERS", "Network", "build_network"]

MOST_ENCODER_STEPS = 256
"""Steps that `encoder.stride: auto` leaves at most: longer ones cost much time and gain little accuracy."""


class NoEncoder(nn.Module):
    """Hands its input on."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.width = inputs

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Returns `x`."""
        return x


def _recurrent(inputs: int, config: ModelConfig) -> RecurrentEncoder:
    encoder = config.encoder
    return RecurrentEncoder(
        encoder.type, inputs, encoder.layers, encoder.hidden_size, encoder.bidirectional, config.dropout
    )


def _transformer(inputs: int, config: ModelConfig) -> TransformerEncoder:
    encoder = config.encoder
    return TransformerEncoder(inputs, encoder.layers, encoder.hidden_size, encoder.heads, config.dropout)


ENCODERS: dict[str, Callable[[int, ModelConfig], RecurrentEncoder | TransformerEncoder | NoEncoder]] = {
    "lstm": _recurrent,
    "gru": _recurrent,
    "transformer": _transformer,
    "none": lambda inputs, config: NoEncoder(inputs),
}
"""Encoders by their name in `model.encoder.type`."""


class Network(nn.Module):
    """Convolutions, encoder, attention, pooling, classifier.

    Args:
        config: the `model` part of a recipe.
        channels: channels of the series.
        classes: number of classes.
        length: longest training series in time steps; settles `encoder.stride: auto`.

    Shape: (cases, channels, steps) and lengths of shape (cases,), or None where no case is padded, to logits of shape
        (cases, classes).
    """

    def __init__(self, config: ModelConfig, channels: int, classes: int, length: int) -> None:
        super().__init__()
        stride = config.encoder.stride
        self.stride = math.ceil(length / MOST_ENCODER_STEPS) if stride == "auto" else stride
        self.convolution = MultiScaleConvolution(channels, config.convolution.kernels, config.convolution.channels)
        self.encoder = ENCODERS[config.encoder.type](self.convolution.width, config)
        width = self.encoder.width
        attention = config.attention
        heads = attention.heads if attention.type == "multi" else 1
        self.attention = None if attention.type == "none" else SelfAttention(width, heads)
        self.residual_attention = attention.residual
        self.pooling = config.pooling
        # Without encoder and attention the skip would pool the same features twice.
        self.skip = config.skip and (config.encoder.type != "none" or self.attention is not None)
        pooled = len(POOLINGS[config.pooling]) * (width + self.convolution.width * self.skip)
        self.dropout = nn.Dropout(config.dropout)
        self.classes = classes
        self.head = Head(pooled, config.head.hidden_sizes, classes, config.dropout)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Logits; padded steps of `x` must be 0."""
        valid = None if lengths is None else torch.arange(x.shape[2], device=x.device) < lengths.unsqueeze(1)
        features = self.convolution(x, valid)
        encoded, shorter = average_steps(features, valid, self.stride)
        encoded = encoded.transpose(1, 2)  # recurrent layers and attention take (cases, steps, features)
        encoded = self.encoder(encoded, shorter)
        if self.attention is not None:
            attended = self.attention(encoded, shorter)
            encoded = encoded + attended if self.residual_attention else attended
        pooled = pool(encoded.transpose(1, 2), shorter, self.pooling)
        if self.skip:
            pooled = torch.cat([pooled, pool(features, valid, self.pooling)], dim=1)
        logits: Tensor = self.head(self.dropout(pooled))
        return logits


def build_network(config: ModelConfig, channels: int, classes: int, length: int, seed: int) -> Network:
    """A network whose initial weights depend on the seed alone; torch's own generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Network(config, channels, classes, length)
