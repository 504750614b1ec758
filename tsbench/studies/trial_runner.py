"""Runs a study's trials in a worker: claims a trial, runs it, records it in MLflow, and reports it to Optuna."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FixedTrial, Trial, TrialState

from tsbench.adapters.optuna import get_heartbeat_thread, id_of
from tsbench.recipe.registries import COSTS
from tsbench.recipe.schema import HyperparameterConfig
from tsbench.recipe.space import label, leaves
from tsbench.retries import retry
from tsbench.studies.confirming import Confirmation, confirming_seed
from tsbench.studies.objective import CrossValidation, InfeasibleError, Rung, confirmation_of
from tsbench.studies.outcome import COMPLETE, FAILED, PRUNED, STOPPED, TrialOutcome, TrialProgress
from tsbench.studies.pruning import TrialPruner
from tsbench.studies.sampling import hyperparameters, suggest
from tsbench.studies.specification import is_held_out
from tsbench.studies.storage import DatabaseAwayError, together
from tsbench.studies.study import Study
from tsbench.studies.trials import FOLDS, INFEASIBLE, LOST, RESULT, RUN, as_best
from tsbench.tracking import names
from tsbench.tracking.monitoring import Monitor, device_name
from tsbench.tracking.store import Store
from tsbench.training.inference import DivergedError
from tsbench.training.memory import train_within_memory
from tsbench.workers.protocol import StoppedError

__all__ = ["confirm_trial", "load_study", "mlflow_params", "run_trial"]


KEPT_OUT_OF_FOLD = 3
"""Trials whose out-of-fold probabilities are recorded: the default, and those that are among so many best ones when
they end (or as many as are scored again, if these are more)."""


@lru_cache(maxsize=4)
def load_study(folder: Path) -> tuple[Study, Store]:
    """The study in a folder, and the MLflow store of its records; opened once per process."""
    study = Study.open(folder)
    retry(lambda: study.storage, lambda error: isinstance(error, DatabaseAwayError))  # the search has found it
    return study, Store(study.spec.tracking_uri)


def run_trial(
    folder: Path,
    number: int,
    device: str,
    report: Callable[[TrialProgress], None] = lambda progress: None,
    stop_reason: Callable[[], str | None] = lambda: None,
) -> TrialOutcome | None:
    """Claims and runs a waiting trial of a study.

    Args:
        folder: of the study.
        number: of the trial.
        device: torch device to train on.
        report: called after each epoch.
        stop_reason: called after each epoch; a text ends the trial, which is then marked as failed for this reason.

    Returns:
        The outcome; None if another worker ran or ended it.
    """
    study, store = load_study(folder)
    trial = study.queue.claim(number)
    if trial is None:
        return None
    return _TrialRun(study, store, trial, device, report, stop_reason).run()


def confirm_trial(
    folder: Path,
    number: int,
    device: str,
    report: Callable[[TrialProgress], None] = lambda progress: None,
    stop_reason: Callable[[], str | None] = lambda: None,
) -> Confirmation | None:
    """Scores a trial's configuration again on other folds, which are the same for all trials of a study.

    The means over the folds are logged on the trial's MLflow run. The call can be repeated.

    Args:
        folder: of the study.
        number: of the trial, which has ended.
        device: torch device to train on.
        report: called after each epoch.
        stop_reason: called after each epoch; a text ends it.

    Returns:
        The result; None if it was ended.
    """
    study, store = load_study(folder)
    spec, trials = study.spec, study.trials()
    settings = as_best(trials[number]).hyperparameters
    validation: CrossValidation

    def after_epoch(epoch: int) -> None:
        report(TrialProgress(epoch, settings.training.epochs))
        if reason := stop_reason():
            raise StoppedError(reason)

    def attempt(accumulation_steps: int) -> None:
        nonlocal validation
        seed = confirming_seed(spec.seed)
        validation = confirmation_of(study.training, settings, spec.search, seed, device, accumulation_steps)
        validation.run(on_epoch=after_epoch)

    began = time.perf_counter()
    try:
        train_within_memory(attempt, device)
    except StoppedError:
        return None
    except (DivergedError, RuntimeError, MemoryError, ValueError) as error:  # as in a trial
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return Confirmation((), time.perf_counter() - began, reason=reason)
    metrics = {names.confirmed(name): value for name, value in validation.scores.items() if name not in COSTS}
    if run := trials.run_of(number):
        store.log(run, metrics)
    scores = tuple(curve[-1][1] for curve in validation.fold_scores)
    return Confirmation(scores, time.perf_counter() - began, metrics, validation.repeats)


class _TrialRun:
    def __init__(
        self,
        study: Study,
        store: Store,
        trial: Trial,
        device: str,
        report: Callable[[TrialProgress], None],
        stop_reason: Callable[[], str | None],
    ) -> None:
        self.study, self.store, self.trial, self.device = study, store, trial, device
        self.report, self.stop_reason = report, stop_reason
        self.latest: float | None = None
        self.epochs = 0
        self.reported: list[Rung] = []
        self.began = time.perf_counter()
        self.monitor = Monitor(device)
        self.is_feasible = True

    def run(self) -> TrialOutcome | None:
        spec = self.study.spec
        trials = self.study.trials()
        parameters = trials.parameters_of(self.trial.number)
        settings = hyperparameters(FixedTrial(parameters), spec.space, spec.base)
        self.epochs = settings.training.epochs
        run = self._begin_run(trials.origin_of(self.trial.number))
        self.store.log(run, params=mlflow_params(settings))
        with get_heartbeat_thread(id_of(self.trial), self.study.storage):
            validation, outcome = self._validate(settings)
        self._record(run, validation, outcome)
        try:
            self._report_to_optuna(run, settings, validation, outcome)
        except optuna.exceptions.UpdateFinishedTrialError:
            if self.study.trials()[self.trial.number].state is not TrialState.FAIL:
                return outcome  # this worker reported it before, and the connection broke before the answer
            # A supervisor considered this worker dead and restarted the trial; the record keeps its report.
            self.store.fail(run, self.study.trials().reason_of(self.trial.number))
            return None
        return outcome

    def _begin_run(self, origin: str) -> str:
        spec, number = self.study.spec, self.trial.number
        parts = "a held-out part" if self.is_held_out else f"{spec.search.folds} folds"
        tags = {
            names.ROLE: "trial",
            names.DATASET: spec.dataset,
            names.RESAMPLE: spec.resample,
            names.CLASSIFIER: names.NETWORK,
            names.RECIPE: spec.recipe,
            names.STUDY: spec.identity,
            names.TRIAL: number,
            names.ORIGIN: origin,
            names.DEVICE: device_name(self.device),
            names.DESCRIPTION: f"One configuration of the network, validated on {parts} of the training cases of "
            f"{spec.dataset}.{'' if self.is_held_out else ' Curves are means over the folds.'}",
            **({names.HELD_OUT_PART: self.part} if self.part else {}),
        }
        return self.store.begin(spec.experiment, f"{spec.dataset} trial {number}", tags, spec.parent_run)

    def _validate(self, settings: HyperparameterConfig) -> tuple[CrossValidation, TrialOutcome]:
        spec = self.study.spec
        validation: CrossValidation

        def attempt(accumulation_steps: int) -> None:
            nonlocal validation
            self.__dict__.pop("pruner", None)  # Optuna knows of the attempt already
            self.reported.clear()
            self.latest = None
            training, search = self.study.training, spec.search
            validation = CrossValidation(
                training, settings, search, spec.seed, self.device, accumulation_steps, self.part
            )
            validation.run(self._after_rung, self._after_epoch)

        state, reason = COMPLETE, ""
        try:
            train_within_memory(attempt, self.device)
            self.latest = validation.scores[spec.search.metric]
        except (optuna.TrialPruned, DivergedError) as pruned:
            state, reason = PRUNED, str(pruned)
        except InfeasibleError as infeasible:
            state, reason, self.is_feasible = PRUNED, str(infeasible), False
        except StoppedError as stopped:
            state, reason = STOPPED, str(stopped)
        except (RuntimeError, MemoryError, ValueError) as error:
            # A configuration that cannot be trained (too large for the memory, say) must not end the search.
            state, reason = FAILED, f"{type(error).__name__}: {' '.join(str(error).split())}"
        return validation, TrialOutcome(self.trial.number, state, self.latest, time.perf_counter() - self.began, reason)

    @cached_property
    def is_held_out(self) -> bool:
        """Whether it is scored on a held-out part in place of folds."""
        spec = self.study.spec
        return is_held_out(self.study.training, spec.search, spec.seed)

    @cached_property
    def part(self) -> int:
        """Number of the held-out part that it is scored on; 0 if there are folds, or all trials have the same part."""
        if not (self.is_held_out and self.study.spec.search.holdout_redrawn):
            return 0
        return self.study.trials().visible_to(self.trial.number)[0]

    @cached_property
    def pruner(self) -> TrialPruner | None:
        spec = self.study.spec
        if spec.search.pruner == "none":
            return None
        place, earlier = self.study.trials().visible_to(self.trial.number)
        return TrialPruner(spec.search, spec.directions[0], earlier, place)

    def _after_epoch(self, epoch: int) -> None:
        self.monitor.sample()
        self.report(TrialProgress(epoch, self.epochs, self.latest))
        if reason := self.stop_reason():
            raise StoppedError(f"{reason} (at epoch {epoch} of {self.epochs})")

    def _after_rung(self, rung: Rung) -> None:
        self.latest = rung.mean
        if self.pruner is None:
            return
        self.reported.append(rung)
        if verdict := self.pruner.verdict(rung.step, rung.score):
            raise optuna.TrialPruned(f"cv {self.study.spec.search.metric} {rung.score:.4f} {rung.when} {verdict}")

    def _record(self, run: str, validation: CrossValidation, outcome: TrialOutcome) -> None:
        metrics = {names.cv(metric): value for metric, value in validation.scores.items()}
        metrics.pop(names.cv(self.study.spec.search.metric), None)  # it is the last point of its curve
        metrics["fit_seconds"] = validation.seconds
        tags = {names.STATE: outcome.state, **({names.REASON: outcome.reason} if outcome.reason else {})}
        self.monitor.sample(now=True)
        if validation.out_of_fold is not None and self._may_be_chosen(outcome.score):
            with tempfile.TemporaryDirectory() as scratch:
                path = Path(scratch) / names.OUT_OF_FOLD
                validation.out_of_fold.save(path)
                self.store.artifacts.add(run, path)
        self.store.log(run, metrics, curves={**validation.curves, **self.monitor.curves}, tags=tags)
        status = {FAILED: "FAILED", STOPPED: "KILLED"}.get(outcome.state, "FINISHED")
        self.store.end(run, status)

    def _may_be_chosen(self, score: float | None) -> bool:
        search, trials = self.study.spec.search, self.study.trials()
        is_default = trials.visible_to(self.trial.number)[0] == len(search.enqueue)
        return is_default or trials.is_among_best(score, max(KEPT_OUT_OF_FOLD, search.confirm))

    def _report_to_optuna(
        self, run: str, settings: HyperparameterConfig, validation: CrossValidation, outcome: TrialOutcome
    ) -> None:
        """Reports the trial to Optuna in one write, as none of it is needed before its end."""
        scores = {names.cv(metric): value for metric, value in validation.scores.items()}
        result: dict[str, Any] = {**scores, "seconds": outcome.seconds, "reason": outcome.reason}
        if not self.is_feasible:
            result[INFEASIBLE] = True
        storage, trial_id = self.study.storage, id_of(self.trial)
        with together(storage):
            suggest(self.trial, self.study.spec.space, self.study.spec.base)
            self.trial.set_user_attr("hyperparameters", settings.model_dump(mode="json"))
            self.trial.set_user_attr(RUN, run)
            for rung in self.reported:
                self.trial.report(rung.score, rung.step)
            for name, note in (self.pruner.notes() if self.reported and self.pruner else {}).items():
                storage.set_trial_system_attr(trial_id, name, note)
            self.trial.set_user_attr(RESULT, result)
            if outcome.state == STOPPED:
                self.trial.set_user_attr(LOST, outcome.reason)
            if outcome.state == COMPLETE:
                folds = zip(validation.fold_losses, validation.fold_scores, strict=True)
                self.trial.set_user_attr(FOLDS, [[_shortened(losses), _shortened(scores)] for losses, scores in folds])
            # Like Optuna's `tell`, which would sync separately and copy the trial.
            storage.set_trial_state_values(trial_id, *self._end(validation, outcome))

    def _end(self, validation: CrossValidation, outcome: TrialOutcome) -> tuple[TrialState, list[float] | None]:
        """A trial's end in Optuna's terms; a pruned trial has the last score that its pruner saw."""
        if outcome.state == COMPLETE:
            return TrialState.COMPLETE, [validation.scores[metric] for metric in self.study.spec.metrics]
        if outcome.state == PRUNED:
            return TrialState.PRUNED, [rung.score for rung in self.reported[-1:] if math.isfinite(rung.score)] or None
        return TrialState.FAIL, None


def _shortened(curve: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """At most 25 points including the last, with five digits: enough for a plot, and small in Optuna's storage."""
    keep = -(-len(curve) // 25)
    return [
        (epoch, float(f"{value:.5g}"))
        for index, (epoch, value) in enumerate(curve)
        if (len(curve) - 1 - index) % keep == 0
    ]


def mlflow_params(settings: HyperparameterConfig) -> dict[str, Any]:
    """Every setting by its dotted name, lists as JSON text."""
    return {name: label(value) for name, value in leaves(settings)}
