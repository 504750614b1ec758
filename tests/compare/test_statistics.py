import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.stats import rankdata

from tsbench.compare.statistics import average_ranks, complete_rows, win_tie_loss

# few distinct figures, so that ties are common
SCORES = st.sampled_from([0.0, 0.25, 0.5, 0.5 + 2**-40, 0.75, 1.0, np.nan])
TABLES = arrays(np.float64, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=7), elements=SCORES)


def test_ranks_are_averaged_over_data_sets_the_best_being_1():
    scores = np.array([[0.9, 0.8, 0.7], [0.6, 0.9, 0.5], [1.0, 0.9, 0.95]])
    np.testing.assert_allclose(average_ranks(scores), [4 / 3, 2.0, 8 / 3])


def test_ties_share_the_mean_of_their_ranks():
    np.testing.assert_array_equal(average_ranks(np.array([[0.5, 0.9, 0.5, 0.5]])), [3.0, 1.0, 3.0, 3.0])
    np.testing.assert_array_equal(average_ranks(np.full((2, 4), 0.5)), [2.5] * 4)


def test_rows_with_a_missing_figure_do_not_count():
    scores = np.array([[0.9, 0.8], [0.1, np.nan], [np.nan, 0.9], [0.9, 0.8]])
    assert list(complete_rows(scores)) == [True, False, False, True]
    np.testing.assert_array_equal(average_ranks(scores), [1.0, 2.0])


@pytest.mark.parametrize("scores", [np.array([[np.nan, 0.5]]), np.empty((0, 2))])
def test_there_are_no_ranks_without_a_complete_row(scores):
    assert np.isnan(average_ranks(scores)).all()
    assert average_ranks(scores).shape == (2,)


def test_a_table_without_classifiers_has_no_ranks():
    assert average_ranks(np.empty((0, 0))).shape == (0,)


@settings(max_examples=200, deadline=None)
@given(TABLES)
def test_ranks_agree_with_scipys(scores):
    rows = scores[~np.isnan(scores).any(axis=1)]
    expected = rankdata(-rows, axis=1).mean(axis=0) if len(rows) else np.full(scores.shape[1], np.nan)
    np.testing.assert_allclose(average_ranks(scores), expected, rtol=1e-12)


@settings(max_examples=100, deadline=None)
@given(TABLES, st.randoms())
def test_ranks_do_not_depend_on_the_order_of_the_data_sets_and_follow_that_of_the_classifiers(scores, random):
    rows, columns = list(range(scores.shape[0])), list(range(scores.shape[1]))
    random.shuffle(rows)
    random.shuffle(columns)
    shuffled = average_ranks(scores[rows][:, columns])
    np.testing.assert_allclose(shuffled, average_ranks(scores)[columns], rtol=1e-12)


def test_wins_ties_and_losses_are_counted_where_both_have_a_figure():
    first = np.array([0.9, 0.5, 0.1, np.nan, 0.9, np.nan])
    second = np.array([0.8, 0.5, 0.2, 0.5, np.nan, np.nan])
    assert win_tie_loss(first, second) == (1, 1, 1)
    assert win_tie_loss(second, first) == (1, 1, 1)
    assert win_tie_loss(first, first) == (0, 4, 0)
    assert win_tie_loss(first[3:], second[3:]) == (0, 0, 0)


@settings(max_examples=100, deadline=None)
@given(arrays(np.float64, st.tuples(st.integers(0, 9), st.just(2)), elements=SCORES))
def test_wins_ties_and_losses_are_those_counted_one_by_one(scores):
    pairs = [(a, b) for a, b in scores if a == a and b == b]
    expected = (sum(a > b for a, b in pairs), sum(a == b for a, b in pairs), sum(a < b for a, b in pairs))
    counted = win_tie_loss(scores[:, 0], scores[:, 1])
    assert counted == expected
    assert all(type(one) is int for one in counted)
    assert win_tie_loss(scores[:, 1], scores[:, 0]) == counted[::-1]
