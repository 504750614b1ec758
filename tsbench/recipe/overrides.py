"""Overrides of a recipe's values from the command line, as in `--set search.trials=30`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tsbench.recipe.messages import shown
from tsbench.recipe.reading import NotReadableError, plain_yaml, read_yaml
from tsbench.recipe.report import KeyPath, Report, place_of_override
from tsbench.recipe.schema import HyperparameterConfig
from tsbench.recipe.space import DEFAULT_SPACE, leaves

__all__ = ["apply_override", "fixed_settings", "free_overridden"]


def apply_override(tree: dict[str, Any], text: str, report: Report) -> None:
    """Puts the value of a `dotted.key=value` text into the tree of a recipe; a wrong text is a problem."""
    key, separator, value = text.partition("=")
    path = _override_path(key.strip())
    if not separator or not all(path):
        report.add((), "is not of the form KEY=VALUE, such as search.trials=30", at=place_of_override(text))
        return
    try:
        parsed = plain_yaml(read_yaml(value))
    except NotReadableError as error:
        problem = "the value is not valid YAML" if str(error).startswith("not valid") else str(error)
        report.add((key,), f"{problem}: {shown(value)}", at=place_of_override(text))
        return
    if path[0] == "space" and len(path) > 1 and tree.get("space", "default") == "default":
        tree["space"] = {name: entry for name, entry in DEFAULT_SPACE.items() if name not in fixed_settings(tree)}
    node: Any = tree
    place: KeyPath = ()
    for part in path:
        if isinstance(node, list) and part not in map(str, range(len(node))):
            problem = f"there is no entry {shown(part)}; they are counted from 0 to {len(node) - 1}"
            report.add(place, problem, at=place_of_override(text))
            return
        step: Any = int(part) if isinstance(node, list) else part
        place = (*place, step)
        found = node[step] if isinstance(node, list) else node.get(step)
        last = len(place) == len(path)
        if last or not isinstance(found, dict | list):
            node[step] = parsed if last else {}
        node = node[step]
    report.overridden.pop(place, None)  # keeps the last override last
    report.overridden[place] = text


def _override_path(key: str) -> tuple[str, ...]:
    """`space.model.dropout` is an entry of the space, whose name has dots."""
    head, _, rest = key.partition(".")
    return (head, rest) if head == "space" and rest else tuple(key.split("."))


def free_overridden(tree: dict[str, Any], report: Report) -> tuple[str, ...]:
    """A value set on the command line is intended: its setting is removed from the file's space."""
    space = tree.get("space")
    if not isinstance(space, dict):
        return ()
    fixed = fixed_settings(tree)
    freed = [name for name in space if name in fixed and report.override(tuple(name.split("."))) is not None]
    tree["space"] = {name: entry for name, entry in space.items() if name not in freed}
    return tuple(freed)


def fixed_settings(tree: Mapping[str, Any]) -> set[str]:
    """Dotted names of the searchable settings that the recipe itself gives a value."""
    known = {name for name, _ in leaves(HyperparameterConfig)}

    def given(node: Any, prefix: str) -> Iterable[str]:
        if prefix in known:
            yield prefix
        elif isinstance(node, Mapping):
            for key, value in node.items():
                yield from given(value, f"{prefix}.{key}" if prefix else str(key))

    return {name for group in HyperparameterConfig.model_fields for name in given(tree.get(group), group)}
