"""A search beside what one would write instead: Optuna's `study.optimize` around a plain torch loop.

The same network, space, folds, sampler and number of trials; the peer runs one trial after another with torch's own
number of threads and without pruning, tsbench two processes of one thread. What that can give at most is measured too:
the peer's training steps in two such processes at once against one.
"""

from __future__ import annotations

import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from torch import Tensor, nn

from tests.benchmarks.table import Row
from tsbench.bench.plan import make_plan
from tsbench.bench.progress import PlainDisplay
from tsbench.bench.run import BenchmarkRun
from tsbench.classifiers.network import encode
from tsbench.data.archive import Archive
from tsbench.data.collection import Collection, TrainingSet
from tsbench.data.preprocessing import Preprocessing
from tsbench.nn.network import Network, build_network
from tsbench.recipe.loading import load_recipe
from tsbench.recipe.schema import ModelConfig, PreprocessingConfig, SearchConfig
from tsbench.recipe.space import label
from tsbench.search.study import folds_of, study_seed
from tsbench.tracking import names

TRIALS = 24
FOLDS = 3
SEEDS = 5
EPOCHS = {"GunPoint": 120, "OSULeaf": 20}  # so that a trial takes four to eight seconds on both
STEPPING = 6.0  # seconds
PRUNER = "successive_halving"
KERNELS = [[3, 5, 7], [5, 11, 23], [9, 19, 39]]
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
    """How a search went: its seconds in all, and the best CV accuracy so far after so many of them."""

    seconds: float
    curve: tuple[tuple[float, float], ...]

    @property
    def best(self) -> float:
        """The best CV accuracy."""
        return self.curve[-1][1]

    def seconds_to(self, score: float) -> float | None:
        """When the score was reached; None where it never was."""
        return next((seconds for seconds, best in self.curve if best >= score), None)


def measure_speed() -> list[Row]:
    """How fast a search is without pruning, on both data sets."""
    return [row for dataset in EPOCHS for row in _speed(dataset)]


def measure_best() -> list[Row]:
    """How soon a search with pruning is as good as the peer, on both data sets."""
    return [row for dataset in EPOCHS for row in _best(dataset)]


def _speed(dataset: str) -> list[Row]:
    peer = _in_process(_peer, dataset, 0)
    plain, single = (_in_process(_tsbench, dataset, 0, "none", workers) for workers in (2, 1))
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
            peer.seconds / plain.seconds,
            "times as fast",
            1.3,
            f"{TRIALS} trials of {FOLDS} folds; {plain.seconds:.0f} s with start, refit and MLflow against "
            f"{peer.seconds:.0f} s",
            at_least=True,
        ),
        Row(
            f"two workers against one, {dataset}",
            _rate(plain) / _rate(single),
            "times the trials per hour",
            1.8,
            "from the end of the first trial to that of the last",
            at_least=True,
        ),
    ]


def _best(dataset: str) -> list[Row]:
    peers, pruned = [], []
    for seed in range(SEEDS):
        peers.append(_in_process(_peer, dataset, seed))
        pruned.append(_in_process(_tsbench, dataset, seed, PRUNER, 2))
    ratios = []
    for peer, ours in zip(peers, pruned, strict=True):
        reached, by_peer = ours.seconds_to(peer.best), peer.seconds_to(peer.best)
        assert by_peer is not None
        ratios.append(by_peer / reached if reached is not None else 0.0)
    missed = sum(ratio == 0.0 for ratio in ratios)
    best = statistics.mean(ours.best - peer.best for peer, ours in zip(peers, pruned, strict=True))
    return [
        Row(
            f"to the peer's best CV score, {dataset}, successive halving",
            statistics.median(ratios),
            "times as fast",
            4,
            f"median of {SEEDS} seeds ({', '.join(f'{one:.2f}' for one in ratios)}); 0: not reached, {missed} times",
            at_least=True,
        ),
        Row(
            f"whole search with successive halving, {dataset}",
            statistics.median(peer.seconds / ours.seconds for peer, ours in zip(peers, pruned, strict=True)),
            "times as fast",
            None,
            f"as the peer's, median of {SEEDS} seeds; its best CV accuracy {best:+.4f} on average",
        ),
    ]


def _steps_per_second(dataset: str, processes: int, threads: int) -> float:
    """Training steps of the bare loop in so many processes at once."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context) as pool:
        begin = time.time() + 15  # when all have imported torch
        return sum(one.result() for one in [pool.submit(_step, dataset, threads, begin) for _ in range(processes)])


def _step(dataset: str, threads: int, begin: float) -> float:
    torch.set_num_threads(threads)
    cases = Archive().load(dataset).train
    network, x, y = _network_of(cases, Preprocessing.fit(cases, PreprocessingConfig()), KERNELS[1], 0.1, 0)
    steps, optimizer = 0, torch.optim.AdamW(network.parameters())
    assert time.time() < begin
    time.sleep(begin - time.time())
    while time.time() < begin + STEPPING:
        for batch in torch.randperm(len(x)).split(16):
            if len(batch) > 1:
                _descend(network, optimizer, x[batch], y[batch])
                steps += 1
    return steps / (time.time() - begin)


def _rate(search: Search) -> float:
    return (len(search.curve) - 1) / (search.curve[-1][0] - search.curve[0][0])


def _in_process(function: Callable[..., Search], *arguments: object) -> Search:
    """In a process of its own, as a person would: nothing is imported or warm."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:  # may have children, unlike a Pool's
        return pool.submit(function, *arguments).result()


def _tsbench(dataset: str, seed: int, pruner: str, workers: int) -> Search:
    from tsbench.classifiers.baselines import BASELINES

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recipe.yaml"
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
        began_at, began = time.time(), time.perf_counter()
        plan = make_plan(load_recipe(path, (), BASELINES))
        failures = BenchmarkRun(plan, PlainDisplay(Console(file=StringIO()))).carry_out()
        seconds = time.perf_counter() - began
        assert not failures, failures
        runs = [run for run in plan.store.runs("search") if run.tags[names.ROLE] == "trial"]
    ended = sorted(
        (
            (run.finished or 0.0) - began_at,
            run.metrics["cv_accuracy"] if run.tags[names.STATE] == "complete" else 0.0,
        )
        for run in runs
    )
    return Search(seconds, _best_so_far(ended))


def _best_so_far(scores: list[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    best, curve = 0.0, []
    for seconds, score in scores:
        best = max(best, score)
        curve.append((seconds, best))
    return tuple(curve)


def _peer(dataset: str, seed: int) -> Search:
    """What a user would write: sequential, torch's default threads, no pruning, no records."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    torch.set_num_threads(multiprocessing.cpu_count())
    scores: list[tuple[float, float]] = []
    began = time.perf_counter()
    cases = Archive().load(dataset).train
    search = SearchConfig(folds=FOLDS, seed=seed)
    folds = folds_of(TrainingSet(dataset, cases), search, study_seed(search, 0))

    def objective(trial: optuna.Trial) -> float:
        kernels = trial.suggest_categorical("kernels", [label(one) for one in KERNELS])
        dropout = trial.suggest_float("dropout", 0.0, 0.5)
        rate = trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True)
        chosen = next(one for one in KERNELS if label(one) == kernels)
        results = []
        for number, (training, validation) in enumerate(folds):
            taught = cases.subset(training)
            prepared = Preprocessing.fit(taught, PreprocessingConfig())
            network, x, y = _network_of(taught, prepared, chosen, dropout, number)
            optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.01)
            steps = EPOCHS[dataset] * -(-len(x) // 16)
            scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
            for _ in range(EPOCHS[dataset]):
                for batch in torch.randperm(len(x)).split(16):
                    if len(batch) < 2:
                        continue
                    _descend(network, optimizer, x[batch], y[batch])
                    scheduler.step()
            network.eval()
            with torch.no_grad():
                predicted = network(torch.from_numpy(prepared.apply(cases.subset(validation)))).argmax(1).numpy()
            results.append(float((cases.classes[predicted] == cases.labels[validation]).mean()))
        score = float(np.mean(results))
        scores.append((time.perf_counter() - began, score))
        return score

    optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed)).optimize(
        objective, n_trials=TRIALS
    )
    return Search(time.perf_counter() - began, _best_so_far(scores))


def _network_of(
    cases: Collection, prepared: Preprocessing, kernels: list[int], dropout: float, seed: int
) -> tuple[Network, Tensor, Tensor]:
    """An untrained network, and the cases and classes that it is to be trained on."""
    convolution = {"channels": 8, "blocks": 2, "kernels": kernels}
    model = ModelConfig.model_validate({"convolution": convolution, "features": {"blocks": []}, "dropout": dropout})
    x = torch.from_numpy(prepared.apply(cases))
    y = torch.from_numpy(encode(cases.labels, cases.classes))
    return build_network(model, x.shape[1], len(cases.classes), x.shape[2], seed=seed).train(), x, y


def _descend(network: Network, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> None:
    loss = nn.functional.cross_entropy(network(x), y)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
