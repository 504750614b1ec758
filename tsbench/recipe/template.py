"""The commented recipe that `tsbench init` writes, generated from the schema so that the two cannot differ."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from tsbench.errors import RecipeError
from tsbench.recipe.schema import BaselineConfig, HyperparameterConfig, Recipe, is_group
from tsbench.recipe.space import DEFAULT_SPACE

__all__ = ["SCHEMA_FILE", "json_schema", "quickstart", "template"]

COLUMN = 34  # column of the comments
SCHEMA_FILE = "recipe.schema.json"  # beside the recipe
EXAMPLE: dict[str, Any] = {"datasets": ["GunPoint", "ItalyPowerDemand"]}


def template(name: str) -> str:
    """A recipe of this name with every key, its default and its meaning.

    Raises:
        RecipeError: the name is not one that a recipe may have.
    """
    _check_name(name)
    head = [
        f"# yaml-language-server: $schema={SCHEMA_FILE}",
        f"# A recipe for tsbench. Check it with `tsbench validate {name}.yaml`, then run `tsbench search {name}.yaml`.",
        "# Every key but name and datasets may be left out; the values below are the defaults, except where said.",
        "",
    ]
    first = ("name", "datasets", "archive")
    fields = {**{key: Recipe.model_fields[key] for key in first}, **Recipe.model_fields}
    body: list[str] = []
    for key, info in fields.items():
        if key == "model":
            body += [
                "",
                "# Fixed values. What is given here is not searched: it leaves the default space below.",
            ]
        lines = _entry(key, info, {"name": name, **EXAMPLE}, 0)
        body += [f"# {line}" for line in lines if line] if key in HyperparameterConfig.model_fields else list(lines)
    return "\n".join([*head, *body]) + "\n"


def json_schema() -> str:
    """The JSON schema of recipes, with which editors complete and check them."""
    tree = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Recipe.model_json_schema()}
    return json.dumps(tree, indent=2) + "\n"


def quickstart(name: str) -> str:
    """The recipe of the README under this name: two data sets that need no download, a few minutes on two cores.

    Raises:
        RecipeError: the name is not one that a recipe may have.
    """
    _check_name(name)
    package = Path(__file__).parents[1]
    folders = (package / "recipes", package.parent / "recipes")  # of an installed package, otherwise of the repository
    file = next(path for folder in folders if (path := folder / "quickstart.yaml").is_file())
    text = file.read_text(encoding="utf-8").replace("recipes/quickstart.yaml", f"{name}.yaml")
    return re.sub(r"^name: quickstart\b", f"name: {name}", text, flags=re.MULTILINE)


def _check_name(name: str) -> None:
    try:
        TypeAdapter(Recipe.model_fields["name"].rebuild_annotation()).validate_python(name)
    except ValidationError as error:
        raise RecipeError([f"{name!r} cannot be a recipe's name: it {error.errors()[0]['msg']}"]) from None


def _entry(key: str, info: FieldInfo, given: dict[str, Any], depth: int) -> Iterator[str]:
    group = info.annotation
    if is_group(group):
        if depth == 0:
            yield ""
        yield from _commented(f"{'  ' * depth}{key}:", info.description)
        for name, inner in group.model_fields.items():
            yield from _entry(name, inner, {}, depth + 1)
        return
    if key == "space":
        yield ""
        yield from _commented("space: default", info.description)
        yield "# or in full; these are the default space's entries, to be changed at will:"
        yield "# space:"
        for name, entry in DEFAULT_SPACE.items():
            yield f"#   {name}: {_flow(entry)}"
        return
    value = given.get(key, info.get_default(call_default_factory=True))
    text = f"{'  ' * depth}{key}: {_flow(value)}"
    yield from _commented(text, _with_choices(info))


def _with_choices(info: FieldInfo) -> str:
    choices = [str(literal) for literal in get_args(info.annotation) if isinstance(literal, str)]
    listed = f" ({', '.join(choices)})" if len(choices) > 1 else ""
    return f"{info.description}{listed}"


def _commented(text: str, comment: str | None) -> Iterator[str]:
    """The comment in its column, wrapped over several lines if necessary."""
    lines = textwrap.wrap(comment or "", 110 - COLUMN)
    if len(text) >= COLUMN - 1:
        yield text
        text = ""
    for line in lines:
        yield f"{text:<{COLUMN}}# {line}"
        text = ""


def _flow(value: Any) -> str:
    """YAML in one line."""
    if isinstance(value, BaselineConfig):
        value = value.model_dump()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(below)}" for key, below in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value) if ":" in value else value
    return json.dumps(value)
