"""Scores of predicted class probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tsbench.recipe.schema import METRICS

__all__ = ["MAXIMISED", "calibration_bins", "score", "score_all"]

MAXIMISED = {metric: metric != "log_loss" for metric in METRICS}
"""Whether more of a metric is better."""


def score(
    metric: str, labels: NDArray[np.str_], probabilities: NDArray[np.floating], classes: NDArray[np.str_]
) -> float:
    """One score of the predictions.

    Args:
        metric: accuracy, balanced_accuracy, f1_macro, log_loss (natural logarithm), or roc_auc (one against the
            rest, the mean over the classes that occur among the labels).
        labels: shape (cases,), the true labels.
        probabilities: shape (cases, classes), rows summing to 1.
        classes: shape (classes,), the class of each column; a true label outside it counts as predicted wrongly
            with probability 0.

    Returns:
        The score; roc_auc is NaN where the labels are all of one class.

    Raises:
        ValueError: an unknown metric, or probabilities that are not finite.
    """
    from sklearn import metrics

    if not np.isfinite(probabilities).all():
        raise ValueError("the predicted probabilities are not all finite")
    predicted = classes[probabilities.argmax(axis=1)]
    match metric:
        case "accuracy":
            return float((predicted == labels).mean())
        case "balanced_accuracy":
            occurring = np.unique(labels)
            return float(np.mean([(predicted[labels == label] == label).mean() for label in occurring]))
        case "f1_macro":
            return float(metrics.f1_score(labels, predicted, average="macro", zero_division=0.0))
        case "log_loss":
            return _log_loss(labels, probabilities, classes)
        case "roc_auc":
            return _roc_auc(labels, probabilities, classes)
    raise ValueError(f"unknown metric {metric!r}")


def score_all(
    labels: NDArray[np.str_], probabilities: NDArray[np.floating], classes: NDArray[np.str_]
) -> dict[str, float]:
    """Every score by its name; those that are not defined for these labels are left out."""
    scores = {metric: score(metric, labels, probabilities, classes) for metric in METRICS}
    return {metric: value for metric, value in scores.items() if np.isfinite(value)}


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


def _log_loss(labels: NDArray[np.str_], probabilities: NDArray[np.floating], classes: NDArray[np.str_]) -> float:
    p = np.asarray(probabilities, dtype=np.float64)
    p = np.clip(p / p.sum(axis=1, keepdims=True), np.finfo(np.float64).eps, 1.0)
    of_truth = np.where(labels[:, None] == classes, p, 0.0).sum(axis=1)
    return float(-np.log(np.maximum(of_truth, np.finfo(np.float64).eps)).mean()) + 0.0  # 0.0, not -0.0, if perfect


def _roc_auc(labels: NDArray[np.str_], probabilities: NDArray[np.floating], classes: NDArray[np.str_]) -> float:
    from sklearn.metrics import roc_auc_score

    truth = labels[:, None] == classes
    defined = truth.any(axis=0) & ~truth.all(axis=0)
    if not defined.any():
        return float("nan")
    return float(np.mean([roc_auc_score(truth[:, k], probabilities[:, k]) for k in np.flatnonzero(defined)]))
