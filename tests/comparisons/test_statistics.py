import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.stats import rankdata

from tsbench.comparisons.statistics import (
    average_ranks,
    bayesian_signed_rank,
    bootstrap_mean_difference,
    cliques,
    complete_rows,
    critical_difference,
    friedman,
    holm,
    nemenyi,
    pairwise,
    wilcoxon,
    win_tie_loss,
)

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
    assert all(type(count) is int for count in counted)
    assert win_tie_loss(scores[:, 1], scores[:, 0]) == counted[::-1]


def test_the_critical_difference_is_that_of_demsars_example():
    """Demsar 2006, section 3.2.4: four classifiers on 14 data sets, 1.25 at 0.05 and 1.12 at 0.10."""
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)
    assert critical_difference(4, 14, 0.10) == pytest.approx(1.12, abs=0.005)


def test_friedmans_test_is_not_defined_for_two_classifiers_or_one_data_set():
    assert friedman(np.random.default_rng(0).random((9, 2))) is None
    assert friedman(np.random.default_rng(0).random((1, 5))) is None
    assert friedman(np.full((4, 3), np.nan)) is None


def test_equal_scores_do_not_differ():
    scores = np.full((8, 3), 0.9)
    found = friedman(scores)
    assert (found.statistic, found.p, found.f, found.p_f) == (0.0, 1.0, 0.0, 1.0)
    pairs = pairwise(scores)
    assert (pairs.p == 1).all()
    assert (pairs.p_holm == 1).all()
    assert (pairs.ties == 8).all()
    assert (nemenyi(scores) == 1).all()
    assert bayesian_signed_rank(np.zeros((8, 1)), 0.01, draws=100).tolist() == [[0, 1, 0]]
    np.testing.assert_array_equal(bootstrap_mean_difference(np.zeros((8, 1))), [[0], [0]])


def test_data_sets_that_agree_on_all_ranks_give_an_infinite_f():
    scores = np.tile([0.9, 0.8, 0.7], (6, 1))
    found = friedman(scores)
    assert found.statistic == pytest.approx(12)
    assert np.isinf(found.f)
    assert found.p_f == 0


def test_wilcoxons_p_by_hand():
    first = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    assert wilcoxon(first, first - np.array([1, 2, 3, 4, 5, 6]) / 100) == pytest.approx(2 / 2**6)
    assert wilcoxon(first, first) == 1
    with pytest.raises(ValueError, match="a score is missing"):
        wilcoxon(first, np.where(first > 0.5, first, np.nan))


def test_zero_differences_are_left_out_of_the_signed_ranks():
    first = np.linspace(0.3, 0.9, 30)
    second = first - np.linspace(-0.01, 0.05, 30) * 1.01
    padded = [np.concatenate([scores, np.full(1, 0.5)]) for scores in (first, second)]
    from scipy.stats import wilcoxon as signed_rank

    assert wilcoxon(*padded) == signed_rank(first, second, method="asymptotic").pvalue


def test_holms_adjustment_by_hand():
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm(np.array([0.6, 0.6])), [1.0, 1.0])
    assert holm(np.array([])).shape == (0,)


@settings(max_examples=50, deadline=None)
@given(TABLES)
def test_pairs_mirror_one_another(scores):
    pairs = pairwise(scores)
    k = scores.shape[1]
    np.testing.assert_array_equal(pairs.p, pairs.p.T)
    np.testing.assert_array_equal(pairs.p_holm, pairs.p_holm.T)
    np.testing.assert_array_equal(pairs.wins + pairs.ties + pairs.losses, np.full((k, k), pairs.count))
    np.testing.assert_allclose(pairs.mean_difference, -pairs.mean_difference.T)
    assert (pairs.p_holm >= pairs.p).all()
    assert pairs.count == complete_rows(scores).sum()


def test_pairs_are_over_the_complete_rows():
    scores = np.array([[0.9, 0.8, 0.7], [0.9, 0.8, np.nan], [0.5, 0.6, 0.7]])
    pairs = pairwise(scores)
    assert pairs.count == 2
    np.testing.assert_allclose(pairs.mean_difference[0], [0, 0, 0], atol=1e-12)
    assert pairs.wins[0].tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("differs", "expected"),
    [
        ([], [(2, 0, 1, 3)]),
        ([(2, 3)], [(2, 0, 1), (0, 1, 3)]),
        ([(2, 1), (2, 3), (0, 3)], [(2, 0), (0, 1), (1, 3)]),
        ([(0, 1)], [(2, 0), (1, 3)]),
        ([(2, 0), (0, 1), (1, 3), (2, 1), (0, 3), (2, 3)], []),
    ],
)
def test_cliques_are_the_largest_groups_of_which_no_two_differ(differs, expected):
    matrix = np.zeros((4, 4), dtype=bool)
    for i, j in differs:
        matrix[i, j] = matrix[j, i] = True
    assert cliques(np.array([2.0, 3.0, 1.0, 4.0]), matrix) == expected


def test_the_bootstrap_interval_holds_the_mean_and_widens_with_confidence():
    differences = np.random.default_rng(0).normal(0.01, 0.05, (40, 2))
    narrow = bootstrap_mean_difference(differences, 0.5)
    wide = bootstrap_mean_difference(differences, 0.95)
    mean = differences.mean(axis=0)
    assert (wide[0] < narrow[0]).all()
    assert (narrow[0] < mean).all()
    assert (mean < narrow[1]).all()
    assert (narrow[1] < wide[1]).all()
    np.testing.assert_array_equal(wide, bootstrap_mean_difference(differences, 0.95))
    assert np.isnan(bootstrap_mean_difference(np.empty((0, 2)))).all()


def brute_force(weights, values, rope):
    """Benavoli et al. 2014 as they write it: all pairs of data sets, each weighed."""
    sums = values[:, None] + values
    above = (sums > 2 * rope) + 0.5 * (sums == 2 * rope)
    below = (sums < -2 * rope) + 0.5 * (sums == -2 * rope)
    return np.einsum("i,ij,j", weights, below, weights), np.einsum("i,ij,j", weights, above, weights)


@settings(max_examples=60, deadline=None)
@given(arrays(np.float64, st.integers(1, 8), elements=st.sampled_from([-0.5, -0.25, 0.0, 0.25, 0.5])))
def test_the_bayesian_weights_are_those_of_all_pairs(values):
    from tsbench.comparisons.statistics import _signed_weights

    weights = np.random.default_rng(0).dirichlet(np.ones(len(values)), 3)
    for rope in (0.0, 0.125, 0.25):
        worse, better = _signed_weights(weights.T.copy(), values, rope)
        expected = np.array([brute_force(weight, values, rope) for weight in weights])
        np.testing.assert_allclose(np.stack([worse, better], axis=1), expected, atol=1e-12)


def test_the_bayesian_test_tells_better_worse_and_practically_equal():
    generator = np.random.default_rng(0)
    differences = np.stack([generator.normal(mean, 0.005, 50) for mean in (0.05, -0.05, 0.0)], axis=1)
    shares = bayesian_signed_rank(differences, 0.01, draws=2_000)
    assert shares.argmax(axis=1).tolist() == [2, 0, 1]
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert shares.max(axis=1).min() > 0.99
