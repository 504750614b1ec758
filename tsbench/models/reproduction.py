"""Runs a recorded trial, final network or baseline again, and compares every value to the bit."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from tsbench.bench.payloads import ENSEMBLE
from tsbench.classifiers.ensemble import NetworkEnsemble
from tsbench.errors import DataError, ModelError
from tsbench.evaluation.metrics import score_all
from tsbench.models.reopening import RecordedCell, model_run, open_cell, open_model
from tsbench.models.rescoring import check_reproducible, fit_auto_again, score_again
from tsbench.recipe.dotted import hyperparameters_of
from tsbench.recipe.former import FORMER
from tsbench.recipe.schema import HyperparameterConfig
from tsbench.recipe.space import leaves
from tsbench.studies.confirming import confirming_seed
from tsbench.studies.objective import CrossValidation, confirmation_of
from tsbench.studies.specification import derive_seed, study_seed
from tsbench.tracking import names, provenance
from tsbench.tracking.monitoring import device_name
from tsbench.tracking.store import RunRecord, Store
from tsbench.training.inference import DivergedError

__all__ = ["RecordedValue", "Reproduction", "reproduce"]

Curve = dict[int, float]


@dataclass(frozen=True)
class RecordedValue:
    """A recorded value and the new one; None if there is none."""

    name: str
    recorded: float | str
    now: float | str | None

    @property
    def agrees(self) -> bool:
        """Whether both are the same to the bit; NaN agrees with NaN."""
        if isinstance(self.recorded, float) and isinstance(self.now, float):
            return np.float64(self.recorded).tobytes() == np.float64(self.now).tobytes()
        return self.recorded == self.now


@dataclass(frozen=True)
class Reproduction:
    """The result of running again.

    Attributes:
        run: the run that was run again.
        values: every recorded value except seconds and resource usage.
        differences: of settings, versions, hardware and device, one sentence each; they may explain differing values.
        seconds: of the new run.
    """

    run: RunRecord
    values: list[RecordedValue]
    differences: list[str]
    seconds: float = field(compare=False)

    @property
    def agrees(self) -> bool:
        """Whether every value is the same to the bit."""
        return bool(self.values) and all(value.agrees for value in self.values)


def reproduce(store: Store, run_id: str, report: Callable[[str], None] = lambda text: None) -> Reproduction:
    """Runs a trial, a final network or a baseline again, from the records of its run and its parent run.

    Args:
        store: the store.
        run_id: of a trial, final network or baseline, or of a parent run, which means its final network.
        report: called with lines of progress.

    Raises:
        DataError: the data set's files were changed or are not available.
        ModelError: this version lacks a recorded setting, or a baseline has no values or cannot be run.
        TrackingError: there is no such run, or the store failed.
    """
    run = store.run(run_id)
    if run.tags[names.ROLE] == "baseline":
        check_reproducible(run)
    elif run.tags[names.ROLE] != "trial":
        run = model_run(store, run_id)
    cell = open_cell(store, run)
    if changed := cell.changed_files():
        raise DataError(
            f"the data set {run.tags[names.DATASET]} at {cell.dataset.source} has changed since run {run.run_id}: "
            f"{', '.join(changed)} differ; values cannot agree"
        )
    torch.set_num_threads(1)  # as in a worker
    device = cell.plan.devices[0]
    began = time.perf_counter()
    match run.tags[names.ROLE]:
        case "baseline":
            values = _baseline(store, run, cell, report)
        case "trial":
            values = _trial(store, run, cell, _settings(run), device, report)
        case _:
            values = _network(store, run, cell, _settings(run), device, report)
    seconds = time.perf_counter() - began
    return Reproduction(run, values, _differences(store, run, cell, device), seconds)


def _settings(run: RunRecord) -> HyperparameterConfig:
    """The settings of a run, which are recorded as texts."""
    try:
        return hyperparameters_of({**FORMER, **{name: _value(text) for name, text in run.params.items()}})
    except ValueError as error:
        raise ModelError(f"the settings of run {run.run_id} are not those of this version: {error}") from None


def _value(text: str) -> Any:
    """The value behind a text: a number, a truth value, None, a list as JSON, or a text."""
    try:
        return {"None": None, "True": True, "False": False}[text]
    except KeyError:
        pass
    try:
        return json.loads(text)
    except ValueError:
        return text


def _trial(
    store: Store,
    run: RunRecord,
    cell: RecordedCell,
    settings: HyperparameterConfig,
    device: str,
    report: Callable[[str], None],
) -> list[RecordedValue]:
    search = cell.plan.loaded.recipe.search
    recorded = _recorded(store, run)
    last = max(recorded["train_loss"], default=0) if "train_loss" in recorded else 0
    training, seed = cell.dataset.training_set(), study_seed(search, cell.resample)
    part = int(run.tags.get(names.HELD_OUT_PART, 0))
    validation = CrossValidation(training, settings, search, seed, device, part=part)

    def on_epoch(epoch: int) -> None:
        report(f"epoch {epoch}/{settings.training.epochs}")
        if epoch > last:
            raise _EnoughError  # the trial was pruned after its last recorded epoch

    with suppress(_EnoughError, DivergedError):
        validation.run(on_epoch=on_epoch)
    now = {name: dict(curve) for name, curve in validation.curves.items()}
    for metric, value in validation.scores.items():
        now.setdefault(names.cv(metric), {0: value})
    if any(name.startswith(names.confirmed("")) for name in recorded):
        report("on other folds")
        confirmation = confirmation_of(training, settings, search, confirming_seed(seed), device)
        confirmation.run()
        now |= {names.confirmed(metric): {0: value} for metric, value in confirmation.scores.items()}
    return _compared(recorded, now)


class _EnoughError(Exception):
    """A pruned trial has reached its last recorded epoch."""


def _network(
    store: Store,
    run: RunRecord,
    cell: RecordedCell,
    settings: HyperparameterConfig,
    device: str,
    report: Callable[[str], None],
) -> list[RecordedValue]:
    recorded = {
        name: curve  # its other metrics are its trial's
        for name, curve in _recorded(store, run).items()
        if name.startswith(("test_", "train_loss_"))
    }
    seed = study_seed(cell.plan.loaded.recipe.search, cell.resample)
    now: dict[str, Curve] = {}
    ensemble: NetworkEnsemble | None = None
    for number in range(int(run.tags[ENSEMBLE])):
        report(f"network {number + 1} of {run.tags[ENSEMBLE]}")
        fitted, jobs = NetworkEnsemble.fit_with_history(
            cell.dataset.train, settings, [derive_seed(seed, 2, number)], device
        )
        losses = {epoch: record.train_loss for epoch, record in enumerate(jobs[0].history, 1)}
        now[f"train_loss_seed_{number}"] = losses
        if ensemble is None:
            ensemble = fitted
        else:
            ensemble.members += fitted.members
    assert ensemble is not None
    ensemble.members = [member.cpu() for member in ensemble.members]  # as the recorded one was scored
    test = cell.dataset.test
    scores = score_all(test.labels, ensemble.predict_proba(test), ensemble.classes)
    now |= {names.test(metric): {0: value} for metric, value in scores.items()}
    logged = open_model(store, run.run_id).network("compared by its weights")
    weights = RecordedValue("sha256 of the weights", weights_digest(logged), weights_digest(ensemble))
    return [*_compared(recorded, now), weights]


def _baseline(store: Store, run: RunRecord, cell: RecordedCell, report: Callable[[str], None]) -> list[RecordedValue]:
    recorded = _recorded(store, run)
    if run.tags.get(names.CLASSIFIER) == names.AUTO:
        scored = fit_auto_again(store, run, cell, report)
        return _compared(recorded, {name: {0: value} for name, value in scored.items()})
    scores = score_again(run, cell, any(name.startswith(names.cv("")) for name in recorded), report)
    now = {name: {0: value} for name, value in scores.metrics.items()}
    if names.is_one_hot(run.tags, run.params):
        recorded = {name: curve for name, curve in recorded.items() if not name.endswith(names.PROBABILISTIC)}
    values = _compared(recorded, now)
    if (done := run.tags.get(names.PREPROCESSING, "")) or scores.preprocessing:
        values.append(RecordedValue("preprocessing", done, scores.preprocessing))
    return values


def weights_digest(ensemble: NetworkEnsemble) -> str:
    """SHA-256 of all members' weights, in hexadecimal."""
    sha = hashlib.sha256()
    for member in ensemble.members:
        for name, value in sorted(member.state_dict().items()):
            sha.update(name.encode())
            sha.update(np.ascontiguousarray(value.cpu().numpy()).tobytes())
    return sha.hexdigest()


def _recorded(store: Store, run: RunRecord) -> dict[str, Curve]:
    """The run's metrics by step, except those that differ each time."""
    fair = [name for name in run.metrics if not name.endswith("_seconds") and not name.startswith("system/")]
    return {name: dict(store.history(run.run_id, name)) for name in fair}


def _compared(recorded: Mapping[str, Curve], now: Mapping[str, Curve]) -> list[RecordedValue]:
    values = []
    for name, curve in sorted(recorded.items()):
        for step, value in curve.items():
            title = name if len(curve) == 1 else f"{name}, epoch {step}"
            values.append(RecordedValue(title, value, now.get(name, {}).get(step)))
    return values


def _differences(store: Store, run: RunRecord, cell: RecordedCell, device: str) -> list[str]:
    then: dict[str, str] = json.loads(store.artifacts.read_text(cell.parent.run_id, "versions.json"))
    here = provenance.versions()
    found = [
        f"{name}: {then.get(name, 'not recorded')} then, {here.get(name, 'not recorded')} now"
        for name in sorted(then.keys() | here.keys())
        if then.get(name) != here.get(name)
    ]
    if names.is_one_hot(run.tags, run.params):
        found.append("its probabilities were 0 or 1 then; log loss and ROC AUC of them are not compared")
    if run.tags[names.ROLE] != "baseline":
        found += [
            f"{name}: not recorded then, as there was no such setting, {value} now"
            for name, value in leaves(_settings(run))
            if name not in run.params
        ]
    worked_on = run.tags.get(names.DEVICE)
    if worked_on is not None and worked_on != device_name(device):
        found.append(f"hardware: {worked_on} then, {device_name(device)} now")
    return found
