"""Settings that earlier versions did not have, so that their records keep their meaning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["FORMER", "with_former_values"]

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
