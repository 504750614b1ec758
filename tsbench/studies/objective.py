"""Cross-validates one configuration, training its folds together."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from tsbench.classifiers.contract import OutOfFold
from tsbench.classifiers.ensemble import encode
from tsbench.data.collection import TrainingSet
from tsbench.data.preprocessing import Preprocessing
from tsbench.evaluation.metrics import mean_scores, score, score_all
from tsbench.evaluation.resampling import Fold, repeats_of
from tsbench.nn.network import Network, build_network
from tsbench.recipe.schema import ConstraintConfig, HyperparameterConfig, SearchConfig
from tsbench.studies.pruning import FOLD_PRUNERS, RUNGS
from tsbench.studies.specification import derive_seed, folds_of
from tsbench.training.inference import fixed_features, predict_probabilities
from tsbench.training.jobs import Job, Series
from tsbench.training.trainer import train

__all__ = ["CrossValidation", "InfeasibleError", "Rung", "confirmation_of", "rungs"]


UNPRUNED = 4
"""Epochs between two scores without a pruner, if there are enough: each score is a forward pass of all
validation parts."""


class InfeasibleError(Exception):
    """A configuration exceeds one of `search.constraints`."""


def rungs(epochs: int, apart: int = 1) -> dict[int, int]:
    """The epochs after which the folds are scored, evenly spread and including the last, each with its rung of ten.

    Args:
        epochs: of a trial.
        apart: epochs between two scores; fewer if there would otherwise be only one score.
    """
    count = min(RUNGS, epochs, max(2, epochs // apart))
    return {round(epochs * (rung + 1) / count): round(RUNGS * (rung + 1) / count) for rung in range(count)}


@dataclass(frozen=True)
class Rung:
    """An intermediate score, which is reported to a pruner.

    Attributes:
        step: 1 to 10, or the number of a fold if they are trained one after another.
        score: of the searched metric: the mean over the folds, or the fold's.
        mean: over the scores so far.
        when: description of the step.
    """

    step: int
    score: float
    mean: float
    when: str


@dataclass
class _FoldJob:
    """One fold: the job on its training part, and its validation part.

    Normalisation and label encoding are fitted on the training part only.
    """

    job: Job
    classes: NDArray[np.str_]
    series: Series
    labels: NDArray[np.str_]
    held_out: NDArray[np.integer]
    features: Tensor | None = None
    prepared: bool = False

    @classmethod
    def make(cls, training: TrainingSet, fold: Fold, settings: HyperparameterConfig, seed: int) -> _FoldJob:
        cases, (train_part, validation_part) = training.cases, fold
        prepared = Preprocessing.fit(cases, settings.preprocessing, train_part)
        labels, lengths = cases.labels[train_part], prepared.lengths(cases)
        classes = np.unique(labels)
        series = Series(prepared.series(cases, train_part), lengths[train_part])
        targets, groups = encode(labels, classes), cases.group_numbers(train_part)
        job = Job(series, targets, len(classes), seed, settings.model, settings.training, groups)
        validation = Series(prepared.series(cases, validation_part), lengths[validation_part])
        return cls(job, classes, validation, cases.labels[validation_part], validation_part)

    @property
    def network(self) -> Network:
        """The network in training or after it."""
        assert self.job.network is not None
        return self.job.network

    def count_parameters(self) -> int:
        """The weights of the network that would be trained."""
        channels, length = self.job.series.values.shape[1:]
        return _size_of(build_network(self.job.model, channels, self.job.classes, length, self.job.seed))

    def probabilities(self) -> NDArray[np.float32]:
        """Probabilities of the validation part by the current network; fixed features are computed once."""
        network = self.network
        if not self.prepared:
            self.features, self.prepared = fixed_features(network, self.series), True
        return predict_probabilities(network, self.series, features=self.features)


def _size_of(network: Network) -> int:
    """Number of its weights."""
    return sum(parameter.numel() for parameter in network.parameters())


def confirmation_of(
    training: TrainingSet,
    hyperparameters: HyperparameterConfig,
    search: SearchConfig,
    seed: int,
    device: str = "cpu",
    accumulation_steps: int = 1,
) -> CrossValidation:
    """The cross-validation that scores a trial again: as in the trial, but with another seed, and it is not ended.

    If one held-out part replaces the folds, there are as many parts as folds: differences between trials
    are judged by several of them, which are the same for all trials.
    """
    # The trial has kept the constraints; its seconds vary.
    unpruned = search.model_copy(update={"pruner": "none", "constraints": ConstraintConfig()})
    return CrossValidation(training, hyperparameters, unpruned, seed, device, accumulation_steps, parts=search.folds)


@dataclass
class CrossValidation:
    """The cross-validation of a configuration, with curves and scores of its folds.

    Attributes:
        accumulation_steps: see `train`.
        part: number of the held-out part, if one takes the place of the folds.
        parts: how many there are then.
        scores: mean over the folds of each metric, under its own name, with its standard error (`accuracy_se`), and
            `predict_seconds` (all of them) and `parameters` (of one network); filled when training has ended.
        curves: `train_loss`, `learning_rate` by epoch, and `cv_<metric>` of the searched metric by rung.
        fold_scores: of the searched metric, for each fold by rung.
        fold_losses: training loss, for each fold by epoch.
        repeats: how often the folds hold out each case.
        out_of_fold: probabilities of the cases that the folds held out; None until training has ended.
        seconds: that it took.
    """

    training: TrainingSet
    hyperparameters: HyperparameterConfig
    search: SearchConfig
    seed: int
    device: str = "cpu"
    accumulation_steps: int = 1
    part: int = 0
    parts: int = 1
    scores: dict[str, float] = field(default_factory=dict)
    curves: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    fold_scores: list[list[tuple[int, float]]] = field(default_factory=list)
    fold_losses: list[list[tuple[int, float]]] = field(default_factory=list)
    repeats: int = 1
    out_of_fold: OutOfFold | None = None
    seconds: float = 0.0

    def run(
        self,
        on_rung: Callable[[Rung], None] | None = None,
        on_epoch: Callable[[int], None] | None = None,
    ) -> None:
        """Trains all folds in lockstep, or one after another if the pruner compares folds.

        Args:
            on_rung: called with each rung; may raise to end the trial.
            on_epoch: called with each epoch; may raise too.

        Raises:
            DivergedError: a training loss is NaN or infinite.
            ValueError: a fold does not define the searched metric.
            InfeasibleError: the network has too many parameters, before any training; or the scores are there, and took
                too many seconds.
        """
        started = time.perf_counter()
        with warnings.catch_warnings(
            action="ignore", category=UserWarning
        ):  # the call that created the study has reported this
            folds = folds_of(self.training, self.search, self.seed, self.part, self.parts)
        self.repeats = repeats_of(folds)
        jobs = [
            _FoldJob.make(self.training, fold, self.hyperparameters, derive_seed(self.seed, 1, number))
            for number, fold in enumerate(folds)
        ]
        if (most := self.search.constraints.parameters) is not None:
            count = max(job.count_parameters() for job in jobs)
            self.scores["parameters"] = float(count)
            if count > most:
                raise InfeasibleError(
                    f"the network has {count:,} parameters, more than search.constraints.parameters, {most:,}"
                )
        try:
            if self.search.pruner in FOLD_PRUNERS:
                self._run_in_turn(jobs, on_rung, on_epoch)
            else:
                self._run_in_lockstep(jobs, on_rung, on_epoch)
        finally:
            self._keep_curves(jobs)
            self.seconds = time.perf_counter() - started
        epochs = self.hyperparameters.training.epochs
        self.scores = self._all_scores(jobs, epochs)
        if self.search.metric not in self.scores:  # as the validation cases of a redrawn part may be of one class
            raise ValueError(f"a fold does not define {self.search.metric}, which is searched")
        self.curves.setdefault(f"cv_{self.search.metric}", []).append((epochs, self.scores[self.search.metric]))
        self.seconds = time.perf_counter() - started
        longest, took = self.search.constraints.predict_seconds, self.scores["predict_seconds"]
        if longest is not None and took > longest:
            raise InfeasibleError(
                f"predicting took {took:.3g} s, more than search.constraints.predict_seconds, {longest:g}"
            )

    def _run_in_lockstep(
        self, jobs: list[_FoldJob], on_rung: Callable[[Rung], None] | None, on_epoch: Callable[[int], None] | None
    ) -> None:
        epochs = self.hyperparameters.training.epochs
        scored = rungs(epochs, UNPRUNED if self.search.pruner == "none" else 1)
        curve = self.curves.setdefault(f"cv_{self.search.metric}", [])

        def after_epoch(epoch: int) -> None:
            if on_epoch is not None:
                on_epoch(epoch)
            if epoch in scored and epoch < epochs:
                mean = self._mean_score(jobs, epoch)
                curve.append((epoch, mean))
                if on_rung is not None:
                    on_rung(Rung(scored[epoch], mean, mean, f"after epoch {epoch}"))

        train([job.job for job in jobs], self.device, after_epoch, self.accumulation_steps)

    def _run_in_turn(
        self, jobs: list[_FoldJob], on_rung: Callable[[Rung], None] | None, on_epoch: Callable[[int], None] | None
    ) -> None:
        scores: list[float] = []
        for number, job in enumerate(jobs, 1):
            train([job.job], self.device, on_epoch, self.accumulation_steps)
            scores.append(self._score(job))
            if on_rung is not None:
                on_rung(Rung(number, scores[-1], float(np.nanmean(scores)), f"in fold {number}"))

    def _score(self, job: _FoldJob) -> float:
        return score(self.search.metric, job.labels, job.probabilities(), job.classes)

    def _mean_score(self, jobs: list[_FoldJob], epoch: int) -> float:
        scores = [self._score(job) for job in jobs]
        self._keep_fold_scores(epoch, scores)
        return float(np.nanmean(scores))

    def _keep_fold_scores(self, epoch: int, scores: list[float]) -> None:
        self.fold_scores = self.fold_scores or [[] for _ in scores]
        for curve, value in zip(self.fold_scores, scores, strict=True):
            curve.append((epoch, value))

    def _all_scores(self, jobs: list[_FoldJob], epoch: int) -> dict[str, float]:
        began = time.perf_counter()
        probabilities = [predict_probabilities(fold.network, fold.series) for fold in jobs]
        seconds = time.perf_counter() - began
        folds = [score_all(fold.labels, each, fold.classes) for fold, each in zip(jobs, probabilities, strict=True)]
        parts = [(job.held_out, each, job.classes) for job, each in zip(jobs, probabilities, strict=True)]
        self.out_of_fold = OutOfFold.of_folds(self.training.cases.labels, parts[: len(parts) // self.repeats])
        self._keep_fold_scores(epoch, [scores.get(self.search.metric, float("nan")) for scores in folds])
        means = mean_scores(folds, self.repeats)
        means["predict_seconds"] = seconds
        means["parameters"] = float(max(_size_of(fold.network) for fold in jobs))
        return means

    def _keep_curves(self, jobs: list[_FoldJob]) -> None:
        begun = [job for job in jobs if job.job.history]
        epochs = min((len(job.job.history) for job in begun), default=0)
        self.fold_losses = [
            [(number, record.train_loss) for number, record in enumerate(job.job.history, 1)] for job in jobs
        ]
        for index in range(epochs):
            records = [job.job.history[index] for job in begun]
            loss = float(np.mean([record.train_loss for record in records]))
            self.curves.setdefault("train_loss", []).append((index + 1, loss))
            self.curves.setdefault("learning_rate", []).append((index + 1, records[0].learning_rate))
