"""The time steps that a fitted ensemble attends to, as arrays and as a plot (row N22)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from tsbench.data.collection import Collection
from tsbench.drawing import new_figure, plain
from tsbench.nn.attribution import NetworkExplanation
from tsbench.nn.attribution import explain as explain_network
from tsbench.nn.network import Network
from tsbench.training.jobs import Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tsbench.classifiers.ensemble import NetworkEnsemble

__all__ = ["Explanation", "draw", "draw_series", "draw_several", "explain"]

CHUNK_SIZE = 64  # cases
MAX_LANES = 12
"""Maximum number of channels in a plot."""


@dataclass(frozen=True)
class Explanation:
    """The time steps that an ensemble attends to in some cases; none is past a case's own length.

    It says where the network looked, not what decided: the feature branch, average pooling and the layers after the
    pools contribute to a prediction too, and a step of a recurrent layer depends on the steps before and after it.

    Attributes:
        attention: shape (cases, steps): the attention that each time step receives, averaged over the steps that ask,
            heads and members. It sums to 1 over a case; if strides make several time steps one, each gets an equal
            part. None if no member attends.
        attention_weights: for each member those weights themselves, shape (cases, heads, its steps, its steps), the
            second last axis asking; None if it does not attend.
        max_positions: shape (cases, channels of all members): the time step of each max-pooled channel's maximum, the
            middle one if strides make several time steps one; -1 for a channel that is the same at all steps. None
            if no member has max pooling.
        saliency: shape (cases, steps): the share of those channels, without those at -1, whose maximum lies at each
            time step, spread as `attention` is. It sums to 1 over a case, or is 0 if all channels are at -1.
        predictions: shape (cases,), the ensemble's labels.
        probabilities: shape (cases,), the ensemble's probabilities of these labels.
    """

    attention: NDArray[np.float64] | None
    attention_weights: list[NDArray[np.float32] | None]
    max_positions: NDArray[np.int64] | None
    saliency: NDArray[np.float64] | None
    predictions: NDArray[np.str_]
    probabilities: NDArray[np.float64]


def explain(ensemble: NetworkEnsemble, cases: Collection) -> Explanation:
    """The time steps that the ensemble attends to when it predicts some cases.

    Attention weights take `members * cases * heads * steps^2 * 4` bytes, so it is for chosen cases rather than
    thousands.

    Raises:
        ValueError: the cases have another number of channels than the training cases.
    """
    probabilities = ensemble.predict_proba(cases)
    prepared = ensemble.preprocessing
    seen = Collection(prepared.apply(cases), prepared.lengths(cases), cases.labels)
    found = _explain(ensemble, seen, probabilities)
    return _on_own_steps(found, prepared.length, cases) if prepared.length else found


def _on_own_steps(found: Explanation, length: int, cases: Collection) -> Explanation:
    """Maps the steps of resampled cases to the nearest original steps, and sums their values."""
    place = np.arange(length) / (length - 1) * (cases.lengths[:, None] - 1)
    nearest = np.rint(place).astype(np.int64)

    def moved(shares: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
        if shares is None:
            return None
        own = np.zeros((len(cases), cases.length))
        np.add.at(own, (np.arange(len(cases))[:, None], nearest), shares)
        return own

    positions = found.max_positions
    if positions is not None:
        there = np.take_along_axis(nearest, np.maximum(positions, 0), axis=1)
        positions = np.where(positions < 0, -1, there)
    return replace(found, attention=moved(found.attention), saliency=moved(found.saliency), max_positions=positions)


def _explain(ensemble: NetworkEnsemble, cases: Collection, probabilities: NDArray[np.float64]) -> Explanation:
    """Of cases as the networks see them."""
    series = Series(cases.values.astype(np.float32, copy=False), cases.lengths)
    members = [list(_explained(network, series)) for network in ensemble.members]
    weights = [_weights(parts) for parts in members]
    received = [
        _received(attention, cases, parts[0].stride)
        for attention, parts in zip(weights, members, strict=True)
        if attention is not None
    ]
    maxima = [steps for parts in members for steps in _maxima(parts)]
    return Explanation(
        attention=np.mean(received, axis=0) if received else None,
        attention_weights=weights,
        max_positions=np.concatenate([_positions(*steps, cases.lengths) for steps in maxima], axis=1)
        if maxima
        else None,
        saliency=_saliency(maxima, cases) if maxima else None,
        predictions=ensemble.classes[probabilities.argmax(axis=1)],
        probabilities=probabilities.max(axis=1),
    )


def _explained(network: Network, series: Series) -> Iterable[NetworkExplanation]:
    """A few cases at a time, all of them padded to the same length."""
    values, lengths = series.tensors(next(network.parameters()).device)
    for start in range(0, len(values), CHUNK_SIZE):
        part = slice(start, start + CHUNK_SIZE)
        yield explain_network(network, values[part], None if lengths is None else lengths[part])


def _weights(parts: list[NetworkExplanation]) -> NDArray[np.float32] | None:
    given = [part.attention for part in parts if part.attention is not None]
    return torch.cat(given).float().cpu().numpy() if given else None


def _maxima(parts: list[NetworkExplanation]) -> Iterable[tuple[NDArray[np.int64], int]]:
    """The maxima of one member's encoder and of its convolutions, each where pooled, with their strides."""
    for pick, stride in (("maxima", "stride"), ("skip_maxima", "skip_stride")):
        given = [getattr(part, pick) for part in parts]
        if given and given[0] is not None:
            yield torch.cat(given).cpu().numpy(), getattr(parts[0], stride)


def _received(weights: NDArray[np.float32], cases: Collection, stride: int) -> NDArray[np.float64]:
    """The mean over heads and valid asking steps, on time steps, shape (cases, steps)."""
    asking = np.arange(weights.shape[2]) * stride < cases.lengths[:, None]
    of_step = np.einsum("nhqk,nq->nk", weights.astype(np.float64), asking)
    return _spread(of_step / (weights.shape[1] * asking.sum(axis=1, keepdims=True)), cases, stride)


def _spread(of_step: NDArray[np.float64], cases: Collection, stride: int) -> NDArray[np.float64]:
    """Spreads the value of a network's step equally over its valid time steps."""
    time = np.arange(cases.length)
    count = (cases.lengths[:, None] - time // stride * stride).clip(1, stride)
    return np.where(time < cases.lengths[:, None], of_step[:, time // stride] / count, 0)


def _positions(maxima: NDArray[np.int64], stride: int, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """The middle of each maximum's time steps."""
    first = maxima * stride
    last = np.minimum(first + stride, lengths[:, None]) - 1
    middle: NDArray[np.int64] = np.where(maxima < 0, -1, (first + last) // 2)
    return middle


def _saliency(maxima: list[tuple[NDArray[np.int64], int]], cases: Collection) -> NDArray[np.float64]:
    total = np.zeros((len(cases), cases.length))
    for steps, stride in maxima:
        count = np.zeros((len(cases), -(-cases.length // stride)))
        case, channel = np.nonzero(steps >= 0)
        np.add.at(count, (case, steps[case, channel]), 1)
        total += _spread(count, cases, stride)
    share: NDArray[np.float64] = total / total.sum(axis=1, keepdims=True).clip(min=1)
    return share


def draw(
    explanation: Explanation, cases: Collection, case: int, to: str | Path | Axes, title: str | None = None
) -> None:
    """Draws one case: the series on a ground shaded by attention, and under it where the pooled maxima lie.

    Of a series with several channels each has its own lane, scaled to it. Where the network has no attention or no
    max pooling, that part is left out.

    Args:
        explanation: of `cases`.
        cases: the cases that were explained.
        case: number of the case among them.
        to: the PNG file to write, or the axes to draw on, with room below and on the right.
        title: what the case is called; `case 3` if it is None.
    """
    if isinstance(to, str | Path):
        shown = min(cases.channels, MAX_LANES)
        figure = new_figure(9, 3.2 + 0.45 * (shown - 1))
        _draw(explanation, cases, case, figure.add_subplot(), title)
        figure.savefig(to, format="png", dpi=150, bbox_inches="tight")
    else:
        _draw(explanation, cases, case, to, title)


def draw_several(explanation: Explanation, cases: Collection, titles: Sequence[str], path: str | Path) -> None:
    """Draws all of some cases into one PNG, one below another, each as `draw` does.

    Args:
        explanation: of `cases`.
        cases: the cases that were explained.
        titles: what each is called.
        path: the file.
    """
    height = 3.8 + 0.45 * (min(cases.channels, MAX_LANES) - 1)  # inches a case, of which 1.6 lie below its series
    figure = new_figure(9, height * len(cases))
    rows = figure.subplots(len(cases), 1, squeeze=False, gridspec_kw={"hspace": 1.6 / (height - 1.6)})[:, 0]
    for case, (ax, title) in enumerate(zip(rows, titles, strict=True)):
        _draw(explanation, cases, case, ax, title)
    figure.savefig(path, format="png", dpi=110, bbox_inches="tight")


def _draw(explanation: Explanation, cases: Collection, case: int, ax: Axes, title: str | None) -> None:
    length = int(cases.lengths[case])
    known = None if cases.columns is None else cases.columns.channels
    draw_series(ax, cases.values[case, :, :length], known or list(map(str, range(cases.channels))))
    lowest = ax
    if explanation.saliency is not None:
        lowest = _draw_saliency(ax, explanation.saliency[case, :length])
    if explanation.attention is not None:
        _draw_attention(ax, explanation.attention[case, :length])
    lowest.set_xlabel("time step")
    ax.set_xlim(-0.5, length - 0.5)
    label, prediction = cases.labels[case], explanation.predictions[case]
    verdict = f"predicted {prediction} (probability {explanation.probabilities[case]:.2f})"
    text = f"{title or f'case {case}'}: {f'label {label}, ' if label else ''}{verdict}"
    ax.set_title(plain(text), loc="left", parse_math=False)  # the axes may belong to the caller's figure


def draw_series(ax: Axes, values: NDArray[np.floating], names: Sequence[str]) -> None:
    """Draws one case, shape (channels, time steps); of several channels each has its own lane, scaled to it."""
    from matplotlib.patheffects import withStroke

    line: dict[str, Any] = {
        "color": "black",
        "linewidth": 1.3,
        "marker": "." if values.shape[1] < 60 else "",
        "path_effects": [withStroke(linewidth=3, foreground="white", alpha=0.7)],  # separates it from a dark background
    }
    if len(values) == 1:
        ax.plot(values[0], **line)
        ax.set_ylabel("value")
        return
    shown = values[:MAX_LANES]
    for lane, series in enumerate(shown):
        there = series[np.isfinite(series)]
        low, high = (there.min(), there.max()) if len(there) else (0, 0)
        ax.plot(0.8 * (series - low) / ((high - low) or 1) - lane, **line)
    ax.set_yticks(0.4 - np.arange(len(shown)), [plain(name) for name in names[: len(shown)]])
    ax.set_ylabel("channel" if len(shown) == len(values) else f"channel (first {len(shown)} of {len(values)})")


def _draw_attention(ax: Axes, attention: NDArray[np.float64]) -> None:
    """Shades the background by multiples of an even share, which differ less in their range from case to case."""
    shares = attention * len(attention)
    edges = np.arange(len(attention) + 1) - 0.5
    low, high = ax.get_ylim()
    shade = ax.pcolormesh(
        edges, [low, high], shares[None], cmap="YlOrBr", vmin=0, vmax=max(2.0, shares.max()), alpha=0.8
    )
    shade.set_zorder(0)
    ax.set_ylim(low, high)
    bar = ax.figure.colorbar(shade, cax=ax.inset_axes((1.02, 0, 0.02, 1)))
    bar.set_label("attention\n(1: an even share)")


def _draw_saliency(ax: Axes, saliency: NDArray[np.float64]) -> Axes:
    inch = ax.figure.dpi / ax.get_window_extent().height
    strip = ax.inset_axes((0, -0.65 * inch, 1, 0.55 * inch), sharex=ax)
    # The outline keeps a single step visible in a series of thousands.
    blue = "#0072B2"
    strip.stairs(100 * saliency, _edges(len(saliency)), fill=True, facecolor=blue, edgecolor=blue, linewidth=1)
    strip.set_ylim(bottom=0)
    strip.set_ylabel("pooled\nmaxima\n(%)")
    ax.tick_params(labelbottom=False)
    return strip


def _edges(steps: int) -> NDArray[np.float64]:
    return np.arange(steps + 1, dtype=np.float64) - 0.5
