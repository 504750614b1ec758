"""Faults at random moments, and what becomes of the searches that they fall on: `nox -s chaos`.

Each search is run again by the same command until it is complete. A campaign of up to six faults is a line of the
results file, and a table beside it counts them; the exit code is 1 if an invariant was violated.

    python -m tests.chaos --faults 60
    python -m tests.chaos --faults 60 --seed 7      # the campaigns of this seed that the results file does not have
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.chaos.campaign import STALLED, TRIALS, Campaign, as_record, from_record, run_campaign, schedule
from tests.chaos.faults import FAULTS
from tests.chaos.stores import PATIENCE, opened_stores, postgresql_is_installed
from tsbench.tracking.provenance import versions

RESULTS = Path(__file__).parents[2] / "docs" / "reliability.jsonl"


def main(arguments: Sequence[str]) -> int:
    """Runs the campaigns that the results file does not have yet."""
    options = _parse(arguments)
    kinds = ("files", "servers") if postgresql_is_installed() else ("files",)
    if "servers" not in kinds:
        _say("PostgreSQL is not installed (Debian: apt-get install postgresql): restarts of servers are left out")
    _say(f"seed {options.seed}; --faults {options.faults} --seed {options.seed} resumes this run")
    campaigns = schedule(options.seed, options.faults, kinds)
    done = {record["number"] for record in _read(options.out) if _is_of(record, options)}
    deadline = time.monotonic() + 60 * options.minutes
    for number, (kind, faults) in enumerate(campaigns):
        if number in done:
            continue
        if time.monotonic() > deadline:
            _say(f"{options.minutes:g} minutes are over; the same options run the rest")
            break
        _say(f"campaign {number + 1} of {len(campaigns)}: {len(faults)} faults on {kind}")
        with opened_stores(kind) as stores:
            if kind == "files" and not stores.disk:
                _say("no small disk can be made here (only root can mount one): the fault `a full disk` is left out")
            campaign = run_campaign(stores, faults, f"{options.seed}/{number}", _say)
        _append(options, number, kind, campaign)
        _write_page(options.out)
    records = _read(options.out)
    _write_page(options.out)
    print(table(records))
    problems = [problem for record in records if _is_of(record, options) for problem in record["problems"]]
    for problem in problems:
        _say(f"violated: {problem}")
    return 1 if problems else 0


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.chaos", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--faults", type=int, default=60, help="faults in all (default 60)")
    parser.add_argument(
        "--seed", type=int, default=random.SystemRandom().randrange(10**6), help="of faults and moments"
    )
    parser.add_argument("--minutes", type=float, default=60.0, help="begin no campaign after so many (default 60)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="results file (default docs/reliability.jsonl)")
    return parser.parse_args(arguments)


def _write_page(results: Path) -> None:
    results.with_suffix(".md").write_text(page(_read(results)), encoding="utf-8")


def _is_of(record: dict[str, Any], options: argparse.Namespace) -> bool:
    return bool(record["seed"] == options.seed and record["faults"] == options.faults)


def _read(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []


def _append(options: argparse.Namespace, number: int, kind: str, campaign: Campaign) -> None:
    head = {"date": time.strftime("%Y-%m-%d"), "seed": options.seed, "faults": options.faults, "number": number}
    machine = {"cores": os.cpu_count(), "system": platform.system(), "tsbench": versions()["tsbench"]}
    with options.out.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(head | {"stores": kind} | machine | as_record(campaign)) + "\n")


def table(records: Sequence[dict[str, Any]]) -> str:
    """Each fault with how often it was brought about, and what became of the searches."""
    injections = [injection for record in records for injection in from_record(record).injections]
    lines = ["| fault | brought about | ended the search | the moment did not come |", "| --- | ---: | ---: | ---: |"]
    for name in FAULTS:
        own = [injection for injection in injections if injection.fault == name]
        brought = [injection for injection in own if injection.brought]
        ended = [injection for injection in brought if injection.code not in (None, 0)]
        lines.append(f"| {name} | {len(brought)} | {len(ended)} | {len(own) - len(brought)} |")
    campaigns = [from_record(record) for record in records]
    total = {
        name: sum(getattr(campaign, name) for campaign in campaigns)
        for name in ("searches", "calls", "requested", "lost")
    }
    complete = sum(campaign.complete for campaign in campaigns)
    problems = [problem for campaign in campaigns for problem in campaign.problems]
    brought_about = sum(injection.brought for injection in injections)
    lines += [
        "",
        f"{brought_about} faults fell on {total['searches']} searches, which took {total['calls']} calls of the "
        f"command. {total['requested']} trials were requested and {complete} are complete; {total['lost']} lost "
        f"attempts are marked as failed. Violations: {'; '.join(problems) or 'none'}.",
    ]
    return "\n".join(lines) + "\n"


def page(records: Sequence[dict[str, Any]]) -> str:
    """The whole page."""
    dates = sorted({record["date"] for record in records})
    commands = sorted(
        {f"`python -m tests.chaos --faults {record['faults']} --seed {record['seed']}`" for record in records}
    )
    notes = [f"\n{record['note']}\n" for record in records if "note" in record]  # added by hand
    cores = sorted({str(record["cores"]) for record in records})
    return (
        "# Reliability\n\n"
        f"Written by `nox -s chaos` (`tests/chaos/`). Faults fall at random moments on searches of {TRIALS} short "
        f"trials by two workers; some outages outlast the search's retry timeout, which is {PATIENCE:g} s here. "
        "After each fault that ends a search the same command is run again until it is complete. Then must hold: as "
        "many trials are complete as were requested; each has exactly one finished run in MLflow, with the same "
        "score; nothing is RUNNING in Optuna or in MLflow; every other attempt is marked as failed in Optuna, and its "
        "run as failed or killed in MLflow. After SIGTERM and SIGHUP nothing is left running, and no command prints a "
        "traceback; a search always begins or ends a trial, or ends itself, "
        f"within {STALLED:g} s.\n\n"
        f"{table(records)}{''.join(notes)}\n"
        f"Measured on {' and '.join(dates)} by {', '.join(commands)}; {' or '.join(cores)} cores.\n"
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
