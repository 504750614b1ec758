"""Plots of a comparison, drawn by matplotlib without a display."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tsbench.comparisons.comparison import Comparison
from tsbench.comparisons.formatting import fixed
from tsbench.comparisons.pair_plots import comparison_matrix, critical_difference, pairwise_scatter
from tsbench.comparisons.plot_style import GREY, INK, RULE, bare, colour, footnote, name_of, white_figure
from tsbench.recipe.messages import count_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["PICTURES", "Picture", "render", "save_pictures"]


def render(figure: Figure, form: str, dpi: int = 150) -> bytes:
    """A figure as `png` or `svg`; the same figure gives the same bytes."""
    import matplotlib

    buffer = io.BytesIO()
    metadata = {"Date": None} if form == "svg" else {"Software": None}
    with matplotlib.rc_context({"svg.hashsalt": "tsbench"}):
        figure.savefig(buffer, format=form, dpi=dpi, metadata=metadata)
    return buffer.getvalue()


def save_pictures(comparison: Comparison, folder: Path) -> list[Path]:
    """Writes each plot that can be drawn as PNG and SVG to a folder, and returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, picture in PICTURES.items():
        if picture.lacks(comparison):
            continue
        figure = picture.draw(comparison)
        for form in ("png", "svg"):
            path = folder / f"{name}.{form}"
            path.write_bytes(render(figure, form))
            files.append(path)
    return files


# Accuracy against fit time


def accuracy_against_time(comparison: Comparison) -> Figure:
    """Mean score against the geometric mean of the seconds to fit, on a logarithmic axis."""
    seconds = comparison.fit_seconds
    known = np.flatnonzero(~np.isnan(seconds))
    means = comparison.complete_scores.mean(axis=0)
    height = max(3.6, 0.27 * len(known) + 1.3)
    figure = white_figure(8.0, height)
    axes = figure.add_axes((0.09, 0.75 / height, 0.61, (height - 1.0) / height))
    axes.set_xscale("log")
    colours = [colour(comparison, comparison.classifiers[column]) for column in known]
    axes.scatter(seconds[known], means[known], s=38, c=colours, zorder=3, linewidths=0)
    low, high = float(means[known].min()), float(means[known].max())
    margin = max(0.08 * (high - low), 0.002)
    axes.set_ylim(low - margin, high + margin)
    smallest, largest = float(seconds[known].min()), float(seconds[known].max())
    axes.set_xlim(smallest / 1.8, largest * 1.8)
    axes.grid(color=RULE, lw=0.6, which="major")
    axes.set_axisbelow(True)
    bare(axes)
    axes.set_xlabel("seconds to fit (geometric mean over data sets, one core)", fontsize=9)
    axes.set_ylabel(f"mean {comparison.words}", fontsize=9)
    _labels_at_the_side(axes, comparison, known, means, seconds, height)
    footnote(
        comparison,
        figure,
        dagger="Published classifiers are left out: their fit times were measured on other machines.",
    )
    return figure


def _labels_at_the_side(
    axes: Axes, comparison: Comparison, known: Any, means: Any, seconds: Any, height: float
) -> None:
    """Names in a column on the right, in the order of their scores and joined to their points, without overlap."""
    order = known[np.argsort(-means[known], kind="stable")]
    low, high = axes.get_ylim()
    gap = 0.24 / (axes.get_position().height * height)  # of the axis, for one line
    wanted = [(means[column] - low) / (high - low) for column in order]
    places = _apart(wanted, gap)
    for column, y in zip(order, places, strict=True):
        name = comparison.classifiers[column]
        axes.annotate(
            f"{name_of(comparison, name)}  {fixed(means[column])}",
            xy=(seconds[column], means[column]),
            xytext=(1.04, y),
            textcoords="axes fraction",
            va="center",
            fontsize=8.5,
            color=colour(comparison, name),
            fontweight="bold" if name == comparison.control else "normal",
            arrowprops={"arrowstyle": "-", "color": GREY, "lw": 0.5, "shrinkA": 1, "shrinkB": 2},
        )


def _apart(wanted: Sequence[float], gap: float) -> list[float]:
    """Descending positions near the wanted ones, at least a gap apart if they fit into 0 to 1."""
    gap = min(gap, 1 / max(1, len(wanted) - 1))
    places: list[float] = []
    for place in wanted:
        places.append(min(place, places[-1] - gap) if places else min(place, 1.0))
    floor = 0.0
    for number in range(len(places) - 1, -1, -1):
        places[number] = max(places[number], floor)
        floor = places[number] + gap
    return places


# Resamples


def resample_boxes(comparison: Comparison) -> Figure:
    """Boxes over data sets and resamples: the score, or with several data sets its difference from the set's mean."""
    names, values, complete = _by_resample(comparison)
    several = len(complete) > 1
    deviations = values - values.mean(axis=(1, 2), keepdims=True) if several else values
    order = np.argsort(
        -comparison.sign * np.median(deviations.reshape(len(complete), len(names), -1), axis=(0, 2)), kind="stable"
    )
    height = 0.3 * len(names) + 1.35
    figure = white_figure(8.0, max(height, 2.2))
    height = float(figure.get_figheight())
    axes = figure.add_axes((0.24, 0.8 / height, 0.72, (height - 1.0) / height))
    boxes = axes.boxplot(
        [deviations[:, column, :].ravel() for column in order],
        orientation="horizontal",
        widths=0.6,
        patch_artist=True,
        medianprops={"color": INK, "lw": 1.4},
        flierprops={"marker": ".", "markersize": 3, "markerfacecolor": GREY, "markeredgecolor": "none"},
        whiskerprops={"color": GREY},
        capprops={"color": GREY},
    )
    for patch, column in zip(boxes["boxes"], order, strict=True):
        patch.set(facecolor=colour(comparison, names[column]), alpha=0.45, edgecolor=INK, linewidth=0.7)
    axes.set_yticks(range(1, len(names) + 1), [name_of(comparison, names[column]) for column in order])
    axes.invert_yaxis()
    axes.grid(axis="x", color=RULE, lw=0.6)
    axes.set_axisbelow(True)
    bare(axes)
    axes.set_xlabel(
        f"{comparison.words} less the data set's mean over classifiers and resamples" if several else comparison.words,
        fontsize=9,
    )
    boxes_of = f"Boxes: {values.shape[2]} resamples of {count_of(len(complete), 'data set')}"
    footnote(comparison, figure, f"{boxes_of}; median, quartiles, whiskers of 1.5 quartile ranges.")
    return figure


def _by_resample(comparison: Comparison) -> tuple[list[str], Any, list[str]]:
    """The classifiers known on every resample of every complete data set; shape (data sets, classifiers, resamples)."""
    complete = [name for name, kept in zip(comparison.datasets, comparison.complete, strict=True) if kept]
    count = len(comparison.results.protocol)
    found = {
        label: [list(comparison.columns[label].by_resample(dataset).values()) for dataset in complete]
        for label in comparison.classifiers
    }
    names = [label for label, each in found.items() if complete and all(len(scores) == count for scores in each)]
    values = np.array([found[label] for label in names], dtype=np.float64)
    return names, values.transpose(1, 0, 2) if names else values, complete


# The registry


@dataclass(frozen=True)
class Picture:
    """A plot of a comparison.

    Attributes:
        title: its heading.
        draw: makes it.
        lacks: why it cannot be drawn; empty if it can.
    """

    title: str
    draw: Callable[[Comparison], Figure]
    lacks: Callable[[Comparison], str]


def _lacks_pairs(comparison: Comparison) -> str:
    if len(comparison.classifiers) < 2:
        return "there are no two classifiers to compare"
    return "" if comparison.complete.any() else "there is no data set for which every classifier has a score"


def _lacks_times(comparison: Comparison) -> str:
    if not comparison.complete.any():
        return "there is no data set for which every classifier has a score"
    return "" if (~np.isnan(comparison.fit_seconds)).sum() > 1 else "there are no two classifiers of known fit time"


def _lacks_resamples(comparison: Comparison) -> str:
    if len(comparison.results.protocol) < 3:
        return "there are fewer than three resamples; see evaluation.resamples"
    return "" if _by_resample(comparison)[0] else "no classifier is known on each resample of a complete data set"


PICTURES = {
    "critical_difference": Picture("Critical difference diagram", critical_difference, _lacks_pairs),
    "comparison_matrix": Picture("Multi-comparison matrix", comparison_matrix, _lacks_pairs),
    "pairwise_scatter": Picture("Scores by data set", pairwise_scatter, _lacks_pairs),
    "accuracy_against_time": Picture("Score against fit time", accuracy_against_time, _lacks_times),
    "resample_boxes": Picture("Spread over resamples", resample_boxes, _lacks_resamples),
}
"""The plots by the names of their files."""
