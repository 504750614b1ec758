"""A search beside what one would write instead: Optuna's `study.optimize` around a plain torch loop.

The same network, space, folds, sampler and number of trials; the peer (`loop.py`) runs one trial after another with
torch's own number of threads and without pruning, tsbench two processes of one thread. Both are timed as whole
commands, with their imports. What two such processes can give at most is measured too: the peer's training steps in
them at once against one.
"""

from __future__ import annotations

import json
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import torch

from tests.benchmarks.loop import EPOCHS, FOLDS, KERNELS, TRIALS, cross_validate, descend, network_of
from tests.benchmarks.parallel import run_in_processes
from tests.benchmarks.table import Row
from tests.processes import TSBENCH
from tsbench.classifiers.baselines import BASELINES
from tsbench.data.archive import Archive
from tsbench.data.collection import TrainingSet
from tsbench.data.preprocessing import Preprocessing
from tsbench.recipe.loading import load_recipe
from tsbench.recipe.schema import PreprocessingConfig
from tsbench.recipe.space import assign
from tsbench.studies.objective import CrossValidation
from tsbench.studies.specification import folds_of, study_seed
from tsbench.tracking import names
from tsbench.tracking.store import Store

ROOT = Path(__file__).parents[2]
SEEDS = 5
PAIRS = 3  # of whole searches without pruning; what a trial costs depends on the kernels that it was given
SPLITS = 6  # other than the searched ones, for an estimate that choosing has not made too good
STEPPING = 6.0  # seconds
PRUNER = "successive_halving"
SEARCHED = ("model.convolution.kernels", "model.dropout", "training.learning_rate")
RECIPE = """\
name: search
datasets: [{dataset}]
model: {{convolution: {{channels: 8, blocks: 2}}, features: {{blocks: []}}}}
training:
  epochs: {epochs}
  batch_size: 16
  label_smoothing: 0.0
  augmentation: {{scaling: 0.0, window_warping: 0.0}}
space:
  model.convolution.kernels: {{choice: [[3, 5, 7], [5, 11, 23], [9, 19, 39]]}}
  model.dropout: {{float: [0.0, 0.5]}}
  training.learning_rate: {{float: [1e-4, 1e-2], log: true}}
search: {{trials: {trials}, folds: {folds}, seed: {seed}, pruner: {pruner}}}
evaluation: {{ensemble: 1}}
baselines: []
tracking: {{uri: "sqlite:///{folder}/mlflow.db"}}
execution: {{workers: {workers}, device: cpu}}
"""


@dataclass(frozen=True)
class Search:
    """How a search went.

    Attributes:
        seconds: in all.
        curve: the best CV accuracy so far after so many seconds.
        chosen: parameters of the best trial.
    """

    seconds: float
    curve: tuple[tuple[float, float], ...]
    chosen: dict[str, Any]

    @classmethod
    def of(cls, seconds: float, trials: list[tuple[float, float, dict[str, Any]]]) -> Search:
        """From each trial's end, score and parameters, in the order of the ends."""
        best, curve = 0.0, []
        for ended, score, _ in trials:
            best = max(best, score)
            curve.append((ended, best))
        return cls(seconds, tuple(curve), max(trials, key=itemgetter(1))[2])

    @property
    def best(self) -> float:
        """The best CV accuracy."""
        return self.curve[-1][1]

    def seconds_to(self, score: float) -> float | None:
        """When the score was reached, but for rounding in its mean over the folds; None if it never was."""
        return next((seconds for seconds, best in self.curve if best >= score - 1e-9), None)


def measure_speed() -> list[Row]:
    """How fast a search is without pruning, on both data sets."""
    return [row for dataset in EPOCHS for row in _speed(dataset)]


def measure_best() -> list[Row]:
    """How soon a search with pruning is as good as the peer, on both data sets."""
    return [row for dataset in EPOCHS for row in _best(dataset)]


def _speed(dataset: str) -> list[Row]:
    peers, plain = [], []
    for seed in range(PAIRS):
        peers.append(_peer(dataset, seed))
        plain.append(_tsbench(dataset, seed, "none", 2))
    single = _tsbench(dataset, PAIRS - 1, "none", 1)
    ratios = [peer.seconds / ours.seconds for peer, ours in zip(peers, plain, strict=True)]
    took, by_peer = (statistics.median(result.seconds for result in side) for side in (plain, peers))
    return [
        Row(
            f"the machine's limit, {dataset}: two processes of one thread",
            _steps_per_second(dataset, 2, 1) / _steps_per_second(dataset, 1, 2),
            "times the steps",
            None,
            f"of one process of two threads; the peer's bare loop, {STEPPING:g} s each",
        ),
        Row(
            f"search against Optuna around a torch loop, {dataset}, no pruning",
            statistics.median(ratios),
            "times as fast",
            1.3,
            f"{TRIALS} trials of {FOLDS} folds, median of {PAIRS} seeds ({_listed(ratios)}); {took:.0f} s with refit "
            f"and MLflow against {by_peer:.0f} s, whole commands",
            at_least=True,
        ),
        Row(
            f"two workers against one, {dataset}",
            _rate(plain[-1]) / _rate(single),
            "times the trials per hour",
            1.8,
            "from the end of the first trial to that of the last",
            at_least=True,
        ),
    ]


def _best(dataset: str) -> list[Row]:
    peers, pruned = [], []
    for seed in range(SEEDS):
        peers.append(_peer(dataset, seed))
        pruned.append(_tsbench(dataset, seed, PRUNER, 2))
    ratios, whole = [], []
    for peer, ours in zip(peers, pruned, strict=True):
        reached, by_peer = ours.seconds_to(peer.best), peer.seconds_to(peer.best)
        assert by_peer is not None
        ratios.append(by_peer / reached if reached is not None else 0.0)
        whole.append(peer.seconds / reached if reached is not None else 0.0)
    missed = sum(ratio == 0.0 for ratio in ratios)
    by_tsbench, by_loop = _accuracies_on_other_splits(dataset, [result.chosen for result in pruned + peers])
    return [
        Row(
            f"to the peer's best CV score, {dataset}, successive halving",
            statistics.median(ratios),
            "times as fast",
            4,
            f"median of {SEEDS} seeds ({_listed(ratios)}); 0: not reached, {missed} times",
            at_least=True,
        ),
        Row(
            f"to the peer's best CV score against the peer's whole search, {dataset}",
            statistics.median(whole),
            "times as fast",
            None,
            f"median of {SEEDS} seeds ({_listed(whole)})",
        ),
        Row(
            f"whole search with successive halving, {dataset}",
            statistics.median(peer.seconds / ours.seconds for peer, ours in zip(peers, pruned, strict=True)),
            "times as fast",
            None,
            f"as the peer's, median of {SEEDS} seeds",
        ),
        _difference(
            f"best CV accuracy against the peer's, {dataset}",
            [result.best for result in pruned],
            [result.best for result in peers],
            "each search's luckiest score",
        ),
        _difference(
            f"the same configurations on other splits, {dataset}",
            by_tsbench[:SEEDS],
            by_tsbench[SEEDS:],
            f"CV accuracy, trained again on {SPLITS} splits by tsbench",
        ),
        _difference(
            f"tsbench's training against the loop's, {dataset}",
            by_tsbench,
            by_loop,
            f"CV accuracy, all {2 * SEEDS} configurations on the same {SPLITS} splits by both",
        ),
    ]


def _difference(what: str, ours: list[float], peers: list[float], remark: str) -> Row:
    differences = [100 * (own - other) for own, other in zip(ours, peers, strict=True)]
    error = statistics.stdev(differences) / len(differences) ** 0.5
    sides = f"{statistics.mean(ours):.4f} and {statistics.mean(peers):.4f}"
    remark = f"{remark}: {sides}, mean of {len(ours)}, standard error {error:.1f} points"
    return Row(what, statistics.mean(differences), "points", None, remark)


def _accuracies_on_other_splits(dataset: str, chosen: list[dict[str, Any]]) -> tuple[list[float], list[float]]:
    """Mean CV accuracy of each configuration on splits, and with random streams, by which it was not chosen.

    As tsbench trains it, and as the loop does.
    """
    calls = [
        (dataset, number, parameters, SEEDS + split)
        for number, parameters in enumerate(chosen)
        for split in range(SPLITS)
    ]
    by_tsbench: list[list[float]] = [[] for _ in chosen]
    by_loop: list[list[float]] = [[] for _ in chosen]
    for result in run_in_processes(_train_anew, calls, 2):
        by_tsbench[result["number"]].append(result["tsbench"])
        by_loop[result["number"]].append(result["loop"])
    return [statistics.mean(each) for each in by_tsbench], [statistics.mean(each) for each in by_loop]


def _train_anew(dataset: str, number: int, parameters: dict[str, Any], seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        recipe = load_recipe(_recipe(Path(folder), dataset, seed, "none", 2), (), BASELINES).recipe
    training = TrainingSet(dataset, Archive().load(dataset).train)
    settings, seed = assign(recipe.hyperparameters, parameters), study_seed(recipe.search, 0)
    validation = CrossValidation(training, settings, recipe.search, seed)
    validation.run()
    torch.manual_seed(seed)
    looped = cross_validate(training.cases, folds_of(training, recipe.search, seed), parameters, EPOCHS[dataset])
    return {"number": number, "tsbench": validation.scores["accuracy"], "loop": looped}


def _listed(figures: list[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in figures)


def _steps_per_second(dataset: str, processes: int, threads: int) -> float:
    """Training steps of the bare loop in so many processes at once."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context) as pool:
        begin = time.time() + 15  # when all have imported torch
        return sum(
            future.result() for future in [pool.submit(_step, dataset, threads, begin) for _ in range(processes)]
        )


def _step(dataset: str, threads: int, begin: float) -> float:
    torch.set_num_threads(threads)
    cases = Archive().load(dataset).train
    network, x, y = network_of(cases, Preprocessing.fit(cases, PreprocessingConfig()), KERNELS[1], 0.1, 0)
    steps, optimizer = 0, torch.optim.AdamW(network.parameters())
    assert time.time() < begin
    time.sleep(begin - time.time())
    while time.time() < begin + STEPPING:
        for batch in torch.randperm(len(x)).split(16):
            if len(batch) > 1:
                descend(network, optimizer, x[batch], y[batch])
                steps += 1
    return steps / (time.time() - begin)


def _rate(search: Search) -> float:
    return (len(search.curve) - 1) / (search.curve[-1][0] - search.curve[0][0])


def _recipe(folder: Path, dataset: str, seed: int, pruner: str, workers: int) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(
        RECIPE.format(
            dataset=dataset,
            epochs=EPOCHS[dataset],
            trials=TRIALS,
            folds=FOLDS,
            seed=seed,
            pruner=pruner,
            folder=folder,
            workers=workers,
        )
    )
    return path


def _tsbench(dataset: str, seed: int, pruner: str, workers: int) -> Search:
    with tempfile.TemporaryDirectory() as folder:
        path = _recipe(Path(folder), dataset, seed, pruner, workers)
        began = time.time()
        subprocess.run([TSBENCH, "search", str(path)], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        seconds = time.time() - began
        runs = [run for run in Store(f"sqlite:///{folder}/mlflow.db").runs("search") if run.tags[names.ROLE] == "trial"]
    trials = [
        (
            (run.finished or 0.0) - began,
            run.metrics["cv_accuracy"] if run.tags[names.STATE] == "complete" else 0.0,
            {name: json.loads(run.params[name]) for name in SEARCHED},
        )
        for run in runs
    ]
    return Search.of(seconds, sorted(trials, key=itemgetter(0)))


def _peer(dataset: str, seed: int) -> Search:
    began = time.time()
    command = [sys.executable, "-m", "tests.benchmarks.loop", dataset, str(seed)]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    seconds = time.time() - began
    return Search.of(seconds, [(ended - began, score, chosen) for ended, score, chosen in json.loads(done.stdout)])
