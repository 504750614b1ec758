"""Settings that earlier versions did not have, so that what they recorded goes on meaning what it meant."""

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
"""Each with the value by which an earlier version computed; the schema's default may be another."""


def with_former_values(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Whole hyperparameters as an earlier version recorded them, with the settings that it did not have.

    Args:
        recorded: groups as nested mappings; left as it is.
    """
    tree = dict(recorded)
    for name, value in FORMER.items():
        *groups, leaf = name.split(".")
        node = tree
        for group in groups:
            below = node.get(group)
            if not isinstance(below, Mapping):  # damaged, or of a version before this group: the schema decides
                break
            node[group] = dict(below)
            node = node[group]
        else:
            node.setdefault(leaf, value)
    return tree
