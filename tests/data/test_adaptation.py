"""One length and no missing values, learnt from the training cases only."""

from typing import Any

import numpy as np
import pytest

from tests.data.made import make_cases
from tsbench.data.adaptation import Adaptation
from tsbench.data.collection import Collection
from tsbench.recipe.schema import BaselinePreprocessingConfig

NAN = np.nan


def cases_of(*series: list[list[float]]) -> Collection:
    """Cases, each a list of channels, of whatever length."""
    lengths = np.array([len(case[0]) for case in series])
    values = np.zeros((len(series), len(series[0]), lengths.max()))
    for number, case in enumerate(series):
        values[number, :, : lengths[number]] = case
    return Collection(values, lengths, np.array(["a", "b"] * len(series))[: len(series)])


def fit(cases: Collection, **settings: Any) -> Adaptation:
    return Adaptation.fit(cases, BaselinePreprocessingConfig(**{"unequal_length": "resample", **settings}))


TRAIN = cases_of([[0.0, 2.0, 4.0]], [[1.0, 3.0, 5.0, 7.0, 9.0]])


def test_cases_are_resampled_along_straight_lines_to_the_longest_training_case() -> None:
    adapted = fit(TRAIN).apply(TRAIN)
    np.testing.assert_array_equal(adapted.values[:, 0], [[0, 1, 2, 3, 4], [1, 3, 5, 7, 9]])
    assert adapted.equal_length


@pytest.mark.parametrize(("length", "steps"), [("shortest", 3), ("median", 4), ("longest", 5), (7, 7)])
@pytest.mark.parametrize("how", ["resample", "pad"])
def test_the_length_comes_from_the_training_cases(length: str | int, steps: int, how: str) -> None:
    test = cases_of([list(range(40))], [[5.0]])
    adaptation = fit(TRAIN, unequal_length=how, length=length)
    for cases in (TRAIN, test):
        adapted = adaptation.apply(cases)
        assert adapted.values.shape == (2, 1, steps)
        assert adapted.equal_length
        assert np.isfinite(adapted.values).all()


@pytest.mark.parametrize(
    ("padding", "expected"), [("last", [1, 5, 3, 3, 3]), ("zero", [1, 5, 3, 0, 0]), ("mean", [1, 5, 3, 3, 3])]
)
def test_shorter_cases_are_padded_at_the_end_and_longer_ones_cut(padding: str, expected: list[float]) -> None:
    adaptation = fit(TRAIN, unequal_length="pad", padding=padding)
    test = cases_of([[1.0, 5.0, 3.0], [8.0, 8.0, 2.0]], [list(range(9)), list(range(9))])
    two = Adaptation(adaptation.config, adaptation.length, np.zeros(2))
    adapted = two.apply(test)
    np.testing.assert_array_equal(adapted.values[0, 0], expected)
    np.testing.assert_array_equal(adapted.values[0, 1, 3:], {"last": 2, "zero": 0, "mean": 6}[padding])
    np.testing.assert_array_equal(adapted.values[1], [[0, 1, 2, 3, 4]] * 2)


@pytest.mark.parametrize(
    ("how", "expected"), [("linear", [2, 2, 3, 4, 4]), ("forward", [2, 2, 2, 4, 4]), ("mean", [7, 2, 7, 4, 7])]
)
def test_missing_values_are_filled_and_whole_channels_become_the_training_mean(how: str, expected: list[float]) -> None:
    train = cases_of([[7.0, NAN, 7.0, 7.0, 7.0], [NAN] * 5])
    test = cases_of([[NAN, 2.0, NAN, 4.0, NAN], [1.0] * 5], [[NAN] * 5, [NAN] * 5])
    adapted = fit(train, missing_values=how, unequal_length="none").apply(test)
    np.testing.assert_array_equal(adapted.values[0, 0], expected)
    np.testing.assert_array_equal(adapted.values[1], [[7] * 5, [0] * 5])  # a channel without any training value is 0


def test_missing_values_are_filled_before_the_length_is_changed() -> None:
    train = cases_of([[0.0, NAN, 4.0]], [[1.0, 3.0, 5.0, 7.0, NAN]])
    np.testing.assert_array_equal(fit(train).apply(train).values[:, 0], [[0, 1, 2, 3, 4], [1, 3, 5, 7, 7]])
    padded = fit(train, unequal_length="pad", padding="last").apply(train)
    np.testing.assert_array_equal(padded.values[:, 0], [[0, 2, 4, 4, 4], [1, 3, 5, 7, 7]])


@pytest.mark.parametrize("how", ["resample", "pad"])
def test_missing_values_stay_missing_for_a_classifier_that_takes_them(how: str) -> None:
    train = cases_of([[0.0, NAN, 4.0], [NAN] * 3], [[1.0, 3.0, 5.0, 7.0, 9.0]] * 2)
    adapted = fit(train, unequal_length=how, missing_values="none", padding="last").apply(train).values
    assert np.isnan(adapted[0, 0]).any()
    assert np.isnan(adapted[0, 1]).all()
    assert adapted[0, 0, -1] == 4
    assert np.isfinite(adapted[1]).all()


def test_cases_that_need_nothing_are_given_back_untouched() -> None:
    equal = make_cases()
    assert fit(equal).apply(equal) is equal
    assert fit(equal, unequal_length="none").apply(equal) is equal


def test_the_floating_point_type_and_the_given_cases_stay() -> None:
    cases = make_cases(unequal=True)
    single = Collection(cases.values.astype(np.float32), cases.lengths, cases.labels)
    before = single.digest()
    assert fit(single).apply(single).values.dtype == np.float32
    assert single.digest() == before


def test_it_says_what_was_done() -> None:
    longer = cases_of([list(range(9))])
    assert fit(TRAIN).describe(TRAIN, longer) == (
        "cases resampled to 5 time steps by linear interpolation; missing values filled with linear interpolation"
    )
    padded = fit(TRAIN, unequal_length="pad", length="shortest", missing_values="none").describe(TRAIN, longer)
    assert padded == (
        "cases padded at the end with zeros to 3 time steps; "
        "1 longer training case and 1 longer test case cut at the end"
    )
    filled = fit(TRAIN, unequal_length="none", missing_values="mean").describe(TRAIN, longer)
    assert filled == "missing values filled with the training mean"
