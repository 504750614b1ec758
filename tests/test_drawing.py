import warnings

import numpy as np
import pytest

from tests.data.made import make_cases
from tsbench.data.collection import Collection
from tsbench.data.dataset_plots import draw_classes, draw_inspection
from tsbench.drawing import legend_text, new_figure, plain
from tsbench.evaluation import prediction_plots

NAMES = ["$x_", "a$b$c", r"$\\frac{", "_hidden", "50 % ^2", "\u82b1\U0001f33b", "Grün\x07"]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_of_a_class_can_be_drawn(tmp_path, name):
    cases = make_cases()
    cases = Collection(cases.values, cases.lengths, np.where(cases.labels == "a", name, "b"))
    classes = cases.classes
    with warnings.catch_warnings(action="error"):  # of glyphs that are missing, and labels that a legend leaves out
        draw_classes(cases, name, tmp_path / "classes.png")
        draw_inspection({"train": cases}, name, tmp_path / "check.png")
        prediction_plots.confusion_matrix(cases.labels, cases.labels, classes).savefig(tmp_path / "confusion.png")
        prediction_plots.accuracies({name: (0.5, 0.1)}, {name: 0.6, "b": 0.4}, name).savefig(tmp_path / "accuracy.png")
    assert len(list(tmp_path.iterdir())) == 4


def test_a_dollar_is_drawn_as_one():
    figure = new_figure(3, 2)
    ax = figure.add_subplot()
    title = ax.set_title("$x$ and $y")
    figure.canvas.draw()
    assert not title.get_parse_math()
    assert title.get_text() == "$x$ and $y"


@pytest.mark.parametrize(
    ("low", "high", "labels"), [(0.01, 100.0, ["0.01", "0.1", "1", "10", "100"]), (2.0, 6.0, ["2", "3", "4", "6"])]
)
def test_a_logarithmic_axis_has_numbers_instead_of_formulas(low, high, labels):
    figure = new_figure(4, 3)
    ax = figure.add_subplot()
    ax.plot([low, high], [1, 2])
    ax.set_xscale("log")
    ax.set_xlim(low, high)
    figure.canvas.draw()
    shown = [label.get_text() for label in ax.get_xticklabels(which="both")]
    assert not [text for text in shown if "$" in text]
    assert set(labels) <= set(shown)


def test_letters_that_no_font_has_are_written_by_their_code_point():
    assert plain("a\x07b") == "a<U+0007>b"
    assert plain("\U0010fffd") == "<U+10FFFD>"
    assert plain("\ue000") == "<U+E000>"
    assert plain("Grün, naïve, 5 µm\nx") == "Grün, naïve, 5 µm\nx"
    assert legend_text("_x") == " _x"
