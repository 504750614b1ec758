"""How often the sets of `predict_set` hold the true label: rules compared by nested cross-validation on training cases.

    TSBENCH_ARCHIVE=folder python -m tests.benchmarks.coverage collect FOLDER   # one file a data set; resumes
    TSBENCH_ARCHIVE=folder python -m tests.benchmarks.coverage compare FOLDER   # the table in docs/auto.md

A data set's training cases are divided in five. Two members are fitted on four parts as `auto` fits them, on all of
their cases and without each inner fold, and predict the fifth. No test case is read.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.accuracy import GROUPS
from tests.benchmarks.parallel import archive, run_on_folder
from tsbench.auto.schedule import FEW_CASES, FOLDS, MORE_FOLDS
from tsbench.classifiers.weighting import Combination, nested_probabilities

MEMBERS = {"minirocket": True, "quant": False}
"""Members, and whether their out-of-fold probabilities come from the closed form."""

COVERAGES = (0.8, 0.9)
Floats = NDArray[np.float64]


def collect(folder: Path) -> None:
    """Fits the members on every data set of the univariate group, and keeps their probabilities."""
    from tsbench.classifiers.baselines import find_baseline
    from tsbench.classifiers.contract import in_columns_of
    from tsbench.evaluation.resampling import stratified_folds

    os.environ["NUMBA_NUM_THREADS"] = "1"
    for dataset in GROUPS["univariate"].datasets:
        file = folder / f"{dataset}.npz"
        if file.exists():
            continue
        cases = archive().load(dataset).train
        kept: dict[str, Any] = {}
        for part, (training, held_out) in enumerate(stratified_folds(cases.labels, 5, 0, cases.groups)):
            known, new = cases.subset(training), cases.subset(held_out)
            count = MORE_FOLDS if len(known) < FEW_CASES else FOLDS  # as `auto` does
            folds = stratified_folds(known.labels, count, 0, known.groups)
            kept[f"{part}.known"] = np.searchsorted(cases.classes, known.labels)
            kept[f"{part}.new"] = np.searchsorted(cases.classes, new.labels)
            numbers = np.full(len(known), -1)
            for member, closed_form in MEMBERS.items():
                baseline = find_baseline(member)
                whole = baseline.fit(known, 0)
                kept[f"{part}.{member}.whole"] = in_columns_of(cases.classes, whole.predict_proba(new), whole.classes)
                out_of_fold, of_new = np.full((len(known), len(cases.classes)), np.nan), []
                for number, (rest, left_out) in enumerate(folds):
                    fitted = baseline.fit(known.subset(rest), 0)
                    found = fitted.predict_proba(known.subset(left_out))
                    out_of_fold[left_out] = in_columns_of(cases.classes, found, fitted.classes)
                    numbers[left_out] = number
                    of_new.append(in_columns_of(cases.classes, fitted.predict_proba(new), fitted.classes))
                kept[f"{part}.{member}.folds"], kept[f"{part}.{member}.new"] = out_of_fold, np.stack(of_new)
                closed = whole.out_of_fold
                kept[f"{part}.{member}.known"] = (
                    in_columns_of(cases.classes, closed.probabilities, closed.classes)
                    if closed_form and closed is not None
                    else out_of_fold
                )
            kept[f"{part}.numbers"] = numbers
        np.savez_compressed(file, **kept)
        print(dataset, flush=True)


def compare(folder: Path) -> str:
    """The table: how often sets hold the true label, over the data sets of the folder.

    A rule's coverage is a mean over data sets. Smoothed means exact in expectation: the share of the sets that a random
    tie break would give (Vovk et al., Algorithmic Learning in a Random World, 2005).
    """
    found: dict[str, list[list[float]]] = {}
    for file in sorted(folder.glob("*.npz")):
        kept = np.load(file, allow_pickle=False)
        for coverage in COVERAGES:
            sums: dict[str, list[float]] = {}
            for part in range(sum(name.endswith(".numbers") for name in kept.files)):
                known, new, numbers = (kept[f"{part}.{name}"] for name in ("known", "new", "numbers"))
                rows = np.flatnonzero(numbers >= 0)
                codes = known[rows]

                def of(kind: str, part: int = part, kept: Any = kept) -> list[Floats]:
                    return [kept[f"{part}.{member}.{kind}"] for member in MEMBERS]

                def true(members: list[Floats], codes: Any) -> Floats:
                    return np.asarray(members[np.arange(len(codes)), codes])  # type: ignore[call-overload]

                members = [probabilities[rows] for probabilities in of("known")]
                combination = Combination.fit(members, codes)
                scores = true(combination.apply(members), codes)
                folds = [np.flatnonzero(numbers[rows] == number) for number in np.unique(numbers[rows])]
                nested = true(nested_probabilities(members, codes, folds), codes)
                whole = true(combination.apply(of("whole")), new)
                by_folds = [probabilities[rows] for probabilities in of("folds")]
                of_folds = Combination.fit(by_folds, codes)
                reference = true(of_folds.apply(by_folds), codes)
                new_of_folds = [
                    true(of_folds.apply([found[number] for found in of("new")]), new) for number in range(len(folds))
                ]
                crossed = np.zeros(len(new))
                for number, fold in enumerate(folds):
                    crossed += (reference[fold][:, None] <= new_of_folds[number]).sum(axis=0)
                ranks = {
                    "whole fits, threshold (in use)": (scores[:, None] <= whole).sum(axis=0),
                    "whole fits, nested weights": (nested[:, None] <= whole).sum(axis=0),
                    "fits of the folds (CV+)": crossed,
                }
                for rule, rank in ranks.items():
                    p_high, p_low = (rank + 1) / (len(rows) + 1), rank / (len(rows) + 1)
                    level = 1 - coverage
                    sums.setdefault(rule, []).extend(p_high > level + 1e-12)
                    chance = np.clip((p_high - level) / (p_high - p_low), 0, 1)
                    sums.setdefault(f"{rule}, smoothed", []).extend(chance)
            for rule, values in sums.items():
                found.setdefault(rule, [[] for _ in COVERAGES])[COVERAGES.index(coverage)].append(
                    float(np.mean(values))
                )
    lines = [f"| rule | {' | '.join(f'sets of {coverage:.0%}' for coverage in COVERAGES)} |", "| --- | ---: | ---: |"]
    for rule, by_coverage in found.items():
        cells = [
            f"{np.mean(values):.1%} ± {np.std(values, ddof=1) / np.sqrt(len(values)):.1%}" for values in by_coverage
        ]
        lines.append(f"| {rule} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    run_on_folder({"collect": collect, "compare": compare})


if __name__ == "__main__":
    main()
