"""The default NetworkClassifier, without a search, on the archive split beside published figures.

    TSBENCH_ARCHIVE=folder python -m tests.benchmarks.accuracy                 # the 24 univariate sets, and the page
    TSBENCH_ARCHIVE=folder python -m tests.benchmarks.accuracy multivariate large
    TSBENCH_ARCHIVE=folder python -m tests.benchmarks.accuracy --preset classic

Each data set is one line in docs/accuracy.jsonl with the digest of the defaults it was made with, and is not run again
while they stand; so an interrupted run goes on where it was. Seconds are of one core: each data set is trained in a
process of one thread. Nothing is chosen by these figures: see docs/ablations.md for what the defaults were chosen by.

The published figures (tsbench/comparisons/references) are accuracies on the same split, from the results that accompany
Middlehurst et al. 2024 ("Bake off redux") and Ruiz et al. 2021; LSTM-FCN's from Karim et al. 2018; ConvTran's and
LITEMVTime's from Ismail-Fawaz et al. 2024.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.parallel import archive, run_in_processes
from tsbench.comparisons.published import load_reference
from tsbench.comparisons.results import ARCHIVE_SPLIT

DOCS = Path(__file__).parents[2] / "docs"
RECORDS = DOCS / "accuracy.jsonl"
PAGE = DOCS / "accuracy.md"
NETWORKS = {None: 3, "classic": 1}
"""How many networks are trained, by preset: the default ensemble, and the documents' own form, which is one network."""
BAR = "InceptionTime"


@dataclass(frozen=True)
class Group:
    """Data sets that are reported together, and the published classifiers that stand beside."""

    title: str
    datasets: tuple[str, ...]
    peers: tuple[str, ...]


UNIVARIATE = ("H-InceptionTime", BAR, "LITETime", "LSTM-FCN", "ResNet", "MiniROCKET", "MultiROCKET-Hydra", "HC2")
GROUPS = {
    "univariate": Group(
        "Univariate sets of at most 60,000 training steps",
        (
            "ArrowHead",
            "BME",
            "Beef",
            "CBF",
            "Car",
            "Chinatown",
            "Coffee",
            "DiatomSizeReduction",
            "DistalPhalanxTW",
            "ECG200",
            "ECGFiveDays",
            "FaceFour",
            "GunPoint",
            "Ham",
            "InsectEPGRegularTrain",
            "ItalyPowerDemand",
            "Lightning7",
            "Meat",
            "MedicalImages",
            "MoteStrain",
            "OliveOil",
            "Plane",
            "PowerCons",
            "ProximalPhalanxOutlineCorrect",
        ),
        UNIVARIATE,
    ),
    "multivariate": Group(
        "Multivariate sets",
        (
            "ArticularyWordRecognition",
            "AtrialFibrillation",
            "BasicMotions",
            "FingerMovements",
            "Handwriting",
            "JapaneseVowels",
            "Libras",
            "NATOPS",
            "UWaveGestureLibrary",
        ),
        ("ROCKET", "ConvTran", "LITEMVTime", BAR, "ResNet", "HC2"),
    ),
    "large": Group(
        "Larger univariate sets",
        ("OSULeaf", "Fish", "FaceAll", "CricketX", "ACSF1", "Earthquakes", "FordA", "ElectricDevices"),
        UNIVARIATE,
    ),
}


def defaults(preset: str | None = None) -> str:
    """A digest of every default that a figure depends on."""
    from tsbench.recipe.dotted import hyperparameters_of

    settings = hyperparameters_of(_changes(preset)).model_dump(mode="json")
    return hashlib.sha256(json.dumps(settings, separators=(",", ":")).encode()).hexdigest()[:12]


def _changes(preset: str | None) -> dict[str, Any]:
    """What a preset changes in the defaults, by dotted names."""
    return {"model.preset": preset} if preset else {}


def evaluate(dataset: str, preset: str | None = None) -> dict[str, Any]:
    """Fits the default classifier, or that of a preset, on the training cases; scores it once on the test cases."""
    from tsbench import NetworkClassifier
    from tsbench.evaluation.metrics import score_all

    data = archive().load(dataset)
    classifier = NetworkClassifier(_changes(preset), ensemble=NETWORKS[preset], device="auto", random_state=0)
    begun = time.process_time()
    classifier.fit(_panel(data.train), data.train.labels)
    fitted = time.process_time()
    probabilities = classifier.predict_proba(_panel(data.test))
    seconds = time.process_time() - fitted
    scores = score_all(data.test.labels, probabilities, classifier.classes_)
    learned = score_all(data.test.labels, _learned(classifier.ensemble_, data.test), classifier.classes_)
    return {
        "dataset": dataset,
        **({"preset": preset} if preset else {}),
        "defaults": defaults(preset),
        "accuracy": scores["accuracy"],
        "balanced_accuracy": scores["balanced_accuracy"],
        "log_loss": scores["log_loss"],
        "learned_accuracy": learned["accuracy"],
        "learned_log_loss": learned["log_loss"],
        "train_cases": len(data.train),
        "length": data.train.length,
        "fit_core_seconds": round(fitted - begun, 1),
        "predict_core_seconds": round(seconds, 2),
    }


def _learned(ensemble: Any, cases: Any) -> Any:
    """The mean of the learned branches' probabilities, shape (cases, classes)."""
    import torch

    from tsbench.training.jobs import Series

    series = Series(ensemble.preprocessing.series(cases), ensemble.preprocessing.lengths(cases))
    found = []
    for member in ensemble.members:
        values, lengths = series.tensors(next(member.parameters()).device)
        with torch.inference_mode():
            parts = [
                member.learned(values[start : start + 512], None if lengths is None else lengths[start : start + 512])
                for start in range(0, len(cases), 512)
            ]
        found.append(torch.cat(parts).softmax(1).double().cpu().numpy())
    return np.mean(found, axis=0)


def _panel(cases: Any) -> Any:
    import pandas as pd

    if cases.equal_length:
        return cases.values
    return [pd.DataFrame(case.T) for case in cases.cases()]


def read(preset: str | None = None) -> dict[str, dict[str, Any]]:
    """The records of today's defaults, or of a preset's, by data set."""
    if not RECORDS.exists():
        return {}
    lines, digest = map(json.loads, RECORDS.read_text().splitlines()), defaults(preset)
    return {line["dataset"]: line for line in lines if line["defaults"] == digest}


def published() -> dict[tuple[str, str], float]:
    """Accuracy by data set and classifier."""
    reference = load_reference("published")
    figures = {key: reference.score(*key, ARCHIVE_SPLIT) for key in reference.cells}
    return {key: figure for key, figure in figures.items() if figure is not None}


def table(group: Group, records: dict[str, dict[str, Any]], known: dict[tuple[str, str], float]) -> str:
    """The group's results so far as Markdown, with means over the data sets that every column has."""
    rows = [name for name in group.datasets if name in records]
    if not rows:
        return "Not measured yet.\n"
    classic = read("classic")
    columns = ["tsbench", *(["classic"] if classic.keys() & set(rows) else []), *group.peers]
    values = {(name, "tsbench"): records[name]["accuracy"] for name in rows}
    values |= {(name, "classic"): classic[name]["accuracy"] for name in rows if name in classic}
    values |= {(name, peer): known[name, peer] for name in rows for peer in group.peers if (name, peer) in known}
    lines = [
        f"| data set | {' | '.join(columns)} | core seconds to fit |",
        f"| --- |{' ---: |' * (len(columns) + 1)}",
    ]
    for name in rows:
        cells = [f"{values[name, column]:.4f}" if (name, column) in values else "" for column in columns]
        lines.append(f"| {name} | {' | '.join(cells)} | {records[name]['fit_core_seconds']:.0f} |")
    whole = [column for column in columns if all((name, column) in values for name in rows)]
    means = [f"{np.mean([values[name, column] for name in rows]):.4f}" if column in whole else "" for column in columns]
    total = sum(records[name]["fit_core_seconds"] for name in rows)
    lines.append(f"| **mean of {len(rows)}** | {' | '.join(means)} | {total:.0f} |")
    wins = []
    for peer in columns[1:]:
        pairs = [(values[name, "tsbench"], values[name, peer]) for name in rows if (name, peer) in values]
        better = sum(ours > theirs + 5e-5 for ours, theirs in pairs)
        worse = sum(ours < theirs - 5e-5 for ours, theirs in pairs)
        wins.append(f"{better}/{len(pairs) - better - worse}/{worse}")
    lines.append(f"| tsbench wins/ties/losses |  | {' | '.join(wins)} |  |")
    if missing := [name for name in group.datasets if name not in records]:
        lines += ["", f"Not measured with these defaults: {', '.join(missing)}."]
    return "\n".join(lines) + "\n"


def page(records: dict[str, dict[str, Any]]) -> str:
    known = published()
    parts = [
        "# Accuracy of the defaults",
        "Written by `python -m tests.benchmarks.accuracy`. `NetworkClassifier()` as it is, an ensemble of "
        f"{NETWORKS[None]} networks without a search, trained on the archive's training cases and scored once on its "
        "test cases; beside it published accuracies on the same split (sources in `tests/benchmarks/accuracy.py`). An "
        "empty cell is a figure that was not published. `classic` is one network of `preset: classic`, the documents' "
        "own form. Seconds are of one core, all networks together.",
    ]
    for name, group in GROUPS.items():
        parts += [f"## {group.title}", table(group, records, known).rstrip()]
        if name == "univariate" and all(dataset in records for dataset in group.datasets):
            parts.append(_verdict(group, records, known))
    return "\n\n".join(parts) + "\n"


def _steps(dataset: str) -> int:
    cases = archive().load(dataset).train
    return len(cases) * cases.length


def _verdict(group: Group, records: dict[str, dict[str, Any]], known: dict[tuple[str, str], float]) -> str:
    def mean(peer: str) -> float:
        return float(np.mean([known[name, peer] for name in group.datasets]))

    ours = float(np.mean([records[name]["accuracy"] for name in group.datasets]))
    learned = float(np.mean([records[name]["learned_accuracy"] for name in group.datasets]))
    minutes = sum(records[name]["fit_core_seconds"] for name in group.datasets) / 2 / 60
    classic = read("classic")
    documents = ""
    if all(name in classic for name in group.datasets):
        accuracy = np.mean([classic[name]["accuracy"] for name in group.datasets])
        seconds = sum(classic[name]["fit_core_seconds"] for name in group.datasets)
        documents = f" `preset: classic` has {accuracy:.4f} in {seconds:.0f} core seconds."
    return (
        f"The mean accuracy, {ours:.4f}, is {100 * (ours - mean(BAR)):+.2f} points from {BAR}'s ({mean(BAR):.4f}) and "
        f"{100 * (ours - mean('HC2')):+.2f} from HC2's ({mean('HC2'):.4f}). The learned branch alone has "
        f"{learned:.4f}; {BAR} is an ensemble of five networks of 1,500 epochs. All sets took "
        f"{minutes:.0f} minutes of two cores.{documents}"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groups", nargs="*", help=f"of {', '.join(GROUPS)}; univariate if none is given")
    parser.add_argument("--preset", choices=[preset for preset in NETWORKS if preset], help="in place of the default")
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    parsed = parser.parse_args(arguments)
    groups = parsed.groups or ["univariate"]
    if unknown := set(groups) - set(GROUPS):
        parser.error(f"unknown groups: {', '.join(sorted(unknown))}")
    done = read(parsed.preset)
    waiting = [(name, parsed.preset) for group in groups for name in GROUPS[group].datasets if name not in done]
    waiting.sort(key=lambda call: -_steps(call[0]))  # the longest first, so that the processes end together
    for record in run_in_processes(evaluate, waiting, parsed.processes):
        with RECORDS.open("a") as file:
            file.write(json.dumps(record) + "\n")
        PAGE.write_text(page(read()))
    PAGE.write_text(page(read()))
    for group in groups:
        print(f"{GROUPS[group].title}\n\n{table(GROUPS[group], read(), published())}")


if __name__ == "__main__":
    main()
