"""The whole ensemble with its normalisation as one ONNX graph, and its comparison with PyTorch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tsbench import __version__
from tsbench.classifiers.ensemble import NetworkEnsemble
from tsbench.data.collection import Collection
from tsbench.errors import ModelError
from tsbench.nn.graph import export_graph

__all__ = ["TOLERANCE", "compare_onnx", "export_onnx", "onnx_probabilities"]

TOLERANCE = 1e-5
"""Maximum difference between the graph's probabilities and PyTorch's, in float32."""

CONSTANT = 1e-7
"""As in the preprocessing: a channel whose deviation is this small beside its level is constant."""


class _Graph(nn.Module):
    """The exported module, from raw series and lengths to mean class probabilities.

    Shape: (cases, channels, steps) in float64 and (cases,) in int64, to (cases, classes).
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, ensemble: NetworkEnsemble) -> None:
        super().__init__()
        self.members = nn.ModuleList(ensemble.members)
        self.normalise = ensemble.preprocessing.normalise
        self.length = ensemble.preprocessing.length
        for name in ("mean", "scale"):
            values = getattr(ensemble.preprocessing, name)
            self.register_buffer(name, torch.from_numpy(values.astype(np.float64)).unsqueeze(1))

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        if self.length:
            x, lengths = self._resampled(x, lengths)
        valid = (torch.arange(x.shape[2], device=x.device) < lengths.unsqueeze(1)).unsqueeze(1)
        values = torch.where(valid, self._normalised(x, valid), 0.0)
        largest = torch.finfo(torch.float32).max
        values = values.clamp(-largest, largest).float()
        return torch.stack([member(values, lengths).softmax(dim=1) for member in self.members]).mean(dim=0)

    def _resampled(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Every case on the same number of steps, evenly spread from its first to its last, along straight lines."""
        last = (lengths - 1).unsqueeze(1)
        place = torch.arange(self.length, dtype=x.dtype, device=x.device) * last / (self.length - 1)
        below = place.floor().long()
        above = torch.minimum(below + 1, last)
        low, high = (x.gather(2, index.unsqueeze(1).expand(-1, x.shape[1], -1)) for index in (below, above))
        return low + (high - low) * (place - below).unsqueeze(1), torch.full_like(lengths, self.length)

    def _normalised(self, x: Tensor, valid: Tensor) -> Tensor:
        if self.normalise == "channel":
            return (x - self.mean) / self.scale
        if self.normalise == "none":
            return x
        inside = torch.where(valid, x, 0.0)
        count = valid.sum(dim=2, keepdim=True)
        mean = inside.sum(dim=2, keepdim=True) / count
        deviation = (torch.where(valid, x - mean, 0.0).square().sum(dim=2, keepdim=True) / count).sqrt()
        level = mean.abs()
        constant = deviation <= CONSTANT * level.clamp(min=1e-30)
        return (x - mean) / torch.where(constant, level.clamp(min=1.0), deviation)


def export_onnx(ensemble: NetworkEnsemble, cases: Collection, path: Path, about: dict[str, str]) -> None:
    """Writes the ensemble as one ONNX graph of any number and length of cases.

    Its inputs are `x`, shape (cases, channels, steps) in float64, as measured and 0 on padded steps, and `lengths`,
    shape (cases,) in int64; its output `probabilities`, shape (cases, classes). Missing values are to be filled in
    before: a NaN in a case makes its probabilities NaN. The class names are in the graph's metadata, as JSON.

    Args:
        ensemble: the model.
        cases: to trace the graph with; real ones without missing values.
        path: the file.
        about: further metadata.

    Raises:
        ModelError: the model marks missing values in further channels, for which the graph has no input; or the
            packages of the extra `onnx` are not installed.
    """
    if len(ensemble.preprocessing.marked):
        raise ModelError(
            "ONNX export does not support models trained with preprocessing.mark_missing; serve it by "
            "`mlflow models serve`"
        )
    x, lengths = _inputs(_several(cases))
    try:
        proto = export_graph(_Graph(ensemble).eval(), torch.from_numpy(x), torch.from_numpy(lengths), "probabilities")
    except ModuleNotFoundError as error:
        raise _not_installed(error) from None
    classes = json.dumps([str(label) for label in ensemble.classes])
    for key, value in {"classes": classes, "tsbench": __version__, **about}.items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = key, value
    path.write_bytes(proto.SerializeToString())


def onnx_probabilities(path: Path, cases: Collection) -> NDArray[np.float32]:
    """The probabilities by ONNX Runtime, shape (cases, classes).

    Raises:
        ModelError: the packages of the extra `onnx` are not installed.
    """
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise _not_installed(error) from None
    session: Any = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    x, lengths = _inputs(cases)
    (probabilities,) = session.run(None, {"x": x, "lengths": lengths})
    return np.asarray(probabilities, dtype=np.float32)


def compare_onnx(ensemble: NetworkEnsemble, path: Path, cases: Collection) -> float:
    """The largest difference between the graph's probabilities and PyTorch's.

    The cases are compared together, the first by itself, and the first cut to its longer half: other numbers and
    lengths than the graph was traced with.

    Raises:
        ModelError: it is more than 1e-5, or the label of a case is another.
    """
    first = cases.subset(np.array([0]))
    half = (int(first.lengths[0]) + 1) // 2
    shorter = Collection(first.values[:, :, :half], np.array([half], dtype=np.int64), first.labels)
    worst = 0.0
    for some in (cases, first, shorter):
        expected, actual = ensemble.predict_proba(some), onnx_probabilities(path, some)
        off = np.abs(actual - expected).max(axis=1)
        worst = max(worst, float(off.max()))
        other = (actual.argmax(axis=1) != expected.argmax(axis=1)) & (off > 0)
        if not worst <= TOLERANCE or (other & ~_tied(expected)).any():
            raise ModelError(
                f"the ONNX graph's probabilities differ from PyTorch's by {worst:.2g} on {len(some)} cases of "
                f"{some.length} time steps, more than {TOLERANCE:g}; {path} was not kept",
                exit_code=1,
            )
    return worst


def _tied(probabilities: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Cases whose two highest probabilities are nearer to each other than the tolerance, so that rounding decides."""
    highest = np.sort(probabilities, axis=1)[:, -2:]
    return (highest[:, 1] - highest[:, 0]) < 2 * TOLERANCE


def _several(cases: Collection) -> Collection:
    """At least two cases: a graph traced with one takes only one."""
    return cases if len(cases) > 1 else cases.subset(np.array([0, 0]))


def _inputs(cases: Collection) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    return cases.values.astype(np.float64), cases.lengths.astype(np.int64)


def _not_installed(error: ModuleNotFoundError) -> ModelError:
    text = f"ONNX needs further packages ({error}); install them with: pip install 'tsbench[onnx]'"
    return ModelError(text, exit_code=1)
