import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsbench.data.archive import Archive
from tsbench.data.collection import Collection
from tsbench.data.preprocessing import Preprocessing
from tsbench.recipe.schema import PreprocessingConfig

RANDOM = np.random.default_rng(7)


def collection(cases):
    """Cases of shape (channels, own length), padded with 0."""
    length = max(case.shape[1] for case in cases)
    values = np.stack([np.pad(case, [(0, 0), (0, length - case.shape[1])]) for case in cases])
    lengths = np.array([case.shape[1] for case in cases])
    return Collection(values, lengths, np.array(["a", "b"] * len(cases))[: len(cases)])


def normalised(cases, normalise, by=None):
    return Preprocessing.fit(cases if by is None else by, PreprocessingConfig(normalise=normalise)).apply(cases)


EQUAL = collection([RANDOM.normal([[3.0], [-50.0]], [[2.0], [9.0]], (2, 20)) for _ in range(6)])
UNEQUAL = collection([RANDOM.normal([[3.0], [-50.0]], [[2.0], [9.0]], (2, n)) for n in (20, 7, 1, 13)])
BOTH = pytest.mark.parametrize("cases", [EQUAL, UNEQUAL], ids=["equal", "unequal"])


@BOTH
def test_by_channel_every_channel_is_normalised_over_all_its_valid_steps(cases):
    steps = np.concatenate(cases.cases(), axis=1)
    expected = [(case - steps.mean(axis=1, keepdims=True)) / steps.std(axis=1, keepdims=True) for case in cases.cases()]
    np.testing.assert_allclose(normalised(cases, "channel"), collection(expected).values, rtol=1e-5, atol=1e-6)


@BOTH
def test_by_case_every_channel_of_a_case_is_normalised_over_its_own_valid_steps(cases):
    def own(case):
        deviation = case.std(axis=1, keepdims=True)
        return (case - case.mean(axis=1, keepdims=True)) / np.where(case.shape[1] == 1, 1, deviation)

    expected = collection([own(case) for case in cases.cases()]).values
    np.testing.assert_allclose(normalised(cases, "case"), expected, rtol=1e-5, atol=1e-6)


@BOTH
def test_without_normalisation_the_values_stay(cases):
    np.testing.assert_array_equal(normalised(cases, "none"), cases.values.astype(np.float32))


@BOTH
@pytest.mark.parametrize("normalise", ["channel", "case", "none"])
def test_the_result_is_float32_of_the_same_shape_and_the_cases_stay_as_they_were(cases, normalise):
    before = cases.digest()
    result = normalised(cases, normalise)
    assert result.dtype == np.float32
    assert result.shape == cases.values.shape
    assert cases.digest() == before


@pytest.mark.parametrize("normalise", ["channel", "case", "none"])
def test_padded_steps_stay_0(normalise):
    result = normalised(UNEQUAL, normalise)
    for case, length in zip(result, UNEQUAL.lengths, strict=True):
        assert (case[:, length:] == 0).all()


@pytest.mark.parametrize("normalise", ["channel", "case", "none"])
def test_padded_steps_never_count(normalise):
    rubbish = UNEQUAL.values.copy()
    for case, length in zip(rubbish, UNEQUAL.lengths, strict=True):
        case[:, length:] = 1e9
    filled = Collection(rubbish, UNEQUAL.lengths, UNEQUAL.labels)
    np.testing.assert_array_equal(normalised(filled, normalise), normalised(UNEQUAL, normalise))


@pytest.mark.parametrize("normalise", ["channel", "case"])
@pytest.mark.parametrize("level", [0.0, 0.1, -3.0, 1e6 + 0.1, 1e12 + 0.3, 1e-12, 1e-40])
def test_a_constant_channel_stays_finite_and_is_centred(normalise, level):
    values = RANDOM.normal(size=(5, 2, 12))
    values[:, 1] = level
    cases = Collection(values, np.full(5, 12), np.array(["a", "b", "a", "b", "a"]))
    result = normalised(cases, normalise)
    assert np.isfinite(result).all()
    np.testing.assert_allclose(result[:, 1], 0, atol=1e-15 * abs(level) + 1e-12)
    assert 0.5 < result[:, 0].std() < 2


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_a_channel_that_varies_little_is_no_constant_one(scale):
    values = RANDOM.normal(100, 0.01, (5, 1, 50)) * scale
    cases = Collection(values, np.full(5, 50), np.array(["a", "b", "a", "b", "a"]))
    assert normalised(cases, "channel").std() == pytest.approx(1, abs=1e-3)


def test_statistics_are_those_of_the_training_cases_alone():
    train, test = EQUAL, Collection(EQUAL.values * 3 + 100, EQUAL.lengths, EQUAL.labels)
    steps = np.concatenate(train.cases(), axis=1)
    expected = (test.values - steps.mean(axis=1)[:, None]) / steps.std(axis=1)[:, None]
    np.testing.assert_allclose(normalised(test, "channel", by=train), expected, rtol=1e-5)


def test_a_fitted_preprocessing_knows_mean_and_scale_of_each_channel():
    fitted = Preprocessing.fit(UNEQUAL, PreprocessingConfig())
    steps = np.concatenate(UNEQUAL.cases(), axis=1)
    assert fitted.normalise == "channel"
    np.testing.assert_allclose(fitted.mean, steps.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(fitted.scale, steps.std(axis=1), rtol=1e-12)


@pytest.mark.parametrize("normalise", ["case", "none"])
def test_what_happens_by_case_does_not_depend_on_the_training_cases(normalise):
    np.testing.assert_array_equal(normalised(UNEQUAL, normalise, by=EQUAL), normalised(UNEQUAL, normalise))


def test_cases_may_be_longer_or_shorter_than_those_it_was_fitted_on():
    long = collection([RANDOM.normal(size=(2, 40))])
    assert normalised(long, "channel", by=UNEQUAL).shape == (1, 2, 40)


def test_a_shipped_data_set_comes_out_with_mean_0_and_deviation_1():
    data = Archive().load("JapaneseVowels")
    result = normalised(data.train, "channel")
    steps = np.concatenate([case[:, :n] for case, n in zip(result, data.train.lengths, strict=True)], axis=1)
    np.testing.assert_allclose(steps.mean(axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(steps.std(axis=1), 1, atol=1e-5)


@settings(max_examples=100, deadline=None)
@given(
    cases=st.lists(
        st.lists(st.floats(-1e30, 1e30, allow_subnormal=False), min_size=1, max_size=6), min_size=1, max_size=5
    ),
    normalise=st.sampled_from(["channel", "case", "none"]),
)
def test_finite_cases_come_out_finite(cases, normalise):
    given = collection([np.array([case]) for case in cases])
    assert np.isfinite(normalised(given, normalise)).all()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("normalise", ["channel", "case"])
def test_very_large_values_are_normalised_too(normalise):
    cases = Collection(EQUAL.values * 1e200, EQUAL.lengths, EQUAL.labels)
    np.testing.assert_allclose(normalised(cases, normalise), normalised(EQUAL, normalise), rtol=1e-5)


@pytest.mark.parametrize("normalise", ["channel", "case"])
def test_a_constant_channel_of_time_stamps_in_nanoseconds_is_centred(normalise):
    cases = Collection(np.full((5, 1, 13), 1.7e18 / 3), np.full(5, 13), np.array(["a", "b", "a", "b", "a"]))
    np.testing.assert_allclose(normalised(cases, normalise), 0, atol=1e-6)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_very_large_values_without_normalisation_stay_finite():
    cases = Collection(EQUAL.values * 1e200, EQUAL.lengths, EQUAL.labels)
    assert np.isfinite(normalised(cases, "none")).all()


@pytest.mark.parametrize("normalise", ["channel", "case"])
def test_very_small_values_are_normalised_too(normalise):
    cases = Collection(EQUAL.values * 2.0**-100, EQUAL.lengths, EQUAL.labels)
    np.testing.assert_array_equal(normalised(cases, normalise), normalised(EQUAL, normalise))


# --- missing values

GAPS = np.array([[[np.nan, 2.0, np.nan, np.nan, 8.0, np.nan]], [[1.0, 3.0, np.nan, 0.0, 0.0, 0.0]]])
GAPPED = Collection(GAPS, np.array([6, 3]), np.array(["a", "b"]))
FILLED = {
    "linear": [[2, 2, 4, 6, 8, 8], [1, 3, 3, 0, 0, 0]],
    "forward": [[2, 2, 2, 2, 8, 8], [1, 3, 3, 0, 0, 0]],
    "mean": [[3.5, 2, 3.5, 3.5, 8, 3.5], [1, 3, 3.5, 0, 0, 0]],
}


@pytest.mark.parametrize("missing", ["linear", "forward", "mean"])
def test_missing_values_are_filled_from_their_own_case_and_channel(missing):
    prepared = Preprocessing.fit(GAPPED, PreprocessingConfig(normalise="none", missing=missing))
    np.testing.assert_array_equal(prepared.apply(GAPPED)[:, 0], FILLED[missing])
    assert np.isnan(GAPS).sum() == 5  # the cases stay as they were


@pytest.mark.parametrize("missing", ["linear", "forward", "mean"])
def test_statistics_are_of_the_values_that_are_there(missing):
    prepared = Preprocessing.fit(GAPPED, PreprocessingConfig(missing=missing))
    there = np.array([2.0, 8.0, 1.0, 3.0])
    np.testing.assert_allclose(prepared.mean, [there.mean()])
    np.testing.assert_allclose(prepared.scale, [there.std()])
    expected = (np.array(FILLED[missing]) - there.mean()) / there.std()
    np.testing.assert_allclose(prepared.apply(GAPPED)[0, 0], expected[0], atol=1e-6)


@pytest.mark.parametrize("normalise", ["channel", "case"])
@pytest.mark.parametrize("missing", ["linear", "forward", "mean"])
def test_a_channel_of_which_a_case_has_no_value_becomes_0(normalise, missing):
    values = RANDOM.normal(5, 2, size=(3, 2, 7))
    values[1, 1] = np.nan
    cases = Collection(values, np.full(3, 7), np.array(["a", "b", "a"]))
    result = Preprocessing.fit(cases, PreprocessingConfig(normalise=normalise, missing=missing)).apply(cases)
    assert np.isfinite(result).all()
    np.testing.assert_allclose(result[1, 1], 0, atol=1e-6)


def test_a_channel_without_any_value_in_training_is_0_throughout():
    values = RANDOM.normal(size=(3, 2, 7))
    values[:, 1] = np.nan
    cases = Collection(values, np.full(3, 7), np.array(["a", "b", "a"]))
    result = Preprocessing.fit(cases, PreprocessingConfig()).apply(cases)
    np.testing.assert_array_equal(result[:, 1], 0)


def test_marked_missing_values_are_channels_of_their_own_where_training_cases_have_such():
    values = np.concatenate([RANDOM.normal(size=(2, 1, 6)), GAPS], axis=1)
    cases = Collection(values, np.array([6, 3]), np.array(["a", "b"]))
    prepared = Preprocessing.fit(cases, PreprocessingConfig(mark_missing=True))
    result = prepared.apply(cases)
    assert prepared.channels == 3
    assert result.shape == (2, 3, 6)
    np.testing.assert_array_equal(result[:, 2], np.isnan(GAPS[:, 0]))
    plain = Preprocessing.fit(cases, PreprocessingConfig()).apply(cases)
    np.testing.assert_array_equal(result[:, :2], plain)
    whole = Collection(np.nan_to_num(values), cases.lengths, cases.labels)
    assert Preprocessing.fit(whole, PreprocessingConfig(mark_missing=True)).channels == 2


def test_padding_is_not_taken_for_missing_values():
    prepared = Preprocessing.fit(GAPPED, PreprocessingConfig(mark_missing=True))
    np.testing.assert_array_equal(prepared.apply(GAPPED)[1, :, 3:], 0)


# --- a common length


def prepared(cases, by=None, **config):
    fitted = Preprocessing.fit(cases if by is None else by, PreprocessingConfig(**config))
    return fitted, fitted.apply(cases)


@pytest.mark.parametrize(("length", "steps"), [("shortest", 2), ("median", 10), ("longest", 20), (33, 33)])
def test_cases_are_resampled_to_a_common_length_of_the_training_cases(length, steps):
    fitted, values = prepared(UNEQUAL, normalise="none", length=length)
    assert values.shape == (4, 2, steps)
    assert fitted.steps(UNEQUAL) == steps
    assert fitted.lengths(UNEQUAL).tolist() == [steps] * 4
    for case, result in zip(UNEQUAL.cases(), values, strict=True):
        place = np.linspace(0, case.shape[1] - 1, steps)
        expected = [np.interp(place, np.arange(case.shape[1]), channel) for channel in case]
        np.testing.assert_allclose(result, expected, rtol=1e-6, atol=1e-5)


def test_other_cases_get_the_training_cases_length():
    fitted = Preprocessing.fit(EQUAL, PreprocessingConfig(length="median"))
    assert fitted.apply(UNEQUAL).shape == (4, 2, 20)


def test_kept_lengths_stay():
    fitted, values = prepared(UNEQUAL, length="keep")
    assert values.shape == UNEQUAL.values.shape
    assert fitted.lengths(UNEQUAL).tolist() == UNEQUAL.lengths.tolist()


def test_marks_of_missing_values_are_resampled_with_them():
    values = np.array([[[0.0, 1, np.nan, 3]]])
    cases = Collection(values, np.array([4]), np.array(["a"]))
    _, result = prepared(cases, normalise="none", mark_missing=True, length=7)
    np.testing.assert_allclose(result[0, 0], np.linspace(0, 3, 7))
    np.testing.assert_array_equal(result[0, 1], [0, 0, 0, 1, 1, 1, 0])


# --- missing values left out


@pytest.mark.parametrize("normalise", ["channel", "case", "none"])
@pytest.mark.parametrize("length", ["keep", 5])
def test_missing_values_left_out_are_0_beside_their_mark_and_in_no_statistic(normalise, length):
    values = RANDOM.normal(5, 3, (3, 2, 5))
    values[1, 0, 2] = np.nan
    cases = Collection(values, np.full(3, 5), np.array(["a", "b", "a"]))
    fitted, result = prepared(cases, normalise=normalise, missing="none", length=length)
    assert fitted.channels == 3
    assert result[1, 0, 2] == 0
    expected_mark = np.zeros((3, 5))
    expected_mark[1, 2] = 1
    np.testing.assert_array_equal(result[:, 2], expected_mark)
    axis = {"channel": (0, 2), "case": 2, "none": None}[normalise]
    mean, deviation = (0, 1) if axis is None else (f(values, axis=axis, keepdims=True) for f in (np.nanmean, np.nanstd))
    expected = np.nan_to_num((values - mean) / deviation)
    np.testing.assert_allclose(result[:, :2], expected, rtol=1e-5, atol=1e-6)


# --- large collections, a part at a time


@pytest.mark.parametrize("normalise", ["channel", "case", "none"])
def test_parts_give_what_the_whole_gives(monkeypatch, normalise):
    random = np.random.default_rng(1)
    values = random.normal([[3.0], [1e6]], [[2.0], [1e-3]], (50, 2, 20))
    values[7, 1, 3:9] = np.nan
    cases = Collection(values, random.integers(1, 21, 50), np.array(["a", "b"] * 25))
    whole, expected = prepared(cases, normalise=normalise, mark_missing=True)
    monkeypatch.setattr("tsbench.data.collection.CHUNK_SIZE", 130)
    assert len(list(cases.parts())) > 10
    parts, result = prepared(cases, normalise=normalise, mark_missing=True)
    np.testing.assert_allclose(parts.mean, whole.mean, rtol=1e-12)
    np.testing.assert_allclose(parts.scale, whole.scale, rtol=1e-9)
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-5)


def test_a_part_of_a_collection_is_fitted_without_a_copy_of_it():
    indices = np.array([0, 2, 3])
    config = PreprocessingConfig(length="median", mark_missing=True)
    one, other = Preprocessing.fit(UNEQUAL, config, indices), Preprocessing.fit(UNEQUAL.subset(indices), config)
    np.testing.assert_array_equal(one.mean, other.mean)
    np.testing.assert_array_equal(one.scale, other.scale)
    assert one.length == other.length
