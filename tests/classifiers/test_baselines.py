import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tsbench.classifiers.baselines import BASELINES, Baseline, find_baseline
from tsbench.classifiers.contract import Facts
from tsbench.classifiers.fitted_baseline import FittedBaseline, _series, warm_up
from tsbench.data.archive import Archive
from tsbench.data.collection import Collection
from tsbench.evaluation.resampling import resample
from tsbench.testing import check_classifier


def load(name):
    return Archive().load(name)


def accuracy(name, dataset, seed=0):
    fitted = made(name).fit(dataset.train, seed)
    predicted = fitted.classes[fitted.predict_proba(dataset.test).argmax(axis=1)]
    return (predicted == dataset.test.labels).mean()


def few(collection, step):
    return collection.subset(np.arange(0, len(collection), step))


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        ("ACSF1", 0.91),
        ("ArrowHead", 0.862857),
        ("GunPoint", 0.993333),
        ("ItalyPowerDemand", 0.963071),
        ("OSULeaf", 0.958678),
    ],
)
def test_minirocket_gives_the_published_accuracy_on_the_archives_split(dataset, expected):
    assert round(accuracy("minirocket", load(dataset)), 6) == expected


@pytest.mark.parametrize(("dataset", "published"), [("GunPoint", 0.906667), ("ArrowHead", 0.702857)])
def test_1nn_dtw_gives_the_published_accuracy(dataset, published):
    assert round(accuracy("1nn-dtw", load(dataset)), 6) == published


def test_1nn_dtw_of_several_channels_and_unequal_lengths_gives_the_published_accuracy():
    # DTW_D on JapaneseVowels in "The UEA multivariate time series classification archive, 2018".
    assert round(accuracy("1nn-dtw", load("JapaneseVowels")), 3) == 0.949


def test_dummy_predicts_the_majority_class_and_the_training_shares():
    labels = np.array(["a", "b", "b", "b", "c"])
    values = np.random.default_rng(0).normal(size=(5, 1, 20))
    fitted = BASELINES["dummy"].fit(Collection(values, np.full(5, 20), labels), seed=0)
    probabilities = fitted.predict_proba(Collection(values[:3], np.full(3, 20), labels[:3]))
    assert fitted.classes[probabilities.argmax(axis=1)].tolist() == ["b", "b", "b"]
    np.testing.assert_allclose(probabilities, [[0.2, 0.6, 0.2]] * 3)


def test_minirocket_refuses_cases_of_unequal_lengths_with_a_reason():
    vowels = load("JapaneseVowels").train
    assert BASELINES["minirocket"].refuses(vowels) == "it takes cases of one length only, and these have several"
    assert BASELINES["1nn-dtw"].refuses(vowels) is None
    assert BASELINES["dummy"].refuses(vowels) is None


@pytest.mark.parametrize("name", BASELINES)
def test_no_baseline_refuses_cases_of_one_channel_and_length(name):
    if not BASELINES[name].package:
        assert BASELINES[name].refuses(load("ItalyPowerDemand").train) is None


def test_a_baseline_without_its_package_or_weights_is_refused_without_the_network(tmp_path, monkeypatch):
    """Neither mantis-tsfm nor weights are among the tests' own; `rich` stands where a package is installed."""
    mantis, train = BASELINES["mantis"], load("ItalyPowerDemand").train
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    absent = replace(mantis, package="no-such-distribution")
    assert absent.refuses(train) == (
        "it needs the package no-such-distribution, which is not installed: pip install no-such-distribution"
    )
    installed = replace(mantis, package="rich")
    assert installed.refuses(train) == (
        f"its weights paris-noah/MantisV2 are not in {tmp_path}, and none are downloaded during a search: "
        "hf download paris-noah/MantisV2"
    )
    assert replace(installed, parameters={"checkpoint": None}).refuses(train) is None  # random weights
    snapshot = tmp_path / "models--paris-noah--MantisV2" / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    assert installed.refuses(train) is not None
    (snapshot / "model.safetensors").write_bytes(b"")
    assert installed.refuses(train) is None


def test_a_classifier_without_a_seed_of_its_own_draws_the_same_again():
    drawing = Baseline(f"{__name__}:Drawing", seeded=False)
    train = load("ItalyPowerDemand").train
    first, again, other = (drawing.fit(train, seed).classifier.drawn for seed in (3, 3, 4))
    assert first == again
    assert first != other


class Drawing:
    def fit(self, series, labels):
        self.classes_ = np.unique(labels)
        self.drawn = (np.random.random(), random.random(), float(torch.rand(1)))


def test_a_classifier_of_one_channel_refuses_several_with_a_reason():
    reason = BASELINES["weasel2"].refuses(load("BasicMotions").train)
    assert reason == "it takes series of one channel only, and these have 6"


def test_missing_values_are_refused_where_a_classifier_takes_none():
    values = np.zeros((2, 1, 5))
    values[0, 0, 2] = np.nan
    cases = Collection(values, np.full(2, 5), np.array(["a", "b"]))
    assert BASELINES["quant"].refuses(cases) == "it takes no missing values, and these have some"
    assert BASELINES["dummy"].refuses(cases) is None


@pytest.mark.parametrize("name", [name for name in BASELINES if name != "inceptiontime"])
def test_the_tags_of_a_registered_baseline_are_those_of_its_class(name):
    baseline = BASELINES[name]
    tagged = find_baseline(baseline.path, baseline.parameters)
    for capability in ("seeded", "multivariate", "missing_values"):
        assert getattr(baseline, capability) == getattr(tagged, capability), capability
    # Euclidean distance has no meaning between lengths, whatever its class takes with elastic ones.
    assert baseline.unequal_length == (tagged.unequal_length and name != "1nn-ed")


def test_the_tags_stand_in_the_docs():
    page = (Path(__file__).parents[2] / "docs" / "comparing.md").read_text(encoding="utf-8")
    for name, baseline in BASELINES.items():
        tags = [
            "yes" if tag else "no" for tag in (baseline.multivariate, baseline.unequal_length, baseline.missing_values)
        ]
        assert f"| `{name}` | `{baseline.path}` | {' | '.join(tags)} | " in page


def test_a_classifier_by_import_path_is_made_with_its_parameters():
    forest = find_baseline("sktime.classification.interval_based.TimeSeriesForestClassifier", {"n_estimators": 5})
    assert (forest.multivariate, forest.unequal_length, forest.seeded) == (False, False, True)
    dataset = load("ItalyPowerDemand")
    fitted = forest.fit(few(dataset.train, 3), seed=1)
    assert len(fitted.classifier.estimators_) == 5
    assert fitted.predict_proba(few(dataset.test, 100)).shape == (11, 2)


def test_a_classifier_of_sktime_takes_cases_of_unequal_length():
    dummy = find_baseline("sktime.classification.dummy.DummyClassifier")
    vowels = load("JapaneseVowels")
    train, test = few(vowels.train, 9), few(vowels.test, 60)
    assert dummy.unequal_length
    assert not train.equal_length
    assert dummy.fit(train, seed=0).predict_proba(test).shape == (len(test), 9)


def test_a_classifier_without_probabilities_is_certain_of_its_prediction():
    dummy = find_baseline("sklearn.svm.LinearSVC")
    assert dummy.unequal_length  # nothing is known of it, so it is tried
    labels = np.array(["a", "a", "b", "b"])
    flat = Collection(np.zeros((4, 1, 3)) + np.arange(4)[:, None, None], np.full(4, 3), labels)
    fitted = FittedBaseline(dummy, _Predicts(), np.array(["a", "b"]), 0.0, Facts.of(flat), flat)
    np.testing.assert_array_equal(fitted.predict_proba(flat), [[0, 1]] * 4)


class _Predicts:
    def predict(self, series):
        return np.full(len(series), "b")


def test_cases_of_unequal_length_come_in_one_memory_layout():
    """Numba refuses a list of arrays of which some are contiguous and some are not."""
    vowels = load("JapaneseVowels").train
    assert {case.flags.c_contiguous for case in vowels.cases()} == {True, False}
    assert {case.flags.c_contiguous for case in _series(BASELINES["rdst"], vowels)} == {True}


def test_inceptiontime_is_the_mean_of_networks_of_different_seeds():
    dataset = load("ItalyPowerDemand")
    test = few(dataset.test, 200)
    parameters = {"num_epochs": 1, "members": 2}
    fitted = find_baseline("inceptiontime", parameters).fit(few(dataset.train, 4), seed=3)
    each = [member.predict_proba(test.values) for member in fitted.classifier.estimators_]
    assert not np.array_equal(*each)
    np.testing.assert_allclose(fitted.predict_proba(test), (each[0] + each[1]) / 2, atol=1e-6)
    assert fitted.classifier.predict(test.values).shape == (len(test),)


# Published accuracies of aeon's resamples 0 to 4 (Middlehurst et al. 2024, Bake off redux).
PUBLISHED_RESAMPLES = {
    ("quant", "ArrowHead"): (0.828571, 0.8, 0.828571, 0.868571, 0.834286),
    ("quant", "ItalyPowerDemand"): (0.965986, 0.970845, 0.941691, 0.969874, 0.964043),
    ("multirocket-hydra", "ArrowHead"): (0.862857, 0.828571, 0.851429, 0.931429, 0.937143),
    ("multirocket-hydra", "ItalyPowerDemand"): (0.966958, 0.968902, 0.948494, 0.970845, 0.965015),
}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "dataset"), PUBLISHED_RESAMPLES)
def test_resamples_give_the_published_accuracies_within_two_test_cases(name, dataset):
    whole = load(dataset)
    for number, published in enumerate(PUBLISHED_RESAMPLES[name, dataset]):
        drawn = resample(whole, number)
        allowed = 2 / len(drawn.test) + 1e-6
        assert accuracy(name, drawn, seed=number) == pytest.approx(published, abs=allowed), f"resample {number}"


SOURCES = {"ItalyPowerDemand": False, "BasicMotions": False, "JapaneseVowels": True}
"""Data sets of one channel, of several, and of several with unequal lengths."""

QUICK = {"dummy", "1nn-ed", "1nn-dtw", "minirocket", "hydra", "quant", "lstm-fcn"}
"""The others are compiled by numba for up to half a minute each, or train five networks."""

SHORT = {"inceptiontime": {"num_epochs": 2, "members": 2}, "lstm-fcn": {"num_epochs": 2}}


def made(name):
    return find_baseline(name, SHORT.get(name))


COMPILED = {
    "rocket": "ItalyPowerDemand",
    "multirocket": "BasicMotions",
    "multirocket-hydra": "BasicMotions",
    "rdst": "JapaneseVowels",
    "weasel2": "ItalyPowerDemand",
    "hc2": "ItalyPowerDemand",
}
"""Numba compiles these again for each kind of data set, so each is tested on one."""

LONG = {"hc2"}
"""Each fit takes longer than all other tests of a baseline together."""

ELSEWHERE = {"hydra", "quant", *COMPILED}
"""Loaded in a fresh process, too, which takes some seconds; the others are of the same few kinds of objects."""


def _marks(name):
    return [pytest.mark.slow][name in QUICK :] + [pytest.mark.nightly] * (name in LONG)


FITTINGS = [
    pytest.param((name, source), marks=_marks(name), id=f"{name}-{source}")
    for name, baseline in BASELINES.items()
    for source, unequal in SOURCES.items()
    if not baseline.package and COMPILED.get(name, source) == source and (baseline.unequal_length or not unequal)
]


@pytest.mark.parametrize("fitting", FITTINGS)
def test_every_baseline_satisfies_the_contract_and_can_be_warmed_up(fitting):
    name, source = fitting
    dataset = load(source)
    train, test = few(dataset.train, 3), few(dataset.test, len(dataset.test) // 12)
    warm_up(made(name), train)
    check_classifier(made(name), train, test, fresh_process=name in ELSEWHERE)


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    [
        "aeon.classification.feature_based.SummaryClassifier",
        "aeon.classification.convolution_based.MiniRocketClassifier",
        "sktime.classification.interval_based.TimeSeriesForestClassifier",
        "sktime.classification.distance_based.KNeighborsTimeSeriesClassifier",
    ],
)
def test_classifiers_by_import_path_satisfy_the_contract(path):
    dataset = load("ItalyPowerDemand")
    check_classifier(find_baseline(path), few(dataset.train, 3), few(dataset.test, 80))


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_is_made_unfitted_with_its_parameters(name):
    baseline = BASELINES[name]
    parameters = baseline.make(seed=7).get_params()
    assert parameters | baseline.parameters == parameters
    if baseline.seeded:
        assert parameters["random_state"] == 7


def test_minirocket_changes_with_the_seed():
    dataset = load("ItalyPowerDemand")
    first, second = (BASELINES["minirocket"].fit(dataset.train, seed).classifier for seed in (0, 1))
    kernels = [ridge.branches[0].transformer.parameters for ridge in (first, second)]
    assert any(not np.array_equal(a, b) for a, b in zip(*kernels, strict=True))


def test_one_nearest_neighbour_takes_lengths_other_than_those_of_training():
    fitted = BASELINES["1nn-dtw"].fit(few(load("GunPoint").train, 5), seed=0)
    longer = few(load("ArrowHead").test, 60)
    assert fitted.predict_proba(longer).shape == (len(longer), 2)


def test_an_unknown_baseline_is_a_key_error():
    with pytest.raises(KeyError, match="rocket9"):
        find_baseline("rocket9")


def test_a_classifier_of_one_length_refuses_test_cases_of_another():
    def cases(length):
        return Collection(np.zeros((2, 1, length)), np.full(2, length), np.array(["a", "b"]))

    assert BASELINES["minirocket"].refuses(cases(10), cases(10)) is None
    assert "one length only" in (BASELINES["minirocket"].refuses(cases(10), cases(14)) or "")
    assert BASELINES["1nn-dtw"].refuses(cases(10), cases(14)) is None


def test_fitting_leaves_numpys_global_generator_as_it_was():
    np.random.seed(7)
    _, key, *rest = np.random.get_state()
    BASELINES["minirocket"].fit(Archive().load("ItalyPowerDemand").train, seed=3)
    _, key_after, *rest_after = np.random.get_state()
    np.testing.assert_array_equal(key_after, key)
    assert rest_after == rest
