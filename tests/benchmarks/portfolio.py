"""Learns the configurations that a search tries before its sampler draws; test cases are never read.

    TSBENCH_ARCHIVE=folder python -m tests.benchmarks.portfolio

Candidates are the default configuration and random ones of the default space, each cross-validated on the training
cases of several small data sets. Each candidate and data set is one line in docs/portfolio.jsonl, and is not run again
while it stands there, so that an interrupted run goes on where it was. From the lines of the sets that all candidates
have been run on, the portfolio is chosen greedily and written to tsbench/studies/portfolio.json; what it is worth is
measured by leaving one set out, and written into docs/search.md.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray

from tests.benchmarks.parallel import archive, run_in_processes
from tests.benchmarks.table import fill
from tsbench.recipe.schema import HyperparameterConfig, SearchConfig
from tsbench.recipe.space import Choice
from tsbench.recipe.space_parsing import parse_space
from tsbench.studies.portfolio import FILE
from tsbench.studies.sampling import default_parameters, suggest

ROOT = Path(__file__).parents[2]
RECORDS = ROOT / "docs" / "portfolio.jsonl"
PAGE = ROOT / "docs" / "search.md"
PORTFOLIO = ROOT / "tsbench" / "studies" / FILE
DATASETS = (
    "ECG200",
    "DistalPhalanxTW",
    "ItalyPowerDemand",
    "MoteStrain",
    "BME",
    "ECGFiveDays",
    "MedicalImages",
    "ProximalPhalanxOutlineCorrect",
    "PowerCons",
    "FaceAll",
)
"""Short univariate series, the quick ones among the first."""

DRAWN = 14
SIZE = 8
FOLDS = 2
SEED = 0
CASES = 160
"""Of a data set, at most: a stratified share of the larger ones."""

SHORTER = {"epochs": 20, "min_steps": 100}
"""The training of every candidate, an eighth of the default's steps, so that all of it takes half an hour of one
core."""


def candidates() -> list[dict[str, Any]]:
    """Optuna's parameters of each candidate, the default first."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space, _ = parse_space("default", set())
    base = HyperparameterConfig()
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=SEED))
    study.enqueue_trial(default_parameters(space, base))
    asked = [study.ask() for _ in range(DRAWN + 1)]
    for trial in asked:
        suggest(trial, space, base)
    return [trial.params for trial in asked]


def evaluate(number: int, dataset: str) -> dict[str, Any]:
    """Cross-validates one candidate on the training cases of one data set."""
    from tsbench.studies.objective import CrossValidation
    from tsbench.studies.sampling import hyperparameters

    parameters = candidates()[number]
    space, _ = parse_space("default", set())
    base = HyperparameterConfig.model_validate({"training": SHORTER})
    settings = hyperparameters(optuna.trial.FixedTrial(parameters), space, base)
    training = archive().load(dataset).training_set()
    fraction = min(1.0, CASES / len(training.cases))
    search = SearchConfig(folds=FOLDS, repeats=1, pruner="none", fraction=fraction)
    validation = CrossValidation(training, settings, search, SEED)
    started = time.process_time()
    validation.run()
    return {
        "candidate": number,
        "dataset": dataset,
        "folds": [curve[-1][1] for curve in validation.fold_scores],
        "log_loss": validation.scores["log_loss"],
        "core_seconds": round(time.process_time() - started, 1),
        "parameters": parameters,
    }


def read() -> dict[tuple[int, str], dict[str, Any]]:
    """The records so far, by candidate and data set."""
    if not RECORDS.exists():
        return {}
    lines = map(json.loads, RECORDS.read_text(encoding="utf-8").splitlines())
    return {(line["candidate"], line["dataset"]): line for line in lines}


def learn(scores: NDArray[np.float64], losses: NDArray[np.float64], size: int = SIZE) -> list[int]:
    """Candidates that complement each other, the default first.

    Each is the one with which the mean over the data sets of the best accuracy so far is highest; ties go to the lower
    mean of the lowest log losses, then to the candidate whose own accuracy is higher.

    Args:
        scores: accuracies, data sets by candidates.
        losses: log losses, likewise.
        size: how many, the default included.
    """
    chosen = [0]
    while len(chosen) < size:
        others = [number for number in range(scores.shape[1]) if number not in chosen]
        worth = [
            (
                round(scores[:, [*chosen, number]].max(1).mean(), 9),
                round(-losses[:, [*chosen, number]].min(1).mean(), 9),
                scores[:, number].mean(),
            )
            for number in others
        ]
        chosen.append(others[worth.index(max(worth))])
    return chosen


def best_of(folds: NDArray[np.float64], chosen: Sequence[int]) -> float:
    """Accuracy of the best of some candidates on one data set: chosen on one fold, scored on the other, both ways.

    Args:
        folds: accuracies, candidates by two folds.
        chosen: candidates, of which the first wins a tie.
    """
    one, other = folds[list(chosen)].T
    return float((other[one.argmax()] + one[other.argmax()]) / 2)


DEFAULT, RANDOM = "the default alone", f"the default and {SIZE - 1} random ones"


def gains(folds: NDArray[np.float64], losses: NDArray[np.float64]) -> dict[str, list[float]]:
    """For each data set, what the portfolio learned on the others is better by than something else.

    Args:
        folds: accuracies, data sets by candidates by folds.
        losses: log losses, data sets by candidates.
    """
    chance = np.random.default_rng(SEED)
    drawn = [[0, *chance.permutation(np.arange(1, folds.shape[1]))[: SIZE - 1]] for _ in range(2000)]
    scores, found = folds.mean(2), dict[str, list[float]]()
    for number in range(len(folds)):
        others = np.delete(np.arange(len(folds)), number)
        learned = learn(scores[others], losses[others])
        honest = best_of(folds[number], learned)
        highest = scores[number, learned].max()
        for name, gain in {
            DEFAULT: honest - scores[number, 0],
            RANDOM: honest - np.mean([best_of(folds[number], each) for each in drawn]),
            f"{RANDOM}, by the highest CV score": highest - np.mean([scores[number, each].max() for each in drawn]),
        }.items():
            found.setdefault(name, []).append(float(gain))
    return found


def report(sets: Sequence[str], chosen: Sequence[int], found: dict[str, list[float]]) -> str:
    """What was measured, for the page: gains in points of accuracy, with standard errors over the data sets."""
    lines = [
        f"Measured on {len(sets)} data sets: {', '.join(sets)}.",
        "On the set that was left out, the best of the default and the portfolio learned on the others is better than",
        "",
        "| | by points of accuracy | standard error |",
        "| --- | ---: | ---: |",
    ]
    within = True
    for what, gain in found.items():
        mean, error = 100 * np.mean(gain), 100 * np.std(gain, ddof=1) / np.sqrt(len(gain))
        within = within and not mean > 2 * error
        lines.append(f"| {what} | {mean:+.2f} | {error:.2f} |")
    verdict = "None of these is more than two standard errors: the gain lies within chance." if within else ""
    return "\n".join(
        [*lines, "", *([verdict, ""] if verdict else []), f"Candidates chosen: {', '.join(map(str, chosen))}.", ""]
    )


def write(parameters: Sequence[dict[str, Any]]) -> None:
    """Writes the portfolio into the package, as a recipe spells its values."""
    space, _ = parse_space("default", set())
    lines = []
    for each in parameters:
        known = {name: entry for name, entry in space.items() if name in each}
        plain = {
            name: entry.labels[each[name]] if isinstance(entry, Choice) else each[name] for name, entry in known.items()
        }
        lines.append(json.dumps(plain))
    PORTFOLIO.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=len(DATASETS), help="measure so many data sets; 0: none more")
    parser.add_argument("--processes", type=int, default=1)
    given = parser.parse_args()
    done = read()
    calls = [(number, name) for name in DATASETS[: given.sets] for number in range(DRAWN + 1)]
    for record in run_in_processes(evaluate, [call for call in calls if call not in done], given.processes):
        with RECORDS.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
    done = read()
    sets = [name for name in DATASETS if all((number, name) in done for number in range(DRAWN + 1))]
    if len(sets) < 2:
        parser.exit(1, "a portfolio is learned on at least two data sets\n")
    table = [[done[number, name] for number in range(DRAWN + 1)] for name in sets]
    folds = np.array([[record["folds"] for record in row] for row in table])
    losses = np.array([[record["log_loss"] for record in row] for row in table])
    chosen = learn(folds.mean(2), losses)
    write([table[0][number]["parameters"] for number in chosen[1:]])
    text = report(sets, chosen, gains(folds, losses))
    fill(PAGE, "portfolio", text)
    print(text)


if __name__ == "__main__":
    main()
