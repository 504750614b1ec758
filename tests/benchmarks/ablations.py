"""What each part of the learned branch is worth, by cross-validation on training cases; test cases are never read.

    python -m tests.benchmarks.ablations                          # every variant, docs/ablations.md and docs/network.md
    python -m tests.benchmarks.ablations "no attention" --seed 1  # some variants, on other folds

Each variant, data set and seed is one line in docs/ablations.jsonl, and is not run again while it stands there, so that
an interrupted run goes on where it was. The archive is the folder that TSBENCH_ARCHIVE names.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.accuracy import GROUPS
from tests.benchmarks.parallel import archive, run_in_processes
from tests.benchmarks.table import fill
from tsbench.studies.specification import fingerprint_of

DOCS = Path(__file__).parents[2] / "docs"
RECORDS = DOCS / "ablations.jsonl"
PAGE = DOCS / "ablations.md"
NETWORK_PAGE = DOCS / "network.md"
DATASETS = GROUPS["univariate"].datasets
FOLDS = 2

BASE: dict[str, Any] = {
    "model.features.blocks": [],
    "model.stem.max_steps": 256,
    "training.epochs": 20,
    "training.min_steps": 400,
}
"""The default's learned branch, of one network, on shorter series and with a shorter training than the default's."""

OTHER_SEED = "another seed"

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
    OTHER_SEED: ({}, "the base again, with other initial weights: what a difference by chance looks like"),
    "classic": ({"model.preset": "classic"}, "the documents' own form, with the base's training"),
}


PARTS = {
    "recurrent layers and self-attention": "no encoder, no attention",
    "recurrent layers": "no encoder",
    "self-attention": "no attention",
    "gates": "no gates",
    "second and third block of convolutions": "one block",
    "dilation": "no dilation",
    "convolutions' output in the pools": "no skip",
    "maximum beside the average": "average pooling",
    "batch normalisation of the pools": "no batch normalisation of the pools",
    "dense layer": "no dense layer",
    "augmentation": "no augmentation",
    "label smoothing": "no label smoothing",
}
"""Parts of the network and its training, each with the variant that lacks it."""

Records = dict[tuple[str, str, int], dict[str, Any]]
"""By variant, data set and seed."""


def configuration(variant: str) -> Any:
    """The hyperparameters of a variant: the base's with its own changes; a preset has its own network instead."""
    from tsbench.recipe.dotted import hyperparameters_of

    changes, _ = VARIANTS[variant]
    preset = "model.preset" in changes
    base = {name: value for name, value in BASE.items() if not (preset and name.startswith("model."))}
    return hyperparameters_of({**base, **changes})


def settings_of(variant: str) -> str:
    """A digest of what a variant's figures depend on: all of its settings, the defaults among them."""
    return fingerprint_of(folds=FOLDS, hyperparameters=configuration(variant).model_dump(mode="json"))[:12]


def evaluate(variant: str, dataset: str, seed: int) -> dict[str, Any]:
    """Cross-validates one variant on the training cases of one data set; seconds are of one core."""
    cases = archive().load(dataset).train
    weights = 10 * seed + 1000 * (variant == OTHER_SEED)
    started = time.process_time()
    probabilities = cross_validated(cases, configuration(variant), seed, weights)
    codes = np.searchsorted(cases.classes, cases.labels)
    scored = ~np.isnan(probabilities[:, 0])
    true = probabilities[scored, codes[scored]]
    return {
        "variant": variant,
        "dataset": dataset,
        "seed": seed,
        "settings": settings_of(variant),
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


def read() -> Records:
    """The records of today's settings so far, by variant, data set and seed."""
    if not RECORDS.exists():
        return {}
    lines = map(json.loads, RECORDS.read_text().splitlines())
    current = {variant: settings_of(variant) for variant in VARIANTS}
    return {
        (line["variant"], line["dataset"], line["seed"]): line
        for line in lines
        if line["settings"] == current.get(line["variant"])
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
    records = read()
    fill(PAGE, "table", table(records))
    fill(NETWORK_PAGE, "worth", worth(records))
    print(table(records))


@dataclass(frozen=True)
class Difference:
    """A variant beside the base, on the data sets, folds and seeds that both have.

    The standard errors are of the mean over data sets, each of which counts once however many seeds it has.

    Attributes:
        sets: number of data sets.
        mean: the variant's mean accuracy and log loss.
        minus_base: by how much they differ from the base's.
        error: standard errors of these.
        cost: core seconds as a multiple of the base's.
    """

    sets: int
    mean: NDArray[np.float64]
    minus_base: NDArray[np.float64]
    error: NDArray[np.float64]
    cost: float


def compare(records: Records, variant: str) -> Difference | None:
    """None if they have no data set in common."""
    seeds = _seeds(records, variant)
    values, differences, seconds = [], [], np.zeros(2)
    for dataset in DATASETS:
        pairs = [
            (_scores(records[variant, dataset, seed]), reference(records, variant, dataset, seed))
            for seed in seeds
            if (variant, dataset, seed) in records and ("base", dataset, seed) in records
        ]
        if not pairs:
            continue
        ours, base = np.array(pairs).transpose(1, 0, 2)
        values.append(ours.mean(0)[:2])
        differences.append((ours - base).mean(0)[:2])
        seconds += ours.sum(0)[2], base.sum(0)[2]
    if not values:
        return None
    spread = np.std(differences, axis=0, ddof=1) if len(values) > 1 else np.full(2, np.nan)
    error = spread / np.sqrt(len(values))
    return Difference(len(values), np.mean(values, 0), np.mean(differences, 0), error, float(seconds[0] / seconds[1]))


def reference(records: Records, variant: str, dataset: str, seed: int) -> NDArray[np.float64]:
    """What a variant is compared with: the mean of the base and the base with another seed, which halves its luck."""
    found = [records["base", dataset, seed]]
    if variant not in ("base", OTHER_SEED) and (OTHER_SEED, dataset, seed) in records:
        found.append(records[OTHER_SEED, dataset, seed])
    mean: NDArray[np.float64] = np.mean([_scores(record) for record in found], axis=0)
    return mean


def _scores(record: dict[str, Any]) -> NDArray[np.float64]:
    return np.array([record[key] for key in ("accuracy", "log_loss", "core_seconds")])


def table(records: Records) -> str:
    """All variants, with their differences from the base."""
    lines = [
        "| variant | what it is | sets | accuracy | minus the base's | log loss | minus the base's | core seconds |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for variant, (_, what) in VARIANTS.items():
        if (found := compare(records, variant)) is None:
            continue
        differences = [f"{mean:+.4f} ± {error:.4f}" for mean, error in zip(found.minus_base, found.error, strict=True)]
        accuracy, log_loss = ["", ""] if variant == "base" else differences
        scores = f"{found.mean[0]:.4f} | {accuracy} | {found.mean[1]:.4f} | {log_loss}"
        lines.append(f"| {variant} | {what} | {found.sets} | {scores} | {found.cost:.1f} times |")
    return "\n".join(lines) + "\n"


def worth(records: Records) -> str:
    """What the network loses without each of its parts that was measured on all data sets."""
    lines = ["| part | accuracy | log loss | core seconds without it |", "| --- | ---: | ---: | ---: |"]
    for part, variant in PARTS.items():
        found = compare(records, variant)
        if found is not None and found.sets == len(DATASETS):
            (accuracy, log_loss), (first, second) = found.minus_base, found.error
            lost = f"{accuracy:+.4f} ± {first:.4f} | {log_loss:+.4f} ± {second:.4f}"
            lines.append(f"| {part} | {lost} | {found.cost:.1f} times |")
    return "\n".join(lines) + "\n"


def _seeds(records: Records, variant: str) -> list[int]:
    return sorted({seed for name, _, seed in records if name == variant})


if __name__ == "__main__":
    main()
