"""Settings that earlier versions did not have, so that their records keep their meaning."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from copy import deepcopy
from typing import Any

__all__ = ["FORMER", "FORMER_DEFAULTS", "as_formerly_resolved", "with_former_values"]

FORMER: Mapping[str, Any] = {
    "model.stem.max_steps": 512,
    "model.encoder.max_steps": 256,
    "model.encoder.gated": False,
    "model.attention.gated": False,
    "model.features.head": "gradient",
    "model.features.share": 0.5,
    "model.head.normalise": "none",
}
"""Each with the value that earlier versions used; the schema's default may differ."""

FORMER_DEFAULTS: Mapping[str, Any] = {
    "model.encoder.type": "none",
    "model.encoder.hidden_size": 64,
    "model.attention.type": "none",
    "model.features.blocks": ["minirocket"],
    "training.epochs": 100,
    "training.min_steps": 2000,
}
"""Defaults of version 0.1.0 that have changed since."""


def as_formerly_resolved(resolved: Mapping[str, Any], named: Collection[str]) -> dict[str, Any]:
    """A recipe's complete settings as version 0.1.0 would have resolved the same recipe.

    Args:
        resolved: groups as nested mappings, with today's defaults; not changed.
        named: dotted names of the settings that the recipe gives, itself or by a preset.
    """
    from tsbench.recipe.schema import HyperparameterConfig

    tree, defaults = deepcopy(dict(resolved)), HyperparameterConfig().model_dump(mode="json")
    for name in {*FORMER, *FORMER_DEFAULTS} - set(named):
        *groups, leaf = name.split(".")
        node, default = tree, defaults
        for group in groups:
            node, default = node[group], default[group]
        if name in FORMER:
            node.pop(leaf, None)
        elif node.get(leaf) == default[leaf]:  # a searched setting has no value, and `epochs` determines `min_steps`
            node[leaf] = FORMER_DEFAULTS[name]
    return tree


def with_former_values(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """An earlier version's complete hyperparameters, with the settings that it did not have.

    Args:
        recorded: groups as nested mappings; not changed.
    """
    tree = dict(recorded)
    for name, value in FORMER.items():
        *groups, leaf = name.split(".")
        node = tree
        for group in groups:
            below = node.get(group)
            if not isinstance(below, Mapping):  # damaged, or of a version before this group: the schema reports it
                break
            node[group] = dict(below)
            node = node[group]
        else:
            node.setdefault(leaf, value)
    return tree
