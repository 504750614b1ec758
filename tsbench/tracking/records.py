"""What is written to a store and read from it, as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from mlflow.entities import Run
    from numpy.typing import NDArray

__all__ = ["Curve", "DataInput", "RunRecord"]

Curve = Sequence[tuple[int, float]]
"""Values of a metric by step."""


@dataclass(frozen=True)
class DataInput:
    """A collection that a run was given.

    Attributes:
        name: what people call it.
        context: `train` or `test`.
        digest: of its values and labels.
        source: where it came from.
        values: shape (cases, channels, time steps); MLflow is told the shape, not the values.
        labels: shape (cases,).
    """

    name: str
    context: str
    digest: str
    source: str
    values: NDArray[np.floating]
    labels: NDArray[np.str_]


@dataclass(frozen=True)
class RunRecord:
    """A run as read back; `finished` is in seconds since the epoch, None while it is running; `experiment` is an id."""

    run_id: str
    name: str
    status: str
    started: float
    finished: float | None
    experiment: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, run: Run) -> RunRecord:
        """MLflow's run."""
        info, data = run.info, run.data
        return cls(
            run_id=info.run_id,
            name=info.run_name or "",
            status=info.status,
            started=info.start_time / 1000,
            finished=info.end_time / 1000 if info.end_time else None,
            experiment=info.experiment_id,
            tags=dict(data.tags),
            metrics=dict(data.metrics),
            params=dict(data.params),
        )
