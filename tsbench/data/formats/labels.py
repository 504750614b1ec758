"""One spelling for each class label, in every format: `1.0` and ` 1` are the label `1`."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import numpy as np

__all__ = ["MISSING_LABELS", "label_text", "lookalikes", "name_text", "uniform_label"]

MISSING_LABELS = ("", "?", "NaN", "nan")
"""Spellings of a missing label."""

_WHOLE = re.compile(r"[+-]?\d{1,15}(\.0*)?(e[+-]?0+)?", re.IGNORECASE | re.ASCII)

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?", re.ASCII)


def uniform_label(text: str) -> str:
    """The canonical spelling of a label.

    Spaces at its ends are removed, others become one space, composed and decomposed letters become the same, and a
    whole number loses its decimals (`1.0`, `1.0000e+00`). Leading zeros and case stay, as they may be meant.
    """
    text = " ".join(text.replace("\0", " ").split())  # NumPy drops a zero at the end of a text
    if not text.isascii():
        return unicodedata.normalize("NFC", text)
    if _WHOLE.fullmatch(text) and not text.lstrip("+-").isdigit():
        return str(int(float(text)))
    return text


def label_text(value: Any) -> str:
    """The canonical spelling of a label of any type; empty if it is missing."""
    text = uniform_label(name_text(value))
    return "" if text in MISSING_LABELS else text


def name_text(value: Any) -> str:
    """The name of a case, group or label; a whole float is spelled as a whole number; empty if missing."""
    if value is None or value != value:  # NaN, NaT
        return ""
    if isinstance(value, bytes):
        value = value.decode("utf-8")
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)
    text = str(value).replace("\0", " ").strip()
    return "" if text == "<NA>" else text


def lookalikes(labels: Iterable[str]) -> list[tuple[str, ...]]:
    """Labels that differ only in case, spaces, how letters are encoded, or how a number is spelled, together."""
    alike: dict[str | Decimal, list[str]] = defaultdict(list)
    for label in sorted(set(map(str, labels))):
        visible = (letter for letter in label if unicodedata.category(letter) != "Cf")  # no zero-width characters
        key = "".join(unicodedata.normalize("NFKC", "".join(visible)).casefold().split())
        alike[Decimal(key) if _NUMBER.fullmatch(key) else key].append(label)
    return [tuple(group) for group in alike.values() if len(group) > 1]
