import numpy as np
import pytest
import torch

from tsbench.classifiers.ridge import RidgeHead, left_out_decisions, softmax
from tsbench.nn.features import ridge
from tsbench.nn.features.ridge import fit_ridge


def cases(count=30, features=50, classes=3, seed=0):
    generator = np.random.default_rng(seed)
    targets = np.arange(count) % classes
    centres = generator.normal(size=(classes, features))
    return centres[targets] + 2 * generator.normal(size=(count, features)), targets


@pytest.mark.parametrize(("count", "features"), [(30, 50), (60, 8)])
def test_predictions_are_those_of_scikit_learns_ridge_with_the_same_penalty(count, features, monkeypatch):
    x, targets = cases(count, features)
    monkeypatch.setattr(ridge, "PENALTIES", torch.tensor([3.0], dtype=torch.float64))
    fitted = fit_ridge(torch.from_numpy(x), torch.from_numpy(targets), 3)
    head = RidgeHead(np.array([3.0]))
    out_of_fold = head.fit(x, targets)
    decisions = (x @ fitted.weight.numpy().T + fitted.bias.numpy()) * fitted.temperature
    np.testing.assert_allclose(decisions, head.ridge_.decision_function(x), rtol=0, atol=1e-6)
    left_out = softmax(fitted.left_out.numpy() * fitted.temperature / head.temperature_)
    np.testing.assert_allclose(left_out, out_of_fold.probabilities, rtol=0, atol=1e-6)
    assert fitted.temperature == pytest.approx(head.temperature_, rel=0.04)  # a grid of steps of 6 %


def test_left_out_values_are_those_of_a_fit_without_the_case():
    x, targets = cases()
    fitted = fit_ridge(torch.from_numpy(x), torch.from_numpy(targets), 3)
    assert fitted.penalty in ridge.PENALTIES.tolist()
    for case in (0, 7):
        others = np.arange(len(x)) != case
        head = RidgeHead(np.array([fitted.penalty]))
        head.fit(x[others], targets[others])
        expected = head.ridge_.decision_function(x[case : case + 1])[0]
        np.testing.assert_allclose(fitted.left_out[case].numpy() * fitted.temperature, expected, rtol=0, atol=1e-6)


def test_cases_of_one_group_are_left_out_together():
    x, targets = cases()
    groups = np.arange(30) // 4
    fitted = fit_ridge(torch.from_numpy(x), torch.from_numpy(targets), 3, groups=torch.from_numpy(groups))
    signs = np.where(targets[:, None] == np.arange(3), 1.0, -1.0)
    expected = left_out_decisions(x, signs, fitted.penalty, groups)
    np.testing.assert_allclose(fitted.left_out.numpy() * fitted.temperature, expected, rtol=0, atol=1e-6)
    together = fit_ridge(torch.from_numpy(x), torch.from_numpy(targets), 3, groups=torch.zeros(30, dtype=torch.int64))
    assert torch.isfinite(together.weight).all()  # one group of all cases cannot be left out


def test_weighted_cases_count_as_often_as_they_weigh():
    x, targets = cases(18, 40)
    twice = np.r_[np.arange(18), np.arange(6)]
    weights = torch.tensor([2.0] * 6 + [1.0] * 12)
    weighted = fit_ridge(torch.from_numpy(x), torch.from_numpy(targets), 3, weights)
    monkey = left_out_decisions(
        x, np.where(targets[:, None] == np.arange(3), 1.0, -1.0), weighted.penalty, weights=weights.numpy()
    )
    np.testing.assert_allclose(weighted.left_out.numpy() * weighted.temperature, monkey, rtol=0, atol=1e-6)
    head = RidgeHead(np.array([weighted.penalty]))
    head.fit(x[twice], targets[twice])
    decisions = (x @ weighted.weight.numpy().T + weighted.bias.numpy()) * weighted.temperature
    np.testing.assert_allclose(decisions, head.ridge_.decision_function(x), rtol=0, atol=1e-6)


def test_a_class_without_cases_and_constant_features_give_finite_probabilities():
    x, targets = cases(12, 5, classes=2)
    x[:, 2] = 0.0
    fitted = fit_ridge(torch.from_numpy(x), torch.from_numpy(targets), 3)
    logits = torch.from_numpy(x) @ fitted.weight.T + fitted.bias
    probabilities = logits.softmax(1)
    assert torch.isfinite(probabilities).all()
    assert (probabilities[:, 2] < probabilities[:, :2].max(1).values).all()
    alone = fit_ridge(torch.from_numpy(x), torch.zeros(12, dtype=torch.int64), 1)
    assert torch.isfinite(alone.bias).all()
