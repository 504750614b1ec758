"""What the supervisor tells workers of where to record, and what it hears of their tasks; light to import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tsbench.tracking.store import Curve

__all__ = ["FittedMember", "Records", "Scored", "TaskProgress"]


@dataclass(frozen=True)
class Records:
    """Where a unit's runs are recorded.

    Attributes:
        uri: absolute MLflow URI.
        experiment: its id.
        parent: the unit's parent run.
        tags: common to all runs of the unit.
    """

    uri: str
    experiment: str
    parent: str
    tags: Mapping[str, Any]


@dataclass(frozen=True)
class TaskProgress:
    """What a task other than a trial is at, in a few words."""

    text: str


@dataclass(frozen=True)
class FittedMember:
    """A network trained on all training cases, saved in a folder."""

    folder: Path
    seconds: float
    train_loss: Curve


@dataclass(frozen=True)
class Scored:
    """How a classifier did; `state` is complete, skipped or failed, with a reason unless it is complete."""

    classifier: str
    state: str
    metrics: dict[str, float]
    reason: str = ""
