"""Contracts of the network's blocks and of the whole network."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tsbench.nn.attention import SelfAttention
from tsbench.nn.convolution import ConvolutionStack
from tsbench.nn.features.branch import build_feature_block
from tsbench.nn.network import Network
from tsbench.nn.stem import AverageStem, ConvolutionStem
from tsbench.recipe.registries import ENCODERS, registered
from tsbench.recipe.schema import ConvolutionConfig, FeaturesConfig, ModelConfig
from tsbench.testing.contracts import CHANNELS, LENGTHS, Subject, check, padded_series

__all__ = [
    "check_attention",
    "check_convolution",
    "check_encoder",
    "check_feature_block",
    "check_network",
    "check_stem",
]

CLASSES = 3
WIDTH = 4


def check_encoder(name: str) -> None:
    """Checks the encoder of this name in `tsbench.recipe.registries.ENCODERS` against the contracts.

    Raises:
        AssertionError: it breaks one.
    """
    config = ModelConfig.model_validate(
        {"encoder": {"type": name, "hidden_size": WIDTH, "heads": 2, "layers": 2}, "dropout": 0.0}
    )
    _check_steps(f"encoder {name}", lambda: registered(ENCODERS, name)(CHANNELS, config))


def check_attention(heads: int = 1) -> None:
    """Checks self-attention with this number of heads against the contracts.

    Raises:
        AssertionError: it breaks one.
    """

    def build() -> nn.Module:
        attention = SelfAttention(CHANNELS, heads)
        attention.width = CHANNELS  # type: ignore[assignment]
        return attention

    _check_steps(f"attention with {heads} heads", build)


def check_convolution(config: ConvolutionConfig) -> None:
    """Checks the convolutions of this configuration against the contracts; padded steps of their output must be 0.

    Raises:
        AssertionError: they break one.
    """
    name = f"convolution {config.model_dump(exclude_defaults=True)}"

    def run(stack: nn.Module, x: Tensor, valid: Tensor | None) -> list[Tensor]:
        y = stack(x, valid)
        _assert_silent(name, y, valid)
        return _cut(y, valid)

    check(Subject(name, lambda: ConvolutionStack(CHANNELS, config, max(LENGTHS)), run, _same_length))


def check_stem(name: str, stride: int = 3) -> None:
    """Checks the stem of this name, `average` or `convolution`, against the contracts.

    Raises:
        AssertionError: it breaks one.
    """
    label = f"stem {name}"

    def build() -> nn.Module:
        return AverageStem(CHANNELS, stride) if name == "average" else ConvolutionStem(CHANNELS, WIDTH, stride)

    def run(stem: nn.Module, x: Tensor, valid: Tensor | None) -> list[Tensor]:
        y, shorter = stem(x, valid)
        _assert_silent(label, y, shorter)
        return _cut(y, shorter)

    check(Subject(label, build, run, lambda stem, steps: (_width(stem), -(-steps // stride))))


def check_feature_block(name: str, config: FeaturesConfig | None = None) -> None:
    """Checks the feature block of this name in `tsbench.recipe.registries.FEATURES` against the contracts.

    Besides those of every block: what it has learned from training cases is in its state, and does not depend on how
    far they were padded.

    Args:
        name: in the registry.
        config: its settings; 168 features for MiniROCKET if none are given.

    Raises:
        AssertionError: it breaks one.
    """
    settings = config or FeaturesConfig(size=168)
    label = f"feature block {name}"

    def prepared(steps: int = max(LENGTHS)) -> nn.Module:
        block: Any = build_feature_block(name, CHANNELS, max(LENGTHS), settings).double()
        if hasattr(block, "prepare"):
            block.prepare(*padded_series(steps, seed=2), torch.Generator().manual_seed(3))
        built: nn.Module = block
        return built

    subject = Subject(label, prepared, _each_case, lambda block, steps: (_width(block),))
    check(subject)
    with torch.random.fork_rng(devices=[]):
        _check_state(label, subject.built(), build_feature_block(name, CHANNELS, max(LENGTHS), settings).double())
        torch.manual_seed(0)
        further = prepared(max(LENGTHS) + 17)
        for (buffer, value), other in zip(subject.built().named_buffers(), further.buffers(), strict=True):
            assert torch.allclose(value, other, rtol=0, atol=1e-6), (
                f"{label}: padding the training cases further changes {buffer}"
            )


def check_network(config: ModelConfig) -> None:
    """Checks a whole network without dropout against the contracts; with a feature branch, prepared first.

    Raises:
        AssertionError: it breaks one.
    """

    def build() -> nn.Module:
        network = Network(config.model_copy(update={"dropout": 0.0}), CHANNELS, CLASSES, max(LENGTHS)).double()
        x, valid = padded_series(seed=2)
        network.prepare(x, valid.sum(1), seed=3)
        if network.feature_branch is not None:  # it starts at 0, which passes no gradient to the blocks
            nn.init.normal_(network.feature_branch.linear.weight)
        return network

    def run(network: nn.Module, x: Tensor, valid: Tensor | None) -> list[Tensor]:
        logits = network(x, None if valid is None else valid.sum(1))
        return list(logits)

    check(Subject(f"network {config.model_dump(exclude_defaults=True)}", build, run, lambda network, steps: (CLASSES,)))


def _check_steps(name: str, build: Any) -> None:
    """A block from shape (cases, steps, features) to (cases, steps, width)."""

    def run(block: nn.Module, x: Tensor, valid: Tensor | None) -> list[Tensor]:
        return _cut(block(x.transpose(1, 2), valid).transpose(1, 2), valid)

    check(Subject(name, build, run, _same_length))


def _same_length(block: nn.Module, steps: int) -> tuple[int, ...]:
    return _width(block), steps


def _width(block: Any) -> int:
    return int(block.width)


def _each_case(block: nn.Module, x: Tensor, valid: Tensor | None) -> list[Tensor]:
    return list(block(x, valid))


def _cut(y: Tensor, valid: Tensor | None) -> list[Tensor]:
    """Each case of (cases, features, steps) without its padded steps."""
    lengths = [y.shape[2]] * len(y) if valid is None else valid.sum(1).tolist()
    return [case[:, :length] for case, length in zip(y, lengths, strict=True)]


def _assert_silent(name: str, y: Tensor, valid: Tensor | None) -> None:
    assert valid is None or not y.transpose(1, 2)[~valid].any(), f"{name}: padded steps of the output are not 0"


def _check_state(name: str, block: nn.Module, fresh: nn.Module) -> None:
    fresh.load_state_dict(block.state_dict())
    x, valid = padded_series()
    assert torch.equal(block(x, valid), fresh.eval()(x, valid)), (
        f"{name}: its state, loaded into a fresh block, gives different features"
    )
