import dataclasses
import pickle

import numpy as np
import pytest

from tsbench.data.collection import Collection, DataSet, TrainingSet


@pytest.fixture
def cases():
    values = np.arange(24, dtype=np.float64).reshape(4, 2, 3)
    values[1, :, 2] = 0
    return Collection(values, np.array([3, 2, 3, 3]), np.array(["b", "a", "b", "c"]))


def test_sizes_are_those_of_the_arrays(cases):
    assert (len(cases), cases.channels, cases.length) == (4, 2, 3)
    assert list(cases.classes) == ["a", "b", "c"]
    assert not cases.equal_length
    assert cases.subset(np.array([0, 2])).equal_length


def test_a_subset_takes_the_cases_in_the_order_of_the_indices(cases):
    part = cases.subset(np.array([2, 0, 2]))
    np.testing.assert_array_equal(part.values, cases.values[[2, 0, 2]])
    np.testing.assert_array_equal(part.lengths, [3, 3, 3])
    assert list(part.labels) == ["b", "b", "b"]


def test_a_subset_stays_as_long_as_the_whole(cases):
    part = cases.subset(np.array([1]))
    assert part.length == 3
    assert list(part.lengths) == [2]
    assert not part.equal_length


def test_a_subset_does_not_share_memory_with_the_whole(cases):
    part = cases.subset(np.array([0, 1]))
    part.values[:] = -1
    assert cases.values.min() == 0


def test_each_case_comes_in_its_own_length(cases):
    own = cases.cases()
    assert [values.shape for values in own] == [(2, 3), (2, 2), (2, 3), (2, 3)]
    np.testing.assert_array_equal(own[1], cases.values[1, :, :2])


def test_the_digest_is_the_same_for_the_same_content(cases):
    copy = Collection(np.asfortranarray(cases.values), cases.lengths.astype(np.int32), cases.labels.astype("<U9"))
    assert copy.digest() == cases.digest()
    assert Collection(cases.values.astype(np.float32), cases.lengths, cases.labels).digest() == cases.digest()
    assert len(cases.digest()) == 64


def changed(cases, **arrays):
    return dataclasses.replace(cases, **arrays)


def test_the_digest_changes_with_any_value(cases):
    for index in np.ndindex(cases.values.shape):
        values = cases.values.copy()
        values[index] = np.nextafter(values[index], np.inf)
        assert changed(cases, values=values).digest() != cases.digest()


def test_the_digest_changes_with_any_label_and_any_length(cases):
    for index in range(len(cases)):
        labels, lengths = cases.labels.copy(), cases.lengths.copy()
        labels[index], lengths[index] = "z", lengths[index] - 1
        assert changed(cases, labels=labels).digest() != cases.digest()
        assert changed(cases, lengths=lengths).digest() != cases.digest()


def test_the_digest_changes_with_the_order_of_the_cases_and_the_shape(cases):
    assert cases.subset(np.array([3, 2, 1, 0])).digest() != cases.digest()
    assert changed(cases, values=cases.values.reshape(4, 3, 2)).digest() != cases.digest()
    assert cases.subset(np.array([0, 1, 2])).digest() != cases.digest()


def test_labels_that_join_to_the_same_text_have_different_digests(cases):
    first = changed(cases, labels=np.array(["a', 'b", "c", "d", "e"]))
    second = changed(cases, labels=np.array(["a", "b', 'c", "d", "e"]))
    assert first.digest() != second.digest()


def test_a_training_set_has_no_field_that_can_hold_test_cases():
    assert [field.name for field in dataclasses.fields(TrainingSet)] == ["name", "cases"]


def test_a_data_set_hands_on_its_training_cases_alone(cases):
    test = changed(cases, values=cases.values + 0.123456789)
    given = DataSet("Tiny", cases, test, source="somewhere").training_set()
    assert given == TrainingSet("Tiny", cases)
    assert given.cases is cases
    sent = pickle.dumps(given)
    assert cases.values.tobytes() in sent
    assert test.values.tobytes() not in sent
    assert test.values[0].tobytes() not in sent


@pytest.mark.parametrize("part", ["train", "test", "resample"])
def test_a_data_set_cannot_be_changed(cases, part):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(DataSet("Tiny", cases, cases), part, cases)
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrainingSet("Tiny", cases).test = cases
