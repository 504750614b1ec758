"""Writes tsbench's runs to an MLflow store, in few calls each, and reads them back."""

from __future__ import annotations

import gc
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from tsbench.adapters.mlflow import engine_of, entity_of
from tsbench.errors import TrackingError
from tsbench.quiet import environment, quiet, quiet_variables
from tsbench.redaction import redacted
from tsbench.retries import is_retrying, retry
from tsbench.tracking import names
from tsbench.tracking.addresses import check_driver, check_reachable, database_of, resolve_uri
from tsbench.tracking.database import check_writable, created_whole, refuse_other_databases
from tsbench.tracking.views import VIEWS

if TYPE_CHECKING:
    import numpy as np
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run
    from numpy.typing import NDArray

__all__ = ["Curve", "DataInput", "RunRecord", "Store", "redacted", "resolve_uri"]

R = TypeVar("R")

Curve = Sequence[tuple[int, float]]
"""Values of a metric by step."""

# MLflow's limits for one call
METRICS_PER_CALL = 900
PARAMS_PER_CALL = 100
PAGE = 1000
AWAY_SECONDS = 10  # that a server has to answer which did not answer before, or when the process is to end
DIGEST_LENGTH = 36
MAX_LOCATION = 2000  # characters of an experiment's address, to which MLflow adds a run's; it takes 2048

POINTS = 64
"""Of a curve, at most: a hundred cost a trial a quarter more of the time of all its records, and look the same."""

PASSING = (
    "Max retries exceeded",
    "Connection refused",
    "Connection aborted",
    "Connection reset",
    "Read timed out",
    "error 502",
    "error 503",
    "error 504",
    "database is locked",
    "database or disk is full",
    "disk I/O error",
    "No space left on device",
)
"""Signs of a store that is away, locked or out of disk; MLflow gives most such errors one class and one code."""

FAILURES = {
    "database is locked": "is locked by another process that writes to it; end that process, or try again later",
    "attempt to write a readonly database": "is read-only: its file or folder cannot be written; change its "
    "permissions, or name another store",
    "unable to open database file": "cannot be opened: its folder is not there or cannot be written",
    "error code 401": "refused: it wants credentials; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "
    "MLFLOW_TRACKING_TOKEN, in the environment",
    "error code 403": "refused: the credentials in the environment do not allow this",
}
"""Signs of what went wrong in MLflow's errors, which are long, and the sentences that stand for them."""

KIND = "mlflow.experimentKind"  # by it MLflow's page opens on training runs, not on traces of language models


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


class Store:
    """An MLflow store. The first process calls `prepare` before any other opens a fresh one.

    Args:
        uri: MLflow tracking URI; see `resolve_uri`.
    """

    def __init__(self, uri: str) -> None:
        self.uri = resolve_uri(uri)
        self._opened: MlflowClient | None = None

    @property
    def database(self) -> Path | None:
        """The SQLite file, if the store is one."""
        return database_of(self.uri)

    @property
    def client(self) -> MlflowClient:
        """MLflow's own client, made at first use."""
        if self._opened is None:
            if self.database is not None:
                refuse_other_databases(self.database)
            else:
                check_driver(self.uri)
            self._opened = _open_client(self.uri)
        return self._opened

    def check(self, experiment: str) -> None:
        """Refuses a store in which a search could not be recorded, and changes nothing.

        Raises:
            TrackingError: it cannot be reached or written, or the experiment of this name was deleted.
        """
        if self.database is not None:
            check_writable(self.database)
            location = self._artifacts_of(experiment)
            if len(location) > MAX_LOCATION:
                raise TrackingError(
                    f"the path of {self.database.parent} is too long: as an address it takes {len(location)} "
                    f"characters, of which MLflow allows {MAX_LOCATION}; name another store by tracking.uri"
                )
            if not self.exists():
                return
        elif self.uri.startswith(("http://", "https://")):
            check_reachable(self.uri)  # before MLflow's own attempts, which take minutes
        with self.explained():
            found = self.client.get_experiment_by_name(experiment)
        if found is not None:
            _refuse_deleted(found)

    def _artifacts_of(self, experiment: str) -> str:
        """The address of an experiment's artifacts, beside a SQLite file."""
        assert self.database is not None
        return (self.database.parent / "mlartifacts" / experiment).as_uri()

    def prepare(self) -> None:
        """Creates the store where it is absent, so that processes started later do not race to.

        Raises:
            TrackingError: it cannot be reached or written.
        """
        with self.explained():
            if self.database is None:
                self.client.search_experiments(max_results=1)
                return
            refuse_other_databases(self.database)
            with created_whole(self.database):
                _write_ahead(self.database)
                self.client.search_experiments(max_results=1)
                _write_ahead(self.database)  # now what was logged ahead stands in the file itself

    def exists(self) -> bool:
        """Whether there is a store: a SQLite file that is not empty, or any other address."""
        return self.database is None or (self.database.is_file() and self.database.stat().st_size > 0)

    def experiment(self, name: str) -> str:
        """The experiment's id, created where it is absent, with its artifacts beside a SQLite file.

        Raises:
            TrackingError: the experiment was deleted, or the store cannot be written.
        """
        from mlflow.exceptions import MlflowException

        with self.explained():
            found = self.client.get_experiment_by_name(name)
            if found is None:
                location = None if self.database is None else self._artifacts_of(name)
                tags = {KIND: "custom_model_development", **dict(view.tag for view in VIEWS)}
                try:
                    return str(self.client.create_experiment(name, location, tags))
                except MlflowException as error:
                    if error.error_code != "RESOURCE_ALREADY_EXISTS":
                        raise
                # Another process created it meanwhile, or an earlier attempt did and its answer was lost.
                return self.experiment_id(name)
        _refuse_deleted(found)
        return str(found.experiment_id)

    def begin(
        self,
        experiment: str,
        name: str,
        tags: Mapping[str, Any],
        parent: str | None = None,
        started: float | None = None,
    ) -> str:
        """Starts a run, by default now, else at a time in seconds since the epoch, and returns its id."""
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
        """Adds to a run, in one call where it all fits; a metric that is also a curve should end it."""
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
        """Records which collections a run was given, for MLflow's own lineage view."""
        from mlflow.data.numpy_dataset import from_numpy
        from mlflow.entities import DatasetInput, InputTag

        entries = []
        with self.explained(), quiet("mlflow"):
            for entry in inputs:
                digest, tag = entry.digest[:DIGEST_LENGTH], InputTag("mlflow.data.context", entry.context)
                dataset = from_numpy(entry.values, entry.source or "unknown", entry.labels, entry.name, digest)
                entries.append(DatasetInput(entity_of(dataset), [tag]))
            self.client.log_inputs(run, entries)

    def log_text(self, run: str, text: str, file: str) -> None:
        """Writes a text artifact."""
        with self.explained():
            self.client.log_text(run, text, file)

    def log_files(self, run: str, folder: Path) -> None:
        """Copies everything in a folder to a run's artifacts, over what is there of the same name."""
        with self.explained(), quiet("mlflow"):
            self.client.log_artifacts(run, str(folder))

    def log_file(self, run: str, path: Path) -> None:
        """Copies a file to a run's artifacts, over what is there of the same name."""
        with self.explained(), quiet("mlflow"):
            self.client.log_artifact(run, str(path))

    def copy_file(self, source: str, target: str, file: str) -> None:
        """Copies an artifact from one run to another; a run without it is left out."""
        if file in self.files(source):
            with self.explained(), quiet("mlflow"), tempfile.TemporaryDirectory() as folder:
                self.client.log_artifact(target, self.client.download_artifacts(source, file, folder))

    def read_text(self, run: str, file: str) -> str:
        """A text artifact.

        Raises:
            TrackingError: there is none of this name.
        """
        with self.explained(), quiet("mlflow"), tempfile.TemporaryDirectory() as folder:
            return Path(self.client.download_artifacts(run, file, folder)).read_text(encoding="utf-8")

    def files(self, run: str) -> list[str]:
        """Names of a run's artifacts, without those in folders."""
        with self.explained(), quiet("mlflow"):
            return [artifact.path for artifact in self.client.list_artifacts(run) if not artifact.is_dir]

    def end(self, run: str, status: str = "FINISHED") -> None:
        """Ends a run: FINISHED, FAILED or KILLED."""
        with self.explained():
            self.client.set_terminated(run, status)

    def end_if_running(self, run: str, status: str) -> None:
        """Ends a run that has not ended yet."""
        with self.explained():
            if self.client.get_run(run).info.status == "RUNNING":
                self.client.set_terminated(run, status)

    def run(self, run: str) -> RunRecord:
        """A run of tsbench's by its id.

        Raises:
            TrackingError: there is no such run, it was deleted, or it is not one of tsbench's.
        """
        from mlflow.exceptions import MlflowException

        with self.explained():
            try:
                found = self.client.get_run(run)
            except MlflowException as error:
                if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                    raise
                raise TrackingError(
                    f"{redacted(self.uri)} has no run {run!r}; MLflow's page shows the id of each run"
                ) from None
        if found.info.lifecycle_stage != "active":
            raise TrackingError(f"the run {run} was deleted; restore it in the MLflow UI first")
        record = _record(found)
        if names.ROLE not in record.tags:
            raise TrackingError(f"the run {run} ({record.name}) is not one of tsbench's: it has no tag {names.ROLE}")
        return record

    def text(self, run: str, file: str) -> str:
        """A text artifact of a run.

        Raises:
            TrackingError: it has no such artifact.
        """
        import mlflow

        with self.explained(), quiet("mlflow"), _current_uri(self.uri):
            return str(mlflow.artifacts.load_text(f"runs:/{run}/{file}"))

    def history(self, run: str, metric: str) -> list[tuple[int, float]]:
        """A metric's values by step."""
        with self.explained():
            return [(point.step, point.value) for point in self.client.get_metric_history(run, metric)]

    def fail(self, run: str, reason: str) -> None:
        """Ends a run as failed, whatever it said of itself before."""
        self.log(run, tags={names.STATE: "failed", names.REASON: reason})
        self.end(run, "FAILED")

    def resume(self, run: str) -> str | None:
        """Marks a run as running again and returns what it was before; None where there is no such run."""
        from mlflow.exceptions import MlflowException

        try:
            before = self.client.get_run(run).info
            if before.lifecycle_stage != "active":
                return None
            self.client.update_run(run, status="RUNNING")
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise TrackingError(
                    f"the MLflow store {redacted(self.uri)} {_failure(str(error), self.uri)}"
                ) from error
            return None
        return str(before.status)

    def searches(self, experiment: str) -> dict[str, bool]:
        """For each search's parent run of an experiment, by its id, whether it is still there rather than deleted."""
        from mlflow.entities import ViewType

        found: dict[str, bool] = {}
        token = None
        while True:
            with self.explained():
                page = self.client.search_runs(
                    [experiment],
                    names.where({names.ROLE: "search"}),
                    ViewType.ALL,
                    max_results=PAGE,
                    page_token=token,
                )
            found |= {run.info.run_id: run.info.lifecycle_stage == "active" for run in page}
            token = page.token
            if not token:
                return found

    def delete(self, run: str) -> None:
        """Deletes a run with the models that it logged; MLflow can restore it until `mlflow gc`."""
        with self.explained():
            outputs = self.client.get_run(run).outputs
            for model in outputs.model_outputs if outputs is not None else ():
                self.client.delete_logged_model(model.model_id)
            self.client.delete_run(run)

    def delete_registered(self, name: str) -> None:
        """Deletes a registered model with all of its versions, for good."""
        with self.explained():
            self.client.delete_registered_model(name)

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
        """The id of an experiment that is there.

        Raises:
            TrackingError: there is no such experiment, or it was deleted.
        """
        with self.explained():
            found = self.client.get_experiment_by_name(name)
        if found is None:
            known = ", ".join(self.experiments()) or "none"
            raise TrackingError(f"{redacted(self.uri)} has no experiment {name!r}; experiments there: {known}")
        _refuse_deleted(found)
        return str(found.experiment_id)

    def runs_in(self, experiment: str, where: str = "") -> Iterator[RunRecord]:
        """As `runs`, of an experiment by its id."""
        token = None
        while True:
            with self.explained(), _collection_paused():
                page = self.client.search_runs(
                    [experiment],
                    where,
                    max_results=PAGE,
                    order_by=["start_time ASC"],
                    page_token=token,
                )
                records = [_record(run) for run in page]
            yield from records
            token = page.token
            if not token:
                return

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turns the store's own errors into one sentence."""
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (MlflowException, SQLAlchemyError, OSError) as error:
            raise TrackingError(f"the MLflow store {redacted(self.uri)} {_failure(str(error), self.uri)}") from error


def _failure(text: str, uri: str) -> str:
    """What went wrong with a store and what to do, from the text of its error, which may hold the store's address."""
    text = redacted(" ".join(text.split()), uri)
    for sign, sentence in FAILURES.items():
        if sign in text:
            return sentence
    return f"failed: {text[:300]}"


@contextmanager
def _collection_paused() -> Iterator[None]:
    """No garbage is collected: SQLAlchemy makes some 30 objects a run, and to look through them takes twice as long."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def _refuse_deleted(experiment: Experiment) -> None:
    if experiment.lifecycle_stage != "active":
        raise TrackingError(
            f"the MLflow experiment {experiment.name!r} was deleted; restore it in the MLflow UI, or rename the recipe"
        )


def _open_client(uri: str) -> MlflowClient:
    with environment(**quiet_variables("mlflow")):
        from mlflow import MlflowClient  # which sets its logger's level
    with quiet("mlflow"):
        client = MlflowClient(tracking_uri=uri)
        _spare_syncs(client)
    return cast("MlflowClient", _RetryingClient(client))


def _write_ahead(database: Path) -> None:
    """Lets SQLite log ahead of its file: a commit then waits for no disk, and readers for no writer.

    Where the file system or the file does not allow it, all is as before.
    """
    with suppress(sqlite3.Error), closing(sqlite3.connect(database, timeout=20)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _spare_syncs(client: MlflowClient) -> None:
    """A log ahead needs no sync at each commit; only a power cut could lose the last commits, and it breaks nothing."""
    from sqlalchemy import event

    engine = engine_of(client)
    if engine is not None and engine.dialect.name == "sqlite" and not event.contains(engine, "connect", _spare_sync):
        event.listen(engine, "connect", _spare_sync)
        engine.dispose()  # further connections are new, and heard of


def _spare_sync(connection: sqlite3.Connection, _: object) -> None:
    with suppress(sqlite3.Error):  # MLflow reports a file that is not a database
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        if mode == "wal":
            connection.execute("PRAGMA synchronous = NORMAL")


class _RetryingClient:
    """MLflow's client, which waits for a store that is away, locked or out of disk for a while."""

    def __init__(self, client: MlflowClient) -> None:
        self._client = client
        self._away = False

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        if not callable(method):
            return method

        @wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            return self._retry(lambda: method(*args, **kwargs))

        return call

    def create_run(self, experiment: str, start: int, tags: dict[str, str], name: str) -> Run:
        """As MLflow's, but creates no second run if an earlier attempt created it and its answer was lost."""
        failed = False

        def create() -> Run:
            nonlocal failed
            if failed:
                for run in self._client.search_runs([experiment], f"attributes.start_time = {start}"):
                    if run.info.run_name == name and run.info.status == "RUNNING":
                        return run
            failed = True
            return self._client.create_run(experiment, start, tags, name)

        return self._retry(create)

    def _retry(self, call: Callable[[], R]) -> R:
        # A store that was waited for in vain is not waited for at every further call.
        passes = (lambda error: False) if self._away else _passes
        waits = is_retrying() and not self._away
        limit = {} if waits else {"MLFLOW_HTTP_REQUEST_TIMEOUT": str(AWAY_SECONDS)}
        try:
            with quiet("mlflow"), environment(**limit):
                result = retry(call, passes)
        except Exception as error:
            self._away = _passes(error)
            raise
        self._away = False
        return result


def _passes(error: Exception) -> bool:
    """Whether an error of the store is one that may pass by itself."""
    text = str(error)
    return any(sign in text for sign in PASSING)


@contextmanager
def _current_uri(uri: str) -> Iterator[None]:
    """MLflow's fluent calls go to the URI; after that everything is as it was, the environment variable too."""
    import mlflow

    before = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None  # type: ignore[no-untyped-call]
    variable = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)  # type: ignore[arg-type]
        if variable is not None:
            os.environ["MLFLOW_TRACKING_URI"] = variable
        else:
            os.environ.pop("MLFLOW_TRACKING_URI", None)


def _age(name: str, curve: Curve, step: int) -> int:
    """Milliseconds since a point was taken: MLflow draws system metrics, whose steps are seconds, over time."""
    return 1000 * (curve[-1][0] - step) if name.startswith("system/") else 0


def _thinned(curve: Curve) -> Curve:
    """Every n-th point of a curve of more than 64, the last among them: all of them cost time and show no more."""
    keep = -(-len(curve) // POINTS)
    return [point for index, point in enumerate(curve) if (len(curve) - 1 - index) % keep == 0]


def _record(run: Run) -> RunRecord:
    info, data = run.info, run.data
    return RunRecord(
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
