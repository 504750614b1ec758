"""Cells of CSV files that a spreadsheet program shows as text, whatever they begin with."""

from __future__ import annotations

from typing import Any

__all__ = ["as_cell"]

FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_cell(value: Any) -> Any:
    """The value for a CSV file: text that a spreadsheet would run as a formula gets a leading apostrophe.

    Numbers, also as text such as `-1.5`, stay as they are.
    """
    if not isinstance(value, str) or not value.lstrip(" \n").startswith(FORMULA) or _is_number(value):
        return value
    return f"'{value}"


def _is_number(text: str) -> bool:
    if text.startswith(("\t", "\r")):
        return False
    try:
        float(text)
    except ValueError:
        return False
    return True
