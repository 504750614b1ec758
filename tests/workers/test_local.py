import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.processes import finish, start
from tsbench.errors import SearchError, TsbenchError
from tsbench.workers.local import find_devices
from tsbench.workers.pool import WorkerPool
from tsbench.workers.protocol import Message, Task, WorkerContext


def path(function: Callable[..., object]) -> str:
    return f"{function.__module__}:{function.__name__}"


def describe(context: WorkerContext, value: int) -> tuple[str, int, int, str | None]:
    import torch

    return context.device, value * value, torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")


def tell_why(context: WorkerContext) -> str:
    context.report("there")
    while not context.stopping:
        time.sleep(0.01)
    return context.why


def stay(context: WorkerContext) -> None:
    context.report("there")
    time.sleep(600)


def count(context: WorkerContext) -> int:
    for step in range(1000):
        if context.stopping:
            return step
        context.report(step)
        time.sleep(0.01)
    return -1


def fail(context: WorkerContext, kind: str) -> None:
    if kind == "sentence":
        raise SearchError("this is why")
    raise ZeroDivisionError("by zero")


def die(context: WorkerContext) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_with_numba(context: WorkerContext) -> None:
    import numba

    numba.get_num_threads()  # starts its threads, which it guards by a lock
    os.kill(os.getpid(), signal.SIGKILL)


def collect(pool: WorkerPool, count: int, kinds: tuple[str, ...] = ("result", "error", "died")) -> list[Message]:
    messages: list[Message] = []
    deadline = time.monotonic() + 60
    while len(messages) < count and time.monotonic() < deadline:
        messages += [message for message in pool.wait(0.2) if message.kind in kinds]
    return messages


def test_tasks_run_on_their_workers_device_with_one_thread() -> None:
    with WorkerPool(["cpu", "cpu"]) as pool:
        assert list(pool.idle()) == [0, 1]
        for worker in (0, 1):
            pool.submit(worker, Task(path(describe), (worker + 2,), key=f"task {worker}"))
        assert list(pool.idle()) == []
        results = sorted(collect(pool, 2), key=lambda one: one.worker)
    assert [result.payload for result in results] == [("cpu", 4, 1, "1"), ("cpu", 9, 1, "1")]
    assert [result.task.key for result in results if result.task] == ["task 0", "task 1"]


def test_errors_come_as_sentences_and_unexpected_ones_with_their_traceback() -> None:
    with WorkerPool(["cpu"]) as pool:
        pool.submit(0, Task(path(fail), ("sentence",), None))
        (known,) = collect(pool, 1)
        pool.submit(0, Task(path(fail), ("other",), None))
        (unknown,) = collect(pool, 1)
    assert (known.kind, known.payload, known.details) == ("error", "this is why", "")
    assert unknown.payload == "ZeroDivisionError: by zero"
    assert "Traceback" in unknown.details


def test_a_killed_worker_is_reported_with_its_task_and_replaced() -> None:
    with WorkerPool(["cpu"]) as pool:
        pool.submit(0, Task(path(die), (), "the task"))
        (message,) = collect(pool, 1)
        assert message.kind == "died"
        assert message.payload == "worker 1 was ended by SIGKILL; the machine may be out of memory"
        assert message.task is not None
        assert message.task.key == "the task"
        pool.submit(0, Task(path(describe), (5,), None))
        (result,) = collect(pool, 1)
        assert result.payload[1] == 25


def test_a_worker_that_is_killed_after_numba_was_used_leaves_no_warning_of_a_semaphore() -> None:
    code = (
        "from tests.workers.test_local import die_with_numba, path; from tsbench.workers.local import start_process\n"
        "process, connection = start_process('worker', 'cpu')\n"
        "connection.send(('task', path(die_with_numba), ()))\n"
        "process.join()\n"
        "print(process.exitcode)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("-9\n", "")


def test_workers_hear_the_request_to_stop_and_report_until_then() -> None:
    with WorkerPool(["cpu"]) as pool:
        pool.submit(0, Task(path(count), (), None))
        assert collect(pool, 2, ("progress",))[1].payload > 0
        pool.stop()
        (result,) = collect(pool, 1)
    assert 0 < result.payload < 1000


def test_a_worker_that_stops_a_useless_task_continues_with_others() -> None:
    with WorkerPool(["cpu"]) as pool:
        for key in ("useless", "useful"):
            pool.submit(0, Task(path(count), (), key))
            assert collect(pool, 2, ("progress",))[1].payload > 0
            pool.stop_where(lambda task: "of no use" if task.key == "useless" else "")
            pool.stop_where(lambda task: "of no use" if task.key == "useless" else "")  # said once
            if key == "useless":
                (result,) = collect(pool, 1)
                assert 0 < result.payload < 1000
        assert collect(pool, 2, ("progress",))[1].payload > 0  # it still counts
        pool.stop()


def test_a_worker_hears_why_it_is_to_stop() -> None:
    with WorkerPool(["cpu"]) as pool:
        pool.submit(0, Task(path(tell_why), (), None))
        collect(pool, 1, ("progress",))
        pool.stop_where(lambda task: "the study's time is spent")
        pool.stop()  # which is later
        assert collect(pool, 1)[0].payload == "the study's time is spent"


def test_leaving_at_once_waits_for_no_task() -> None:
    with WorkerPool(["cpu"]) as pool:
        pool.submit(0, Task(path(stay), (), None))
        collect(pool, 1, ("progress",))
        process = pool._workers[0].process
        pool.end_at_once()
    assert process is not None
    assert process.exitcode == -signal.SIGKILL


def test_leaving_the_pool_ends_its_processes() -> None:
    with WorkerPool(["cpu"]) as pool:
        pool.submit(0, Task(path(describe), (1,), None))
        collect(pool, 1)
        process = pool._workers[0].process
        assert process.is_alive()
    assert not process.is_alive()
    assert process.exitcode == 0


def test_devices_are_spread_over_workers() -> None:
    assert find_devices("cpu", 3) == ["cpu"] * 3
    assert find_devices("cpu", "auto") == ["cpu"] * len(os.sched_getaffinity(0))


def test_a_gpu_that_does_not_exist_is_refused() -> None:
    with pytest.raises(TsbenchError, match=r"execution.device is 'cuda:9', but torch finds \d+ CUDA devices here"):
        find_devices("cuda:9", "auto")


def modules(context: WorkerContext) -> bool:
    import sys

    return "wave" in sys.modules


def test_workers_have_imported_what_they_will_need() -> None:
    with WorkerPool(["cpu"], preload=["wave"]) as pool:
        pool.start()
        pool.submit(0, Task(path(modules), (), None))
        (result,) = collect(pool, 1)
        assert result.payload is True


def environment(context: WorkerContext) -> str:
    return os.environ["TSBENCH_TEST"]


def test_a_worker_has_the_environment_of_the_moment_it_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("one", "two"):
        monkeypatch.setenv("TSBENCH_TEST", value)
        with WorkerPool(["cpu"]) as pool:
            pool.submit(0, Task(path(environment), (), None))
            (result,) = collect(pool, 1)
            assert result.payload == value


SCRIPT = """
from tsbench.workers.pool import WorkerPool
from tsbench.workers.protocol import Task

if __name__ == "__main__":
    with WorkerPool(["cpu"], preload=["wave"]) as pool:
        pool.submit(0, Task("tests.workers.test_local:modules", (), None))
        while not any(one.kind == "result" for one in pool.wait(1)):
            pass
"""


def test_modules_of_the_current_folder_do_not_take_the_place_of_installed_ones(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "folder", tmp_path / "elsewhere"
    for place in (folder, elsewhere):
        place.mkdir()
    for name in ("wave", "torch", "numpy"):
        (folder / f"{name}.py").write_text(f"open({name!r} + '.imported', 'w')\n")
    (elsewhere / "script.py").write_text(SCRIPT)
    here = str(Path(__file__).parents[2])
    code, _, errors = finish(start([sys.executable, "../elsewhere/script.py"], folder, {"PYTHONPATH": here}), 120)
    assert code == 0, errors
    assert sorted(file.name for file in folder.iterdir()) == ["numpy.py", "torch.py", "wave.py"]


def test_a_task_that_does_not_exist_is_an_error_and_not_the_workers_end() -> None:
    with WorkerPool(["cpu"]) as pool:
        pool.submit(0, Task("tests.nowhere:nothing", (), None))
        (message,) = collect(pool, 1)
    assert message.kind == "error"
    assert "No module named 'tests.nowhere'" in message.payload
