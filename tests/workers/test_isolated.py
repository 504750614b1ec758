import importlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

import psutil
import pytest

from tsbench.workers.isolated import CrashedError, FailedError, IsolatedProcess, OverranError
from tsbench.workers.local import start_process
from tsbench.workers.protocol import END, StoppedError

HERE = "tests.workers.test_isolated"


def double(context, number):
    context.send("progress", f"doubling {number}")
    print("what a library prints is no answer")
    return 2 * number


def fail(context):
    raise ValueError("no such luck")


def sleep(context, seconds):
    time.sleep(seconds)


def die(context, code):
    os._exit(code)


def be_killed(context):
    os.kill(os.getpid(), signal.SIGKILL)


def sleep_for_long(seconds):
    time.sleep(seconds)


def ends_of_own_pool(context):
    """Exit codes of workers that `multiprocessing.Pool` ends by SIGTERM while they are busy."""
    pool = multiprocessing.get_context("fork").Pool(2)
    processes = list(pool._pool)
    pool.map_async(sleep_for_long, [60, 60])
    time.sleep(0.2)
    pool.terminate()
    pool.join()
    return [process.exitcode for process in processes]


def pid(context):
    return os.getpid()


def pid_of_own(context):
    """A worker's task that starts an isolated process, as that of a baseline does."""
    return IsolatedProcess().call(f"{HERE}:pid", ())


def pid_of_own_beside_numba(context):
    importlib.import_module("numba")
    return pid_of_own(context)


def parents_threads(context):
    return threading.active_count(), "torch" in sys.modules


@pytest.fixture
def apart():
    process = IsolatedProcess()
    yield process
    process.end()


def test_a_function_is_called_in_another_process_with_its_reports(apart):
    heard = []
    assert apart.call(f"{HERE}:double", (21,), report=heard.append) == 42
    assert [progress for progress in heard if progress is not None] == ["doubling 21"]
    assert apart.call(f"{HERE}:pid", ()) != os.getpid()


def test_a_call_whose_report_raises_leaves_nothing_for_the_next(apart):
    def refuse(progress):
        raise RuntimeError("it cannot be shown")

    first = apart.call(f"{HERE}:pid", ())
    with pytest.raises(RuntimeError, match="it cannot be shown"):
        apart.call(f"{HERE}:sleep", (0.5,), report=refuse)
    assert apart.call(f"{HERE}:pid", ()) not in (None, first)


def test_the_process_is_kept_for_the_next_call_and_imports_no_torch(apart):
    assert apart.call(f"{HERE}:pid", ()) == apart.call(f"{HERE}:pid", ())
    assert apart.call("tests.workers.test_isolated:parents_threads", ())[1] is False


def test_an_error_comes_back_as_a_sentence_with_its_traceback_and_the_process_goes_on(apart):
    before = apart.call(f"{HERE}:pid", ())
    with pytest.raises(FailedError, match=r"^ValueError: no such luck$") as caught:
        apart.call(f"{HERE}:fail", ())
    assert "raise ValueError" in caught.value.details
    assert apart.call(f"{HERE}:pid", ()) == before


@pytest.mark.parametrize(
    ("function", "arguments", "how"),
    [
        ("die", (3,), "its process ended with exit code 3"),
        ("be_killed", (), "its process was ended by SIGKILL; the machine may be out of memory"),
    ],
)
def test_a_crash_is_reported_and_a_new_process_takes_its_place(apart, function, arguments, how):
    with pytest.raises(CrashedError, match=f"^{how}$"):
        apart.call(f"{HERE}:{function}", arguments)
    assert apart.call(f"{HERE}:double", (2,)) == 4


def test_an_overrun_is_ended(apart):
    before = apart.call(f"{HERE}:pid", ())
    with pytest.raises(OverranError):
        apart.call(f"{HERE}:sleep", (60,), timeout=0.3)
    assert not psutil.pid_exists(before)
    assert apart.call(f"{HERE}:double", (2,)) == 4


def test_it_is_ended_when_its_caller_wants_to_stop(apart):
    before = apart.call(f"{HERE}:pid", ())
    with pytest.raises(StoppedError):
        apart.call(f"{HERE}:sleep", (60,), stopping=lambda: True)
    assert not psutil.pid_exists(before)


def test_it_ends_itself_when_its_caller_is_gone():
    script = (
        "import os, sys, threading\n"
        "from tsbench.workers.isolated import IsolatedProcess\n"
        "apart = IsolatedProcess()\n"
        f"print(apart.call('{HERE}:pid', ()), flush=True)\n"
        f"threading.Thread(target=apart.call, args=('{HERE}:sleep', (60,)), daemon=True).start()\n"
        "sys.stdin.readline()\n"
        "os._exit(1)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    caller = psutil.Popen([sys.executable, "-c", script], stdin=-1, stdout=-1, text=True, env=environment)
    helper = psutil.Process(int(caller.stdout.readline()))
    caller.stdin.write("\n")
    caller.stdin.flush()
    caller.wait(30)
    helper.wait(30)  # raises where it lives on


OWN = f"print(IsolatedProcess().call('{HERE}:pid', ()))"
WORKERS = f"""
with WorkerPool(['cpu']) as pool:
    pool.submit(0, Task('{HERE}:pid_of_own', (), None))
    while not (found := pool.wait(1)):
        pass
print(found[0].payload)
"""


@pytest.mark.parametrize("lines", [OWN, WORKERS])
def test_a_caller_that_does_not_end_it_ends_nevertheless(lines):
    script = (
        "from tsbench.workers.isolated import IsolatedProcess\n"
        "from tsbench.workers.pool import WorkerPool\n"
        f"from tsbench.workers.protocol import Task\n{lines}"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    caller = subprocess.run([sys.executable, "-c", script], stdout=-1, text=True, env=environment, timeout=60)
    assert caller.returncode == 0
    with suppress(psutil.NoSuchProcess):
        psutil.Process(int(caller.stdout)).wait(30)  # raises if it lives on


def test_a_worker_that_has_imported_numba_does_not_wait_for_it():
    worker, connection = start_process("worker", "cpu")
    connection.send(("task", f"{HERE}:pid_of_own_beside_numba", ()))
    assert connection.recv()[0] == "result"
    connection.send((END, "the search is done"))
    worker.join(30)
    exitcode = worker.exitcode
    worker.kill()
    assert exitcode == 0  # None while each waits for the other


def test_what_cannot_be_started_is_a_crash():
    multiprocessing.set_executable("/bin/false")
    try:
        with pytest.raises(CrashedError, match="its process ended with exit code 1"):
            IsolatedProcess().call(f"{HERE}:pid", ())
    finally:
        multiprocessing.set_executable(sys.executable)


def test_signals_to_all_processes_do_not_end_a_call_but_reach_what_it_started(apart):
    number = apart.call(f"{HERE}:pid", ())
    for sent in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        os.kill(number, sent)
    assert apart.call(f"{HERE}:double", (4,)) == 8
    assert apart.call(f"{HERE}:pid", ()) == number
    if hasattr(os, "register_at_fork"):
        assert apart.call(f"{HERE}:ends_of_own_pool", (), timeout=20) == [-signal.SIGTERM, -signal.SIGTERM]
