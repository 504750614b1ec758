"""The linear classifier over all feature blocks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tsbench.nn.features.ridge import fit_ridge
from tsbench.recipe.registries import FEATURES, registered
from tsbench.recipe.schema import FeaturesConfig

__all__ = ["FeatureBranch", "build_feature_block"]

LARGEST = 10.0  # standard deviations; a feature that was nearly constant in training may have extreme values later
CHUNK_SIZE, CPU_CHUNK_SIZE = 2**16, 2**13
"""Time steps, over all cases, whose features are computed at once. On a CPU the blocks' inner values stay in its cache,
which makes hydra twice as fast on series of 427 steps."""
REACH = 10.0
"""Norm of a case's standardised features. Under AdamW a step moves a logit by about the learning rate times the sum of
the features' sizes, here `10 sqrt(features)`: with 10,000 features and a rate of 1e-3, as a rate of 1e-4 would on
features that are not scaled, which cross-validation on training cases preferred (docs/ablations.md)."""


def build_feature_block(name: str, channels: int, length: int, config: FeaturesConfig) -> Any:
    """The block of this name or import path, see `tsbench.nn.features`.

    Raises:
        ValueError: it cannot be imported.
    """
    try:
        block = registered(FEATURES, name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"the feature block {name} of model.features.blocks cannot be imported: {error}") from None
    return block(channels, length, config)


class FeatureBranch(nn.Module):
    """Standardised features of every block, side by side, and one linear layer, which starts at 0 or is solved for.

    Args:
        config: the `model.features` part of a recipe, with at least one block.
        channels: channels of the series.
        length: longest training series in time steps.
        classes: number of classes.

    Shape: (cases, channels, steps) to logits of shape (cases, classes).
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, config: FeaturesConfig, channels: int, length: int, classes: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(build_feature_block(name, channels, length, config) for name in config.blocks)
        widths = [int(block.width) for block in self.blocks]  # type: ignore[arg-type]
        self.width = sum(widths)
        self.fixed = not list(self.blocks.parameters())
        self.register_buffer("mean", torch.zeros(self.width))
        self.register_buffer("scale", torch.ones(self.width))
        self.linear = nn.Linear(self.width, classes)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    @torch.no_grad()
    def prepare(self, x: Tensor, valid: Tensor | None, generator: torch.Generator) -> None:
        """Fits the blocks, and each feature's mean and deviation, on the training cases."""
        for block in self.blocks:
            if hasattr(block, "prepare"):
                block.prepare(x, valid, generator)  # type: ignore[operator]
        features = self.features_in_parts(x, valid)
        self.mean.copy_(features.mean(0))
        deviation = features.std(0, correction=0)
        # A constant feature has no information, and would amplify a rounding error.
        self.scale.copy_(torch.where(deviation > 1e-6, 1 / deviation.clamp(min=1e-6), torch.zeros_like(deviation)))

    def features(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """The blocks' own features, shape (cases, width)."""
        return torch.cat([block(x, valid) for block in self.blocks], dim=1)

    def features_in_parts(self, x: Tensor, valid: Tensor | None) -> Tensor:
        """As `features`, a few cases at a time, so that the blocks' inner values stay small."""
        part = max(1, (CPU_CHUNK_SIZE if x.device.type == "cpu" else CHUNK_SIZE) // x.shape[2])
        parts = torch.split(x, part)
        masks = [None] * len(parts) if valid is None else torch.split(valid, part)
        return torch.cat([self.features(cases, mask) for cases, mask in zip(parts, masks, strict=True)])

    @torch.no_grad()
    def solve(
        self,
        features: Tensor,
        targets: Tensor,
        classes: int,
        case_weights: Tensor | None = None,
        groups: Tensor | None = None,
    ) -> None:
        """Fits the linear layer in closed form, see `tsbench.nn.features.ridge`; training does not change it.

        Args:
            features: of the training cases, shape (cases, width).
            targets: shape (cases,), class numbers.
            classes: their number.
            case_weights: shape (cases,); None for 1 each.
            groups: shape (cases,), numbers of groups; None if there are none.
        """
        fitted = fit_ridge(self._standardised(features), targets, classes, case_weights, groups)
        self.linear.weight.copy_(fitted.weight * (self.width**0.5 / REACH))
        self.linear.bias.copy_(fitted.bias)
        self.linear.requires_grad_(False)

    @property
    def solved(self) -> bool:
        """Whether `solve` has fitted it, so that it needs no training."""
        return not self.linear.weight.requires_grad

    def forward(self, features: Tensor) -> Tensor:
        """Logits of features of shape (cases, width)."""
        logits: Tensor = self.linear(self._standardised(features) * (REACH / self.width**0.5))
        return logits

    def _standardised(self, features: Tensor) -> Tensor:
        return ((features - self.mean) * self.scale).clamp(-LARGEST, LARGEST)
