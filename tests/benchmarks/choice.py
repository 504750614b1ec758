"""Whether what a search chooses is at least as good as the default, on splits that the search has not seen.

    TSBENCH_ARCHIVE=folder python -m tests.benchmarks.choice

On each of the 24 univariate data sets a search of the default space runs, with a small network and a short training so
that a trial takes seconds, and chooses as every search does: the best trials and the default are scored again on other
folds. The choice and the default are then cross-validated on fresh splits of the training cases, the same for both. If
the default was kept, there is nothing to compare. Test cases are never read.

Each data set is one line of docs/choice.jsonl, and is not run again while it stands there. The table in docs/search.md
is written from them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML

from tests.benchmarks.accuracy import GROUPS
from tests.benchmarks.parallel import run_in_processes
from tests.benchmarks.studied import confirm, cross_validations, named_settings, new_study
from tests.benchmarks.table import fill
from tsbench.classifiers.baselines import BASELINES
from tsbench.evaluation.metrics import standard_error
from tsbench.recipe.loading import LoadedRecipe, load_recipe
from tsbench.recipe.schema import HyperparameterConfig
from tsbench.studies.confirming import candidates, choose
from tsbench.studies.portfolio import portfolio_of
from tsbench.studies.sampling import STARTUP
from tsbench.studies.specification import fingerprint_of
from tsbench.studies.trial_runner import run_trial

DOCS = Path(__file__).parents[2] / "docs"
RECORDS, PAGE = DOCS / "choice.jsonl", DOCS / "search.md"
DATASETS = GROUPS["univariate"].datasets
SPLITS = 3  # fresh ones
FIRST_FRESH = 2000  # seed of the first
TRIALS = 12

RECIPE = """\
name: choice
datasets: [{dataset}]
model:
  stem: {{max_steps: 96}}
  convolution: {{channels: 16, blocks: 2, fixed_filters: false}}
  encoder: {{layers: 1, hidden_size: 32}}
  features: {{blocks: []}}
training: {{epochs: 20, min_steps: 200, batch_size: 16}}
search: {{trials: {trials}, folds: 3, seed: 0}}
baselines: []
tracking: {{uri: "sqlite:///{folder}/mlflow.db"}}
execution: {{workers: 1, device: cpu}}
"""

Record = dict[str, Any]


def _recipe(dataset: str, folder: str = "") -> LoadedRecipe:
    text = RECIPE.format(dataset=dataset, trials=TRIALS, folder=folder)
    return load_recipe(YAML(typ="safe").load(text), (), BASELINES)


def settings_of(dataset: str) -> str:
    """A digest of what a line depends on."""
    loaded = _recipe(dataset)
    search, base = loaded.recipe.search, loaded.recipe.hyperparameters
    parts = [SPLITS, named_settings(search), base.model_dump(mode="json")]
    return fingerprint_of(parts=parts, portfolio=portfolio_of(loaded.space, base, search), startup=STARTUP)[:12]


def measure(dataset: str, folder: str) -> Record:
    """A search, and the accuracies of its choice and of the default on the folds of each fresh split."""
    own = tempfile.mkdtemp(dir=folder)
    loaded = _recipe(dataset, own)
    wanted, began = loaded.recipe.search.confirm, time.process_time()
    study = new_study(loaded, dataset, Path(own))
    while waiting := study.queue.refill():
        run_trial(study.folder, waiting[0], "cpu")
    trials = study.trials()
    confirmed = {trial.number: confirm(study, trial.number)[1] for trial in candidates(trials, wanted)}
    choice, default = choose(trials, wanted, confirmed), trials.default()
    assert choice is not None, f"{dataset}: no trial"
    assert default is not None, f"{dataset}: the default could not be trained"
    seconds = time.process_time() - began
    record = {"dataset": dataset, "settings": settings_of(dataset), "trial": choice.trial.number}
    record |= {"sentence": choice.sentence, "core_seconds": round(seconds, 1)}
    record["default"] = accuracies(loaded, dataset, default.hyperparameters)
    if choice.trial.number == default.number:
        return record
    return record | {"chosen": accuracies(loaded, dataset, choice.trial.hyperparameters)}


def accuracies(loaded: LoadedRecipe, dataset: str, settings: HyperparameterConfig) -> list[list[float]]:
    """Accuracy on each fold of each fresh split."""
    seeds = range(FIRST_FRESH, FIRST_FRESH + SPLITS)
    found = cross_validations(dataset, settings, loaded.recipe.search, seeds)
    return [[round(curve[-1][1], 5) for curve in validation.fold_scores] for validation in found]


def difference(record: Record) -> tuple[float, float]:
    """Points by which the choice is better than the default, and their standard error; zero if it is the default.

    The differences are taken fold by fold. Splits hold out the same cases again, so the error is that of one split.
    """
    if "chosen" not in record:
        return 0.0, 0.0
    points = 100 * np.subtract(record["chosen"], record["default"])
    return float(points.mean()), standard_error(points.ravel(), len(points))


def table(records: Sequence[Record]) -> str:
    """What was chosen on each data set, what it is worth, and the mean over the sets."""
    lines = [
        "| data set | chosen | default | chosen minus default |",
        "| --- | --- | ---: | ---: |",
    ]
    found = sorted(records, key=lambda record: DATASETS.index(record["dataset"]))
    pairs = [difference(record) for record in found]
    for record, (points, error) in zip(found, pairs, strict=True):
        default = f"{100 * np.mean(record['default']):.1f}"
        if "chosen" in record:
            lines.append(f"| {record['dataset']} | trial {record['trial']} | {default} | {points:+.1f} ± {error:.1f} |")
        else:
            lines.append(f"| {record['dataset']} | the default | {default} | |")
    others = [pair for record, pair in zip(found, pairs, strict=True) if "chosen" in record]
    if not found:
        return "Not measured yet.\n"
    means = np.array([points for points, _ in pairs])
    gain = f"On these it is better by {np.mean([points for points, _ in others]):.1f} points, on " if others else "On "
    worse = sum(points < -error for points, error in others)
    seconds = np.mean([record["core_seconds"] for record in found])
    lines += [
        "",
        f"Accuracy in %, on {SPLITS} fresh splits of three folds. Another configuration than the default was chosen on "
        f"{len(others)} of {len(found)} sets. {gain}the mean over all sets it is better by {means.mean():.2f} ± "
        f"{standard_error(means):.2f} points. On {worse} sets it is worse by more than one standard error. "
        f"A search took {seconds:.0f} s of one core on average, with its confirmation.",
    ]
    return "\n".join(lines) + "\n"


def read() -> list[Record]:
    """The lines of the file that are of today's settings."""
    lines = map(json.loads, RECORDS.read_text(encoding="utf-8").splitlines() if RECORDS.exists() else ())
    current = {dataset: settings_of(dataset) for dataset in DATASETS}
    return [line for line in lines if line["settings"] == current.get(line["dataset"])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=1)
    given = parser.parse_args()
    known = {record["dataset"] for record in read()}
    with tempfile.TemporaryDirectory() as folder:
        calls = [(dataset, folder) for dataset in DATASETS if dataset not in known]
        for record in run_in_processes(measure, calls, given.processes):
            with RECORDS.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
            fill(PAGE, "choice", table(read()))
    print(table(read()))


if __name__ == "__main__":
    main()
