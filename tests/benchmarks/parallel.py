"""Work in one-thread processes, for measurements that take long."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any

from tsbench.data.archive import Archive


def archive() -> Archive:
    """The folder that TSBENCH_ARCHIVE names, then what sktime ships; see `Archive.folders`."""
    return Archive()


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def run_in_processes(
    function: Callable[..., dict[str, Any]], calls: Sequence[tuple[Any, ...]], processes: int
) -> Iterator[dict[str, Any]]:
    """Each call's result as it comes, from so many processes of one thread each."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = "1"
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=_one_thread) as pool:
        waiting = [pool.submit(function, *call) for call in calls]
        for number, done in enumerate(as_completed(waiting), 1):
            record = done.result()
            print(f"{number}/{len(calls)} {record}", flush=True)
            yield record
