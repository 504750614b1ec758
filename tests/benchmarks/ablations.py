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

from tests.benchmarks.parallel import archive, run_in_processes

DOCS = Path(__file__).parents[2] / "docs"
RECORDS = DOCS / "ablations.jsonl"
PAGE = DOCS / "ablations.md"
MARKS = ("<!-- table -->", "<!-- end of table -->")
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
MAX_CASES = 60
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
    "training.augmentation.scaling": 0.0,
    "training.augmentation.window_warping": 0.0,
}
VARIANTS: dict[str, tuple[dict[str, Any], str]] = {
    "base": ({}, "what the others change one thing of"),
    "kernels 3, 5, 7": ({"model.convolution.kernels": [3, 5, 7]}, "the documents' kernels"),
    "kernels 9, 9, 9": ({"model.convolution.kernels": [9, 9, 9]}, "kernels of one length"),
    "no dilation": ({"model.convolution.dilation": 1}, "three blocks of short kernels, not spread"),
    "one block, long kernels": (
        {"model.convolution.kernels": [9, 19, 39], "model.convolution.blocks": 1},
        "length in place of depth and dilation",
    ),
    "fixed filters": ({"model.convolution.fixed_filters": True}, "hand-crafted filters in the first block"),
    "LSTM": ({"model.encoder.type": "lstm"}, "two residual bidirectional layers, and the skip"),
    "LSTM, no skip": ({"model.encoder.type": "lstm", "model.skip": False}, "the LSTM's output alone is pooled"),
    "attention": ({"model.attention.type": "single"}, "self-attention, and the skip"),
    "stem of stride 2": ({"model.stem.stride": 2}, "averages of two steps first"),
    "average pooling": ({"model.pooling": "average"}, "without the maximum"),
    "no dense layer": ({"model.head.hidden_sizes": []}, "a linear classifier behind the pools"),
    "no features": ({"model.features.blocks": []}, "the learned branch alone"),
    "scaling and warping": (
        {"training.augmentation.scaling": 0.1, "training.augmentation.window_warping": 0.5},
        "the augmentations that are on by default",
    ),
    "mixup": ({"training.augmentation.mixup": 0.2}, "alpha 0.2"),
    "no label smoothing": ({"training.label_smoothing": 0.0}, ""),
    "1200 steps": ({"training.min_steps": 1200}, "twice the training"),
    "average weights": ({"training.checkpoint": "average"}, "of the last quarter of the epochs"),
    "another seed": ({}, "the base again, with other seeds: what a difference by chance looks like"),
    "classic": ({"model.preset": "classic"}, "the documents' own form, with the base's training"),
}


def configuration(variant: str) -> Any:
    """The hyperparameters of a variant: the base's with its own changes; a preset has its own network instead."""
    from tsbench.recipe.dotted import hyperparameters_of

    changes, _ = VARIANTS[variant]
    base = BASE
    if "model.preset" in changes:
        base = {name: value for name, value in BASE.items() if not name.startswith("model.")}
    return hyperparameters_of({**base, **changes})


def evaluate(variant: str, dataset: str) -> dict[str, Any]:
    """Cross-validates one variant on the training cases of one data set; seconds are of one core."""
    import torch

    from tsbench.classifiers.ensemble import encode
    from tsbench.data.preprocessing import Preprocessing
    from tsbench.evaluation.resampling import stratified_folds
    from tsbench.training.jobs import Job, Series
    from tsbench.training.trainer import train

    cases = archive().load(dataset).train
    if len(cases) > MAX_CASES:
        cases = _part(cases)
    config = configuration(variant)
    labels = np.searchsorted(cases.classes, cases.labels)
    hits: dict[str, list[bool]] = {"both": [], "network": [], "features": []}
    losses: list[float] = []
    started = time.process_time()
    for number, (train_part, held_out) in enumerate(stratified_folds(cases.labels, FOLDS, 1)):
        known, unseen = cases.subset(train_part), cases.subset(held_out)
        prepared = Preprocessing.fit(known, config.preprocessing)
        job = Job(
            Series(prepared.apply(known), known.lengths),
            encode(known.labels, cases.classes),
            len(cases.classes),
            number + 100 * (variant == "another seed"),
            config.model,
            config.training,
        )
        train([job])
        values, lengths = Series(prepared.apply(unseen), unseen.lengths).tensors(torch.device("cpu"))
        assert job.network is not None
        with torch.no_grad():
            branches = job.network.branches(values, lengths).softmax(2)
        truth = labels[held_out]
        both = branches.mean(0).numpy()
        hits["both"] += (both.argmax(1) == truth).tolist()
        hits["network"] += (branches[0].argmax(1).numpy() == truth).tolist()
        hits["features"] += (branches[-1].argmax(1).numpy() == truth).tolist()
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
    """A stratified part of about MAX_CASES cases."""
    from sklearn.model_selection import train_test_split

    kept, _ = train_test_split(np.arange(len(cases)), train_size=MAX_CASES, stratify=cases.labels, random_state=0)
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
    by_length = sorted(DATASETS, key=lambda name: archive().load(name).train.length)  # the quick ones first
    waiting = [(variant, dataset) for dataset in by_length for variant in wanted if (variant, dataset) not in done]
    for record in run_in_processes(evaluate, waiting, arguments.processes):
        with RECORDS.open("a") as file:
            file.write(json.dumps(record) + "\n")
    text = PAGE.read_text()
    head, tail = text[: text.index(MARKS[0])], text[text.index(MARKS[1]) :]
    PAGE.write_text(f"{head}{MARKS[0]}\n\n{table(read())}\n{tail}")
    print(table(read()))


def table(records: dict[tuple[str, str], dict[str, Any]]) -> str:
    """Means over the data sets of each variant, with their difference from the base's on the same sets."""
    lines = [
        "| variant | what it is | sets | accuracy | of the learned branch | log loss | core seconds |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for variant, (_, what) in VARIANTS.items():
        names = [dataset for dataset in DATASETS if (variant, dataset) in records and ("base", dataset) in records]
        if not names:
            continue
        ours, base = ([records[row, name] for name in names] for row in (variant, "base"))
        cells = []
        for key, digits in (("both", 3), ("network", 3), ("log_loss", 3)):
            mean, other = (float(np.mean([row[key] for row in rows])) for rows in (ours, base))
            cells.append(f"{mean:.{digits}f}" + ("" if variant == "base" else f" ({mean - other:+.{digits}f})"))
        seconds = sum(row["core_seconds"] for row in ours) / sum(row["core_seconds"] for row in base)
        lines.append(f"| {variant} | {what} | {len(names)} | {' | '.join(cells)} | {seconds:.1f} times |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
