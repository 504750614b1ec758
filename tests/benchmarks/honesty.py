"""What choosing the epoch by the test cases does to an accuracy: one network, five multivariate sets, several seeds.

    TSBENCH_ARCHIVE=folder python -m tests.benchmarks.honesty             # three seeds, and docs/honesty.md
    TSBENCH_ARCHIVE=folder python -m tests.benchmarks.honesty --seeds 10  # seven more

Each schedule, data set and seed is one line in docs/honesty.jsonl, and is not run again while it stands there, so that
an interrupted run goes on where it was. A line holds the scores after every epoch, of two networks trained by the
package's trainer: one on all training cases, one on four fifths of them. The epochs are chosen afterwards, from the
lines. The package itself cannot choose one by test cases: no search or fit is given any.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.parallel import archive, run_in_processes
from tests.benchmarks.table import fill
from tsbench.data.collection import Collection

DOCS = Path(__file__).parents[2] / "docs"
RECORDS = DOCS / "honesty.jsonl"
PAGE = DOCS / "honesty.md"
PICTURE = DOCS / "images" / "honesty.png"
DATASETS = ("AtrialFibrillation", "BasicMotions", "JapaneseVowels", "Libras", "NATOPS")
"""Those of fewest training steps among the multivariate sets that are measured in docs/accuracy.md."""
SCHEDULES = {"cosine": "cosine (the default)", "constant": "constant"}
EPOCHS, BATCH_SIZE = 100, 32
HELD_OUT = 5
"""One of so many stratified folds of the training cases."""

Record = dict[str, Any]


def evaluate(scheduler: str, dataset: str, seed: int) -> Record:
    """Trains both networks, and counts after every epoch the test cases that each of them classifies correctly."""
    from tsbench.evaluation.resampling import stratified_folds
    from tsbench.training.inference import predict_probabilities
    from tsbench.training.trainer import train

    data = archive().load(dataset)
    known, held_out = stratified_folds(data.train.labels, HELD_OUT, seed)[0]
    whole, scored_whole = _job(data.train, [data.test], scheduler, seed)
    rest, scored_rest = _job(data.train.subset(known), [data.test, data.train.subset(held_out)], scheduler, seed)
    codes = np.searchsorted(data.train.classes, data.test.labels)
    held_out_codes = np.searchsorted(data.train.classes, data.train.labels[held_out])
    curves: dict[str, list[float]] = {"correct": [], "correct_of_rest": [], "held_out_correct": [], "held_out_loss": []}

    def look(epoch: int) -> None:
        assert whole.network is not None
        assert rest.network is not None
        test = predict_probabilities(whole.network, scored_whole[0])
        test_of_rest, validation = (predict_probabilities(rest.network, series) for series in scored_rest)
        true = validation[np.arange(len(held_out)), held_out_codes]
        curves["correct"].append(int((test.argmax(1) == codes).sum()))
        curves["correct_of_rest"].append(int((test_of_rest.argmax(1) == codes).sum()))
        curves["held_out_correct"].append(int((validation.argmax(1) == held_out_codes).sum()))
        curves["held_out_loss"].append(round(float(-np.log(true.clip(1e-6)).mean()), 4))

    started = time.process_time()
    train([whole, rest], on_epoch=look)
    return {
        "scheduler": scheduler,
        "dataset": dataset,
        "seed": seed,
        "test_cases": len(data.test),
        "held_out_cases": len(held_out),
        **curves,
        "core_seconds": round(time.process_time() - started, 1),
    }


def _job(cases: Collection, scored: list[Collection], scheduler: str, seed: int) -> tuple[Any, list[Any]]:
    """A network to be trained on some cases: the default's learned branch; and other cases as it takes them."""
    from tsbench.classifiers.ensemble import encode
    from tsbench.data.preprocessing import Preprocessing
    from tsbench.recipe.dotted import hyperparameters_of
    from tsbench.training.jobs import Job, Series

    config = hyperparameters_of(
        {
            "model.features.blocks": [],
            "training.epochs": EPOCHS,
            "training.batch_size": BATCH_SIZE,
            "training.scheduler": scheduler,
        }
    )
    prepared = Preprocessing.fit(cases, config.preprocessing)
    series = [Series(prepared.series(some), prepared.lengths(some)) for some in (cases, *scored)]
    targets = encode(cases.labels, cases.classes)
    return Job(series[0], targets, len(cases.classes), seed, config.model, config.training), series[1:]


# The epochs that each rule chooses


def chosen_on_test(record: Record) -> float:
    """The best of all epochs on the test cases."""
    return float(max(record["correct"]) / record["test_cases"])


def chosen_on_held_out(record: Record) -> float:
    """The epoch of the lowest loss on held-out training cases, of the network that is trained on all of them."""
    return float(record["correct"][int(np.argmin(record["held_out_loss"]))] / record["test_cases"])


def trained_without_held_out(record: Record) -> float:
    """The same epoch, of the network that is trained on the other cases (`checkpoint: validation_loss`)."""
    return float(record["correct_of_rest"][int(np.argmin(record["held_out_loss"]))] / record["test_cases"])


def last_epoch(record: Record) -> float:
    """No choice at all (`checkpoint: last`, the default)."""
    return float(record["correct"][-1] / record["test_cases"])


RULES: dict[str, Callable[[Record], float]] = {
    "test": chosen_on_test,
    "held-out": chosen_on_held_out,
    "held-out, not trained on": trained_without_held_out,
    "last": last_epoch,
}
"""By which the epoch is chosen, or none."""


def read() -> dict[tuple[str, str, int], Record]:
    """The records so far, by schedule, data set and seed."""
    if not RECORDS.exists():
        return {}
    lines = map(json.loads, RECORDS.read_text().splitlines())
    return {(line["scheduler"], line["dataset"], line["seed"]): line for line in lines}


def accuracies(scheduler: str) -> dict[str, NDArray[np.float64]]:
    """For each data set an array (rules, seeds)."""
    records = read()
    found: dict[str, NDArray[np.float64]] = {}
    for dataset in DATASETS:
        of_set = [record for key, record in sorted(records.items()) if key[:2] == (scheduler, dataset)]
        if of_set:
            found[dataset] = np.array([[rule(record) for record in of_set] for rule in RULES.values()])
    return found


def _with_error(differences: NDArray[np.float64]) -> str:
    """In points of accuracy, the mean with its standard error."""
    return f"{100 * differences.mean():+.1f} ± {100 * differences.std(ddof=1) / np.sqrt(len(differences)):.1f}"


def finished() -> dict[str, str]:
    """The schedules, with their titles, of which every data set has been measured with at least three seeds."""
    counts = {name: [scores.shape[1] for scores in accuracies(name).values()] for name in SCHEDULES}
    return {name: SCHEDULES[name] for name, of in counts.items() if len(of) == len(DATASETS) and min(of) > 2}


def table(scheduler: str) -> str:
    """A row for each data set, with standard errors over seeds; and their mean, with that over data sets."""
    titles = ("data set", "test cases", "seeds", *RULES, "test − last", "test − held-out", "held-out − last")
    found, records = accuracies(scheduler), read()
    rows = []
    for dataset, scores in found.items():
        test_cases = next(record["test_cases"] for key, record in records.items() if key[1] == dataset)
        rows.append([dataset, str(test_cases), str(scores.shape[1]), *_cells(scores)])
    rows.append(["**mean**", "", "", *_cells(np.array([scores.mean(1) for scores in found.values()]).T)])
    rule = ["---", *["---:"] * (len(titles) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (titles, rule, *rows)) + "\n"


def _cells(scores: NDArray[np.float64]) -> list[str]:
    """Mean accuracy by each rule, and three differences, of an array (rules, repetitions)."""
    test, held_out, _, last = scores
    pairs = ((test, last), (test, held_out), (held_out, last))
    return [f"{mean:.3f}" for mean in scores.mean(1)] + [_with_error(one - other) for one, other in pairs]


def draw() -> None:
    """The differences from the last epoch, for each data set; bars are standard errors over seeds."""
    from tsbench.comparisons.plot_style import GREY, INK, ORANGE, bare
    from tsbench.drawing import new_figure

    figure = new_figure(9, 3.4, facecolor="white", layout="constrained")
    panels = figure.subplots(1, len(finished()), sharex=True, sharey=True, squeeze=False)[0]
    for axes, (scheduler, title) in zip(panels, finished().items(), strict=True):
        found = accuracies(scheduler)
        places = np.arange(len(found))[::-1]
        for which, shift, colour, label in (
            (0, 0.12, ORANGE, "chosen by test cases"),
            (1, -0.12, "#0072B2", "chosen by held-out training cases"),
        ):
            gains = [100 * (scores[which] - scores[-1]) for scores in found.values()]
            errors = [gain.std(ddof=1) / np.sqrt(len(gain)) for gain in gains]
            axes.errorbar(
                [gain.mean() for gain in gains], places + shift, xerr=errors, fmt="o", color=colour, label=label
            )
        axes.axvline(0, color=GREY, linewidth=1)
        axes.set_yticks(places, list(found))
        axes.set_title(f"Learning rate: {title}", fontsize=10, color=INK)
        axes.set_xlabel("points of accuracy, minus the last epoch's", fontsize=9, color=INK)
        bare(axes)
    panels[0].legend(fontsize=8, frameon=False, loc="best")
    figure.savefig(PICTURE, dpi=150)


def write_page() -> None:
    """The tables between their marks, and the picture."""
    tables = "\n".join(f"**Learning rate: {title}**\n\n{table(name)}" for name, title in finished().items())
    fill(PAGE, "table", tables)
    draw()
    print(tables)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="of the initial weights and the held-out cases")
    parser.add_argument("--processes", type=int, default=1)
    given = parser.parse_args()
    done = read()
    waiting = [
        (scheduler, dataset, seed)
        for scheduler in SCHEDULES
        for seed in range(given.seeds)
        for dataset in DATASETS
        if (scheduler, dataset, seed) not in done
    ]
    for record in run_in_processes(evaluate, waiting, given.processes):
        with RECORDS.open("a") as file:
            file.write(json.dumps(record) + "\n")
    write_page()


if __name__ == "__main__":
    main()
