"""Opens a cell's study: that of an earlier call, or a new one with its MLflow parent run."""

from __future__ import annotations

import json
import time
import uuid
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsbench.bench.payloads import Records
from tsbench.bench.plan import Cell, Plan
from tsbench.bench.time_budget import TimeBudget
from tsbench.data.collection import Collection, DataSet
from tsbench.errors import DataError, RecipeError, SearchError, TrackingError, argument
from tsbench.evaluation.resampling import Fold
from tsbench.recipe.schema import SearchConfig
from tsbench.recipe.writing import to_yaml
from tsbench.studies.specification import (
    StudySpec,
    fingerprint_of,
    folds_of,
    is_held_out,
    or_fresh,
    repeats_for,
    stored_fingerprint,
    study_seed,
)
from tsbench.studies.study import Study
from tsbench.tracking import names, provenance
from tsbench.tracking.split import split_of
from tsbench.tracking.store import DataInput, Store

__all__ = [
    "OpenCell",
    "archive_studies",
    "cell_tags",
    "check_compatible",
    "check_roc_auc",
    "end_runs",
    "ended_on_error",
    "mark_lost",
    "open_study",
]


def check_compatible(plan: Plan) -> None:
    """Refuses to continue studies of a recipe with another fingerprint.

    Raises:
        RecipeError: names the studies and says how to start again.
    """
    stored = {cell: stored_fingerprint(cell.folder) for cell in plan.cells}
    changed = [cell.title for cell, then in stored.items() if then and _is_changed(plan, cell, then, plan.load(cell))]
    if changed:
        raise _changed(plan, changed)


def _changed(plan: Plan, titles: Sequence[str]) -> RecipeError:
    hint = ""
    if "space" not in plan.loaded.recipe.model_fields_set and plan.loaded.space:
        own = replace(plan, loaded=replace(plan.loaded, space={}))
        cells = [cell for cell in plan.cells if cell.title in titles]
        if not any(_is_changed(own, cell, stored_fingerprint(cell.folder) or "", plan.load(cell)) for cell in cells):
            hint = "write `space: {}` to continue it with only the recipe's own values, "
    return RecipeError(
        [
            f"{plan.loaded.path}: the recipe, its data, or how tsbench reads them changed since the search of "
            f"{', '.join(titles)} was started, so its trials cannot be continued; {hint}run it with "
            f"{argument('--fresh', 'fresh=True')} to start a new search (the old runs stay in MLflow), or give the "
            "recipe another name"
        ]
    )


def _is_changed(plan: Plan, cell: Cell, fingerprint: str, dataset: DataSet) -> bool:
    earlier = [fingerprint_of(**settings) for settings in plan.earlier_settings(cell, dataset.files)]
    return fingerprint not in (_fingerprint(plan, cell, dataset), *earlier) or not _are_read_alike(
        cell.folder, dataset.train
    )


def _are_read_alike(folder: Path, now: Collection) -> bool:
    """Whether the files still give the study's cases: an older version treated every column as a channel."""
    try:
        then = Collection.load(folder)
    except (OSError, ValueError, KeyError, TypeError):
        return True  # opening the study reports that it is damaged
    before, after = (np.unique(cases.labels, return_inverse=True)[1] for cases in (then, now))
    return then.values.shape == now.values.shape and np.array_equal(before, after)


def _fingerprint(plan: Plan, cell: Cell, dataset: DataSet) -> str:
    return fingerprint_of(**plan.fixed_settings(cell, dataset.files))


def cell_tags(plan: Plan, cell: Cell, identity: str) -> dict[str, Any]:
    """The tags of all MLflow runs of a cell; `identity` is its study's."""
    return {
        names.DATASET: cell.dataset,
        names.RESAMPLE: cell.resample,
        names.SPLIT: split_of(plan.loaded.recipe, cell.dataset).tag,
        names.RECIPE: plan.loaded.recipe.name,
        names.STUDY: identity,
    }


class OpenCell:
    """What the stages of a cell share: its data, study, records, time and messages.

    Attributes:
        plan: what the cell is part of.
        recipe: the plan's.
        title: the cell's name in messages.
        resample: number of the resample.
        dataset: read again.
        study: continued, or begun.
        search: settings of the study; a study of an earlier version keeps its own, with the recipe's budgets.
        undivided: why the training cases cannot be cross-validated, so that nothing is searched; empty if they can.
        trials: of the study; none if there is no search.
        confirm: number of best trials that are scored again; a study keeps its own unless the recipe sets it.
        was_finished: whether an earlier call finished everything, including the last record.
        records: where its runs are recorded.
        budget: the time of its search and refit.
        notes: lines to be shown, which the caller clears.
        failures: permanent failures, one sentence each.

    Raises:
        DataError: the data cannot be read, resampled, or searched by the recipe's metric.
        RecipeError, SearchError, TrackingError: see `open_study`.
    """

    def __init__(self, plan: Plan, cell: Cell) -> None:
        opened = time.time()
        self.plan, self.recipe, self.title, self.resample = plan, plan.loaded.recipe, cell.title, cell.resample
        self.dataset = plan.load(cell)
        self.notes: list[str] = []
        self.failures: list[str] = []
        self.search = _search_of(plan, cell)
        self.undivided = ""
        if plan.trials and not self._is_easily_divided():
            _ = self.folds  # so that notes on the folds are shown now
        self.trials = 0 if self.undivided else plan.trials
        self.study, self.was_finished = open_study(plan, cell, self.dataset)
        spec = self.study.spec
        tags = cell_tags(plan, cell, spec.identity)
        self.records = Records(spec.tracking_uri, spec.experiment, spec.parent_run, tags)
        asked = self.recipe.search
        self.confirm = asked.confirm if "confirm" in asked.model_fields_set else spec.search.confirm
        with ended_on_error(plan.store, spec.parent_run):
            self.study.notes.set_budget(self.trials)
            if self.undivided:
                self.study.notes.note_remark(self.undivided)
            self.budget = TimeBudget(
                self.study,
                self.recipe,
                plan.workers,
                opened,
                self._network_share,
                self.confirm,
                self._confirm_share,
            )

    def note(self, text: str) -> None:
        """Has a line shown."""
        self.notes.append(f"{self.title}: {text}")

    def fail(self, text: str, details: str = "") -> None:
        """Records a failure and shows it, with details such as a traceback."""
        self.failures.append(f"{self.title}: {text}")
        self.note(f"{text}\n{details}" if details else text)

    def _is_easily_divided(self) -> bool:
        """Whether the folds need no note, so that the first trials need not wait for scikit-learn."""
        train, search = self.dataset.train, self.search
        smallest = np.unique(train.labels, return_counts=True)[1].min()
        return (
            train.groups is None
            and "roc_auc" not in (search.metric, *search.trade_off)
            and search.fraction == 1
            and len(train) <= search.holdout_above
            and search.folds <= smallest
        )

    @cached_property
    def folds(self) -> list[Fold]:
        """Of the training cases; none if they cannot be divided.

        Raises:
            DataError: they cannot be searched by the recipe's metric.
        """
        search, seed = self.search, study_seed(self.search, self.resample)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                folds = folds_of(self.dataset.training_set(), search, seed)
            except DataError as error:
                own = "; the network has the recipe's own values, without a search" if self.plan.trials else ""
                self.undivided = f"there are no CV scores: {error}{own}"
                self.note(self.undivided)
                return []
        for warning in caught:
            self.note(str(warning.message))
        if self.plan.trials:
            check_roc_auc(search, self.dataset.train.labels, folds)
        return folds

    def _network_share(self) -> float:
        """The ratio of a final network's training time to a trial's, which trains on each fold's training cases."""
        if self._is_easily_divided():
            return 1 / ((self.search.folds - 1) * repeats_for(self.search, len(self.dataset.train)))
        return len(self.dataset.train) / sum(len(training) for training, _ in self.folds)

    @cached_property
    def _has_held_out_part(self) -> bool:
        return is_held_out(self.dataset.training_set(), self.search, study_seed(self.search, self.resample))

    def _confirm_share(self) -> float:
        """The ratio of a confirmation's time to a trial's: it has several held-out parts, and a trial only one."""
        return self.search.folds if self._has_held_out_part else 1


def _search_of(plan: Plan, cell: Cell) -> SearchConfig:
    """The search settings of the cell's study if there is one; opening the study reports if it cannot be read."""
    with suppress(SearchError):
        if stored_fingerprint(cell.folder) is not None:
            return StudySpec.read(cell.folder).search
    return plan.loaded.recipe.search


def open_study(plan: Plan, cell: Cell, dataset: DataSet) -> tuple[Study, bool]:
    """Continues the cell's study if it exists, else creates it.

    Returns:
        The study, and whether an earlier call finished everything, including the last record.

    Raises:
        RecipeError: the recipe has another fingerprint than the study's.
        SearchError: its trials were deleted.
        TrackingError: its parent run was deleted, or the store failed.
    """
    fingerprint, stored = _fingerprint(plan, cell, dataset), stored_fingerprint(cell.folder)
    if stored is None:
        return _begin_study(plan, cell, dataset, fingerprint), False
    if _is_changed(plan, cell, stored, dataset):
        raise _changed(plan, [cell.title])
    study = Study.open(cell.folder)
    _ = study.optuna  # a study that cannot be read is refused before its parent run is touched
    if (status := plan.store.resume(study.spec.parent_run)) is None:
        raise TrackingError(
            f"the MLflow run {study.spec.parent_run}, in which the search of {cell.title} is recorded, was deleted; "
            f"restore it in the MLflow UI, {or_fresh()}"
        )
    with ended_on_error(plan.store, study.spec.parent_run):
        mark_lost(study, plan.store, study.trials().running(), "the search was killed")
        _fail_runs_of_lost(study, plan.store)
    return study, status == "FINISHED"


def _begin_study(plan: Plan, cell: Cell, dataset: DataSet, fingerprint: str) -> Study:
    spec = _new_spec(plan, cell, dataset)
    with ended_on_error(plan.store, spec.parent_run):
        Study.archive(cell.folder)  # left by a search that was killed before the study was complete
        return Study.create(cell.folder, spec, dataset.training_set(), fingerprint)


def archive_studies(plan: Plan) -> None:
    """Archives the studies of all cells that can be started; the others keep theirs."""
    cells = [cell for cell in plan.cells if cell.folder.exists() and _can_begin(plan, cell)]
    for cell in cells:  # every call that the store could refuse precedes the move of the first study
        _end_old(plan, cell)
    for cell in cells:
        Study.archive(cell.folder)


def _can_begin(plan: Plan, cell: Cell) -> bool:
    try:
        dataset = plan.load(cell)
    except DataError:
        return False
    search = plan.loaded.recipe.search
    try:
        with warnings.catch_warnings(action="ignore"):  # reported when the cell is started
            folds = folds_of(dataset.training_set(), search, study_seed(search, cell.resample))
    except DataError:
        return True  # without a search
    try:
        check_roc_auc(search, dataset.train.labels, folds)
    except DataError:
        return not plan.trials
    return True


def check_roc_auc(search: SearchConfig, labels: NDArray[np.str_], folds: Sequence[Fold]) -> None:
    """Refuses folds without an area under the curve, if the search's metric is that.

    Raises:
        DataError: a fold's validation cases are of one class, or of classes that are not trained on.
    """
    if "roc_auc" not in (search.metric, *search.trade_off):
        return
    for number, (training, validation) in enumerate(folds):
        occurring = np.unique(labels[validation])
        if len(occurring) < 2 or not np.isin(occurring, labels[training]).any():
            raise DataError(
                f"the recipe searches by roc_auc, which is not defined on fold {number}: its validation cases are all "
                f"of class {' or '.join(repr(str(label)) for label in occurring)}; use another metric, or fewer folds"
            )


def _end_old(plan: Plan, cell: Cell) -> None:
    # A study without its trials or database, or of another version, must not prevent a new one.
    with suppress(SearchError, KeyError, TypeError, ValueError, AssertionError):
        study = Study.open(cell.folder)
        end_runs(plan.store, study.spec, with_parent=True)
        mark_lost(study, plan.store, study.trials().running(), "a new search was started")


@contextmanager
def ended_on_error(store: Store, run: str) -> Iterator[None]:
    """Ends the run if its search cannot be started, or is interrupted in the context."""
    try:
        yield
    except BaseException:
        with suppress(TrackingError):  # the first error is more informative
            store.end(run, "KILLED")
        raise


def end_runs(store: Store, spec: StudySpec, with_parent: bool = False) -> None:
    """Ends the runs of a study that still run, as killed."""
    where = names.where({names.STUDY: spec.identity}, status="RUNNING")
    for run in list(store.runs_in(spec.experiment, where)):
        if with_parent or run.run_id != spec.parent_run:
            store.end(run.run_id, "KILLED")


def mark_lost(study: Study, store: Store, numbers: Iterable[int], reason: str) -> None:
    """Marks trials without a worker as failed, first in Optuna, then in MLflow."""
    for number in [trial for trial in numbers if study.queue.fail_lost(trial, reason)]:
        tags = {names.STUDY: study.spec.identity, names.ROLE: "trial", names.TRIAL: number}
        for run in list(store.runs_in(study.spec.experiment, names.where(tags))):
            store.fail(run.run_id, reason)  # also if the worker ended it and died before it reported to Optuna


def _fail_runs_of_lost(study: Study, store: Store) -> None:
    """Completes a `mark_lost` that was killed between Optuna and MLflow.

    That is seldom, and where nothing was lost there is nothing to look for.
    """
    lost = study.trials().lost()
    tags = {names.STUDY: study.spec.identity, names.ROLE: "trial"}
    for status in ("FINISHED", "RUNNING") if lost else ():  # the worker may have ended the run before it died
        for run in list(store.runs_in(study.spec.experiment, names.where(tags, status=status))):
            if (number := int(run.tags[names.TRIAL])) in lost:
                store.fail(run.run_id, lost[number])


def _new_spec(plan: Plan, cell: Cell, dataset: DataSet) -> StudySpec:
    recipe, identity = plan.loaded.recipe, uuid.uuid4().hex[:12]
    experiment = plan.store.experiment(recipe.name)
    return StudySpec(
        identity=identity,
        recipe=recipe.name,
        dataset=cell.dataset,
        resample=cell.resample,
        base=recipe.hyperparameters,
        space=plan.loaded.space,
        search=recipe.search.model_copy(update={"trials": plan.trials}),
        concurrency=plan.concurrency,
        tracking_uri=plan.store.uri,
        experiment=experiment,
        parent_run=_begin_parent(plan, cell, dataset, experiment, identity),
        portfolio=plan.portfolio,
    )


def _begin_parent(plan: Plan, cell: Cell, dataset: DataSet, experiment: str, identity: str) -> str:
    tags = {**cell_tags(plan, cell, identity), names.ROLE: "search", "mlflow.source.name": plan.loaded.path.name}
    if commit := provenance.git_commit(plan.loaded.path.absolute().parent):
        tags["mlflow.source.git.commit"] = commit
    tags |= {f"tsbench.sha256.{name}": digest for name, digest in dataset.files.items()}
    store = plan.store
    run = store.begin(experiment, cell.title, tags)
    with ended_on_error(store, run):
        store.artifacts.write_text(run, to_yaml(plan.resolved()), "recipe.yaml")
        store.artifacts.write_text(run, json.dumps(provenance.versions(), indent=2), "versions.json")
        store.log_inputs(run, [_input(cell, dataset, "train"), _input(cell, dataset, "test")])
    return run


def _input(cell: Cell, dataset: DataSet, context: str) -> DataInput:
    cases: Collection = getattr(dataset, context)
    name = f"{cell.title} {context}"
    return DataInput(name, context, cases.digest(), dataset.source, cases.values, cases.labels)
