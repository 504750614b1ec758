import math
import warnings

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler

from tsbench.recipe.registries import SCHEDULERS
from tsbench.recipe.schema import TrainingConfig
from tsbench.training.schedules import Schedule

PEAK, FLOOR = 0.01, 0.0005


def optimizer_of(config):
    parameter = torch.nn.Parameter(torch.zeros(1))
    parameter.grad = torch.zeros(1)
    return torch.optim.AdamW([parameter], lr=config.learning_rate)


def run(steps_per_epoch, losses=None, **settings):
    """The rate of every optimiser step, warnings being errors; `losses` are those of the epochs."""
    config = TrainingConfig(**{"learning_rate": PEAK, "min_learning_rate": FLOOR, **settings})
    losses = losses or [1.0] * config.epochs
    rates = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizer = optimizer_of(config)
        schedule = Schedule(optimizer, config, steps_per_epoch)
        for loss in losses:
            for _ in range(steps_per_epoch):
                rates.append(schedule.rate)
                assert optimizer.param_groups[0]["lr"] == rates[-1]
                optimizer.step()
                schedule.step()
            schedule.end_epoch(loss)
    return np.array(rates)


def annealed(t, T, floor=FLOOR):
    """Row N20's closed formula."""
    return floor + (PEAK - floor) / 2 * (1 + math.cos(math.pi * t / T))


def assert_rates(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("floor", [0.0, FLOOR])
@pytest.mark.parametrize(("epochs", "steps_per_epoch"), [(1, 1), (1, 4), (7, 1), (10, 3), (200, 5)])
def test_n20_cosine_gives_the_closed_formula_at_every_step(epochs, steps_per_epoch, floor):
    rates = run(steps_per_epoch, scheduler="cosine", epochs=epochs, min_learning_rate=floor)
    total = epochs * steps_per_epoch
    assert_rates(rates, [annealed(t, total, floor) for t in range(total)])


@pytest.mark.parametrize(("warmup_epochs", "steps_per_epoch"), [(1, 4), (3, 1), (3, 4)])
def test_n20_cosine_after_a_warm_up_falls_over_the_remaining_steps(warmup_epochs, steps_per_epoch):
    rates = run(steps_per_epoch, scheduler="cosine", epochs=10, warmup_epochs=warmup_epochs)
    warm = warmup_epochs * steps_per_epoch
    rest = 10 * steps_per_epoch - warm
    assert_rates(rates[warm:], [annealed(t, rest) for t in range(rest)])


@pytest.mark.parametrize("scheduler", sorted(set(SCHEDULERS) - {"one_cycle"}))
@pytest.mark.parametrize(("warmup_epochs", "steps_per_epoch"), [(1, 1), (2, 3), (4, 5)])
def test_n20_warm_up_is_a_linear_ramp_to_the_peak(scheduler, warmup_epochs, steps_per_epoch):
    rates = run(steps_per_epoch, scheduler=scheduler, epochs=8, warmup_epochs=warmup_epochs)
    warm = warmup_epochs * steps_per_epoch
    assert_rates(rates[:warm], [PEAK * (step + 1) / warm for step in range(warm)])
    assert rates[warm] == PEAK


def test_n20_a_warm_up_longer_than_the_training_leaves_the_last_epoch_to_the_scheduler():
    rates = run(2, scheduler="cosine", epochs=3, warmup_epochs=50)
    assert_rates(rates, [PEAK / 4, PEAK / 2, PEAK * 3 / 4, PEAK, annealed(0, 2), annealed(1, 2)])


@pytest.mark.parametrize("warmup_epochs", [0, 2])
def test_n20_cosine_restarts_repeats_its_cycle(warmup_epochs):
    rates = run(
        3, scheduler="cosine_restarts", epochs=17 + warmup_epochs, restart_epochs=5, warmup_epochs=warmup_epochs
    )
    rates = rates[3 * warmup_epochs :]
    assert_rates(rates, [annealed(t % 15, 15) for t in range(51)])
    assert rates[0] == rates[15] == rates[30] == PEAK
    assert_rates(rates[15:30], rates[:15])


@pytest.mark.parametrize("warmup_epochs", [0, 5])
@pytest.mark.parametrize(("epochs", "steps_per_epoch"), [(10, 3), (1, 4), (1, 1), (50, 1)])
def test_n20_one_cycle_equals_torchs_own_and_warms_up_by_itself(epochs, steps_per_epoch, warmup_epochs):
    rates = run(steps_per_epoch, scheduler="one_cycle", epochs=epochs, warmup_epochs=warmup_epochs)
    total = epochs * steps_per_epoch
    optimizer = optimizer_of(TrainingConfig(learning_rate=PEAK))
    theirs = lr_scheduler.OneCycleLR(optimizer, max_lr=PEAK, total_steps=max(total, 2), cycle_momentum=False)
    expected = []
    for _ in range(total):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()
    assert_rates(rates, expected)
    assert optimizer.param_groups[0]["betas"] == (0.9, 0.999)


@pytest.mark.parametrize(("epochs", "patience"), [(20, 2), (60, 3), (100, 5)])
def test_n20_plateau_halves_once_the_loss_has_not_improved_for_longer_than_its_patience(epochs, patience):
    rates = run(2, scheduler="plateau", epochs=epochs, min_learning_rate=0.0)
    by_epoch = rates[::2]
    assert (rates[1::2] == by_epoch).all()
    # The first epoch sets the mark; every patience + 1 epochs that miss it halve the rate of the next.
    assert_rates(by_epoch, [PEAK / 2 ** (max(epoch - 1, 0) // (patience + 1)) for epoch in range(epochs)])


def test_n20_plateau_keeps_its_rate_while_the_loss_falls():
    rates = run(2, losses=[1 / (epoch + 1) for epoch in range(30)], scheduler="plateau", epochs=30)
    assert (rates == PEAK).all()


def test_n20_plateau_stops_at_the_least_rate():
    rates = run(1, scheduler="plateau", epochs=40)
    assert rates.min() == rates[-1] == FLOOR


def test_n20_plateau_begins_to_look_at_the_loss_after_the_warm_up():
    losses = [0.1, 0.9, *[0.5] * 10]  # 0.1 falls in the warm-up and sets no mark; the third epoch's 0.5 does
    rates = run(1, losses=losses, scheduler="plateau", epochs=12, warmup_epochs=2)
    assert_rates(rates[:8], [PEAK / 2, PEAK, PEAK, PEAK, PEAK, PEAK, PEAK / 2, PEAK / 2])


@pytest.mark.parametrize("steps_per_epoch", [1, 4])
def test_n20_constant_is_constant(steps_per_epoch):
    rates = run(steps_per_epoch, scheduler="constant", epochs=9)
    assert (rates == PEAK).all()


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize(
    ("epochs", "warmup_epochs", "steps_per_epoch"), [(1, 0, 1), (1, 30, 2), (2, 1, 7), (13, 1, 1), (13, 30, 7)]
)
def test_n20_every_scheduler_runs_for_its_whole_length_with_no_warning(
    scheduler, epochs, warmup_epochs, steps_per_epoch
):
    rates = run(steps_per_epoch, scheduler=scheduler, epochs=epochs, warmup_epochs=warmup_epochs, restart_epochs=3)
    assert len(rates) == epochs * steps_per_epoch
    assert np.isfinite(rates).all()
    assert (rates > 0).all()
    assert rates.max() <= PEAK * (1 + 1e-9)


@pytest.mark.parametrize("scheduler", sorted(set(SCHEDULERS) - {"one_cycle"}))
def test_n20_a_least_rate_above_the_peak_is_the_peak(scheduler):
    rates = run(2, scheduler=scheduler, epochs=30, min_learning_rate=10 * PEAK, restart_epochs=4)
    assert_rates(rates, PEAK)
