"""Writes recipes, and parts of them, as YAML."""

from __future__ import annotations

import io
from typing import Any

__all__ = ["to_yaml"]


def to_yaml(tree: dict[str, Any]) -> str:
    """Plain data as YAML."""
    from ruamel.yaml import YAML

    text, yaml = io.StringIO(), YAML()
    yaml.default_flow_style = None
    yaml.width = 110
    yaml.dump(tree, text)
    return text.getvalue()
