"""How the members of `auto` should vote: rules compared on out-of-fold probabilities of training cases alone.

    TSBENCH_ARCHIVE=folder python -m tests.benchmarks.weights collect FOLDER   # one file a data set and member; resumes
    TSBENCH_ARCHIVE=folder python -m tests.benchmarks.weights compare FOLDER   # the table of rules in docs/auto.md
    TSBENCH_ARCHIVE=folder python -m tests.benchmarks.weights order FOLDER     # the order of the members there

Each rule's temperatures and weights are fitted on four fifths of a data set's cases and scored on the fifth, five times
for each of two divisions. No test case is read.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.accuracy import GROUPS
from tests.benchmarks.parallel import archive, run_on_folder
from tsbench.classifiers.weighting import SHRINKAGE, Combination, fit_member_temperature, log_loss, recalibrated

DOCS = Path(__file__).parents[2] / "docs"
RECORDS = DOCS / "weights.json"
MEMBERS = {"multirocket-hydra": 0, "quant": 10, "rdst": 5, "minirocket": 0}
"""Members, with the folds by which their out-of-fold probabilities are made; 0 for the closed form."""

OTHERS = (
    "AllGestureWiimoteX",
    "DodgerLoopGame",
    "GesturePebbleZ1",
    "MelbournePedestrian",
    "PLAID",
    "PickupGestureWiimoteZ",
)
"""Data sets of unequal lengths or with missing values, beside those of `GROUPS`."""

LARGEST = 1500
"""Cases of a data set that the rules are compared on, drawn at random if there are more."""

Floats = NDArray[np.float64]


def collect(folder: Path) -> None:
    """Fits every member on every data set of the archive, and keeps its out-of-fold probabilities."""
    from tsbench.classifiers.baselines import find_baseline
    from tsbench.classifiers.contract import OutOfFold
    from tsbench.evaluation.resampling import stratified_folds
    from tsbench.recipe.schema import BaselinePreprocessingConfig

    os.environ["NUMBA_NUM_THREADS"] = "1"
    for dataset in (*(name for group in GROUPS.values() for name in group.datasets), *OTHERS):
        cases = archive().load(dataset).train
        for member, folds in MEMBERS.items():
            file = folder / f"{dataset}.{member}.npz"
            if file.exists():
                continue
            baseline = find_baseline(member)
            needed = baseline.narrowed(BaselinePreprocessingConfig(), cases)
            began = time.process_time()
            found = None
            if not folds:
                found = baseline.fit(cases, 0, preprocessing=needed).out_of_fold
            else:
                parts = []
                for training, held_out in stratified_folds(cases.labels, folds, 0, cases.groups):
                    fitted = baseline.fit(cases.subset(training), 0, preprocessing=needed)
                    parts.append((held_out, fitted.predict_proba(cases.subset(held_out)), fitted.classes))
                found = OutOfFold.of_folds(cases.labels, parts)
            assert found is not None
            np.savez_compressed(
                file, p=found.probabilities, folds=found.folds, y=found.labels, seconds=time.process_time() - began
            )
            print(f"{dataset} {member}: {found.accuracy:.4f}, {time.process_time() - began:.0f} s", flush=True)


def _weights(rule: str, members: Sequence[Floats], codes: NDArray[np.integer]) -> Floats:
    count = len(members)
    match rule:
        case "best single":
            weights = np.zeros(count)
            weights[np.argmin([log_loss(probabilities, codes) for probabilities in members])] = 1
        case "equal":
            weights = np.full(count, 1 / count)
        case "accuracy^4 (CAWPE)":
            weights = np.array([(probabilities.argmax(axis=1) == codes).mean() + 1e-9 for probabilities in members])
            weights = weights**4 / (weights**4).sum()
        case _:
            shrunk = np.array(Combination.fit(members, codes).weights)
            weights = shrunk if rule == "greedy, shrunk" else (shrunk - SHRINKAGE / count) / (1 - SHRINKAGE)
    return weights


RULES = ("best single", "equal", "accuracy^4 (CAWPE)", "greedy", "greedy, shrunk")


def _nested(rule: str, of_members: bool, of_mean: bool, members: list[Floats], codes: Any, seed: int) -> Floats:
    from sklearn.model_selection import KFold

    found = np.zeros_like(members[0])
    for known, held_out in KFold(min(5, len(codes)), shuffle=True, random_state=seed).split(codes):
        temperatures = [fit_member_temperature(p[known], codes[known]) if of_members else 1.0 for p in members]
        scaled = [recalibrated(p, temperature) for p, temperature in zip(members, temperatures, strict=True)]
        weights = _weights(rule, [p[known] for p in scaled], codes[known])
        mean = np.tensordot(weights, np.stack(scaled), axes=1)
        temperature = fit_member_temperature(mean[known], codes[known]) if of_mean else 1.0
        found[held_out] = recalibrated(mean[held_out], temperature)
    return found


def _collected(folder: Path) -> Iterator[tuple[str, list[Floats], NDArray[np.integer], list[float]]]:
    """Data sets of which every member's probabilities are there: them, the cases' classes and the fits' seconds."""
    for dataset in sorted({file.name.split(".")[0] for file in folder.glob("*.npz")}):
        files = [folder / f"{dataset}.{member}.npz" for member in MEMBERS]
        if not all(file.exists() for file in files):
            continue
        kept = [np.load(file, allow_pickle=False) for file in files]
        _, codes = np.unique(kept[0]["y"], return_inverse=True)
        rows = np.flatnonzero(np.logical_and.reduce([found["folds"] >= 0 for found in kept]))
        if len(rows) > LARGEST:
            rows = np.random.default_rng(0).choice(rows, LARGEST, replace=False)
        seconds = [float(found["seconds"]) if "seconds" in found.files else float("nan") for found in kept]
        yield dataset, [found["p"][rows] for found in kept], codes[rows], seconds


def order(folder: Path) -> str:
    """The order in which members gain the most log loss per second, and how often it is that without one data set.

    The gain of a member is what the nested log loss of the vote falls by if it joins those before it; of the first,
    from the entropy of the classes' shares. Means over data sets, of the gain and of the seconds with the folds' fits.
    """
    collected = list(_collected(folder))
    losses: dict[tuple[int, ...], Floats] = {}
    shares = [np.bincount(codes)[np.unique(codes)] / len(codes) for _, _, codes, _ in collected]
    losses[()] = np.array([-(share * np.log(share)).sum() for share in shares])
    seconds = np.array([spent for *_, spent in collected])

    def loss(chosen: tuple[int, ...]) -> Floats:
        key = tuple(sorted(chosen))
        if key not in losses:
            found = [
                log_loss(_nested("greedy, shrunk", True, True, [members[number] for number in key], codes, 0), codes)
                for _, members, codes, _ in collected
            ]
            losses[key] = np.array(found)
        return losses[key]

    def greedy(sets: NDArray[np.integer]) -> list[int]:
        chosen: list[int] = []
        while len(chosen) < len(MEMBERS):
            left = [number for number in range(len(MEMBERS)) if number not in chosen]
            gains = [(loss(tuple(chosen)) - loss((*chosen, number)))[sets].mean() for number in left]
            rates = [gain / seconds[sets, number].mean() for gain, number in zip(gains, left, strict=True)]
            chosen.append(left[int(np.argmax(rates))])
        return chosen

    every = np.arange(len(collected))
    whole = greedy(every)
    same = sum(greedy(np.delete(every, number)) == whole for number in every)
    names = list(MEMBERS)
    lines = ["| member | log loss with it | gain | core seconds |", "| --- | ---: | ---: | ---: |"]
    for place, number in enumerate(whole):
        before, after = loss(tuple(whole[:place])), loss(tuple(whole[: place + 1]))
        error = (before - after).std(ddof=1) / np.sqrt(len(every))
        gain = f"{(before - after).mean():.4f} ± {error:.4f}"
        lines.append(f"| {names[number]} | {after.mean():.4f} | {gain} | {seconds[:, number].mean():.1f} |")
    return f"{len(every)} data sets; the order is the same without any one of {same} of them.\n\n" + "\n".join(lines)


def compare(folder: Path) -> str:
    """The table, over the data sets of which every member's probabilities are there."""
    scores: dict[str, list[tuple[float, float]]] = {}
    used = []
    for dataset, members, codes, _ in _collected(folder):
        used.append(dataset)
        for member, probabilities in zip(MEMBERS, members, strict=True):
            scores.setdefault(f"{member} alone", []).append(_score([probabilities], codes))
        for rule in RULES:
            for of_members, of_mean, words in ((False, False, ""), (True, False, "members"), (True, True, "both")):
                runs = [_nested(rule, of_members, of_mean, members, codes, seed) for seed in range(2)]
                scores.setdefault(f"{rule}|{words}", []).append(_score(runs, codes))
    reference = np.array(scores["equal|"])
    lines = [
        "| rule | recalibrated | accuracy | minus equal's | log loss | minus equal's |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for name, values in scores.items():
        array = np.array(values)
        difference = array - reference
        error = difference.std(axis=0, ddof=1) / np.sqrt(len(difference))
        rule, _, words = name.partition("|")
        cells = [f"{array[:, 0].mean():.4f}", f"{difference[:, 0].mean():+.4f} ± {error[0]:.4f}"]
        cells += [f"{array[:, 1].mean():.4f}", f"{difference[:, 1].mean():+.4f} ± {error[1]:.4f}"]
        lines.append(f"| {rule} | {words} | {' | '.join(cells)} |")
    RECORDS.write_text(json.dumps({"datasets": used, "scores": scores}) + "\n")
    return f"{len(used)} data sets.\n\n" + "\n".join(lines)


def _score(runs: Sequence[Floats], codes: NDArray[np.integer]) -> tuple[float, float]:
    accuracy = np.mean([(probabilities.argmax(axis=1) == codes).mean() for probabilities in runs])
    return float(accuracy), float(np.mean([log_loss(probabilities, codes) for probabilities in runs]))


def main() -> None:
    run_on_folder({"collect": collect, "compare": compare, "order": order})


if __name__ == "__main__":
    main()
