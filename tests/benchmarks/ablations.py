"""What each part of the learned branch is worth, by cross-validation on training cases; test cases are never read.

    python -m tests.benchmarks.ablations                          # every variant, and docs/ablations.md
    python -m tests.benchmarks.ablations "no attention" --seed 1  # some variants, on other folds

Each variant, data set and seed is one line in docs/ablations.jsonl, and is not run again while it stands there, so that
an interrupted run goes on where it was. The archive is the folder that TSBENCH_ARCHIVE names.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.accuracy import GROUPS
from tests.benchmarks.parallel import archive, run_in_processes

DOCS = Path(__file__).parents[2] / "docs"
RECORDS = DOCS / "ablations.jsonl"
PAGE = DOCS / "ablations.md"
MARKS = ("<!-- table -->", "<!-- end of table -->")
DATASETS = GROUPS["univariate"].datasets
FOLDS = 2

BASE: dict[str, Any] = {
    "model.features.blocks": [],
    "model.stem.max_steps": 256,
    "training.epochs": 20,
    "training.min_steps": 400,
}
"""The default's learned branch, of one network, on shorter series and with a shorter training than the default's."""

SETTINGS = "2 folds, 256 steps, 400 mini-batches"
"""Names what all variants share in a record: records of other settings do not count."""

VARIANTS: dict[str, tuple[dict[str, Any], str]] = {
    "base": ({}, "the default's learned branch, which the others change one thing of"),
    "no encoder, no attention": (
        {"model.encoder.type": "none", "model.attention.type": "none"},
        "convolutions, pools and the classifier alone",
    ),
    "no encoder": ({"model.encoder.type": "none"}, "self-attention over the convolutions' coarse steps"),
    "no attention": ({"model.attention.type": "none"}, "two residual bidirectional LSTM layers"),
    "64 coarse steps": ({"model.encoder.max_steps": 64}, "in place of 32 before the encoder"),
    "no gates": ({"model.encoder.gated": False, "model.attention.gated": False}, "the residual parts count at once"),
    "no batch normalisation of the pools": ({"model.head.normalise": "none"}, "pooled features as they are"),
    "no skip": ({"model.skip": False}, "the attention's output alone is pooled"),
    "kernels 3, 5, 7": ({"model.convolution.kernels": [3, 5, 7]}, "the documents' kernels"),
    "no dilation": ({"model.convolution.dilation": 1}, "three blocks of short kernels, not spread"),
    "one block": ({"model.convolution.blocks": 1}, "the first block alone"),
    "16 channels": ({"model.convolution.channels": 16}, "half as wide"),
    "long kernels": ({"model.convolution.kernels": [9, 19, 39], "model.convolution.dilation": 1}, "as InceptionTime's"),
    "four blocks": (
        {"model.convolution.blocks": 4, "model.convolution.dilation": 3},
        "spread 3, 9 and 27 times",
    ),
    "convolutions after the encoder": ({"model.convolution.position": "after_encoder"}, "row N9"),
    "Transformer": ({"model.encoder.type": "transformer"}, "in place of the recurrent layers"),
    "GRU": ({"model.encoder.type": "gru"}, "in place of LSTM"),
    "average pooling": ({"model.pooling": "average"}, "without the maximum"),
    "no dense layer": ({"model.head.hidden_sizes": []}, "a linear classifier behind the pools"),
    "no augmentation": (
        {"training.augmentation.scaling": 0.0, "training.augmentation.window_warping": 0.0},
        "the series as they are",
    ),
    "no label smoothing": ({"training.label_smoothing": 0.0}, ""),
    "mixup": ({"training.augmentation.mixup": 0.2}, "pairs of cases are mixed"),
    "averaged weights": ({"training.checkpoint": "average"}, "over the last quarter of the epochs"),
    "dropout 0.3": ({"model.dropout": 0.3}, "0.1 in the base"),
    "learning rate 0.003": ({"training.learning_rate": 3e-3}, "0.001 in the base"),
    "128 steps": ({"model.stem.max_steps": 128}, "series are averaged down to 128 steps in place of 256"),
    "twice the mini-batches": ({"training.epochs": 40, "training.min_steps": 800}, "800"),
    "another seed": ({}, "the base again, with other initial weights: what a difference by chance looks like"),
    "classic": ({"model.preset": "classic"}, "the documents' own form, with the base's training"),
}


def configuration(variant: str) -> Any:
    """The hyperparameters of a variant: the base's with its own changes; a preset has its own network instead."""
    from tsbench.recipe.dotted import hyperparameters_of

    changes, _ = VARIANTS[variant]
    preset = "model.preset" in changes
    base = {name: value for name, value in BASE.items() if not (preset and name.startswith("model."))}
    return hyperparameters_of({**base, **changes})


def evaluate(variant: str, dataset: str, seed: int) -> dict[str, Any]:
    """Cross-validates one variant on the training cases of one data set; seconds are of one core."""
    cases = archive().load(dataset).train
    weights = 10 * seed + 1000 * (variant == "another seed")
    started = time.process_time()
    probabilities = cross_validated(cases, configuration(variant), seed, weights)
    codes = np.searchsorted(cases.classes, cases.labels)
    scored = ~np.isnan(probabilities[:, 0])
    true = probabilities[scored, codes[scored]]
    return {
        "variant": variant,
        "dataset": dataset,
        "seed": seed,
        "settings": SETTINGS,
        "accuracy": float((probabilities[scored].argmax(1) == codes[scored]).mean()),
        "log_loss": float(-np.log(true.clip(1e-6)).mean()),
        "core_seconds": round(time.process_time() - started, 1),
    }


def cross_validated(cases: Any, config: Any, seed: int, weights: int) -> NDArray[np.float64]:
    """Out-of-fold probabilities, shape (cases, classes); NaN for cases that are only trained on.

    Args:
        cases: the training cases.
        config: hyperparameters.
        seed: of the folds.
        weights: seed of the first fold's initial weights.
    """
    from tsbench.classifiers.ensemble import NetworkEnsemble
    from tsbench.evaluation.resampling import stratified_folds

    probabilities = np.full((len(cases), len(cases.classes)), np.nan)
    for number, (known, held_out) in enumerate(stratified_folds(cases.labels, FOLDS, seed)):
        network = NetworkEnsemble.fit(cases.subset(known), config, [weights + number])
        probabilities[held_out] = 0.0
        columns = np.searchsorted(cases.classes, network.classes)
        probabilities[np.ix_(held_out, columns)] = network.predict_proba(cases.subset(held_out))
    return probabilities


def read() -> dict[tuple[str, str, int], dict[str, Any]]:
    """The records of today's settings so far, by variant, data set and seed."""
    if not RECORDS.exists():
        return {}
    lines = map(json.loads, RECORDS.read_text().splitlines())
    return {
        (line["variant"], line["dataset"], line["seed"]): line for line in lines if line.get("settings") == SETTINGS
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variants", nargs="*", help=f"of {', '.join(VARIANTS)}")
    parser.add_argument("--seed", type=int, default=0, help="of the folds and the initial weights")
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    given = parser.parse_args()
    wanted = given.variants or list(VARIANTS)
    if unknown := set(wanted) - set(VARIANTS):
        parser.error(f"unknown variants: {', '.join(sorted(unknown))}")
    done = read()
    by_length = sorted(DATASETS, key=lambda name: archive().load(name).train.length)  # the quick ones first
    waiting = [
        (variant, dataset, given.seed)
        for variant in wanted
        for dataset in by_length
        if (variant, dataset, given.seed) not in done
    ]
    for record in run_in_processes(evaluate, waiting, given.processes):
        with RECORDS.open("a") as file:
            file.write(json.dumps(record) + "\n")
    text = PAGE.read_text()
    head, tail = text[: text.index(MARKS[0])], text[text.index(MARKS[1]) :]
    PAGE.write_text(f"{head}{MARKS[0]}\n\n{table(read())}\n{tail}")
    print(table(read()))


def table(records: dict[tuple[str, str, int], dict[str, Any]]) -> str:
    """Means over the data sets of each variant, and the differences from the base on the same sets, folds and seeds.

    The standard error is that of the mean over data sets, each of which counts once however many seeds it has.
    """
    lines = [
        "| variant | what it is | sets | accuracy | minus the base's | log loss | minus the base's | core seconds |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for variant, (what, seeds) in ((name, (words, _seeds(records, name))) for name, (_, words) in VARIANTS.items()):
        pairs: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = {}
        for dataset in DATASETS:
            for seed in seeds:
                ours, base = records.get((variant, dataset, seed)), records.get(("base", dataset, seed))
                if ours and base:
                    pairs.setdefault(dataset, []).append((ours, base))
        if not pairs:
            continue
        cells = []
        for key in ("accuracy", "log_loss"):
            values = [np.mean([ours[key] for ours, _ in of_set]) for of_set in pairs.values()]
            differences = [np.mean([ours[key] - base[key] for ours, base in of_set]) for of_set in pairs.values()]
            error = np.std(differences, ddof=1) / np.sqrt(len(differences)) if len(differences) > 1 else float("nan")
            cells += [
                f"{np.mean(values):.4f}",
                "" if variant == "base" else f"{np.mean(differences):+.4f} ± {error:.4f}",
            ]
        every = [pair for of_set in pairs.values() for pair in of_set]
        cost = sum(ours["core_seconds"] for ours, _ in every) / sum(base["core_seconds"] for _, base in every)
        lines.append(f"| {variant} | {what} | {len(pairs)} | {' | '.join(cells)} | {cost:.1f} times |")
    return "\n".join(lines) + "\n"


def _seeds(records: dict[tuple[str, str, int], dict[str, Any]], variant: str) -> list[int]:
    return sorted({seed for name, _, seed in records if name == variant})


if __name__ == "__main__":
    main()
