"""Hyperparameters from Python: dotted names or nested groups, validated like a recipe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from tsbench.recipe.messages import sentence, suggestion
from tsbench.recipe.plain import plain
from tsbench.recipe.schema import HyperparameterConfig
from tsbench.recipe.space import leaves

__all__ = ["hyperparameters_of"]


def hyperparameters_of(config: Mapping[str, Any] | None) -> HyperparameterConfig:
    """A configuration from some values; the others are the defaults.

    Args:
        config: dotted names (`{"model.encoder.type": "lstm"}`), nested groups (`{"model": {"encoder": {...}}}`), or
            both. NumPy's scalars and arrays count as the numbers and lists that they hold.

    Raises:
        ValueError: names every wrong key and value, one per line.
    """
    tree: dict[str, Any] = {}
    problems: list[str] = []
    if config is not None and not isinstance(config, Mapping):
        raise ValueError(f"the configuration must be a mapping of dotted names to values, got {config!r}")
    _merge(tree, config or {}, (), problems)
    try:
        hyperparameters = HyperparameterConfig.model_validate(tree)
    except ValidationError as error:
        names = [name for name, _ in leaves(HyperparameterConfig)]
        groups = sorted({name.rpartition(".")[0] for name in names})
        for problem in error.errors():
            name = ".".join(map(str, problem["loc"]))
            unknown = problem["type"] == "extra_forbidden"
            text = f"unknown setting{suggestion(name, names + groups)}" if unknown else sentence(problem)
            problems.append(f"{name}: {text}")
    if problems:
        raise ValueError("\n".join(problems))
    return hyperparameters


def _merge(tree: dict[str, Any], given: Mapping[Any, Any], path: tuple[str, ...], problems: list[str]) -> None:
    for key, value in given.items():
        *groups, leaf = str(key).split(".")
        node = tree
        for group in groups:
            below = node.setdefault(group, {})
            if not isinstance(below, dict):
                problems.append(f"{'.'.join((*path, str(key)))}: {group} also has its own value")
                break
            node = below
        else:
            if isinstance(value, Mapping):
                below = node.setdefault(leaf, {})
                if isinstance(below, dict):
                    _merge(below, value, (*path, *groups, leaf), problems)
                    continue
            if leaf in node:
                problems.append(f"{'.'.join((*path, str(key)))}: is given twice")
            if isinstance(value, Iterator):
                problems.append(
                    f"{'.'.join((*path, str(key)))}: expected a list, got {type(value).__name__}, which can be read "
                    "only once"
                )
                continue
            node[leaf] = plain(value)
