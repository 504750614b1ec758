"""The contract of export: a network's ONNX graph gives the network's outputs at any number and length of cases."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from tsbench.nn.graph import export_graph
from tsbench.nn.network import Network, build_network
from tsbench.recipe.schema import ModelConfig

__all__ = ["check_onnx"]

CHANNELS, CLASSES, LENGTH = 2, 3, 24
TOLERANCE = 1e-5  # in float32
BATCHES = ((1, LENGTH), (3, 37), (7, 10))
"""Cases and steps of the batches to be compared; the graph is traced at others."""


def check_onnx(config: ModelConfig, masked: bool = True) -> None:
    """Exports a network with a dynamic number and length of cases, and compares it with ONNX Runtime's outputs.

    Needs the extra `onnx`.

    Args:
        config: the `model` part of a recipe.
        masked: whether the graph takes lengths beside the series.

    Raises:
        AssertionError: the outputs differ by more than 1e-5.
    """
    name = f"ONNX of network {config.model_dump(exclude_defaults=True)}"
    network = _settled(config)
    session = _session(network, masked)
    for cases, steps in BATCHES:
        x, lengths = _batch(cases, steps, seed=steps)
        with torch.no_grad():
            expected = network(x, lengths if masked else None).numpy()
        given = {"x": x.numpy()} | ({"lengths": lengths.numpy()} if masked else {})
        (actual,) = session.run(None, given)
        off = float(np.abs(actual - expected).max())
        assert off <= TOLERANCE, f"{name}: {cases} cases of {steps} steps differ by {off:.2g}"


def _settled(config: ModelConfig) -> Network:
    """A network in evaluation mode with random statistics and without parameters that are all 0."""
    network = build_network(config, CHANNELS, CLASSES, LENGTH, seed=0)
    x, lengths = _batch(8, LENGTH, seed=0)
    network.prepare(x, lengths, seed=0)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        network(x, lengths)
        for parameter in network.parameters():
            if not parameter.any():
                parameter.normal_(std=0.1)
    return network.eval()


def _batch(cases: int, steps: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(steps // 2, steps + 1, (cases,), generator=generator)
    valid = torch.arange(steps) < lengths.unsqueeze(1)
    return torch.randn(cases, CHANNELS, steps, generator=generator) * valid.unsqueeze(1), lengths


def _session(network: Network, masked: bool) -> Any:
    """ONNX Runtime's session of the network's graph."""
    import onnxruntime

    x, lengths = _batch(5, LENGTH, seed=1)
    graph = export_graph(network, x, lengths if masked else None, "logits").SerializeToString()
    return onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
