"""What the supervisor tells workers of where to record, and what it hears of their tasks; light to import."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tsbench.tracking.store import Curve

if TYPE_CHECKING:
    from tsbench.data.collection import Collection

__all__ = ["FinalNetwork", "FittedMember", "Records", "Scored", "TaskProgress"]


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
    """What the final network is made of, and what is known of it before it is scored.

    Attributes:
        members: in the order of their seeds.
        example: a few training cases, kept with the model as examples of what it may be fed.
        test: the test cases.
        cases: number of training cases.
        metric: what the search improved.
        metrics: CV scores and seconds.
        tags: of its run besides the unit's.
        started: when its first member was begun, in seconds since the epoch.
        register: whether to put it into MLflow's registry of models.
    """

    members: Sequence[FittedMember]
    example: Collection
    test: Collection
    cases: int
    metric: str
    metrics: Mapping[str, float]
    tags: Mapping[str, Any]
    started: float
    register: bool = False


@dataclass(frozen=True)
class Scored:
    """How a classifier did; `state` is complete, skipped, failed or stopped, with a reason unless it is complete.

    A complete one may have a remark for its reason.
    """

    classifier: str
    state: str
    metrics: dict[str, float]
    reason: str = ""
