"""Loads a logged model for MLflow's `pyfunc`; MLflow itself is not needed here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tsbench.classifiers.network import NetworkEnsemble
from tsbench.data.collection import Collection

__all__ = ["ServedModel"]


class ServedModel:
    """What `mlflow.pyfunc.load_model` hands its input to."""

    def __init__(self, ensemble: NetworkEnsemble) -> None:
        self.ensemble = ensemble

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Labels and probabilities.

        Args:
            model_input: array of shape (cases, channels, time steps).
            params: unused; MLflow passes it.

        Returns:
            A row for each case: `label`, and a `probability_<class>` column for each class.

        Raises:
            ValueError: the array has another number of dimensions or channels.
        """
        values = np.asarray(model_input, dtype=np.float64)
        if values.ndim != 3:
            raise ValueError(f"expected an array of shape (cases, channels, time steps), got shape {values.shape}")
        lengths = np.full(len(values), values.shape[2], dtype=np.int64)
        probabilities = self.ensemble.predict_proba(Collection(values, lengths, np.full(len(values), "")))
        classes = self.ensemble.classes
        table = pd.DataFrame({"label": classes[probabilities.argmax(axis=1)]})
        for number, name in enumerate(classes):
            table[f"probability_{name}"] = probabilities[:, number]
        return table


def _load_pyfunc(path: str) -> ServedModel:
    """The name that MLflow looks for in a loader module."""
    return ServedModel(NetworkEnsemble.load(Path(path)))
