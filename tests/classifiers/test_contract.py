"""The network, and what the contract of classifiers finds in those that break it."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from tsbench.classifiers.baselines import BASELINES, Baseline, find_baseline
from tsbench.classifiers.contract import Budget, BudgetSpentError, OutOfFold
from tsbench.classifiers.ensemble import NetworkEnsemble, TunedNetwork
from tsbench.classifiers.fitted_baseline import FittedBaseline
from tsbench.classifiers.saved import load_classifier
from tsbench.classifiers.trusted import NotSavableError, SlottedValues, read_object, write_object
from tsbench.data.archive import Archive
from tsbench.errors import ModelError
from tsbench.recipe.schema import HyperparameterConfig
from tsbench.testing import check_classifier

TINY = HyperparameterConfig.model_validate(
    {
        "model": {
            "convolution": {"channels": 4, "blocks": 1},
            "encoder": {"type": "lstm", "hidden_size": 4, "layers": 1},
            "features": {"size": 84},
            "head": {"hidden_sizes": [8]},
        },
        "training": {"epochs": 2, "batch_size": 32},
    }
)


@pytest.fixture(scope="module")
def italy():
    dataset = Archive().load("ItalyPowerDemand")
    return replace(dataset, train=dataset.train.subset(np.arange(24)), test=dataset.test.subset(np.arange(12)))


@pytest.mark.parametrize("name", ["ItalyPowerDemand", "JapaneseVowels"])
def test_the_network_satisfies_the_contract(name):
    dataset = Archive().load(name)
    train, test = dataset.train.subset(np.arange(0, 60, 3)), dataset.test.subset(np.arange(12))
    check_classifier(TunedNetwork(TINY, networks=2), train, test, fresh_process=name == "ItalyPowerDemand")


def test_a_network_ends_when_its_budget_is_spent(italy):
    with pytest.raises(BudgetSpentError, match=r"longer than 1e-09 s"):
        TunedNetwork(TINY).fit(italy.train, 0, Budget(1e-9))


@dataclass(frozen=True)
class Unseeded(Baseline):
    """Fits with another seed each time."""

    def fit(self, cases, seed, budget=None, preprocessing=None):
        return super().fit(cases, seed + next(SEEDS), budget, preprocessing)


@dataclass(frozen=True)
class Sharing(Baseline):
    """Draws from NumPy's global generator."""

    def fit(self, cases, seed, budget=None, preprocessing=None):
        np.random.random()
        return super().fit(cases, seed, budget, preprocessing)


SEEDS = iter(range(100))


@pytest.mark.parametrize(
    ("kind", "broken"), [(Unseeded, "the same seed gives different"), (Sharing, "changes NumPy's global generator")]
)
def test_a_classifier_that_breaks_the_contract_is_found(kind, broken, italy):
    known = BASELINES["quant"]
    with pytest.raises(AssertionError, match=broken):
        check_classifier(kind(known.path, min_length=3, compiled=False), italy.train, italy.test, fresh_process=False)


def test_what_cannot_be_saved_without_pickled_code_is_refused_by_its_type(tmp_path):
    with pytest.raises(NotSavableError, match=r"an object of type tests\.classifiers\.test_contract\.Unseeded"):
        write_object(Unseeded("x"), tmp_path / "object.skops")
    assert not (tmp_path / "object.skops").exists()


def test_a_file_with_another_type_is_not_loaded(tmp_path):
    from skops import io

    path = tmp_path / "object.skops"
    io.dump(Unseeded("x"), path)
    with pytest.raises(NotSavableError, match="which tsbench does not load"):
        read_object(path)


def test_objects_with_slots_are_saved_and_loaded(italy, tmp_path):
    from aeon.classification.sklearn import RotationForestClassifier

    X, path = italy.train.values[:, 0], tmp_path / "object.skops"
    forest = RotationForestClassifier(n_estimators=3, random_state=0).fit(X, italy.train.labels)
    assert not hasattr(forest._pcas[0][0], "__dict__")
    expected = forest.predict_proba(X)
    write_object(forest, path)
    assert type(forest._pcas[0][0]).__module__.startswith("aeon.")  # the object itself is left as it was
    assert np.array_equal(read_object(path).predict_proba(X), expected)


@pytest.mark.parametrize(
    ("name", "values", "sentence"),
    [
        ("os:system", {}, "it names the type os:system, which tsbench does not load from files"),
        ("sklearn.utils:check_array", {}, "it holds values that sklearn.utils:check_array has no slots for"),
        ("sklearn.tree:DecisionTreeClassifier", {"predict": 1}, "has no slots for"),
    ],
)
def test_a_file_that_fills_what_has_no_slots_is_not_loaded(name, values, sentence, tmp_path):
    from skops import io

    io.dump([SlottedValues(name, values)], tmp_path / "object.skops")
    with pytest.raises(NotSavableError, match=sentence):
        read_object(tmp_path / "object.skops")


def test_a_baseline_refuses_lengths_that_its_library_cannot_take(italy):
    fitted = BASELINES["quant"].fit(italy.train, 0)
    assert (fitted.shortest_allowed, fitted.longest_allowed) == (24, 24)
    shorter = replace(italy.test, values=italy.test.values[:, :, :20], lengths=np.full(12, 20))
    assert len(fitted.unfit_lengths(shorter)) == 12
    assert fitted.describe_length(20) == (
        "has 20 time steps, which is too short; the model was trained on 24 time steps and takes no other length"
    )


@pytest.fixture
def saved(italy, tmp_path):
    folder = tmp_path / "model"
    find_baseline("dummy").fit(italy.train, 0).save(folder)
    return folder


def test_a_saved_baseline_of_other_versions_is_compared_before_it_is_used(saved, monkeypatch):
    monkeypatch.setattr("tsbench.classifiers.fitted_baseline.packages_of", lambda path: {"aeon": "99.0"})
    load_classifier(saved)  # it predicts the same
    monkeypatch.setattr(FittedBaseline, "predict_proba", lambda self, cases: np.full((len(cases), 2), 0.5))
    with pytest.raises(ModelError, match=r"fitted with aeon 1\..*does not predict the same with aeon 99\.0; install"):
        load_classifier(saved)


def test_a_damaged_baseline_is_refused(saved):
    path = saved / "classifier.skops"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ModelError, match="damaged"):
        load_classifier(saved)


def test_a_baseline_is_no_network(saved):
    with pytest.raises(ModelError, match="holds a baseline, not a network"):
        NetworkEnsemble.load(saved)


def test_out_of_fold_probabilities_are_put_together_by_case_and_class(tmp_path):
    labels = np.array(["a", "b", "c", "a"])
    parts = [
        (np.array([3, 1]), np.array([[0.75, 0.25], [0.5, 0.5]]), np.array(["a", "c"])),
        (np.array([0]), np.array([[0.2, 0.3, 0.5]]), np.array(["a", "b", "c"])),
    ]
    found = OutOfFold.of_folds(labels, parts)
    assert found.folds.tolist() == [1, 0, -1, 0]
    expected = [[0.2, 0.3, 0.5], [0.5, 0, 0.5], [np.nan] * 3, [0.75, 0, 0.25]]
    np.testing.assert_array_equal(found.probabilities, expected)
    assert found.accuracy == 1 / 3
    found.save(tmp_path / "oof.npz")
    again = OutOfFold.load(tmp_path / "oof.npz")
    np.testing.assert_array_equal(again.probabilities, found.probabilities)
    assert (again.method, again.folds.tolist(), again.labels.tolist()) == ("folds", [1, 0, -1, 0], labels.tolist())
