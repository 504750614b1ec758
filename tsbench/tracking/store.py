"""Writes tsbench's runs to an MLflow store in few calls each, and reads them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tsbench.adapters.mlflow import entity_of
from tsbench.errors import TrackingError
from tsbench.quiet import quiet
from tsbench.redaction import redacted
from tsbench.tracking import names
from tsbench.tracking.artifacts import Artifacts
from tsbench.tracking.connection import Connection, collection_paused
from tsbench.tracking.views import VIEWS

if TYPE_CHECKING:
    import numpy as np
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from numpy.typing import NDArray

__all__ = ["Curve", "DataInput", "RunRecord", "Store"]

Curve = Sequence[tuple[int, float]]
"""Values of a metric by step."""

# MLflow's limits for one call
METRICS_PER_CALL = 900
PARAMS_PER_CALL = 100
PAGE = 1000
DIGEST_LENGTH = 36

POINTS = 64
"""Maximum points of a curve: a hundred would take a quarter more of a trial's recording time, and look the same."""

KIND = "mlflow.experimentKind"  # makes MLflow's page open on training runs, not on traces of language models


@dataclass(frozen=True)
class DataInput:
    """A collection that a run used.

    Attributes:
        name: of the data set.
        context: `train` or `test`.
        digest: of its values and labels.
        source: where it came from.
        values: shape (cases, channels, time steps); only the shape is logged.
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
    """A run of the store; `finished` is in seconds since the epoch, None while running; `experiment` is an id."""

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


class Store:
    """The experiments and runs of an MLflow store.

    Args:
        uri: MLflow tracking URI; see `resolve_uri`.

    Attributes:
        connection: to the store.
        artifacts: the files of its runs.
        database: the SQLite file, if the store is one.
    """

    def __init__(self, uri: str) -> None:
        self.connection = Connection(uri)
        self.artifacts = Artifacts(self.connection)
        self.uri, self.database = self.connection.uri, self.connection.database
        self.explained = self.connection.explained

    @property
    def client(self) -> MlflowClient:
        """MLflow's own client."""
        return self.connection.client

    def experiment(self, name: str) -> str:
        """The experiment's id, created if it is absent, with its artifacts beside a SQLite file.

        Raises:
            TrackingError: the experiment was deleted, or the store cannot be written.
        """
        from mlflow.exceptions import MlflowException

        if (found := self.connection.find(name)) is not None:
            return found
        tags = {KIND: "custom_model_development", **dict(view.tag for view in VIEWS)}
        with self.explained():
            try:
                return str(self.client.create_experiment(name, self.connection.location_of(name), tags))
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
        # Another process created it meanwhile, or an earlier attempt whose answer was lost.
        return self.experiment_id(name)

    def begin(
        self,
        experiment: str,
        name: str,
        tags: Mapping[str, Any],
        parent: str | None = None,
        started: float | None = None,
    ) -> str:
        """Starts a run, by default now, otherwise at a time in seconds since the epoch, and returns its id."""
        from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

        texts = {key: redacted(str(value)) for key, value in tags.items()}
        if parent is not None:
            texts[MLFLOW_PARENT_RUN_ID] = parent
        with self.explained():
            start = int((time.time() if started is None else started) * 1000)
            return str(self.client.create_run(experiment, start, texts, name).info.run_id)

    def log(
        self,
        run: str,
        metrics: Mapping[str, float] | None = None,
        params: Mapping[str, Any] | None = None,
        curves: Mapping[str, Curve] | None = None,
        tags: Mapping[str, Any] | None = None,
    ) -> None:
        """Adds to a run, in one call if possible; a metric that is also a curve should be its last point."""
        from mlflow.entities import Metric, Param, RunTag

        now = int(time.time() * 1000)
        points = [
            Metric(name, float(value), now - _age(name, curve, step), step)
            for name, curve in (curves or {}).items()
            for step, value in _thinned(curve)
        ]
        points += [Metric(name, float(value), now, 0) for name, value in (metrics or {}).items()]
        settings = [Param(name, redacted(str(value))) for name, value in (params or {}).items()]
        labels = [RunTag(name, redacted(str(value))) for name, value in (tags or {}).items()]
        with self.explained():
            while points or settings or labels:
                self.client.log_batch(
                    run, points[:METRICS_PER_CALL], settings[:PARAMS_PER_CALL], labels[:PARAMS_PER_CALL]
                )
                points = points[METRICS_PER_CALL:]
                settings, labels = settings[PARAMS_PER_CALL:], labels[PARAMS_PER_CALL:]

    def log_inputs(self, run: str, inputs: Sequence[DataInput]) -> None:
        """Records the collections that a run used, for MLflow's lineage view."""
        from mlflow.data.numpy_dataset import from_numpy
        from mlflow.entities import DatasetInput, InputTag

        entries = []
        with self.explained(), quiet("mlflow"):
            for entry in inputs:
                digest, tag = entry.digest[:DIGEST_LENGTH], InputTag("mlflow.data.context", entry.context)
                dataset = from_numpy(entry.values, entry.source or "unknown", entry.labels, entry.name, digest)
                entries.append(DatasetInput(entity_of(dataset), [tag]))
            self.client.log_inputs(run, entries)

    def end(self, run: str, status: str = "FINISHED", only_running: bool = False) -> None:
        """Ends a run as FINISHED, FAILED or KILLED; with `only_running` an ended run is unchanged."""
        with self.explained():
            if not only_running or self.client.get_run(run).info.status == "RUNNING":
                self.client.set_terminated(run, status)

    def run(self, run: str) -> RunRecord:
        """A tsbench run by its id.

        Raises:
            TrackingError: there is no such run, it was deleted, or it is not tsbench's.
        """
        from mlflow.exceptions import MlflowException

        with self.explained():
            try:
                found = self.client.get_run(run)
            except MlflowException as error:
                if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                    raise
                raise TrackingError(
                    f"{redacted(self.uri)} has no run {run!r}; MLflow's page shows the id of each run", exit_code=2
                ) from None
        if found.info.lifecycle_stage != "active":
            raise TrackingError(f"the run {run} was deleted; restore it in the MLflow UI first")
        record = RunRecord.of(found)
        if names.ROLE not in record.tags:
            raise TrackingError(
                f"the run {run} ({record.name}) is not a tsbench run: it has no tag {names.ROLE}", exit_code=2
            )
        return record

    def history(self, run: str, metric: str) -> list[tuple[int, float]]:
        """A metric's values by step."""
        with self.explained():
            return [(point.step, point.value) for point in self.client.get_metric_history(run, metric)]

    def fail(self, run: str, reason: str) -> None:
        """Ends a run as failed, whatever its status was."""
        self.log(run, tags={names.STATE: "failed", names.REASON: reason})
        self.end(run, "FAILED")

    def resume(self, run: str) -> str | None:
        """Marks a run as running again and returns what it was before; None if there is no such run."""
        from mlflow.exceptions import MlflowException

        try:
            before = self.client.get_run(run).info
            if before.lifecycle_stage != "active":
                return None
            self.client.update_run(run, status="RUNNING")
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise self.connection.failure(error) from error
            return None
        return str(before.status)

    def delete(self, run: str) -> None:
        """Deletes a run with the models that it logged; MLflow can restore it until `mlflow gc`."""
        with self.explained():
            outputs = self.client.get_run(run).outputs
            for model in outputs.model_outputs if outputs is not None else ():
                self.client.delete_logged_model(model.model_id)
            self.client.delete_run(run)

    def experiments(self) -> list[str]:
        """Names of the experiments that hold tsbench's runs or nothing yet, the newest first."""
        with self.explained():
            return [experiment.name for experiment in self.client.search_experiments() if experiment.name != "Default"]

    def runs(self, experiment: str, where: str = "") -> Iterator[RunRecord]:
        """The runs of an experiment by its name, the oldest first, page by page.

        Args:
            experiment: its name.
            where: a condition in MLflow's search syntax.

        Raises:
            TrackingError: there is no such experiment, or it was deleted.
        """
        yield from self.runs_in(self.experiment_id(experiment), where)

    def experiment_id(self, name: str) -> str:
        """The id of an existing experiment.

        Raises:
            TrackingError: there is no such experiment, or it was deleted.
        """
        if (found := self.connection.find(name)) is not None:
            return found
        known = ", ".join(self.experiments()) or "none"
        raise TrackingError(
            f"{redacted(self.uri)} has no experiment {name!r}; existing experiments: {known}", exit_code=2
        )

    def runs_in(self, experiment: str, where: str = "") -> Iterator[RunRecord]:
        """As `runs`, by the experiment's id."""
        for page in self._pages(experiment, where):
            yield from map(RunRecord.of, page)

    def searches(self, experiment: str) -> dict[str, bool]:
        """The ids of an experiment's parent runs, each with whether it is active rather than deleted."""
        pages = self._pages(experiment, names.where({names.ROLE: "search"}), deleted=True)
        return {run.info.run_id: run.info.lifecycle_stage == "active" for page in pages for run in page}

    def _pages(self, experiment: str, where: str, deleted: bool = False) -> Iterator[list[Run]]:
        """The runs of an experiment, the oldest first, one page per call."""
        from mlflow.entities import ViewType

        view, order, token = ViewType.ALL if deleted else ViewType.ACTIVE_ONLY, ["start_time ASC"], None
        while True:
            with self.explained(), collection_paused():
                page = self.client.search_runs([experiment], where, view, PAGE, order, token)
            yield page
            if not (token := page.token):
                return


def _age(name: str, curve: Curve, step: int) -> int:
    """Milliseconds since a point was taken: MLflow draws system metrics, whose steps are seconds, over time."""
    return 1000 * (curve[-1][0] - step) if name.startswith("system/") else 0


def _thinned(curve: Curve) -> Curve:
    """Every n-th point of a curve of more than 64, including the last: all would take time and show no more."""
    keep = -(-len(curve) // POINTS)
    return [point for index, point in enumerate(curve) if (len(curve) - 1 - index) % keep == 0]
