"""Plots of a comparison's pairs: which classifiers differ, by how much, and on which data sets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tsbench.comparisons.comparison import Comparison
from tsbench.comparisons.formatting import fixed, format_p, signed
from tsbench.comparisons.plot_style import GREEN, GREY, INK, ORANGE, bare, colour, footnote, name_of, white_figure
from tsbench.comparisons.wording import cautions

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["comparison_matrix", "critical_difference", "pairwise_scatter"]

MAX_PANELS = 24


def critical_difference(comparison: Comparison) -> Figure:
    """Average ranks on a line, the best at the right; bars join classifiers of which no two differ significantly."""
    ranks, count = comparison.statistics.ranks, len(comparison.classifiers)
    order = np.argsort(ranks, kind="stable")
    right = order[: (count + 1) // 2]  # the better half, labelled on the right
    left = order[(count + 1) // 2 :][::-1]
    cliques = comparison.statistics.cliques
    lanes = _lanes([(ranks[clique[0]], ranks[clique[-1]]) for clique in cliques])
    depth = 0.45 + 0.24 * (max(lanes, default=-1) + 1)  # position of the first label, in inches below the line
    height = 0.75 + depth + 0.27 * len(right) + 0.45
    figure = white_figure(9.5, height)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    low, high = int(np.floor(ranks.min())), int(np.ceil(ranks.max()))
    high = max(high, low + 1)
    at_right, at_left = 6.35, 3.15  # ends of the line in inches

    def place(rank: float) -> float:
        return float(at_right - (rank - low) / (high - low) * (at_right - at_left))

    axes.set_xlim(0, 9.5)
    axes.set_ylim(-height + 0.75, 0.75)
    axes.axis("off")
    axes.plot([place(high), place(low)], [0, 0], color=INK, lw=1.2)
    step = max(1, -(-(high - low) // 12))
    for tick in range(low, high + 1, step):
        axes.plot([place(tick)] * 2, [0, 0.09], color=INK, lw=1.2)
        axes.text(place(tick), 0.14, str(tick), ha="center", va="bottom", fontsize=9, color=INK)
    axes.text(place((low + high) / 2), 0.42, "average rank", ha="center", va="bottom", fontsize=9, color=GREY)
    # The rows on the left are half a line lower, so that no two classifiers' lines meet.
    for columns, edge, text_at, align, shift in ((right, 6.75, 6.85, "left", 0.0), (left, 2.75, 2.65, "right", 0.135)):
        for row, column in enumerate(columns):
            name = comparison.classifiers[column]
            y, x = -depth - 0.27 * row - shift, place(ranks[column])
            axes.plot([x, x, edge], [0, y, y], color=GREY, lw=0.8, solid_joinstyle="miter")
            text = f"{name_of(comparison, name)}  {fixed(ranks[column], 2)}" if align == "left" else ""
            text = text or f"{fixed(ranks[column], 2)}  {name_of(comparison, name)}"
            weight = "bold" if name == comparison.control else "normal"
            shade = colour(comparison, name)
            axes.text(text_at, y, text, ha=align, va="center", fontsize=9, color=shade, fontweight=weight)
    for clique, lane in zip(cliques, lanes, strict=True):
        y = -0.22 - 0.24 * lane
        ends = [place(ranks[clique[0]]) + 0.05, place(ranks[clique[-1]]) - 0.05]
        axes.plot(ends, [y, y], color=INK, lw=4.5, solid_capstyle="round")
    test = f"Joined: no two differ at {comparison.alpha:g} (Wilcoxon signed-rank, Holm)."
    if cautions(comparison):
        test += " With so few data sets no difference could be significant."
    footnote(comparison, figure, test)
    return figure


def _lanes(spans: Sequence[tuple[float, float]]) -> list[int]:
    """The lowest line for each bar on which it overlaps no other."""
    lanes: list[int] = []
    for number, (low, high) in enumerate(spans):
        taken = {
            lanes[other]
            for other, (begin, end) in enumerate(spans[:number])
            if begin <= high + 0.1 and low <= end + 0.1
        }
        lanes.append(next(lane for lane in range(len(spans)) if lane not in taken))
    return lanes


# Multi-comparison matrix


def comparison_matrix(comparison: Comparison) -> Figure:
    """Mean differences of every pair, with wins, ties, losses and p (Ismail-Fawaz et al. 2023, with Holm's p)."""
    pairs, labels = comparison.statistics.pairs, comparison.classifiers
    order = np.argsort(comparison.statistics.ranks, kind="stable")
    count = len(labels)
    side = max(0.82 * count, 3.0)
    left, bottom, top = 2.1, 0.5, 1.3
    width, height = left + side + 1.0, bottom + side + top
    figure = white_figure(width, height)
    axes = figure.add_axes((left / width, bottom / height, side / width, side / height))
    differences = pairs.mean_difference[np.ix_(order, order)]
    # One poor classifier must not dominate the colour scale.
    limit = max(float(np.quantile(np.abs(differences), 0.85)), 1e-4)
    image = axes.imshow(
        differences, cmap="RdBu" if comparison.sign > 0 else "RdBu_r", vmin=-limit, vmax=limit, aspect="equal"
    )
    for i, row in enumerate(order):
        for j, column in enumerate(order):
            if row != column:
                _cell(axes, comparison, (i, j), (row, column), limit)
    means = comparison.complete_scores.mean(axis=0)
    names = [name_of(comparison, labels[column]) for column in order]
    texts = [f"{name}\n{fixed(means[column])}" for name, column in zip(names, order, strict=True)]
    axes.set_yticks(range(count), texts, fontsize=8.5)
    axes.set_xticks(range(count), names, fontsize=8.5, rotation=40, ha="left", rotation_mode="anchor")
    axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    bar = figure.add_axes(((left + side + 0.2) / width, bottom / height, 0.14 / width, side / height))
    figure.colorbar(image, cax=bar, extend="both").ax.tick_params(labelsize=7.5)
    test = "Row less column: mean difference, wins/ties/losses, Wilcoxon-Holm p; bold where p"
    footnote(comparison, figure, f"{test} \u2264 {comparison.alpha:g}.")
    return figure


def _cell(axes: Axes, comparison: Comparison, at: tuple[int, int], pair: tuple[np.intp, np.intp], limit: float) -> None:
    pairs, (row, column) = comparison.statistics.pairs, pair
    difference = pairs.mean_difference[row, column]
    wins, ties, losses = pairs.wins[row, column], pairs.ties[row, column], pairs.losses[row, column]
    p = format_p(float(pairs.p_holm[row, column])).replace("= ", "").replace("< ", "<")
    axes.text(
        at[1],
        at[0],
        f"{signed(difference)}\n{wins}/{ties}/{losses}\n{p}",
        ha="center",
        va="center",
        fontsize=7,
        linespacing=1.25,
        color="white" if abs(difference) > 0.62 * limit else INK,
        fontweight="bold" if comparison.statistics.differs[row, column] else "normal",
    )


# Pairwise scatter


def pairwise_scatter(comparison: Comparison) -> Figure:
    """The control's score against each other classifier's, one point per data set, with the line of equal scores."""
    others = [standing.classifier for standing in comparison.standings if standing.classifier != comparison.control][
        :MAX_PANELS
    ]
    columns = min(4, len(others))
    lines = -(-len(others) // columns)
    width, height = max(2.55 * columns + 0.5, 4.2), 2.75 * lines + 0.75
    figure = white_figure(width, height)
    scores = comparison.complete_scores
    control = scores[:, comparison.control_column]
    span = _span(comparison, scores)
    for number, name in enumerate(others):
        row, column = divmod(number, columns)
        axes = figure.add_axes(
            (
                (0.5 + 2.55 * column + 0.12) / width,
                (height - 2.75 * (row + 1) + 0.35) / height,
                2.0 / width,
                2.0 / height,
            )
        )
        _panel(axes, comparison, name, control, span)
    side = "Above" if comparison.sign > 0 else "Below"
    footnote(comparison, figure, f"{side} the line {name_of(comparison, comparison.control)} is better.")
    return figure


def _span(comparison: Comparison, scores: Any) -> tuple[float, float]:
    """The ends of the axes: up to 1, or for a metric without an upper bound up to the largest score."""
    low = max(0.0, float(np.floor(scores.min() * 20) / 20) - 0.02)
    high = 1.0 if comparison.metric != "log_loss" else max(float(np.ceil(scores.max() * 20) / 20), low + 0.05)
    return low, high


def _panel(axes: Axes, comparison: Comparison, name: str, control: Any, span: tuple[float, float]) -> None:
    column = comparison.classifiers.index(name)
    other = comparison.complete_scores[:, column]
    axes.plot(span, span, color=GREY, lw=0.9)
    for wins, shade, marker in (
        (comparison.sign * (control - other) > 0, GREEN, "^"),
        (comparison.sign * (control - other) < 0, ORANGE, "v"),
        (control == other, INK, "o"),
    ):
        axes.scatter(other[wins], control[wins], s=16, c=shade, marker=marker, alpha=0.75, linewidths=0)
    margin = 0.02 * max(1.0, span[1])
    axes.set_xlim(span[0], span[1] + margin)
    axes.set_ylim(span[0], span[1] + margin)
    axes.set_aspect("equal")
    bare(axes)
    axes.tick_params(labelsize=7)
    axes.set_xlabel(name_of(comparison, name), fontsize=8, color=INK, labelpad=2)
    axes.set_ylabel(name_of(comparison, comparison.control), fontsize=8, color=INK, labelpad=2)
    against = comparison.control_column
    pairs = comparison.statistics.pairs
    counts = f"{pairs.wins[against, column]}/{pairs.ties[against, column]}/{pairs.losses[against, column]}"
    axes.set_title(f"{counts}, p {format_p(float(pairs.p_holm[against, column]))}", fontsize=8, color=INK, pad=4)
