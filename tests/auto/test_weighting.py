from __future__ import annotations

import numpy as np
import pytest

from tsbench.classifiers.weighting import (
    Combination,
    is_better_than_chance,
    log_loss,
    nested_probabilities,
    recalibrated,
)

CODES = np.repeat([0, 1, 2], 40)


def member(seed: int, signal: float, sharpness: float = 1.0) -> np.ndarray:
    """Probabilities of a classifier: the true class stands out by `signal`, then all are sharpened."""
    logits = np.random.default_rng(seed).normal(size=(len(CODES), 3))
    logits[np.arange(len(CODES)), CODES] += signal
    scaled = np.exp(sharpness * logits)
    return scaled / scaled.sum(axis=1, keepdims=True)


def test_a_temperature_of_one_changes_nothing_and_a_high_one_levels():
    probabilities = member(0, 1.0)
    assert recalibrated(probabilities, 1.0) is probabilities
    np.testing.assert_allclose(recalibrated(probabilities, 1e6), 1 / 3, atol=1e-4)
    np.testing.assert_array_equal(recalibrated(probabilities, 0.5).argmax(axis=1), probabilities.argmax(axis=1))


def test_an_overconfident_and_an_underconfident_copy_of_a_member_weigh_alike():
    sharp, soft = member(0, 2.0, sharpness=8.0), member(0, 2.0, sharpness=0.2)
    combination = Combination.fit([sharp, soft], CODES)
    assert combination.temperatures[0] > 1 > combination.temperatures[1]
    np.testing.assert_allclose(
        recalibrated(sharp, combination.temperatures[0]), recalibrated(soft, combination.temperatures[1]), atol=0.1
    )


def test_weights_favour_the_better_member_and_leave_none_without_a_say():
    combination = Combination.fit([member(0, 3.0), member(1, 0.2)], CODES)
    assert sum(combination.weights) == pytest.approx(1)
    assert combination.weights[0] > 0.6
    assert combination.weights[1] >= 0.25  # half of an equal share, see SHRINKAGE


def test_members_that_err_in_different_cases_are_better_together():
    members = [member(seed, 1.5) for seed in range(4)]
    together = Combination.fit(members, CODES).apply(members)
    assert log_loss(together, CODES) < 0.8 * min(log_loss(probabilities, CODES) for probabilities in members)
    np.testing.assert_allclose(together.sum(axis=1), 1)


def test_the_nested_probabilities_of_a_case_do_not_depend_on_its_label():
    members = [member(0, 1.0), member(1, 1.0)]
    folds = [np.arange(start, len(CODES), 5) for start in range(5)]
    before = nested_probabilities(members, CODES, folds)
    changed = CODES.copy()
    changed[folds[0]] = 2 - changed[folds[0]]
    after = nested_probabilities(members, changed, folds)
    np.testing.assert_array_equal(before[folds[0]], after[folds[0]])
    assert not np.array_equal(before[folds[1]], after[folds[1]])


@pytest.mark.parametrize(("signal", "better"), [(0.0, False), (1.0, True)])
def test_a_member_of_pure_noise_is_no_better_than_chance(signal: float, better: bool):
    found = [is_better_than_chance(member(seed, signal), CODES) for seed in range(5)]
    assert sum(found) >= 4 if better else sum(found) <= 1


def test_a_member_that_has_learned_the_classes_shares_alone_is_no_better_than_chance():
    codes = np.repeat([0, 1, 2], [80, 30, 10])
    assert not is_better_than_chance(np.tile([80 / 120, 30 / 120, 10 / 120], (120, 1)), codes)
