"""Workers as Ray actors, in a Ray of this machine's own: what is passed to them, what they report, and their end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.workers.test_joining import path, wait_for
from tests.workers.test_local import fail
from tsbench import __version__
from tsbench.data.collection import Collection, DataSet
from tsbench.errors import SearchError
from tsbench.recipe.schema import ExecutionConfig
from tsbench.workers.inbox import Inbox
from tsbench.workers.pool import Joined, News, WorkerPool
from tsbench.workers.protocol import Message, SharedFolder, Task, WorkerContext
from tsbench.workers.ray import RayLauncher, _Actor

pytestmark = pytest.mark.slow

RAY = ExecutionConfig(launcher="ray", address="local", workers=1)


@pytest.fixture(scope="module")
def launcher() -> Iterator[RayLauncher]:
    before = signal.getsignal(signal.SIGTERM)
    launcher = RayLauncher(RAY, ["wave"], Inbox[Joined | News]())
    try:
        assert signal.getsignal(signal.SIGTERM) is before
        launcher.start()
        yield launcher
    finally:
        launcher.close()


@pytest.fixture(scope="module")
def pool(launcher: RayLauncher) -> Iterator[WorkerPool]:
    with WorkerPool([], inbox=launcher.inbox) as pool:
        wait_for(pool, "joined")
        yield pool


def run(pool: WorkerPool, function: object, *arguments: object) -> Message:
    (worker,) = pool.idle()
    pool.submit(worker, Task(path(function), arguments, "the task"))
    return wait_for(pool, "result", "error", "died")


def look(context: WorkerContext, folder: SharedFolder, dataset: DataSet, cases: Collection) -> tuple[str, float, float]:
    import torch

    assert torch.get_num_threads() == 1
    cases.values[0] += 1  # as compiled code needs arrays that can be written
    dataset.train.values[0] += 1
    assert cases.stored is None
    return (folder.path / "text").read_text(), float(cases.values.sum()), float(dataset.test.values.sum())


def count(context: WorkerContext) -> str:
    step = 0
    while not context.stopping:
        step += 1
        context.report(step)
        time.sleep(0.01)
    return context.why


def give_what_cannot_be_sent(context: WorkerContext) -> object:
    return (step for step in range(3))


def die(context: WorkerContext) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def where(context: WorkerContext) -> str:
    return str(os.getpid())


def test_what_tasks_share_is_put_into_the_object_store_once(
    pool: WorkerPool, launcher: RayLauncher, tmp_path: Path
) -> None:
    place = tmp_path / "cases"
    place.mkdir()
    Collection(np.ones((2, 1, 3)), np.array([3, 3]), np.array(["a", "b"])).save(place)
    cases = Collection.load(place)
    dataset = DataSet("own", cases, Collection.load(place))
    (tmp_path / "text").write_text("the description")
    for file in place.iterdir():  # an actor of another machine does not see it
        file.rename(file.with_suffix(".gone"))
    folder = SharedFolder(tmp_path, ("text",))
    for _ in range(2):
        assert run(pool, look, folder, dataset, cases).payload == ("the description", 9.0, 6.0)
        (tmp_path / "text").write_text("changed, but not sent again")
    assert set(launcher._stored) >= {tmp_path, id(dataset), id(cases)}
    written = SharedFolder(tmp_path, ("text",), written=True)
    assert launcher.reference(written) is written  # a copy would not do


def test_an_actor_reports_progress_and_hears_requests(pool: WorkerPool) -> None:
    for _ in range(2):
        (worker,) = pool.idle()
        pool.submit(worker, Task(path(count), (), None))
        seen = [wait_for(pool, "progress").payload for _ in range(3)]
        assert sorted(seen) == seen
        pool.stop_where(lambda task: "it is of no use")
        assert wait_for(pool, "result").payload == "it is of no use"


def test_errors_of_tasks_are_reported(pool: WorkerPool) -> None:
    assert run(pool, fail, "sentence").payload == "this is why"
    unexpected = run(pool, fail, "other")
    assert unexpected.payload == "ZeroDivisionError: by zero"
    assert "Traceback" in unexpected.details
    unsent = run(pool, give_what_cannot_be_sent)
    assert (unsent.kind, "generator" in unsent.payload) == ("error", True)


def test_an_actor_that_is_killed_is_reported_with_its_task_and_replaced(
    pool: WorkerPool, launcher: RayLauncher
) -> None:
    died = run(pool, die)
    assert died.task is not None
    assert (died.kind, died.task.key) == ("died", "the task")
    (line,) = launcher.check_started()
    assert line.startswith("Ray starts a worker again: ")
    wait_for(pool, "joined")
    os.kill(int(run(pool, where).payload), signal.SIGKILL)  # while it is idle
    assert wait_for(pool, "died").task is None
    launcher.check_started()
    wait_for(pool, "joined")


def test_a_request_that_overtakes_its_task_is_not_lost() -> None:
    actor = _Actor("cpu")
    actor.hear(1, ("stop", "too early"))
    assert actor.run(1, path(count)) == ("result", "too early", "")


def test_an_actor_of_another_version_is_refused() -> None:
    with pytest.raises(SearchError, match=f"has tsbench {__version__}, and the search runs 0.0.1"):
        _Actor("cpu").ready("0.0.1", ())


def test_a_worker_that_cannot_be_started_ends_the_search_with_the_reason(launcher: RayLauncher) -> None:
    broken = RayLauncher(launcher._config, ["no_such_module"], Inbox[Joined | News]())
    broken.start()
    with pytest.raises(SearchError, match=r"a Ray worker failed: .*no_such_module"):
        look_until_it_fails(broken)


def look_until_it_fails(launcher: RayLauncher) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        launcher.check_started()
        time.sleep(0.1)
