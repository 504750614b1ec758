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
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="The recipe's name; NAME.yaml is written here. Default: recipe, or quickstart."
        ),
    ] = None,
    quickstart: Annotated[
        bool, typer.Option("--quickstart", help="Write a small recipe that runs unchanged, in a few minutes.")
    ] = False,
) -> None:
    """Write a commented recipe with every setting at its default.

    The JSON schema by which editors complete and check it is written beside it, as recipe.schema.json.
    """
    from tsbench.recipe import template as recipes

    name = name or ("quickstart" if quickstart else "recipe")
    path = Path(name if name.endswith((".yaml", ".yml")) else f"{name}.yaml")
    text = recipes.quickstart(path.stem) if quickstart else recipes.template(path.stem)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
        path.with_name(recipes.SCHEMA_FILE).write_text(recipes.json_schema(), encoding="utf-8")
    except FileExistsError:
        raise RecipeError([f"{path}: this file already exists; choose another name"]) from None
    except OSError as error:
        raise RecipeError([f"{path}: cannot be written: {error.strerror}"]) from None
    hint = "Run it" if quickstart else "Name your data sets in it, then"
    typer.echo(f"Wrote {path}. {hint}: tsbench search {shlex.quote(str(path))}")
