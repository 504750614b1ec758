"""`tsbench validate`: checks a recipe without running it."""

from __future__ import annotations

import typer

from tsbench.cli.app import verb
from tsbench.cli.options import RecipePath, Set, load


@verb
def validate(recipe: RecipePath, set_: Set = None) -> None:
    """Check a recipe: every problem at once, each with its line and column."""
    loaded = load(recipe, set_)
    searched = f"{len(loaded.space)} settings searched" if loaded.space else "nothing searched"
    typer.echo(
        f"{recipe}: fine; {len(loaded.recipe.datasets)} data sets, {searched}, {len(loaded.recipe.baselines)} baselines"
    )
