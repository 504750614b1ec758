import numpy as np
import pytest

from tsbench.classifiers.baselines import BASELINES, fit_baseline, warm_up
from tsbench.data.archive import Archive
from tsbench.data.collection import Collection


def load(name):
    return Archive().load(name)


def accuracy(name, dataset, seed=0):
    fitted = fit_baseline(BASELINES[name], dataset.train, seed)
    predicted = fitted.classes[fitted.predict_proba(dataset.test).argmax(axis=1)]
    return (predicted == dataset.test.labels).mean()


def few(collection, step):
    return collection.subset(np.arange(0, len(collection), step))


@pytest.mark.parametrize(("dataset", "expected"), [("ArrowHead", 0.8629), ("ItalyPowerDemand", 0.9631)])
def test_minirocket_gives_its_known_accuracy_on_the_archives_split(dataset, expected):
    assert round(accuracy("minirocket", load(dataset)), 4) == expected


@pytest.mark.parametrize(("dataset", "published"), [("GunPoint", 0.906667), ("ArrowHead", 0.702857)])
def test_1nn_dtw_gives_the_published_accuracy(dataset, published):
    assert round(accuracy("1nn-dtw", load(dataset)), 6) == published


def test_1nn_dtw_of_several_channels_and_unequal_lengths_gives_the_published_accuracy():
    # DTW_D on JapaneseVowels in "The UEA multivariate time series classification archive, 2018".
    assert round(accuracy("1nn-dtw", load("JapaneseVowels")), 3) == 0.949


def test_dummy_predicts_the_majority_class_and_the_training_shares():
    labels = np.array(["a", "b", "b", "b", "c"])
    values = np.random.default_rng(0).normal(size=(5, 1, 20))
    fitted = fit_baseline(BASELINES["dummy"], Collection(values, np.full(5, 20), labels), seed=0)
    probabilities = fitted.predict_proba(Collection(values[:3], np.full(3, 20), labels[:3]))
    assert fitted.classes[probabilities.argmax(axis=1)].tolist() == ["b", "b", "b"]
    np.testing.assert_allclose(probabilities, [[0.2, 0.6, 0.2]] * 3)


def test_minirocket_refuses_cases_of_unequal_lengths_with_a_reason():
    vowels = load("JapaneseVowels").train
    assert BASELINES["minirocket"].refuses(vowels) == "it takes cases of one length only, and these have several"
    assert BASELINES["1nn-dtw"].refuses(vowels) is None
    assert BASELINES["dummy"].refuses(vowels) is None


@pytest.mark.parametrize("name", BASELINES)
def test_no_baseline_refuses_cases_of_one_length(name):
    assert BASELINES[name].refuses(load("BasicMotions").train) is None


SOURCES = {"ItalyPowerDemand": False, "BasicMotions": False, "JapaneseVowels": True}
"""Data sets of one channel, of several, and of several with unequal lengths."""

FITTINGS = [
    (name, source)
    for name, baseline in BASELINES.items()
    for source, unequal in SOURCES.items()
    if baseline.unequal_length or not unequal
]


@pytest.fixture(scope="module", params=FITTINGS, ids="-".join)
def fitting(request):
    """A baseline's name, a few train and test cases, and the fitted baseline."""
    name, source = request.param
    dataset = load(source)
    train, test = few(dataset.train, 3), few(dataset.test, len(dataset.test) // 12)
    return name, train, test, fit_baseline(BASELINES[name], train, seed=5)


def test_every_baseline_gives_a_distribution_over_the_classes_for_each_case(fitting):
    _, train, test, fitted = fitting
    probabilities = fitted.predict_proba(test)
    assert probabilities.shape == (len(test), len(train.classes))
    assert probabilities.dtype == np.float64
    assert (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=0, atol=1e-6)
    assert fitted.classes.tolist() == train.classes.tolist()
    assert fitted.fit_seconds > 0


def test_every_baseline_is_determined_by_its_seed(fitting):
    name, train, test, fitted = fitting
    again = fit_baseline(BASELINES[name], train, seed=5)
    np.testing.assert_array_equal(again.predict_proba(test), fitted.predict_proba(test))


def test_every_baseline_leaves_its_cases_as_they_were(fitting):
    name, train, test, _ = fitting
    before = train.digest(), test.digest()
    fit_baseline(BASELINES[name], train, seed=5).predict_proba(test)
    assert (train.digest(), test.digest()) == before


def test_every_baseline_can_be_warmed_up_on_cases_like_those_it_will_get(fitting):
    name, train, _, _ = fitting
    warm_up(BASELINES[name], train)


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_is_made_unfitted_with_its_parameters(name):
    baseline = BASELINES[name]
    parameters = baseline.make(seed=7).get_params()
    assert parameters | baseline.parameters == parameters
    if baseline.seeded:
        assert parameters["random_state"] == 7


def test_minirocket_changes_with_the_seed():
    dataset = load("ItalyPowerDemand")
    first, second = (fit_baseline(BASELINES["minirocket"], dataset.train, seed).classifier for seed in (0, 1))
    kernels = [one.pipeline_.steps[0][1].parameters for one in (first, second)]
    assert any(not np.array_equal(a, b) for a, b in zip(*kernels, strict=True))


def test_one_nearest_neighbour_takes_lengths_other_than_those_of_training():
    fitted = fit_baseline(BASELINES["1nn-dtw"], few(load("GunPoint").train, 5), seed=0)
    longer = few(load("ArrowHead").test, 60)
    assert fitted.predict_proba(longer).shape == (len(longer), 2)


def test_an_unknown_baseline_is_a_key_error():
    with pytest.raises(KeyError, match="rocket9"):
        fit_baseline("rocket9", load("UnitTest").train, seed=0)


def test_a_classifier_of_one_length_refuses_test_cases_of_another():
    def cases(length):
        return Collection(np.zeros((2, 1, length)), np.full(2, length), np.array(["a", "b"]))

    assert BASELINES["minirocket"].refuses(cases(10), cases(10)) is None
    assert "one length only" in (BASELINES["minirocket"].refuses(cases(10), cases(14)) or "")
    assert BASELINES["1nn-dtw"].refuses(cases(10), cases(14)) is None


def test_fitting_leaves_numpys_global_generator_as_it_was():
    np.random.seed(7)
    before = np.random.get_state()[1].copy()
    fit_baseline(BASELINES["minirocket"], Archive().load("ItalyPowerDemand").train, seed=3)
    np.testing.assert_array_equal(np.random.get_state()[1], before)
