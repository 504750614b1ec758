from pathlib import Path

import numpy as np
import pytest

from tsbench.evaluation import prediction_plots
from tsbench.evaluation.metrics import calibration_bins


def pixels(figure, path: Path):
    from PIL import Image

    figure.savefig(path)
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def test_calibration_bins_and_error_against_a_sum_by_hand():
    confidence = np.array([0.55, 0.58, 0.92, 1.0])
    right = np.array([True, False, True, True])
    counts, mean, accuracy, gap = calibration_bins(confidence, right)
    assert counts.tolist() == [0, 0, 0, 0, 0, 2, 0, 0, 0, 2]
    assert mean[5] == pytest.approx(0.565)
    assert accuracy[[5, 9]].tolist() == [0.5, 1.0]
    assert np.isnan(mean[0])
    assert gap == pytest.approx((2 * 0.065 + 2 * 0.04) / 4)


def test_the_confusion_matrix_counts_true_labels_down_and_predicted_across(tmp_path):
    labels, predicted = np.array(["a", "a", "a", "b", "c"]), np.array(["a", "a", "b", "b", "a"])
    figure = prediction_plots.confusion_matrix(labels, predicted, np.array(["a", "b"]))
    (ax, _) = figure.axes
    written = {(text.get_position()[1], text.get_position()[0]): text.get_text() for text in ax.texts}
    assert written == {(0, 0): "2", (0, 1): "1", (1, 1): "1", (2, 0): "1"}
    np.testing.assert_allclose(ax.images[0].get_array(), [[2 / 3, 1 / 3], [0, 1], [1, 0]])
    assert [text.get_text() for text in ax.get_yticklabels()] == ["a", "b", "c"]
    assert ax.get_title(loc="left") == "3 of 5 test cases correct"
    assert pixels(figure, tmp_path / "matrix.png").std() > 10


def test_a_confusion_matrix_of_many_classes_leaves_its_counts_out(tmp_path):
    labels = np.array([f"class {number:02d}" for number in range(40)])
    figure = prediction_plots.confusion_matrix(labels, labels, labels)
    assert len(figure.axes[0].texts) == 0
    assert max(pixels(figure, tmp_path / "matrix.png").shape) < 1500


def test_the_reliability_diagram_shows_each_bin_that_has_cases(tmp_path):
    probabilities = np.array([[0.55, 0.45], [0.42, 0.58], [0.05, 0.95]])
    figure = prediction_plots.reliability_diagram(np.array(["a", "a", "b"]), probabilities, np.array(["a", "b"]))
    line = figure.axes[0].lines[1]
    np.testing.assert_allclose(line.get_xydata(), [[0.565, 0.5], [0.95, 1.0]])
    assert "0.060" in figure.axes[0].get_title(loc="left")
    assert pixels(figure, tmp_path / "diagram.png").std() > 5


def test_learning_curves_show_every_fold_and_their_mean(tmp_path):
    folds = [
        prediction_plots.FoldCurves([(1, 3.0), (2, 1.0)], [(2, 0.5)]),
        prediction_plots.FoldCurves([(1, 1.0), (2, 1.0)], [(2, 0.7)]),
    ]
    figure = prediction_plots.learning_curves(folds, "f1_macro", "trial 1")
    left, right = figure.axes
    assert [line.get_ydata().tolist() for line in left.lines] == [[3.0, 1.0], [1.0, 1.0], [2.0, 1.0]]
    assert right.lines[-1].get_ydata() == pytest.approx([0.6])
    assert right.get_ylabel() == "validation f1 macro"
    assert pixels(figure, tmp_path / "curves.png").std() > 5


def test_accuracies_are_sorted_and_the_network_stands_out(tmp_path):
    figure = prediction_plots.accuracies({"network": (0.9, 0.01)}, {"network": 0.8, "dummy": 0.5, "x": 0.85}, "network")
    (ax,) = figure.axes
    assert [text.get_text() for text in ax.get_yticklabels()] == ["dummy", "network", "x"]
    assert len({bar.get_facecolor() for bar in ax.patches}) == 2
    assert [text.get_text() for text in ax.texts] == ["0.5000", "0.8000", "0.8500"]
    assert pixels(figure, tmp_path / "bars.png").std() > 5
