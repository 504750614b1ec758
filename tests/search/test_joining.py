"""Workers that come in by a door: who is let in, what they are sent, and how they leave."""

from __future__ import annotations

import multiprocessing
import socket
import stat
import time
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.connection import Client
from pathlib import Path
from threading import Thread

import pytest

from tsbench import __version__
from tsbench.errors import SearchError
from tsbench.search.launchers.joining import Door, Invitation, join, own_address
from tsbench.search.launchers.pool import WorkerPool
from tsbench.search.launchers.protocol import Message, SharedFolder, Task, WorkerContext


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    with WorkerPool([], door=Door(())) as one:
        yield one


def worker(invitation: Invitation) -> multiprocessing.Process:
    process = multiprocessing.get_context("spawn").Process(target=join, args=(invitation, "cpu"))
    process.start()
    return process


def wait_for(pool: WorkerPool, *kinds: str) -> Message:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for message in pool.wait(0.1):
            if message.kind in kinds:
                return message
    raise AssertionError(kinds)


def read(context: WorkerContext, folder: SharedFolder) -> tuple[str, str]:
    return str(folder.path), (folder.path / "text").read_text()


def loop(context: WorkerContext) -> str:
    while not context.stopping:
        context.report("still here")
        time.sleep(0.01)
    return "stopped"


def path(function: object) -> str:
    return f"{function.__module__}:{function.__name__}"  # type: ignore[attr-defined]


def test_a_worker_joins_works_and_is_dismissed(pool: WorkerPool, tmp_path: Path) -> None:
    assert pool.door is not None
    process = worker(pool.door.invitation)
    joined = wait_for(pool, "joined")
    assert joined.payload.device == "cpu"
    (tmp_path / "text").write_text("the cases")
    for files, elsewhere in (((), False), (("text",), True)):
        pool.submit(joined.worker, Task(path(read), (SharedFolder(tmp_path, files),), None))
        where, text = wait_for(pool, "result", "error").payload
        assert text == "the cases"
        assert (where != str(tmp_path)) == elsewhere
    (tmp_path / "text").write_text("changed")  # what was sent is not sent again
    pool.submit(joined.worker, Task(path(read), (SharedFolder(tmp_path, ("text",)),), None))
    assert wait_for(pool, "result", "error").payload[1] == "the cases"
    pool.__exit__()
    process.join(20)
    assert process.exitcode == 0


def test_a_joined_worker_hears_the_request_to_stop(pool: WorkerPool) -> None:
    assert pool.door is not None
    worker(pool.door.invitation)
    number = wait_for(pool, "joined").worker
    pool.submit(number, Task(path(loop), (), None))
    assert wait_for(pool, "progress").payload == "still here"
    pool.stop()
    assert wait_for(pool, "result").payload == "stopped"


def test_a_joined_worker_that_is_killed_is_reported_with_its_task(pool: WorkerPool) -> None:
    assert pool.door is not None
    process = worker(pool.door.invitation)
    number = wait_for(pool, "joined").worker
    pool.submit(number, Task(path(loop), (), "the task"))
    wait_for(pool, "progress")
    process.kill()
    died = wait_for(pool, "died")
    assert died.task is not None
    assert died.task.key == "the task"
    assert "is gone" in died.payload
    assert list(pool.idle()) == []


def test_nobody_joins_without_the_key(pool: WorkerPool) -> None:
    assert pool.door is not None
    with pytest.raises(SearchError, match="is another one than this worker was invited to"):
        join(replace(pool.door.invitation, key="00" * 32), "cpu")
    assert pool.wait(0.2) == []
    process = worker(pool.door.invitation)  # the door still opens to others
    wait_for(pool, "joined")
    pool.__exit__()
    process.join(20)


def test_who_calls_and_says_nothing_keeps_nobody_out(pool: WorkerPool) -> None:
    assert pool.door is not None
    invitation = pool.door.invitation
    with socket.create_connection((invitation.host, invitation.port)):
        process = worker(invitation)
        wait_for(pool, "joined")
        pool.__exit__()
        process.join(20)


def test_another_version_is_refused_with_both_named(pool: WorkerPool) -> None:
    assert pool.door is not None
    invitation = pool.door.invitation
    with Client((invitation.host, invitation.port), authkey=bytes.fromhex(invitation.key)) as connection:
        connection.send({"device": "cpu", "host": "old", "version": "0.0.1"})
        answer, reason = connection.recv()
    assert answer == "refused"
    assert reason == f"the search runs tsbench {__version__}, this worker 0.0.1"


def test_a_search_that_is_gone_is_a_sentence() -> None:
    door = Door(())
    door.close()
    time.sleep(0.2)
    with pytest.raises(SearchError, match=f"no search can be reached at 127.0.0.1:{door.invitation.port}"):
        join(door.invitation, "cpu")


def test_the_supervisors_end_is_noticed_and_the_last_words_are_said() -> None:
    ours, theirs = multiprocessing.Pipe()
    context = WorkerContext("cpu", theirs)
    said: list[str] = []
    context.if_abandoned("run 1", lambda: said.append("run 1 ended"))
    context.if_abandoned("run 1", lambda: said.append("run 1 ended"))
    assert not context.stopping
    Thread(target=ours.close).start()
    deadline = time.monotonic() + 5
    while not context.stopping and time.monotonic() < deadline:
        time.sleep(0.01)
    assert context.abandoned
    assert context.why == "the search's own process ended"
    context.say_last_words()
    assert said == ["run 1 ended"]


def test_an_invitation_is_readable_by_its_user_alone(tmp_path: Path) -> None:
    invitation = Invitation("127.0.0.1", 4711, "ab" * 32)
    invitation.write(tmp_path / "invitation.json")
    assert stat.S_IMODE((tmp_path / "invitation.json").stat().st_mode) == 0o600
    assert Invitation.from_json((tmp_path / "invitation.json").read_text()) == invitation


def test_the_own_address_is_the_one_that_faces_the_server() -> None:
    assert own_address("127.0.0.1") == "127.0.0.1"
