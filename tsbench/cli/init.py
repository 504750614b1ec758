"""`tsbench init`: writes a recipe to start from."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from tsbench.cli.app import verb
from tsbench.errors import RecipeError


@verb
def init(
    name: Annotated[str, typer.Argument(help="The recipe's name; NAME.yaml is written here.")] = "recipe",
) -> None:
    """Write a commented recipe with every setting at its default.

    The JSON schema by which editors complete and check it is written beside it, as recipe.schema.json.
    """
    from tsbench.recipe.template import SCHEMA_FILE, json_schema, template

    path = Path(name if name.endswith((".yaml", ".yml")) else f"{name}.yaml")
    text = template(path.stem)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
        path.with_name(SCHEMA_FILE).write_text(json_schema(), encoding="utf-8")
    except FileExistsError:
        raise RecipeError([f"{path}: this file already exists; give another name"]) from None
    except OSError as error:
        raise RecipeError([f"{path}: cannot be written: {error.strerror}"]) from None
    typer.echo(f"Wrote {path}. Name your data sets in it, then: tsbench search {shlex.quote(str(path))}")
