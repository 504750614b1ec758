"""How a search ends that is asked to: by each signal, by a closed terminal, and by a second signal."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.bench.test_faults import check_that_all_is_told, folder_of, running, search
from tests.processes import TSBENCH, finish, start, wait_for, workers_of
from tsbench.signals import TerminatedError, blocked_signals, raised_signals
from tsbench.studies.study import Study
from tsbench.tracking.store import Store

Write = Callable[..., Path]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")

LONG = ("epochs: 4", "epochs: 3000")


def check_that_it_ended_in_order(recipe: Path) -> None:
    """Nothing runs in Optuna or in MLflow, and what ran was ended by the search, not by the signal."""
    study = Study.open(folder_of(recipe))
    assert study.trials().running() == []
    assert study.trials().lost()
    assert all(reason.startswith("the search was interrupted") for reason in study.trials().lost().values())
    store = Store(f"sqlite:///{recipe.parent}/mlflow.db")
    assert not [run for run in store.runs("tiny") if run.status == "RUNNING"]


def test_sigterm_to_all_processes_ends_a_search_in_order(recipe_file: Write) -> None:
    recipe = recipe_file(LONG)
    process = search(recipe)
    wait_for(lambda: running(recipe), process)
    os.killpg(process.pid, signal.SIGTERM)  # as Slurm and systemd do
    code, output, errors = finish(process, 60)
    assert code == 143
    assert "interrupted by SIGTERM: ending running tasks (a second signal ends at once)" in output
    assert errors.splitlines() == ["Interrupted by SIGTERM. The same command continues where it stopped."]
    check_that_it_ended_in_order(recipe)


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "send"), [(signal.SIGTERM, os.kill), (signal.SIGHUP, os.killpg), (signal.SIGINT, os.kill)]
)
def test_a_search_that_a_signal_ended_is_completed_by_the_same_command(
    recipe_file: Write, number: signal.Signals, send: Callable[[int, int], None]
) -> None:
    recipe = recipe_file(("epochs: 4", "epochs: 30"))
    process = search(recipe, "execution.workers=2")
    wait_for(lambda: running(recipe), process)
    send(process.pid, number)
    code, output, errors = finish(process, 60)
    assert code == 128 + number
    assert "The same command continues where it stopped." in errors
    assert "Traceback" not in output + errors
    check_that_it_ended_in_order(recipe)
    code, _, errors = finish(search(recipe, "execution.workers=2"))
    assert code == 0, errors
    check_that_all_is_told(recipe, 4)


def in_terminal(recipe: Path, controlling: bool) -> tuple[subprocess.Popen[bytes], int]:
    """A search whose input and output are a pseudo-terminal, and the terminal's other end."""
    import fcntl
    import pty
    import termios

    ours, theirs = pty.openpty()

    def take_terminal() -> None:
        os.setsid()
        if controlling:
            fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        [TSBENCH, "search", recipe.name],
        cwd=recipe.parent,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        preexec_fn=take_terminal,
    )
    os.close(theirs)
    return process, ours


def read_until(condition: Callable[[], object], terminal: int) -> None:
    """Reads a terminal, which would block its writer when full, until the condition holds."""
    os.set_blocking(terminal, False)
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
        try:
            os.read(terminal, 65536)
        except BlockingIOError:
            continue


@pytest.mark.nightly
@pytest.mark.slow
def test_a_closed_terminal_ends_a_search_in_order(recipe_file: Write) -> None:
    recipe = recipe_file(("epochs: 4", "epochs: 30"))
    process, terminal = in_terminal(recipe, controlling=True)
    read_until(lambda: running(recipe), terminal)
    os.close(terminal)  # the kernel sends SIGHUP, and every write fails from now on
    assert process.wait(60) == 129
    check_that_it_ended_in_order(recipe)
    code, _, errors = finish(search(recipe))
    assert code == 0, errors
    check_that_all_is_told(recipe, 4)


@pytest.mark.nightly
@pytest.mark.slow
def test_a_search_goes_on_without_a_terminal_that_vanished_without_a_signal(recipe_file: Write) -> None:
    recipe = recipe_file(("epochs: 4", "epochs: 30"))
    process, terminal = in_terminal(recipe, controlling=False)
    read_until(lambda: running(recipe), terminal)
    os.close(terminal)
    assert process.wait(200) == 0
    check_that_all_is_told(recipe, 4)


@pytest.mark.nightly
@pytest.mark.slow
def test_a_search_goes_on_when_the_reader_of_its_output_has_ended(recipe_file: Write) -> None:
    recipe = recipe_file(("epochs: 4", "epochs: 30"))
    process = search(recipe)
    wait_for(lambda: running(recipe), process)
    for stream in (process.stdout, process.stderr):
        assert stream is not None
        stream.close()
    assert process.wait(200) == 0
    check_that_all_is_told(recipe, 4)


@pytest.mark.slow
def test_sigterm_is_not_waited_for_longer_than_docker_waits(recipe_file: Write) -> None:
    recipe = recipe_file(LONG)
    process = search(recipe)
    wait_for(lambda: running(recipe), process)
    (worker,) = workers_of(process.pid)
    worker.suspend()  # a worker that does not react
    began = time.monotonic()
    os.kill(process.pid, signal.SIGTERM)
    code, _, errors = finish(process, 60)
    assert (code, "Traceback" in errors) == (143, False)
    assert time.monotonic() - began < 10
    assert not worker.is_running()
    check_that_it_ended_in_order(recipe)


@pytest.mark.slow
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_at_once(recipe_file: Write, second: signal.Signals) -> None:
    recipe = recipe_file(LONG)
    process = search(recipe)
    wait_for(lambda: running(recipe), process)
    (worker,) = workers_of(process.pid)
    worker.suspend()
    os.kill(process.pid, signal.SIGTERM)
    time.sleep(1.0)
    assert process.poll() is None
    began = time.monotonic()
    os.kill(process.pid, second)
    code, _, errors = finish(process, 40)
    assert (code, "Traceback" in errors) == (143, False)
    assert time.monotonic() - began < 4
    assert not worker.is_running()
    check_that_it_ended_in_order(recipe)


@pytest.mark.slow
def test_a_worker_of_a_second_terminal_leaves_when_its_terminal_is_closed(recipe_file: Write) -> None:
    recipe = recipe_file(LONG)
    process = search(recipe)
    wait_for(lambda: running(recipe), process)
    worker = start([TSBENCH, "worker", recipe.name], recipe.parent)
    wait_for(lambda: len(running(recipe)) == 2, worker)
    os.kill(worker.pid, signal.SIGHUP)
    code, output, errors = finish(worker, 60)
    assert (code, errors) == (0, "")
    assert output.splitlines()[-1] == "Done."
    wait_for(
        lambda: any("left the search" in reason for reason in Study.open(folder_of(recipe)).trials().lost().values())
    )
    os.kill(process.pid, signal.SIGTERM)
    assert finish(process, 60)[0] == 143


def test_signals_are_raised_within_the_context_alone() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
    with pytest.raises(TerminatedError) as caught, raised_signals():
        signal.raise_signal(signal.SIGTERM)
    assert caught.value.number == signal.SIGTERM
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)] == before


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with raised_signals():
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.05)
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.fixture
def _hangup_is_not_ignored() -> Iterator[None]:
    """As in a terminal; under nohup it is ignored, and stays so."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("_hangup_is_not_ignored")
def test_signals_that_follow_at_once_are_the_same_request() -> None:
    caught = []
    with raised_signals():
        for pause in (0.0, 0.0, 0.4):
            time.sleep(pause)
            try:
                os.kill(os.getpid(), signal.SIGHUP)
                time.sleep(0.01)
            except TerminatedError as error:
                caught.append(error.number)
    assert caught == [signal.SIGHUP, signal.SIGHUP]


@pytest.mark.parametrize("threads", [0, 1])
def test_blocked_signals_are_handled_afterwards(threads: int) -> None:
    reached = []
    done = threading.Event()
    others = [threading.Thread(target=done.wait) for _ in range(threads)]  # the kernel may give them the signal
    for thread in others:
        thread.start()

    def be_signalled() -> None:
        with blocked_signals():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.05)
            reached.append("the end of the context")

    try:
        with raised_signals(), pytest.raises(TerminatedError):
            be_signalled()
    finally:
        done.set()
    assert reached == ["the end of the context"]


@pytest.mark.parametrize("arguments", [(), ("--fresh",)])
def test_a_signal_before_the_search_begins_ends_it_with_a_sentence(
    recipe_file: Write, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    recipe = recipe_file()
    with socket.create_server(("127.0.0.1", 0)) as server:  # one that never answers
        server.settimeout(120)
        uri = f"tracking.uri=http://127.0.0.1:{server.getsockname()[1]}"
        process = start([TSBENCH, "search", recipe.name, "--set", uri, *arguments], tmp_path)
        connections = [server.accept()[0] for _ in range(2)]  # the check of the address, then MLflow's first request
        os.kill(process.pid, signal.SIGTERM)
        code, _, errors = finish(process, 60)
        for connection in connections:
            connection.close()
    assert code == 143
    assert errors.splitlines() == [
        "Interrupted by SIGTERM before the search started. Run the same command to start it."
    ]
    assert not (tmp_path / ".tsbench").exists()
