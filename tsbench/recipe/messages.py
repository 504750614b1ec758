"""Words for messages: the problems of a recipe, values, counts and lists of names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from tsbench.redaction import redacted

__all__ = ["count_of", "escaped", "listed", "sentence", "shortened", "shown", "suggestion"]

LONGEST = 60  # characters of a value in a message
MAX_LISTED = 6


def shown(value: object) -> str:
    """The value in Python's notation, shortened if it is long."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # Python does not format integers of more than 4300 digits
        return "a value too long to show"
    return shortened(text)


def shortened(text: str) -> str:
    """The text in one line without credentials, shortened if it is long; a cut address could reveal a password."""
    text = escaped(redacted(text))
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def escaped(text: str) -> str:
    """The text with escaped line ends and control characters, which a terminal would interpret."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def suggestion(name: str, known: Iterable[str]) -> str:
    """`; did you mean '...'?` if a known name is close, otherwise empty."""
    if len(name) > LONGEST:
        return ""  # too long to be close to a name, and slow to compare
    close = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean '{escaped(close[0])}'?" if close else ""


def sentence(error: Mapping[str, Any], known: Iterable[str] = ()) -> str:
    """One of pydantic's errors in words; `known` are the keys allowed instead of an unknown one."""
    kind, value, context = error["type"], error.get("input"), error.get("ctx", {})
    given = shown(value)
    known = list(known)
    if kind == "extra_forbidden":
        return "unknown key" + (suggestion(str(error["loc"][-1]), known) or f"; known here: {', '.join(known)}")
    if kind == "missing":
        return "this key is required"
    if kind == "unknown_name":
        hint = suggestion(str(value), context["known"]) or f"; known: {', '.join(context['known'])}"
        return f"unknown {context['what']} {given}{hint}"
    if kind == "literal_error":
        expected = [choice.strip("'") for choice in context["expected"].replace(" or ", ", ").split(", ")]
        hint = suggestion(value, expected) if isinstance(value, str) else ""
        return f"expected one of {', '.join(expected)}, got {given}{hint}"
    if kind in _EXPECTED:
        return f"expected {_EXPECTED[kind]}, got {given}"
    if kind in _BOUNDS:
        return f"must be {_BOUNDS[kind].format(**context)}, got {given}"
    return str(error["msg"])


_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "a text",
    "string_pattern_mismatch": "auto, cpu, cuda or cuda:N",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "model_attributes_type": "a mapping of keys to values",
    "too_short": "at least one value",
    "string_too_short": "a text that is not empty",
}
_BOUNDS = {
    "greater_than": "greater than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
}


def listed(names: Sequence[str], most: int = MAX_LISTED) -> str:
    """The first names, and how many more there are."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def count_of(count: int, noun: str, plural: str = "") -> str:
    """`1 data set`, `2 data sets`."""
    return f"{count} {noun if count == 1 else plural or f'{noun}s'}"
