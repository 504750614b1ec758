"""Saves fitted objects of scikit-learn, aeon and sktime by skops, which writes types and values, but no code.

skops knows neither torch's tensors, nor numba's functions, nor objects with slots. They are replaced by
descriptions before an object is written, and rebuilt after it is read. An object of a type of any other package is
refused, both ways.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["NotSavableError", "read_object", "write_object"]

TRUSTED = ("aeon.", "sktime.", "sklearn.", "skbase.", "numpy.", "scipy.", "tsbench.classifiers.", "torch.nn.")
"""Prefixes of the types that a file may hold, besides those that skops itself trusts."""

OTHERS = frozenset({"collections.OrderedDict", "collections.defaultdict", "torch.Size"})


class NotSavableError(Exception):
    """An object cannot be saved without pickling code; the text names the reason, as a clause."""


class TensorValues:
    """Replaces one of torch's tensors.

    Args:
        values: of the tensor.
        parameter: whether it is a module's parameter.
    """

    def __init__(self, values: Any, parameter: bool) -> None:
        self.values = values
        self.parameter = parameter


class FunctionName:
    """Replaces a function of a trusted package, such as one that numba compiled."""

    def __init__(self, name: str) -> None:
        self.name = name


class SlottedValues:
    """Replaces an object of a trusted package that has slots and no dictionary.

    Args:
        name: of its type, `module:name`.
        values: by slot; those that were never set are left out.
    """

    def __init__(self, name: str, values: dict[str, Any]) -> None:
        self.name = name
        self.values = values


def write_object(thing: Any, path: Path) -> None:
    """Writes a fitted object; the object itself is left as it is.

    Raises:
        NotSavableError: it holds an object of another package, or one that skops cannot write.
    """
    from skops import io

    described = _Rebuilt(_describe).of(thing)
    try:
        content = io.dumps(described)
        untrusted = list(_untrusted(io.get_untrusted_types(data=content)))
    except Exception as error:  # skops raises anything that an object's own methods raise
        raise NotSavableError(f"it cannot be written by skops: {' '.join(str(error).split())[:200]}") from None
    if untrusted:
        raise NotSavableError(f"it holds an object of type {untrusted[0]}, which tsbench does not load from files")
    path.write_bytes(content)


def read_object(path: Path) -> Any:
    """What `write_object` wrote.

    Raises:
        NotSavableError: the file holds a type that is not trusted.
        Exception: the file is damaged; skops raises many kinds.
    """
    from skops import io

    found = io.get_untrusted_types(file=path)
    if untrusted := list(_untrusted(found)):
        raise NotSavableError(f"it holds an object of type {untrusted[0]}, which tsbench does not load from files")
    return _Rebuilt(_restore).of(io.load(path, trusted=found))


def _untrusted(names: list[str]) -> Iterator[str]:
    for name in names:
        if not name.startswith(TRUSTED) and name not in OTHERS:
            yield name


def _describe(thing: Any) -> Any:
    kind = type(thing)
    if kind.__module__.startswith("torch.optim."):
        return None  # only needed to continue training; its keys are the parameters themselves
    if kind.__module__.startswith("torch") and hasattr(thing, "detach"):
        return TensorValues(thing.detach().cpu().numpy(), kind.__name__ == "Parameter")
    if kind.__module__.startswith("numba.") and hasattr(thing, "py_func"):
        function = thing.py_func
        return FunctionName(f"{function.__module__}:{function.__qualname__}")
    if kind.__module__.startswith(TRUSTED) and not hasattr(thing, "__dict__") and (slots := _slots(kind)):
        values = {name: getattr(thing, name) for name in slots if hasattr(thing, name)}
        return SlottedValues(f"{kind.__module__}:{kind.__qualname__}", values)
    return thing


def _slots(kind: type) -> list[str]:
    """The slots that a type and its bases declare in Python."""
    declared = [base.__dict__.get("__slots__", ()) for base in kind.__mro__]
    return [name for slots in declared for name in ((slots,) if isinstance(slots, str) else slots)]


def _restore(thing: Any) -> Any:
    if isinstance(thing, TensorValues):
        import torch

        tensor = torch.from_numpy(np.array(thing.values))
        return torch.nn.Parameter(tensor, requires_grad=False) if thing.parameter else tensor
    if isinstance(thing, FunctionName):
        return _named("function", thing.name)
    if isinstance(thing, SlottedValues):
        kind = _named("type", thing.name)
        if not isinstance(kind, type) or set(thing.values) - set(_slots(kind)):
            raise NotSavableError(f"it holds values that {thing.name} has no slots for")
        slotted: Any = object.__new__(kind)
        for name, value in thing.values.items():
            setattr(slotted, name, value)
        return slotted
    return thing


def _named(what: str, place: str) -> Any:
    """The object behind a name of a trusted package.

    Raises:
        NotSavableError: it is of another package.
    """
    if not place.startswith(TRUSTED):
        raise NotSavableError(f"it names the {what} {place}, which tsbench does not load from files")
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


_LEAVES = (str, bytes, int, float, complex, bool, type(None), np.ndarray, np.generic, type, types.FunctionType)


class _Rebuilt:
    """A copy of an object in which `replace` was applied to every part; parts that hold nothing replaced are shared.

    Args:
        replace: returns the replacement of a part, or the part itself.
    """

    def __init__(self, replace: Callable[[Any], Any]) -> None:
        self.replace = replace
        self.copies: dict[int, Any] = {}  # by the identity of the original, which lives as long as this object
        self.originals: list[Any] = []

    def of(self, thing: Any) -> Any:
        """The copy."""
        if isinstance(thing, _LEAVES):
            return thing
        if id(thing) in self.copies:
            return self.copies[id(thing)]
        # The values of slots are described after the object that has them, and restored before it.
        replaced = self.replace(self._rebuilt(thing) if isinstance(thing, SlottedValues) else thing)
        if replaced is thing or isinstance(replaced, SlottedValues):
            replaced = self._rebuilt(replaced)
        self.originals.append(thing)
        self.copies[id(thing)] = replaced
        return replaced

    def _rebuilt(self, thing: Any) -> Any:
        kind = type(thing)
        if kind in (list, tuple, set, frozenset):
            parts = [self.of(part) for part in thing]
            changed = any(part is not old for part, old in zip(parts, thing, strict=True))
            return kind(parts) if changed else thing
        if isinstance(thing, dict):
            values = {key: self.of(value) for key, value in thing.items()}
            if all(values[key] is value for key, value in thing.items()):
                return thing
            mapping = thing.copy()
            mapping.update(values)
            return mapping
        if not hasattr(thing, "__dict__") or isinstance(thing, types.ModuleType):
            return thing
        state = {name: self.of(value) for name, value in vars(thing).items()}
        if all(state[name] is value for name, value in vars(thing).items()):
            return thing
        copy: Any = object.__new__(kind)
        copy.__dict__.update(state)
        return copy
