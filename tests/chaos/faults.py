"""The faults: each is brought about on a search that is at work."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import psutil

from tests.bench.test_faults import fill
from tests.chaos.stores import COMPLETE, FAIL, PATIENCE, RUNNING, Search, wait_until
from tests.servers import MlflowServer, PostgresqlServer

__all__ = ["FAULTS", "Fault"]

HUNT = 25.0
"""Seconds that a fault waits for the moment in which it is to be brought about."""

ATTEMPTS = 4

STEPPING = 10.0
"""Seconds within which a trial whose metrics are recorded is to end."""

Bring = Callable[[Search, random.Random], bool]


@dataclass(frozen=True)
class Fault:
    """One kind of fault.

    Attributes:
        stores: `files` or `servers` if it needs one of them, otherwise `any`.
        bring: brings it about; False if the moment for it did not come.
        codes: exit codes of a search that it may end; none if the search must go on.
    """

    stores: str
    bring: Bring
    codes: tuple[int, ...] = ()


def _signal(pid: int, number: signal.Signals) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False


def _to_search(number: signal.Signals, search: Search, chance: random.Random) -> bool:
    time.sleep(chance.uniform(0.0, 1.0))
    return _signal(search.pid, number)


def _to_group(number: signal.Signals, search: Search, chance: random.Random) -> bool:
    time.sleep(chance.uniform(0.0, 1.0))
    search.kill(number)
    return True


def _to_worker(number: signal.Signals, search: Search, chance: random.Random) -> bool:
    time.sleep(chance.uniform(0.0, 1.0))
    workers = search.workers()
    return bool(workers) and _signal(chance.choice(workers), number)


def _stop_search(search: Search, chance: random.Random) -> bool:
    return _stop([search.pid], chance)


def _stop_worker(search: Search, chance: random.Random) -> bool:
    workers = search.workers()
    return bool(workers) and _stop([chance.choice(workers)], chance)


def _stop(pids: Sequence[int], chance: random.Random) -> bool:
    """Stops processes for some seconds."""
    time.sleep(chance.uniform(0.0, 1.0))
    stopped = [pid for pid in pids if _signal(pid, signal.SIGSTOP)]
    time.sleep(chance.uniform(0.2, 4.0))
    for pid in stopped:
        _signal(pid, signal.SIGCONT)
    return bool(stopped)


def freeze(pids: Sequence[int]) -> None:
    """Stops processes, and returns when they have stopped or ended."""
    for pid in pids:
        _signal(pid, signal.SIGSTOP)
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            while process.status() not in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE):
                time.sleep(0.0001)


def _outage(chance: random.Random) -> float:
    """Seconds; about a third of them outlast the search's retry timeout."""
    return chance.uniform(1.0, 1.5 * PATIENCE)


def _fill_disk(search: Search, chance: random.Random) -> bool:
    if not search.stores.disk:
        return False
    filler = search.stores.folder / "filler"
    try:
        fill(filler)
        time.sleep(_outage(chance))
    finally:
        filler.unlink()
    return True


def _restart_postgresql(search: Search, chance: random.Random) -> bool:
    assert search.stores.database is not None
    return _restart(search.stores.database, chance)


def _restart_mlflow(search: Search, chance: random.Random) -> bool:
    assert search.stores.server is not None
    return _restart(search.stores.server, chance)


def _restart(server: PostgresqlServer | MlflowServer, chance: random.Random) -> bool:
    server.stop()
    time.sleep(_outage(chance))
    server.start()
    return True


def _as_result_is_sent(search: Search, chance: random.Random) -> bool:
    """Kills the workers as soon as Optuna has a trial's end, of which the search has yet to hear."""
    workers = search.workers()
    before = {number for number, state in search.optuna_states().items() if state == COMPLETE}

    def told() -> bool:
        return any(state == COMPLETE and number not in before for number, state in search.optuna_states().items())

    if not workers or not wait_until(told, search, HUNT):
        return False
    return sum(_signal(pid, signal.SIGKILL) for pid in workers) > 0


def _between_mlflow_and_optuna(everything: bool, search: Search, chance: random.Random) -> bool:
    """Kills the workers, or all processes, when MLflow has a trial's end and Optuna has not.

    From the trial's last metrics on, the workers run for a fraction of a millisecond at a time, so that they can be
    stopped within the moment.
    """
    workers = search.workers()
    if not workers:
        return False
    with search.mlflow_states() as read, search.measured_trials() as measured:
        for _ in range(ATTEMPTS):
            known = read()
            before = measured()
            if not wait_until(partial(_is_more, measured, before), search, HUNT):
                return False
            if _step_until_ended(workers, search, read, known):
                if everything:
                    search.kill()
                for pid in workers:
                    _signal(pid, signal.SIGKILL)
                return True
    return False


def _is_more(measured: Callable[[], dict[int, str]], before: dict[int, str]) -> bool:
    return measured().keys() > before.keys()


def _step_until_ended(
    workers: Sequence[int], search: Search, read: Callable[[], dict[int, str]], known: dict[int, str]
) -> bool:
    """Leaves the workers stopped when MLflow has an end that Optuna has not; False, and they run, if it was missed."""
    deadline = time.monotonic() + STEPPING
    while time.monotonic() < deadline:
        freeze(workers)
        ended = [number for number, status in read().items() if status == "FINISHED" and known.get(number) != status]
        states = search.optuna_states()
        if any(states.get(number) == RUNNING for number in ended):
            return True
        for pid in workers:
            _signal(pid, signal.SIGCONT)
        if ended:
            return False
        time.sleep(0.0003)
    return False


def _between_optuna_and_mlflow(search: Search, chance: random.Random) -> bool:
    """Kills the workers, and the search when it has told Optuna of a lost trial and MLflow not yet.

    The search is stopped first, so that the moment is sure.
    """
    with search.mlflow_states() as read:
        for _ in range(ATTEMPTS):
            workers = search.workers()
            before = dict(search.optuna_states())
            if not workers or not wait_until(lambda: "RUNNING" in read().values(), search, HUNT):
                return False
            for pid in workers:
                _signal(pid, signal.SIGKILL)
            new: list[int] = []

            def is_lost(before: dict[int, int] = before, new: list[int] = new) -> bool:
                states = search.optuna_states()
                new[:] = [number for number, state in states.items() if state == FAIL and before.get(number) != FAIL]
                return bool(new)

            if not wait_until(is_lost, search, HUNT):
                return False
            freeze([search.pid])
            statuses = read()
            if any(statuses.get(number) in ("RUNNING", "FINISHED") for number in new):
                search.kill()
                return True
            _signal(search.pid, signal.SIGCONT)
    return False


KILLED, DRAINED, GAVE_UP = (-signal.SIGKILL,), (128 + signal.SIGTERM,), (1,)

FAULTS: dict[str, Fault] = {
    "SIGKILL of the search": Fault("any", partial(_to_search, signal.SIGKILL), KILLED),
    "SIGKILL of all processes": Fault("any", partial(_to_group, signal.SIGKILL), KILLED),
    "SIGKILL of a worker": Fault("any", partial(_to_worker, signal.SIGKILL)),
    "SIGTERM of the search": Fault("any", partial(_to_search, signal.SIGTERM), DRAINED),
    "SIGTERM of all processes": Fault("any", partial(_to_group, signal.SIGTERM), DRAINED),
    "SIGTERM of a worker": Fault("any", partial(_to_worker, signal.SIGTERM)),
    "SIGHUP of all processes": Fault("any", partial(_to_group, signal.SIGHUP), (128 + signal.SIGHUP,)),
    "SIGHUP of a worker": Fault("any", partial(_to_worker, signal.SIGHUP)),
    "SIGSTOP and SIGCONT of the search": Fault("any", _stop_search),
    "SIGSTOP and SIGCONT of a worker": Fault("any", _stop_worker),
    "SIGKILL of the workers as a result is sent": Fault("files", _as_result_is_sent),
    "SIGKILL of the workers between MLflow's record and Optuna's": Fault(
        "files", partial(_between_mlflow_and_optuna, False)
    ),
    "SIGKILL of all processes between MLflow's record and Optuna's": Fault(
        "files", partial(_between_mlflow_and_optuna, True), KILLED
    ),
    "SIGKILL of all processes between Optuna's record and MLflow's": Fault("files", _between_optuna_and_mlflow, KILLED),
    "a full disk": Fault("files", _fill_disk, GAVE_UP),
    "a restart of PostgreSQL": Fault("servers", _restart_postgresql, GAVE_UP),
    "a restart of the MLflow server": Fault("servers", _restart_mlflow, GAVE_UP),
}
