"""Scores of predicted class probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tsbench.recipe.registries import METRICS, registered

__all__ = [
    "MAXIMISED",
    "calibration_bins",
    "error_name",
    "format_score",
    "mean_scores",
    "score",
    "score_all",
    "standard_error",
]

Labels = NDArray[np.str_]
Probabilities = NDArray[np.floating]

MAXIMISED = {metric: metric != "log_loss" for metric in METRICS}
"""Whether higher values of a metric are better."""


def score(metric: str, labels: Labels, probabilities: Probabilities, classes: Labels) -> float:
    """One score of the predictions.

    Args:
        metric: accuracy, balanced_accuracy, f1_macro, log_loss (natural logarithm), or roc_auc (one against the
            rest, the mean over the classes that occur among the labels).
        labels: shape (cases,), the true labels.
        probabilities: shape (cases, classes), rows summing to 1.
        classes: shape (classes,), the class of each column; a true label outside it counts as predicted wrongly
            with probability 0.

    Returns:
        The score; roc_auc is NaN if the labels are all of one class.

    Raises:
        ValueError: an unknown metric, or probabilities that are not finite.
    """
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric!r}")
    if not np.isfinite(probabilities).all():
        raise ValueError("the predicted probabilities are not all finite")
    return float(registered(METRICS, metric)(labels, probabilities, classes))


def score_all(labels: Labels, probabilities: Probabilities, classes: Labels) -> dict[str, float]:
    """Every score by its name, except those that are not defined for these labels."""
    scores = {metric: score(metric, labels, probabilities, classes) for metric in METRICS}
    return {metric: value for metric, value in scores.items() if np.isfinite(value)}


def error_name(name: str) -> str:
    """The name of a score's standard error."""
    return f"{name}_se"


def standard_error(scores: Sequence[float] | NDArray[np.float64], repeats: int = 1) -> float:
    """Standard error of the mean of one score for each fold: their standard deviation by the root of their number.

    Args:
        scores: shape (folds,).
        repeats: how often the folds hold out each case. Repeats validate on the same cases, so that they make the
            standard deviation surer and the number of folds no larger: it is that of one repeat.

    Returns:
        NaN of fewer than two folds, or if a score is NaN.

    Examples:
        >>> standard_error([0.9, 0.95, 1.0])
        0.02886751345948128
    """
    if len(scores) < 2:
        return float("nan")
    return float(np.std(scores, ddof=1) / np.sqrt(len(scores) / repeats))


def mean_scores(folds: Sequence[Mapping[str, float]], repeats: int = 1) -> dict[str, float]:
    """Mean over the folds of each metric that every fold defines, with its standard error under `<metric>_se`.

    Args:
        folds: for each fold its scores by metric.
        repeats: as in `standard_error`. A single fold has no standard error.
    """
    found: dict[str, float] = {}
    for metric in [name for name in folds[0] if all(name in fold for fold in folds)]:
        scores = [fold[metric] for fold in folds]
        found[metric] = float(np.mean(scores))
        if len(scores) > 1:
            found[error_name(metric)] = standard_error(scores, repeats)
    return found


def format_score(value: float, error: float | None = None) -> str:
    """A score with its standard error if that is known: `0.9512 ± 0.0105`."""
    text = f"{value:.4f}"
    text = text.removeprefix("-") if float(text) == 0 else text
    return text if error is None else f"{text} ± {error:.4f}"


def accuracy(labels: Labels, probabilities: Probabilities, classes: Labels) -> float:
    """Share of the cases whose most probable class is the true one."""
    return float((classes[probabilities.argmax(axis=1)] == labels).mean())


def balanced_accuracy(labels: Labels, probabilities: Probabilities, classes: Labels) -> float:
    """Mean of the accuracies on each class that occurs."""
    right = classes[probabilities.argmax(axis=1)] == labels
    return float(np.mean([right[labels == label].mean() for label in np.unique(labels)]))


def f1_macro(labels: Labels, probabilities: Probabilities, classes: Labels) -> float:
    """Mean of the F1 scores of the classes that occur or are predicted."""
    from sklearn.metrics import f1_score

    return float(f1_score(labels, classes[probabilities.argmax(axis=1)], average="macro", zero_division=0.0))


def log_loss(labels: Labels, probabilities: Probabilities, classes: Labels) -> float:
    """Mean of the negative natural logarithms of the true classes' probabilities."""
    p = np.asarray(probabilities, dtype=np.float64)
    p = np.clip(p / p.sum(axis=1, keepdims=True), np.finfo(np.float64).eps, 1.0)
    of_truth = np.where(labels[:, None] == classes, p, 0.0).sum(axis=1)
    return float(-np.log(np.maximum(of_truth, np.finfo(np.float64).eps)).mean()) + 0.0  # 0.0, not -0.0, if perfect


def roc_auc(labels: Labels, probabilities: Probabilities, classes: Labels) -> float:
    """Mean area under the ROC curve of each class that occurs against the rest; NaN if all cases are of one class."""
    from sklearn.metrics import roc_auc_score

    truth = labels[:, None] == classes
    defined = truth.any(axis=0) & ~truth.all(axis=0)
    if not defined.any():
        return float("nan")
    return float(np.mean([roc_auc_score(truth[:, k], probabilities[:, k]) for k in np.flatnonzero(defined)]))


def calibration_bins(
    confidence: NDArray[np.float64], right: NDArray[np.bool_], bins: int = 10
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], float]:
    """Cases, mean confidence and accuracy of each bin of equal width, and the expected calibration error.

    The error is the mean over cases of the gap between their bin's accuracy and mean confidence (Guo et al., On
    Calibration of Modern Neural Networks, 2017). A bin without cases has NaN.

    Args:
        confidence: shape (cases,), probability of the predicted label.
        right: shape (cases,), whether that label is the true one.
        bins: between 0 and 1.
    """
    bin_of = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    counts = np.bincount(bin_of, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(bin_of, confidence, bins) / counts
        accuracy = np.bincount(bin_of, right, bins) / counts
    gap = float(np.nansum(counts * np.abs(mean - accuracy)) / max(1, len(confidence)))
    return counts, mean, accuracy, gap
