"""The input of a network's training: series as tensors on a device, targets, settings and seed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tsbench.nn.network import Network
from tsbench.recipe.schema import ModelConfig, TrainingConfig

__all__ = ["EpochRecord", "Generators", "Job", "LazySeries", "Series"]


class LazySeries(Protocol):
    """Series that are not in memory: an index returns those cases, shape (cases, channels, steps) in float32."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Cases, channels and steps."""

    def __len__(self) -> int: ...

    def __getitem__(self, which: NDArray[np.int64] | slice, /) -> NDArray[np.float32]: ...


@dataclass(frozen=True)
class _LazyTensor:
    """Replaces a tensor of all values; an index loads the values of some cases onto the device."""

    source: LazySeries
    device: torch.device

    @property
    def shape(self) -> tuple[int, ...]:
        return self.source.shape

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, which: Tensor | slice) -> Tensor:
        cases = which if isinstance(which, slice) else which.cpu().numpy()
        return torch.from_numpy(self.source[cases]).to(self.device)


@dataclass(frozen=True)
class Series:
    """Cases in the form that a network takes.

    Attributes:
        values: shape (cases, channels, steps), float32, 0 on padded steps; or a `LazySeries`.
        lengths: shape (cases,), true lengths in time steps.
    """

    values: NDArray[np.float32] | LazySeries
    lengths: NDArray[np.int64]

    def tensors(self, device: torch.device) -> tuple[Tensor | _LazyTensor, Tensor | None]:
        """Both on the device; lengths are None if no case is padded, which avoids masking."""
        values: Tensor | _LazyTensor
        if isinstance(self.values, np.ndarray):
            values = torch.from_numpy(np.ascontiguousarray(self.values)).to(device)
        else:
            values = _LazyTensor(self.values, device)
        if (self.lengths == self.values.shape[2]).all():
            return values, None
        return values, torch.from_numpy(self.lengths).to(device)


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of one job: mean training loss over cases, and the learning rate of its last step."""

    train_loss: float
    learning_rate: float


@dataclass(frozen=True)
class Generators:
    """A job's own sources of random numbers; torch's global generator is neither read nor changed.

    Attributes:
        order: of the cases held out and of each epoch's order, on the CPU.
        noise: of augmentation, mixup and dropout, on the job's device.
    """

    order: torch.Generator
    noise: torch.Generator


@dataclass
class Job:
    """One network to be trained.

    Attributes:
        series: the training cases.
        targets: shape (cases,), class numbers from 0.
        classes: number of classes.
        seed: of initial weights and of `generators`.
        model: the network's configuration.
        training: the training's configuration.
        groups: shape (cases,), numbers of the cases' groups, which are only held out as a whole; None if every
            case is its own group.
        network: set by `train`.
        history: a record for each epoch, set by `train`.
    """

    series: Series
    targets: NDArray[np.int64]
    classes: int
    seed: int
    model: ModelConfig
    training: TrainingConfig
    groups: NDArray[np.int64] | None = None
    network: Network | None = None
    history: list[EpochRecord] = field(default_factory=list)

    def generators(self, device: torch.device) -> Generators:
        """Its generators at the start of a training."""
        return Generators(torch.Generator().manual_seed(self.seed), torch.Generator(device).manual_seed(self.seed))
