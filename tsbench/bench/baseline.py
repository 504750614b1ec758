"""Fits and scores one baseline; runs in a process of its own, so it imports neither MLflow nor Optuna."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsbench.classifiers.baselines import Baseline, find_baseline, fit_baseline, warm_up
from tsbench.data.collection import Collection, DataSet
from tsbench.evaluation.metrics import score_all
from tsbench.evaluation.resampling import Fold
from tsbench.tracking import names

__all__ = ["BaselineScores", "score_baseline", "scores_on_test"]


@dataclass(frozen=True)
class BaselineScores:
    """What a baseline achieved.

    Attributes:
        metrics: CV and test scores, and seconds; empty where it was skipped.
        skipped: why it cannot take these cases; empty where it can.
        remark: what is to be known of the seconds; empty where nothing is.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    skipped: str = ""
    remark: str = ""


def score_baseline(
    report: Callable[[str], None],
    classifier: str,
    parameters: Mapping[str, Any],
    dataset: DataSet,
    folds: Sequence[Fold],
    seed: int,
) -> BaselineScores:
    """Fits a baseline on the training cases and scores it once on the test cases, and on the folds where there are any.

    Args:
        report: told what it is at.
        classifier: a registered name, or an import path.
        parameters: of its constructor.
        dataset: training and test cases.
        folds: of the training cases; none for no CV score.
        seed: of the classifier.
    """
    baseline = find_baseline(classifier, parameters)
    train, test = dataset.train, dataset.test
    if reason := baseline.refuses(train, test):
        return BaselineScores(skipped=reason)
    with warnings.catch_warnings(action="ignore"):
        report("compiling")
        remark = _warm_up(baseline, train)
        report("fitting")
        fitted = fit_baseline(baseline, train, seed)
        begun = time.perf_counter()
        probabilities = fitted.predict_proba(test)
        metrics = {"fit_seconds": fitted.fit_seconds, "predict_seconds": time.perf_counter() - begun}
        metrics |= scores_on_test(test, probabilities, fitted.classes)
        if folds:
            report("cross-validating")
            metrics |= _cross_validate(baseline, train, folds, seed)
    return BaselineScores(metrics, remark=remark)


def _warm_up(baseline: Baseline, train: Collection) -> str:
    """A classifier by import path need not take the made-up cases; then its seconds hold the compile time."""
    try:
        warm_up(baseline, train)
    except Exception as error:  # a third party's classifier may raise anything
        return f"fit_seconds may hold compile time: the warm-up failed ({type(error).__name__}: {error})"
    return ""


def _cross_validate(baseline: Baseline, cases: Collection, folds: Sequence[Fold], seed: int) -> dict[str, float]:
    """Mean over the folds of each metric that every fold defines."""
    scores = []
    for training, validation in folds:
        fitted = fit_baseline(baseline, cases.subset(training), seed)
        held_out = cases.subset(validation)
        scores.append(score_all(held_out.labels, fitted.predict_proba(held_out), fitted.classes))
    common = [metric for metric in scores[0] if all(metric in one for one in scores)]
    return {names.cv(metric): float(np.mean([one[metric] for one in scores])) for metric in common}


def scores_on_test(test: Collection, probabilities: NDArray[np.float64], classes: NDArray[np.str_]) -> dict[str, float]:
    """Every test score by its name in MLflow."""
    return {names.test(metric): value for metric, value in score_all(test.labels, probabilities, classes).items()}
