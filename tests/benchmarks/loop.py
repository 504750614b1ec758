"""What one would write instead of a recipe: Optuna's `study.optimize` around a plain torch loop.

One trial after another, without pruning and without records; the network, space and folds of the recipe in
`searches.py`. `python -m tests.benchmarks.loop GunPoint 0` runs it with torch's own number of threads and prints when
each trial ended, its score, and its parameters.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
import torch
from torch import Tensor, nn

from tsbench.classifiers.ensemble import encode
from tsbench.data.archive import Archive
from tsbench.data.collection import Collection, TrainingSet
from tsbench.data.preprocessing import Preprocessing
from tsbench.evaluation.resampling import Fold
from tsbench.nn.network import Network, build_network
from tsbench.recipe.schema import ModelConfig, PreprocessingConfig, SearchConfig
from tsbench.recipe.space import label
from tsbench.studies.specification import folds_of, study_seed

TRIALS = 24
FOLDS = 3
EPOCHS = {"GunPoint": 120, "OSULeaf": 20}  # so that a trial takes four to eight seconds on both
KERNELS = [[3, 5, 9], [5, 11, 23], [9, 19, 39]]


def search(
    dataset: str,
    seed: int,
    epochs: int,
    threads: int,
    trials: int = TRIALS,
    clock: Callable[[], float] = time.time,
) -> list[tuple[float, float, dict[str, Any]]]:
    """When each trial ended by the clock, its score, and its parameters by the recipe's names."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    torch.set_num_threads(threads)
    ended: list[tuple[float, float, dict[str, Any]]] = []
    cases = Archive().load(dataset).train
    settings = SearchConfig(folds=FOLDS, seed=seed)
    folds = folds_of(TrainingSet(dataset, cases), settings, study_seed(settings, 0))

    def objective(trial: optuna.Trial) -> float:
        kernels = trial.suggest_categorical("kernels", [label(kernel) for kernel in KERNELS])
        parameters = {
            "model.convolution.kernels": next(kernel for kernel in KERNELS if label(kernel) == kernels),
            "model.dropout": trial.suggest_float("dropout", 0.0, 0.5),
            "training.learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True),
        }
        score = cross_validate(cases, folds, parameters, epochs)
        ended.append((clock(), score, parameters))
        return score

    sampler = optuna.samplers.TPESampler(seed=seed)
    optuna.create_study(direction="maximize", sampler=sampler).optimize(objective, n_trials=trials)
    return ended


def cross_validate(cases: Collection, folds: list[Fold], parameters: dict[str, Any], epochs: int) -> float:
    """Mean accuracy over the folds."""
    kernels, dropout = parameters["model.convolution.kernels"], parameters["model.dropout"]
    results = []
    for number, (training, validation) in enumerate(folds):
        known = cases.subset(training)
        prepared = Preprocessing.fit(known, PreprocessingConfig())
        network, x, y = network_of(known, prepared, kernels, dropout, number)
        optimizer = torch.optim.AdamW(network.parameters(), lr=parameters["training.learning_rate"], weight_decay=0.01)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * -(-len(x) // 16))
        for _ in range(epochs):
            for batch in torch.randperm(len(x)).split(16):
                if len(batch) < 2:
                    continue
                descend(network, optimizer, x[batch], y[batch])
                scheduler.step()
        network.eval()
        with torch.no_grad():
            predicted = network(torch.from_numpy(prepared.apply(cases.subset(validation)))).argmax(1).numpy()
        results.append(float((cases.classes[predicted] == cases.labels[validation]).mean()))
    return float(np.mean(results))


def network_of(
    cases: Collection, prepared: Preprocessing, kernels: list[int], dropout: float, seed: int
) -> tuple[Network, Tensor, Tensor]:
    """An untrained network, and the cases and classes that it is to be trained on."""
    convolution = {"channels": 8, "blocks": 2, "kernels": kernels}
    model = ModelConfig.model_validate({"convolution": convolution, "features": {"blocks": []}, "dropout": dropout})
    x = torch.from_numpy(prepared.apply(cases))
    y = torch.from_numpy(encode(cases.labels, cases.classes))
    return build_network(model, x.shape[1], len(cases.classes), x.shape[2], seed=seed).train(), x, y


def descend(network: Network, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> None:
    loss = nn.functional.cross_entropy(network(x), y)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


if __name__ == "__main__":
    name, number = sys.argv[1:]
    print(json.dumps(search(name, int(number), EPOCHS[name], multiprocessing.cpu_count())))
