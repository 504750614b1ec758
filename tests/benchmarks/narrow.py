"""Learns what a search of a narrow space tries after the recipe's own values; test cases are never read.

    TSBENCH_ARCHIVE=folder python -m tests.benchmarks.narrow

The space is that of `searches.py`: kernels, dropout and learning rate of a small network that is trained briefly. On
each data set the default and a space-filling design are cross-validated, and a Gaussian process interpolates the mean
accuracy. The configuration is learned that has the highest mean over the data sets. It is judged by leaving one set
out: what the others teach is cross-validated on that set, on splits that were not used before, beside the default.

Each cross-validation is one line in docs/narrow.jsonl, and is not run again while it stands there.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ruamel.yaml import YAML
from scipy.stats import qmc

from tests.benchmarks.loop import FOLDS, KERNELS
from tests.benchmarks.parallel import archive, run_in_processes
from tests.benchmarks.searches import RECIPE, SEARCHED
from tests.benchmarks.table import fill
from tsbench.classifiers.baselines import BASELINES
from tsbench.evaluation.metrics import standard_error
from tsbench.recipe.loading import load_recipe
from tsbench.recipe.space import assign
from tsbench.studies.portfolio import NARROW

ROOT = Path(__file__).parents[2]
RECORDS, PAGE = ROOT / "docs" / "narrow.jsonl", ROOT / "docs" / "search.md"
PORTFOLIO = ROOT / "tsbench" / "studies" / NARROW
EPOCHS = {
    "BME": 20,
    "ECG200": 12,
    "BasicMotions": 6,
    "ItalyPowerDemand": 10,
    "PowerCons": 6,
    "UWaveGestureLibrary": 7,
    "ArticularyWordRecognition": 5,
}
"""Of a cross-validation, by data set; none of them is one of `regret.py`."""

DESIGN = 36  # configurations of each data set, the default included
SPLITS, FRESH = (100, 101), (300, 301)  # seeds of those that teach and those that judge
DEFAULT = (KERNELS[0], 0.1, 1e-3)

Configuration = tuple[list[int], float, float]
Record = dict[str, Any]


def design(dataset: str) -> list[Configuration]:
    """The default, and scrambled Sobol points of dropout and log learning rate with the kernels in turn."""
    points = qmc.Sobol(2, scramble=True, seed=list(EPOCHS).index(dataset)).random(64)[: DESIGN - 1]
    drawn = [(KERNELS[n % 3], float(0.5 * x), float(10 ** (2 * y - 4))) for n, (x, y) in enumerate(points)]
    return [DEFAULT, *drawn]


def evaluate(dataset: str, configuration: Configuration, split: int) -> Record:
    """One cross-validation on the training cases."""
    from tsbench.studies.objective import CrossValidation
    from tsbench.studies.specification import study_seed

    settings = {"dataset": dataset, "epochs": EPOCHS[dataset], "folds": FOLDS, "seed": split, "pruner": "median"}
    text = RECIPE.format(**settings, trials=1, folder="", workers=1)
    recipe = load_recipe(YAML(typ="safe").load(text), (), BASELINES).recipe
    values = dict(zip(SEARCHED, configuration, strict=True))
    training = archive().load(dataset).training_set()
    began = time.process_time()
    validation = CrossValidation(
        training, assign(recipe.hyperparameters, values), recipe.search, study_seed(recipe.search, 0)
    )
    validation.run()
    return {
        "dataset": dataset,
        "configuration": list(configuration),
        "split": split,
        "accuracy": round(validation.scores["accuracy"], 5),
        "core_seconds": round(time.process_time() - began, 2),
    }


GRID = [
    (kernels, float(dropout), float(10**exponent))
    for kernels, dropout, exponent in product(KERNELS, np.linspace(0, 0.5, 11), np.linspace(-4, -2, 41))
]


def interpolate(records: Iterable[Record]) -> NDArray[np.float64]:
    """Accuracy of each configuration of the grid on one data set, then of the default."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    scores: dict[str, list[float]] = {}
    for record in records:
        scores.setdefault(json.dumps(record["configuration"]), []).append(record["accuracy"])
    known = np.array([_features(json.loads(key)) for key in scores])
    smooth = ConstantKernel(1.0) * Matern([1.0] * known.shape[1], (0.15, 8.0), nu=2.5)
    kernel = smooth + WhiteKernel(0.1, (1e-3, 1.0))
    process = GaussianProcessRegressor(kernel, normalize_y=True, n_restarts_optimizer=1, random_state=0)
    with warnings.catch_warnings(action="ignore"):  # a length scale at its bound
        process.fit(known, [np.mean(found) for found in scores.values()])
    found: NDArray[np.float64] = process.predict(np.array([_features(each) for each in [*GRID, DEFAULT]]))
    return found


def _features(configuration: Sequence[Any]) -> list[float]:
    kernels, dropout, rate = configuration
    return [*(0.7 * (kernels == each) for each in KERNELS), 2 * dropout, (np.log10(rate) + 4) / 2]


def learn(accuracies: Sequence[NDArray[np.float64]]) -> Configuration:
    """The configuration beside which, on the mean over data sets, the better of it and the default is best.

    Args:
        accuracies: of each data set, as `interpolate` returns them.
    """
    table = np.array(accuracies)
    kernels, dropout, rate = GRID[int(np.maximum(table[:, :-1], table[:, -1:]).mean(0).argmax())]
    return kernels, round(dropout, 2), float(f"{rate:.1g}")


def report(rows: Sequence[tuple[str, Configuration, float, float]]) -> str:
    """What was measured, for the page.

    Args:
        rows: for each data set the configuration that the others teach, its accuracy and the default's.
    """
    lines = [
        "| left out | learned from the others: kernels, dropout, learning rate | its accuracy | the default's |",
        "| --- | --- | ---: | ---: |",
    ]
    for dataset, (kernels, dropout, rate), learned, default in rows:
        lines.append(f"| {dataset} | {kernels}, {dropout:g}, {rate:g} | {100 * learned:.1f} | {100 * default:.1f} |")
    gains = np.array([100 * (learned - default) for *_, learned, default in rows])
    lines += ["", f"Better than the default by {gains.mean():.1f} ± {standard_error(gains):.1f} points.", ""]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=1)
    given = parser.parse_args()
    _run(
        [(dataset, each, split) for dataset in EPOCHS for each in design(dataset) for split in SPLITS], given.processes
    )
    accuracies = {
        dataset: interpolate(record for record in _read() if record["dataset"] == dataset and record["split"] in SPLITS)
        for dataset in EPOCHS
    }
    learned = {name: learn([found for other, found in accuracies.items() if other != name]) for name in EPOCHS}
    calls = [(name, each, split) for name in EPOCHS for each in (learned[name], DEFAULT) for split in FRESH]
    _run(calls, given.processes)
    known = {_key(record["dataset"], record["configuration"], record["split"]): record for record in _read()}

    def judged(name: str, each: Configuration) -> float:
        return float(np.mean([known[_key(name, each, split)]["accuracy"] for split in FRESH]))

    text = report([(name, learned[name], judged(name, learned[name]), judged(name, DEFAULT)) for name in EPOCHS])
    PORTFOLIO.write_text(f"[\n{json.dumps(dict(zip(SEARCHED, learn(list(accuracies.values())), strict=True)))}\n]\n")
    fill(PAGE, "narrow", text)
    print(text)


def _key(dataset: str, configuration: Sequence[Any], split: int) -> str:
    return json.dumps([dataset, list(configuration), split])


def _read() -> list[Record]:
    return list(map(json.loads, RECORDS.read_text(encoding="utf-8").splitlines())) if RECORDS.exists() else []


def _run(calls: Sequence[tuple[str, Configuration, int]], processes: int) -> None:
    known = {_key(record["dataset"], record["configuration"], record["split"]) for record in _read()}
    for record in run_in_processes(evaluate, [call for call in calls if _key(*call) not in known], processes):
        with RECORDS.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
