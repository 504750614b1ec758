"""Plots of a data set: each class as a line of text, and as panels in a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsbench.data.collection import Collection
from tsbench.drawing import legend_text, new_figure, plain

__all__ = ["draw_classes", "draw_inspection", "mean_of_class", "sparkline"]

_BARS = "▁▂▃▄▅▆▇█"
MAX_PANELS = 24
MAX_CASES = 8  # cases of a class, drawn thin
BLUE, GREY, ORANGE = "#1f5fa8", "#9aa5b1", "#d9822b"


def mean_of_class(cases: Collection, label: str, channel: int = 0) -> NDArray[np.float64]:
    """The mean series of a class's cases in one channel, each step over the cases that reach it; NaN without any."""
    chosen = np.flatnonzero(cases.labels == label)
    values = cases.values[chosen, channel].astype(np.float64)
    values[np.arange(cases.length) >= cases.lengths[chosen][:, None]] = np.nan
    there = ~np.isnan(values)
    count = there.sum(axis=0)
    total = np.where(there, values, 0).sum(axis=0)
    return np.where(count > 0, total / count.clip(min=1), np.nan)


def sparkline(series: NDArray[np.float64], width: int = 40) -> str:
    """A series as bars of text between its smallest and its largest value; a blank for a missing value."""
    series = series[: np.flatnonzero(~np.isnan(series))[-1] + 1] if (~np.isnan(series)).any() else series[:0]
    bins = np.array_split(series, min(width, len(series))) if len(series) else []
    means = np.array([np.nan if np.isnan(values).all() else np.nanmean(values) for values in bins])
    if np.isnan(means).all():
        return ""
    low, high = np.nanmin(means), np.nanmax(means)
    height = (means - low) / (high - low) if high > low else np.zeros(len(means))
    return "".join(" " if np.isnan(value) else _BARS[min(7, int(value * 8))] for value in height)


def draw_classes(cases: Collection, title: str, path: Path) -> None:
    """Draws a panel for each class: some of its cases, and their mean. Only the first channel is drawn.

    Raises:
        OSError: the file cannot be written.
        ValueError: matplotlib does not support the format.
    """
    labels = list(map(str, cases.classes))
    shown = labels[:MAX_PANELS]
    columns = min(4, len(shown))
    rows = -(-len(shown) // columns)
    figure, axes = _panels(rows, columns)
    for axis, label in zip(axes, shown, strict=False):
        chosen = np.flatnonzero(cases.labels == label)
        for case in chosen[:MAX_CASES]:
            axis.plot(cases.values[case, 0, : cases.lengths[case]], color=GREY, linewidth=0.6, alpha=0.8)
        axis.plot(mean_of_class(cases, label), color=BLUE, linewidth=1.8)
        axis.set_title(
            f"{plain(label)}  ({len(chosen)} {'case' if len(chosen) == 1 else 'cases'})", fontsize=9, loc="left"
        )
    for axis in axes[len(shown) :]:
        axis.set_visible(False)
    more = f", {len(labels) - len(shown)} more classes" if len(labels) > len(shown) else ""
    of = f", {plain(cases.channel_name(0))} of {cases.channels}" if cases.channels > 1 else ""
    figure.suptitle(f"{plain(title)}: mean (blue) and at most {MAX_CASES} training cases{of}{more}", fontsize=11)
    figure.supxlabel("time step", fontsize=9)
    figure.savefig(path, dpi=150)


def draw_inspection(parts: Mapping[str, Collection], title: str, path: Path) -> None:
    """Draws what `tsbench datasets check` reports: cases by class, lengths, and some cases of each class.

    Raises:
        OSError: the file cannot be written.
        ValueError: matplotlib does not support the format.
    """
    figure, axes = _panels(1, 3, height=3.2)
    colours = dict(zip(parts, (BLUE, ORANGE), strict=False))
    names = sorted({str(label) for cases in parts.values() for label in cases.classes})
    width = 0.8 / len(parts)
    lengths = np.concatenate([cases.lengths for cases in parts.values()])
    low, high = int(lengths.min()) - 2, int(lengths.max()) + 3
    edges = np.linspace(low, high, min(high - low, 30) + 1) - 0.5
    for number, (name, cases) in enumerate(parts.items()):
        counts = [int((cases.labels == label).sum()) for label in names]
        place = np.arange(len(names)) + (number - (len(parts) - 1) / 2) * width
        axes[0].bar(place, counts, width, color=colours[name], label=name)
        axes[1].hist(cases.lengths, bins=edges, color=colours[name], alpha=0.7, label=name)
    axes[1].locator_params(axis="x", integer=True)
    axes[0].set_ylabel("cases", fontsize=8)
    step = -(-len(names) // 20)
    axes[0].set_xticks(
        range(0, len(names), step), list(map(plain, names[::step])), rotation=90 if len(names) > 6 else 0, fontsize=8
    )
    axes[0].set_title("cases of each class", fontsize=9, loc="left")
    axes[1].set_title("lengths in time steps", fontsize=9, loc="left")
    first = next(iter(parts.values()))
    axes[2].set_title(f"mean of each class, {plain(first.channel_name(0))}", fontsize=9, loc="left")
    for label in list(map(str, first.classes))[:10]:
        axes[2].plot(mean_of_class(first, label), linewidth=1.2, label=legend_text(label))
    axes[2].legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    axes[2].set_xlabel("time step", fontsize=8)
    if len(parts) > 1:
        axes[0].legend(fontsize=8, frameon=False)
    figure.suptitle(plain(title), fontsize=11)
    figure.savefig(path, dpi=150)


def _panels(rows: int, columns: int, height: float = 1.9) -> tuple[Any, list[Any]]:
    figure = new_figure(3.2 * columns + 0.4, height * rows + 0.9, layout="constrained")
    axes = [figure.add_subplot(rows, columns, number + 1) for number in range(rows * columns)]
    for axis in axes:
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes
