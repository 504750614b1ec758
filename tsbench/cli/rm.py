"""`tsbench rm`: removes a search: runs, models and study."""

from __future__ import annotations

from typing import Annotated

import typer

from tsbench.api.sources import store_and_name
from tsbench.cli import completion
from tsbench.cli.app import verb
from tsbench.cli.options import TrackingUri
from tsbench.cli.status import working
from tsbench.errors import RecipeError


@verb
def rm(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME or RECIPE",
            help="A search's name, or its recipe's file.",
            show_default=False,
            autocompletion=completion.experiments_and_recipes,
        ),
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    tracking_uri: TrackingUri = None,
) -> None:
    """Remove a search: its runs, its models and its study. Child runs and files on disk are included."""
    with working("finding the search's runs, models and studies"):
        from tsbench.bench.deletion import plan_removal, remove

        store, experiment, _ = store_and_name(name, tracking_uri)
        assert experiment is not None
        removal = plan_removal(store, experiment)
    if removal.empty:
        raise RecipeError([f"{experiment!r} has no runs, models or studies to remove"])
    typer.echo(f"{experiment}: {removal.described()}")
    for sentence in removal.unreadable:
        typer.echo(f"note: {sentence}", err=True)
    if not (yes or typer.confirm("Remove them?")):
        typer.echo("Nothing was removed.")
        return
    remove(store, removal)
    typer.echo("Removed. MLflow can restore deleted runs until `mlflow gc` frees their space.")
