"""Runs a recorded baseline again, from the records of its run and its parent run."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from tsbench.auto.portfolio import candidate_of
from tsbench.auto.training import AutoTraining
from tsbench.bench.auto_task import auto_scores
from tsbench.bench.baseline import BaselineScores
from tsbench.bench.payloads import BASELINE_ENTRY, PREPROCESSING_PARAMS
from tsbench.errors import ModelError, TrackingError
from tsbench.models.reopening import RecordedCell
from tsbench.recipe.schema import BaselineConfig, BaselinePreprocessingConfig
from tsbench.studies.specification import folds_of, study_seed
from tsbench.tracking import names
from tsbench.tracking.store import RunRecord, Store
from tsbench.workers.isolated import CrashedError, FailedError, IsolatedProcess

__all__ = ["check_reproducible", "fit_auto_again", "score_again"]


def check_reproducible(run: RunRecord) -> None:
    """Refuses a baseline's run that has no values.

    Raises:
        ModelError: with the reason.
    """
    state = run.tags.get(names.STATE)
    if state != "complete":
        reason = run.tags.get(names.REASON, "it did not end")
        raise ModelError(
            f"the run {run.run_id} ({run.name}) has no values to reproduce: {state or 'not finished'} ({reason})"
        )


def score_again(
    run: RunRecord, cell: RecordedCell, cross_validates: bool, report: Callable[[str], None]
) -> BaselineScores:
    """Fits and scores a baseline by its run's settings, in a separate process, as a worker does.

    Args:
        run: the baseline's, complete.
        cell: of the run.
        cross_validates: whether it has scores on the search's folds.
        report: called with lines of progress.

    Raises:
        ModelError: its settings were not recorded or are not known to this version, or it can no longer be run.
    """
    baseline, search = _entry(run, cell), cell.plan.loaded.recipe.search
    folds = folds_of(cell.dataset.training_set(), search, study_seed(search, cell.resample))
    arguments = (
        baseline.classifier,
        baseline.parameters,
        cell.dataset,
        folds if cross_validates else [],
        _seed(run),
        _preprocessing(run),
    )
    process = IsolatedProcess()
    try:
        scores: BaselineScores = process.call(
            "tsbench.bench.baseline:score_baseline", arguments, report=lambda text: report(text or "starting")
        )
    except (FailedError, CrashedError) as error:
        raise ModelError(f"the baseline of run {run.run_id} ({run.name}) failed now: {error}", exit_code=1) from None
    finally:
        process.end()
    if scores.skipped:
        raise ModelError(
            f"the baseline of run {run.run_id} ({run.name}) can no longer be run: {scores.skipped}", exit_code=1
        )
    return scores


def fit_auto_again(store: Store, run: RunRecord, cell: RecordedCell, report: Callable[[str], None]) -> dict[str, float]:
    """The scores of `auto`, fitted without a time limit from the candidates that its time limit sufficed for.

    Raises:
        ModelError: the time or the memory did not suffice for all fits of a member, so that the vote depends on the
            machine; or the candidates were not recorded.
    """
    try:
        kept = json.loads(store.artifacts.read_text(run.run_id, names.CANDIDATES))
    except TrackingError:
        raise ModelError(
            f"the run {run.run_id} ({run.name}) is of a version of tsbench that did not record the candidates of "
            "`auto`; its saved model predicts the same (tsbench predict)"
        ) from None
    if kept["cut_short"]:
        raise ModelError(
            f"the run {run.run_id} ({run.name}) cannot be reproduced: the time or the memory did not suffice for all "
            f"fits of {', '.join(kept['cut_short'])}, and how many there are depends on the machine; its saved model "
            "predicts the same (tsbench predict)"
        )
    candidates = [candidate_of(entry["name"], entry["classifier"], entry["parameters"]) for entry in kept["candidates"]]
    training = AutoTraining(
        cell.dataset.train,
        candidates,
        seed=int(run.params["auto.seed"]),
        jobs=int(run.params["auto.jobs"]),
        device=cell.plan.devices[0],
        on_change=lambda: report(str(training.progress())),
    )
    return auto_scores(training.run(), cell.dataset)


def _entry(run: RunRecord, cell: RecordedCell) -> BaselineConfig:
    """The baseline's entry in the recipe; runs of older versions have it only in their parent run's recipe."""
    if (text := run.params.get(BASELINE_ENTRY)) is not None:
        return BaselineConfig.model_validate(json.loads(text))
    for baseline in cell.plan.loaded.recipe.baselines:
        if baseline.name == run.tags[names.CLASSIFIER]:
            return baseline
    raise ModelError(
        f"the run {run.run_id} ({run.name}) is of an older version of tsbench, which did not record its parameters in "
        "full, and the recipe of its search does not name it; run the baseline again with tsbench search"
    )


def _seed(run: RunRecord) -> int:
    try:
        return int(run.params["baseline.seed"])
    except KeyError:
        raise ModelError(
            f"the run {run.run_id} ({run.name}) is of an older version of tsbench, which did not record the seed of a "
            "baseline; run the baseline again with tsbench search"
        ) from None


def _preprocessing(run: RunRecord) -> BaselinePreprocessingConfig | None:
    """The run's settings; None for versions that gave every baseline the cases unchanged."""
    given: dict[str, Any] = {
        name.removeprefix(PREPROCESSING_PARAMS): int(text) if text.isdecimal() else text
        for name, text in run.params.items()
        if name.startswith(PREPROCESSING_PARAMS)
    }
    try:
        return BaselinePreprocessingConfig.model_validate(given) if given else None
    except ValidationError as error:
        raise ModelError(
            f"the preprocessing of run {run.run_id} is not known to this version: {error.errors()[0]['msg']}"
        ) from None
