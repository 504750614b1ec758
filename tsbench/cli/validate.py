"""`tsbench validate`: checks a recipe without running it."""

from __future__ import annotations

import typer

from tsbench.cli.app import verb
from tsbench.cli.options import RecipePath, Set, load


@verb
def validate(recipe: RecipePath, set_: Set = None) -> None:
    """Check a recipe without running it. Reports all problems at once, each with its line and column."""
    from tsbench.data.selection import names_of

    loaded = load(recipe, set_)
    names = names_of(loaded.recipe)
    searched = f"{len(loaded.space)} settings searched" if loaded.space else "nothing searched"
    typer.echo(f"{recipe}: fine; {len(names)} data sets, {searched}, {len(loaded.recipe.baselines)} baselines")
