"""Learning-rate schedules by name (row N20), each stepped once after every optimiser step."""

from __future__ import annotations

from torch.optim import Optimizer, lr_scheduler

from tsbench.recipe.registries import SCHEDULERS, registered
from tsbench.recipe.schema import TrainingConfig

__all__ = ["Schedule"]


class Schedule:
    """Sets an optimiser's learning rate during training.

    Args:
        optimizer: its `lr` is the peak rate.
        config: names the scheduler and its settings.
        steps_per_epoch: optimiser steps in an epoch.
    """

    def __init__(self, optimizer: Optimizer, config: TrainingConfig, steps_per_epoch: int) -> None:
        self._optimizer = optimizer
        epochs = min(config.warmup_epochs, config.epochs - 1) if config.scheduler != "one_cycle" else 0
        self._warmup_steps = epochs * steps_per_epoch
        self._peak = config.learning_rate
        self._step = 0
        self._total = config.epochs * steps_per_epoch
        self._main = registered(SCHEDULERS, config.scheduler)(
            optimizer, config, steps_per_epoch, self._total - self._warmup_steps
        )
        self._warm()

    @property
    def rate(self) -> float:
        """The learning rate of the next step."""
        return float(self._optimizer.param_groups[0]["lr"])

    def step(self) -> None:
        """Must be called after each optimiser step."""
        self._step += 1
        if self._step < self._warmup_steps:
            self._warm()
        elif self._step == self._warmup_steps:
            self._set(self._peak)
        elif not isinstance(self._main, lr_scheduler.ReduceLROnPlateau) and self._step < self._total:
            self._main.step()

    def end_epoch(self, train_loss: float) -> None:
        """Must be called after each epoch; `plateau` uses its mean training loss."""
        if isinstance(self._main, lr_scheduler.ReduceLROnPlateau) and self._step >= self._warmup_steps:
            self._main.step(train_loss)

    def _warm(self) -> None:
        if self._step < self._warmup_steps:
            self._set(self._peak * (self._step + 1) / self._warmup_steps)

    def _set(self, rate: float) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = rate


Scheduler = lr_scheduler.LRScheduler | lr_scheduler.ReduceLROnPlateau


def cosine(optimizer: Optimizer, config: TrainingConfig, steps_per_epoch: int, steps: int) -> Scheduler:
    """`eta_min + (eta_max - eta_min) / 2 (1 + cos(pi T_cur / T))` over all steps."""
    return lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps, eta_min=_floor(config))


def cosine_restarts(optimizer: Optimizer, config: TrainingConfig, steps_per_epoch: int, steps: int) -> Scheduler:
    """Cosine annealing from the peak, every `restart_epochs` again."""
    return lr_scheduler.CosineAnnealingWarmRestarts(
        optimizer, T_0=config.restart_epochs * steps_per_epoch, eta_min=_floor(config)
    )


def one_cycle(optimizer: Optimizer, config: TrainingConfig, steps_per_epoch: int, steps: int) -> Scheduler:
    """Up to the peak and down again, with its own warm-up."""
    return lr_scheduler.OneCycleLR(
        optimizer, max_lr=config.learning_rate, total_steps=max(steps, 2), cycle_momentum=False
    )


def plateau(optimizer: Optimizer, config: TrainingConfig, steps_per_epoch: int, steps: int) -> Scheduler:
    """Halves the rate whenever the training loss stops falling."""
    patience = max(2, config.epochs // 20)
    return lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=patience, min_lr=_floor(config))


def constant(optimizer: Optimizer, config: TrainingConfig, steps_per_epoch: int, steps: int) -> Scheduler:
    """The peak rate throughout."""
    return lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)


def _floor(config: TrainingConfig) -> float:
    return min(config.min_learning_rate, config.learning_rate)
