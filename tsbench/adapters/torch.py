"""Private names of PyTorch 2.13."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

__all__ = ["any_length_recurrence", "sample_dirichlet"]


def sample_dirichlet(concentration: Tensor, generator: torch.Generator) -> Tensor:
    """A draw from a Dirichlet distribution; `torch.distributions` takes no generator."""
    return torch._sample_dirichlet(concentration, generator)


@contextmanager
def any_length_recurrence() -> Iterator[None]:
    """`torch.export` follows LSTM and GRU through decompositions that hold for any length.

    PyTorch does the same by itself, but not if another decomposition is cached, and it drops them too early for a
    GRU over averaged steps.
    """
    from torch.export._patches import register_gru_while_loop_decomposition, register_lstm_while_loop_decomposition

    for operator in (torch.ops.aten.lstm.input, torch.ops.aten.gru.input):
        operator._dispatch_cache.clear()
    with register_lstm_while_loop_decomposition(), register_gru_while_loop_decomposition():
        yield
