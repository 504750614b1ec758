import numpy as np
import pytest

from tests.data.made import make_cases
from tsbench.data.collection import Collection
from tsbench.data.dataset_plots import draw_classes, draw_inspection, mean_of_class, sparkline
from tsbench.data.inspection import inspect


def changed(cases, values=None, labels=None, groups=None):
    return Collection(
        cases.values if values is None else values,
        cases.lengths,
        cases.labels if labels is None else labels,
        groups,
    )


def test_sound_cases_raise_no_finding():
    found = inspect({"train": make_cases(seed=1), "test": make_cases(seed=2)})
    assert found.findings == ()
    assert found.leaked == 0
    facts = found.parts["train"]
    assert (facts.cases, facts.channels, facts.shortest, facts.longest) == (12, 2, 6, 6)
    assert facts.classes == {"a": 6, "b": 6}
    assert (facts.missing, facts.infinite, facts.duplicates, facts.constant_cases) == (0, 0, 0, 0)


def test_lengths_are_reported_and_padding_is_no_value():
    cases = make_cases(unequal=True)
    facts = inspect({"all": cases}).parts["all"]
    assert (facts.shortest, facts.longest) == (cases.lengths.min(), 6)
    assert facts.constant_channels == ()


def test_a_case_that_is_in_both_splits_is_leakage():
    train, test = make_cases(seed=1), make_cases(seed=2)
    values = test.values.copy()
    values[3], values[4] = train.values[7], train.values[0]
    found = inspect({"train": train, "test": changed(test, values)})
    assert found.leaked == 2
    assert found.findings == ("leakage: 2 cases of the test split are in the training split too",)


def test_duplicates_are_reported_and_those_of_another_label_apart():
    cases = make_cases()
    values = cases.values.copy()
    values[2], values[5] = values[0], values[0]  # case 2 is of class a as case 0 is, case 5 of class b
    found = inspect({"all": changed(cases, values)})
    assert (found.parts["all"].duplicates, found.parts["all"].contradictions) == (2, 1)
    assert found.findings == (
        "1 case is there again with another label",
        "1 case is there more than once",
    )


def test_missing_infinite_and_constant_values_are_counted():
    cases = make_cases(cases=10, channels=3, steps=4)
    values = cases.values.copy()
    values[:, 1] = 7.5
    values[4, 0, 1:3] = np.nan
    values[6, 2, 0] = np.inf
    values[8] = 7.5
    found = inspect({"all": changed(cases, values)})
    facts = found.parts["all"]
    assert (facts.missing, facts.infinite, facts.constant_channels, facts.constant_cases) == (2, 1, (2,), 1)
    assert facts.missing_share == 2 / 120
    assert found.findings == (
        "1 infinite value, refused when the data set is loaded",
        "2 missing values (1.67%); see preprocessing.missing",
        "channels that never vary: 2",
        "1 case without any change over time",
    )


@pytest.mark.parametrize(
    ("train", "test", "finding"),
    [
        ("aaaaaaaaaaaa", "ab", "all cases have the same label 'a'; classification needs two classes"),
        ("aaaaaabbbbbb", "ac", "test labels that no training case has: c"),
        ("aaaaaabbbbbb", "aa", "classes without a test case: b"),
        ("aaaaaabbbbbc", "ab", "classes with a single training case, which is never used for validation: c"),
        ("aaaaaaaaaaab", "ab", "imbalance: the largest class has 11 training cases, the smallest 1"),
    ],
)
def test_labels_that_make_trouble_are_reported(train, test, finding):
    parts = {
        "train": changed(make_cases(seed=1), labels=np.array(list(train))),
        "test": changed(make_cases(seed=2, cases=2), labels=np.array(list(test))),
    }
    assert any(found.startswith(finding) for found in inspect(parts).findings)


def test_groups_in_both_splits_are_leakage():
    one, other = make_cases(seed=1, groups=5), make_cases(seed=2, groups=3)
    assert inspect({"train": one, "test": other}).findings == ("leakage: groups with cases in both splits: g0, g1, g2",)


def test_a_class_is_drawn_as_its_mean_over_the_steps_that_are_there():
    values = np.array([[[1.0, 2, 3, 0]], [[3.0, 4, 0, 0]], [[9.0, 9, 9, 9]]])
    cases = Collection(values, np.array([3, 2, 4]), np.array(["a", "a", "b"]))
    np.testing.assert_array_equal(mean_of_class(cases, "a"), [2, 3, 3, np.nan])


def test_a_line_of_text_shows_the_shape():
    assert sparkline(np.array([0.0, 1, 2, 3, 4, 5, 6, 7])) == "▁▂▃▄▅▆▇█"
    assert sparkline(np.full(5, 3.0)) == "▁▁▁▁▁"
    assert sparkline(np.array([1.0, np.nan, 2.0, np.nan])) == "▁ █"
    assert len(sparkline(np.arange(1000.0), 40)) == 40
    assert sparkline(np.full(3, np.nan)) == ""


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_pictures_are_written(tmp_path, suffix):
    cases = make_cases(unequal=True)
    draw_classes(cases, "made", tmp_path / f"one.{suffix}")
    draw_inspection({"train": cases, "test": make_cases(seed=3)}, "made", tmp_path / f"other.{suffix}")
    assert min((tmp_path / f"{name}.{suffix}").stat().st_size for name in ("one", "other")) > 2000
