"""The training loss (row N18)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tsbench.recipe.schema import TrainingConfig

__all__ = ["class_weights", "cross_entropy"]


def cross_entropy(targets: Tensor, classes: int, config: TrainingConfig) -> nn.CrossEntropyLoss:
    """Mean cross-entropy with the configured label smoothing and class weights.

    Args:
        targets: shape (cases,), all training targets, which `balanced` weights are computed from.
        classes: number of classes.
        config: `label_smoothing` and `class_weights`.
    """
    weight = class_weights(targets, classes) if config.class_weights == "balanced" else None
    return nn.CrossEntropyLoss(weight=weight, label_smoothing=config.label_smoothing)


def class_weights(targets: Tensor, classes: int) -> Tensor:
    """`cases / (occurring classes * cases of the class)`, shape (classes,); 0 for a class that does not occur."""
    counts = torch.bincount(targets, minlength=classes).to(torch.float32)
    occurring = counts > 0
    weights = len(targets) / (occurring.sum() * counts.clamp(min=1))
    return torch.where(occurring, weights, torch.zeros_like(weights))
