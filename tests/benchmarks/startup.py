"""CPU seconds of commands that must feel instant."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
from pathlib import Path

from tests.benchmarks.table import Row

RECIPE = Path(__file__).parents[2] / "recipes" / "quickstart.yaml"
RUNS = 7


def measure() -> list[Row]:
    """`tsbench --help` and `tsbench validate`."""
    command = str(Path(sys.executable).with_name("tsbench"))
    return [
        Row("`tsbench --help`, CPU time", _cpu_seconds([command, "--help"]), "s", 0.3, f"median of {RUNS}"),
        Row(
            "`tsbench validate recipes/quickstart.yaml`, CPU time",
            _cpu_seconds([command, "validate", str(RECIPE)]),
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
