"""Plots of a classifier's predictions; each function returns a matplotlib figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tsbench.drawing import new_figure, plain
from tsbench.evaluation.metrics import calibration_bins

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FoldCurves", "accuracies", "confusion_matrix", "learning_curves", "reliability_diagram"]

BLUE, ORANGE, GREY = (
    "#0072B2",
    "#D55E00",
    "#777777",
)  # from Okabe and Ito's palette: distinguishable with colour blindness
MAX_NUMBERED = 30
"""Classes up to which a confusion matrix has its counts written in."""


@dataclass(frozen=True)
class FoldCurves:
    """One fold of a trial: by epoch its training loss, and the searched metric on its validation part."""

    train_loss: Sequence[tuple[int, float]]
    score: Sequence[tuple[int, float]]


def confusion_matrix(labels: NDArray[np.str_], predicted: NDArray[np.str_], classes: NDArray[np.str_]) -> Figure:
    """True labels down, predicted ones across; the shade is the share of the true label's cases.

    Args:
        labels: shape (cases,), true labels; one that is not among the classes has its own row.
        predicted: shape (cases,), predicted labels.
        classes: shape (classes,), sorted labels.
    """
    rows = np.union1d(classes, labels)
    counts = np.zeros((len(rows), len(classes)), dtype=int)
    np.add.at(counts, (np.searchsorted(rows, labels), np.searchsorted(classes, predicted)), 1)
    shares = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    side = min(10.0, 2.6 + 0.42 * len(classes))
    figure = _figure(side + 0.8, side)
    ax = figure.add_subplot()
    image = ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if len(rows) <= MAX_NUMBERED:
        size = max(5.0, min(10.0, 150 / len(rows)))
        for (row, column), count in np.ndenumerate(counts):
            if count:
                colour = "white" if shares[row, column] > 0.5 else "black"
                ax.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=size)
    turned = 90 if max(map(len, map(str, classes))) > 2 or len(classes) > 15 else 0
    ax.set_xticks(range(len(classes)), [plain(name) for name in classes], rotation=turned)
    ax.set_yticks(range(len(rows)), [plain(name) for name in rows])
    ax.set_xlabel("predicted label")
    ax.set_ylabel("true label")
    right = int((labels == predicted).sum())
    ax.set_title(f"{right} of {len(labels)} test cases correct", loc="left")
    figure.colorbar(image, ax=ax, label="share of the true label's cases", fraction=0.046, pad=0.04)
    return figure


def reliability_diagram(
    labels: NDArray[np.str_], probabilities: NDArray[np.float64], classes: NDArray[np.str_]
) -> Figure:
    """The accuracy of labels by predicted probability; below, the number of cases."""
    confidence = probabilities.max(axis=1)
    right = classes[probabilities.argmax(axis=1)] == labels
    counts, mean, accuracy, gap = calibration_bins(confidence, right)
    figure = _figure(5.2, 5.6)
    ax, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    ax.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="probability and accuracy agree")
    there = counts > 0
    ax.plot(mean[there], accuracy[there], color=BLUE, marker="o", label="test cases, by probability")
    ax.set_ylim(-0.02, 1.02)
    ax.set_xlim(0, 1)
    ax.set_ylabel("share of correct predictions")
    ax.legend(loc="upper left", frameon=False)
    ax.set_title(f"Expected calibration error {gap:.3f}", loc="left")
    edges = np.linspace(0, 1, len(counts) + 1)
    below.stairs(counts, edges, fill=True, color=BLUE)
    below.set_ylabel("cases")
    below.set_xlabel("probability of the predicted label")
    return figure


def learning_curves(folds: Sequence[FoldCurves], metric: str, title: str) -> Figure:
    """Training loss and validation score of each fold by epoch, and the score's mean."""
    figure = _figure(9, 3.6)
    left, right = figure.subplots(1, 2)
    for number, fold in enumerate(folds, 1):
        shade = 0.9 - 0.5 * number / len(folds)
        for ax, curve in ((left, fold.train_loss), (right, fold.score)):
            ax.plot(*zip(*curve, strict=True), color=str(shade), linewidth=1.2, marker="." if len(curve) < 15 else "")
    for ax, curves, name in (
        (left, [fold.train_loss for fold in folds], "training loss"),
        (right, [fold.score for fold in folds], f"validation {metric.replace('_', ' ')}"),
    ):
        epochs = [epoch for epoch, _ in curves[0]]
        mean = np.mean([[value for _, value in curve] for curve in curves], axis=0)
        ax.plot(epochs, mean, color=BLUE, linewidth=2, label=f"mean of {len(folds)} folds")
        ax.set_xlabel("epoch")
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.set_ylabel(name)
    right.legend(frameon=False)
    left.set_title(plain(title), loc="left")
    return figure


def accuracies(cv: Mapping[str, tuple[float, float]], test: Mapping[str, float], highlighted: str) -> Figure:
    """Test accuracy of each classifier as a bar, the best on top, beside its accuracy on the validation folds.

    Args:
        cv: for each classifier its accuracy on the folds and its standard error, 0 if unknown.
        test: accuracy of each classifier on the test cases.
        highlighted: the classifier that stands out.
    """
    order = sorted(test, key=lambda name: test[name])
    figure = _figure(7, 1.2 + 0.36 * len(order))
    ax = figure.add_subplot()
    colours = [BLUE if name == highlighted else "#BBBBBB" for name in order]
    ax.barh(range(len(order)), [test[name] for name in order], color=colours, height=0.6)
    for row, name in enumerate(order):
        ax.text(max(test[name], sum(cv.get(name, (0, 0)))) + 0.015, row, f"{test[name]:.4f}", va="center", fontsize=9)
    folded = [(*cv[name], row) for row, name in enumerate(order) if name in cv]
    if folded:
        scores, errors, rows = zip(*folded, strict=True)
        ax.errorbar(scores, rows, xerr=errors, fmt="none", ecolor=ORANGE, elinewidth=1.2, capsize=3)
        ax.scatter(scores, rows, color=ORANGE, marker="|", s=160, linewidths=2.2, label="validation folds")
        ax.legend(loc="upper left", bbox_to_anchor=(0, -0.12 - 0.5 / len(order)), frameon=False)
    ax.set_yticks(range(len(order)), [plain(name) for name in order])
    ax.set_xlim(0, 1.12)
    ax.set_xlabel("test accuracy")
    return figure


def _figure(width: float, height: float) -> Figure:
    return new_figure(width, height, dpi=110, layout="constrained")
