"""The whole network, built from its configuration."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from tsbench.nn.attention import SelfAttention, TransformerEncoder
from tsbench.nn.convolution import ConvolutionStack, average_steps
from tsbench.nn.features.branch import FeatureBranch
from tsbench.nn.gate import Gate
from tsbench.nn.generators import Dropout, initialising_from
from tsbench.nn.head import Head
from tsbench.nn.pooling import pool
from tsbench.nn.recurrent import RecurrentEncoder
from tsbench.nn.stem import AverageStem, ConvolutionStem
from tsbench.recipe.registries import ENCODERS, POOLINGS, registered
from tsbench.recipe.schema import ModelConfig

__all__ = ["Network", "build_network"]


class NoEncoder(nn.Module):
    """Hands its input on."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.width = inputs

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Returns `x`."""
        return x


def recurrent_encoder(inputs: int, config: ModelConfig) -> RecurrentEncoder:
    """The encoder `lstm` or `gru`."""
    encoder = config.encoder
    return RecurrentEncoder(
        encoder.type,
        inputs,
        encoder.layers,
        encoder.hidden_size,
        encoder.bidirectional,
        config.dropout,
        encoder.gated,
    )


def transformer_encoder(inputs: int, config: ModelConfig) -> TransformerEncoder:
    """The encoder `transformer`."""
    encoder = config.encoder
    return TransformerEncoder(inputs, encoder.layers, encoder.hidden_size, encoder.heads, config.dropout)


def no_encoder(inputs: int, config: ModelConfig) -> NoEncoder:
    """The encoder `none`."""
    return NoEncoder(inputs)


class Network(nn.Module):
    """Stem, convolutions, encoder, attention, pooling, classifier; beside them, features with their own classifier.

    Args:
        config: the `model` part of a recipe.
        channels: channels of the series.
        classes: number of classes.
        length: longest training series in time steps; settles strides that are `auto`, and kernels that are shares.

    Shape: (cases, channels, steps) and lengths of shape (cases,), or None if no case is padded, to logits of shape
        (cases, classes).
    """

    def __init__(self, config: ModelConfig, channels: int, classes: int, length: int) -> None:
        super().__init__()
        self.classes = classes
        self.share = config.features.share
        self.feature_branch = (
            FeatureBranch(config.features, channels, length, classes) if config.features.blocks else None
        )
        self.stem = _stem(config, channels, length)
        if self.stem is not None:
            channels, length = self.stem.width, -(-length // self.stem.stride)
        stride = config.encoder.stride
        self.stride = math.ceil(length / config.encoder.max_steps) if stride == "auto" else stride
        self.encoder_first = config.convolution.position == "after_encoder"
        if self.encoder_first:
            self.encoder = registered(ENCODERS, config.encoder.type)(channels, config)
            self.convolution = ConvolutionStack(self.encoder.width, config.convolution, -(-length // self.stride))
            width = self.convolution.width
        else:
            self.convolution = ConvolutionStack(channels, config.convolution, length)
            self.encoder = registered(ENCODERS, config.encoder.type)(self.convolution.width, config)
            width = self.encoder.width
        attention = config.attention
        heads = attention.heads if attention.type == "multi" else 1
        self.attention = None if attention.type == "none" else SelfAttention(width, heads)
        self.residual_attention = attention.residual
        gated = self.attention is not None and attention.residual and attention.gated
        self.attention_gate = Gate(width) if gated else nn.Identity()
        self.pooling = config.pooling
        # Where nothing stands between the convolutions and the pools, the skip would pool the same features twice.
        between = self.attention is not None or (config.encoder.type != "none" and not self.encoder_first)
        self.skip = config.skip and between
        pooled = len(POOLINGS[config.pooling]) * (width + self.convolution.width * self.skip)
        self.dropout = Dropout(config.dropout)
        self.head = Head(pooled, config.head.hidden_sizes, classes, config.dropout, config.head.normalise)

    def forward(self, x: Tensor, lengths: Tensor | None = None, features: Tensor | None = None) -> Tensor:
        """Logits, or with a feature branch the logarithm of the branches' weighted mean probabilities.

        Args:
            x: the series; padded steps must be 0.
            lengths: true lengths in time steps.
            features: what `fixed_features` gave for these cases, so that they are not computed again.
        """
        branches = self.branches(x, lengths, features)
        if len(branches) == 1:
            return branches[0]
        learned, computed = branches.log_softmax(dim=2)
        return torch.logaddexp(learned + math.log(1 - self.share), computed + math.log(self.share))

    def branches(self, x: Tensor, lengths: Tensor | None = None, features: Tensor | None = None) -> Tensor:
        """The logits of each branch, shape (1 or 2, cases, classes); arguments as for `forward`."""
        valid = _valid(x, lengths)
        logits = [self._learned(x, valid)]
        if self.feature_branch is not None:
            if features is None:
                features = self.feature_branch.features(x, valid)
            logits.append(self.feature_branch(features))
        return torch.stack(logits)

    def learned(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The logits of only the learned branch, shape (cases, classes)."""
        return self._learned(x, _valid(x, lengths))

    def _learned(self, x: Tensor, valid: Tensor | None) -> Tensor:
        logits: Tensor = self.head(self.dropout(self.pooled(x, valid)))
        return logits

    def pooled(self, x: Tensor, valid: Tensor | None) -> Tensor:
        """What the dense classifier reads, shape (cases, pooled features)."""
        return torch.cat([pool(part, steps, self.pooling) for part, steps in self.unpooled(x, valid)], dim=1)

    def unpooled(self, x: Tensor, valid: Tensor | None) -> list[tuple[Tensor, Tensor | None]]:
        """What is pooled: the encoded steps and, with `skip`, the convolutions' output.

        Each has shape (cases, channels, steps) and comes with its valid steps.
        """
        if self.stem is not None:
            x, valid = self.stem(x, valid)
        encoded, shorter, features, steps = self._encode(x, valid)
        if self.attention is not None:
            attended = self.attention(encoded, shorter)
            encoded = encoded + self.attention_gate(attended) if self.residual_attention else attended
        parts = [(encoded.transpose(1, 2), shorter)]
        if self.skip:
            parts.append((features, steps))
        return parts

    def _encode(self, x: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor | None, Tensor, Tensor | None]:
        """Encoded steps of shape (cases, steps, features), and the convolutions' output, each with its valid steps."""
        if self.encoder_first:
            shorter, valid = average_steps(x, valid, self.stride)
            encoded = self.encoder(shorter.transpose(1, 2), valid).transpose(1, 2)
            features = self.convolution(encoded if valid is None else encoded * valid.unsqueeze(1), valid)
            return features.transpose(1, 2), valid, features, valid
        features = self.convolution(x, valid)
        encoded, short_valid = average_steps(features, valid, self.stride)
        # Recurrent layers and attention take (cases, steps, features).
        return self.encoder(encoded.transpose(1, 2), short_valid), short_valid, features, valid

    @torch.no_grad()
    def prepare(self, x: Tensor, lengths: Tensor | None, seed: int) -> None:
        """Lets the feature blocks see the training cases, whose statistics they keep."""
        if self.feature_branch is not None:
            self.feature_branch.prepare(x, _valid(x, lengths), torch.Generator().manual_seed(seed))

    @torch.no_grad()
    def fixed_features(self, x: Tensor, lengths: Tensor | None) -> Tensor | None:
        """The features of cases, shape (cases, features), if no learned weight enters them, else None."""
        if self.feature_branch is None or not self.feature_branch.fixed:
            return None
        return self.feature_branch.features_in_parts(x, _valid(x, lengths))


def _valid(x: Tensor, lengths: Tensor | None) -> Tensor | None:
    return None if lengths is None else torch.arange(x.shape[2], device=x.device) < lengths.unsqueeze(1)


def _stem(config: ModelConfig, channels: int, length: int) -> AverageStem | ConvolutionStem | None:
    given = config.stem.stride
    stride = math.ceil(length / config.stem.max_steps) if given == "auto" else given
    if config.stem.type == "none" or stride == 1:
        return None
    if config.stem.type == "average":
        return AverageStem(channels, stride)
    return ConvolutionStem(channels, config.convolution.channels, stride)


def build_network(config: ModelConfig, channels: int, classes: int, length: int, seed: int) -> Network:
    """A network whose initial weights depend only on the seed; torch's global generator is not touched."""
    with initialising_from(torch.Generator().manual_seed(seed)):
        return Network(config, channels, classes, length)
