"""Work in one-thread processes, for measurements that take long."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from tsbench.data.archive import Archive


def archive() -> Archive:
    """The folder that TSBENCH_ARCHIVE names, then what sktime ships; see `Archive.folders`."""
    return Archive()


def run_on_folder(verbs: Mapping[str, Callable[[Path], str | None]]) -> None:
    """Runs the verb that the command line names on a folder, which is created, and prints the text that it returns."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=list(verbs))
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings(action="ignore"):
        text = verbs[given.what](given.folder)
    if text is not None:
        print(text)


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
