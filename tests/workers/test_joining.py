"""Workers that join from another terminal: who may, what a caller can do, and how they leave."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import socket
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Thread

import pytest

from tests.processes import TSBENCH, finish, start
from tsbench import __version__
from tsbench.bench.study_list import find_search
from tsbench.errors import SearchError
from tsbench.workers import joining
from tsbench.workers.inbox import Inbox
from tsbench.workers.joining import ADDRESS, Address, Listener, join
from tsbench.workers.pool import Joined, News, WorkerPool
from tsbench.workers.protocol import Message, SharedFolder, Task, WorkerContext

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs Unix domain sockets")


@pytest.fixture
def inbox() -> Inbox[Joined | News]:
    return Inbox()


@pytest.fixture
def listener(inbox: Inbox[Joined | News]) -> Iterator[Listener]:
    listener = Listener((), inbox)
    yield listener
    listener.close()


@pytest.fixture
def pool(inbox: Inbox[Joined | News]) -> Iterator[WorkerPool]:
    with WorkerPool([], inbox=inbox) as pool:
        yield pool


def worker(listener: Listener) -> multiprocessing.Process:
    process = multiprocessing.get_context("spawn").Process(target=join, args=(listener.address, "cpu"))
    process.start()
    return process


def wait_for(pool: WorkerPool, *kinds: str) -> Message:
    deadline = time.monotonic() + 120
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


def call(listener: Listener, hello: bytes = b"") -> socket.socket:
    """Connects, and sends what is given."""
    line = socket.socket(socket.AF_UNIX)
    line.settimeout(60)
    line.connect(listener.address.socket)
    if hello:  # the listener may have refused the call already
        line.sendall(hello)
    return line


def test_a_worker_joins_works_and_is_dismissed(listener: Listener, pool: WorkerPool, tmp_path: Path) -> None:
    process = worker(listener)
    joined = wait_for(pool, "joined")
    assert (joined.payload.device, joined.payload.host) == ("cpu", socket.gethostname())
    (tmp_path / "text").write_text("the cases")
    pool.submit(joined.worker, Task(path(read), (SharedFolder(tmp_path, ("text",)),), None))
    assert wait_for(pool, "result", "error").payload == (str(tmp_path), "the cases")
    pool.__exit__()
    process.join(60)
    assert process.exitcode == 0


def test_a_joined_worker_hears_the_request_to_stop(listener: Listener, pool: WorkerPool) -> None:
    worker(listener)
    number = wait_for(pool, "joined").worker
    pool.submit(number, Task(path(loop), (), None))
    assert wait_for(pool, "progress").payload == "still here"
    pool.stop()
    assert wait_for(pool, "result").payload == "stopped"


def test_a_joined_worker_that_is_killed_is_reported_with_its_task(listener: Listener, pool: WorkerPool) -> None:
    process = worker(listener)
    number = wait_for(pool, "joined").worker
    pool.submit(number, Task(path(loop), (), "the task"))
    wait_for(pool, "progress")
    process.kill()
    died = wait_for(pool, "died")
    assert died.task is not None
    assert died.task.key == "the task"
    assert "is gone" in died.payload
    assert list(pool.idle()) == []


def test_the_socket_can_be_opened_by_its_owner_alone_and_is_removed(inbox: Inbox[Joined | News]) -> None:
    listener = Listener((), inbox)
    place = Path(listener.address.socket)
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700
    listener.close()
    assert not place.parent.exists()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become another user")
def test_another_user_cannot_connect(listener: Listener) -> None:
    child = os.fork()
    if child == 0:
        os.setuid(65534)
        try:
            socket.socket(socket.AF_UNIX).connect(listener.address.socket)
        except PermissionError:
            os._exit(13)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 13


def test_the_path_of_the_socket_is_short_whatever_the_folder_for_temporary_files(
    inbox: Inbox[Joined | News], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 90)
    deep.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "absent"))
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    listener = Listener((), inbox)
    assert listener.address.socket.startswith("/tmp/tsbench-")
    listener.close()


def test_callers_that_send_nothing_keep_no_one_out(listener: Listener, pool: WorkerPool) -> None:
    with ExitStack() as stack:
        for _ in range(joining.MAX_PENDING - 1):
            stack.enter_context(call(listener))
        process = worker(listener)
        wait_for(pool, "joined")
        pool.__exit__()
        process.join(60)


def test_more_callers_than_the_limit_are_refused_and_the_limit_ends_with_their_deadline(
    inbox: Inbox[Joined | News], pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joining, "HANDSHAKE_SECONDS", 1e9)
    listener = Listener((), inbox)
    with ExitStack() as stack:
        silent = [stack.enter_context(call(listener)) for _ in range(joining.MAX_PENDING)]
        extra = stack.enter_context(call(listener))
        assert extra.recv(1) == b""
        silent[0].setblocking(False)
        with pytest.raises(BlockingIOError):  # it may still say who it is
            silent[0].recv(1)
        for caller in listener._callers:
            caller.deadline = 0.0
        for line in silent[1:]:
            assert line.recv(1) == b""
    process = worker(listener)
    wait_for(pool, "joined")
    pool.__exit__()
    process.join(60)
    listener.close()


@pytest.mark.parametrize(
    "hello",
    [
        b"\n",
        b"[]\n",
        b"nothing\n",
        b'{"version": 1}\n',
        b"[" * 2000,
        b"\xff\xfe\n",
        b"x" * 5000,
        b'{"device": "cpu"}\n',
    ],
)
def test_a_caller_that_sends_anything_else_is_dropped(listener: Listener, pool: WorkerPool, hello: bytes) -> None:
    with call(listener) as line:
        try:
            line.sendall(hello)
            assert line.recv(1) == b""
        except (BrokenPipeError, ConnectionResetError):
            pass  # it was dropped before all was sent or read
    assert pool.wait(0.1) == []
    assert listener._thread.is_alive()


def test_another_version_is_refused_with_both_named(
    listener: Listener, pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    hello = json.dumps({"device": "cpu", "version": "0.0.1"}).encode()
    with call(listener, hello[:9]) as line:  # in two parts
        line.sendall(hello[9:] + b"\n")
        line.settimeout(None)
        connection = multiprocessing.connection.Connection(line.detach())
        assert connection.recv() == ("refused", f"the search runs tsbench {__version__}, this worker 0.0.1")
        connection.close()


class CountingListener(Listener):
    attempts = 0

    def _accept(self) -> None:
        self.attempts += 1
        super()._accept()


def without_file_descriptors(stack: ExitStack) -> None:
    """Opens files until the process has no file descriptor left."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unused = os.dup(0)
    os.close(unused)
    resource.setrlimit(resource.RLIMIT_NOFILE, (unused + 50, hard))
    stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
    with pytest.raises(OSError, match="Too many open files"):
        open_all(stack)


def open_all(stack: ExitStack) -> None:
    while True:
        stack.callback(os.close, os.open(os.devnull, os.O_RDONLY))


def test_a_process_without_file_descriptors_pauses_and_lets_workers_join_later(
    inbox: Inbox[Joined | News], monkeypatch: pytest.MonkeyPatch
) -> None:
    hello = json.dumps({"device": "cpu", "version": __version__}).encode() + b"\n"
    listener = CountingListener((), inbox)
    with ExitStack() as stack:
        line = stack.enter_context(socket.socket(socket.AF_UNIX))
        with ExitStack() as exhausted:
            without_file_descriptors(exhausted)
            monkeypatch.setattr(joining, "PAUSE", 3600.0)
            line.connect(listener.address.socket)
            wait_until(lambda: listener.attempts > 0)
            time.sleep(0.2)
            assert listener.attempts == 1  # it does not try again and again
        monkeypatch.setattr(joining, "PAUSE", 0.01)
        listener.close()  # wakes it
        assert not listener._thread.is_alive()
    listener = CountingListener((), inbox)
    with ExitStack() as stack:
        line = stack.enter_context(socket.socket(socket.AF_UNIX))
        with ExitStack() as exhausted:
            without_file_descriptors(exhausted)
            line.connect(listener.address.socket)
            line.sendall(hello)
            wait_until(lambda: listener.attempts > 1)
            assert inbox.take() == []
        wait_until(lambda: any(isinstance(event, Joined) for event in inbox.take()))
    listener.close()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_search_that_has_ended_is_a_sentence(listener: Listener) -> None:
    listener.close()
    with pytest.raises(SearchError, match=r"the search cannot be reached at .*workers.sock \(.*start it with"):
        join(listener.address, "cpu")


def test_the_socket_of_a_killed_search_is_removed_by_the_next(inbox: Inbox[Joined | News], tmp_path: Path) -> None:
    file = tmp_path / ADDRESS
    killed, following = Listener((), inbox), Listener((), inbox)
    killed.address.write(file)
    following.address.write(file)
    assert not Path(killed.address.socket).parent.exists()
    assert Address.read(file) == following.address
    for text in ("{", '{"host": 1}', json.dumps({"host": socket.gethostname(), "socket": str(file)})):
        file.write_text(text)
        following.address.write(file)
        assert Address.read(file) == following.address
    killed.close()
    following.close()


def test_a_search_on_another_machine_is_a_sentence_that_names_ray(tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    Address("another-machine", "/tmp/tsbench-1/workers.sock").write(tmp_path / "tiny" / ADDRESS)
    with pytest.raises(SearchError, match=r"runs on another-machine: .* Ray cluster, .* execution.launcher: ray"):
        find_search("tiny", tmp_path)
    code, _, errors = finish(start([TSBENCH, "worker", "tiny", "--storage", "postgresql://db/x"], tmp_path), 60)
    assert (code, len(errors.splitlines())) == (2, 1)
    assert "--storage was removed: a worker can join on the search's own machine only" in errors


def test_the_supervisors_end_is_noticed_and_the_cleanup_runs() -> None:
    ours, theirs = multiprocessing.Pipe()
    context = WorkerContext("cpu", theirs)
    said: list[str] = []
    context.on_orphaned("run 1", lambda: said.append("run 1 ended"))
    context.on_orphaned("run 1", lambda: said.append("run 1 ended"))
    assert not context.stopping
    Thread(target=ours.close).start()
    wait_until(lambda: context.stopping)
    assert context.abandoned
    assert context.why == "the search process has exited"
    context.run_cleanup()
    assert said == ["run 1 ended"]
