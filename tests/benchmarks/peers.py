"""What an epoch costs beside sktime's torch classifiers, and what each of the network's options adds.

One thread, mini-batches of 16, all in the same run. The time of an epoch is the difference between a longer and a
shorter training, so that what happens once (building, features, checks) is left out.
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from tests.benchmarks.table import Row
from tsbench.classifiers.ensemble import encode
from tsbench.data.archive import Archive
from tsbench.data.collection import Collection
from tsbench.data.preprocessing import Preprocessing
from tsbench.recipe.dotted import hyperparameters_of
from tsbench.training.jobs import Job, Series
from tsbench.training.trainer import train

DATASETS = ("GunPoint", "OSULeaf")  # 150 and 427 time steps
CASES = 48
SHORT, LONG = 2, 8
ROUNDS = 3
OPTIONS: dict[str, dict[str, Any]] = {
    "without augmentation": {"training.augmentation.scaling": 0.0, "training.augmentation.window_warping": 0.0},
    "without features": {"model.features.blocks": []},
    "one block": {"model.convolution.blocks": 1},
    "kernels 9, 19, 39": {"model.convolution.kernels": [9, 19, 39]},
    "separable": {"model.convolution.separable": True},
    "fixed filters": {"model.convolution.fixed_filters": True},
    "stem of stride 2": {"model.stem.stride": 2},
    "without encoder and attention": {"model.encoder.type": "none", "model.attention.type": "none"},
    "without encoder": {"model.encoder.type": "none"},
    "without attention": {"model.attention.type": "none"},
    "GRU": {"model.encoder.type": "gru"},
    "Transformer": {"model.encoder.type": "transformer"},
    "mixup": {"training.augmentation.mixup": 0.2},
    "preset classic": {"model.preset": "classic"},
    "preset inception": {"model.preset": "inception"},
    "preset lite": {"model.preset": "lite"},
    "preset transformer": {"model.preset": "transformer"},
}


def measure() -> list[Row]:
    """Microseconds for each case and epoch, and the default's ratio to InceptionTime's, which must not exceed 1."""
    torch.set_num_threads(1)
    rows = []
    for name in DATASETS:
        cases = Archive().load(name).train
        cases = cases.subset(np.arange(len(cases)) * 7 % len(cases)).subset(np.arange(min(CASES, len(cases))))
        fits: dict[str, Callable[[int], None]] = {
            "sktime InceptionTimeClassifierTorch": _sktime("inceptiontime.InceptionTimeClassifierTorch", cases),
            "sktime LSTMFCNClassifierTorch": _sktime("lstmfcn.LSTMFCNClassifierTorch", cases),
            "tsbench default": _ours(cases, {}),
            **{f"tsbench {option}": _ours(cases, changes) for option, changes in OPTIONS.items()},
        }
        costs: dict[str, list[float]] = {what: [] for what in fits}
        for fit in fits.values():
            fit(1)  # imports and first calls are not measured
        for _ in range(ROUNDS):  # in turn, so that a machine whose speed drifts does not decide
            for what, fit in fits.items():
                costs[what].append(_epoch(fit) / len(cases) * 1e6)
        middle = {what: statistics.median(found) for what, found in costs.items()}
        inception = middle["sktime InceptionTimeClassifierTorch"]
        label = f"{name}, {cases.length} steps"
        ratio = middle["tsbench default"] / inception
        rows.append(
            Row(f"default against sktime's InceptionTime, {label}", ratio, "times", 1.0, "an epoch, one thread")
        )
        for what, cost in middle.items():
            remark = f"{cost / middle['tsbench default']:.2f} times the default"
            rows.append(Row(f"{what}, {label}", cost, "µs a case and epoch", None, remark))
    return rows


def _epoch(fit: Callable[[int], None]) -> float:
    seconds = []
    for epochs in (SHORT, LONG):
        started = time.perf_counter()
        fit(epochs)
        seconds.append(time.perf_counter() - started)
    return (seconds[1] - seconds[0]) / (LONG - SHORT)


def _ours(cases: Collection, changes: dict[str, Any]) -> Callable[[int], None]:
    def fit(epochs: int) -> None:
        config = hyperparameters_of({**changes, "training.epochs": epochs, "training.min_steps": 0})
        prepared = Preprocessing.fit(cases, config.preprocessing)
        series, targets = Series(prepared.apply(cases), cases.lengths), encode(cases.labels, cases.classes)
        train([Job(series, targets, len(cases.classes), 0, config.model, config.training)])

    return fit


def _sktime(path: str, cases: Collection) -> Callable[[int], None]:
    from importlib import import_module

    module, _, name = path.partition(".")
    made = getattr(import_module(f"sktime.classification.deep_learning.{module}"), name)

    def fit(epochs: int) -> None:
        with warnings.catch_warnings(action="ignore"):
            made(num_epochs=epochs, batch_size=16, random_state=0).fit(cases.values, cases.labels)

    return fit
