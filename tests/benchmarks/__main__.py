"""Measures what tsbench promises of its own speed, and writes docs/benchmarks.md: `nox -s bench`.

Ratios are taken within one run, the two sides in turn, so that a machine whose speed drifts does not decide them.
Nothing else should run meanwhile. `python -m tests.benchmarks startup trainer` runs some of the parts and prints them.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks import comparing, data, orchestration, peers, startup, trainer
from tests.benchmarks.table import Row, markdown
from tsbench.tracking.provenance import versions

PARTS: dict[str, Callable[[], list[Row]]] = {
    "startup": startup.measure,
    "trainer": trainer.measure,
    "peers": peers.measure,
    "reading": data.measure_reading,
    "memory": data.measure_memory,
    "comparing": comparing.measure,
    "orchestration": orchestration.measure_trials,
    "quickstart": orchestration.measure_quickstart,
}
PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"


def main(names: list[str]) -> int:
    """Runs the named parts, or all of them and writes the page; 1 where a bound is missed."""
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        print(f"unknown part: {', '.join(unknown)}; known: {', '.join(PARTS)}", file=sys.stderr)
        return 2
    rows: list[Row] = []
    for name in names or PARTS:
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        rows += PARTS[name]()
    table = markdown(rows)
    print(table)
    if not names:
        PAGE.write_text(_page(table), encoding="utf-8")
    return 0 if all(row.held for row in rows) else 1


def _page(table: str) -> str:
    found = versions()
    packages = ", ".join(f"{name} {found[name]}" for name in ("python", "torch", "optuna", "mlflow", "sktime", "aeon"))
    return (
        "# Benchmarks\n\n"
        "Written by `nox -s bench`; the measuring code is in `tests/benchmarks/`. Ratios are taken within one run; "
        "absolute times are of one machine and say little about another.\n\n"
        f"Measured on: {_processor()}, {_cores()} cores, {platform.system()}; {packages}.\n\n{table}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _cores() -> int:
    import os

    return os.cpu_count() or 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
