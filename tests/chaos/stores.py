"""A search in processes of its own, the stores it writes to, and what can be seen of both from outside."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from _pytest.outcomes import Skipped
from optuna.trial import TrialState

from tests.conftest import RECIPE
from tests.processes import TSBENCH, start, workers_of
from tests.servers import MlflowServer, PostgresqlServer, mlflow_server, postgresql
from tsbench.studies.specification import stored_fingerprint
from tsbench.studies.study import Study
from tsbench.tracking.store import Store

__all__ = ["PATIENCE", "Search", "Stores", "opened_stores"]

PATIENCE = 15.0
"""Seconds that a search of this benchmark waits for a store that is away, so that some outages outlast it."""

DISK = 96
"""Megabytes of the small disk, which a fault fills."""

RUNNING, COMPLETE, FAIL = (state.value for state in (TrialState.RUNNING, TrialState.COMPLETE, TrialState.FAIL))
"""Optuna's states, as a journal has them."""

SET_STATE = 6
"""Optuna's operation code in a journal for a trial's new state."""


@dataclass
class Stores:
    """Where searches record: files, or servers if there are any.

    Attributes:
        folder: in which every search has a folder of its own.
        disk: whether the folder is a small disk, which can be filled.
        database: PostgreSQL, for Optuna's trials.
        server: MLflow's.
    """

    folder: Path
    disk: bool = False
    database: PostgresqlServer | None = None
    server: MlflowServer | None = None
    _searches: int = field(default=0, repr=False)

    def begin(self, trials: int, epochs: int) -> Search:
        """A search that has not been started yet."""
        self._searches += 1
        folder = self.folder / f"search-{self._searches}"
        folder.mkdir()
        text = RECIPE.replace("name: tiny", f"name: chaos-{self._searches}").replace("epochs: 4", f"epochs: {epochs}")
        text = text.replace("trials: 4", f"trials: {trials}").replace("ensemble: 2", "ensemble: 1")
        text = text.replace("baselines: [dummy]", "baselines: []").replace("workers: 1", "workers: 2")
        (folder / "chaos.yaml").write_text(text, encoding="utf-8")
        return Search(self, folder, f"chaos-{self._searches}", trials)


@contextmanager
def opened_stores(kind: str) -> Iterator[Stores]:
    """Stores of a kind, `files` or `servers`.

    Raises:
        Skipped: PostgreSQL is not installed.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tsbench-chaos-")))
        if kind == "servers":
            database = stack.enter_context(postgresql())
            yield Stores(folder, database=database, server=stack.enter_context(mlflow_server(folder / "server")))
            return
        command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}m", "tmpfs", str(folder)]
        disk = os.geteuid() == 0 and subprocess.run(command, capture_output=True, check=False).returncode == 0
        if disk:
            stack.callback(subprocess.run, ["umount", "-l", str(folder)], check=False)
        yield Stores(folder, disk=disk)


@dataclass
class Search:
    """A search, which is started again by the same command until it is complete."""

    stores: Stores
    folder: Path
    name: str
    trials: int
    process: subprocess.Popen[str] | None = None
    calls: int = 0
    _left_running: set[int] = field(default_factory=set, repr=False)
    _offset: int = field(default=0, repr=False)
    _states: dict[int, int] = field(default_factory=dict, repr=False)

    def start(self) -> None:
        """Runs the command."""
        settings = []
        if self.stores.database is not None and self.stores.server is not None:
            settings = ["--set", f"search.storage={self.stores.database.uri}"]
            settings += ["--set", f"tracking.uri={self.stores.server.uri}"]
        self._left_running = {number for number, state in self.states().items() if state == RUNNING}
        environment = {"TSBENCH_RETRY_TIMEOUT": f"{PATIENCE:g}", "PYTHONFAULTHANDLER": "1"}
        self.process = start([TSBENCH, "search", "chaos.yaml", *settings], self.folder, environment)
        self.calls += 1

    @property
    def pid(self) -> int:
        """Of the supervising process, which leads a process group of its own."""
        assert self.process is not None
        return self.process.pid

    @property
    def ended(self) -> bool:
        """Whether the command has ended."""
        assert self.process is not None
        return self.process.poll() is not None

    def finish(self, seconds: float) -> tuple[int, str]:
        """Exit code and all output of a command that ends by itself.

        Raises:
            TimeoutExpired: it does not.
        """
        assert self.process is not None
        output, errors = self.process.communicate(timeout=seconds)
        return self.process.returncode, output + errors

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Sends a signal to every process of the search."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def workers(self) -> list[int]:
        """Process ids of the workers."""
        return [worker.pid for worker in workers_of(self.pid)]

    @property
    def study_folder(self) -> Path:
        """Of the only study."""
        return self.folder / ".tsbench" / self.name / "ItalyPowerDemand"

    @cached_property
    def study(self) -> Study:
        """The study, once there is one."""
        return Study.open(self.study_folder)

    @property
    def store(self) -> Store:
        """The MLflow store."""
        server = self.stores.server
        return Store(f"sqlite:///{self.folder}/mlflow.db" if server is None else server.uri)

    def at_work(self) -> bool:
        """Whether a trial runs that this call of the command has begun, not one that a killed call has left."""
        return any(state == RUNNING and number not in self._left_running for number, state in self.states().items())

    def states(self) -> dict[int, int]:
        """Each trial's state by its number; none before there is a study."""
        if self.stores.database is None:
            return self.optuna_states()
        if stored_fingerprint(self.study_folder) is None:
            return {}
        return {trial.number: trial.state.value for trial in self.study.trials()}

    def stacks(self) -> str:
        """Ends a search that hangs, with the stacks of all its processes."""
        self.kill(signal.SIGABRT)
        self.kill(signal.SIGCONT)  # one that is stopped is ended, too
        return self.finish(30)[1]

    def optuna_states(self) -> dict[int, int]:
        """Each trial's state by its number, from what was appended to the journal; quick enough to be polled."""
        with suppress(FileNotFoundError), (self.study_folder / "journal.log").open("rb") as journal:
            journal.seek(self._offset)
            for line in journal:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                with suppress(ValueError):  # half a line of a process that was killed
                    entry = json.loads(line)
                    if entry["op_code"] == SET_STATE:
                        self._states[entry["trial_id"]] = entry["state"]
        return self._states

    @contextmanager
    def _mlflow(self, query: str) -> Iterator[Callable[[], dict[int, str]]]:
        """Gives a function for rows of a trial's run and a text, by the trial's number; quick enough to be polled."""
        address = f"file:{self.folder}/mlflow.db?mode=ro"
        with closing(sqlite3.connect(address, uri=True, isolation_level=None)) as database:

            def read() -> dict[int, str]:
                return {int(name.rpartition(" ")[2]): text for name, text in database.execute(query).fetchall()}

            yield read

    def mlflow_states(self) -> AbstractContextManager[Callable[[], dict[int, str]]]:
        """Gives a function for each trial's status in MLflow."""
        return self._mlflow("SELECT name, status FROM runs WHERE name LIKE '% trial %'")

    def measured_trials(self) -> AbstractContextManager[Callable[[], dict[int, str]]]:
        """Gives a function for the trials whose last metrics are in MLflow."""
        return self._mlflow(
            "SELECT name, key FROM runs JOIN latest_metrics USING (run_uuid) "
            "WHERE name LIKE '% trial %' AND key = 'fit_seconds'"
        )

    def remove(self) -> None:
        """Frees the disk."""
        self.__dict__.pop("study", None)
        shutil.rmtree(self.folder)


def wait_until(condition: Callable[[], object], search: Search, seconds: float) -> bool:
    """Polls as fast as it can; whether the condition held before the search ended or the time was over."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline or search.ended:
            return False
        time.sleep(0.0002)
    return True


def postgresql_is_installed() -> bool:
    """Whether `servers` can be opened."""
    try:
        with postgresql():
            return True
    except Skipped:
        return False
