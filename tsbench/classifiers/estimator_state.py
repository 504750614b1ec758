"""What a saved estimator holds beside its networks, as JSON and NumPy's own format: parameters, labels, generators."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsbench.recipe.plain import plain

__all__ = ["describe_generator", "describe_labels", "read_generator", "read_labels", "savable"]

_BUILT_IN = {kind.__name__: kind for kind in (str, bool, int, float)}
_BIT_GENERATORS = ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64")


def describe_generator(random_state: np.random.RandomState) -> dict[str, Any]:
    """The state of a generator, as plain values; `read_generator` makes one that draws the same numbers."""
    state: dict[str, Any] = plain(random_state.get_state(legacy=False))
    return state


def read_generator(state: dict[str, Any]) -> np.random.RandomState:
    """A generator in the state that `describe_generator` gave.

    Raises:
        ValueError: the state is of a generator that NumPy does not have.
    """
    name = state["bit_generator"]
    if name not in _BIT_GENERATORS:
        raise ValueError(f"the file holds the state of an unknown random number generator, {name!r}")
    generator = np.random.RandomState(getattr(np.random, name)())
    generator.set_state(state)
    return generator


def savable(labels: NDArray[Any]) -> NDArray[Any] | None:
    """The labels as an array that NumPy writes without pickling, texts of any kind as such; None if there is none."""
    if labels.dtype.kind == "T" or (labels.dtype == object and all(isinstance(label, str) for label in labels)):
        return np.array([str(label) for label in labels])
    return None if labels.dtype == object else labels


def describe_labels(labels: NDArray[Any]) -> list[tuple[str, Any]]:
    """Labels in an array of objects, each with its type, as plain values.

    Raises:
        ValueError: one is neither a text nor a number.
    """
    return [(_type_name(label), plain(label)) for label in labels]


def read_labels(described: list[tuple[str, Any]]) -> NDArray[Any]:
    """The array of objects that `describe_labels` was given."""
    labels = np.empty(len(described), dtype=object)
    labels[:] = [
        _BUILT_IN[name](value) if name in _BUILT_IN else np.dtype(name).type(value) for name, value in described
    ]
    return labels


def _type_name(label: Any) -> str:
    if type(label) in _BUILT_IN.values():
        return type(label).__name__
    if isinstance(label, np.bool_ | np.integer | np.floating | np.str_) and not isinstance(label, np.longdouble):
        return "str" if isinstance(label, np.str_) else label.dtype.name
    raise ValueError(f"labels of type {type(label).__name__} cannot be saved without pickling; use texts or numbers")
