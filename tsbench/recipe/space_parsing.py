"""Parses a recipe's `space`, and finds all its problems."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast, get_args

from pydantic import TypeAdapter, ValidationError

from tsbench.recipe.messages import sentence, shown, suggestion
from tsbench.recipe.plain import plain
from tsbench.recipe.schema import HyperparameterConfig
from tsbench.recipe.space import DEFAULT_SPACE, Choice, FloatRange, IntRange, Range, Scalar, Space, label, leaves

__all__ = ["SpaceProblem", "parse_space"]


@dataclass(frozen=True)
class SpaceProblem:
    """A problem, and its path below `space`."""

    path: tuple[str | int, ...]
    message: str


class _Parser:
    """Reads the entries and collects every problem, so that a user sees them all at once."""

    def __init__(self, raw: Mapping[str, Any], fixed: set[str]) -> None:
        self.raw = raw
        self.fixed = fixed
        self.fields = dict(leaves(HyperparameterConfig))
        self.problems: list[SpaceProblem] = []

    def problem(self, message: str, *path: str | int) -> None:
        self.problems.append(SpaceProblem(path, message))

    def parse(self) -> Space:
        space = {}
        for name, entry in self.raw.items():
            if name not in self.fields:
                self.problem(f"there is no such setting{suggestion(name, list(self.fields))}", name)
                continue
            if name == "model.preset":
                self.problem("a preset stands for many settings and cannot be searched; search those themselves", name)
                continue
            if name in self.fixed:
                self.problem("is both fixed and searched; remove one of the two", name)
            if (parsed := self.entry(name, entry)) is not None:
                space[name] = parsed
        return self.in_order(space)

    def entry(self, name: str, entry: Any) -> Range | None:
        kinds = ("choice", "float", "int")
        form = "{choice: [...]}, {float: [low, high]} or {int: [low, high]}"
        if not isinstance(entry, Mapping):
            self.problem(f"expected {form}, got {shown(entry)}", name)
            return None
        allowed = {"choice": {"when"}, "float": {"log", "step", "when"}, "int": {"log", "step", "when"}}
        given = [kind for kind in kinds if kind in entry]
        extra = set(entry) - set(kinds) - {"log", "step", "when"}
        for key in sorted(map(str, extra)):
            self.problem(f"unknown key{suggestion(key, [*kinds, 'log', 'step', 'when'])}", name, key)
        if len(given) != 1:
            if not extra or given:
                self.problem(f"expected exactly one of {form}", name)
            return None
        kind = given[0]
        for key in sorted(set(entry) & {"log", "step"} - allowed[kind]):
            self.problem(f"has no meaning for a {kind}", name, key)
        when = self.when(name, entry.get("when", {}))
        if kind == "choice":
            return self.choice(name, entry["choice"], when)
        return self.range(name, kind, entry, when)

    def choice(self, name: str, values: Any, when: dict[str, tuple[Scalar, ...]]) -> Choice | None:
        if not isinstance(values, list | tuple) or not values:
            self.problem(f"expected a list of at least one value, got {shown(values)}", name, "choice")
            return None
        checked = [self.checked(name, value, name, "choice", index) for index, value in enumerate(values)]
        if len({label(value) for value in values}) < len(values):
            self.problem("holds a value more than once", name, "choice")
        return Choice(tuple(checked), when)

    def range(
        self, name: str, kind: str, entry: Mapping[str, Any], when: dict[str, tuple[Scalar, ...]]
    ) -> Range | None:
        bounds, log, step = entry[kind], entry.get("log", False), entry.get("step")
        numbers, what = (int, "whole number") if kind == "int" else ((int, float), "number")
        before = len(self.problems)
        if kind == "float" and self.takes(name, int) and not self.takes(name, float):
            self.problem(f"{name} takes only whole numbers; write {{int: [low, high]}}", name, kind)
            return None
        if (
            not isinstance(bounds, list | tuple)
            or len(bounds) != 2
            or any(isinstance(bound, bool) or not isinstance(bound, numbers) for bound in bounds)
        ):
            self.problem(f"expected two {what}s [low, high], got {shown(bounds)}", name, kind)
            return None
        low, high = bounds
        if low >= high:
            self.problem(f"the range is empty: low {shown(low)} must be less than high {shown(high)}", name, kind)
        if not isinstance(log, bool):
            self.problem(f"expected true or false, got {shown(log)}", name, "log")
        elif log and low <= 0:
            self.problem(f"a log range must begin above 0, got {shown(low)}", name, kind)
        if step is not None and (isinstance(step, bool) or not isinstance(step, numbers) or not 0 < step < math.inf):
            self.problem(f"expected a {what} greater than 0, got {shown(step)}", name, "step")
        elif step is not None and log:
            self.problem("cannot be given together with log", name, "step")
        if len(self.problems) == before:
            for index, bound in enumerate(bounds):
                self.checked(name, bound, name, kind, index)
        if len(self.problems) == before and step is not None and step > high - low:
            self.problem(f"is wider than the range, got {shown(step)}", name, "step")
        if len(self.problems) > before:
            return None
        if kind == "int":
            return IntRange(low, high, log, step or 1, when)
        return FloatRange(float(low), float(high), log, None if step is None else float(step), when)

    def takes(self, name: str, kind: type) -> bool:
        """Whether some values of the setting are of this type."""
        annotation = self.fields[name].annotation
        return kind in (annotation, *get_args(annotation))

    def checked(self, name: str, value: Any, *path: str | int) -> Any:
        """The value, converted by the setting's own type."""
        try:
            return _adapter(name).validate_python(value)
        except ValidationError as error:
            self.problem(f"not a value of {name}: {sentence(error.errors()[0])}", *path)
            return value

    def when(self, name: str, raw: Any) -> dict[str, tuple[Scalar, ...]]:
        if not isinstance(raw, Mapping):
            self.problem(f"expected {{name: value}} or {{name: [values]}}, got {shown(raw)}", name, "when")
            return {}
        conditions = {}
        for key, value in raw.items():
            if key not in self.fields:
                self.problem(f"there is no such setting{suggestion(key, list(self.fields))}", name, "when", key)
                continue
            values = value if isinstance(value, list | tuple) else [value]
            if not values:
                self.problem("expected at least one value", name, "when", key)
            offered = self.offered(key)
            for choice in values:
                self.check_condition(name, key, choice, offered)
            conditions[key] = tuple(map(label, values))
        return conditions

    def offered(self, key: str) -> set[Scalar] | None:
        """The labels of a setting's choices; None if it has none."""
        entry = self.raw.get(key)
        choices = entry.get("choice") if isinstance(entry, Mapping) else None
        return set(map(label, choices)) if isinstance(choices, list | tuple) else None

    def check_condition(self, name: str, key: str, value: Any, choices: set[Scalar] | None) -> None:
        """Reports a value that the other setting never takes."""
        entry = self.raw.get(key)
        offered = entry if isinstance(entry, Mapping) else {}
        if choices is not None:
            if label(value) not in choices:
                self.problem(f"{shown(label(value))} is not among the choices of {key}", name, "when", key)
            return
        before = len(self.problems)
        self.checked(key, value, name, "when", key)
        bounds = offered.get("int", offered.get("float"))
        if len(self.problems) == before and bounds is not None and not _between(value, bounds):
            self.problem(f"{shown(value)} is outside the range of {key}", name, "when", key)

    def in_order(self, space: Space) -> Space:
        """Sorts entries after those that their conditions depend on; reports cycles."""
        ordered: Space = {}
        waiting = dict(space)
        while waiting:
            ready = [name for name, entry in waiting.items() if not any(key in waiting for key in entry.when)]
            if not ready:
                self.problem(f"the conditions form a cycle: {', '.join(waiting)}", next(iter(waiting)), "when")
                return ordered
            for name in ready:
                ordered[name] = waiting.pop(name)
        return ordered


@lru_cache(maxsize=256)
def _adapter(name: str) -> TypeAdapter[Any]:
    """The validator of a setting, cached because creating one takes a thousand times longer than a check."""
    info = dict(leaves(HyperparameterConfig))[name]
    return TypeAdapter(info.rebuild_annotation(), config={"strict": True, "allow_inf_nan": False})


def _between(value: Any, bounds: Any) -> bool:
    """Whether the value is in the range; True for invalid bounds, which are a separate problem."""
    try:
        low, high = bounds
        return bool(low <= value <= high)
    except (TypeError, ValueError):
        return True


def parse_space(raw: Mapping[str, Any] | str, fixed: set[str]) -> tuple[Space, list[SpaceProblem]]:
    """Parses a recipe's `space`.

    Args:
        raw: the mapping as loaded from YAML, or `"default"`. The default space lacks settings that the recipe fixes.
        fixed: dotted names of the settings that the recipe fixes.

    Returns:
        The space (conditions after what they depend on) and every problem found, in the order of the entries.
    """
    if raw == "default":
        parser = _Parser({name: entry for name, entry in DEFAULT_SPACE.items() if name not in fixed}, set())
    else:
        parser = _Parser(plain(cast(Mapping[str, Any], raw)), fixed)
    space = parser.parse()
    return space, parser.problems
