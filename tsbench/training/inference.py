"""Class probabilities by a network."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tsbench.nn.network import Network
from tsbench.training.jobs import Series

__all__ = ["DivergedError", "fixed_features", "predict_probabilities"]

MAX_KEPT_FEATURES = 2**28
"""Feature values (1 GiB) that a job keeps; with more cases they are computed again for each mini-batch."""


class DivergedError(ArithmeticError):
    """The training loss, the weights or the outputs became NaN or infinite."""


def fixed_features(network: Network, series: Series) -> Tensor | None:
    """Features that `predict_probabilities` can reuse; None if there are none, or too many."""
    branch = network.feature_branch
    if branch is None or len(series.values) * branch.width > MAX_KEPT_FEATURES:
        return None
    values, lengths = series.tensors(next(network.parameters()).device)
    if isinstance(values, Tensor):
        return network.fixed_features(values, lengths)
    parts = []
    for start in range(0, len(values), 512):
        part = slice(start, start + 512)
        features = network.fixed_features(values[part], None if lengths is None else lengths[part])
        if features is None:
            return None
        parts.append(features)
    return torch.cat(parts)


@torch.inference_mode()
def predict_probabilities(
    network: Network, series: Series, batch_size: int = 512, features: Tensor | None = None
) -> NDArray[np.float32]:
    """Softmax probabilities (row N17), shape (cases, classes); the network is left in the mode it was in.

    Args:
        network: a trained network.
        series: the cases.
        batch_size: cases at once.
        features: of `fixed_features`.

    Raises:
        DivergedError: they are not finite.
    """
    device = next(network.parameters()).device
    values, lengths = series.tensors(device)
    before = network.training
    network.eval()
    parts = []
    for start in range(0, len(values), batch_size):
        part = slice(start, start + batch_size)
        x, own_lengths = values[part], None if lengths is None else lengths[part]
        known = network.fixed_features(x, own_lengths) if features is None else features[part]
        logits = network(x, own_lengths, known)
        parts.append(logits.softmax(dim=1))
    network.train(before)
    probabilities = torch.cat([torch.empty(0, network.classes, device=device), *parts]).float().cpu().numpy()
    if not np.isfinite(probabilities).all():
        raise DivergedError("the network's outputs are not finite")
    return probabilities
