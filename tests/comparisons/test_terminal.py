"""Tables at the widths of real terminals: no word is broken, nothing is cut without a word about it."""

import io
import re

import pytest
from rich.console import Console

from tests.comparisons.made_up import made_up
from tsbench.comparisons.comparison import Comparison
from tsbench.comparisons.published import load_reference
from tsbench.comparisons.terminal import Shortener, front_table, leaderboard, score_tables, standings_table

LONG = (
    "network@a-recipe-with-quite-a-long-name",
    "network@a-recipe-with-quite-a-long-nose",
    "sktime.classification.interval_based.TimeSeriesForestClassifier",
    "multirocket-hydra",
)
DATASETS = (
    "DistalPhalanxOutlineAgeGroup",
    "ProximalPhalanxOutlineAgeGroup",
    "a-data-set-of-" + "many-" * 8 + "letters",
)


@pytest.fixture(scope="module")
def long():
    return Comparison(made_up(LONG, DATASETS))


@pytest.fixture(scope="module")
def beside_published():
    only = ("network", "minirocket", "HC2", "FreshPRINCE", "MultiROCKET-Hydra", "H-InceptionTime", "InceptionTime")
    return Comparison(made_up(), (load_reference("published"),), only=only)


def lines_of(printed, width):
    console = Console(record=True, width=width, file=io.StringIO())
    printed.print(console)
    return console.export_text().splitlines()


def titles(lines):
    """The words of the header rows, each of which must be whole."""
    return {word for line in lines if "┃" in line for word in re.split(r"[\s┃]+", line) if word}


WORDS = {"data", "set", "classifier", "average", "rank", "mean", "accuracy", "win", "tie", "loss", "/", "difference"}
WORDS |= {"95", "%", "interval", "p", "cv", "balanced", "test", "fit", "seconds"}


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_no_title_is_broken_and_no_line_is_too_long(width, long):
    for printed in (
        score_tables(long, width),
        standings_table(long, width),
        leaderboard(long.results, "balanced_accuracy", width),
    ):
        lines = lines_of(printed, width)
        framed = [line for line in lines if line[:1] in ("┏", "┃", "┡", "│", "├", "└")]
        assert framed
        assert all(len(line) <= width and line[-1] in "┓┃┩│┤┘" for line in framed)
        short = {word for line in lines if line.startswith("Shortened: ") for word in line.split()}
        assert titles(framed) - WORDS - set(LONG) <= short


def test_every_score_is_shown_at_80_columns(long):
    text = "\n".join(lines_of(score_tables(long, 80), 80))
    assert all(f"{score:.4f}" in text for score in long.scores.ravel())
    assert "Test accuracy: made up (1 of 4)" in text


def test_classifiers_of_others_are_marked_and_the_marks_explained(beside_published):
    for printed in (score_tables(beside_published, 80), standings_table(beside_published, 80)):
        lines = lines_of(printed, 80)
        assert any("FreshPRINCE†" in line for line in lines)
        assert any("MultiROCKET-Hydra†" in line for line in lines)
        assert "† published, not run here." in lines
        assert all(len(line) <= 80 for line in lines if "│" in line)


def test_a_column_that_does_not_fit_is_left_out_with_a_word(beside_published):
    narrow = lines_of(standings_table(beside_published, 80), 80)
    assert "Left out at this width: 95 % interval. Use a wider terminal, --report or --format." in narrow
    wide = "\n".join(lines_of(standings_table(beside_published, 120), 120))
    assert "95 % interval" in wide
    assert "Left out" not in wide


def test_short_names_stay_different_and_are_explained():
    shorten = Shortener(16)
    short = [shorten(name) for name in (*LONG, "a.b.TimeSeries", "TimeSeries", "x" * 30, "x" * 31)]
    assert len(set(short)) == len(short)
    assert max(map(len, short)) <= 16
    assert shorten(LONG[0]) == short[0]
    assert f"{short[0]} = {LONG[0]}" in shorten.notes[0]
    assert "multirocket-hydra = " not in "".join(Shortener(20).notes)


def test_the_front_says_metrics_in_words_and_counts_in_full():
    table = front_table(
        "Mine",
        ("log_loss", "parameters"),
        [(3, {"cv_log_loss": -0.0, "cv_log_loss_se": 0.25, "parameters": 1_234_567.0})],
    )
    console = Console(record=True, width=80, file=io.StringIO())
    console.print(table)
    text = console.export_text()
    assert "cv log loss" in text
    assert "1234567" in text
    assert "0.0000 ± 0.2500" in text
    assert "-0" not in text
