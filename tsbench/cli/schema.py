"""`tsbench schema`: the JSON schema of recipes."""

from __future__ import annotations

import json

import typer

from tsbench.cli.app import verb


@verb
def schema() -> None:
    """Print the JSON schema of recipes. Editors complete and check YAML by it."""
    from tsbench.recipe.schema import Recipe

    tree = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Recipe.model_json_schema()}
    typer.echo(json.dumps(tree, indent=2))
