import json
import pickle
import zipfile

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone, is_classifier
from sklearn.metrics import accuracy_score
from sklearn.model_selection import cross_val_score
from sktime.base import load
from sktime.datasets import load_basic_motions, load_japanese_vowels, load_unit_test
from sktime.transformations.panel.padder import PaddingTransformer
from sktime.transformations.series.exponent import ExponentTransformer
from sktime.utils.estimator_checks import check_estimator

from tsbench import NetworkClassifier
from tsbench.classifiers.network import NetworkEnsemble

SMALL = {
    "model.convolution.channels": 4,
    "model.features.size": 168,
    "training.epochs": 4,
    "training.min_steps": 0,
}
RECURRENT = {**SMALL, "model.preset": "classic", "model.encoder.hidden_size": 4}
KINDS = pytest.mark.parametrize("config", [SMALL, RECURRENT], ids=["default", "classic"])


def classifier(config=None, ensemble=1, **more):
    return NetworkClassifier({**SMALL, **(config or {})}, ensemble=ensemble, **more)


def waves(cases=12, channels=1, steps=24, seed=0, dtype=np.float64):
    """Sines of two frequencies, in noise."""
    random = np.random.default_rng(seed)
    time = np.linspace(0, 2 * np.pi, steps)
    X = np.stack([np.tile(np.sin((1 + 2 * (case % 2)) * time), (channels, 1)) for case in range(cases)])
    return (X + 0.2 * random.normal(size=X.shape)).astype(dtype), np.arange(cases) % 2


@pytest.fixture(scope="module")
def unit_test():
    return (*load_unit_test(split="train", return_type="numpy3D"), *load_unit_test(split="test", return_type="numpy3D"))


@pytest.mark.slow
def test_it_passes_every_check_that_sktime_has():
    results = check_estimator(NetworkClassifier, raise_exceptions=True, verbose=False)
    assert len(results) > 200


def test_it_learns(unit_test):
    X, y, X_test, y_test = unit_test
    fitted = NetworkClassifier({"training.epochs": 20, "model.features.size": 840}, ensemble=2).fit(X, y)
    assert accuracy_score(y_test, fitted.predict(X_test)) > 0.8
    probabilities = fitted.predict_proba(X_test)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_array_equal(fitted.predict(X_test), fitted.classes_[probabilities.argmax(axis=1)])


def test_the_same_random_state_gives_the_same_bits_and_another_gives_others(unit_test):
    X, y, X_test, _ = unit_test
    first, same, other = (
        classifier(ensemble=2, random_state=seed).fit(X, y).predict_proba(X_test) for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


def test_networks_trained_in_processes_are_those_trained_one_after_the_other(unit_test):
    X, y, X_test, _ = unit_test
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        alone = classifier(ensemble=2).fit(X, y).predict_proba(X_test)
    finally:
        torch.set_num_threads(before)
    together = classifier(ensemble=2, n_jobs=2).fit(X, y).predict_proba(X_test)
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-6)


# --- sktime's and scikit-learn's company


def test_clone_gives_an_unfitted_one_of_the_same_parameters():
    original = classifier({"model.dropout": 0.3}, ensemble=3, random_state=9).fit(*waves())
    copy = clone(original)
    assert copy.get_params() == original.get_params()
    assert not copy.is_fitted


def test_it_stands_in_scikit_learns_cross_validation():
    X, y = waves(12)
    assert is_classifier(classifier())  # so that the folds are stratified
    assert cross_val_score(classifier(), X, y=y, cv=2).shape == (2,)


def test_it_stands_in_sktimes_pipelines():
    X, y = waves(12)
    pipeline = (ExponentTransformer(2) * classifier()).fit(X, y)
    assert pipeline.predict(X).shape == (12,)
    X, y = load_japanese_vowels(split="train", return_type="nested_univ")
    padded = (PaddingTransformer(pad_length=40) * classifier()).fit(X[::18], y[::18])
    assert set(padded.predict(X[:3])) <= set(y)


# --- configuration


def test_dotted_names_and_groups_mean_the_same():
    groups = {"model": {"convolution": {"channels": 4}, "features": {"size": 168}}, "training": {"epochs": 4}}
    mixed = {"model": {"convolution.channels": 4}, "model.features.size": 168, "training.epochs": 4}
    X, y = waves()
    results = [NetworkClassifier({**one, "training.min_steps": 0}, ensemble=1).fit(X, y) for one in (groups, mixed)]
    first, second = (one.predict_proba(X) for one in results)
    np.testing.assert_array_equal(first, second)


def test_everything_wrong_in_the_configuration_is_said_at_once():
    wrong = {"model.encoder.typ": "lstm", "training": {"epochs": 0}, "model.pooling": "sum"}
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the sentences are compared below
        NetworkClassifier(wrong).fit(*waves())
    assert str(caught.value).splitlines() == [
        "model.encoder.typ: unknown setting; did you mean 'model.encoder.type'?",
        "model.pooling: expected one of max, average, both, got 'sum'",
        "training.epochs: must be at least 1, got 0",
    ]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("lstm", "the configuration must be a mapping of dotted names to values, got 'lstm'"),
        ({"model": {"dropout": 0.1}, "model.dropout": 0.2}, "model.dropout: is given twice"),
        ({"model.pooling": "max", "model.pooling.kind": "max"}, "model.pooling.kind: pooling is given a value"),
        ({"model.features.blocks": ["minirockt"]}, "unknown feature block 'minirockt'; did you mean 'minirocket'?"),
    ],
)
def test_a_configuration_that_cannot_be_read_is_refused(config, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(").replace("?", r"\?")):
        NetworkClassifier(config).fit(*waves())


@pytest.mark.parametrize(
    ("parameters", "message"),
    [({"ensemble": 0}, "ensemble must be at least 1, got 0"), ({"device": "cuda:7"}, "device 'cuda:7' is not there")],
)
def test_parameters_that_cannot_be_met_are_refused(parameters, message):
    if "device" in parameters and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ValueError, match=message):
        NetworkClassifier(SMALL, **parameters).fit(*waves())


# --- all kinds of series and labels


@KINDS
def test_unequal_lengths_and_several_channels_as_nested_frames(config):
    X, y = load_japanese_vowels(split="train", return_type="nested_univ")
    fitted = NetworkClassifier(config, ensemble=1).fit(X[::9], y[::9])
    assert fitted.predict_proba(X[:5]).shape == (5, 9)


@KINDS
def test_padding_with_nothing_of_it_in_the_lengths_changes_no_prediction(config):
    """The other cases of a panel settle how far a case is padded inside."""
    X, y = waves(8)
    panel = [pd.DataFrame(case.T[: 24 - 2 * number]) for number, case in enumerate(X)]
    fitted = NetworkClassifier(config, ensemble=1).fit(panel, y)
    long = pd.DataFrame(np.random.default_rng(1).normal(size=(90, 1)))
    np.testing.assert_allclose(fitted.predict_proba([*panel, long])[:8], fitted.predict_proba(panel), rtol=0, atol=1e-6)


@KINDS
@pytest.mark.parametrize("missing", ["linear", "forward", "mean"])
@pytest.mark.parametrize("marked", [True, False])
def test_missing_values_in_training_and_testing(config, missing, marked):
    X, y = waves(12, channels=2)
    X[3, 0, 5:9] = np.nan
    X[4, 1] = np.nan  # a channel of which nothing is there
    settings = {**config, "preprocessing.missing": missing, "preprocessing.mark_missing": marked}
    fitted = NetworkClassifier(settings, ensemble=1).fit(X, y)
    X[5, :, 0] = np.nan
    assert np.isfinite(fitted.predict_proba(X)).all()


@pytest.mark.parametrize("dtype", [">f8", "<f4", ">f4", "f2", "i8", ">i2"])
def test_any_number_type_and_byte_order_will_do(dtype):
    X, y = waves(12)
    given = (10 * X).astype(dtype)
    plain = given.astype(np.float64)
    np.testing.assert_array_equal(
        classifier().fit(given, y).predict_proba(given), classifier().fit(plain, y).predict_proba(plain)
    )


def test_arrays_that_are_not_contiguous_will_do():
    X, y = waves(12, channels=2)
    strided = np.asfortranarray(np.repeat(X, 2, axis=2))[:, :, ::2]
    assert not strided.flags.c_contiguous
    np.testing.assert_array_equal(
        classifier().fit(strided, y).predict_proba(strided), classifier().fit(X, y).predict_proba(X)
    )


@pytest.mark.parametrize(
    "labels",
    [
        np.array([3, -1]),
        np.array([0.5, 0.25]),
        np.array(["up", "down"]),
        np.array([True, False]),
        np.array(["10", "9"], dtype=object),
        np.array([np.int8(5), np.int8(4)]),
    ],
    ids=lambda labels: str(labels.dtype),
)
def test_labels_come_back_as_they_were_given(labels):
    X, which = waves(12)
    y = labels[which]
    fitted = classifier({"training.epochs": 30, "training.min_steps": 0}).fit(X, y)
    predicted = fitted.predict(X)
    assert set(predicted.tolist()) <= set(y.tolist())
    assert fitted.classes_.tolist() == sorted(set(y.tolist()))
    assert (predicted == y).mean() > 0.7


@KINDS
@pytest.mark.parametrize("steps", [1, 2, 3, 5])
def test_series_shorter_than_every_kernel(config, steps):
    X, y = waves(8, steps=steps)
    assert np.isfinite(NetworkClassifier(config, ensemble=1).fit(X, y).predict_proba(X)).all()


@pytest.mark.parametrize("stem", ["average", "convolution"])
@KINDS
def test_series_shorter_than_the_stems_stride(config, stem):
    X, y = waves(8, steps=3)
    settings = {**config, "model.stem.type": stem, "model.stem.stride": 8, "model.encoder.stride": 4}
    assert np.isfinite(NetworkClassifier(settings, ensemble=1).fit(X, y).predict_proba(X)).all()


@KINDS
def test_one_case_of_one_step_in_each_class(config):
    fitted = NetworkClassifier(config, ensemble=1).fit(np.array([[[1.0]], [[2.0]]]), np.array([0, 1]))
    assert np.isfinite(fitted.predict_proba(np.array([[[1.0]], [[5.0]]]))).all()


@KINDS
def test_one_case_alone_in_a_batch_of_one_step(config):
    X = np.array([[[1.0]], [[2.0]], [[3.0]]])
    fitted = NetworkClassifier({**config, "training.batch_size": 1}, ensemble=1).fit(X, np.array([0, 1, 0]))
    assert np.isfinite(fitted.predict_proba(X)).all()


@KINDS
def test_a_constant_channel_says_nothing_and_does_no_harm(config):
    X, y = waves(12, channels=2)
    X[:, 1] = 1e6
    fitted = NetworkClassifier(config, ensemble=1).fit(X, y)
    assert np.isfinite(fitted.predict_proba(X)).all()


@KINDS
def test_a_class_with_one_case(config):
    X, y = waves(9)
    y[8] = 2
    assert NetworkClassifier(config, ensemble=1).fit(X, y).predict_proba(X).shape == (9, 3)


@KINDS
def test_cases_longer_than_any_in_training(config):
    X, y = waves(8, steps=20)
    longer = waves(4, steps=700)[0]
    assert np.isfinite(NetworkClassifier(config, ensemble=1).fit(X, y).predict_proba(longer)).all()


def test_a_single_class_is_all_that_is_predicted():
    X, _ = waves(6)
    assert classifier().fit(X, np.full(6, "only")).predict(X).tolist() == ["only"] * 6


def test_an_infinite_value_is_refused_with_its_place():
    X, y = waves(8, channels=2)
    X[4, 1, 7] = -np.inf
    with pytest.raises(ValueError, match=r"case 4, channel 1, time step 7 .* the value is infinite"):
        classifier().fit(X, y)


def test_another_number_of_channels_is_refused_in_words():
    X, y = waves(8, channels=2)
    fitted = classifier().fit(X, y)
    with pytest.raises(ValueError, match=r"2.*3|3.*2"):
        fitted.predict(waves(4, channels=3)[0])


# --- what it looked at


def test_it_tells_and_draws_what_it_looked_at(tmp_path):
    X, y = waves(8, steps=20)
    names = np.array(["slow", "fast"])[y]
    fitted = NetworkClassifier(RECURRENT, ensemble=2).fit(X, names)
    told = fitted.explain(X[:3])
    assert told.predictions.tolist() == fitted.predict(X[:3]).tolist()
    np.testing.assert_allclose(told.attention.sum(axis=1), 1)
    np.testing.assert_allclose(told.saliency.sum(axis=1), 1)
    assert told.attention.shape == (3, 20)
    fitted.draw_explanation(X, 2, tmp_path / "case.png")
    assert (tmp_path / "case.png").read_bytes().startswith(b"\x89PNG")


def test_without_networks_there_is_nothing_to_explain():
    X, _ = waves(6)
    with pytest.raises(ValueError, match="all training cases were of one class"):
        classifier().fit(X, np.full(6, "only")).explain(X)


# --- saved and loaded


@KINDS
def test_what_is_loaded_predicts_the_same_bits(tmp_path, config):
    X, y = load_basic_motions(split="train", return_type="numpy3D")
    fitted = NetworkClassifier(config, ensemble=2).fit(X[::3], y[::3])
    expected = fitted.predict_proba(X)
    fitted.save(tmp_path / "model")
    for one in (
        NetworkClassifier.load_from_path(tmp_path / "model"),
        NetworkClassifier.load_from_path(tmp_path / "model.zip"),
        load(str(tmp_path / "model")),  # sktime takes its path as a text
        load(fitted.save()),
    ):
        np.testing.assert_array_equal(one.predict_proba(X), expected)
        np.testing.assert_array_equal(one.predict(X), fitted.predict(X))
        assert one.get_params() == fitted.get_params()


@pytest.mark.parametrize("labels", [np.array([1, 2]), np.array(["a", "b"], dtype=object), np.array([True, False])])
def test_labels_keep_their_type_through_a_file(tmp_path, labels):
    X, which = waves(8)
    fitted = classifier().fit(X, labels[which])
    fitted.save(tmp_path / "model")
    loaded = NetworkClassifier.load_from_path(tmp_path / "model")
    assert loaded.classes_.dtype == fitted.classes_.dtype
    assert loaded.predict(X).tolist() == fitted.predict(X).tolist()


def test_no_code_is_pickled_in_a_saved_file(tmp_path):
    classifier().fit(*waves()).save(tmp_path / "model")
    with zipfile.ZipFile(tmp_path / "model.zip") as file:
        names = set(file.namelist())
        assert names == {
            "_metadata",
            "estimator.json",
            "classes.npy",
            "ensemble/model.json",
            "ensemble/weights-0.pt",
        }
        json.loads(file.read("estimator.json"))
        # The class by its name, for sktime's `load`; not read by `load_from_path`.
        assert pickle.loads(file.read("_metadata")) is NetworkClassifier


def test_loading_by_path_unpickles_nothing(tmp_path, monkeypatch):
    classifier().fit(*waves()).save(tmp_path / "model")

    def refuse(*args, **kwargs):
        raise AssertionError("unpickled")

    monkeypatch.setattr(pickle, "loads", refuse)
    monkeypatch.setattr(pickle, "load", refuse)
    NetworkClassifier.load_from_path(tmp_path / "model").predict(waves()[0])


def test_an_unfitted_one_is_saved_too(tmp_path):
    classifier(ensemble=4).save(tmp_path / "model")
    loaded = NetworkClassifier.load_from_path(tmp_path / "model")
    assert loaded.get_params() == classifier(ensemble=4).get_params()
    assert not loaded.is_fitted
    loaded.fit(*waves())


def test_what_cannot_be_saved_without_pickling_is_refused(tmp_path):
    X, y = waves(8)
    fitted = NetworkClassifier(SMALL, ensemble=1, random_state=np.random.RandomState(0)).fit(X, y)
    with pytest.raises(ValueError, match="cannot be saved as JSON"):
        fitted.save(tmp_path / "model")
    assert not (tmp_path / "model.zip").exists()


def test_pickling_works_for_processes():
    X, y = waves()
    fitted = classifier().fit(X, y)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).predict_proba(X), fitted.predict_proba(X))


@pytest.mark.cuda
@KINDS
def test_what_a_gpu_trained_loads_on_a_cpu(tmp_path, config):
    X, y = waves(12)
    fitted = NetworkClassifier(config, ensemble=1, device="cuda").fit(X, y)
    expected = fitted.predict_proba(X)
    fitted.save(tmp_path / "model")
    loaded = NetworkClassifier.load_from_path(tmp_path / "model")
    assert next(loaded.ensemble_.members[0].parameters()).device.type == "cpu"
    assert isinstance(loaded.ensemble_, NetworkEnsemble)
    np.testing.assert_allclose(loaded.predict_proba(X), expected, rtol=0, atol=1e-3)
