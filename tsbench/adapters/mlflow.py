"""Private names of MLflow 3.17."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Dataset
    from sqlalchemy import Engine

__all__ = ["engine_of", "entity_of", "take_inputs_as_they_are"]


def engine_of(client: MlflowClient) -> Engine | None:
    """The engine that MLflow created for a store in a database; None if the store is a server."""
    return getattr(client._tracking_client.store, "engine", None)


def entity_of(dataset: Any) -> Dataset:
    """A data set of `mlflow.data` as `MlflowClient.log_inputs` takes it; only fluent calls take the data set itself."""
    entity: Dataset = dataset._to_mlflow_entity()
    return entity


def take_inputs_as_they_are(signature: Any) -> None:
    """Passes a caller's input to the model unchanged, instead of as MLflow's data frame.

    MLflow keeps this in the file `MLmodel`, and has no argument for it.
    """
    signature._is_signature_from_type_hint = True
