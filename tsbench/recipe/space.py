"""The search-space language: the syntax of `space` in a recipe, and the built-in default space.

space:
  model.convolution.kernels: {choice: [[3, 5, 7], [9, 19, 39]]}
  model.encoder.hidden_size: {int: [16, 128], log: true}
  training.learning_rate: {float: [1e-4, 1e-2], log: true}
  model.encoder.bidirectional: {choice: [true, false], when: {model.encoder.type: [lstm, gru]}}
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from itertools import product
from typing import Any

from pydantic import BaseModel

from tsbench.recipe.schema import HyperparameterConfig

__all__ = [
    "COUNTED",
    "DEFAULT_SPACE",
    "Choice",
    "FloatRange",
    "IntRange",
    "Range",
    "Scalar",
    "Space",
    "assign",
    "describe",
    "grid",
    "grid_size",
    "label",
    "leaves",
    "never_active",
    "offers",
]

COUNTED = 10**15
"""Larger grids are not counted."""

ROUNDING = 1e-9
"""Of a number of steps of a real range."""

Scalar = str | int | float | bool | None

_RECURRENT = {"model.encoder.type": ["lstm", "gru"]}
_ENCODED = {"model.encoder.type": ["lstm", "gru", "transformer"]}

DEFAULT_SPACE: dict[str, Any] = {
    "model.convolution.kernels": {"choice": [[3, 5, 9], [3, 5, 7], [5, 11, 23], [9, 19, 39], [5, 0.1, 0.25]]},
    "model.convolution.channels": {"choice": [16, 32, 64]},
    "model.convolution.blocks": {"int": [1, 4]},
    "model.convolution.dilation": {"choice": [1, 2, 4]},
    "model.convolution.fixed_filters": {"choice": [False, True]},
    "model.encoder.type": {"choice": ["none", "lstm", "gru", "transformer"]},
    "model.encoder.layers": {"int": [1, 3], "when": _ENCODED},
    "model.encoder.hidden_size": {"choice": [32, 64, 128], "when": _ENCODED},
    "model.encoder.bidirectional": {"choice": [True, False], "when": _RECURRENT},
    "model.encoder.heads": {"choice": [2, 4, 8], "when": {"model.encoder.type": "transformer"}},
    "model.attention.type": {"choice": ["none", "single", "multi"]},
    "model.attention.heads": {"choice": [2, 4, 8], "when": {"model.attention.type": "multi"}},
    "model.pooling": {"choice": ["both", "max", "average"]},
    "model.skip": {"choice": [True, False]},
    "model.features.blocks": {"choice": [["minirocket", "hydra"], ["minirocket", "hydra", "spectrum"], []]},
    "model.dropout": {"float": [0.0, 0.5]},
    "training.batch_size": {"choice": [8, 16, 32]},
    "training.learning_rate": {"float": [1e-4, 1e-2], "log": True},
    "training.weight_decay": {"float": [1e-4, 1e-1], "log": True},
    "training.scheduler": {"choice": ["cosine", "cosine_restarts", "one_cycle", "plateau", "constant"]},
    "training.warmup_epochs": {
        "int": [0, 10],
        "when": {"training.scheduler": ["cosine", "cosine_restarts", "plateau", "constant"]},
    },
    "training.label_smoothing": {"choice": [0.0, 0.1]},
    "training.augmentation.scaling": {"float": [0.0, 0.3]},
    "training.augmentation.window_warping": {"float": [0.0, 1.0]},
    "preprocessing.normalise": {"choice": ["channel", "case"]},
}


@dataclass(frozen=True)
class Choice:
    """One of a list of values; in Optuna and MLflow, lists and other structures are their JSON text."""

    values: tuple[Any, ...]
    when: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict)

    @cached_property
    def labels(self) -> dict[Scalar, Any]:
        """Each value by its scalar."""
        return {label(value): value for value in self.values}


@dataclass(frozen=True)
class FloatRange:
    """A real number between `low` and `high`, both included."""

    low: float
    high: float
    log: bool = False
    step: float | None = None
    when: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class IntRange:
    """A whole number between `low` and `high`, both included."""

    low: int
    high: int
    log: bool = False
    step: int = 1
    when: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict)


Range = Choice | FloatRange | IntRange
Space = dict[str, Range]
"""Ranges by dotted name; an entry with a condition follows the names in it."""


def label(value: Any) -> Scalar:
    """The scalar of a choice: itself, or the JSON text of a list."""
    if isinstance(value, tuple):
        value = list(value)
    return value if isinstance(value, str | int | float | bool | None) else json.dumps(value)


def offers(entry: Range, value: Any) -> bool:
    """Whether the range contains a value."""
    if isinstance(entry, Choice):
        return label(value) in entry.labels
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if not entry.low <= value <= entry.high:
        return False
    if isinstance(entry, IntRange):
        return (value - entry.low) % entry.step == 0
    steps = 0.0 if entry.step is None else (value - entry.low) / entry.step
    return abs(steps - round(steps)) < ROUNDING


def grid(space: Space) -> list[dict[str, Scalar]]:
    """Every combination of a space whose ranges are all finite, as Optuna's parameters."""
    names = list(space)
    return [dict(zip(names, values, strict=True)) for values in product(*(_values(entry) for entry in space.values()))]


def grid_size(space: Space) -> int:
    """The number of `grid`'s combinations, without building them; counting stops at `COUNTED`."""
    count = 1
    for entry in space.values():
        count *= _number_of_values(entry)
        if count > COUNTED:
            return COUNTED
    return count


def _number_of_values(entry: Range) -> int:
    if isinstance(entry, Choice):
        return len(entry.labels)
    if isinstance(entry, IntRange):
        return (entry.high - entry.low) // entry.step + 1
    assert entry.step is not None
    steps = (entry.high - entry.low) / entry.step
    return math.floor(steps + ROUNDING) + 1 if steps < COUNTED else COUNTED


def _values(entry: Range) -> list[Scalar]:
    if isinstance(entry, Choice):
        return list(entry.labels)
    if isinstance(entry, IntRange):
        return list(range(entry.low, entry.high + 1, entry.step))
    assert entry.step is not None
    low, step = Decimal(str(entry.low)), Decimal(str(entry.step))  # 3 * 0.1 is more than 0.3
    return [float(low + number * step) for number in range(_number_of_values(entry))]


def describe(entry: Range) -> dict[str, Any]:
    """The entry in a recipe's notation."""
    if isinstance(entry, Choice):
        plain: dict[str, Any] = {
            "choice": [list(value) if isinstance(value, tuple) else value for value in entry.values]
        }
    else:
        plain = {"float" if isinstance(entry, FloatRange) else "int": [entry.low, entry.high]}
        if entry.log:
            plain["log"] = True
        if entry.step != type(entry).step:  # the class holds the default
            plain["step"] = entry.step
    if entry.when:
        plain["when"] = {name: list(values) for name, values in entry.when.items()}
    return plain


def leaves(settings: BaseModel | type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each leaf's dotted name with its value (of an instance) or its field (of a class)."""
    cls = settings if isinstance(settings, type) else type(settings)
    for name, info in cls.model_fields.items():
        value = info if isinstance(settings, type) else getattr(settings, name)
        group = info.annotation if isinstance(settings, type) else value
        if isinstance(group, BaseModel) or (isinstance(group, type) and issubclass(group, BaseModel)):
            yield from leaves(group, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def assign(settings: HyperparameterConfig, values: Mapping[str, Any]) -> HyperparameterConfig:
    """The settings with the values of some dotted names replaced, validated again."""
    tree = settings.model_dump()
    for name, value in values.items():
        *groups, leaf = name.split(".")
        node = tree
        for group in groups:
            node = node[group]
        node[leaf] = value
    return HyperparameterConfig.model_validate(tree)


def never_active(space: Space, base: HyperparameterConfig) -> dict[str, str]:
    """The entries whose condition cannot hold, each with the setting at fault: not searched, and of another value."""
    values = dict(leaves(base))
    never: dict[str, str] = {}
    for name, entry in space.items():
        for key, wanted in entry.when.items():
            if (key not in space or key in never) and label(values[key]) not in wanted:
                never[name] = key
                break
    return never
