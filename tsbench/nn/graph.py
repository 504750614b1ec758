"""Writes modules as ONNX graphs that take any number and length of cases."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim

from tsbench.adapters.torch import any_length_recurrence
from tsbench.quiet import quiet

__all__ = ["export_graph"]


def export_graph(module: nn.Module, x: Tensor, lengths: Tensor | None, output: str) -> Any:
    """A module's graph, with a dynamic number and length of cases.

    Recurrent layers become ONNX's own LSTM and GRU, attention and positions take the length as it comes. PyTorch 2.13's
    plain `torch.onnx.export` gives a recurrent network of dynamic length only once in a process, and none with a GRU
    behind `encoder.stride`; this works round both.

    Args:
        module: in evaluation mode; takes `x` and, if they are given, `lengths`.
        x: series to trace it with, shape (cases, channels, steps); its name in the graph is `x`.
        lengths: shape (cases,), or None for a graph without; its name is `lengths`.
        output: name of what the module returns.

    Returns:
        An `onnx.ModelProto`.

    Raises:
        ModuleNotFoundError: the packages of the extra `onnx` are not installed.
    """
    masked = lengths is not None
    with (
        any_length_recurrence(),
        quiet("torch.onnx"),  # such as that torchvision is not installed
    ):
        program = torch.onnx.export(
            module,
            (x, lengths) if masked else (x,),
            dynamo=True,
            dynamic_shapes=({0: Dim.DYNAMIC, 2: Dim.DYNAMIC}, {0: Dim.DYNAMIC})[: 1 + masked],
            input_names=["x", "lengths"][: 1 + masked],
            output_names=[output],
            verbose=False,
        )
    assert program is not None
    return program.model_proto
