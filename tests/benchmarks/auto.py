"""`auto` on the archive split beside published figures: accuracy, log loss, coverage and seconds.

    TSBENCH_ARCHIVE=folder python -m tests.benchmarks.auto quick                    # the 24 univariate sets
    TSBENCH_ARCHIVE=folder python -m tests.benchmarks.auto good univariate multivariate large

Each data set is one line in docs/auto.jsonl with the digest of the code's own settings, and is not run again while they
stand, so an interrupted run goes on where it was. One process at a time: seconds are of one core, of the whole fit with
imports and compilation. Nothing is chosen by these figures; see docs/auto.md for what the rules were chosen by.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.accuracy import GROUPS, Group, published
from tests.benchmarks.parallel import archive

DOCS = Path(__file__).parents[2] / "docs"
RECORDS, PAGE = DOCS / "auto.jsonl", DOCS / "auto-accuracy.md"
LIMIT = {"quick": 120.0, "good": 600.0, "best": 3600.0}
"""Seconds of one core that a data set may take."""

COVERAGE = 0.9
PEERS = ("HC2", "MultiROCKET-Hydra", "QUANT", "RDST", "H-InceptionTime")
MULTIVARIATE_PEERS = ("HC2@MambaSL", "MultiROCKET-Hydra@MambaSL", "ROCKET@MambaSL", "1NN-DTW-D@MambaSL")
"""Run by the authors of MambaSL (2026): the bake-off has no figures of unequal lengths, nor of MultiROCKET-Hydra."""


def settings(preset: str) -> str:
    """A digest of what the figures of a preset depend on."""
    from tsbench.auto import schedule
    from tsbench.auto.portfolio import candidates_of
    from tsbench.classifiers import weighting
    from tsbench.recipe.schema import HyperparameterConfig

    parts: list[Any] = [asdict(candidate) for candidate in candidates_of(preset)]
    for part in parts:
        del part["cost"]  # neither the estimates nor the order decide what a member predicts
    parts.sort(key=lambda part: str(part["name"]))
    parts += [LIMIT[preset], weighting.STEPS, weighting.SHRINKAGE]
    parts += [schedule.FOLDS, schedule.MORE_FOLDS, schedule.FEW_CASES, schedule.REFITS, schedule.FEW_PER_CLASS]
    if any(part["classifier"] == "network" for part in parts if isinstance(part, dict)):
        parts.append(HyperparameterConfig().model_dump(mode="json"))
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]


def evaluate(dataset: str, preset: str) -> dict[str, Any]:
    """Fits on the training cases, and scores the ensemble and its members once on the test cases."""
    from tsbench.auto.portfolio import candidates_of
    from tsbench.auto.training import AutoTraining
    from tsbench.evaluation.metrics import score_all

    data = archive().load(dataset)
    begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    vote = AutoTraining(data.train, candidates_of(preset), LIMIT[preset], seed=0, jobs=1).run()
    wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    members = vote.member_probabilities(data.test)
    probabilities = vote.combination.apply(members)
    sets = vote.predict_set(data.test, COVERAGE)
    column = {str(label): number for number, label in enumerate(vote.classes)}
    true = np.array([column.get(str(label), -1) for label in data.test.labels])
    scores = score_all(data.test.labels, probabilities, vote.classes)
    return {
        "dataset": dataset,
        "preset": preset,
        "settings": settings(preset),
        "accuracy": scores["accuracy"],
        "log_loss": scores["log_loss"],
        "members": {
            member.name: score_all(data.test.labels, found, vote.classes)
            for member, found in zip(vote.members, members, strict=True)
        },
        "weights": dict(zip([member.name for member in vote.members], vote.combination.weights, strict=True)),
        "left_out": {row.member: row.note for row in vote.leaderboard if row.weight == 0},
        "covered": int(sum(sets[case, label] for case, label in enumerate(true) if label >= 0)),
        "set_size": float(sets.sum(axis=1).mean()),
        "test_cases": len(data.test),
        "out_of_fold": asdict(vote.leaderboard[0]),
        "fit_seconds": round(wall, 1),
        "fit_core_seconds": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
    }


Records = dict[tuple[str, str], dict[str, Any]]
"""By preset and data set."""


def read() -> Records:
    """The last record of each preset and data set, whether or not it is of today's settings."""
    lines = map(json.loads, RECORDS.read_text().splitlines() if RECORDS.exists() else ())
    return {(line["preset"], line["dataset"]): line for line in lines}


def is_current(record: dict[str, Any]) -> bool:
    """Whether a record is of today's settings."""
    return bool(record["settings"] == settings(record["preset"]))


def table(group: Group, presets: list[str], records: Records) -> list[str]:
    """Accuracies by data set, those of the peers beside them, and means over the sets that every column has."""
    known = published()
    rows = [name for name in group.datasets if all((preset, name) in records for preset in presets)]
    if not rows:
        return ["Not measured yet."]
    peers = MULTIVARIATE_PEERS if group is GROUPS["multivariate"] else PEERS
    peers = [peer for peer in peers if all((name, peer) in known for name in rows)]
    values = {(name, preset): records[preset, name]["accuracy"] for name in rows for preset in presets}
    values |= {(name, peer): known[name, peer] for name in rows for peer in peers}
    columns = [*presets, *peers]
    spent = [f"{preset}, core seconds" for preset in presets]
    lines = [f"| data set | {' | '.join([*columns, *spent])} |", f"| --- |{' ---: |' * (len(columns) + len(spent))}"]
    for name in rows:
        cells = [f"{values[name, column]:.4f}" for column in columns]
        cells += [f"{records[preset, name]['fit_core_seconds']:.0f}" for preset in presets]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    means = [f"{np.mean([values[name, column] for name in rows]):.4f}" for column in columns]
    means += [f"{np.mean([records[preset, name]['fit_core_seconds'] for name in rows]):.0f}" for preset in presets]
    lines.append(f"| **mean of {len(rows)}** | {' | '.join(means)} |")
    for preset in presets:
        lines += ["", _remarks(preset, [records[preset, name] for name in rows])]
        if earlier := [name for name in rows if not is_current(records[preset, name])]:
            lines[-1] += f" Measured with settings of an earlier version: {', '.join(earlier)}."
    return lines


def _remarks(preset: str, rows: list[dict[str, Any]]) -> str:
    cases = sum(row["test_cases"] for row in rows)
    covered = sum(row["covered"] for row in rows) / cases
    own = np.mean([row["log_loss"] for row in rows])
    names = set.intersection(*(set(row["members"]) for row in rows))
    losses = {name: np.mean([row["members"][name]["log_loss"] for row in rows]) for name in names}
    best = min(losses, key=lambda name: losses[name]) if losses else ""
    beside = f"; the best member that is in every vote, {best}, has {losses[best]:.4f}" if best else ""
    return (
        f"`{preset}`: mean log loss {own:.4f}{beside}. Sets of {COVERAGE:.0%} coverage held the true label of "
        f"{covered:.1%} of {cases} test cases."
    )


def page(records: Records) -> str:
    """The whole page."""
    parts = [
        "# Accuracy of `auto`",
        "Written by `python -m tests.benchmarks.auto`. Fitted on the archive's training cases by one process at a "
        "time, scored once on its test cases, beside published accuracies on the same split (sources in "
        "`tests/benchmarks/accuracy.py`). Core seconds are of the whole fit, imports and compilation included.",
    ]
    for group in GROUPS.values():
        found = [preset for preset in LIMIT if any((preset, dataset) in records for dataset in group.datasets)]
        parts += [f"## {group.title}", "\n".join(table(group, found, records)) if found else "Not measured yet."]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("preset", choices=list(LIMIT))
    parser.add_argument("groups", nargs="*", default=["univariate"], choices=list(GROUPS))
    given = parser.parse_args()
    for group in given.groups:
        for dataset in GROUPS[group].datasets:
            known = read().get((given.preset, dataset))
            if known is not None and is_current(known):
                continue
            record = evaluate(dataset, given.preset)
            with RECORDS.open("a") as file:
                file.write(json.dumps(record) + "\n")
            print(f"{dataset}: {record['accuracy']:.4f} in {record['fit_core_seconds']:.0f} s", flush=True)
            PAGE.write_text(page(read()))


if __name__ == "__main__":
    main()
