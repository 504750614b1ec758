"""Cross-validates one configuration, its folds advancing together."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from tsbench.classifiers.network import encode
from tsbench.data.collection import TrainingSet
from tsbench.data.preprocessing import Preprocessing
from tsbench.evaluation.metrics import score, score_all
from tsbench.evaluation.resampling import Fold
from tsbench.recipe.schema import HyperparameterConfig, SearchConfig
from tsbench.search.study import derive_seed, folds_of
from tsbench.training.trainer import Job, Series, fixed_features, predict_probabilities, train

__all__ = ["CrossValidation", "rungs"]

RUNGS = 10


def rungs(epochs: int) -> set[int]:
    """The epochs after which the folds are scored: about ten, evenly spread, the last among them."""
    return {round(epochs * (rung + 1) / min(RUNGS, epochs)) for rung in range(min(RUNGS, epochs))}


@dataclass
class _FoldJob:
    """One fold: the job that trains on its training part, and its validation part.

    Normalisation and label encoding are fitted on the training part alone.
    """

    job: Job
    classes: NDArray[np.str_]
    series: Series
    labels: NDArray[np.str_]
    features: Tensor | None = None
    prepared: bool = False

    @classmethod
    def make(cls, training: TrainingSet, fold: Fold, preprocessing: HyperparameterConfig, seed: int) -> _FoldJob:
        train_part, validation_part = (training.cases.subset(indices) for indices in fold)
        prepared = Preprocessing.fit(train_part, preprocessing.preprocessing)
        classes = train_part.classes
        series = Series(prepared.apply(train_part), prepared.lengths(train_part))
        job = Job(series, encode(train_part.labels, classes), len(classes), seed)
        validation = Series(prepared.apply(validation_part), prepared.lengths(validation_part))
        return cls(job, classes, validation, validation_part.labels)

    def probabilities(self) -> NDArray[np.float32]:
        """Of the validation part, by the network as it is now; what training does not change is computed once."""
        network = self.job.network
        assert network is not None
        if not self.prepared:
            self.features, self.prepared = fixed_features(network, self.series), True
        return predict_probabilities(network, self.series, features=self.features)


@dataclass
class CrossValidation:
    """A configuration under cross-validation; the curves and scores of its folds as they come.

    Attributes:
        scores: mean over the folds of each metric, under its own name; filled when training has ended.
        curves: `train_loss`, `learning_rate` by epoch, and `cv_<metric>` of the searched metric by rung.
        fold_scores: of the searched metric, for each fold by rung.
        fold_losses: training loss, for each fold by epoch.
        seconds: that it took.
    """

    training: TrainingSet
    hyperparameters: HyperparameterConfig
    search: SearchConfig
    seed: int
    device: str = "cpu"
    scores: dict[str, float] = field(default_factory=dict)
    curves: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    fold_scores: list[list[tuple[int, float]]] = field(default_factory=list)
    fold_losses: list[list[tuple[int, float]]] = field(default_factory=list)
    seconds: float = 0.0

    def run(
        self,
        on_rung: Callable[[int, float], None] | None = None,
        on_epoch: Callable[[int], None] | None = None,
    ) -> None:
        """Trains all folds in lockstep.

        Args:
            on_rung: called with the epoch and the mean over folds of the searched metric; may raise to end the trial.
            on_epoch: called with each epoch; may raise too.

        Raises:
            DivergedError: a training loss is NaN or infinite.
        """
        started = time.perf_counter()
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # said once, by whoever began the study
            folds = folds_of(self.training, self.search, self.seed)
        jobs = [
            _FoldJob.make(self.training, fold, self.hyperparameters, derive_seed(self.seed, 1, number))
            for number, fold in enumerate(folds)
        ]
        config = self.hyperparameters.training
        scored = rungs(config.epochs)
        curve = self.curves.setdefault(f"cv_{self.search.metric}", [])

        def after_epoch(epoch: int) -> None:
            if on_epoch is not None:
                on_epoch(epoch)
            if epoch in scored and epoch < config.epochs:
                curve.append((epoch, self._mean_score(jobs, epoch)))
                if on_rung is not None:
                    on_rung(*curve[-1])

        try:
            train([fold.job for fold in jobs], self.hyperparameters.model, config, self.device, after_epoch)
        finally:
            self._keep_curves(jobs)
            self.seconds = time.perf_counter() - started
        self.scores = self._all_scores(jobs, config.epochs)
        curve.append((config.epochs, self.scores[self.search.metric]))
        self.seconds = time.perf_counter() - started

    def _mean_score(self, jobs: list[_FoldJob], epoch: int) -> float:
        metric = self.search.metric
        scores = [score(metric, one.labels, one.probabilities(), one.classes) for one in jobs]
        self._keep_fold_scores(epoch, scores)
        return float(np.nanmean(scores))

    def _keep_fold_scores(self, epoch: int, scores: list[float]) -> None:
        self.fold_scores = self.fold_scores or [[] for _ in scores]
        for curve, value in zip(self.fold_scores, scores, strict=True):
            curve.append((epoch, value))

    def _all_scores(self, jobs: list[_FoldJob], epoch: int) -> dict[str, float]:
        folds = [score_all(one.labels, one.probabilities(), one.classes) for one in jobs]
        self._keep_fold_scores(epoch, [scores.get(self.search.metric, float("nan")) for scores in folds])
        names = [name for name in folds[0] if all(name in scores for scores in folds)]
        return {name: float(np.mean([scores[name] for scores in folds])) for name in names}

    def _keep_curves(self, jobs: list[_FoldJob]) -> None:
        epochs = min(len(one.job.history) for one in jobs)
        self.fold_losses = [
            [(number, record.train_loss) for number, record in enumerate(one.job.history, 1)] for one in jobs
        ]
        for index in range(epochs):
            records = [one.job.history[index] for one in jobs]
            loss = float(np.mean([record.train_loss for record in records]))
            self.curves.setdefault("train_loss", []).append((index + 1, loss))
            self.curves.setdefault("learning_rate", []).append((index + 1, records[0].learning_rate))
