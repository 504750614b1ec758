"""Opens a unit's study: the one that an earlier call began, or a new one with its MLflow parent run."""

from __future__ import annotations

import io
import json
import uuid
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsbench.bench.plan import Plan, Unit
from tsbench.data.collection import Collection, DataSet
from tsbench.errors import DataError, RecipeError, SearchError, TrackingError
from tsbench.evaluation.resampling import Fold
from tsbench.search.specification import StudySpec, fingerprint_of, folds_of, stored_fingerprint, study_seed
from tsbench.search.study import Study
from tsbench.tracking import names, provenance
from tsbench.tracking.split import split_of
from tsbench.tracking.store import DataInput, Store

__all__ = [
    "archive_studies",
    "check_compatible",
    "check_roc_auc",
    "end_runs",
    "ended_on_error",
    "mark_lost",
    "open_study",
    "put_aside",
    "to_yaml",
    "unit_tags",
]


def check_compatible(plan: Plan) -> None:
    """Refuses to continue studies that were begun with another fingerprint of the recipe.

    Raises:
        RecipeError: names the studies and says how to start again.
    """
    changed = []
    for unit in plan.units:
        stored = stored_fingerprint(unit.folder)
        if stored is not None and _is_changed(plan, unit, stored, plan.load(unit)):
            changed.append(unit.title)
    if changed:
        raise _changed(plan, changed)


def _changed(plan: Plan, titles: Sequence[str]) -> RecipeError:
    return RecipeError(
        [
            f"{plan.loaded.path}: the recipe, its data, or how tsbench reads them changed since the search of "
            f"{', '.join(titles)} was begun, so its trials cannot be continued; run it with --fresh to start a new "
            "search (the old runs stay in MLflow), or give the recipe another name"
        ]
    )


def _is_changed(plan: Plan, unit: Unit, fingerprint: str, dataset: DataSet) -> bool:
    return fingerprint != _fingerprint(plan, unit, dataset) or not _are_read_alike(unit.folder, dataset.train)


def _are_read_alike(folder: Path, now: Collection) -> bool:
    """Whether the cases of a study are what its files give today: an older version took each column for a channel."""
    try:
        then = Collection.load(folder)
    except (OSError, ValueError, KeyError, TypeError):
        return True  # whoever opens the study says that it is damaged
    before, after = (np.unique(cases.labels, return_inverse=True)[1] for cases in (then, now))
    return then.values.shape == now.values.shape and np.array_equal(before, after)


def _fingerprint(plan: Plan, unit: Unit, dataset: DataSet) -> str:
    return fingerprint_of(**plan.fixed_settings(unit, dataset.files))


def unit_tags(plan: Plan, unit: Unit, identity: str) -> dict[str, Any]:
    """The tags that all MLflow runs of a unit have; `identity` is its study's."""
    return {
        names.DATASET: unit.dataset,
        names.RESAMPLE: unit.resample,
        names.SPLIT: split_of(plan.loaded.recipe, unit.dataset).tag,
        names.RECIPE: plan.loaded.recipe.name,
        names.STUDY: identity,
    }


def open_study(plan: Plan, unit: Unit, dataset: DataSet) -> tuple[Study, bool]:
    """Continues the unit's study if there is one, else begins it.

    Returns:
        The study, and whether an earlier call did all that it was to do, to the last record.

    Raises:
        RecipeError: the study is of another fingerprint of the recipe.
        SearchError: its trials are gone.
        TrackingError: its parent run is gone, or the store failed.
    """
    fingerprint, stored = _fingerprint(plan, unit, dataset), stored_fingerprint(unit.folder)
    if stored is None:
        return _begin_study(plan, unit, dataset, fingerprint), False
    if _is_changed(plan, unit, stored, dataset):
        raise _changed(plan, [unit.title])
    study = Study.open(unit.folder)
    _ = study.optuna  # a study that cannot be read is refused before its parent run is touched
    if (status := plan.store.resume(study.spec.parent_run)) is None:
        raise TrackingError(
            f"the MLflow run {study.spec.parent_run}, in which the search of {unit.title} is recorded, is gone; "
            "restore it in the MLflow UI, or run with --fresh, which archives the study and begins a new one"
        )
    with ended_on_error(plan.store, study.spec.parent_run):
        mark_lost(study, plan.store, study.trials().running(), "the search was killed")
        _fail_runs_of_lost(study, plan.store)
    return study, status == "FINISHED"


def _begin_study(plan: Plan, unit: Unit, dataset: DataSet, fingerprint: str) -> Study:
    spec = _new_spec(plan, unit, dataset)
    with ended_on_error(plan.store, spec.parent_run):
        Study.archive(unit.folder)  # what a search left there that was killed before the study was whole
        return Study.create(unit.folder, spec, dataset.training_set(), fingerprint)


def archive_studies(plan: Plan) -> None:
    """Makes room for new studies of all units that can be begun; the others keep theirs."""
    units = [unit for unit in plan.units if unit.folder.exists() and _can_begin(plan, unit)]
    for unit in units:  # all of what the store could refuse comes before the first study is moved
        _end_old(plan, unit)
    for unit in units:
        Study.archive(unit.folder)


def _can_begin(plan: Plan, unit: Unit) -> bool:
    search = plan.loaded.recipe.search
    try:
        dataset = plan.load(unit)
        with warnings.catch_warnings(action="ignore"):  # the unit itself says them when it is begun
            folds = folds_of(dataset.training_set(), search, study_seed(search, unit.resample))
        if "roc_auc" in (search.metric, *search.trade_off):
            check_roc_auc(dataset.train.labels, folds)
    except DataError:
        return False
    return True


def check_roc_auc(labels: NDArray[np.str_], folds: Sequence[Fold]) -> None:
    """Refuses folds that have no area under the curve.

    Raises:
        DataError: a fold's validation cases are of one class, or of classes that are not trained on.
    """
    for number, (training, validation) in enumerate(folds):
        occurring = np.unique(labels[validation])
        if len(occurring) < 2 or not np.isin(occurring, labels[training]).any():
            raise DataError(
                f"the recipe searches by roc_auc, which is not defined on fold {number}: its validation cases are all "
                f"of class {' or '.join(repr(str(label)) for label in occurring)}; take another metric, or fewer folds"
            )


def put_aside(plan: Plan, unit: Unit) -> None:
    """Makes room for a new study of a unit; what a machine that crashed left open of the old one is ended."""
    _end_old(plan, unit)
    Study.archive(unit.folder)


def _end_old(plan: Plan, unit: Unit) -> None:
    # One that lost its trials or database, or that another version wrote, must not keep a new one from being begun.
    with suppress(SearchError, KeyError, TypeError, ValueError, AssertionError):
        study = Study.open(unit.folder)
        end_runs(plan.store, study.spec, with_parent=True)
        mark_lost(study, plan.store, study.trials().running(), "a new search was begun")


@contextmanager
def ended_on_error(store: Store, run: str) -> Iterator[None]:
    """A run whose search cannot be begun, or is interrupted herein, is ended."""
    try:
        yield
    except BaseException:
        with suppress(TrackingError):  # the first error says more
            store.end(run, "KILLED")
        raise


def end_runs(store: Store, spec: StudySpec, with_parent: bool = False) -> None:
    """Ends the runs of a study that still run, as killed."""
    where = names.where({names.STUDY: spec.identity}, status="RUNNING")
    for run in list(store.runs_in(spec.experiment, where)):
        if with_parent or run.run_id != spec.parent_run:
            store.end(run.run_id, "KILLED")


def mark_lost(study: Study, store: Store, numbers: Iterable[int], reason: str) -> None:
    """Tells trials failed that nobody runs any more, first in Optuna, then in MLflow."""
    for number in [trial for trial in numbers if study.queue.fail_lost(trial, reason)]:
        tags = {names.STUDY: study.spec.identity, names.ROLE: "trial", names.TRIAL: number}
        for run in list(store.runs_in(study.spec.experiment, names.where(tags))):
            store.fail(run.run_id, reason)  # also where the worker had ended it, and died before it told Optuna


def _fail_runs_of_lost(study: Study, store: Store) -> None:
    """Does what is left of `mark_lost` where the earlier call was killed between Optuna and MLflow.

    That is seldom, and where nothing was lost there is nothing to look for.
    """
    lost = study.trials().lost()
    if not lost:
        return
    tags = {names.STUDY: study.spec.identity, names.ROLE: "trial"}
    for status in ("FINISHED", "RUNNING"):  # the worker had ended the run before it died, or had not
        for run in list(store.runs_in(study.spec.experiment, names.where(tags, status=status))):
            if (number := int(run.tags[names.TRIAL])) in lost:
                store.fail(run.run_id, lost[number])


def _new_spec(plan: Plan, unit: Unit, dataset: DataSet) -> StudySpec:
    recipe, identity = plan.loaded.recipe, uuid.uuid4().hex[:12]
    experiment = plan.store.experiment(recipe.name)
    return StudySpec(
        identity=identity,
        recipe=recipe.name,
        dataset=unit.dataset,
        resample=unit.resample,
        base=recipe.hyperparameters,
        space=plan.loaded.space,
        search=recipe.search.model_copy(update={"trials": plan.trials}),
        concurrency=plan.concurrency,
        tracking_uri=plan.store.uri,
        experiment=experiment,
        parent_run=_begin_parent(plan, unit, dataset, experiment, identity),
    )


def _begin_parent(plan: Plan, unit: Unit, dataset: DataSet, experiment: str, identity: str) -> str:
    tags = {**unit_tags(plan, unit, identity), names.ROLE: "search", "mlflow.source.name": plan.loaded.path.name}
    if commit := provenance.git_commit(plan.loaded.path.absolute().parent):
        tags["mlflow.source.git.commit"] = commit
    tags |= {f"tsbench.sha256.{name}": digest for name, digest in dataset.files.items()}
    store = plan.store
    run = store.begin(experiment, unit.title, tags)
    with ended_on_error(store, run):
        store.artifacts.write_text(run, to_yaml(plan.resolved()), "recipe.yaml")
        store.artifacts.write_text(run, json.dumps(provenance.versions(), indent=2), "versions.json")
        store.log_inputs(run, [_input(unit, dataset, "train"), _input(unit, dataset, "test")])
    return run


def _input(unit: Unit, dataset: DataSet, context: str) -> DataInput:
    cases: Collection = getattr(dataset, context)
    name = f"{unit.title} {context}"
    return DataInput(name, context, cases.digest(), dataset.source, cases.values, cases.labels)


def to_yaml(tree: dict[str, Any]) -> str:
    """Plain data as YAML."""
    from ruamel.yaml import YAML

    text = io.StringIO()
    yaml = YAML()
    yaml.default_flow_style = None
    yaml.dump(tree, text)
    return text.getvalue()
