import json
import pickle
import random
import threading
import warnings
import zipfile
from collections import deque
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pandas as pd
import pytest
import torch
from joblib import Parallel, delayed, parallel_config
from sklearn.base import clone, is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import (
    GridSearchCV,
    ParameterSampler,
    RandomizedSearchCV,
    cross_val_predict,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sktime.base import load
from sktime.classification.compose import ClassifierPipeline
from sktime.classification.model_selection import TSCGridSearchCV
from sktime.datasets import load_basic_motions, load_japanese_vowels, load_unit_test
from sktime.transformations.panel.padder import PaddingTransformer
from sktime.transformations.series.exponent import ExponentTransformer
from sktime.utils.estimator_checks import check_estimator

from tsbench import AutoClassifier, NetworkClassifier
from tsbench.classifiers.ensemble import NetworkEnsemble
from tsbench.classifiers.onnx import export_onnx
from tsbench.classifiers.series_classifier import collection_of as _collection
from tsbench.errors import ModelError
from tsbench.models.reopening import open_model

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


def hosts_state():
    """What a library must leave as it was: the global generators, and torch's number of threads."""
    return (
        torch.get_rng_state().tolist(),
        torch.get_num_threads(),
        pickle.dumps(np.random.get_state()),
        random.getstate(),
    )


@pytest.fixture
def _unchanged_host():
    before = hosts_state()
    yield
    assert hosts_state() == before


@pytest.fixture(params=["alone", pytest.param("in processes", marks=pytest.mark.slow), "in this process", "in threads"])
def fit_by(request):
    """Fits a classifier by every way that its networks are trained in."""
    if request.param == "in threads":
        with parallel_config(backend="threading"):
            yield lambda made: made.set_params(n_jobs=2)
    else:
        n_jobs = {"alone": None, "in processes": 2, "in this process": 1}[request.param]
        yield lambda made: made.set_params(n_jobs=n_jobs)


@pytest.mark.usefixtures("_unchanged_host")
def test_fitting_and_predicting_change_no_global_generator_and_no_number_of_threads(fit_by, tmp_path):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        state = hosts_state()
        X, y = waves(6)
        made = fit_by(NetworkClassifier(FEW, ensemble=2, device="cpu")).fit(X, y)
        made.predict(X)
        made.explain(X[:2])
        made.draw_explanation(X, 0, tmp_path / "case.png")
        made.save(tmp_path / "model")
        NetworkClassifier.load_from_path(tmp_path / "model").predict(X)
        assert hosts_state() == state
    finally:
        torch.set_num_threads(before)


@pytest.mark.usefixtures("_unchanged_host")
def test_company_of_sktime_changes_no_global_generator_either():
    X, y = waves(8)
    small = {"training.epochs": 1}
    ClassifierPipeline(classifier(small), [ExponentTransformer(2)]).fit(X, y).predict(X)
    TSCGridSearchCV(classifier(small), {"random_state": [0, 1]}, cv=2).fit(X, y).predict(X)


@pytest.mark.slow
@pytest.mark.usefixtures("_unchanged_host")
def test_exporting_changes_no_global_generator(tmp_path):
    pytest.importorskip("onnxruntime")
    X, y = waves(8)
    ensemble = classifier({"training.epochs": 1}).fit(X, y).ensemble_
    export_onnx(ensemble, _collection(X), tmp_path / "model.onnx", {})


@KINDS
def test_fits_in_threads_give_the_bits_of_fits_alone_and_others_draw_what_they_would(config):
    X, y = waves(10)

    def probabilities(seed):
        settings = {**config, "model.dropout": 0.5, "training.augmentation.mixup": 0.3}
        return NetworkClassifier(settings, ensemble=1, random_state=seed, device="cpu").fit(X, y).predict_proba(X)

    expected = [probabilities(seed) for seed in (0, 1)]
    together = Parallel(2, prefer="threads")(delayed(probabilities)(seed) for seed in (0, 1))
    np.testing.assert_array_equal(together, expected)
    found = {}
    threads = [threading.Thread(target=lambda seed=seed: found.update({seed: probabilities(seed)})) for seed in (0, 1)]
    stream = torch.Generator().manual_seed(7)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            assert torch.equal(torch.rand(2), torch.rand(2, generator=stream))
    for seed in (0, 1):
        np.testing.assert_array_equal(found[seed], expected[seed])


def test_no_random_state_draws_from_numpys_global_generator_as_in_scikit_learn():
    X, y = waves(8)
    before = np.random.get_state()
    try:
        results = []
        for seed in (3, 3, 4):
            np.random.seed(seed)
            results.append(classifier({"training.epochs": 1}, random_state=None).fit(X, y).predict_proba(X))
    finally:
        np.random.set_state(before)
    np.testing.assert_array_equal(results[0], results[1])
    assert not np.array_equal(results[0], results[2])


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


def test_it_works_in_scikit_learns_cross_validation():
    X, y = waves(12)
    assert is_classifier(classifier())  # so that the folds are stratified
    assert cross_val_score(classifier(), X, y=y, cv=2).shape == (2,)


FEW = {**SMALL, "training.epochs": 1, "model.features.blocks": []}
LONGER = {**FEW, "training.epochs": 2}


@pytest.mark.parametrize(
    "company",
    [
        lambda: GridSearchCV(NetworkClassifier(ensemble=1), {"config": [FEW, LONGER]}, cv=2, error_score="raise"),
        lambda: GridSearchCV(
            make_pipeline(FunctionTransformer(), NetworkClassifier(ensemble=1)),
            {"networkclassifier__config": [FEW, LONGER]},
            cv=2,
            error_score="raise",
        ),
        lambda: RandomizedSearchCV(
            NetworkClassifier(FEW, ensemble=1),
            {"random_state": np.arange(5), "ensemble": np.array([1, 2])},
            n_iter=2,
            cv=2,
            random_state=0,
            error_score="raise",
        ),
        lambda: make_pipeline(FunctionTransformer(), NetworkClassifier(FEW, ensemble=1)),
        lambda: CalibratedClassifierCV(NetworkClassifier(FEW, ensemble=1), cv=2),
        lambda: VotingClassifier([(n, NetworkClassifier(FEW, 1, random_state=n == "b")) for n in "ab"], voting="soft"),
        lambda: StackingClassifier(
            [(n, NetworkClassifier(FEW, 1, random_state=n == "b")) for n in "ab"], LogisticRegression(), cv=2
        ),
    ],
    ids=["grid", "grid of a pipeline", "random", "pipeline", "calibrated", "voting", "stacking"],
)
def test_it_works_in_scikit_learns_estimators(company):
    X, y = waves(12)
    labels = np.array(["slow", "fast"])[y]
    fitted = company().fit(X, labels)
    assert set(fitted.predict(X)) <= {"slow", "fast"}
    probabilities = fitted.predict_proba(X)
    assert probabilities.shape == (12, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert fitted.classes_.tolist() == ["fast", "slow"]
    again = clone(fitted).fit(X, labels)
    np.testing.assert_array_equal(again.predict_proba(X), probabilities)


def test_out_of_fold_probabilities_come_from_scikit_learn():
    X, y = waves(12)
    probabilities = cross_val_predict(NetworkClassifier(FEW, ensemble=1), X, y, cv=3, method="predict_proba")
    assert probabilities.shape == (12, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)


def test_what_scikit_learn_sets_for_the_time_of_a_fit_is_kept_and_nothing_else():
    made = NetworkClassifier(FEW, ensemble=1)
    made._parent_callback_ctx, made._skl_callbacks, made.of_a_fit_ = "context", ["callback"], 1
    made.reset()
    assert (made._parent_callback_ctx, made._skl_callbacks) == ("context", ["callback"])
    assert not hasattr(made, "of_a_fit_")
    fresh = NetworkClassifier(FEW, ensemble=1).reset()
    assert not hasattr(fresh, "_parent_callback_ctx")
    assert not hasattr(fresh, "_skl_callbacks")


def test_it_works_in_sktimes_pipelines():
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
    results = [
        NetworkClassifier({**settings, "training.min_steps": 0}, ensemble=1).fit(X, y) for settings in (groups, mixed)
    ]
    first, second = (result.predict_proba(X) for result in results)
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
        ({"model.pooling": "max", "model.pooling.kind": "max"}, "model.pooling.kind: pooling also has its own value"),
        ({"model.features.blocks": ["minirockt"]}, "unknown feature block 'minirockt'; did you mean 'minirocket'?"),
    ],
)
def test_a_configuration_that_cannot_be_read_is_refused(config, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(").replace("?", r"\?")):
        NetworkClassifier(config).fit(*waves())


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"ensemble": 0}, "ensemble must be at least 1, got 0"),
        ({"device": "cuda:7"}, "device 'cuda:7' is not available"),
    ],
)
def test_parameters_that_cannot_be_met_are_refused(parameters, message):
    if "device" in parameters and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ValueError, match=message):
        NetworkClassifier(SMALL, **parameters).fit(*waves())


NUMPYS = {
    "int64": {"training.epochs": np.int64(2), "model.convolution.channels": np.uint8(4)},
    "float32": {"training.learning_rate": np.float32(1e-3), "model.dropout": np.float16(0.25)},
    "longdouble": {"training.learning_rate": np.longdouble("0.001")},
    "bool": {"model.skip": np.True_, "model.convolution.separable": np.bool_(False)},
    "text": {"model.pooling": np.str_("max"), np.str_("model.encoder.type"): np.str_("none")},
    "array": {"model.convolution.kernels": np.array([3, 5]), "model.head": {"hidden_sizes": np.array([4])}},
    "array of texts": {"model.features.blocks": np.array(["spectrum"])},
    "array without dimensions": {"training.epochs": np.array(2), "training.label_smoothing": np.array(0.25)},
    "tuple": {"model.convolution.kernels": (np.int32(3), 5)},
    "list of scalars": {"model.convolution.kernels": [np.int64(3), np.float64(0.5)]},
    "series": {"model.convolution.kernels": pd.Series([3, 5])},
    "range": {"model.convolution.kernels": range(3, 6, 2)},
    "set": {"model.features.blocks": {"statistics", "spectrum"}},
    "deque": {"model.convolution.kernels": deque([3, 5])},
    "tensor": {"training.epochs": torch.tensor(2)},
    "drawn": next(
        iter(
            ParameterSampler(
                {"training.epochs": np.arange(1, 3), "training.learning_rate": np.logspace(-4, -2, 5)},
                1,
                random_state=0,
            )
        )
    ),
}


@pytest.mark.parametrize("settings", NUMPYS.values(), ids=NUMPYS)
def test_what_numpy_gives_counts_as_numbers_and_is_saved(settings, tmp_path):
    X, y = waves(8)
    config = {**SMALL, "training.epochs": 2, **settings}
    fitted = NetworkClassifier(config, ensemble=1).fit(X, y)
    assert fitted.get_params()["config"] is config
    assert type(clone(fitted).config) is dict
    fitted.save(tmp_path / "model")
    loaded = NetworkClassifier.load_from_path(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_proba(X), fitted.predict_proba(X))
    np.testing.assert_array_equal(clone(loaded).fit(X, y).predict_proba(X), fitted.predict_proba(X))
    loaded.save(tmp_path / "again")


@pytest.mark.parametrize(
    "parameters",
    [
        {"ensemble": np.int64(2)},
        {"ensemble": np.array(2)},
        {"n_jobs": np.int64(1)},
        {"random_state": np.int64(3)},
        {"random_state": np.uint8(3)},
        {"random_state": np.array(3)},
        {"random_state": None},
        {"device": np.str_("cpu")},
        {"device": torch.device("cpu")},
    ],
    ids=str,
)
def test_parameters_of_numpys_and_torchs_types_are_taken_and_saved(parameters, tmp_path):
    X, y = waves(8)
    before = np.random.get_state()
    fitted = NetworkClassifier(FEW, **{"ensemble": 1, "device": "cpu", **parameters}).fit(X, y)
    np.random.set_state(before)
    (name, value), *_ = parameters.items()
    assert fitted.get_params()[name] is value
    clone(fitted)
    fitted.save(tmp_path / "model")
    loaded = NetworkClassifier.load_from_path(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_proba(X), fitted.predict_proba(X))
    assert loaded.get_params()[name] in (value, None, "cpu")


def test_the_module_of_numpys_global_generator_is_saved_as_none(tmp_path):
    X, y = waves(8)
    before = np.random.get_state()
    fitted = NetworkClassifier(FEW, ensemble=1, random_state=np.random).fit(X, y)  # scikit-learn takes it for None
    np.random.set_state(before)
    fitted.save(tmp_path / "model")
    assert NetworkClassifier.load_from_path(tmp_path / "model").random_state is None


@pytest.mark.parametrize("kind", [np.random.MT19937, np.random.PCG64, np.random.Philox])
def test_a_random_state_is_saved_with_its_state(kind, tmp_path):
    X, y = waves(8)
    given = np.random.RandomState(kind(5))
    fitted = NetworkClassifier(FEW, ensemble=1, random_state=given).fit(X, y)
    assert fitted.random_state is given
    fitted.save(tmp_path / "model")
    loaded = NetworkClassifier.load_from_path(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_proba(X), fitted.predict_proba(X))
    assert isinstance(loaded.get_params()["random_state"], np.random.RandomState)
    # What is fitted next has the seeds that it would have had without saving.
    np.testing.assert_array_equal(loaded.fit(X, y).predict_proba(X), fitted.fit(X, y).predict_proba(X))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"ensemble": np.float64(2)}, r"ensemble must be a whole number, got np.float64\(2.0\)"),
        ({"ensemble": "two"}, "ensemble must be a whole number, got 'two'"),
        ({"n_jobs": 1.5, "device": "cpu"}, "n_jobs must be a whole number, got 1.5"),
        ({"config": {"training.epochs": np.float64(2.5)}}, "training.epochs: expected a whole number, got 2.5"),
        ({"config": {"training.epochs": np.array([2, 3])}}, r"training.epochs: expected a whole number, got \[2, 3\]"),
        ({"config": {"model.convolution.kernels": (k for k in (3, 5))}}, "kernels: expected a list, got generator"),
    ],
)
def test_numbers_of_the_wrong_kind_are_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        NetworkClassifier(**{"config": FEW, **parameters}).fit(*waves(8))


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
def test_a_constant_channel_is_harmless(config):
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


def test_cases_of_less_than_half_the_shortest_training_case_are_predicted_with_a_warning():
    X, y = waves(8, steps=41)
    longer = [pd.DataFrame(case.T) for case in waves(8, steps=60)[0]]
    fitted = NetworkClassifier(RECURRENT, ensemble=1).fit([*(pd.DataFrame(case.T) for case in X[:4]), *longer[4:]], y)
    cases = [pd.DataFrame(case.T[:steps]) for case, steps in zip(X, (40, 20, 41, 20), strict=False)]
    message = (
        r"^case 1 \(counted from 0\) has 20 time steps, which is too short; the model was trained on 41 to 60 "
        r"time steps and takes 21 or more \(2 of 4 cases are too short\); its prediction is likely wrong$"
    )
    for ask in (fitted.predict, fitted.predict_proba, fitted.explain):
        with pytest.warns(UserWarning, match=message):
            ask(cases)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted.predict([pd.DataFrame(case.T[:21]) for case in X])
        fitted.ensemble_.predict_proba(_collection(X[:, :, :20]))  # as an archive's test cases are scored


# --- what it looked at


def test_it_returns_and_draws_attention_and_maxima(tmp_path):
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
    for loaded in (
        NetworkClassifier.load_from_path(tmp_path / "model"),
        NetworkClassifier.load_from_path(tmp_path / "model.zip"),
        load(str(tmp_path / "model")),  # sktime takes its path as a text
        load(fitted.save()),
    ):
        np.testing.assert_array_equal(loaded.predict_proba(X), expected)
        np.testing.assert_array_equal(loaded.predict(X), fitted.predict(X))
        assert loaded.get_params() == fitted.get_params()


@pytest.mark.parametrize(
    "labels",
    [
        np.array([1, 2]),
        np.array(["a", "b"], dtype=object),
        np.array([True, False]),
        np.array([1, 2], dtype=object),
        np.array([1.5, 2], dtype=object),
        np.array([np.int8(1), np.int8(2)], dtype=object),
        np.array([False, True], dtype=object),
        np.array(["2020-01-01", "2021-01-01"], dtype="datetime64[D]"),
    ],
    ids=str,
)
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
            "ensemble/checksums.json",
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


def test_an_unfitted_classifier_is_saved_too(tmp_path):
    classifier(ensemble=4).save(tmp_path / "model")
    loaded = NetworkClassifier.load_from_path(tmp_path / "model")
    assert loaded.get_params() == classifier(ensemble=4).get_params()
    assert not loaded.is_fitted
    loaded.fit(*waves())


def test_labels_that_no_file_could_hold_are_refused_before_training():
    X, which = waves(8)
    labels = np.array([pd.Timestamp("2020"), pd.Timestamp("2021")], dtype=object)
    with pytest.raises(ValueError, match="labels of type Timestamp cannot be saved without pickling; use texts or"):
        classifier().fit(X, labels[which])


def test_an_array_of_texts_of_any_length_is_saved(tmp_path):
    X, which = waves(8)
    fitted = classifier().fit(X, np.array(["a", "bc"], dtype=np.dtypes.StringDType())[which])
    fitted.save(tmp_path / "model")
    loaded = NetworkClassifier.load_from_path(tmp_path / "model")
    assert loaded.predict(X).tolist() == fitted.predict(X).tolist()


@pytest.mark.parametrize("kind", [list, tuple])
def test_labels_may_be_a_list_or_a_tuple(kind):
    X, y = waves()
    given = kind(y.tolist())
    fitted = classifier(SMALL).fit(X, given)
    assert set(fitted.predict(X)) <= set(given)
    assert 0 <= fitted.score(X, given) <= 1


def test_a_path_with_its_suffix_is_reported_as_given(tmp_path):
    with pytest.raises(ModelError, match=r"/none\.zip: file not found$"):
        NetworkClassifier.load_from_path(tmp_path / "none.zip")
    with pytest.raises(ModelError, match=r"/none\.zip: file not found$"):
        NetworkClassifier.load_from_path(tmp_path / "none")


def test_several_label_columns_are_saved_one_by_one(tmp_path):
    X, y = waves(8)
    fitted = NetworkClassifier(FEW, ensemble=1).fit(X, pd.DataFrame({"a": y, "b": 1 - y}))
    with pytest.raises(ValueError, match="save each of `classifiers_` instead"):
        fitted.save(tmp_path / "model")
    assert not list(tmp_path.iterdir())
    fitted.classifiers_.iloc[0, 0].save(tmp_path / "a")
    loaded = NetworkClassifier.load_from_path(tmp_path / "a")
    assert loaded.predict(X).tolist() == fitted.predict(X)["a"].tolist()


def test_a_file_of_the_version_before_is_loaded(tmp_path):
    """It has no state of a generator, and no labels as JSON."""
    X, y = waves(8)
    fitted = classifier(random_state=4).fit(X, y)
    fitted.save(tmp_path / "model")
    with zipfile.ZipFile(tmp_path / "model.zip") as new, zipfile.ZipFile(tmp_path / "old.zip", "w") as old:
        for name in new.namelist():
            content = new.read(name)
            if name == "estimator.json":
                about = json.loads(content)
                content = json.dumps({key: about[key] for key in ("parameters", "labels", "state")})
            old.writestr(name, content)
    loaded = NetworkClassifier.load_from_path(tmp_path / "old")
    assert loaded.get_params() == fitted.get_params()
    np.testing.assert_array_equal(loaded.predict_proba(X), fitted.predict_proba(X))


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


# --- channels by name


def _frames(names: list[str]) -> pd.DataFrame:
    """20 cases of 12 steps, of which `vib` tells the classes apart."""
    index = pd.MultiIndex.from_product([range(20), range(12)], names=["case", "time"])
    random = np.random.default_rng(4)
    worn = np.repeat(np.arange(20) % 2, 12)
    frame = pd.DataFrame({"vib": random.normal(size=240) + 4 * worn, "temp": random.normal(size=240)}, index=index)
    return frame[names]


def test_channels_of_data_frames_are_taken_by_name(tmp_path: Path) -> None:
    y = np.array(["fine", "worn"] * 10)
    settings = {**SMALL, "training.epochs": 40}
    classifier = NetworkClassifier(settings, ensemble=1).fit(_frames(["vib", "temp"]), y)
    expected = classifier.predict_proba(_frames(["vib", "temp"]))
    assert (classifier.predict(_frames(["vib", "temp"])) == y).all()
    np.testing.assert_array_equal(classifier.predict_proba(_frames(["temp", "vib"])), expected)
    array = _frames(["vib", "temp"]).to_numpy().reshape(20, 12, 2).transpose(0, 2, 1)
    np.testing.assert_array_equal(classifier.predict_proba(array), expected)  # by position
    classifier.save(tmp_path / "c")
    loaded = NetworkClassifier.load_from_path(tmp_path / "c")
    np.testing.assert_array_equal(loaded.predict_proba(_frames(["temp", "vib"])), expected)
    with pytest.raises(ValueError, match="has the channels vibration, temp; expected vib, temp, as in the training"):
        loaded.predict(_frames(["vib", "temp"]).rename(columns={"vib": "vibration"}))


def test_a_classifier_of_another_class_and_a_file_in_place_of_a_model_are_refused_by_name(tmp_path: Path) -> None:
    X, y = load_unit_test(split="train")
    NetworkClassifier(SMALL, ensemble=1).fit(X, y).save(tmp_path / "c")
    with pytest.raises(ModelError, match=r"c\.zip holds a NetworkClassifier; load it by that class$"):
        AutoClassifier.load_from_path(tmp_path / "c")
    sentence = r"c\.zip is a file; load a classifier that `save` wrote by its class, as in tsbench\.NetworkClassifier"
    with pytest.raises(ModelError, match=sentence):
        open_model(None, str(tmp_path / "c.zip"))


def test_a_time_limit_that_cannot_be_read_is_refused_by_its_name() -> None:
    X, y = load_unit_test(split="train")
    with pytest.raises(ValueError, match=r"^time_limit: expected a duration such as '90 s'"):
        AutoClassifier(time_limit="30").fit(X, y)


@pytest.mark.parametrize("damage", ["cut", "not a zip", "no description", "an attribute more"])
def test_a_damaged_classifier_is_refused_and_nothing_unknown_is_restored(tmp_path: Path, damage: str) -> None:
    X, y = load_unit_test(split="train")
    NetworkClassifier(SMALL, ensemble=1).fit(X, y).save(tmp_path / "c")
    path = tmp_path / "c.zip"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-300])
    elif damage == "not a zip":
        path.write_bytes(b"what")
    else:
        with ZipFile(path) as file:
            entries = {name: file.read(name) for name in file.namelist()}
        about = json.loads(entries.pop("estimator.json"))
        if damage == "an attribute more":
            about["state"]["predict"] = "gone"
            entries["estimator.json"] = json.dumps(about).encode()
        with ZipFile(path, "w") as file:
            for name, content in entries.items():
                file.writestr(name, content)
    if damage == "an attribute more":
        assert len(NetworkClassifier.load_from_path(path).predict(X)) == len(X)
        return
    with pytest.raises(ModelError, match=r"c\.zip: is not a classifier that tsbench saved, or is damaged"):
        NetworkClassifier.load_from_path(path)


@pytest.mark.parametrize(
    "labels",
    [
        np.array([0, 1, np.nan, 0, 1, 0, 1, 0]),
        np.array(["a", "b", None, "a", "b", "a", "b", "a"], dtype=object),
        pd.Series(["a", "b", np.nan, "a", "b", "a", "b", "a"]),
        [0.0, 1.0, float("nan"), 0.0, 1.0, 0.0, 1.0, 0.0],
    ],
)
def test_a_missing_label_is_not_a_class(labels):
    X = np.random.default_rng(0).normal(size=(8, 1, 20))
    with pytest.raises(ValueError, match=r"1 of 8 labels are missing \(NaN or None\), the first of case 2"):
        NetworkClassifier(SMALL, ensemble=1).fit(X, labels)
