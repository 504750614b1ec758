"""What each choice of the network is worth, by cross-validation on training cases; test cases are never looked at.

    python -m tests.benchmarks.ablations            # every variant, and docs/ablations.md
    python -m tests.benchmarks.ablations inception  # some variants

Each pair of variant and data set is one line in docs/ablations.jsonl, and is not run again while it stands there. The
archive is the folder that TSBENCH_ARCHIVE names.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.parallel import run_in_processes

DOCS = Path(__file__).parents[2] / "docs"
RECORDS = DOCS / "ablations.jsonl"
DATASETS = (
    "ArrowHead",
    "Beef",
    "Car",
    "CricketX",
    "DistalPhalanxTW",
    "ECG200",
    "FaceAll",
    "Lightning7",
    "MedicalImages",
    "OSULeaf",
    "OliveOil",
    "ProximalPhalanxOutlineCorrect",
)
MOST_CASES = 60
FOLDS = 2

BASE: dict[str, Any] = {
    "model.convolution.kernels": [3, 5, 9],
    "model.convolution.channels": 32,
    "model.convolution.blocks": 3,
    "model.convolution.dilation": 4,
    "model.encoder.type": "none",
    "model.attention.type": "none",
    "model.features.blocks": ["minirocket"],
    "training.epochs": 50,
    "training.min_steps": 600,
    "training.label_smoothing": 0.1,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "base": {},
    "one block, long kernels": {"model.convolution.kernels": [9, 19, 39], "model.convolution.blocks": 1},
    "no dilation": {"model.convolution.dilation": 1},
    "no dense layer": {"model.head.hidden_sizes": []},
    "average pooling": {"model.pooling": "average"},
    "scaling and warping": {"training.augmentation.scaling": 0.1, "training.augmentation.window_warping": 0.5},
    "1200 steps": {"training.min_steps": 1200},
    "no label smoothing": {"training.label_smoothing": 0.0},
    "kernels 9": {"model.convolution.kernels": [9, 9, 9]},
    "learning rate 3e-3": {"training.learning_rate": 3e-3},
    "average weights": {"training.checkpoint": "average"},
    "fixed filters": {"model.convolution.fixed_filters": True},
    "LSTM": {"model.encoder.type": "lstm"},
    "attention": {"model.attention.type": "single"},
    "mixup": {"training.augmentation.mixup": 0.2},
    "classic": {"model.preset": "classic"},
    "lite": {"model.preset": "lite"},
    "inception": {"model.preset": "inception"},
}


def configuration(variant: str) -> Any:
    """The hyperparameters of a variant: the base's with its own changes; a preset has its own network instead."""
    from tsbench.recipe.schema import HyperparameterConfig

    changes = VARIANTS[variant]
    base = BASE
    if "model.preset" in changes:
        base = {name: value for name, value in BASE.items() if not name.startswith("model.")}
    tree: dict[str, Any] = {}
    for name, value in {**base, **changes}.items():
        node = tree
        *groups, leaf = name.split(".")
        for group in groups:
            node = node.setdefault(group, {})
        node[leaf] = value
    return HyperparameterConfig.model_validate(tree)


def evaluate(variant: str, dataset: str) -> dict[str, Any]:
    """Cross-validates one variant on the training cases of one data set; seconds are of one core."""
    import torch

    from tests.benchmarks.parallel import archive
    from tsbench.classifiers.network import encode
    from tsbench.data.preprocessing import Preprocessing
    from tsbench.evaluation.resampling import stratified_folds
    from tsbench.training.trainer import Job, Series, train

    cases = archive().load(dataset).train
    if len(cases) > MOST_CASES:  # a stratified part: the first validation fold of the right share
        cases = _part(cases)
    config = configuration(variant)
    labels = np.searchsorted(cases.classes, cases.labels)
    hits: dict[str, list[bool]] = {"both": [], "network": [], "features": [], "geometric": [], "quarter": []}
    losses: list[float] = []
    started = time.process_time()
    for number, (train_part, held_out) in enumerate(stratified_folds(cases.labels, FOLDS, 1)):
        taught, unseen = cases.subset(train_part), cases.subset(held_out)
        prepared = Preprocessing.fit(taught, config.preprocessing)
        job = Job(
            Series(prepared.apply(taught), taught.lengths),
            encode(taught.labels, cases.classes),
            len(cases.classes),
            seed=number,
        )
        train([job], config.model, config.training)
        values, lengths = Series(prepared.apply(unseen), unseen.lengths).tensors(torch.device("cpu"))
        assert job.network is not None
        with torch.no_grad():
            branches = job.network.branches(values, lengths).softmax(2)
        truth = labels[held_out]
        both = branches.mean(0).numpy()
        hits["both"] += (both.argmax(1) == truth).tolist()
        hits["network"] += (branches[0].argmax(1).numpy() == truth).tolist()
        hits["features"] += (branches[-1].argmax(1).numpy() == truth).tolist()
        hits["geometric"] += ((branches + 1e-9).log().mean(0).argmax(1).numpy() == truth).tolist()
        hits["quarter"] += ((branches[0] * 0.25 + branches[-1] * 0.75).argmax(1).numpy() == truth).tolist()
        losses += (-np.log(both[np.arange(len(truth)), truth] + 1e-12)).tolist()
    return {
        "variant": variant,
        "dataset": dataset,
        "cases": len(cases),
        **{name: float(np.mean(found)) for name, found in hits.items()},
        "log_loss": float(np.mean(losses)),
        "core_seconds": time.process_time() - started,
    }


def _part(cases: Any) -> Any:
    """A stratified part of about MOST_CASES cases."""
    from sklearn.model_selection import train_test_split

    kept, _ = train_test_split(np.arange(len(cases)), train_size=MOST_CASES, stratify=cases.labels, random_state=0)
    return cases.subset(np.sort(kept))


def read() -> dict[tuple[str, str], dict[str, Any]]:
    """The records so far, by variant and data set."""
    if not RECORDS.exists():
        return {}
    lines = map(json.loads, RECORDS.read_text().splitlines())
    return {(line["variant"], line["dataset"]): line for line in lines}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("variants", nargs="*", help=f"of {', '.join(VARIANTS)}")
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    arguments = parser.parse_args()
    wanted = arguments.variants or list(VARIANTS)
    if unknown := set(wanted) - set(VARIANTS):
        parser.error(f"unknown variants: {', '.join(sorted(unknown))}")
    done = read()
    waiting = [(variant, dataset) for variant in wanted for dataset in DATASETS if (variant, dataset) not in done]
    for record in run_in_processes(evaluate, waiting, arguments.processes):
        with RECORDS.open("a") as file:
            file.write(json.dumps(record) + "\n")
    show(read())


def show(records: dict[tuple[str, str], dict[str, Any]]) -> None:
    for variant in VARIANTS:
        rows = [records[variant, one] for one in DATASETS if (variant, one) in records]
        if rows:
            names = ("both", "network", "features", "geometric", "quarter", "log_loss")
            means = "  ".join(f"{name} {np.mean([row[name] for row in rows]):.4f}" for name in names)
            print(f"{variant:24} {len(rows):3} sets  {means}  {sum(row['core_seconds'] for row in rows):8.0f} s")


if __name__ == "__main__":
    main()
