import csv
import io
import json
import math

import numpy as np
import pytest
from rich.console import Console

from tsbench.comparisons.comparison import Comparison
from tsbench.comparisons.report import FORMATS, as_csv, as_json, as_markdown, score_rows
from tsbench.comparisons.results import Results, read_results
from tsbench.comparisons.terminal import Printed, leaderboard, score_tables
from tsbench.comparisons.wording import cautions, notes, protocol, sentences

THIRD = 1 / 3


@pytest.fixture
def comparison(log, store):
    """Three data sets: on A all three classifiers, on B a tie and one skipped, on C one running."""
    log("A", "network", 0.9)
    log("A", "dummy", THIRD)
    log("A", "minirocket", 0.95)
    log("B", "network", 0.5)
    log("B", "dummy", 0.5)
    log("B", "minirocket", state="skipped", reason="it takes cases of one length | only")
    log("C", "network", 0.8)
    log("C", "dummy", 0.7)
    log("C", "minirocket", state=None, status="RUNNING")
    return Comparison(read_results(store, "small").of(["A", "B", "C"]))


def rendered(table, width=120):
    console = Console(record=True, width=width, file=io.StringIO())
    table.print(console)
    return console.export_text(styles=True)


def plain(table):
    console = Console(record=True, width=120, file=io.StringIO())
    table.print(console)
    return console.export_text()


def test_scores_are_a_table_with_nan_where_there_is_no_figure(comparison):
    nan = math.nan
    np.testing.assert_array_equal(comparison.scores, [[0.9, THIRD, 0.95], [0.5, 0.5, nan], [0.8, 0.7, nan]])


def test_ranks_are_over_the_data_sets_where_all_have_a_figure(comparison):
    assert comparison.results.classifiers == ("network", "dummy", "minirocket")
    np.testing.assert_array_equal(comparison.statistics.ranks, [2.0, 3.0, 1.0])


def test_each_classifier_is_counted_against_the_network(comparison):
    assert comparison.statistics.wins_against(comparison.control_column) == [None, (0, 1, 2), (1, 0, 0)]


def test_the_best_rank_is_the_control_where_there_is_no_network(log, store):
    log("A", "dummy", 0.5)
    log("A", "minirocket", 0.9)
    comparison = Comparison(read_results(store, "small"))
    assert comparison.control == "minirocket"
    assert comparison.statistics.wins_against(comparison.control_column) == [(0, 0, 1), None]
    assert [row[0] for row in score_rows(comparison)] == [
        "data set",
        "A",
        "average rank",
        "win/tie/loss against minirocket",
    ]
    assert json.loads(as_json(comparison))["win_tie_loss"] == {"dummy": [0, 0, 1]}


def test_json_holds_everything(comparison):
    tree = json.loads(as_json(comparison))
    statistics = tree.pop("statistics")
    assert tree == {
        "name": "small",
        "metric": "accuracy",
        "protocol": "accuracy on the archive's own split",
        "resamples": [0],
        "splits": dict.fromkeys("ABC", "the archive's own split"),
        "datasets": ["A", "B", "C"],
        "classifiers": ["network", "dummy", "minirocket"],
        "published": {},
        "chosen_on_test": {},
        "control": "network",
        "accuracy": {
            "A": {"network": 0.9, "dummy": THIRD, "minirocket": 0.95},
            "B": {"network": 0.5, "dummy": 0.5},
            "C": {"network": 0.8, "dummy": 0.7},
        },
        "rank": {"network": 2.0, "dummy": 3.0, "minirocket": 1.0},
        "win_tie_loss": {"dummy": [0, 1, 2], "minirocket": [1, 0, 0]},
        "preprocessed": [],
        "missing": [
            {
                "dataset": "B",
                "classifier": "minirocket",
                "reason": "skipped: it takes cases of one length | only",
            },
            {"dataset": "C", "classifier": "minirocket", "reason": "running"},
        ],
        "sentences": sentences(comparison),
        "notes": notes(comparison),
        "cautions": cautions(comparison),
    }
    assert statistics["datasets"] == ["A"]
    assert statistics["left_out"] == ["B", "C"]
    assert statistics["mean_accuracy"] == {"network": 0.9, "dummy": THIRD, "minirocket": 0.95}
    assert statistics["friedman"] is None
    assert statistics["cliques"] == [["minirocket", "network", "dummy"]]
    assert statistics["pairs"][0] == {
        "first": "network",
        "second": "dummy",
        "mean_difference": 0.9 - THIRD,
        "win_tie_loss": [1, 0, 0],
        "p": 1.0,
        "p_holm": 1.0,
        "significant": False,
    }
    assert statistics["bootstrap"]["mean_difference_from_control"]["dummy"] == [THIRD - 0.9] * 2
    shares = statistics["bayesian_signed_rank"]["against_control"]["dummy"]
    assert sum(shares.values()) == pytest.approx(1)


def test_json_has_null_for_a_rank_that_there_is_not(log, store):
    log("A", "network", 0.5)
    log("A", "dummy", state="failed", status="FAILED")
    text = as_json(Comparison(read_results(store, "small")))
    assert json.loads(text)["rank"] == {"network": None, "dummy": None}
    assert "NaN" not in text


def test_csv_has_the_figures_in_full_precision(comparison):
    text = as_csv(comparison)
    rows = list(csv.reader(io.StringIO(text)))
    assert rows == [
        ["dataset", "network", "dummy", "minirocket"],
        ["A", "0.9", repr(THIRD), "0.95"],
        ["B", "0.5", "0.5", ""],
        ["C", "0.8", "0.7", ""],
    ]
    assert float(rows[1][2]) == THIRD
    assert "\r" not in text


def test_markdown_is_a_pipe_table_with_notes(comparison):
    assert as_markdown(comparison) == (
        "| data set | network | dummy | minirocket |\n"
        "| --- | ---: | ---: | ---: |\n"
        "| A | 0.9000 | 0.3333 | 0.9500 |\n"
        "| B | 0.5000 | 0.5000 |  |\n"
        "| C | 0.8000 | 0.7000 |  |\n"
        "| average rank | 2.00 | 3.00 | 1.00 |\n"
        "| win/tie/loss against network |  | 0/1/2 | 1/0/0 |\n"
        "\n"
        "Over 1 data set, against network (Wilcoxon, Holm):\n"
        "\n"
        "| classifier | average rank | mean accuracy | win/tie/loss | mean difference | 95 % interval | p |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n"
        "| minirocket | 1.00 | 0.9500 | 1/0/0 | +0.0500 | +0.0500 to +0.0500 | 1.000 |\n"
        "| network | 2.00 | 0.9000 |  |  |  |  |\n"
        "| dummy | 3.00 | 0.3333 | 0/0/1 | -0.5667 | -0.5667 to -0.5667 | 1.000 |\n"
        "\n"
        "Accuracy on the archive's own split.  \n"
        "Ranks are over the 1 of 3 data sets for which every classifier has a score.  \n"
        "Missing: minirocket on B (skipped: it takes cases of one length | only)  \n"
        "Missing: minirocket on C (running)  \n"
        "With one data set and 3 pairs no difference can be significant at 0.05: the smallest possible p is 1. "
        "More data sets would help, or fewer classifiers (`classifiers`).  \n"
    )


def test_a_bar_in_a_name_does_not_break_the_markdown_table(log, store):
    log("A|B", "network", 0.5)
    assert "| A\\|B | 0.5000 |" in as_markdown(Comparison(read_results(store, "small")))


def test_a_table_renders_with_the_best_of_each_data_set_in_bold(comparison):
    text = plain(score_tables(comparison, 120))
    lines = [[cell.strip() for cell in line.strip("│┃").split("│")] for line in text.splitlines() if "│" in line]
    assert "Test accuracy: small" in text
    assert lines == [
        ["A", "0.9000", "0.3333", "0.9500"],
        ["B", "0.5000", "0.5000", ""],
        ["C", "0.8000", "0.7000", ""],
        ["average rank", "2.00", "3.00", "1.00"],
        ["win/tie/loss", "", "0/1/2", "1/0/0"],
    ]
    assert "Wins, ties and losses are against network." in text
    styled = rendered(score_tables(comparison, 120))
    bold = [
        figure for figure in ("0.9000", "0.3333", "0.9500", "0.5000", "0.8000", "0.7000") if f"1m{figure}" in styled
    ]
    assert bold == ["0.9500", "0.5000", "0.8000"]


@pytest.mark.parametrize("width", [20, 40, 200])
def test_a_table_renders_at_any_width(comparison, width):
    printed = score_tables(comparison, width)
    lines = plain_at(Printed(printed.tables), width)
    assert all(len(line) <= width for line in lines)
    assert sum("0.9000" in line for line in lines) == 1


def plain_at(table, width):
    console = Console(record=True, width=width, file=io.StringIO())
    table.print(console)
    return console.export_text().splitlines()


def test_brackets_in_a_name_are_no_markup(log, store):
    log("[bold]A[/bold]", "[red]x", 0.5)
    results = read_results(store, "small")
    for table in (score_tables(Comparison(results), 120), leaderboard(results, "accuracy", 120)):
        assert "[bold]A[/bold]" in plain(table)
        assert "[red]x" in plain(table)


def test_the_protocol_tells_the_archives_split_from_resamples(log, store):
    said = lambda: protocol(Comparison(read_results(store, "small")))  # noqa: E731
    assert said() == "nothing scored yet"
    log("A", "network", 0.5)
    log("B", "network", state="failed", status="FAILED")
    assert said() == "accuracy on the archive's own split"
    log("A", "network", 0.5, resample=1)
    log("A", "network", 0.5, resample=2)
    assert said() == "mean accuracy over 3 resamples of each data set"
    log("B", "network", 0.5)
    assert said() == "mean accuracy over 3 resamples of each data set"
    archive = Comparison(read_results(store, "small").under((0,)))
    assert protocol(archive) == "accuracy on the archive's own split"


def test_two_protocols_never_stand_in_one_column(log, store):
    for resample in range(3):
        log("A", "network", 0.5 + resample / 10, resample=resample)
    log("B", "network", 0.9)
    results = read_results(store, "small")
    comparison = Comparison(results)
    np.testing.assert_array_equal(comparison.scores, [[(0.5 + 0.6 + 0.7) / 3], [math.nan]])
    assert comparison.missing() == [{"dataset": "B", "classifier": "network", "reason": "resamples 1, 2 are missing"}]
    assert notes(comparison)[-1] == "Scores on the archive's own split: `resamples=1`."
    np.testing.assert_array_equal(Comparison(results.under((0,))).scores, [[0.5], [0.9]])
    np.testing.assert_allclose(Comparison(results.under((0, 1))).scores, [[0.55], [math.nan]])


def test_notes_are_silent_where_nothing_is_missing(log, store):
    log("A", "network", 0.5)
    log("A", "dummy", 0.4)
    assert notes(Comparison(read_results(store, "small"))) == ["Accuracy on the archive's own split."]


def test_an_experiment_without_results_can_be_shown():
    comparison = Comparison(Results("empty", ()))
    assert as_csv(comparison) == "dataset\n"
    assert notes(comparison) == ["Nothing scored yet."]
    assert json.loads(as_json(comparison))["accuracy"] == {}
    assert "| data set |" in as_markdown(comparison)
    assert "average rank" in plain(score_tables(comparison, 120))


def test_resamples_are_averaged_in_the_table(log, store):
    log("A", "network", 0.5, resample=0)
    log("A", "network", 1.0, resample=1)
    log("A", "dummy", 0.5, resample=0)
    comparison = Comparison(read_results(store, "small"))
    assert score_rows(comparison)[1] == ["A", "0.7500", ""]
    assert notes(comparison) == [
        "Mean accuracy over 2 resamples of each data set.",
        "No data set has a score of every classifier, so there are no ranks and no tests; see `classifiers`.",
        "Missing: dummy on A (resample 1 is missing)",
        "Scores on the archive's own split: `resamples=1`.",
    ]


def test_a_leaderboard_shows_cv_and_test_scores_and_seconds(log, store):
    metrics = {"cv_accuracy": 0.8, "cv_accuracy_se": 0.021, "test_balanced_accuracy": 0.7, "fit_seconds": 12.345}
    log("A", "network", 0.9, metrics=metrics)
    log("A", "dummy", 0.5)
    log("B", "network", state="failed", status="FAILED")
    text = plain(leaderboard(read_results(store, "small"), "accuracy", 120))
    header, *lines = [
        [cell.strip() for cell in line.strip("│┃").replace("┃", "│").split("│")]
        for line in text.splitlines()
        if set("│┃") & set(line)
    ]
    assert header == ["data set", "classifier", "cv accuracy", "test accuracy", "balanced accuracy", "fit seconds"]
    assert lines == [
        ["A", "network", "0.8000 ± 0.0210", "0.9000", "0.7000", "12.35"],
        ["", "dummy", "", "0.5000", "", ""],
        ["B", "network", "", "", "", ""],
        ["", "dummy", "", "", "", ""],
    ]


def test_a_mean_over_resamples_is_shown_without_the_error_of_one(log, store):
    for resample in (0, 1):
        log("A", "network", 0.9, resample=resample, metrics={"cv_accuracy": 0.8, "cv_accuracy_se": 0.021})
    text = plain(leaderboard(read_results(store, "small"), "accuracy", 120))
    assert "0.8000" in text
    assert "±" not in text


def test_a_leaderboard_keeps_names_whole_in_80_columns(log, store):
    log("ItalyPowerDemand", "network", 0.9, metrics={"fit_seconds": 123.45})
    log("ItalyPowerDemand", "minirocket", 0.95)
    lines = plain_at(leaderboard(read_results(store, "small"), "accuracy", 80), 80)
    assert max(map(len, lines)) <= 80
    assert all(line[-1] in "┓┃┩│┤┘" for line in lines[1:])  # nothing is cut off
    assert sum("minirocket" in line for line in lines) == 1
    assert sum("classifier" in line for line in lines) == 1


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_names_every_data_set_and_classifier(form, comparison):
    text = FORMATS[form](comparison)
    assert all(name in text for name in ("A", "B", "C", "network", "dummy", "minirocket"))


def test_a_single_resample_is_spoken_of_in_the_singular(log, store):
    log("A", "network", 0.5, resample=1)
    assert "1 resamples" not in protocol(Comparison(read_results(store, "small")))


def test_the_best_is_found_by_its_figure_and_not_by_its_digits(log, store):
    log("A", "network", 0.90001)
    log("A", "dummy", 0.90002)
    assert rendered(score_tables(Comparison(read_results(store, "small")), 120)).count("1m0.9000") == 1


def test_latex_of_many_classifiers_is_in_parts_that_fit_a_page(log, store):
    names = [f"classifier-{letter}" for letter in "abcdefghijkl"]
    for dataset in ("A_1", "[B]"):
        for number, name in enumerate(names):
            log(dataset, name, 0.5 + number / 100)
    text = FORMATS["latex"](Comparison(read_results(store, "small")))
    labels = [line for line in text.splitlines() if line.startswith("\\label")]
    assert labels == [
        f"\\label{{tab:small-accuracy-{what}}}" for what in ("summary", "scores-1", "scores-2", "scores-3")
    ]
    assert text.count("\\caption{") == 4
    assert max(line.count("&") for line in text.splitlines() if not line.startswith("%")) == 6
    assert "Part 2 of 3." in text
    assert "{[}B]" in text  # after the end of a row a bracket would be an option
    assert sum("\\textbf" in line for line in text.splitlines() if line.startswith("A\\_1")) == 1


def test_latex_of_many_data_sets_goes_on_over_pages(log, store):
    from tests.comparisons.made_up import made_up

    text = FORMATS["latex"](Comparison(made_up(datasets=tuple(f"D{number}" for number in range(50)))))
    assert text.count("\\begin{longtable}") == text.count("\\end{longtable}") == 1
    assert "\\label{tab:made-up-accuracy-scores}\\\\" in text
