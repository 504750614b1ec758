"""Fits, scores and saves one baseline; runs in its own process, so it imports neither MLflow nor Optuna."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsbench.bench.model_files import MODEL_FOLDER, ModelFiles, few_of_each_class, write_model_files
from tsbench.classifiers.baselines import Baseline, find_baseline
from tsbench.classifiers.card import CardFacts
from tsbench.classifiers.contract import OutOfFold
from tsbench.classifiers.fitted_baseline import FittedBaseline, packages_of, warm_up
from tsbench.data.adaptation import Adaptation
from tsbench.data.collection import Collection, DataSet
from tsbench.errors import ModelError
from tsbench.evaluation.metrics import mean_scores, score_all
from tsbench.evaluation.resampling import Fold, repeats_of
from tsbench.recipe.schema import BaselinePreprocessingConfig
from tsbench.tracking import names, provenance
from tsbench.workers.protocol import WorkerContext

__all__ = ["BaselineScores", "Keeping", "score_baseline", "scores_on_test"]


@dataclass(frozen=True)
class BaselineScores:
    """The result of a baseline.

    Attributes:
        metrics: CV and test scores, and seconds; empty if it was skipped.
        skipped: why it cannot take these cases; empty if it can.
        remark: a caveat on the seconds; empty if there is none.
        preprocessing: a description of it; empty if the classifier took the cases unchanged.
        time_steps: that every case was given by the preprocessing; 0 if each kept its own.
        model: its files; None if it was not requested, or cannot be saved.
        not_kept: why it cannot be kept; empty if it was, or was not requested.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    skipped: str = ""
    remark: str = ""
    preprocessing: str = ""
    time_steps: int = 0
    model: ModelFiles | None = None
    not_kept: str = ""


@dataclass(frozen=True)
class Keeping:
    """What to keep of a baseline.

    Attributes:
        folder: to which the out-of-fold probabilities are written.
        title: of the data set, for the model card.
        recipe: its name, for the model card.
        model: whether the fitted classifier is written, too.
    """

    folder: Path
    title: str
    recipe: str
    model: bool


def score_baseline(
    context: WorkerContext,
    classifier: str,
    parameters: Mapping[str, Any],
    dataset: DataSet,
    folds: Sequence[Fold],
    seed: int,
    preprocessing: BaselinePreprocessingConfig | None = None,
    keeping: Keeping | None = None,
) -> BaselineScores:
    """Fits a baseline on the training cases and scores it once on the test cases, and on the folds if there are any.

    Args:
        context: of the process; every step is reported to it.
        classifier: a registered name, or an import path.
        parameters: of its constructor.
        dataset: training and test cases.
        folds: of the training cases; none for no CV score.
        seed: of the classifier.
        preprocessing: of cases that the classifier cannot take unchanged; None for none.
        keeping: what to write; None for nothing.
    """
    try:
        baseline = find_baseline(classifier, parameters)
    except SystemExit as error:  # the module exits when it is imported
        raise ImportError(f"importing {classifier} exits the process (SystemExit: {error})") from None
    train, test = dataset.train, dataset.test
    if reason := baseline.refuses(train, test, preprocessing=preprocessing):
        return BaselineScores(skipped=reason)
    needed = None if preprocessing is None else baseline.narrowed(preprocessing, train, test)
    with warnings.catch_warnings(action="ignore"):
        context.send("progress", "compiling")
        remark = _warm_up(baseline, train, needed)
        context.send("progress", "fitting")
        fitted = baseline.fit(train, seed, preprocessing=needed)
        begun = time.perf_counter()
        probabilities = fitted.predict_proba(test)
        metrics = {"fit_seconds": fitted.fit_seconds, "predict_seconds": time.perf_counter() - begun}
        metrics |= scores_on_test(test, probabilities, fitted.classes)
        out_of_fold = fitted.out_of_fold
        if folds:
            context.send("progress", "cross-validating")
            scores, out_of_fold = _cross_validate(baseline, train, folds, seed, needed)
            metrics |= scores
        model, not_kept = None, ""
        if keeping is not None:
            context.send("progress", "saving")
            if out_of_fold is not None:
                out_of_fold.save(keeping.folder / names.OUT_OF_FOLD)
            if keeping.model:
                model, not_kept = _save(fitted, dataset, metrics, keeping)
    scored = BaselineScores(metrics, remark=remark, model=model, not_kept=not_kept)
    if fitted.adaptation is None:
        return scored
    done = fitted.adaptation.describe(train, test)
    return replace(scored, preprocessing=done, time_steps=fitted.adaptation.length)


def _save(
    fitted: FittedBaseline, dataset: DataSet, metrics: Mapping[str, float], keeping: Keeping
) -> tuple[ModelFiles | None, str]:
    """The files of the fitted classifier, or the reason why there are none."""
    requirements = provenance.requirements()
    requirements += [f"{name}=={text}" for name, text in packages_of(fitted.baseline.path, "skops").items()]
    facts = CardFacts(keeping.title, keeping.recipe, None, len(dataset.train), len(dataset.test), metrics, requirements)
    examples = dataset.train.subset(few_of_each_class(dataset.train.labels))
    try:
        return write_model_files(keeping.folder / MODEL_FOLDER, fitted, facts, examples), ""
    except ModelError as error:
        return None, str(error)


def _warm_up(baseline: Baseline, train: Collection, preprocessing: BaselinePreprocessingConfig | None) -> str:
    """A classifier by import path may refuse the synthetic cases; its seconds then include compile time."""
    cases = train if preprocessing is None else Adaptation.fit(train, preprocessing).apply(train)
    try:
        warm_up(baseline, cases)
    except Exception as error:  # a third-party classifier may raise any error
        return f"fit_seconds may include compile time: the warm-up failed ({type(error).__name__}: {error})"
    return ""


def _cross_validate(
    baseline: Baseline,
    cases: Collection,
    folds: Sequence[Fold],
    seed: int,
    preprocessing: BaselinePreprocessingConfig | None,
) -> tuple[dict[str, float], OutOfFold]:
    """Means and standard errors over the folds of the metrics that every fold defines, and the held-out probabilities.

    Preprocessing is fitted on each fold's training cases.
    """
    scores, parts = [], []
    for training, validation in folds:
        fitted = baseline.fit(cases.subset(training), seed, preprocessing=preprocessing)
        held_out = cases.subset(validation)
        probabilities = fitted.predict_proba(held_out)
        scores.append(score_all(held_out.labels, probabilities, fitted.classes))
        parts.append((validation, probabilities, fitted.classes))
    repeats = repeats_of(folds)
    means = {names.cv(metric): value for metric, value in mean_scores(scores, repeats).items()}
    return means, OutOfFold.of_folds(cases.labels, parts[: len(parts) // repeats])


def scores_on_test(test: Collection, probabilities: NDArray[np.float64], classes: NDArray[np.str_]) -> dict[str, float]:
    """Every test score by its name in MLflow."""
    return {names.test(metric): value for metric, value in score_all(test.labels, probabilities, classes).items()}
