import io
from xml.etree import ElementTree

import numpy as np
import pytest

from tests.comparisons.made_up import DATASETS, made_up
from tsbench.comparisons.comparison import Comparison
from tsbench.comparisons.pair_plots import _lanes
from tsbench.comparisons.plots import PICTURES, _apart, render, save_pictures
from tsbench.comparisons.published import load_reference
from tsbench.comparisons.results import Result, Results

TWENTY = tuple(f"a classifier {number}" for number in range(20))


@pytest.fixture(scope="module")
def comparison():
    return Comparison(made_up(resamples=3))


@pytest.fixture(scope="module")
def crowded():
    return Comparison(made_up(TWENTY, resamples=3))


def texts(figure):
    """Every text of a figure that is shown."""
    import matplotlib.text

    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text() and text.get_visible()]


def test_every_picture_is_written_as_png_and_svg(comparison, tmp_path):
    files = save_pictures(comparison, tmp_path / "new" / "figures")
    assert sorted(file.name for file in files) == sorted(
        f"{name}.{form}" for name in PICTURES for form in ("png", "svg")
    )
    for file in files:
        if file.suffix == ".png":
            assert file.read_bytes().startswith(b"\x89PNG")
        else:
            assert ElementTree.parse(file).getroot().tag.endswith("svg")


@pytest.mark.parametrize("name", PICTURES)
def test_every_picture_names_every_classifier_and_the_protocol(name, comparison):
    shown = " ".join(texts(PICTURES[name].draw(comparison)))
    for classifier in comparison.classifiers:
        assert classifier in shown
    assert "Mean accuracy over 3 resamples of each data set; 10 data sets." in shown


@pytest.mark.parametrize("name", PICTURES)
def test_no_two_labels_of_twenty_classifiers_overlap(name, crowded):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = PICTURES[name].draw(crowded)
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    import matplotlib.text

    boxes = [
        (label.get_text(), label.get_window_extent(renderer))
        for label in figure.findobj(matplotlib.text.Text)
        if "a classifier" in label.get_text() and label.get_rotation() == 0
    ]
    assert len(boxes) >= 20 or name == "pairwise_scatter"
    width, height = figure.bbox.width, figure.bbox.height
    for number, (text, box) in enumerate(boxes):
        assert box.x0 >= 0, text
        assert box.x1 <= width, text
        assert box.y0 >= 0, text
        assert box.y1 <= height, text
        for other, at in boxes[:number]:
            overlap_x = min(box.x1, at.x1) - max(box.x0, at.x0)
            overlap_y = min(box.y1, at.y1) - max(box.y0, at.y0)
            assert overlap_x <= 1 or overlap_y <= 1, (text, other)


def test_figures_of_others_are_marked_in_every_picture():
    published = load_reference("published")
    comparison = Comparison(made_up(resamples=30), (published,), only=("network", "minirocket", "HC2"))
    for name in ("critical_difference", "comparison_matrix", "pairwise_scatter"):
        shown = " ".join(texts(PICTURES[name].draw(comparison)))
        assert "HC2\u2020" in shown
        assert "\u2020 published, not run here" in shown


def test_the_same_comparison_gives_the_same_bytes(comparison):
    for form in ("svg", "png"):
        first, second = (render(PICTURES["critical_difference"].draw(comparison), form) for _ in range(2))
        assert first == second


def test_pictures_show_the_p_values_of_the_tables(comparison):
    shown = " ".join(texts(PICTURES["comparison_matrix"].draw(comparison)))
    for standing in comparison.standings:
        if standing.wins is not None:
            assert f"{standing.p:.3f}" in shown


def one_resample(rows):
    return Comparison(
        Results("few", tuple(Result(d, c, 0, "complete", {"test_accuracy": a}, "", "run") for d, c, a in rows))
    )


@pytest.mark.parametrize(
    ("rows", "lacking"),
    [
        ([], set(PICTURES)),
        ([("A", "network", 0.5)], set(PICTURES)),
        ([("A", "network", 0.5), ("B", "dummy", 0.5)], set(PICTURES)),
        ([("A", "network", 0.5), ("A", "dummy", 0.5)], {"accuracy_against_time", "resample_boxes"}),
    ],
)
def test_what_cannot_be_drawn_says_why(rows, lacking):
    comparison = one_resample(rows)
    assert {name for name, picture in PICTURES.items() if picture.lacks(comparison)} == lacking
    for name in set(PICTURES) - lacking:
        render(PICTURES[name].draw(comparison), "png")


def test_all_equal_scores_can_be_drawn():
    comparison = one_resample([(name, classifier, 0.5) for name in DATASETS for classifier in TWENTY[:5]])
    for picture in PICTURES.values():
        if not picture.lacks(comparison):
            image = render(picture.draw(comparison), "png")
            assert _share_of_ink(image) > 0.001


def _share_of_ink(png):
    from matplotlib.image import imread

    return float((imread(io.BytesIO(png))[..., :3].min(axis=2) < 0.5).mean())


def test_bars_that_meet_lie_on_different_lines():
    assert _lanes([(1, 3), (2, 5), (4, 6), (7, 8)]) == [0, 1, 0, 0]
    assert _lanes([]) == []


def test_labels_keep_apart_and_in_order():
    places = _apart([0.9, 0.9, 0.89, 0.2, 0.19], 0.1)
    assert np.all(np.diff(places) <= -0.1 + 1e-9)
    assert max(places) <= 1
    crowded = _apart([0.5] * 30, 0.1)
    assert min(crowded) >= -1e-9
    assert max(crowded) <= 1 + 1e-9
