"""The time steps that any classifier's prediction rests on, found by hiding one window after another.

A window of the series is replaced by the straight line between the values at its ends, and the fall of the predicted
class's probability is the window's importance; a time step has the mean of the windows that cover it (Zeiler and
Fergus, Visualizing and Understanding Convolutional Networks, 2014).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tsbench.classifiers.contract import FittedClassifier
from tsbench.classifiers.ensemble import NetworkEnsemble
from tsbench.classifiers.explanation import draw, draw_series
from tsbench.classifiers.vote import FittedVote, FoldBag
from tsbench.data.collection import Collection
from tsbench.drawing import new_figure, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_importance", "occlusion_importance"]

WINDOWS = 10
"""Widths of a window that a series has, at most; windows overlap by half of their width."""


def occlusion_importance(classifier: FittedClassifier, case: Collection) -> NDArray[np.float64]:
    """How much the predicted class's probability falls if each time step is hidden, shape (time steps,).

    Positive values speak for the prediction, negative ones against it.

    Args:
        classifier: any classifier.
        case: a collection of one case.
    """
    steps = int(case.lengths[0])
    windows = _windows(steps)
    values = np.repeat(case.values, len(windows) + 1, axis=0)
    for row, (start, end) in enumerate(windows, 1):
        values[row, :, start:end] = _line(case.values[0], start, end, steps)
    lengths = np.full(len(values), steps, dtype=np.int64)
    variants = Collection(values, lengths, np.repeat(case.labels, len(values)), columns=case.columns)
    probabilities = classifier.predict_proba(variants)
    falls = probabilities[0].max() - probabilities[1:, probabilities[0].argmax()]
    total, count = np.zeros(steps), np.zeros(steps)
    for fall, (start, end) in zip(falls, windows, strict=True):
        total[start:end] += fall
        count[start:end] += 1
    return np.asarray(total / np.maximum(count, 1))


def _windows(steps: int) -> list[tuple[int, int]]:
    width = max(1, -(-steps // WINDOWS))
    stride = max(1, width // 2)
    return [(start, min(start + width, steps)) for start in range(0, max(1, steps - width + stride), stride)]


def _line(series: NDArray[np.floating], start: int, end: int, steps: int) -> NDArray[np.float64]:
    """The straight line from the value before a window to the one behind it, by channel; level at a series' end."""
    before, behind = series[:, max(0, start - 1)], series[:, min(steps - 1, end)]
    if start == 0:
        before = behind
    if end >= steps:
        behind = before
    share = (np.arange(start, end) - start + 1) / (end - start + 1)
    return np.asarray(before[:, None] * (1 - share) + behind[:, None] * share)


def draw_importance(classifier: FittedClassifier, case: Collection, path: str | Path, title: str) -> None:
    """Writes a PNG: the series over each time step's importance, and of a vote its weights and its networks' attention.

    Args:
        classifier: any classifier.
        case: a collection of one case.
        path: the file.
        title: what the case is called.
    """
    networks: list[tuple[str, NetworkEnsemble]] = []
    rows: list[tuple[str, float]] = []
    if isinstance(classifier, FittedVote):
        rows = [
            (member.name, weight)
            for member, weight in zip(classifier.members, classifier.combination.weights, strict=True)
        ]
        for member in classifier.members:
            bag = member.classifier.members if isinstance(member.classifier, FoldBag) else [member.classifier]
            networks += [(member.name, fitted) for fitted in bag if isinstance(fitted, NetworkEnsemble)][:1]
    heights = [3.2] + [4.4] * bool(networks) + [0.6 + 0.25 * len(rows)] * bool(rows)
    figure = new_figure(9, sum(heights) + 0.6 * (len(heights) - 1))
    axes = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights, gridspec_kw={"hspace": 0.6})[:, 0]
    _draw_steps(axes[0], classifier, case, title)
    if networks:
        name, network = max(networks, key=lambda found: dict(rows)[found[0]])
        draw(network.explain(case), case, 0, axes[1], f"member {name}")
    if rows:
        _draw_weights(axes[-1], rows)
    figure.savefig(path, format="png", dpi=150, bbox_inches="tight")


def _draw_steps(ax: Axes, classifier: FittedClassifier, case: Collection, title: str) -> None:
    importance, steps = occlusion_importance(classifier, case), int(case.lengths[0])
    names = None if case.columns is None else case.columns.channels
    draw_series(ax, case.values[0, :, :steps], names or [str(number) for number in range(case.channels)])
    low, high = ax.get_ylim()
    limit = max(0.02, float(np.abs(importance).max()))
    edges = np.arange(steps + 1) - 0.5
    shade = ax.pcolormesh(edges, [low, high], importance[None], cmap="PuOr_r", vmin=-limit, vmax=limit, alpha=0.8)
    shade.set_zorder(0)
    ax.set_ylim(low, high)
    ax.set_xlim(-0.5, steps - 0.5)
    ax.set_xlabel("time step")
    ax.figure.colorbar(shade, cax=ax.inset_axes((1.02, 0, 0.02, 1))).set_label("fall of probability\nif hidden")
    probabilities = classifier.predict_proba(case)[0]
    label, predicted = str(case.labels[0]), classifier.classes[probabilities.argmax()]
    verdict = f"predicted {predicted} (probability {probabilities.max():.2f})"
    ax.set_title(plain(f"{title}: {f'label {label}, ' if label else ''}{verdict}"), loc="left", parse_math=False)


def _draw_weights(ax: Axes, rows: Sequence[tuple[str, float]]) -> None:
    ordered = sorted(rows, key=lambda row: row[1])
    names, weights = [plain(name) for name, _ in ordered], [weight for _, weight in ordered]
    bars = ax.barh(range(len(ordered)), weights, color="#0072B2")
    ax.bar_label(bars, [f"{weight:.0%}" for weight in weights], padding=3)
    ax.set_yticks(range(len(ordered)), names)
    ax.set_xlim(0, 1.1 * max(weights))
    ax.set_xlabel("weight in the vote")
