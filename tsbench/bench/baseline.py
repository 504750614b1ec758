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
from tsbench.data.adaptation import Adaptation
from tsbench.data.collection import Collection, DataSet
from tsbench.evaluation.metrics import score_all
from tsbench.evaluation.resampling import Fold
from tsbench.recipe.schema import BaselinePreprocessingConfig
from tsbench.tracking import names

__all__ = ["BaselineScores", "score_baseline", "scores_on_test"]


@dataclass(frozen=True)
class BaselineScores:
    """What a baseline achieved.

    Attributes:
        metrics: CV and test scores, and seconds; empty where it was skipped.
        skipped: why it cannot take these cases; empty where it can.
        remark: what is to be known of the seconds; empty where nothing is.
        preprocessing: what was done to the cases first, in words; empty if the classifier took them as they are.
        time_steps: that every case was given by the preprocessing; 0 if each kept its own.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    skipped: str = ""
    remark: str = ""
    preprocessing: str = ""
    time_steps: int = 0


def score_baseline(
    report: Callable[[str], None],
    classifier: str,
    parameters: Mapping[str, Any],
    dataset: DataSet,
    folds: Sequence[Fold],
    seed: int,
    preprocessing: BaselinePreprocessingConfig | None = None,
) -> BaselineScores:
    """Fits a baseline on the training cases and scores it once on the test cases, and on the folds where there are any.

    Args:
        report: told what it is at.
        classifier: a registered name, or an import path.
        parameters: of its constructor.
        dataset: training and test cases.
        folds: of the training cases; none for no CV score.
        seed: of the classifier.
        preprocessing: what may be done to cases that the classifier cannot take as they are; None for nothing.
    """
    try:
        baseline = find_baseline(classifier, parameters)
    except SystemExit as error:  # of a module that ends the process when it is imported
        raise ImportError(f"importing {classifier} ends the process (SystemExit: {error})") from None
    train, test = dataset.train, dataset.test
    if reason := baseline.refuses(train, test, preprocessing=preprocessing):
        return BaselineScores(skipped=reason)
    needed = None if preprocessing is None else baseline.narrowed(preprocessing, train, test)
    with warnings.catch_warnings(action="ignore"):
        report("compiling")
        remark = _warm_up(baseline, train, needed)
        report("fitting")
        fitted = fit_baseline(baseline, train, seed, needed)
        begun = time.perf_counter()
        probabilities = fitted.predict_proba(test)
        metrics = {"fit_seconds": fitted.fit_seconds, "predict_seconds": time.perf_counter() - begun}
        metrics |= scores_on_test(test, probabilities, fitted.classes)
        if folds:
            report("cross-validating")
            metrics |= _cross_validate(baseline, train, folds, seed, needed)
    if fitted.adaptation is None:
        return BaselineScores(metrics, remark=remark)
    done = fitted.adaptation.describe(train, test)
    return BaselineScores(metrics, remark=remark, preprocessing=done, time_steps=fitted.adaptation.length)


def _warm_up(baseline: Baseline, train: Collection, preprocessing: BaselinePreprocessingConfig | None) -> str:
    """A classifier by import path need not take the made-up cases; then its seconds hold the compile time."""
    cases = train if preprocessing is None else Adaptation.fit(train, preprocessing).apply(train)
    try:
        warm_up(baseline, cases)
    except Exception as error:  # a third party's classifier may raise anything
        return f"fit_seconds may hold compile time: the warm-up failed ({type(error).__name__}: {error})"
    return ""


def _cross_validate(
    baseline: Baseline,
    cases: Collection,
    folds: Sequence[Fold],
    seed: int,
    preprocessing: BaselinePreprocessingConfig | None,
) -> dict[str, float]:
    """Mean over the folds of each metric that every fold defines; preprocessing is fitted on each fold's training."""
    scores = []
    for training, validation in folds:
        fitted = fit_baseline(baseline, cases.subset(training), seed, preprocessing)
        held_out = cases.subset(validation)
        scores.append(score_all(held_out.labels, fitted.predict_proba(held_out), fitted.classes))
    common = [metric for metric in scores[0] if all(metric in one for one in scores)]
    return {names.cv(metric): float(np.mean([one[metric] for one in scores])) for metric in common}


def scores_on_test(test: Collection, probabilities: NDArray[np.float64], classes: NDArray[np.str_]) -> dict[str, float]:
    """Every test score by its name in MLflow."""
    return {names.test(metric): value for metric, value in score_all(test.labels, probabilities, classes).items()}
