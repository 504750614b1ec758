"""`tsbench validate`: checks a recipe without running it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from tsbench.api.sources import load_with_data
from tsbench.cli.app import verb
from tsbench.cli.options import Json, RecipePath, Set
from tsbench.cli.output import print_json

if TYPE_CHECKING:
    from tsbench.recipe.schema import Recipe

__all__ = ["download_lines"]

MAX_NAMES = 20  # data sets listed in a line


@verb
def validate(recipe: RecipePath, set_: Set = None, as_json: Json = False) -> None:
    """Check a recipe and its data. Reports all problems at once, each with its line and column."""
    from tsbench.data.selection import absent_from, names_of
    from tsbench.errors import DataError, RecipeError
    from tsbench.recipe.messages import count_of

    try:
        loaded = load_with_data(recipe, set_)
    except (DataError, RecipeError) as error:
        if as_json:
            print_json({"recipe": str(recipe), "valid": False, "problems": str(error).splitlines()})
            raise typer.Exit(error.exit_code) from None
        raise
    datasets, baselines = names_of(loaded.recipe), [baseline.name for baseline in loaded.recipe.baselines]
    if as_json:
        facts = {"recipe": str(recipe), "valid": True, "problems": [], "datasets": datasets, "baselines": baselines}
        print_json(facts | {"searched": list(loaded.space), "to_download": absent_from(loaded.recipe)})
        return
    searched = f"{count_of(len(loaded.space), 'setting')} searched" if loaded.space else "nothing searched"
    counts = f"{count_of(len(datasets), 'data set')}, {searched}, {count_of(len(baselines), 'baseline')}"
    typer.echo(f"{recipe}: valid; {counts}")
    for line in download_lines(loaded.recipe, "will be"):
        typer.echo(line)


def download_lines(recipe: Recipe, verb_: str) -> list[str]:
    """Lists a recipe's data sets that are in none of the folders, with their sizes if the catalogue has them.

    Args:
        recipe: a recipe whose data sets were checked.
        verb_: `will be` or `would be`.
    """
    from tsbench.data.catalogue import catalogue
    from tsbench.data.folders import Places
    from tsbench.data.selection import absent_from

    absent = absent_from(recipe)
    lines = [f"{verb_} downloaded into {Places(recipe.archive).home}:"] if absent else []
    for name in absent[:MAX_NAMES]:
        facts = catalogue().get(name)
        size = (
            ""
            if facts is None
            else (
                f": {facts.train} training and {facts.test} test cases, {facts.channels} "
                f"channel{'' if facts.channels == 1 else 's'}, {facts.lengths} time steps"
            )
        )
        lines.append(f"  {name}{size}")
    return lines + ([f"  and {len(absent) - MAX_NAMES} more"] if len(absent) > MAX_NAMES else [])
