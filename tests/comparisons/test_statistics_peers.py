"""The statistics beside scipy's, statsmodels', autorank's, scikit-posthocs', aeon's and baycomp's."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tsbench.comparisons import statistics
from tsbench.comparisons.published import load_reference
from tsbench.data.catalogue import collection


def random_table(seed, rows=40, columns=6, step=0.01):
    """Accuracies with ties within rows and zero differences."""
    generator = np.random.default_rng(seed)
    skill = generator.normal(0, 0.02, columns)
    return np.clip(
        np.round((generator.uniform(0.5, 0.95, (rows, 1)) + skill + generator.normal(0, 0.03, (rows, columns))) / step)
        * step,
        0,
        1,
    )


def published_table(resamples):
    reference = load_reference("published")
    thirty = tuple(range(30))  # the bake-off's classifiers have both protocols, later papers' the first split alone
    names = [
        name
        for name in reference.classifiers
        if all(reference.score(d, name, thirty) is not None for d in collection("ucr-112"))
    ]
    figures = [[reference.score(d, name, resamples) for name in names] for d in collection("ucr-112")]
    return names, np.array(figures)


TABLES = {f"random-{seed}": random_table(seed) for seed in range(3)} | {
    "few-rows": random_table(3, rows=9, step=0.001),
    "archive-split": published_table((0,))[1],
    "thirty-resamples": published_table(tuple(range(30)))[1],
}


@pytest.fixture(params=TABLES)
def table(request):
    return TABLES[request.param]


def each_pair(table):
    k = table.shape[1]
    return [(i, j) for i in range(k) for j in range(i + 1, k)]


def test_the_published_table_is_that_of_the_bake_off(table):
    names, figures = published_table((0,))
    assert figures.shape == (112, 20)
    assert {"HC2", "MultiROCKET-Hydra", "QUANT", "1NN-DTW"} <= set(names)


def test_the_bake_offs_ranking_by_the_mean_of_thirty_resamples_comes_out():
    names, figures = published_table(tuple(range(30)))
    order = np.argsort(-figures.mean(axis=0))
    assert [names[column] for column in order[:5]] == ["HC2", "MultiROCKET-Hydra", "MultiROCKET", "RIST", "RDST"]
    ranked = np.argsort(statistics.average_ranks(figures))
    assert [names[column] for column in ranked[:3]] == ["HC2", "MultiROCKET-Hydra", "MultiROCKET"]


def test_average_ranks_are_aeons(table):
    from aeon.visualisation.results._critical_difference import _compute_ranks

    expected = _compute_ranks(table, lower_better=False).mean(axis=0)
    np.testing.assert_allclose(statistics.average_ranks(table), expected, rtol=0, atol=1e-9)


def test_friedmans_test_is_scipys_and_aeons(table):
    from aeon.benchmarking.stats import check_friedman

    found = statistics.friedman(table)
    expected = stats.friedmanchisquare(*table.T)
    assert found.statistic == pytest.approx(expected.statistic, rel=1e-10)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9, abs=1e-300)
    assert found.p == pytest.approx(check_friedman(stats.rankdata(-table, axis=1)), rel=1e-9, abs=1e-300)


def test_iman_and_davenports_f_is_the_two_way_analysis_of_variance_of_the_ranks(table):
    """Conover 1999: their F is that of an analysis of variance on the ranks, with ties or without."""
    n, k = table.shape
    ranks = stats.rankdata(-table, axis=1)
    between = n * ((ranks.mean(axis=0) - ranks.mean()) ** 2).sum() / (k - 1)
    left = ranks - ranks.mean(axis=0) - ranks.mean(axis=1, keepdims=True) + ranks.mean()
    expected = between / ((left**2).sum() / ((n - 1) * (k - 1)))
    found = statistics.friedman(table)
    assert found.f == pytest.approx(expected, rel=1e-9)
    assert found.p_f == pytest.approx(stats.f.sf(expected, k - 1, (n - 1) * (k - 1)), rel=1e-7, abs=1e-300)


def autoranks(table):
    """What autorank finds; it tells two columns by Wilcoxon's test, more by Friedman's with Nemenyi's."""
    from autorank import autorank

    frame = pd.DataFrame(table, columns=[f"c{column}" for column in range(table.shape[1])])
    with warnings.catch_warnings(action="ignore"):
        return autorank(frame, force_mode="nonparametric")


@pytest.mark.slow
def test_wilcoxons_p_is_that_of_autoranks_one_sided_test(table):
    """Autorank asks whether one of the two, by its medians, is better; ours asks whether they differ."""
    pairs = statistics.pairwise(table)
    for i, j in each_pair(table)[:12]:
        found = autoranks(table[:, [i, j]])
        assert found.omnibus == "wilcoxon"
        if found.pvalue <= 0.5:
            assert pairs.p[i, j] == pytest.approx(2 * found.pvalue, rel=0, abs=1e-9)
        else:  # with equal medians it may ask for the worse one; exact p-values of both sides add up to over 1
            assert 2 * (1 - found.pvalue) - 1e-9 <= pairs.p[i, j] <= 1


@pytest.mark.slow
def test_ranks_friedmans_p_and_the_critical_difference_are_autoranks(table):
    found = autoranks(table)
    assert (found.omnibus, found.posthoc) == ("friedman", "nemenyi")
    theirs = found.rankdf["meanrank"]
    ranks = statistics.average_ranks(table)
    for column, rank in enumerate(ranks):
        assert rank == pytest.approx(theirs[f"c{column}"], rel=0, abs=1e-9)
    assert statistics.friedman(table).p == pytest.approx(found.pvalue, rel=1e-9, abs=1e-300)
    assert statistics.critical_difference(table.shape[1], len(table)) == pytest.approx(found.cd, rel=2e-3)


def test_wilcoxons_p_is_twice_the_lesser_of_aeons_one_sided_ones(table):
    """Aeon asks whether the first is better; ours asks whether they differ."""
    from aeon.benchmarking.stats import wilcoxon_test

    labels = [str(column) for column in range(table.shape[1])]
    with warnings.catch_warnings(action="ignore"):
        greater = wilcoxon_test(table, labels)
        less = wilcoxon_test(table, labels, lower_better=True)
    pairs = statistics.pairwise(table)
    for i, j in each_pair(table):
        expected = min(1.0, 2 * min(greater[i, j], less[i, j]))
        assert pairs.p[i, j] == pytest.approx(expected, rel=0, abs=1e-9)


@pytest.mark.slow
def test_the_adjusted_ps_are_scikit_posthocs(table):
    import scikit_posthocs

    if any((table[:, i] == table[:, j]).all() for i, j in each_pair(table)):
        pytest.skip("scikit-posthocs refuses equal columns")
    expected = scikit_posthocs.posthoc_wilcoxon(list(table.T), p_adjust="holm").to_numpy()
    found = statistics.pairwise(table).p_holm
    for i, j in each_pair(table):
        assert found[i, j] == found[j, i] == pytest.approx(expected[i, j], rel=0, abs=1e-9)


@pytest.mark.slow
def test_holms_adjustment_is_statsmodels():
    from statsmodels.stats.multitest import multipletests

    for seed in range(20):
        generator = np.random.default_rng(seed)
        p = np.round(generator.random(generator.integers(1, 40)) ** 4, 3)  # with ties, ones and zeros
        np.testing.assert_allclose(statistics.holm(p), multipletests(p, method="holm")[1], rtol=1e-12)


@pytest.mark.slow
def test_nemenyis_p_is_scikit_posthocs(table):
    import scikit_posthocs

    expected = scikit_posthocs.posthoc_nemenyi_friedman(table).to_numpy()
    np.testing.assert_allclose(statistics.nemenyi(table), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("k", [2, 5, 20])
def test_nemenyis_critical_difference_is_that_of_aeons_table(k):
    from aeon.benchmarking.stats import _get_qalpha

    scale = np.sqrt(k * (k + 1) / (6 * 30))
    assert statistics.critical_difference(k, 30) / scale == pytest.approx(_get_qalpha(0.05)[k - 1], abs=6e-4)


def test_the_bootstrap_interval_is_scipys(table):
    difference = table[:, 0] - table[:, 1]
    low, high = statistics.bootstrap_mean_difference(difference[:, None])[:, 0]
    expected = stats.bootstrap(
        (difference,), np.mean, method="percentile", n_resamples=10_000, rng=np.random.default_rng(1)
    ).confidence_interval
    width = expected.high - expected.low
    assert (low, high) == pytest.approx(tuple(expected), abs=0.04 * width)


@pytest.mark.parametrize("rope", [0.0, 0.01, 0.02])
def test_the_bayesian_signed_rank_test_is_baycomps(rope):
    import baycomp

    table = random_table(5, rows=15, columns=3)
    draws = 20_000
    for i, j in each_pair(table):
        expected = baycomp.SignedRankTest(table[:, i], table[:, j], rope, nsamples=draws, random_state=0).probs(
            rope > 0
        )
        found = statistics.bayesian_signed_rank((table[:, j] - table[:, i])[:, None], rope, draws)[0]
        # Two samples of a share differ by 4.5 standard errors once in 150,000 times.
        allowed = 4.5 * np.sqrt(0.5 / draws)
        if rope > 0:
            np.testing.assert_allclose(found, expected, atol=allowed)
        else:
            np.testing.assert_allclose(found[2] / (found[0] + found[2]), expected[1], atol=allowed)


def test_wins_and_mean_differences_are_those_of_aeons_matrix(tmp_path):
    from aeon.visualisation.results._mcm import _get_analysis

    names, figures = published_table((0,))
    frame = pd.DataFrame(figures[:, :4], columns=names[:4])
    analysis = _get_analysis(
        frame,
        save_path=f"{tmp_path}/",
        pvalue_test_params={"zero_method": "wilcox", "alternative": "two-sided"},
    )
    pairs = statistics.pairwise(figures[:, :4])
    for i, j in each_pair(figures[:, :4]):
        theirs = analysis[f"{names[i]}-vs-{names[j]}"]
        assert [pairs.wins[i, j], pairs.ties[i, j], pairs.losses[i, j]] == [
            theirs["win"],
            theirs["tie"],
            theirs["loss"],
        ]
        assert pairs.mean_difference[i, j] == pytest.approx(theirs["mean"], abs=1e-9)
        assert pairs.p[i, j] == pytest.approx(theirs["pvalue"], abs=1e-9)
