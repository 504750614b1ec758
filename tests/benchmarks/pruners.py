"""What each pruner saves, and what it loses: recorded trials without pruning, replayed in random orders.

Each data set's trials are trained once, to the end, with parameters drawn at random. A replay asks a pruner about some
of them in a random order, as a search of two workers would; that its parameters would follow from earlier results is
left out, so pruners are compared by the same trials.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.trial import FrozenTrial, TrialState, create_trial

from tests.benchmarks.loop import FOLDS
from tests.benchmarks.parallel import archive, run_in_processes
from tests.benchmarks.searches import RECIPE
from tests.benchmarks.table import Row
from tsbench.classifiers.baselines import BASELINES
from tsbench.data.collection import TrainingSet
from tsbench.recipe.loading import load_recipe
from tsbench.recipe.schema import SearchConfig
from tsbench.studies.objective import CrossValidation, Rung
from tsbench.studies.pruning import RUNGS, TrialPruner
from tsbench.studies.sampling import hyperparameters
from tsbench.studies.specification import study_seed

EPOCHS = {  # so that a trial takes two to four seconds on each
    "ArrowHead": 60,
    "BasicMotions": 60,
    "GunPoint": 60,
    "ItalyPowerDemand": 60,
    "JapaneseVowels": 20,
    "OSULeaf": 10,
}
PRUNERS = ("median", "hyperband", "successive_halving")
RECORDED, TRIALS, ORDERS = 48, 24, 100
IN_FLIGHT = 4  # `search.concurrency: auto` with two workers; a trial is not compared with those nearer than that


def measure() -> list[Row]:
    """For each pruner what share of the epochs it trains, and how much worse the best trial is."""
    recorded = _record()
    calls = [(pruner, dataset, curves) for pruner in PRUNERS for dataset, curves in recorded.items()]
    results = {(result["pruner"], result["dataset"]): result for result in run_in_processes(_replay_all, calls, 2)}
    return [row for pruner in PRUNERS for row in _rows(pruner, [results[pruner, dataset] for dataset in EPOCHS])]


def _rows(pruner: str, results: list[dict[str, Any]]) -> list[Row]:
    kept, losses, shares = ([result[key] for result in results] for key in ("kept", "loss", "share"))
    what = f"{pruner.replace('_', ' ')} in {TRIALS} trials"
    sets = f"{len(results)} data sets, {ORDERS} orders each"
    return [
        Row(
            f"{what}: epochs trained",
            100 * statistics.mean(shares),
            "%",
            None,
            f"{sets}; {_each(results, [f'{share:.0%}' for share in shares])}",
        ),
        Row(
            f"{what}: best CV accuracy lower by",
            100 * statistics.mean(losses),
            "points",
            None,
            f"not lower in {statistics.mean(kept):.0%} of the orders; "
            f"{_each(results, [f'{100 * loss:.2f}' for loss in losses])}",
        ),
    ]


def _each(results: list[dict[str, Any]], figures: list[str]) -> str:
    return ", ".join(f"{result['dataset']} {figure}" for result, figure in zip(results, figures, strict=True))


def _record() -> dict[str, list[list[float]]]:
    """Mean CV accuracy at each rung of each trial, by data set."""
    with tempfile.TemporaryDirectory() as folder:
        calls = []
        for dataset, epochs in EPOCHS.items():
            path = Path(folder) / f"{dataset}.yaml"
            path.write_text(
                RECIPE.format(
                    dataset=dataset,
                    epochs=epochs,
                    trials=RECORDED,
                    folds=FOLDS,
                    seed=0,
                    pruner="median",  # with one, all ten rungs are scored; nobody asks it here
                    folder=folder,
                    workers=2,
                )
            )
            calls += [(path, dataset, number) for number in range(RECORDED)]
        curves: dict[str, list[list[float]]] = {dataset: [] for dataset in EPOCHS}
        for result in run_in_processes(_record_trial, calls, 2):
            assert len(result["curve"]) == RUNGS
            curves[result["dataset"]].append(result["curve"])
    return {dataset: sorted(each) for dataset, each in curves.items()}  # processes end in any order


def _record_trial(recipe: Path, dataset: str, number: int) -> dict[str, Any]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    loaded = load_recipe(recipe, (), BASELINES)
    search = loaded.recipe.search
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=number)).ask()
    settings = hyperparameters(trial, loaded.space, loaded.recipe.hyperparameters)
    training = TrainingSet(dataset, archive().load(dataset).train)
    validation = CrossValidation(training, settings, search, study_seed(search, 0))
    heard: list[Rung] = []
    validation.run(heard.append)
    return {"dataset": dataset, "curve": [*(rung.score for rung in heard), validation.scores[search.metric]]}


def _replay_all(pruner: str, dataset: str, curves: list[list[float]]) -> dict[str, Any]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    chance, table = np.random.default_rng(0), np.array(curves)
    replays = [_replay(pruner, table[chance.permutation(len(table))[:TRIALS]]) for _ in range(ORDERS)]
    shares, losses = zip(*replays, strict=True)
    return {
        "pruner": pruner,
        "dataset": dataset,
        "share": statistics.mean(shares),
        "loss": statistics.mean(losses),
        "kept": statistics.mean(loss <= 0 for loss in losses),
    }


def _replay(pruner: str, curves: NDArray[np.float64]) -> tuple[float, float]:
    """Share of the epochs that are trained, and what the best complete trial's score is lower by."""
    search = SearchConfig.model_validate({"trials": len(curves), "pruner": pruner})
    ended: list[FrozenTrial] = []
    trained, best = 0, 0.0
    for number, curve in enumerate(curves.tolist()):
        asked = TrialPruner(search, "maximize", ended[: max(0, number + 1 - IN_FLIGHT)], number)
        heard: dict[int, float] = {}
        pruned = False
        for rung, score in enumerate(curve[:-1], 1):
            heard[rung] = score
            if pruned := asked.verdict(rung, score) is not None:
                break
        trained += len(heard) if pruned else RUNGS
        best = best if pruned else max(best, curve[-1])
        ended.append(
            create_trial(
                state=TrialState.PRUNED if pruned else TrialState.COMPLETE,
                value=None if pruned else curve[-1],
                intermediate_values=heard,
                system_attrs=dict(asked.notes()),
            )
        )
    return trained / (RUNGS * len(curves)), float(curves[:, -1].max()) - best
