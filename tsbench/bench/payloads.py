"""Where workers record their results, and what they report about their tasks; light to import."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tsbench.tracking.store import Curve

if TYPE_CHECKING:
    from tsbench.data.collection import DataSet
    from tsbench.recipe.schema import AutoConfig, BaselinePreprocessingConfig

__all__ = [
    "BASELINE_ENTRY",
    "ENSEMBLE",
    "PREPROCESSING_PARAMS",
    "SHORTENED",
    "TIME_STEPS",
    "FinalNetwork",
    "FittedMember",
    "Records",
    "Scored",
    "auto_params",
    "preprocessing_params",
]

BASELINE_ENTRY = "baseline.recipe_entry"
"""Parameter of a baseline's run: its entry in the recipe, as JSON."""

PREPROCESSING_PARAMS = "evaluation.baseline_preprocessing."
"""Prefix of a baseline run's parameters for the preprocessing that is allowed."""

TIME_STEPS = "baseline.time_steps"
"""Parameter of a baseline's run: the time steps that preprocessing gave every case."""


ENSEMBLE = "tsbench.ensemble"
"""Tag of the final model: how many networks it averages."""

SHORTENED = "tsbench.shortened_by"
"""Tag of the final model: the timeout in seconds that left no time for all of them."""


@dataclass(frozen=True)
class Records:
    """The MLflow records of a cell.

    Attributes:
        uri: absolute MLflow URI.
        experiment: its id.
        parent: the cell's parent run.
        tags: common to all runs of the cell.
    """

    uri: str
    experiment: str
    parent: str
    tags: Mapping[str, Any]


@dataclass(frozen=True)
class FittedMember:
    """A network trained on all training cases.

    Attributes:
        files: those that it was saved as, by name.
        seconds: that its training took.
        train_loss: by epoch.
        device: name of the device.
        usage: what a `Monitor` saw meanwhile.
    """

    files: Mapping[str, bytes]
    seconds: float
    train_loss: Curve
    device: str = ""
    usage: Mapping[str, Curve] = field(default_factory=dict)


@dataclass(frozen=True)
class FinalNetwork:
    """The final network's members, and its records before it is scored.

    Attributes:
        members: in the order of their seeds.
        dataset: training and test cases.
        metric: what the search improved.
        metrics: CV scores and seconds.
        tags: of its run besides the cell's.
        started: when its first member was started, in seconds since the epoch.
        register: whether to put it into MLflow's registry of models.
        trial_run: id of the run of the trial whose settings it has; empty if it is not known.
    """

    members: Sequence[FittedMember]
    dataset: DataSet
    metric: str
    metrics: Mapping[str, float]
    tags: Mapping[str, Any]
    started: float
    register: bool = False
    trial_run: str = ""


@dataclass(frozen=True)
class Scored:
    """What became of a baseline.

    Attributes:
        state: complete, skipped, failed or stopped.
        reason: for the state; if it is complete, a remark or nothing.
        preprocessing: a description of it; empty if the classifier took the cases as they are.
        accuracy: on the test cases, of `auto`.
    """

    state: str
    reason: str = ""
    preprocessing: str = ""
    accuracy: float | None = None


def preprocessing_params(preprocessing: BaselinePreprocessingConfig) -> dict[str, str]:
    """The settings that have an effect as parameters of an MLflow run: texts by their dotted names."""
    settings = preprocessing.model_dump(mode="json")
    if preprocessing.unequal_length != "pad":
        del settings["padding"]
    if preprocessing.unequal_length == "none":
        del settings["length"]
    return {f"{PREPROCESSING_PARAMS}{name}": str(value) for name, value in settings.items()}


def auto_params(config: AutoConfig) -> dict[str, str]:
    """The parameters of a run of `auto`, by which a later call knows whether it is what the recipe asks for."""
    return {f"auto.{key}": json.dumps(value) for key, value in config.model_dump(mode="json").items()}
