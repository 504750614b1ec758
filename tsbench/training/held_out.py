"""The training cases that a checkpoint is chosen by, and that are not trained on."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["hold_out"]


def hold_out(
    targets: NDArray[np.int64], share: float, generator: torch.Generator, groups: NDArray[np.int64] | None = None
) -> tuple[Tensor, Tensor]:
    """Numbers of the cases to train on, and of those held out: of each class `share`, rounded, but never the last.

    Of cases with groups, whole groups up to `share` of the cases, and none without which a class is not trained on.
    """
    if groups is not None:
        apart = torch.from_numpy(_groups_held_out(targets, share, generator, groups))
        return (~apart).nonzero().squeeze(1), apart.nonzero().squeeze(1)
    shuffled = torch.randperm(len(targets), generator=generator)
    held_out = []
    for label in range(int(targets.max()) + 1):
        of_class = shuffled[torch.from_numpy(targets)[shuffled] == label]
        held_out.append(of_class[: min(round(share * len(of_class)), len(of_class) - 1)] if len(of_class) else of_class)
    apart = torch.cat(held_out)
    kept = torch.ones(len(targets), dtype=torch.bool)
    kept[apart] = False
    return kept.nonzero().squeeze(1), apart


def _groups_held_out(
    targets: NDArray[np.int64], share: float, generator: torch.Generator, groups: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Which cases are held out."""
    apart = np.zeros(len(targets), dtype=bool)
    classes = len(np.unique(targets))
    for group in torch.randperm(int(groups.max()) + 1, generator=generator).tolist():
        wanted = apart | (groups == group)
        if wanted.sum() <= share * len(targets) and len(np.unique(targets[~wanted])) == classes:
            apart = wanted
    return apart
