"""Figures that draw text literally, whatever the names of classes and data sets contain.

matplotlib reads `$...$` as a formula, and draws an empty box for a letter that its font lacks. Here a `$` is a `$`, a
letter is drawn in the first installed font that has it, and one that no font has is written by its code point.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["legend_text", "new_figure", "plain"]


def new_figure(width: float, height: float, **options: Any) -> Figure:
    """An empty figure for files, without pyplot.

    Args:
        width: in inches.
        height: in inches.
        **options: of `matplotlib.figure.Figure`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure: Figure = _figure_class()(figsize=(width, height), **options)
    FigureCanvasAgg(figure)
    return figure


def plain(text: object) -> str:
    """A text for a figure: letters that no installed font has, and control characters, by their code points."""
    return "".join(
        letter
        if letter == "\n" or (letter.isprintable() and _font_with(letter) is not None)
        else f"<U+{ord(letter):04X}>"
        for letter in str(text)
    )


def legend_text(text: object) -> str:
    """A text for a legend, from which matplotlib would leave out what begins with an underscore."""
    shown = plain(text)
    return f" {shown}" if shown.startswith("_") else shown


@cache
def _figure_class() -> type[Figure]:
    from matplotlib.figure import Figure
    from matplotlib.text import Text
    from matplotlib.ticker import LogFormatter, LogFormatterMathtext

    class PlainLogFormatter(LogFormatter):
        """Labels the ticks that matplotlib would label, by numbers instead of formulas."""

        def __call__(self, x: float, pos: int | None = None) -> str:
            return f"{x:g}" if super().__call__(x, pos) else ""

    class PlainFigure(Figure):
        """A figure that prepares its texts each time before it is drawn, when the labels of its axes are known."""

        def draw(self, renderer: Any) -> None:
            for axes in self.axes:
                for axis in (axes.xaxis, axes.yaxis):
                    if isinstance(usual := axis.get_major_formatter(), LogFormatterMathtext):
                        axis.set_major_formatter(PlainLogFormatter(labelOnlyBase=usual.labelOnlyBase))
                    if isinstance(usual := axis.get_minor_formatter(), LogFormatterMathtext):
                        axis.set_minor_formatter(PlainLogFormatter(labelOnlyBase=usual.labelOnlyBase))
                    axis.get_ticklabels(which="both")  # creates the ticks that will be drawn
            texts = [artist for artist in self.findobj(Text) if isinstance(artist, Text)]
            fonts = [_font_with(letter) for letter in sorted(set("".join(text.get_text() for text in texts)))]
            further = list(dict.fromkeys(font for font in fonts if font))
            for text in texts:
                text.set_parse_math(False)
                if further:
                    text.set_fontfamily([*_families(), *further])
            super().draw(renderer)

    return PlainFigure


def _families() -> list[str]:
    import matplotlib as mpl

    return list(mpl.rcParams["font.family"])


@cache
def _font_with(letter: str) -> str | None:
    """The first installed font that has a letter: empty for the usual one, None if there is none."""
    from matplotlib import font_manager

    if letter.isspace():
        return ""
    usual = font_manager.findfont(font_manager.FontProperties())
    if _has(usual, letter):
        return ""
    for entry in font_manager.fontManager.ttflist:
        # matplotlib ships one that has a box for every letter.
        if not entry.name.startswith("Last Resort") and _has(entry.fname, letter):
            return str(entry.name)
    return None


@cache
def _letters(path: str) -> frozenset[int]:
    from matplotlib import font_manager

    try:
        return frozenset(font_manager.get_font(path).get_charmap())
    except (OSError, RuntimeError):  # FreeType cannot read this font file
        return frozenset()


def _has(path: str, letter: str) -> bool:
    return ord(letter) in _letters(path)
