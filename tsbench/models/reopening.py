"""Reopens a recorded run: its recipe, its data set and its model."""

from __future__ import annotations

import logging
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tsbench.bench.model_files import EXAMPLES, MODEL_FOLDER
from tsbench.bench.plan import Plan, make_plan
from tsbench.data.collection import Collection, DataSet
from tsbench.data.column_roles import Columns
from tsbench.data.folders import is_file, is_folder
from tsbench.errors import ModelError, RecipeError, argument
from tsbench.recipe.loading import load_recipe
from tsbench.recipe.writing import to_yaml
from tsbench.studies.specification import EARLIER
from tsbench.tracking import names
from tsbench.tracking.models import fetch_model
from tsbench.tracking.store import RunRecord, Store

if TYPE_CHECKING:
    import pandas as pd

    from tsbench.classifiers.contract import FittedClassifier
    from tsbench.classifiers.ensemble import NetworkEnsemble

__all__ = ["RecordedCell", "SavedModel", "model_run", "open_cell", "open_model"]

_logger = logging.getLogger(__name__)

HERE = ("execution.workers=1", "execution.device=auto", "execution.launcher=local", "execution.slurm={}")
"""Settings with which a recorded recipe is read, wherever it was run; version 0.1.0 had a launcher for Slurm."""


@dataclass(frozen=True)
class RecordedCell:
    """The cell that a run belongs to, as its parent run describes it.

    Attributes:
        parent: the parent run.
        plan: of the recorded recipe, on this machine.
        resample: number of the resample.
        dataset: the data, read again.
    """

    parent: RunRecord
    plan: Plan
    resample: int
    dataset: DataSet

    def changed_files(self) -> list[str]:
        """Files of the data set whose content differs from the parent run's record."""
        recorded = {key: value for key, value in self.parent.tags.items() if key.startswith(SHA256)}
        here = {f"{SHA256}{name}": digest for name, digest in self.dataset.files.items()}
        return sorted(
            key.removeprefix(SHA256) for key in recorded.keys() | here.keys() if recorded.get(key) != here.get(key)
        )


SHA256 = "tsbench.sha256."  # the parent run's tags of the data set's files


def open_cell(store: Store, run: RunRecord) -> RecordedCell:
    """Reads the recipe that a run's parent recorded, and the data set that it names.

    Raises:
        TrackingError: the parent run was deleted.
        DataError: the data set is not available here.
        RecipeError: this version of tsbench does not support the recorded recipe.
    """
    parent = run if run.tags[names.ROLE] == "search" else store.run(run.tags["mlflow.parentRunId"])
    text = _alone(store.artifacts.read_text(parent.run_id, "recipe.yaml"), run.tags[names.DATASET])
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "recipe.yaml"
        path.write_text(text, encoding="utf-8")
        try:
            plan = make_plan(load_recipe(path, HERE))
        except RecipeError as error:
            problems = [problem.replace(f"{path}:", "recipe.yaml:") for problem in error.problems]
            raise RecipeError([f"run {parent.run_id}: {problem}" for problem in problems]) from None
    cell = next(candidate for candidate in plan.cells if candidate.resample == int(run.tags[names.RESAMPLE]))
    return RecordedCell(parent, plan, cell.resample, plan.load(cell))


def _alone(recipe: str, dataset: str) -> str:
    """A recipe's text with only this data set, and earlier versions' values of settings that it lacks."""
    from ruamel.yaml import YAML

    tree = YAML(typ="safe").load(recipe)
    entries = [entry for entry in tree["datasets"] if (entry["name"] if isinstance(entry, dict) else entry) == dataset]
    tree["datasets"] = entries or [dataset]
    tree["search"] = EARLIER | tree.get("search", {})
    return to_yaml(tree)


@dataclass(frozen=True, repr=False)
class SavedModel:
    """A fitted classifier with the files that were logged with it.

    Attributes:
        classifier: the final network of a search, a baseline, or `auto`.
        examples: a few of its training cases.
        run: its run; None for a model that was given as a folder or by its name in the registry.
    """

    classifier: FittedClassifier
    examples: Collection
    run: RunRecord | None

    @property
    def classes(self) -> NDArray[np.str_]:
        """Shape (classes,), the labels that it predicts, in the order of the columns of `predict_proba`."""
        return self.classifier.classes

    def predict(self, cases: Any) -> NDArray[np.str_]:
        """The most probable label of each case, shape (cases,).

        Args:
            cases: an array of shape (cases, channels, time steps), a list of cases that may differ in length, each an
                array (channels, time steps) or a data frame (time steps, channels), a long table, or a file of cases.

        Raises:
            ModelError: the model cannot take a case.
            DataError: a file cannot be read.
        """
        return np.asarray(self.predict_table(cases)["label"], dtype=str)

    def predict_proba(self, cases: Any) -> NDArray[np.float64]:
        """Class probabilities, shape (cases, classes), in the order of `classes`; for arguments see `predict`."""
        return np.asarray(self.predict_table(cases).drop(columns="label"), dtype=np.float64)

    def predict_table(self, cases: Any) -> pd.DataFrame:
        """Labels and probabilities, a row for each case; for arguments see `predict`.

        Returns:
            Columns `label` and `probability_<class>` for each class, indexed by the cases' names.
        """
        import pandas as pd

        from tsbench.classifiers.serving import NamedCases, predict_table, read_input
        from tsbench.models.prediction import read_cases

        classifier = self.classifier
        if isinstance(cases, Collection):
            named = NamedCases.numbered(cases)
        elif isinstance(cases, str | Path):
            named = read_cases(Path(cases), classifier, {})
        elif isinstance(cases, list | tuple) and cases and all(isinstance(case, pd.DataFrame) for case in cases):
            from tsbench.classifiers.series_classifier import collection_of

            named = NamedCases.numbered(collection_of(cases, known=classifier.columns))
        else:
            named = read_input(cases, classifier.channels, classifier.columns)
        return predict_table(classifier, named)

    def __repr__(self) -> str:
        return f"SavedModel({self.classifier.summary()})"

    def network(self, purpose: str) -> NetworkEnsemble:
        """The classifier, for functions that only networks have.

        Args:
            purpose: to follow "cannot be", such as `exported as ONNX`.

        Raises:
            ModelError: it is not a network.
        """
        from tsbench.classifiers.ensemble import NetworkEnsemble

        if not isinstance(self.classifier, NetworkEnsemble):
            raise ModelError(f"{self.classifier.summary()} cannot be {purpose}; only tsbench's networks can")
        return self.classifier


def open_model(store: Store | None, reference: str) -> SavedModel:
    """Loads a model.

    Args:
        store: where runs and registered models are; None if there is no store.
        reference: id of a final network's or baseline's run, or of a search's parent run for its final network,
            `runs:/<id>/model`, `models:/<name>@<alias>` or another of MLflow's model addresses, or a folder with a
            model's files.

    Raises:
        ModelError: there is no such model, or it is of a newer version or of another project.
        TrackingError: the store failed, or there is no such run.
    """
    from tsbench.classifiers.saved import load_classifier

    with tempfile.TemporaryDirectory() as scratch:
        run = None
        if is_folder(reference):
            folder = _files_in(Path(reference))
        elif reference.endswith(".zip") and is_file(reference):
            raise ModelError(
                f"{reference} is a file; load a classifier that `save` wrote by its class, as in "
                "tsbench.NetworkClassifier.load_from_path"
            )
        else:
            if store is None:
                raise ModelError(f"{reference} is not a folder, and there is no MLflow store to search for it")
            uri = reference
            if not re.match(r"(runs|models):/", reference):
                run = model_run(store, reference)
                uri = f"runs:/{run.run_id}/model"
            folder = fetch_model(store, uri, Path(scratch))
        classifier = load_classifier(folder)
        model = SavedModel(classifier, _examples(folder / EXAMPLES, classifier.columns), run)
        _logger.debug("%s: opened a model, %s", reference, model.classifier.summary())
        return model


def _examples(path: Path, columns: Columns | None) -> Collection:
    """The training cases kept with a model; none if it was saved without them."""
    if not path.is_file():
        return Collection(np.zeros((0, 1, 1)), np.zeros(0, dtype=np.int64), np.zeros(0, dtype="<U1"))
    with np.load(path, allow_pickle=False) as kept:
        return Collection(kept["values"], kept["lengths"], kept["labels"], columns=columns)


def _files_in(folder: Path) -> Path:
    """The folder itself, or for a complete MLflow model the part with tsbench's own files."""
    inner = folder / "data" / MODEL_FOLDER
    return inner if inner.is_dir() else folder


def model_run(store: Store, run_id: str) -> RunRecord:
    """The run with the model of a run's id: the run itself, or a search's final network, or else its `auto`.

    Raises:
        ModelError: it is the run of a trial, of a baseline that was not kept, or of a search without a network yet.
        TrackingError: there is no such run.
    """
    run = store.run(run_id)
    role = run.tags[names.ROLE]
    if role == "model":
        return run
    if role == "baseline":
        if (kept := run.tags.get(names.MODEL)) == "logged":
            return run
        fresh = argument("--fresh", "fresh=True")
        reason = kept or f"older versions of tsbench kept no fitted baselines; run the search again with {fresh}"
        raise ModelError(f"the run {run_id} ({run.name}) is a baseline without a model: {reason}")
    study = {names.STUDY: run.tags[names.STUDY]}
    found: list[RunRecord] = []
    for tags in ({names.ROLE: "model"}, {names.CLASSIFIER: names.AUTO, names.MODEL: "logged"}):
        found = found or list(store.runs_in(run.experiment, names.where(study | tags, status="FINISHED")))
    if role == "search" and found:
        return found[-1]
    hint = f"; its search's final network is run {found[-1].run_id}" if found else ""
    what = "a search without a finished network" if role == "search" else f"a {role}"
    raise ModelError(f"the run {run_id} ({run.name}) is {what}, which has no model{hint}")
