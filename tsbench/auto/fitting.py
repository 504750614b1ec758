"""Fits one candidate in a process that may be ended at any moment, so every result is sent at once."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tsbench.auto.portfolio import Candidate
from tsbench.classifiers.baselines import Baseline
from tsbench.classifiers.contract import Classifier, FittedClassifier
from tsbench.data.collection import Collection
from tsbench.evaluation.resampling import Fold
from tsbench.recipe.schema import BaselinePreprocessingConfig
from tsbench.workers.protocol import WorkerContext

__all__ = ["FoldFit", "WholeFit", "fit_candidate"]

TIMED = 100
"""Number of training cases that are predicted to measure the prediction time."""


@dataclass(frozen=True)
class WholeFit:
    """A classifier that was fitted on all training cases.

    Attributes:
        classifier: with out-of-fold probabilities if its fit gives them.
        seconds: of the fit.
        predict_seconds: for predicting 100 cases.
    """

    classifier: FittedClassifier
    seconds: float
    predict_seconds: float


@dataclass(frozen=True)
class FoldFit:
    """The result of a fit without one fold.

    Attributes:
        number: of the fold.
        probabilities: shape (cases of the fold, classes), of the cases held out; none for a fit on all cases.
        classes: shape (classes,), of the columns.
        seconds: of the fit.
        predict_seconds: for predicting 100 cases.
        classifier: if it votes itself; otherwise None.
    """

    number: int
    probabilities: NDArray[np.float64]
    classes: NDArray[np.str_]
    seconds: float
    predict_seconds: float
    classifier: FittedClassifier | None = None


def fit_candidate(
    context: WorkerContext,
    candidate: Candidate,
    cases: Collection,
    folds: Sequence[tuple[int, Fold]],
    seed: int,
    preprocessing: BaselinePreprocessingConfig | None,
    device: str,
) -> None:
    """Fits a candidate on all cases, unless it is bagged, then without each fold; sends `WholeFit` and `FoldFit`.

    A fold of a bagged candidate may hold nothing out: then its classifier votes, and is not scored.

    Args:
        context: of the process.
        candidate: to fit.
        cases: the training cases.
        folds: with their numbers; those of a candidate in closed form are not used.
        seed: of the candidate; each fold of a bagged one has its own seed.
        preprocessing: for a baseline that cannot take the cases unchanged; None for none.
        device: of networks; that of the process is the CPU, as baselines run there.

    Raises:
        ValueError: a prediction is not finite.
    """
    classifier = candidate.make(device)
    some = cases.subset(np.arange(min(TIMED, len(cases))))
    with warnings.catch_warnings(action="ignore"):
        if not candidate.bagged:
            fitted, seconds = _fit(classifier, cases, seed, preprocessing)
            context.send("progress", WholeFit(fitted, seconds, _predict(fitted, some)[1]))
            if candidate.closed_form and fitted.out_of_fold is not None:
                return
        for number, (training, held_out) in folds:
            chosen = seed + number if candidate.bagged else seed
            fitted, seconds = _fit(classifier, cases.subset(training), chosen, preprocessing)
            probabilities, predict_seconds = _predict(fitted, cases.subset(held_out) if len(held_out) else some)
            probabilities = probabilities[: len(held_out)]
            kept = fitted if candidate.bagged else None
            context.send("progress", FoldFit(number, probabilities, fitted.classes, seconds, predict_seconds, kept))


def _fit(
    classifier: Classifier, cases: Collection, seed: int, preprocessing: BaselinePreprocessingConfig | None
) -> tuple[FittedClassifier, float]:
    started = time.perf_counter()
    if isinstance(classifier, Baseline):
        fitted: FittedClassifier = classifier.fit(cases, seed, preprocessing=preprocessing)
    else:
        fitted = classifier.fit(cases, seed)
    return fitted, time.perf_counter() - started


def _predict(fitted: FittedClassifier, cases: Collection) -> tuple[NDArray[np.float64], float]:
    started = time.perf_counter()
    probabilities = fitted.predict_proba(cases)
    seconds = (time.perf_counter() - started) * 100 / max(1, len(cases))
    if not np.isfinite(probabilities).all():
        raise ValueError("its predicted probabilities are not all finite")
    return probabilities, seconds
