"""How fast data sets are read, a first and a second time, and what memory workers share.

FordA and ElectricDevices come from the archive that TSBENCH_ARCHIVE names; without it those rows are left out. The
large set is made up, in a temporary folder: 1,000,000 cases of 256 steps in float32.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import psutil

from tests.benchmarks.table import Row
from tsbench.bench.run import PRELOAD
from tsbench.data.archive import Archive
from tsbench.data.collection import Collection, TrainingSet
from tsbench.data.custom_data import load_own
from tsbench.data.formats import read_ts
from tsbench.errors import DataError
from tsbench.recipe.schema import HyperparameterConfig, OwnDataConfig, SearchConfig
from tsbench.studies.objective import CrossValidation
from tsbench.workers.pool import WorkerPool
from tsbench.workers.protocol import Task, WorkerContext

PAIRS = 5
LOADS = 9
WORKERS = 4
CASES, STEPS = 1_000_000, 256
GIGABYTE = 1e9
SETTINGS = HyperparameterConfig.model_validate(
    {
        "model": {
            "convolution": {"channels": 2, "blocks": 1},
            "features": {"blocks": []},
            "head": {"hidden_sizes": [8]},
            "stem": {"type": "average", "stride": 8},
        },
        "training": {"epochs": 1, "batch_size": 512, "augmentation": {"window_warping": 0.0}},
    }
)


def measure_reading() -> list[Row]:
    """sktime's reader beside ours, and a set's second load."""
    rows = []
    archive = Archive(os.environ.get("TSBENCH_ARCHIVE"))
    for name in ("FordA", "ElectricDevices"):
        try:
            folder = archive.locate(name)
        except DataError:
            folder = None
        if folder is None:
            continue
        path = folder / f"{name}_TRAIN.ts"
        ours, sktimes = _in_turn(lambda path=path: read_ts(path), lambda path=path: _sktime(path))
        remark = f"{ours:.2f} s and {sktimes:.2f} s of CPU for {name}_TRAIN.ts, medians of {PAIRS}"
        rows.append(Row(f"{name}: our .ts reader beside sktime's", ours / sktimes, "times", None, remark))
        archive.load(name)
        again = statistics.median(_seconds(lambda name=name: archive.load(name)) for _ in range(LOADS))
        rows.append(Row(f"{name}: second load, both splits", 1000 * again, "ms", 50, f"median of {LOADS}"))
        remark = "both splits, beside its training file"
        rows.append(Row(f"{name}: second load beside sktime's reader", again / sktimes, "times", 0.333, remark))
    return rows


def _sktime(path: Path) -> None:
    from sktime.datasets import load_from_tsfile

    load_from_tsfile(str(path), return_data_type="numpy3D")


def _in_turn(one: Callable[[], Any], other: Callable[[], Any]) -> tuple[float, float]:
    """CPU seconds, which other work on the machine disturbs less."""
    pairs = [(_seconds(one, time.process_time), _seconds(other, time.process_time)) for _ in range(PAIRS)]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)


def _seconds(call: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> float:
    began = clock()
    call()
    return clock() - began


def measure_memory() -> list[Row]:
    """Four workers that each carry out a trial on the large set: peak of their memory together."""
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, TSBENCH_CACHE=f"{folder}/cache"):
        config = _make_up(Path(folder))
        first = _seconds(lambda: load_own(config))
        second = statistics.median(_seconds(lambda: load_own(config)) for _ in range(LOADS))
        idle, peak = _peak_of_workers(config)
    size = CASES * STEPS * 4 / GIGABYTE
    what = f"{CASES:,} cases of {STEPS} steps"
    return [
        Row(f"made-up set, {what}: first load", first, "s", None, f"{size:.2f} GB in float32, from .npz"),
        Row("its second load", 1000 * second, "ms", 50, f"median of {LOADS}"),
        Row(
            f"{WORKERS} workers with a trial on it: memory beyond idle ones",
            (peak - idle) / size,
            "times the set",
            1.5,
            f"{peak - idle:.2f} GB; shared pages counted once (Pss)",
        ),
        Row("of all they hold, Python and torch included", peak / size, "times the set", None, f"{peak:.2f} GB"),
        Row(
            "of which before they load it",
            idle,
            "GB",
            None,
            f"{WORKERS} processes that have had a trial on a small set, and the one they are forked from",
        ),
    ]


def _make_up(folder: Path) -> OwnDataConfig:
    """Two classes that differ in level, so that there is something to learn."""
    random = np.random.default_rng(0)
    for name, cases in (("train", CASES), ("test", 1000)):
        labels = random.integers(2, size=cases)
        values = random.standard_normal((cases, STEPS), dtype=np.float32)
        values += labels[:, None].astype(np.float32)
        np.savez(folder / f"{name}.npz", values=values, labels=labels)
    files = {name: str(folder / f"{name}.npz") for name in ("train", "test")}
    return OwnDataConfig.model_validate({"name": "large", **files})


def _peak_of_workers(config: OwnDataConfig) -> tuple[float, float]:
    """Gigabytes of all workers together: when they have had a trial on a small set, and at most."""
    with WorkerPool(["cpu"] * WORKERS, PRELOAD) as pool:
        _let_all(pool, "_trial_on_little", ())
        children = [
            child.pid for child in psutil.Process().children(recursive=True)
        ]  # the process they are forked from too
        idle = _proportional(children)
        peak = _let_all(pool, "_trial", (config,), lambda: _proportional(children))
    return idle / GIGABYTE, max(idle, peak) / GIGABYTE


def _let_all(pool: WorkerPool, function: str, arguments: tuple[Any, ...], look: Callable[[], float] = float) -> float:
    """Every worker carries it out; gives the most that was seen meanwhile."""
    most, results = 0.0, 0
    for number in range(WORKERS):
        pool.submit(number, Task(f"{__name__}:{function}", (number, *arguments), None))
    while results < WORKERS:
        for news in pool.wait(0.1):
            assert news.kind == "result", news
            results += 1
        most = max(most, look())
    return most


def _proportional(pids: list[int]) -> float:
    """Bytes of the processes' memory, a page that several share divided among them (Linux)."""
    total = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:  # it has ended
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return 1024.0 * total


def _trial_on_little(context: WorkerContext, seed: int) -> None:
    """What makes the libraries load what they load late."""
    values = np.random.default_rng(0).standard_normal((1000, 1, STEPS), dtype=np.float32)
    small = Collection(values, np.full(1000, STEPS), np.array(["0", "1"] * 500))
    CrossValidation(TrainingSet("small", small), SETTINGS, SearchConfig(), seed).run()


def _trial(context: WorkerContext, seed: int, config: OwnDataConfig) -> None:
    """What a worker does: the set by its place, a held-out fold, preprocessing fitted, an epoch, validation."""
    validation = CrossValidation(load_own(config).training_set(), SETTINGS, SearchConfig(), seed)
    validation.run()
    assert validation.scores["accuracy"] > 0.9, validation.scores
