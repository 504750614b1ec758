"""The style of a comparison's plots; colours of Okabe and Ito, distinguishable with colour blindness."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsbench.comparisons.comparison import Comparison
from tsbench.comparisons.wording import capitalise, legend, marked, protocol
from tsbench.drawing import new_figure, plain
from tsbench.recipe.messages import count_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["GREEN", "GREY", "INK", "ORANGE", "RULE", "bare", "colour", "footnote", "name_of", "white_figure"]

INK, GREY, RULE = "#1a1a1a", "#6e6e6e", "#d9d9d9"
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"


def colour(comparison: Comparison, classifier: str) -> str:
    """The colour of a classifier: references have another colour than own results."""
    return ORANGE if classifier in comparison.published else BLUE


def white_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches."""
    return new_figure(width, height, facecolor="white")


def name_of(comparison: Comparison, label: str) -> str:
    """A classifier's name with its mark, in drawable characters."""
    return plain(marked(comparison, label))


def footnote(comparison: Comparison, figure: Figure, text: str = "", dagger: str = "") -> None:
    """The footnote of a plot; `dagger` replaces the meaning of the marks."""
    marks = legend(comparison) and (dagger or legend(comparison))
    sets = count_of(comparison.statistics.pairs.count, "data set")
    said = " ".join(filter(None, (f"{capitalise(protocol(comparison))}; {sets}.", text, marks)))
    figure.text(0.01, 0.01, plain(said), fontsize=7.5, color=GREY, va="bottom", wrap=True)


def bare(axes: Axes) -> None:
    """Keeps only the left and lower line of the frame, in grey."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(GREY)
    axes.tick_params(colors=INK, labelsize=8.5)
