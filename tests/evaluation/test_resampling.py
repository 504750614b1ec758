import warnings
from collections import Counter

import numpy as np
import pytest
from aeon.benchmarking.resampling import stratified_resample_data

from tsbench.data.archive import Archive
from tsbench.data.collection import Collection, DataSet
from tsbench.errors import DataError
from tsbench.evaluation.resampling import fraction_of, held_out_fold, resample, stratified_folds


def labels_of(seed=0, **counts):
    labels = np.repeat(list(counts), list(counts.values()))
    return np.random.default_rng(seed).permutation(labels)


LABELS = [
    labels_of(a=10, b=10),
    labels_of(a=31, b=7, c=5),
    labels_of(a=5, b=6, c=7, d=8),
    labels_of(a=100, b=9),
]


def folds_of(*args, **kwargs):
    """The folds, a warning being an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return stratified_folds(*args, **kwargs)


@pytest.mark.parametrize("folds", [2, 3, 5])
@pytest.mark.parametrize("labels", LABELS)
def test_each_case_is_validated_on_exactly_once_and_trained_on_in_every_other_fold(labels, folds):
    found = folds_of(labels, folds, seed=0)
    assert len(found) == folds
    assert sorted(np.concatenate([validation for _, validation in found])) == list(range(len(labels)))
    for train, validation in found:
        assert sorted([*train, *validation]) == list(range(len(labels)))
        assert train.tolist() == sorted(train)
        assert validation.tolist() == sorted(validation)


@pytest.mark.parametrize("folds", [2, 3, 5])
@pytest.mark.parametrize("labels", LABELS)
def test_each_fold_keeps_each_classs_share_within_one_case(labels, folds):
    for label, count in Counter(labels).items():
        for _, validation in folds_of(labels, folds, seed=1):
            assert abs((labels[validation] == label).sum() - count / folds) < 1


def test_folds_depend_on_the_seed_alone():
    labels = LABELS[1]
    first, second, other = (folds_of(labels, 3, seed) for seed in (5, 5, 6))
    assert [part.tolist() for fold in first for part in fold] == [part.tolist() for fold in second for part in fold]
    assert [fold[1].tolist() for fold in first] != [fold[1].tolist() for fold in other]


def test_cases_are_shuffled_before_they_are_dealt_out():
    labels = np.repeat(["a", "b"], 20)
    _, validation = folds_of(labels, 2, seed=0)[0]
    assert validation.tolist() != [*range(10), *range(20, 30)]


@pytest.mark.parametrize(("smallest", "asked"), [(2, 3), (2, 10), (3, 5), (4, 5)])
def test_there_are_as_many_folds_as_the_smallest_class_has_cases_and_the_warning_names_it(smallest, asked):
    labels = labels_of(many=20, few=smallest)
    words = f"^{smallest} folds instead of {asked}: class 'few' has {smallest} training cases$"
    with pytest.warns(UserWarning, match=words) as raised:
        found = stratified_folds(labels, asked, seed=0)
    assert len(raised) == 1
    assert len(found) == smallest
    assert all((labels[validation] == "few").sum() == 1 for _, validation in found)


@pytest.mark.parametrize("rare", [2, 3, 4])
def test_a_rare_class_can_be_spread_over_some_of_the_folds(rare):
    labels = labels_of(many=20, few=rare)
    found = folds_of(labels, 5, seed=0, spread_rare=True)
    assert sorted((labels[validation] == "few").sum() for _, validation in found) == [0] * (5 - rare) + [1] * rare
    assert sorted(np.concatenate([validation for _, validation in found])) == list(range(len(labels)))


def test_there_are_never_more_folds_than_cases_of_the_most_frequent_class():
    found = folds_of(labels_of(a=3, b=2), 5, seed=0, spread_rare=True)
    assert len(found) == 3
    assert all(len(train) >= 3 for train, _ in found)


def test_a_class_of_one_case_is_always_trained_on_and_never_validated_on():
    labels = labels_of(a=9, b=8, lonely=1, only=1)
    single = np.flatnonzero(np.isin(labels, ["lonely", "only"])).tolist()
    with pytest.warns(UserWarning, match="with a single training case .* are used for training only") as raised:
        found = stratified_folds(labels, 4, seed=0)
    assert len(raised) == 1
    assert "'lonely'" in str(raised[0].message)
    assert "'only'" in str(raised[0].message)
    assert len(found) == 4
    for train, validation in found:
        assert set(single) <= set(train)
        assert not set(single) & set(validation)
        assert train.tolist() == sorted(train)
    validated = np.concatenate([validation for _, validation in found])
    assert sorted([*validated, *single]) == list(range(len(labels)))


def test_classes_of_a_single_case_each_cannot_be_split():
    with pytest.raises(DataError, match="every class has a single training case"):
        stratified_folds(np.array(["a", "b", "c"]), 2, seed=0)


@pytest.fixture(scope="module")
def arrow_head():
    return Archive().load("ArrowHead")


@pytest.fixture(scope="module")
def japanese_vowels():
    return Archive().load("JapaneseVowels")


def test_resample_0_is_the_archives_own_split(arrow_head):
    assert resample(arrow_head, 0) is arrow_head


@pytest.mark.parametrize("number", [1, 2, 29])
def test_a_resample_is_the_one_that_aeon_draws_with_its_number_as_the_seed(arrow_head, number):
    drawn = resample(arrow_head, number)
    train, test = arrow_head.train, arrow_head.test
    expected = stratified_resample_data(train.values, train.labels, test.values, test.labels, random_state=number)
    actual = (drawn.train.values, drawn.train.labels, drawn.test.values, drawn.test.labels)
    for ours, theirs in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert drawn.resample == number
    assert drawn.name == "ArrowHead"
    assert (drawn.source, drawn.files) == (arrow_head.source, arrow_head.files)


@pytest.mark.parametrize("name", ["ArrowHead", "JapaneseVowels", "UnitTest"])
def test_a_resample_keeps_the_training_count_of_each_class(name):
    dataset = Archive().load(name)
    drawn = resample(dataset, 3)
    assert Counter(drawn.train.labels) == Counter(dataset.train.labels)
    assert Counter(drawn.test.labels) == Counter(dataset.test.labels)


def case_texts(*collections):
    return sorted(
        f"{label} {case.tolist()}"
        for collection in collections
        for label, case in zip(collection.labels, collection.cases(), strict=True)
    )


def test_a_resample_of_unequal_lengths_holds_the_same_cases_and_draws_as_aeon_does(japanese_vowels):
    drawn = resample(japanese_vowels, 1)
    train, test = japanese_vowels.train, japanese_vowels.test
    assert not train.equal_length
    assert case_texts(drawn.train, drawn.test) == case_texts(train, test)
    expected = stratified_resample_data(train.cases(), train.labels, test.cases(), test.labels, random_state=1)
    np.testing.assert_array_equal(drawn.train.labels, expected[1])
    for ours, theirs in zip(drawn.train.cases(), expected[0], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    padded = np.arange(drawn.train.length) >= drawn.train.lengths[:, None]
    assert (drawn.train.values.transpose(0, 2, 1)[padded] == 0).all()


def test_resamples_differ_from_each_other_and_from_the_archives_split(arrow_head):
    digests = {resample(arrow_head, number).train.digest() for number in range(4)}
    assert len(digests) == 4
    assert resample(arrow_head, 2).train.digest() == resample(arrow_head, 2).train.digest()


def test_cases_of_train_and_test_that_differ_in_length_are_pooled():
    def collection(length, value):
        values = np.full((4, 1, length), value)
        return Collection(values, np.full(4, length), np.array(["a", "a", "b", "b"]))

    dataset = DataSet("made up", collection(5, 1.0), collection(8, 2.0))
    drawn = resample(dataset, 1)
    assert sorted([*drawn.train.lengths, *drawn.test.lengths]) == [5] * 4 + [8] * 4
    for case in [*drawn.train.cases(), *drawn.test.cases()]:
        assert (case == (1.0 if case.shape[1] == 5 else 2.0)).all()


def test_a_resample_is_not_padded_to_cases_that_it_does_not_hold():
    redrawn = resample(Archive().load("JapaneseVowels"), 1)
    for cases in (redrawn.train, redrawn.test):
        assert cases.length == cases.lengths.max()


def test_a_class_without_test_cases_cannot_be_resampled():
    def cases(labels):
        count = len(labels)
        return Collection(np.zeros((count, 1, 4)), np.full(count, 4), np.array(list(labels)))

    with pytest.raises(DataError, match=r"Odd: class 'c' has no test case, .* set evaluation.resamples to 1"):
        resample(DataSet("Odd", cases("aabbcc"), cases("aabbaa")), 1)


# --- groups, which are never parted


def grouped(seed, cases=90, groups=12, classes=3):
    random = np.random.default_rng(seed)
    return random.choice(list("abc")[:classes], cases), np.array(
        [f"g{number}" for number in random.integers(groups, size=cases)]
    )


@pytest.mark.parametrize("folds", [2, 3, 5])
@pytest.mark.parametrize("seed", range(4))
def test_no_group_is_on_both_sides_of_a_fold(folds, seed):
    labels, groups = grouped(seed)
    found = folds_of(labels, folds, seed, groups)
    assert len(found) == folds
    assert sorted(np.concatenate([validation for _, validation in found])) == list(range(len(labels)))
    for train, validation in found:
        assert not set(groups[train]) & set(groups[validation])
        assert set(labels[validation]) <= set(labels[train])
        assert len(train) + len(validation) == len(labels)


def test_there_are_no_more_folds_than_groups():
    labels, groups = np.array(list("abababab")), np.array(list("xxxxyyyy"))
    with pytest.warns(UserWarning, match="2 folds instead of 5: there are 2 groups"):
        assert len(stratified_folds(labels, 5, 0, groups)) == 2


def test_many_groups_make_no_more_folds_than_a_class_has_cases():
    labels, groups = np.array(list("aaabbb")), np.array(list("uvwxyz"))
    with pytest.warns(UserWarning, match="3 folds instead of 5: no class has more than 3 training cases"):
        found = stratified_folds(labels, 5, 0, groups)
    assert sorted(np.concatenate([validation for _, validation in found])) == list(range(6))


def test_a_class_of_a_single_group_is_not_validated_on_where_nothing_teaches_it():
    labels, groups = np.array(list("ababababcc")), np.array(list("wwxxyyzzzz"))
    with pytest.warns(UserWarning, match=r"classes that come from a single group \('c'\)"):
        found = stratified_folds(labels, 2, 0, groups)
    for train, validation in found:
        assert not set(groups[train]) & set(groups[validation])
        assert set(labels[validation]) <= set(labels[train])


@pytest.mark.parametrize(("labels", "groups"), [("abab", "xxxx"), ("aabb", "xxyy"), ("abcd", "wxyz")])
def test_groups_that_leave_nothing_to_validate_on_are_refused(labels, groups):
    with pytest.raises(DataError, match="validation is not possible"), warnings.catch_warnings(action="ignore"):
        stratified_folds(np.array(list(labels)), 2, 0, np.array(list(groups)))


def test_resamples_draw_whole_groups():
    labels, groups = grouped(1)
    test = np.isin(groups, ["g0", "g1", "g2"])
    values = np.arange(len(labels), dtype=float)[:, None, None]
    cases = Collection(values, np.ones(len(labels), dtype=np.int64), labels, groups)
    dataset = DataSet("own", cases.subset(np.flatnonzero(~test)), cases.subset(np.flatnonzero(test)))
    drawn = [resample(dataset, number) for number in (1, 1, 2)]
    for split in drawn:
        assert not set(split.train.groups) & set(split.test.groups)
        assert len(split.train) + len(split.test) == len(labels)
    assert drawn[0].test.digest() == drawn[1].test.digest() != drawn[2].test.digest()


# --- large sets


@pytest.mark.parametrize("with_groups", [False, True])
def test_one_held_out_part_replaces_folds(with_groups):
    labels, groups = grouped(2, cases=400, groups=40)
    ((train, validation),) = held_out_fold(labels, 0.2, 5, groups if with_groups else None)
    assert sorted([*train, *validation]) == list(range(400))
    assert abs(len(validation) - 80) <= (25 if with_groups else 0)
    assert not with_groups or not set(groups[train]) & set(groups[validation])
    for label in "abc":
        share = (labels[validation] == label).sum() / (labels == label).sum()
        assert abs(share - 0.2) < (0.1 if with_groups else 0.02)


def test_a_class_of_one_case_is_not_held_out_alone():
    labels = np.array(["a"] * 30 + ["b"] * 30 + ["c"])
    ((train, validation),) = held_out_fold(labels, 0.2, 0)
    assert set(labels[validation]) <= set(labels[train])


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_a_fraction_keeps_each_classs_share_and_two_cases_at_least(share):
    labels = labels_of(a=100, b=40, c=3, d=1)
    chosen = fraction_of(labels, share, 7)
    assert chosen.tolist() == sorted(set(chosen.tolist()))
    counts = Counter(labels[chosen])
    assert counts == {"a": 100 * share, "b": 40 * share, "c": 2, "d": 1}
    assert fraction_of(labels, share, 7).tolist() == chosen.tolist() != fraction_of(labels, share, 8).tolist()


def test_the_whole_is_a_fraction_too():
    assert fraction_of(labels_of(a=3, b=2), 1.0, 0).tolist() == [0, 1, 2, 3, 4]


def test_a_fraction_takes_whole_groups():
    labels, groups = grouped(3, cases=300, groups=30)
    chosen = fraction_of(labels, 0.3, 1, groups)
    assert 0.15 < len(chosen) / 300 < 0.45
    assert not set(groups[chosen]) & set(np.delete(groups, chosen))
