"""Baselines on cases that they cannot take as they are: figures, or a reason."""

from multiprocessing import Pipe
from typing import Any

import numpy as np
import pytest

from tsbench.bench.baseline import BaselineScores, score_baseline
from tsbench.classifiers.baselines import BASELINES, find_baseline
from tsbench.data.archive import Archive
from tsbench.data.collection import Collection, DataSet
from tsbench.recipe.schema import BaselinePreprocessingConfig
from tsbench.workers.protocol import WorkerContext

FOREST = "sktime.classification.interval_based.TimeSeriesForestClassifier"
DEFAULT = BaselinePreprocessingConfig()
RESAMPLED = BaselinePreprocessingConfig(unequal_length="resample")


def load(name: str, step: int = 1) -> DataSet:
    """A data set of sktime's, or every few of its cases."""
    whole = Archive().load(name)
    train, test = (cases.subset(np.arange(0, len(cases), step)) for cases in (whole.train, whole.test))
    return DataSet(name, train, test)


def with_gaps(dataset: DataSet, train: bool = True, seed: int = 0) -> DataSet:
    """The same with a tenth of the values missing, among the training cases too or the test cases alone."""
    generator = np.random.default_rng(seed)

    def gaps(cases: Collection) -> Collection:
        absent = generator.random(cases.values.shape) < 0.1
        return Collection(np.where(absent, np.nan, cases.values), cases.lengths, cases.labels)

    return DataSet(dataset.name, gaps(dataset.train) if train else dataset.train, gaps(dataset.test))


def score(
    classifier: str,
    dataset: DataSet,
    preprocessing: BaselinePreprocessingConfig | None = DEFAULT,
    folds: Any = (),
    **parameters: Any,
) -> BaselineScores:
    return score_baseline(WorkerContext("cpu", Pipe()[0]), classifier, parameters, dataset, folds, 0, preprocessing)


def plain_resampling(cases: Collection, steps: int) -> np.ndarray:
    """The textbook's: `np.interp` of every channel of every case on evenly spread steps."""
    return np.stack(
        [
            [np.interp(np.linspace(0, length - 1, steps), np.arange(length), channel[:length]) for channel in case]
            for case, length in zip(cases.values, cases.lengths, strict=True)
        ]
    )


@pytest.mark.parametrize(("classifier", "step"), [("minirocket", 1), ("quant", 4)])
def test_a_resampled_score_is_that_of_the_plain_computation(classifier: str, step: int) -> None:
    vowels = load("JapaneseVowels", step)
    steps = int(vowels.train.lengths.max())
    scores = score(classifier, vowels, RESAMPLED)
    assert scores.preprocessing == f"cases resampled to {steps} time steps by linear interpolation"
    assert scores.time_steps == steps
    made = BASELINES[classifier].make(0).fit(plain_resampling(vowels.train, steps), vowels.train.labels)
    right = made.predict(plain_resampling(vowels.test, steps)) == vowels.test.labels
    assert scores.metrics["test_accuracy"] == pytest.approx(right.mean(), abs=1e-12)
    assert scores.metrics["test_accuracy"] > 0.9


def test_a_classifier_by_import_path_is_given_resampled_cases_too() -> None:
    plaid = load("PLAID", 6)
    scores = score(FOREST, plaid, RESAMPLED, n_estimators=10)
    assert scores.preprocessing.startswith(f"cases resampled to {plaid.train.lengths.max()} time steps")
    assert scores.metrics["test_accuracy"] > 0.4


def test_a_padded_score_is_that_of_the_plain_computation() -> None:
    plaid = load("PLAID", 12)
    padded = BaselinePreprocessingConfig(unequal_length="pad", padding="last", length="median")
    scores = score("quant", plaid, padded)
    steps = round(float(np.median(plaid.train.lengths)))
    assert f"padded at the end with their last value to {steps} time steps" in scores.preprocessing
    longer = [(cases.lengths > steps).sum() for cases in (plaid.train, plaid.test)]
    assert scores.preprocessing.endswith(
        f"{longer[0]} longer training cases and {longer[1]} longer test cases cut at the end"
    )
    train, test = (
        np.stack([np.pad(case, ((0, 0), (0, steps)), mode="edge")[:, :steps] for case in cases.cases()])
        for cases in (plaid.train, plaid.test)
    )
    right = BASELINES["quant"].make(0).fit(train, plaid.train.labels).predict(test) == plaid.test.labels
    assert scores.metrics["test_accuracy"] == pytest.approx(right.mean(), abs=1e-12)


def test_by_default_cases_are_padded_with_0_to_the_longest_training_case() -> None:
    vowels = load("JapaneseVowels")
    scores = score("minirocket", vowels)
    assert (vowels.train.lengths.max(), vowels.test.lengths.max()) == (26, 29)
    assert scores.preprocessing == (
        "cases padded at the end with zeros to 26 time steps; 1 longer test case cut at the end"
    )
    made = BASELINES["minirocket"].make(0).fit(vowels.train.values, vowels.train.labels)  # 0 past each case's end
    right = made.predict(vowels.test.values[:, :, :26]) == vowels.test.labels
    assert scores.metrics["test_accuracy"] == pytest.approx(right.mean(), abs=1e-12)


def test_a_classifier_that_takes_unequal_lengths_gets_them_untouched() -> None:
    vowels = load("JapaneseVowels", 3)
    with_default, without = score("1nn-dtw", vowels), score("1nn-dtw", vowels, None)
    assert (with_default.preprocessing, with_default.time_steps) == ("", 0)
    assert with_default.metrics["test_log_loss"] == without.metrics["test_log_loss"]


def test_cases_of_one_length_without_gaps_are_given_untouched_for_any_requested_length() -> None:
    italy = load("ItalyPowerDemand", 3)
    asked = BaselinePreprocessingConfig(length=100)
    assert score("minirocket", italy, asked).preprocessing == ""
    assert (
        score("minirocket", italy, asked).metrics["test_accuracy"]
        == (score("minirocket", italy, None).metrics["test_accuracy"])
    )


@pytest.mark.parametrize("classifier", ["minirocket", "quant", "1nn-dtw", FOREST])
def test_missing_values_are_filled_for_a_classifier_that_takes_none(classifier: str) -> None:
    italy = with_gaps(load("ItalyPowerDemand", 2))
    parameters = {"n_estimators": 20} if classifier == FOREST else {}
    scores = score(classifier, italy, **parameters)
    assert scores.preprocessing == "missing values filled with linear interpolation"
    assert scores.time_steps == 0
    assert scores.metrics["test_accuracy"] > 0.75
    filled = []
    for cases in (italy.train, italy.test):
        values = cases.values.copy()
        for series in values[:, 0]:
            there = ~np.isnan(series)
            series[:] = np.interp(np.arange(24), np.flatnonzero(there), series[there])
        filled.append(Collection(values, cases.lengths, cases.labels))
    plain = score(classifier, DataSet("filled", *filled), None, **parameters)
    assert plain.metrics["test_accuracy"] == scores.metrics["test_accuracy"]


def test_both_are_done_and_only_what_the_classifier_needs() -> None:
    vowels = with_gaps(load("JapaneseVowels", 3))
    assert score("minirocket", vowels, RESAMPLED).preprocessing == (
        f"cases resampled to {vowels.train.lengths.max()} time steps by linear interpolation; "
        "missing values filled with linear interpolation"
    )
    assert score("1nn-dtw", vowels).preprocessing == "missing values filled with linear interpolation"
    assert score("dummy", vowels).preprocessing == ""


def test_missing_values_of_the_test_cases_alone_are_filled() -> None:
    scores = score("minirocket", with_gaps(load("ItalyPowerDemand", 3), train=False))
    assert scores.preprocessing == "missing values filled with linear interpolation"
    assert scores.metrics["test_accuracy"] > 0.75


def test_a_channel_without_any_value_gives_a_figure() -> None:
    motions = load("BasicMotions")
    for cases in (motions.train, motions.test):
        cases.values[:, 2] = np.nan
        cases.values[::3, 4] = np.nan
    assert score("minirocket", motions).metrics["test_accuracy"] > 0.9


def test_every_fold_is_adapted_by_its_own_training_cases() -> None:
    vowels = load("JapaneseVowels", 3)
    by_length = np.argsort(vowels.train.lengths, kind="stable")
    short, long = np.sort(by_length[:60]), np.sort(by_length[60:])
    preprocessing = BASELINES["quant"].narrowed(DEFAULT, vowels.train, vowels.test)
    fitted = BASELINES["quant"].fit(vowels.train.subset(short), 0, preprocessing=preprocessing)
    assert fitted.adaptation is not None
    assert fitted.adaptation.length == vowels.train.lengths[short].max() < vowels.train.lengths.max()
    scores = score("quant", vowels, folds=[(short, long)])
    right = fitted.classes[fitted.predict_proba(vowels.train.subset(long)).argmax(axis=1)] == vowels.train.labels[long]
    assert scores.metrics["cv_accuracy"] == pytest.approx(right.mean(), abs=1e-12)


@pytest.mark.parametrize(
    ("preprocessing", "reason"),
    [
        (
            BaselinePreprocessingConfig(unequal_length="none"),
            "it takes cases of one length only, and these have several "
            "(evaluation.baseline_preprocessing.unequal_length is none)",
        ),
        (
            BaselinePreprocessingConfig(missing_values="none"),
            "it takes no missing values, and these have some "
            "(evaluation.baseline_preprocessing.missing_values is none)",
        ),
        (
            BaselinePreprocessingConfig(length=8),
            "it needs at least 9 time steps, and preprocessing gives cases of 8 "
            "(evaluation.baseline_preprocessing.length)",
        ),
    ],
)
def test_without_preprocessing_it_is_skipped_with_the_setting(
    preprocessing: BaselinePreprocessingConfig, reason: str
) -> None:
    assert score("minirocket", with_gaps(load("JapaneseVowels", 9)), preprocessing) == BaselineScores(skipped=reason)


@pytest.mark.parametrize("name", [name for name, entry in BASELINES.items() if entry.min_length > 1])
def test_cases_that_are_too_short_are_refused_with_the_length_needed(name: str) -> None:
    baseline = BASELINES[name]

    def cases(steps: int) -> Collection:
        values = np.random.default_rng(0).normal(size=(12, 1, steps))
        return Collection(values, np.full(12, steps), np.array(["a", "b"] * 6))

    short = cases(baseline.min_length - 1)
    assert baseline.refuses(short) == (
        f"it needs at least {baseline.min_length} time steps, and the shortest case has {baseline.min_length - 1}"
    )
    assert baseline.refuses(cases(baseline.min_length)) is None


@pytest.mark.parametrize("name", ["minirocket", "quant", "hydra"])
def test_the_shortest_cases_that_are_not_refused_can_be_fitted_and_no_shorter_ones(name: str) -> None:
    def cases(steps: int) -> Collection:
        values = np.random.default_rng(0).normal(size=(12, 1, steps))
        return Collection(values, np.full(12, steps), np.array(["a", "b"] * 6))

    enough, short = cases(BASELINES[name].min_length), cases(BASELINES[name].min_length - 1)
    assert np.isfinite(BASELINES[name].fit(enough, 0).predict_proba(enough)).all()
    with pytest.raises((ValueError, OverflowError, RuntimeError)):
        BASELINES[name].fit(short, 0)


@pytest.mark.parametrize("classifier", ["minirocket", "quant", "1nn-dtw", FOREST])
def test_a_fold_whose_training_cases_are_of_one_class_has_scores(classifier: str) -> None:
    italy = load("ItalyPowerDemand", 2)
    one_class = np.flatnonzero(italy.train.labels == italy.train.labels[0])
    others = np.setdiff1d(np.arange(len(italy.train)), one_class)
    parameters = {"n_estimators": 20} if classifier == FOREST else {}
    scores = score(classifier, italy, folds=[(one_class, others), (np.arange(len(italy.train)), others)], **parameters)
    assert scores.metrics["test_accuracy"] > 0.8
    assert 0.4 < scores.metrics["cv_accuracy"] <= 0.5  # nothing right, then all or nearly all


def test_a_found_classifier_says_what_it_needs() -> None:
    forest, vowels = find_baseline(FOREST), load("PLAID", 60)
    assert forest.narrowed(DEFAULT, vowels.train, vowels.test) == DEFAULT.model_copy(update={"missing_values": "none"})
    assert BASELINES["dummy"].narrowed(DEFAULT, vowels.train, vowels.test) is None
