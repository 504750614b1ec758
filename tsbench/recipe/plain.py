"""Converts values to Python's own types, so that NumPy's numbers are valid in a recipe."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Set
from decimal import Decimal
from numbers import Real
from typing import Any

__all__ = ["plain"]


def plain(value: Any) -> Any:
    """The value with NumPy's scalars as Python's numbers and texts, and arrays as lists; mappings and lists inside too.

    NumPy's float32, a decimal and a fraction become a float, a tensor of one value a number. Tuples stay tuples,
    all other collections become lists: a set in ascending order, as its own may differ from process to process.
    Everything else is returned as it is.
    """
    # NumPy is not imported for this, as a recipe is read without it.
    if type(value).__module__ in ("numpy", "torch") and hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Real | Decimal) and not isinstance(value, int | float):
        return float(value)  # also longdouble, for which Python has no type
    if isinstance(value, Mapping):
        return {plain(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, str | bytes) or not isinstance(value, Collection):
        return value
    entries = [plain(entry) for entry in value]
    if isinstance(value, Set):
        return sorted(entries, key=_place)
    return tuple(entries) if isinstance(value, tuple) else entries


def _place(entry: Any) -> tuple[str, Any]:
    """Orders values of any kinds."""
    return (type(entry).__name__, entry if isinstance(entry, int | float | str) else repr(entry))
