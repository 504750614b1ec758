"""Cells of CSV files that a spreadsheet program shows as text, whatever they begin with."""

from __future__ import annotations

from typing import Any

__all__ = ["as_cell", "from_cell"]

FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_cell(value: Any) -> Any:
    """The value for a CSV file: text that a spreadsheet would run as a formula gets a leading apostrophe.

    Numbers, also as text such as `-1.5`, stay as they are.
    """
    return f"'{value}" if isinstance(value, str) and _is_formula(value.lstrip("'")) else value


def from_cell(text: str) -> str:
    """The text that `as_cell` made a cell of, so that what is written and read again has the same names."""
    return text[1:] if text.startswith("'") and _is_formula(text.lstrip("'")) else text


def _is_formula(text: str) -> bool:
    return text.lstrip(" \n").startswith(FORMULA) and not _is_number(text)


def _is_number(text: str) -> bool:
    if text.startswith(("\t", "\r")):
        return False
    try:
        float(text)
    except ValueError:
        return False
    return True
