"""The rows of the benchmark table, and the parts of pages that a measurement writes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Row", "fill", "markdown"]


@dataclass(frozen=True)
class Row:
    """One measured figure, with its bound if there is one: at most so much, or at least."""

    what: str
    figure: float
    unit: str
    bound: float | None = None
    remark: str = ""
    at_least: bool = False

    @property
    def held(self) -> bool:
        """Whether the figure keeps within its bound."""
        if self.bound is None:
            return True
        return self.figure >= self.bound if self.at_least else self.figure <= self.bound


def markdown(rows: list[Row]) -> str:
    """A pipe table."""
    lines = ["| what | measured | bound | held | remark |", "| --- | ---: | ---: | --- | --- |"]
    for row in rows:
        side = "at least" if row.at_least else "at most"
        bound = "" if row.bound is None else f"{side} {row.bound:g} {row.unit}"
        held = "" if row.bound is None else "yes" if row.held else "**no**"
        lines.append(f"| {row.what} | {row.figure:.3g} {row.unit} | {bound} | {held} | {row.remark} |")
    return "\n".join(lines) + "\n"


def fill(page: Path, name: str, text: str) -> None:
    """Replaces what stands in a page between `<!-- name -->` and `<!-- end of name -->`."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    whole = page.read_text(encoding="utf-8")
    head, tail = whole[: whole.index(begin)], whole[whole.index(end) :]
    page.write_text(f"{head}{begin}\n\n{text}\n{tail}", encoding="utf-8")
