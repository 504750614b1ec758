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
from pathlib import Path

import torch

from tests.benchmarks.loop import EPOCHS, FOLDS, KERNELS, TRIALS, descend, network_of
from tests.benchmarks.table import Row
from tests.processes import TSBENCH
from tsbench.data.archive import Archive
from tsbench.data.preprocessing import Preprocessing
from tsbench.recipe.schema import PreprocessingConfig
from tsbench.tracking import names
from tsbench.tracking.store import Store

ROOT = Path(__file__).parents[2]
PAIRS = 3  # of whole searches without pruning; what a trial costs depends on the kernels that it was given
STEPPING = 6.0  # seconds
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
  model.convolution.kernels: {{choice: [[3, 5, 9], [5, 11, 23], [9, 19, 39]]}}
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
    """How long a search took in all, and when its trials ended, in seconds."""

    seconds: float
    ended: list[float]


def measure() -> list[Row]:
    """How fast a search is without pruning, on both data sets."""
    return [row for dataset in EPOCHS for row in _speed(dataset)]


def _speed(dataset: str) -> list[Row]:
    peers, plain = [], []
    for seed in range(PAIRS):
        peers.append(_peer(dataset, seed))
        plain.append(_tsbench(dataset, seed, 2))
    single = _tsbench(dataset, PAIRS - 1, 1)
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
    return (len(search.ended) - 1) / (search.ended[-1] - search.ended[0])


def _tsbench(dataset: str, seed: int, workers: int) -> Search:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recipe.yaml"
        settings = {"dataset": dataset, "epochs": EPOCHS[dataset], "trials": TRIALS, "folds": FOLDS, "seed": seed}
        path.write_text(RECIPE.format(**settings, pruner="none", folder=folder, workers=workers))
        began = time.time()
        subprocess.run([TSBENCH, "search", str(path)], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        seconds = time.time() - began
        runs = [run for run in Store(f"sqlite:///{folder}/mlflow.db").runs("search") if run.tags[names.ROLE] == "trial"]
    return Search(seconds, sorted((run.finished or 0.0) - began for run in runs))


def _peer(dataset: str, seed: int) -> Search:
    began = time.time()
    command = [sys.executable, "-m", "tests.benchmarks.loop", dataset, str(seed)]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    seconds = time.time() - began
    return Search(seconds, [ended - began for ended, *_ in json.loads(done.stdout)])
