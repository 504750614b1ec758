"""The contract of export: a network's ONNX graph gives the network's figures at any number and length of cases."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.export import Dim

from tsbench.nn.network import Network, build_network
from tsbench.recipe.schema import ModelConfig

__all__ = ["check_onnx"]

CHANNELS, CLASSES, LENGTH = 2, 3, 24
TOLERANCE = 1e-5  # in float32
BATCHES = ((1, LENGTH), (3, 37), (7, 10))
"""Cases and steps of the batches to be compared; the graph is traced at others."""


def check_onnx(config: ModelConfig, masked: bool = True) -> None:
    """Exports a network with a dynamic number and length of cases, and compares it with ONNX Runtime's figures.

    Recurrent layers become ONNX's own LSTM and GRU, attention and positions take the length as it comes. Needs the
    extra `onnx`, and PyTorch 2.13, whose plain `torch.onnx.export` gives a recurrent network of dynamic length only
    once in a process, and none with a GRU behind `encoder.stride`; `_session` works round both.

    Args:
        config: the `model` part of a recipe.
        masked: whether the graph takes lengths beside the series.

    Raises:
        AssertionError: the figures differ by more than 1e-5.
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
    """A network in evaluation with statistics of its own, none of whose parameters is 0 as a whole."""
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
    from torch.export._patches import register_gru_while_loop_decomposition, register_lstm_while_loop_decomposition

    x, lengths = _batch(5, LENGTH, seed=1)
    # PyTorch 2.13 follows recurrent layers through these decompositions, which hold for any length, but not where
    # another is cached; and it lets go of them too early for a GRU over averaged steps.
    for operator in (torch.ops.aten.lstm.input, torch.ops.aten.gru.input):
        operator._dispatch_cache.clear()
    with (
        register_lstm_while_loop_decomposition(),
        register_gru_while_loop_decomposition(),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            (x, lengths) if masked else (x,),
            dynamo=True,
            dynamic_shapes=({0: Dim.DYNAMIC, 2: Dim.DYNAMIC}, {0: Dim.DYNAMIC})[: 1 + masked],
            input_names=["x", "lengths"][: 1 + masked],
            output_names=["logits"],
            verbose=False,
        )
    assert program is not None
    graph = program.model_proto.SerializeToString()
    return onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
