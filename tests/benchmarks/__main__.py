"""Measures what tsbench promises of its own speed, and writes docs/benchmarks.md: `nox -s bench`.

Ratios are taken within one run, the two sides in turn, so that a machine whose speed drifts does not decide them.
Nothing else should run meanwhile. `python -m tests.benchmarks startup trainer` runs some of the parts and prints them.
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.benchmarks import (
    comparing,
    data,
    orchestration,
    peers,
    pruners,
    scaling,
    searches,
    startup,
    tracking,
    trainer,
)
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
    "search": searches.measure,
    "pruners": pruners.measure,
    "scaling": scaling.measure,
    "tracking": tracking.measure,
    "quickstart": orchestration.measure_quickstart,
}
DOCS = Path(__file__).parents[2] / "docs"
PAGE, RECORDS = DOCS / "benchmarks.md", DOCS / "benchmarks.json"


def main(names: list[str]) -> int:
    """Runs the named parts, or all of them, and writes what they gave into the page; 1 where a bound is missed."""
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        print(f"unknown part: {', '.join(unknown)}; known: {', '.join(PARTS)}", file=sys.stderr)
        return 2
    held = True
    for name in names or PARTS:
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        rows = PARTS[name]()
        print(markdown(rows))
        held = held and all(row.held for row in rows)
        records = json.loads(RECORDS.read_text(encoding="utf-8")) if RECORDS.exists() else {}
        records[name] = {"machine": _machine(), "rows": [asdict(row) for row in rows]}
        RECORDS.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
        PAGE.write_text(_page(records), encoding="utf-8")
    return 0 if held else 1


def _page(records: dict[str, Any]) -> str:
    parts = [
        "# Benchmarks\n\n"
        "Written by `nox -s bench` (or `nox -s bench -- startup trainer` for some of the parts); the measuring code is "
        "in `tests/benchmarks/`. Ratios are taken within one run; absolute times are of one machine and say little "
        "about another.\n"
    ]
    for name in PARTS:
        if name in records:
            table = markdown([Row(**row) for row in records[name]["rows"]])
            parts.append(f"## {name.capitalize()}\n\n{table}\n{records[name]['machine']}\n")
    return "\n".join(parts)


def _machine() -> str:
    found = versions()
    packages = ", ".join(f"{name} {found[name]}" for name in ("python", "torch", "optuna", "mlflow", "sktime", "aeon"))
    return f"Measured on {_processor()}, {_cores()} cores, {platform.system()}; {packages}."


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
