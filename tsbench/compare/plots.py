"""Pictures of a comparison, drawn by matplotlib without a display; colours of Okabe and Ito, told apart by all."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tsbench.compare.comparison import Comparison
from tsbench.compare.formatting import fixed, format_p, signed
from tsbench.compare.wording import capitalise, cautions, legend, marked, protocol
from tsbench.drawing import new_figure, plain
from tsbench.recipe.messages import count_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["PICTURES", "Picture", "render", "save_pictures"]

INK, GREY, RULE = "#1a1a1a", "#6e6e6e", "#d9d9d9"
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
OURS, THEIRS = BLUE, ORANGE
MAX_PANELS = 24


def render(figure: Figure, form: str, dpi: int = 150) -> bytes:
    """A figure as `png` or `svg`; the same figure gives the same bytes."""
    import matplotlib

    buffer = io.BytesIO()
    metadata = {"Date": None} if form == "svg" else {"Software": None}
    with matplotlib.rc_context({"svg.hashsalt": "tsbench"}):
        figure.savefig(buffer, format=form, dpi=dpi, metadata=metadata)
    return buffer.getvalue()


def save_pictures(comparison: Comparison, folder: Path) -> list[Path]:
    """Writes each picture that can be drawn as PNG and SVG into a folder, and returns the files."""
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


def _colour(comparison: Comparison, classifier: str) -> str:
    return THEIRS if comparison.is_published(classifier) else OURS


def _new(width: float, height: float) -> Figure:
    return new_figure(width, height, facecolor="white")


def _name(comparison: Comparison, label: str) -> str:
    """A classifier's name with its mark, as it can be drawn."""
    return plain(marked(comparison, label))


def _footnote(comparison: Comparison, figure: Figure, text: str = "", dagger: str = "") -> None:
    """What every picture must say of itself, below it; `dagger` in place of what the marks mean."""
    marks = legend(comparison) and (dagger or legend(comparison))
    sets = count_of(comparison.pairs.count, "data set")
    said = " ".join(filter(None, (f"{capitalise(protocol(comparison))}; {sets}.", text, marks)))
    figure.text(0.01, 0.01, plain(said), fontsize=7.5, color=GREY, va="bottom", wrap=True)


def _bare(axes: Axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(GREY)
    axes.tick_params(colors=INK, labelsize=8.5)


# Critical difference


def critical_difference(comparison: Comparison) -> Figure:
    """Average ranks on a line, the best at the right; bars join classifiers of which no two differ significantly."""
    ranks, count = comparison.ranks, len(comparison.classifiers)
    order = np.argsort(ranks, kind="stable")
    right = order[: (count + 1) // 2]  # the better half, whose labels stand at the right
    left = order[(count + 1) // 2 :][::-1]
    cliques = comparison.cliques
    lanes = _lanes([(ranks[clique[0]], ranks[clique[-1]]) for clique in cliques])
    depth = 0.45 + 0.24 * (max(lanes, default=-1) + 1)  # where the first label stands, in inches below the line
    height = 0.75 + depth + 0.27 * len(right) + 0.45
    figure = _new(9.5, height)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    low, high = int(np.floor(ranks.min())), int(np.ceil(ranks.max()))
    high = max(high, low + 1)
    at_right, at_left = 6.35, 3.15  # inches between which the line stands

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
    # The rows at the left stand half a line lower, so that no two classifiers' lines meet.
    for columns, edge, text_at, align, shift in ((right, 6.75, 6.85, "left", 0.0), (left, 2.75, 2.65, "right", 0.135)):
        for row, column in enumerate(columns):
            name = comparison.classifiers[column]
            y, x = -depth - 0.27 * row - shift, place(ranks[column])
            axes.plot([x, x, edge], [0, y, y], color=GREY, lw=0.8, solid_joinstyle="miter")
            text = f"{_name(comparison, name)}  {fixed(ranks[column], 2)}" if align == "left" else ""
            text = text or f"{fixed(ranks[column], 2)}  {_name(comparison, name)}"
            weight = "bold" if name == comparison.control else "normal"
            colour = _colour(comparison, name)
            axes.text(text_at, y, text, ha=align, va="center", fontsize=9, color=colour, fontweight=weight)
    for clique, lane in zip(cliques, lanes, strict=True):
        y = -0.22 - 0.24 * lane
        ends = [place(ranks[clique[0]]) + 0.05, place(ranks[clique[-1]]) - 0.05]
        axes.plot(ends, [y, y], color=INK, lw=4.5, solid_capstyle="round")
    test = f"Joined: no two differ at {comparison.alpha:g} (Wilcoxon signed-rank, Holm)."
    if cautions(comparison):
        test += " With so few data sets no difference could be significant."
    _footnote(comparison, figure, test)
    return figure


def _lanes(spans: Sequence[tuple[float, float]]) -> list[int]:
    """The lowest line for each bar on which it meets no other."""
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
    pairs, labels = comparison.pairs, comparison.classifiers
    order = np.argsort(comparison.ranks, kind="stable")
    count = len(labels)
    side = max(0.82 * count, 3.0)
    left, bottom, top = 2.1, 0.5, 1.3
    width, height = left + side + 1.0, bottom + side + top
    figure = _new(width, height)
    axes = figure.add_axes((left / width, bottom / height, side / width, side / height))
    differences = pairs.mean_difference[np.ix_(order, order)]
    # One poor classifier must not take the colour from all others.
    limit = max(float(np.quantile(np.abs(differences), 0.85)), 1e-4)
    image = axes.imshow(
        differences, cmap="RdBu" if comparison.sign > 0 else "RdBu_r", vmin=-limit, vmax=limit, aspect="equal"
    )
    for i, row in enumerate(order):
        for j, column in enumerate(order):
            if row != column:
                _cell(axes, comparison, (i, j), (row, column), limit)
    means = comparison.complete_scores.mean(axis=0)
    names = [_name(comparison, labels[column]) for column in order]
    texts = [f"{name}\n{fixed(means[column])}" for name, column in zip(names, order, strict=True)]
    axes.set_yticks(range(count), texts, fontsize=8.5)
    axes.set_xticks(range(count), names, fontsize=8.5, rotation=40, ha="left", rotation_mode="anchor")
    axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    bar = figure.add_axes(((left + side + 0.2) / width, bottom / height, 0.14 / width, side / height))
    figure.colorbar(image, cax=bar, extend="both").ax.tick_params(labelsize=7.5)
    test = "Row less column: mean difference, wins/ties/losses, Wilcoxon-Holm p; bold where p"
    _footnote(comparison, figure, f"{test} \u2264 {comparison.alpha:g}.")
    return figure


def _cell(axes: Axes, comparison: Comparison, at: tuple[int, int], pair: tuple[np.intp, np.intp], limit: float) -> None:
    pairs, (row, column) = comparison.pairs, pair
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
        fontweight="bold" if comparison.differs[row, column] else "normal",
    )


# Pairwise scatter


def pairwise_scatter(comparison: Comparison) -> Figure:
    """The control's score against each other classifier's, one point a data set, with the line of equal scores."""
    others = [standing.classifier for standing in comparison.standings if standing.classifier != comparison.control][
        :MAX_PANELS
    ]
    columns = min(4, len(others))
    lines = -(-len(others) // columns)
    width, height = max(2.55 * columns + 0.5, 4.2), 2.75 * lines + 0.75
    figure = _new(width, height)
    scores = comparison.complete_scores
    control = scores[:, comparison.classifiers.index(comparison.control)]
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
    _footnote(comparison, figure, f"{side} the line {_name(comparison, comparison.control)} is better.")
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
    for wins, colour, marker in (
        (comparison.sign * (control - other) > 0, GREEN, "^"),
        (comparison.sign * (control - other) < 0, ORANGE, "v"),
        (control == other, INK, "o"),
    ):
        axes.scatter(other[wins], control[wins], s=16, c=colour, marker=marker, alpha=0.75, linewidths=0)
    margin = 0.02 * max(1.0, span[1])
    axes.set_xlim(span[0], span[1] + margin)
    axes.set_ylim(span[0], span[1] + margin)
    axes.set_aspect("equal")
    _bare(axes)
    axes.tick_params(labelsize=7)
    axes.set_xlabel(_name(comparison, name), fontsize=8, color=INK, labelpad=2)
    axes.set_ylabel(_name(comparison, comparison.control), fontsize=8, color=INK, labelpad=2)
    against = comparison.classifiers.index(comparison.control)
    pairs = comparison.pairs
    counts = f"{pairs.wins[against, column]}/{pairs.ties[against, column]}/{pairs.losses[against, column]}"
    axes.set_title(f"{counts}, p {format_p(float(pairs.p_holm[against, column]))}", fontsize=8, color=INK, pad=4)


# Accuracy against fit time


def accuracy_against_time(comparison: Comparison) -> Figure:
    """Mean score against the geometric mean of the seconds to fit, on a logarithmic axis."""
    seconds = comparison.fit_seconds
    known = np.flatnonzero(~np.isnan(seconds))
    means = comparison.complete_scores.mean(axis=0)
    height = max(3.6, 0.27 * len(known) + 1.3)
    figure = _new(8.0, height)
    axes = figure.add_axes((0.09, 0.75 / height, 0.61, (height - 1.0) / height))
    axes.set_xscale("log")
    colours = [_colour(comparison, comparison.classifiers[column]) for column in known]
    axes.scatter(seconds[known], means[known], s=38, c=colours, zorder=3, linewidths=0)
    low, high = float(means[known].min()), float(means[known].max())
    margin = max(0.08 * (high - low), 0.002)
    axes.set_ylim(low - margin, high + margin)
    smallest, largest = float(seconds[known].min()), float(seconds[known].max())
    axes.set_xlim(smallest / 1.8, largest * 1.8)
    axes.grid(color=RULE, lw=0.6, which="major")
    axes.set_axisbelow(True)
    _bare(axes)
    axes.set_xlabel("seconds to fit (geometric mean over data sets, one core)", fontsize=9)
    axes.set_ylabel(f"mean {comparison.words}", fontsize=9)
    _labels_at_the_side(axes, comparison, known, means, seconds, height)
    _footnote(comparison, figure, dagger="Published classifiers are left out: their fit times are of other machines.")
    return figure


def _labels_at_the_side(
    axes: Axes, comparison: Comparison, known: Any, means: Any, seconds: Any, height: float
) -> None:
    """Names in a column at the right, in the order of their scores, each joined to its point: they never overlap."""
    order = known[np.argsort(-means[known], kind="stable")]
    low, high = axes.get_ylim()
    gap = 0.24 / (axes.get_position().height * height)  # of the axis, for one line
    wanted = [(means[column] - low) / (high - low) for column in order]
    places = _apart(wanted, gap)
    for column, y in zip(order, places, strict=True):
        name = comparison.classifiers[column]
        axes.annotate(
            f"{_name(comparison, name)}  {fixed(means[column])}",
            xy=(seconds[column], means[column]),
            xytext=(1.04, y),
            textcoords="axes fraction",
            va="center",
            fontsize=8.5,
            color=_colour(comparison, name),
            fontweight="bold" if name == comparison.control else "normal",
            arrowprops={"arrowstyle": "-", "color": GREY, "lw": 0.5, "shrinkA": 1, "shrinkB": 2},
        )


def _apart(wanted: Sequence[float], gap: float) -> list[float]:
    """Falling places near those wanted, at least a gap apart, as far as they fit into 0 to 1."""
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
    figure = _new(8.0, max(height, 2.2))
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
        patch.set(facecolor=_colour(comparison, names[column]), alpha=0.45, edgecolor=INK, linewidth=0.7)
    axes.set_yticks(range(1, len(names) + 1), [_name(comparison, names[column]) for column in order])
    axes.invert_yaxis()
    axes.grid(axis="x", color=RULE, lw=0.6)
    axes.set_axisbelow(True)
    _bare(axes)
    axes.set_xlabel(
        f"{comparison.words} less the data set's mean over classifiers and resamples" if several else comparison.words,
        fontsize=9,
    )
    boxes_of = f"Boxes: {values.shape[2]} resamples of {count_of(len(complete), 'data set')}"
    _footnote(comparison, figure, f"{boxes_of}; median, quartiles, whiskers of 1.5 quartile ranges.")
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
    """A picture of a comparison.

    Attributes:
        title: its heading.
        draw: makes it.
        lacks: why it cannot be drawn; empty where it can.
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
"""The pictures by the names of their files."""
