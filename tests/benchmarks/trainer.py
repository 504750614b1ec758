"""The trainer beside a bare torch loop of the same network: what lockstep, random streams and records cost."""

from __future__ import annotations

import statistics
import time

import numpy as np
import torch
from torch import nn

from tests.benchmarks.table import Row
from tsbench.classifiers.ensemble import encode
from tsbench.data.archive import Archive
from tsbench.data.preprocessing import Preprocessing
from tsbench.nn.network import build_network
from tsbench.recipe.schema import (
    AugmentationConfig,
    EncoderConfig,
    ModelConfig,
    PreprocessingConfig,
    TrainingConfig,
)
from tsbench.training.jobs import Job, Series
from tsbench.training.trainer import train

EPOCHS = 12
TRAINING = TrainingConfig(  # what a bare loop has: no augmentation, no smoothing
    epochs=EPOCHS,
    label_smoothing=0.0,
    augmentation=AugmentationConfig(scaling=0.0, window_warping=0.0),
)
PAIRS = 7


def measure() -> list[Row]:
    """Ratios of seconds per epoch, the two in turn, on a longer and a very short series."""
    torch.set_num_threads(1)
    rows = []
    for name in ("GunPoint", "ItalyPowerDemand"):
        cases = Archive().load(name).train
        prepared = Preprocessing.fit(cases, PreprocessingConfig())
        series, targets = Series(prepared.apply(cases), cases.lengths), encode(cases.labels, cases.classes)
        model = ModelConfig(preset="classic", encoder=EncoderConfig(stride=2))
        pairs = [(_ours(series, targets, model), _bare(series, targets, model)) for _ in range(PAIRS + 1)][1:]
        ratio = statistics.median(ours / bare for ours, bare in pairs)
        spread = f"{min(a / b for a, b in pairs):.2f} to {max(a / b for a, b in pairs):.2f}"
        ours = 1000 * statistics.median(pair_first for pair_first, _ in pairs)
        rows.append(
            Row(
                f"trainer against a bare torch loop, {name}",
                ratio,
                "times",
                1.05,
                f"median of {PAIRS} pairs ({spread}); {ours:.0f} ms an epoch",
            )
        )
    return rows


def _ours(series: Series, targets: np.ndarray, model: ModelConfig) -> float:
    started = time.perf_counter()
    train([Job(series, targets, int(targets.max()) + 1, 0, model, TRAINING)])
    return (time.perf_counter() - started) / EPOCHS


def _bare(series: Series, targets: np.ndarray, model: ModelConfig) -> float:
    """What one would write by hand: the same network, batches, clipping, AdamW and cosine schedule."""
    config = TRAINING
    started = time.perf_counter()
    x, y = torch.from_numpy(series.values), torch.from_numpy(targets)
    network = build_network(model, x.shape[1], int(y.max()) + 1, x.shape[2], seed=0).train()
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    steps = EPOCHS * -(-len(x) // config.batch_size)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    loss_function = nn.CrossEntropyLoss()
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(x)).split(config.batch_size):
            loss = loss_function(network(x[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
    return (time.perf_counter() - started) / EPOCHS
