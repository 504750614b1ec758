"""CPU seconds of commands that must feel instant."""

from __future__ import annotations

import resource
import statistics
import subprocess
from pathlib import Path

from tests.benchmarks.table import Row
from tests.processes import TSBENCH

RECIPE = Path(__file__).parents[2] / "recipes" / "quickstart.yaml"
RUNS = 7


def measure() -> list[Row]:
    """`tsbench --help` and `tsbench validate`."""
    return [
        Row("`tsbench --help`, CPU time", _cpu_seconds([TSBENCH, "--help"]), "s", 0.3, f"median of {RUNS}"),
        Row(
            "`tsbench validate recipes/quickstart.yaml`, CPU time",
            _cpu_seconds([TSBENCH, "validate", str(RECIPE)]),
            "s",
            0.3,
            f"median of {RUNS}",
        ),
    ]


def _cpu_seconds(command: list[str]) -> float:
    seconds = []
    for _ in range(RUNS + 1):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(seconds[1:])  # the first warms the disk cache
