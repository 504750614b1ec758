"""Contracts of schedulers and augmentations."""

from __future__ import annotations

import math
import warnings
from itertools import product

import torch
from torch import Tensor

from tsbench.recipe.schema import AugmentationConfig, TrainingConfig
from tsbench.testing.contracts import padded_series
from tsbench.training.augmentation import AUGMENTATIONS, augment
from tsbench.training.schedules import Schedule

__all__ = ["check_augmentation", "check_scheduler"]

PEAK = 0.01


def check_scheduler(name: str) -> None:
    """The rate is above 0 and never above the peak, and every step works, at several lengths of training.

    Raises:
        AssertionError: a rate is out of bounds, a step warns, or the same settings give different rates again.
    """
    for epochs, steps, warmup, floor in product((1, 2, 7), (1, 3), (0, 2), (0.0, PEAK / 10)):
        config = TrainingConfig.model_validate(
            {
                "scheduler": name,
                "epochs": epochs,
                "warmup_epochs": warmup,
                "restart_epochs": 2,
                "learning_rate": PEAK,
                "min_learning_rate": floor,
            }
        )
        rates = _rates(config, steps)
        case = f"scheduler {name}, {epochs} epochs of {steps} steps, warm-up {warmup}, floor {floor}"
        for step, rate in enumerate(rates):
            assert math.isfinite(rate), f"{case}: the rate of step {step} is {rate}"
            assert 0 < rate <= PEAK * (1 + 1e-9), f"{case}: the rate of step {step} is {rate}, the peak {PEAK}"
        assert rates == _rates(config, steps), f"{case}: different rates the second time"


def _rates(config: TrainingConfig, steps_per_epoch: int) -> list[float]:
    """The rate of every optimiser step."""
    parameter = torch.nn.Parameter(torch.zeros(1))
    parameter.grad = torch.zeros(1)
    rates = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizer = torch.optim.AdamW([parameter], lr=config.learning_rate)
        try:
            schedule = Schedule(optimizer, config, steps_per_epoch)
            for _ in range(config.epochs):
                for _ in range(steps_per_epoch):
                    rates.append(schedule.rate)
                    optimizer.step()
                    schedule.step()
                schedule.end_epoch(train_loss=1.0)
        except Warning as warning:
            raise AssertionError(f"scheduler {config.scheduler} warns: {warning}") from warning
    return rates


def check_augmentation(name: str, strengths: tuple[float, ...] = (0.1, 1.0)) -> None:
    """Shapes, lengths, padded steps and the cases themselves are kept; a strength of 0 changes and draws nothing.

    Raises:
        AssertionError: they are not, nothing changes at the greatest strength, the same seed gives different cases,
            numbers are drawn from another generator than the given one, or gradients do not pass.
    """
    x, valid = padded_series()
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        for strength in strengths:
            _check_strength(name, strength, x, valid)
        changed = AUGMENTATIONS[name](x, valid.sum(1), max(strengths), generator)
        assert not torch.equal(changed, x), f"augmentation {name}: strength {max(strengths)} changes nothing"
        before = generator.get_state()
        assert torch.equal(augment(x, valid.sum(1), _alone(name, 0.0), generator), x), (
            f"augmentation {name}: strength 0 changes the cases"
        )
        assert torch.equal(generator.get_state(), before), f"augmentation {name}: strength 0 draws numbers"


def _check_strength(name: str, strength: float, x: Tensor, valid: Tensor) -> None:
    case = f"augmentation {name} of strength {strength}"
    given, lengths = x.clone().requires_grad_(), valid.sum(1)
    config = _alone(name, strength)
    untouched = torch.get_rng_state()
    changed = augment(given, lengths, config, torch.Generator().manual_seed(0))
    assert torch.equal(torch.get_rng_state(), untouched), (
        f"{case}: numbers are drawn from torch's global generator, not from the given generator"
    )
    assert changed.shape == x.shape, f"{case}: shape {tuple(changed.shape)}, not {tuple(x.shape)}"
    assert changed.dtype == x.dtype, f"{case}: {changed.dtype}, not {x.dtype}"
    assert torch.isfinite(changed).all(), f"{case}: the cases are not finite"
    assert not changed.transpose(1, 2)[~valid].any(), f"{case}: padded steps are not 0"
    assert torch.equal(given, x), f"{case}: the given cases are changed"
    assert torch.equal(lengths, valid.sum(1)), f"{case}: the given lengths are changed"
    again = augment(x, lengths, config, torch.Generator().manual_seed(0))
    assert torch.equal(again, changed), f"{case}: the same seed gives different cases"
    changed.sum().backward()  # type: ignore[no-untyped-call]
    assert given.grad is not None, f"{case}: no gradient is passed on"
    assert torch.isfinite(given.grad).all(), f"{case}: the gradient is not finite"


def _alone(name: str, strength: float) -> AugmentationConfig:
    """Only this augmentation."""
    return AugmentationConfig.model_validate({**dict.fromkeys(AUGMENTATIONS, 0.0), "mixup": 0.0, name: strength})
