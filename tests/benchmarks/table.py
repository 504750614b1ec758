"""The rows of the benchmark table."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Row", "markdown"]


@dataclass(frozen=True)
class Row:
    """One measured figure, with its bound where there is one (at most)."""

    what: str
    figure: float
    unit: str
    bound: float | None = None
    remark: str = ""

    @property
    def held(self) -> bool:
        """Whether the figure keeps within its bound."""
        return self.bound is None or self.figure <= self.bound


def markdown(rows: list[Row]) -> str:
    """A pipe table."""
    lines = ["| what | measured | at most | held | remark |", "| --- | ---: | ---: | --- | --- |"]
    for row in rows:
        bound = "" if row.bound is None else f"{row.bound:g} {row.unit}"
        held = "" if row.bound is None else "yes" if row.held else "**no**"
        lines.append(f"| {row.what} | {row.figure:.3g} {row.unit} | {bound} | {held} | {row.remark} |")
    return "\n".join(lines) + "\n"
