"""Runs a plan: keeps every worker busy with trials, refits and baselines until all cells are done.

One process supervises. It alone adds trials to studies, gives tasks to workers, and decides what a cell needs next;
workers run the tasks and write the records. While a cell's last trials run, idle workers continue with its baselines
and with the next cell.
"""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import Timeout

from tsbench.auto.progress import AutoProgress
from tsbench.bench.cell_run import CellRun
from tsbench.bench.file_watch import FileWatch
from tsbench.bench.opening import archive_studies
from tsbench.bench.plan import Cell, Plan
from tsbench.bench.preflight import LOCK, check_ready, held, refusal_of_second
from tsbench.bench.progress import CellState, Display, RunState, WorkerState
from tsbench.bench.run_log import FILE, LoggedDisplay, RunLog, log_of
from tsbench.bench.stages import TaskKey
from tsbench.errors import DataError, TsbenchError
from tsbench.redaction import redacted
from tsbench.retries import stop_retrying
from tsbench.signals import TerminatedError, describe_interrupt, ignored_signals
from tsbench.studies.specification import stored_fingerprint
from tsbench.studies.trials import BestTrial
from tsbench.workers import Launcher, make_launcher
from tsbench.workers.inbox import Inbox
from tsbench.workers.joining import ADDRESS, Listener
from tsbench.workers.pool import Joined, News, WorkerPool
from tsbench.workers.protocol import Message, Task

__all__ = ["BenchmarkRun"]

# Modules that every worker needs at its first task; torch imports the last at an optimizer's first step.
PRELOAD = ("tsbench.bench.tasks", "mlflow", "sklearn.model_selection", "tsbench.adapters.torch_compiler")
PRELOAD_FOR_SQLITE = ("mlflow.store.tracking.sqlalchemy_store",)
WAIT = 0.25  # seconds between two checks of the workers
CHECK_SECONDS = 2.0  # seconds between two checks of the launcher's workers and of the store's file
SECONDS_AFTER_CTRL_C = 15.0  # for running tasks to end; the user can press Ctrl-C again
SECONDS_AFTER_SIGNAL = 5.0  # `docker stop` kills after 10 seconds, within which everything must be recorded


class BenchmarkRun:
    """The execution of a plan.

    Args:
        plan: the plan to run.
        display: shows the progress.
        fresh: archive earlier studies of these cells and start new ones.
    """

    def __init__(self, plan: Plan, display: Display, fresh: bool = False) -> None:
        self.plan = plan
        self._shown = display
        self.display: Display | LoggedDisplay = display  # logged too, while it runs
        self.fresh = fresh
        recipe = plan.loaded.recipe
        steps = recipe.evaluation.ensemble + len(recipe.baselines)
        self.state = RunState(
            recipe.name,
            recipe.search.metric,
            [
                CellState(cell.title, cell.size, plan.trials, steps_left=steps, time_left=recipe.search.timeout)
                for cell in plan.cells
            ],
            {number: WorkerState(device) for number, device in enumerate(plan.devices)},
        )
        self.open: dict[str, CellRun] = {}  # by title
        self.unopened = deque(zip(plan.cells, self.state.cells, strict=True))
        self.failures: list[str] = []
        self.begun = False  # whether anything was recorded in MLflow
        self.launcher: Launcher | None = None
        self._database = FileWatch.of(None)
        self.fronts: dict[str, list[BestTrial]] = {}  # by cell, if several metrics are searched

    def run(self) -> list[str]:
        """Runs everything and returns what failed, one sentence each.

        Raises:
            KeyboardInterrupt: after Ctrl-C or another signal, when running trials were ended and recorded.
            SearchError: another process runs this recipe, or see `check_ready`; nothing was changed.
            TrackingError: see `check_ready`; nothing was changed, or the store failed later, or its file was deleted.
        """
        home, recipe = self.plan.home, self.plan.loaded.recipe
        check_ready(recipe, self.fresh)
        created = [folder for folder in (home, *home.parents) if not folder.exists()]
        home.mkdir(parents=True, exist_ok=True)
        try:
            with held(home), log_of(home, recipe.name) as log:
                self.display = LoggedDisplay(self._shown, log)
                return self._run(log)
        except Timeout:
            raise refusal_of_second(recipe.name, home) from None
        finally:
            if created and not self.begun:
                _remove_unused(home, created)

    def _run(self, log: RunLog) -> list[str]:
        for note in self.plan.notes:
            self.display.say(f"note: {note}")
        try:
            with self.display, self._make_pool() as pool:
                if self.fresh or any(stored_fingerprint(cell.folder) is None for cell in self.plan.cells):
                    self.display.prepare("starting the workers")
                    pool.start()
                self.display.prepare(f"opening the MLflow store {redacted(self.plan.store.uri)}")
                self.plan.store.connection.prepare()
                self._database = FileWatch.of(self.plan.store.database)
                if self.fresh:
                    archive_studies(self.plan)
                try:
                    self._loop(pool, log)
                except KeyboardInterrupt as interrupt:
                    self._drain(pool, interrupt)
                    raise
        finally:
            try:
                self._leave_nothing_running()
            except KeyboardInterrupt:  # records are still closed, which is quick, but calls are not retried
                with ignored_signals():
                    self._leave_nothing_running()
                raise
        return self.failures

    @contextmanager
    def _make_pool(self) -> Iterator[WorkerPool]:
        """The workers of this machine, those that join from other terminals, and those that a launcher starts."""
        preload = PRELOAD + (PRELOAD_FOR_SQLITE if self.plan.store.database else ())
        inbox: Inbox[Joined | News] = Inbox()
        file = self.plan.home / ADDRESS
        with ExitStack() as stack:
            launcher = make_launcher(self.plan.loaded.recipe.execution, preload, inbox)
            if launcher is not None:
                stack.callback(launcher.close)
            if hasattr(socket, "AF_UNIX"):  # Python for Windows has none
                listener = Listener(preload, inbox)
                stack.callback(listener.close)
                stack.callback(file.unlink, missing_ok=True)
                listener.address.write(file)
            pool = stack.enter_context(WorkerPool(self.plan.devices, preload, inbox))
            if launcher is not None:
                launcher.start()
                self.launcher = launcher
            yield pool

    def _leave_nothing_running(self) -> None:
        """Ends whatever is still open, even if some of it fails."""
        with ExitStack() as stack:
            for title, run in self.open.items():
                stack.callback(self._interrupt, title, run)

    def _interrupt(self, title: str, run: CellRun) -> None:
        try:
            run.interrupt()
        except TsbenchError as error:
            self.display.say(f"{title}: its runs could not be ended: {error}")
        except KeyboardInterrupt:  # for the others too
            stop_retrying()
            raise

    def _loop(self, pool: WorkerPool, log: RunLog) -> None:
        looked = time.monotonic()
        while True:
            assigned = self._assign_tasks(pool, log)
            pool.stop_where(lambda task: self.open[task.key.cell].stop_reason(task.key))
            for run in self.open.values():
                if assigned:
                    run.search.prefetch()
                run.update()
                self._print_notes(run)
            self._close_finished()
            self.display.update(self.state)
            if not (self.open or self.unopened):
                self._database.check()
                return
            for message in pool.wait(WAIT):
                if message.kind != "progress":
                    log.detail(f"worker {message.worker + 1}: {message.kind}")
                self._receive(message)
            if time.monotonic() - looked > CHECK_SECONDS:
                looked = time.monotonic()
                self._database.check()
                for line in self.launcher.check_started() if self.launcher is not None else ():
                    self.display.say(line)

    def _assign_tasks(self, pool: WorkerPool, log: RunLog) -> bool:
        """Gives tasks to idle workers; returns whether there were any."""
        handed = False
        for worker in list(pool.idle()):
            task = self._next_task()
            if task is None:
                break
            self.state.workers[worker].text = _describe(task.key)
            pool.submit(worker, task)
            log.detail(f"worker {worker + 1}: {_describe(task.key)}")
            handed = True
        return handed

    def _next_task(self) -> Task | None:
        for run in self.open.values():
            if task := run.next_task():
                return task
        # With a timeout, a study is started when the one before needs no more of the workers' time.
        in_turn = self.plan.loaded.recipe.search.timeout is not None
        while self.unopened and (not in_turn or all(run.leaves_workers for run in self.open.values())):
            opened = self._open(*self.unopened.popleft())
            if opened is not None and (task := opened.next_task()):
                return task
        return next(filter(None, (run.early_task() for run in self.open.values())), None)

    def _open(self, cell: Cell, state: CellState) -> CellRun | None:
        """Starts a cell; None if its data do not permit it, which must not end the others."""
        self.display.prepare(f"opening the study of {cell.title}")
        try:
            opened = CellRun(self.plan, cell, state)
        except DataError as error:
            state.stage = "failed"
            self.failures.append(f"{cell.title}: {error}")
            self.display.say(self.failures[-1])
            return None
        self.open[cell.title] = opened
        self.begun = True
        self._print_notes(opened)
        return opened

    def _print_notes(self, run: CellRun) -> None:
        for line in run.cell.notes:
            self.display.say(line)
        run.cell.notes.clear()

    def _receive(self, message: Message) -> None:
        if message.kind == "joined":
            joined: Joined = message.payload
            self.state.workers[message.worker] = WorkerState(joined.device, f"joined from {joined.host}")
            self.display.say(f"worker {message.worker + 1} joined from {joined.host} ({joined.device})")
            return
        worker = self.state.workers[message.worker]
        if message.kind == "died" and message.worker >= len(self.plan.devices):
            del self.state.workers[message.worker]  # it had joined
        if message.task is None:
            if message.kind == "died":
                self.display.say(f"{message.payload} while idle")
            return
        key: TaskKey = message.task.key
        if message.kind == "progress":
            worker.text = _describe(key, message.payload)
            if isinstance(message.payload, AutoProgress):
                self.open[key.cell].state.auto = message.payload
            return
        worker.text = "idle"
        self.open[key.cell].receive(message)
        self._print_notes(self.open[key.cell])

    def _close_finished(self) -> None:
        for title, run in [(title, run) for title, run in self.open.items() if run.finished]:
            run.close()
            if front := run.cell.study.pareto_front():
                self.fronts[title] = front
            self.failures += run.cell.failures
            del self.open[title]

    def _drain(self, pool: WorkerPool, interrupt: KeyboardInterrupt) -> None:
        """After a signal, waits until running trials have recorded their end; a second signal stops the wait."""
        signalled = isinstance(interrupt, TerminatedError)
        again = "a second signal ends" if signalled else "Ctrl-C again to end"
        try:
            self.display.say(f"{describe_interrupt(interrupt)}: ending running tasks ({again} at once)")
            pool.stop()
            deadline = time.monotonic() + (SECONDS_AFTER_SIGNAL if signalled else SECONDS_AFTER_CTRL_C)
            while pool.busy and time.monotonic() < deadline:
                for message in pool.wait(WAIT):
                    self._receive(message)
            if signalled and pool.busy:
                pool.end_at_once()
        except KeyboardInterrupt:
            pool.end_at_once()
            stop_retrying()


def _remove_unused(home: Path, created: Sequence[Path]) -> None:
    """Removes the folders of a search that could not be started, if they are empty."""
    with suppress(OSError):
        for file in (LOCK, FILE):
            (home / file).unlink(missing_ok=True)
        for folder in created:
            folder.rmdir()


def _describe(key: TaskKey, progress: Any = None) -> str:
    """A worker's task, for the display."""
    return f"{key.cell}: {key.title}" + (f", {progress}" if progress else "")
