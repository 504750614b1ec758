"""`tsbench schema`: the JSON schema of recipes."""

from __future__ import annotations

import typer

from tsbench.cli.app import verb


@verb
def schema() -> None:
    """Print the JSON schema of recipes. Editors use it to complete and check YAML."""
    from tsbench.recipe.template import json_schema

    typer.echo(json_schema(), nl=False)
