"""Models in MLflow: logs them without pickled code, registers and fetches them."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tsbench.adapters.mlflow import take_inputs_as_they_are
from tsbench.errors import ModelError
from tsbench.quiet import quiet
from tsbench.redaction import redacted
from tsbench.retries import retry
from tsbench.tracking.connection import current_uri, passes
from tsbench.tracking.store import DIGEST_LENGTH, Store

if TYPE_CHECKING:
    import numpy as np
    from mlflow.exceptions import MlflowException
    from mlflow.types import Schema
    from numpy.typing import NDArray

__all__ = ["LoggedModel", "fetch_model", "link_scores", "log_model", "refusal", "register_model"]

BEST = "best"
"""Alias of the registered version with the best CV score."""


@dataclass(frozen=True)
class LoggedModel:
    """A model to be logged.

    Attributes:
        folder: read by `loader_module._load_pyfunc`.
        loader_module: module that loads it.
        example: a case, shape (1, channels, time steps), or as the columns of a table.
        classes: its class labels.
        requirements: pip requirements, given so that MLflow need not infer them.
        metadata: small plain facts, kept in the file `MLmodel`.
    """

    folder: Path
    loader_module: str
    example: NDArray[np.float64] | Mapping[str, Sequence[Any]]
    classes: Sequence[str]
    requirements: Sequence[str]
    metadata: Mapping[str, Any]


class _PyfuncFlavor:
    """MLflow's flavor `pyfunc`, as `Model.log` takes it.

    `mlflow.pyfunc.log_model` loads the logged model and predicts the example, and warns if that fails. In a worker it
    would import third-party classifiers, which run in a process of their own so that a crash of theirs ends no worker,
    and hold all members of an ensemble in memory twice. `Model.log` can leave it out.
    """

    @staticmethod
    def save_model(path: str, mlflow_model: Any, validate_serving_input: bool, **settings: Any) -> None:
        """Saves a model; `validate_serving_input` is for `Model.log`, which passes on all that it is given."""
        import mlflow

        mlflow.pyfunc.save_model(path=path, mlflow_model=mlflow_model, **settings)


def log_model(store: Store, run: str, model: LoggedModel) -> str:
    """Logs a saved classifier as an MLflow model, and returns the model's URI.

    Its signature is the shape (cases, channels, time steps), the last of any length, or the columns of the table that
    it was trained on. MLflow would enforce the signature; this is left to the model, which takes tables
    and arrays, also of unequal lengths, and refuses the rest in a sentence.

    Raises:
        TrackingError: the store failed.
    """
    import mlflow
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, Schema

    signature = ModelSignature(
        inputs=_inputs(model.example),
        outputs=Schema(
            [ColSpec("string", "label"), *(ColSpec("double", f"probability_{label}") for label in model.classes)]
        ),
    )
    take_inputs_as_they_are(signature)

    def log() -> str:
        with quiet("mlflow"), current_uri(store.uri), mlflow.start_run(run_id=run):
            info = Model.log(
                None,
                _PyfuncFlavor,
                name="model",
                loader_module=model.loader_module,
                data_path=str(model.folder),
                signature=signature,
                input_example=model.example,
                pip_requirements=list(model.requirements),
                metadata=dict(model.metadata),
                validate_serving_input=False,
            )
        return str(info.model_uri)

    with store.explained():
        return retry(log, passes)


def link_scores(
    store: Store,
    run: str,
    model_uri: str,
    metrics: Mapping[str, float],
    data: Mapping[str, tuple[str, str]],
    tags: Mapping[str, Any],
) -> None:
    """Links a run's metrics with its model and the data that they are of, so that MLflow's tab Models can rank by them.

    Args:
        store: the store.
        run: id of the run that the model belongs to.
        model_uri: from `log_model`.
        metrics: of the run; they are logged again with the link.
        data: name and digest of a data set, as in `DataInput`, by the prefix of its metrics (`test_`).
        tags: of the model.

    Raises:
        TrackingError: the store failed.
    """
    from mlflow.entities import Metric

    model, now = model_uri.removeprefix("models:/"), int(time.time() * 1000)
    linked = []
    for name, value in metrics.items():
        dataset, digest = next((found for start, found in data.items() if name.startswith(start)), (None, None))
        kept = None if digest is None else digest[:DIGEST_LENGTH]
        linked.append(Metric(name, float(value), now, 0, model, dataset, kept, run))
    with store.explained():
        store.client.log_batch(run, linked)
        store.client.set_logged_model_tags(model, {name: str(value) for name, value in tags.items()})


def _inputs(example: NDArray[np.float64] | Mapping[str, Sequence[Any]]) -> Schema:
    """A model's input: columns of the example's types, or an array."""
    import numpy as np
    from mlflow.types import ColSpec, Schema, TensorSpec

    if not isinstance(example, Mapping):
        return Schema([TensorSpec(np.dtype("float64"), (-1, example.shape[1], -1), name=None)])
    kinds = {str: "string", int: "long", float: "double"}
    return Schema([ColSpec(kinds[type(column[0])], name) for name, column in example.items()])


def register_model(
    store: Store,
    run: str,
    model_uri: str,
    name: str,
    description: str,
    metric: str,
    score: float | None,
    maximise: bool,
) -> str:
    """Registers a logged model as a new version, and returns the version's number.

    The alias `best` goes to the version with the best CV score; it moves to this one if that is no worse. A version
    without a CV score has it only until there is one with a score.

    Args:
        store: the store.
        run: id of the run that the model belongs to.
        model_uri: from `log_model`.
        name: of the registered model; created if absent.
        description: of the version.
        metric: name of the deciding metric; a tag of the version.
        score: its value on the validation folds, None without any; test scores decide nothing.
        maximise: whether higher values are better.

    Raises:
        TrackingError: the store failed.
    """
    from mlflow.exceptions import MlflowException

    with store.explained(), quiet("mlflow"), current_uri(store.uri):
        try:
            store.client.create_registered_model(name, description=f"Networks that tsbench tuned for {name}")
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        version = store.client.create_model_version(
            name,
            model_uri,
            run,
            tags={} if score is None else {metric: repr(score)},
            description=description,
            model_id=model_uri.removeprefix("models:/"),
        )
        try:
            best = store.client.get_model_version_by_alias(name, BEST)
        except MlflowException:
            best = None  # the first one
        known = None if best is None else best.tags.get(metric)
        if known is None or (score is not None and (score >= float(known) if maximise else score <= float(known))):
            store.client.set_registered_model_alias(name, BEST, str(version.version))
        return str(version.version)


def delete_registered_model(store: Store, name: str) -> None:
    """Deletes a registered model with all its versions, permanently."""
    with store.explained():
        store.client.delete_registered_model(name)


def fetch_model(store: Store, uri: str, target: Path) -> Path:
    """Copies a logged model's own files into a folder, through the server if there is one.

    Args:
        store: the store.
        uri: `runs:/<run id>/model`, `models:/<name>@<alias>`, `models:/<name>/<version>` or `models:/<model id>`.
        target: the folder.

    Returns:
        The content of `LoggedModel.folder`.

    Raises:
        ModelError: there is no such model, or it is not one of tsbench's.
        TrackingError: the store failed.
    """
    import mlflow
    from mlflow.exceptions import MlflowException
    from mlflow.models import Model

    with store.explained(), quiet("mlflow"), current_uri(store.uri):
        try:
            folder = Path(retry(lambda: mlflow.artifacts.download_artifacts(uri, dst_path=str(target)), passes))
            flavor = Model.load(folder).flavors.get("python_function", {})
        except MlflowException as error:
            if passes(error):
                raise
            raise ModelError(f"{redacted(store.uri)} has no model {uri}: {_first_line(error)}") from None
        except OSError as error:
            raise ModelError(f"the files of the model {uri} do not exist: {_first_line(error)}") from None
    if not str(flavor.get("loader_module", "")).startswith("tsbench."):
        raise ModelError(f"{uri} is a model of another project; tsbench can use only those that tsbench logged")
    return folder / str(flavor["data"])


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def refusal(sentence: str) -> MlflowException:
    """The error with which a served model answers status 400 and a single sentence."""
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

    class InputRefusedError(MlflowException):
        def serialize_as_json(self) -> str:  # MLflow's scoring server prepends the whole input to the message
            return json.dumps({"error_code": self.error_code, "message": sentence})

    return InputRefusedError(sentence, INVALID_PARAMETER_VALUE)
