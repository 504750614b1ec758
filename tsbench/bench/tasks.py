"""The tasks that workers run. Test cases appear here and nowhere below."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from tsbench.bench import search_report
from tsbench.bench.baseline import BaselineScores, Keeping, scores_on_test
from tsbench.bench.final import log_model_files, record_model, record_pictures
from tsbench.bench.payloads import (
    BASELINE_ENTRY,
    TIME_STEPS,
    FinalNetwork,
    FittedMember,
    Records,
    Scored,
    preprocessing_params,
)
from tsbench.classifiers.baselines import BASELINES
from tsbench.classifiers.ensemble import NetworkEnsemble
from tsbench.data.collection import Collection, DataSet
from tsbench.evaluation.resampling import Fold
from tsbench.recipe.schema import BaselineConfig, EvaluationConfig, HyperparameterConfig, format_duration
from tsbench.studies import trial_runner
from tsbench.studies.confirming import Confirmation
from tsbench.studies.outcome import TrialOutcome
from tsbench.studies.trial_runner import mlflow_params
from tsbench.tracking import names
from tsbench.tracking.monitoring import Monitor, device_name
from tsbench.tracking.store import Curve, Store
from tsbench.workers import isolated
from tsbench.workers.protocol import SharedFolder, StoppedError, WorkerContext

__all__ = [
    "begin_run",
    "confirm_trial",
    "fit_member",
    "guard",
    "process_apart",
    "run_baseline",
    "run_trial",
    "score_network",
    "write_report",
]


def run_trial(context: WorkerContext, study: SharedFolder, number: int) -> TrialOutcome | None:
    """Runs a waiting trial of a study."""
    spec = trial_runner.load_study(study.path)[0].spec
    guard(context, spec.tracking_uri, spec.parent_run)
    return trial_runner.run_trial(study.path, number, context.device, context.report, context.stop_reason)


def confirm_trial(context: WorkerContext, study: SharedFolder, number: int) -> Confirmation | None:
    """Scores one of a study's best trials, or its default, on other folds; None if it is no longer needed."""
    spec = trial_runner.load_study(study.path)[0].spec
    guard(context, spec.tracking_uri, spec.parent_run)
    return trial_runner.confirm_trial(study.path, number, context.device, context.report, context.stop_reason)


def guard(context: WorkerContext, uri: str, parent: str) -> None:
    """Makes this worker end a cell's parent run if the supervisor is killed."""
    context.on_orphaned(parent, lambda: Store(uri).end(parent, "KILLED", only_running=True))


def fit_member(
    context: WorkerContext, cases: Collection, hyperparameters: HyperparameterConfig, seed: int
) -> FittedMember | None:
    """Trains one member of the final ensemble on all training cases; None if it is no longer needed."""
    epochs = hyperparameters.training.epochs

    def on_epoch(epoch: int) -> None:
        if context.stopping:
            raise StoppedError(context.why)
        monitor.sample()
        context.report(f"epoch {epoch}/{epochs}")

    monitor = Monitor(context.device)
    started = time.perf_counter()
    try:
        ensemble, jobs = NetworkEnsemble.fit_with_history(cases, hyperparameters, [seed], context.device, on_epoch)
    except StoppedError:
        return None
    seconds = time.perf_counter() - started
    losses = [(number, record.train_loss) for number, record in enumerate(jobs[0].history, 1)]
    monitor.sample(now=True)
    with tempfile.TemporaryDirectory() as folder:
        ensemble.save(Path(folder))
        files = {file.name: file.read_bytes() for file in Path(folder).iterdir()}
    return FittedMember(files, seconds, losses, device_name(context.device), monitor.curves)


def _load(member: FittedMember) -> NetworkEnsemble:
    with tempfile.TemporaryDirectory() as folder:
        for name, content in member.files.items():
            (Path(folder) / name).write_bytes(content)
        return NetworkEnsemble.load(Path(folder))


def score_network(context: WorkerContext, records: Records, final: FinalNetwork) -> dict[str, float]:
    """Scores the ensemble of the members once on the test cases, and logs it with its model and plots."""
    context.report("scoring")
    guard(context, records.uri, records.parent)
    ensemble, test = _load(final.members[0]), final.dataset.test
    for member in final.members[1:]:
        ensemble.members += _load(member).members
    begun = time.perf_counter()
    probabilities = ensemble.predict_proba(test)
    seconds = time.perf_counter() - begun
    results = {
        **final.metrics,
        **scores_on_test(test, probabilities, ensemble.classes),
        "fit_seconds": sum(member.seconds for member in final.members),
        "predict_seconds": seconds,
    }
    store = Store(records.uri)
    run = begin_run(store, records, names.NETWORK, "model", final.tags, final.started)
    curves = {f"train_loss_seed_{number}": member.train_loss for number, member in enumerate(final.members)}
    labels = {names.STATE: "complete", names.DEVICE: ", ".join(sorted({fitted.device for fitted in final.members}))}
    store.log(run, results, mlflow_params(ensemble.hyperparameters), {**curves, **_usage(final.members)}, labels)
    context.report("recording the model")
    record_model(store, records, run, final, ensemble, results)
    if final.trial_run:
        store.artifacts.copy(final.trial_run, run, names.OUT_OF_FOLD)
    record_pictures(store, records, run, ensemble, test, probabilities)
    store.end(run)
    return results


def _usage(members: Sequence[FittedMember]) -> dict[str, Curve]:
    """The resources that the members' processes used, summed up."""
    curves: dict[str, list[tuple[int, float]]] = {}
    begun = 0
    for member in members:
        for name, curve in member.usage.items():
            curves.setdefault(name, []).extend((begun + second, value) for second, value in curve)
        begun += round(member.seconds) + 1
    return dict(curves)


def write_report(context: WorkerContext, records: Records, study: SharedFolder, of_search: bool) -> None:
    """Writes the parent run's plots of the search when it has ended, or its report when everything else is recorded."""
    guard(context, records.uri, records.parent)
    (search_report.write_search_report if of_search else search_report.write_report)(records, study.path)


def run_baseline(
    context: WorkerContext,
    records: Records,
    baseline: BaselineConfig,
    dataset: DataSet,
    folds: Sequence[Fold],
    seed: int,
    evaluation: EvaluationConfig,
) -> Scored:
    """Fits a baseline on the training cases, scores it on the folds and once on the test cases, and logs it.

    It runs in a separate process, for at most `evaluation.baseline_timeout` seconds. A baseline that cannot take
    the cases is recorded as skipped; a failure, crash or time-out as failed; each with the reason. The preprocessing is
    recorded with the scores.
    """
    guard(context, records.uri, records.parent)
    store, started = Store(records.uri), time.time()
    run = begin_run(store, records, baseline.name, "baseline", {}, started)
    preprocessing = evaluation.baseline_preprocessing
    store.log(run, params=_baseline_params(baseline, seed) | preprocessing_params(preprocessing))
    with tempfile.TemporaryDirectory() as scratch:
        keeps_model = evaluation.keep_baselines and int(records.tags[names.RESAMPLE]) == 0
        keeping = Keeping(Path(scratch), names.title(records.tags), str(records.tags[names.RECIPE]), keeps_model)
        arguments = (baseline.classifier, baseline.parameters, dataset, folds, seed, preprocessing, keeping)
        state, reason, found = _score_apart(context, arguments, evaluation.baseline_timeout)
        if state == "complete":
            _keep(context, store, records, run, found, keeping, dataset)
    labels = {names.STATE: state, names.REASON: reason, names.PREPROCESSING: found.preprocessing}
    given = {TIME_STEPS: found.time_steps} if found.time_steps else {}
    store.log(run, found.metrics, given, tags={name: text for name, text in labels.items() if text})
    store.end(run, {"failed": "FAILED", "stopped": "KILLED"}.get(state, "FINISHED"))
    return Scored(state, reason, found.preprocessing)


def _keep(
    context: WorkerContext,
    store: Store,
    records: Records,
    run: str,
    found: BaselineScores,
    keeping: Keeping,
    dataset: DataSet,
) -> None:
    """Logs the kept files of a baseline on its run."""
    if (path := keeping.folder / names.OUT_OF_FOLD).is_file():
        store.artifacts.add(run, path)
    if found.model is not None:
        context.report("recording the model")
        log_model_files(store, records, run, found.model, found.metrics, dataset)
        store.log(run, tags={names.MODEL: "logged"})
    else:
        why = found.not_kept if keeping.model else "evaluation.keep_baselines is off"
        if int(records.tags[names.RESAMPLE]):
            why = "only the baselines of the archive's own split are kept"
        store.log(run, tags={names.MODEL: why})


def _score_apart(
    context: WorkerContext, arguments: tuple[Any, ...], timeout: float | None
) -> tuple[str, str, BaselineScores]:
    """The outcome of a baseline: its state, the reason, and its scores."""
    function = "tsbench.bench.baseline:score_baseline"
    try:
        found: BaselineScores = process_apart().call(
            function, arguments, timeout, lambda text: context.report(text or "starting"), lambda: context.stopping
        )
    except StoppedError:
        return "stopped", context.why, BaselineScores()
    except isolated.OverranError:
        assert timeout is not None
        limit = format_duration(timeout)
        return "failed", f"it took longer than {limit} (evaluation.baseline_timeout) and was ended", BaselineScores()
    except (isolated.FailedError, isolated.CrashedError) as error:
        return "failed", str(error), BaselineScores()
    return ("skipped", found.skipped, found) if found.skipped else ("complete", found.remark, found)


@lru_cache(maxsize=1)
def process_apart() -> isolated.IsolatedProcess:
    """This worker's process for baselines and members of `auto`, which ends with the worker."""
    return isolated.IsolatedProcess()


def _baseline_params(baseline: BaselineConfig, seed: int) -> dict[str, Any]:
    # A third-party classifier is imported only in the separate process, as its import runs code.
    known = BASELINES.get(baseline.classifier)
    parameters = {**(known.parameters if known else {}), **baseline.parameters}
    given = {f"baseline.{name}": value for name, value in parameters.items()}
    entry = json.dumps(baseline.model_dump(mode="json"))
    return {
        "baseline.classifier": known.path if known else baseline.classifier,
        "baseline.seed": seed,
        BASELINE_ENTRY: entry,
        **given,
    }


def begin_run(
    store: Store, records: Records, classifier: str, role: str, tags: Mapping[str, Any], started: float
) -> str:
    """Starts a classifier's run below its cell's parent run, and returns its id."""
    labels = {**records.tags, names.ROLE: role, names.CLASSIFIER: classifier, **tags}
    title = f"{records.tags[names.DATASET]} {classifier}"
    return store.begin(records.experiment, title, labels, records.parent, started)
