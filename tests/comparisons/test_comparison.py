import json

import numpy as np
import pytest

from tests.comparisons.made_up import DATASETS, made_up
from tsbench.comparisons import statistics
from tsbench.comparisons.comparison import Comparison
from tsbench.comparisons.published import Reference, load_reference
from tsbench.comparisons.report import as_json, as_latex, as_markdown
from tsbench.comparisons.results import Result, Results
from tsbench.comparisons.study_data import StudyData
from tsbench.comparisons.wording import cautions, notes, protocol, sentences
from tsbench.data.catalogue import collection
from tsbench.errors import RecipeError
from tsbench.tracking.split import ARCHIVE


@pytest.fixture(scope="module")
def published():
    return load_reference("published")


def of(rows, **options):
    results = [
        Result(dataset, classifier, 0, "complete", {"test_accuracy": accuracy}, "", "run", StudyData(ARCHIVE))
        for dataset, classifier, accuracy in rows
    ]
    return Comparison(Results("few", tuple(results)), **options)


def reference(cells, name="others.csv"):
    return Reference(name, {key: {(0,): value} for key, value in cells.items()})


def test_published_figures_stand_beside_ours_and_are_marked(published):
    comparison = Comparison(made_up(), (published,), only=("network", "hc2", "MiniROCKET", "minirocket"))
    assert comparison.classifiers == ("network", "HC2 (published)", "MiniROCKET (published)", "minirocket")
    assert comparison.scores[0, 1] == 0.868571
    assert list(comparison.published) == ["HC2 (published)", "MiniROCKET (published)"]
    for text in (as_markdown(comparison), as_json(comparison)):
        assert "HC2 (published)" in text
    assert "HC2$^\\dagger$" in as_latex(comparison)
    (note,) = [note for note in notes(comparison) if note.startswith("Not run here")]
    assert "Middlehurst et al. 2024" in note


def test_only_published_classifiers_with_the_most_data_sets_are_shown_and_the_others_named(published):
    comparison = Comparison(made_up(), (published,))
    assert {"HC2 (published)", "1NN-DTW (published)"} <= set(comparison.classifiers)
    assert "LSTM-FCN (published)" not in comparison.classifiers
    assert comparison.complete.all()
    left_out = "ALSTM-FCN (published), LSTM-FCN (published), PHIT (published)"
    assert f"Published on fewer of these data sets, and left out: {left_out}." in notes(comparison)


def test_reruns_by_other_papers_are_shown_only_if_asked_for(published):
    comparison = Comparison(made_up(), (published,))
    assert {"UniShape (published)", "Mantis@UniShape (published)"} <= set(comparison.classifiers)
    assert "ROCKET@UniShape (published)" not in comparison.classifiers
    (note,) = [note for note in notes(comparison) if note.startswith("Reruns by other papers, left out: ")]
    assert "ROCKET@UniShape (published)" in note
    asked = Comparison(made_up(), (published,), only=("network", "rocket@unishape", "mantis"))
    assert asked.classifiers == ("network", "ROCKET@UniShape (published)", "Mantis@UniShape (published)")
    with pytest.raises(RecipeError, match="classifier 'PatchTST' has no result here"):  # two papers ran it
        Comparison(made_up(), (published,), only=("PatchTST",))


def test_classifiers_whose_epoch_was_chosen_on_the_test_cases_are_left_out_of_the_ranks_unless_asked_for(published):
    datasets = ("Libras", "NATOPS", "ERing")
    comparison = Comparison(Results("x", ()), (published,), datasets)
    assert "MambaSL (published)" not in comparison.classifiers
    assert "HC2 (published)" in comparison.classifiers
    (note,) = [note for note in notes(comparison) if note.startswith("Left out, because the epoch was chosen on")]
    assert "MambaSL (published)" in note
    assert "TimesNet@MambaSL (published)" in note
    assert not any("MambaSL (published)" in note for note in notes(comparison) if note.startswith("Published on fewer"))
    asked = Comparison(Results("x", ()), (published,), datasets, ("HC2", "MambaSL"))
    assert len(asked.standings) == 2
    expected = "MambaSL (published): the epoch was chosen on the test cases of Libras, NATOPS, ERing, so these scores"
    assert any(note.startswith(expected) for note in notes(asked))
    assert json.loads(as_json(asked))["chosen_on_test"] == {"MambaSL (published)": list(datasets)}


def test_scores_of_a_file_chosen_on_the_test_cases_are_left_out_too(tmp_path):
    path = tmp_path / "paper.csv"
    path.write_text("dataset,classifier,accuracy,chosen_on\nA,X,0.9,test\nA,Y,0.5,\n", encoding="utf-8")
    comparison = Comparison(Results("x", ()), (load_reference(str(path)),))
    assert comparison.classifiers == ("Y (paper.csv)",)
    assert (
        "Left out, because the epoch was chosen on the test cases: X (paper.csv). `classifiers` shows them."
        in notes(comparison)
    )


def test_published_figures_are_of_the_tables_protocol(published):
    few = Comparison(made_up(resamples=3), (published,), only=("network", "HC2"))
    assert np.isnan(few.scores[:, 1]).all()
    assert few.missing()[0]["reason"] == "published under another protocol"
    thirty = Comparison(made_up(resamples=30), (published,), only=("network", "HC2"))
    assert thirty.scores[0, 1] == published.score("ArrowHead", "HC2", tuple(range(30)))
    assert protocol(thirty) == "mean accuracy over 30 resamples of each data set"


def test_equal_accuracies_are_ties_though_the_published_ones_are_rounded():
    ours = [("A", "network", 151 / 175), ("B", "network", 2 / 3), ("C", "network", 0.9)]
    theirs = reference({("A", "X"): 0.862857, ("B", "X"): 0.6667, ("C", "X"): 0.9})
    comparison = of(ours, references=(theirs,))
    assert comparison.rounded == 6
    assert comparison.statistics.wins_against(comparison.control_column) == [None, (1, 2, 0)]
    assert "All scores are rounded to 6 decimals, as the published ones are." in notes(comparison)
    coarse = of(ours, references=(reference({("A", "X"): 0.8629, ("B", "X"): 0.6667, ("C", "X"): 0.9}),))
    assert coarse.statistics.wins_against(coarse.control_column) == [None, (0, 3, 0)]


def test_published_figures_alone_are_not_rounded(published):
    comparison = Comparison(Results("x", ()), (published,), tuple(collection("ucr-112")))
    assert comparison.rounded is None
    assert comparison.scores.shape == (112, 31)


def test_on_published_figures_alone_every_statistic_is_that_of_the_table(published):
    results = Results("published", (), protocol=tuple(range(30)))
    comparison = Comparison(results, (published,), tuple(collection("ucr-112")))
    best = [
        standing.classifier.removesuffix(" (published)")
        for standing in sorted(comparison.standings, key=lambda standing: -standing.mean)
    ]
    assert best[:5] == ["HC2", "MultiROCKET-Hydra", "MultiROCKET", "RIST", "RDST"]
    assert comparison.control == "HC2 (published)"
    np.testing.assert_array_equal(comparison.statistics.pairs.p, statistics.pairwise(comparison.scores).p)


def test_every_place_has_the_same_p_value():
    comparison = Comparison(made_up(("network", "minirocket", "quant", "dummy")))
    tree = json.loads(as_json(comparison))["statistics"]
    against = {
        frozenset((pair["first"], pair["second"])) - {"network"}: pair["p_holm"]
        for pair in tree["pairs"]
        if "network" in (pair["first"], pair["second"])
    }
    for standing in comparison.standings:
        if standing.wins is not None:
            assert against[frozenset({standing.classifier})] == standing.p
            assert f"p = {standing.p:.3f}" in "".join(sentences(comparison)) or standing.p < 0.001


def test_the_sentences_are_what_a_paper_prints():
    better = [(f"D{n}", "network", 0.9 + n / 1000) for n in range(10)]
    worse = [(f"D{n}", "dummy", 0.8 + 2 * n / 1000) for n in range(10)]
    same = [(f"D{n}", "twin", 0.9 + n / 1000 + (-1) ** n * (n + 1) / 10_000) for n in range(10)]
    same, other = sentences(of(better + worse + same))
    assert same == (
        "network and twin do not differ significantly: network wins on 5 of 10 data sets (ties: 0) and leads by 0.0001 "
        "on average (95 % bootstrap interval -0.0003 to 0.0004), Wilcoxon-Holm over 3 pairs p = 0.846."
    )
    assert other == (
        "network is better than dummy on 10 of 10 data sets (ties: 0), by 0.0955 on average (95 % bootstrap interval "
        "0.0937 to 0.0973), Wilcoxon-Holm over 3 pairs p = 0.006."
    )


def test_the_control_is_the_network_else_the_best_rank_else_whom_one_names():
    assert Comparison(made_up()).control == "network"
    assert Comparison(made_up(("quant", "dummy"))).control == "quant"
    assert Comparison(made_up(), against="MINIROCKET").control == "minirocket"
    two = Comparison(made_up(("network@b", "network@a")))
    assert two.control == "network@b"  # two networks: the better of them


def test_a_name_that_does_not_exist_is_refused_with_a_close_one():
    for options in ({"against": "minirokcet"}, {"only": ("minirokcet",)}):
        with pytest.raises(RecipeError, match="classifier 'minirokcet' has no result here; did you mean 'minirocket'"):
            Comparison(made_up(), **options)
    with pytest.raises(RecipeError, match="the control 'dummy' is not among the classifiers shown"):
        Comparison(made_up(), only=("network", "minirocket"), against="dummy")


def test_the_lead_is_over_the_data_sets_that_both_have():
    comparison = of([("A", "network", 0.9), ("A", "dummy", 0.5), ("B", "network", 0.1), ("C", "dummy", 0.9)])
    lead = comparison.lead_over("Dummy")
    assert (lead.first, lead.second, lead.count) == ("network", "dummy", 1)
    assert lead.difference == pytest.approx(0.4)
    with pytest.raises(RecipeError, match="'network' is the control itself"):
        comparison.lead_over("network")
    apart = of([("A", "network", 0.9), ("B", "dummy", 0.5)])
    with pytest.raises(RecipeError, match="have scores on no common data set"):
        apart.lead_over("dummy")


def test_names_that_differ_in_case_are_ours_first_and_then_theirs(published):
    comparison = Comparison(made_up(), (published,), only=("minirocket", "MiniROCKET", "MINIROCKET"))
    assert comparison.classifiers == ("minirocket", "MiniROCKET (published)")


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([("A", "network", 0.5)], ["There is only one classifier, network, so there is nothing to compare."]),
        (
            [("A", "network", 0.5), ("A", "dummy", 0.4)],
            [
                "With one data set no difference can be significant at 0.05: the smallest possible p is 1. "
                "More data sets would help."
            ],
        ),
        ([(name, classifier, 0.5) for name in DATASETS for classifier in ("network", "dummy")], []),
    ],
)
def test_what_keeps_the_tests_from_telling_anything_is_said(rows, expected):
    assert cautions(of(rows)) == expected


def test_scores_that_are_all_equal_give_a_table_and_p_of_1():
    comparison = of([(name, classifier, 0.5) for name in DATASETS for classifier in ("network", "dummy", "quant")])
    assert {standing.p for standing in comparison.standings} == {1.0}
    assert {standing.rank for standing in comparison.standings} == {2.0}
    assert comparison.statistics.friedman.p == 1
    assert [len(clique) for clique in comparison.statistics.cliques] == [3]
    assert sentences(comparison)[0] == "network and dummy have equal scores on all 10 data sets."
    assert "NaN" not in as_json(comparison)


def test_an_empty_comparison_is_no_error():
    comparison = Comparison(Results("empty", ()))
    assert (comparison.classifiers, comparison.datasets, comparison.control) == ((), (), "")
    assert (sentences(comparison), comparison.standings, comparison.missing()) == ([], [], [])
    assert json.loads(as_json(comparison))["statistics"] is None
    assert "\\begin{tabular}{l}" in as_latex(comparison)


def test_data_sets_that_nobody_has_are_named():
    comparison = Comparison(made_up(), chosen=("Beef", "Nowhere"))
    assert comparison.datasets == ("Beef",)
    assert "No scores on: Nowhere." in notes(comparison)


def test_many_missing_cells_are_one_line_for_each_classifier_and_reason():
    rows = [(name, "network", 0.5) for name in DATASETS] + [("ArrowHead", "dummy", 0.5)]
    last = notes(of(rows))[-1]
    assert last == "Missing: dummy on Beef, BME, Car, CBF, Chinatown, Coffee and 3 more (never run)"


def test_fit_times_are_geometric_means_over_the_complete_data_sets():
    rows = [
        Result(dataset, name, 0, "complete", {"test_accuracy": 0.5, "fit_seconds": seconds}, "", "run")
        for dataset, name, seconds in (
            ("A", "network", 1.0),
            ("B", "network", 100.0),
            ("A", "dummy", 4.0),
            ("B", "dummy", 9.0),
        )
    ]
    comparison = Comparison(Results("few", tuple(rows)), (reference({("A", "X"): 0.5, ("B", "X"): 0.5}),))
    np.testing.assert_allclose(comparison.fit_seconds, [10, 6, np.nan])


def test_nemenyi_is_reported_on_request():
    told = json.loads(as_json(Comparison(made_up(), with_nemenyi=True)))["statistics"]["nemenyi"]
    assert told["critical_difference"] == pytest.approx(statistics.critical_difference(3, 10))
    assert len(told["p"]) == 3
    assert "nemenyi" not in json.loads(as_json(Comparison(made_up())))["statistics"]


def test_latex_is_escaped():
    comparison = of([("A_1", "50% & more", 0.5), ("A_1", "x#{}", 0.4)])
    text = as_latex(comparison)
    assert "A\\_1 & \\textbf{0.5000} & 0.4000 \\\\" in text
    assert "50\\% \\& more & x\\#\\{\\} \\\\" in text
    assert text.count("\\begin{") == text.count("\\end{") == 4  # standings and scores
