"""The ridge head: exact leave-one-out values, and probabilities whose predictions are aeon's."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.linear_model import Ridge

from tsbench.classifiers.baselines import BASELINES
from tsbench.classifiers.ridge import RidgeHead, fit_temperature, left_out_decisions
from tsbench.data.archive import Archive
from tsbench.evaluation.metrics import score_all

ALPHA = 2.5


@pytest.mark.parametrize("kind", [np.asarray, csr_matrix])
@pytest.mark.parametrize("shape", [(30, 60), (40, 10)], ids=["more features", "more cases"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("grouped", [False, True])
def test_left_out_decisions_are_those_of_fits_without_the_case_or_group(kind, shape, weighted, grouped):
    generator = np.random.default_rng(0)
    features = generator.normal(size=shape) + 5
    targets = generator.choice([-1.0, 1.0], size=(shape[0], 3))
    weights = generator.uniform(0.5, 2, shape[0]) if weighted else None
    groups = generator.integers(0, 8, shape[0]) if grouped else None
    found = left_out_decisions(kind(features), targets, ALPHA, groups, weights)
    for part in np.unique(groups) if grouped else range(shape[0]):
        out = groups == part if grouped else np.arange(shape[0]) == part
        fitted = Ridge(alpha=ALPHA).fit(features[~out], targets[~out], None if weights is None else weights[~out])
        np.testing.assert_allclose(found[out], fitted.predict(features[out]), rtol=0, atol=1e-8)


def test_the_temperature_is_that_of_the_least_log_loss():
    generator = np.random.default_rng(1)
    decisions = generator.normal(size=(4000, 3))
    chances = np.exp(decisions / 0.5) / np.exp(decisions / 0.5).sum(axis=1, keepdims=True)
    codes = np.array([generator.choice(3, p=chance) for chance in chances])
    assert fit_temperature(decisions, codes) == pytest.approx(0.5, rel=0.05)


def test_cases_that_are_all_right_do_not_make_it_certain():
    decisions = np.array([[1.0, -1.0], [-1.0, 1.0]] * 5)
    temperature = fit_temperature(decisions, np.array([0, 1] * 5))
    certainty = 1 / (1 + np.exp(-2 / temperature))
    assert certainty == pytest.approx(11 / 12, abs=1e-3)  # (cases + 1) / (cases + classes)


def test_weights_of_classes_are_those_of_scikit_learn():
    generator = np.random.default_rng(2)
    features, labels = generator.normal(size=(30, 5)), np.array(["a"] * 24 + ["b"] * 6)
    head = RidgeHead(np.array([1.0]), "balanced")
    out_of_fold = head.fit(features, labels)
    without = np.arange(30) != 3
    weights = np.where(labels == "a", 30 / 48, 30 / 12)
    fitted = Ridge(alpha=1.0).fit(features[without], np.where(labels[without] == "b", 1.0, -1.0), weights[without])
    decision = fitted.predict(features[3:4])[0]
    expected = 1 / (1 + np.exp(-2 * decision / head.temperature_))
    assert out_of_fold.probabilities[3, 1] == pytest.approx(expected, abs=1e-9)


FAMILIES = [
    "minirocket",
    "hydra",
    *(
        pytest.param(name, marks=pytest.mark.slow)
        for name in ("rocket", "multirocket", "multirocket-hydra", "rdst", "weasel2")
    ),
]


@pytest.mark.parametrize("name", FAMILIES)
def test_predictions_are_aeons_to_the_case_with_probabilities_that_mean_something(name):
    dataset = Archive().load("ItalyPowerDemand")
    fitted = BASELINES[name].fit(dataset.train, seed=3)
    original = BASELINES[name].make(seed=3).fit(dataset.train.values, dataset.train.labels)
    assert fitted.predict(dataset.test).tolist() == original.predict(dataset.test.values).tolist()
    ours = score_all(dataset.test.labels, fitted.predict_proba(dataset.test), fitted.classes)
    theirs = score_all(dataset.test.labels, original.predict_proba(dataset.test.values), fitted.classes)
    assert ours["log_loss"] < theirs["log_loss"] / 4  # one-hot answers cost 36 for each error
    assert fitted.out_of_fold is not None
    assert fitted.out_of_fold.method == "leave-one-out"


def test_cases_of_one_group_are_left_out_together():
    dataset = Archive().load("ItalyPowerDemand")
    groups = np.array([f"day {number // 2}" for number in range(len(dataset.train))])
    cases = type(dataset.train)(dataset.train.values, dataset.train.lengths, dataset.train.labels, groups)
    out_of_fold = BASELINES["minirocket"].fit(cases, seed=0).out_of_fold
    assert out_of_fold is not None
    assert out_of_fold.method == "leave-one-group-out"
    assert len(np.unique(out_of_fold.folds)) == len(np.unique(groups))
