"""`tsbench studies`: how far the searches of a folder are."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated, Literal

import typer

from tsbench.cli.app import verb
from tsbench.cli.options import NameOrRecipe, TrackingUri, home


@verb
def studies(
    name: NameOrRecipe = None,
    tracking_uri: TrackingUri = None,
    format_: Annotated[Literal["table", "json"], typer.Option("--format", help="How to print it.")] = "table",
) -> None:
    """List studies: one for each data set and resample, with state, trials and best CV score."""
    from rich.console import Console
    from rich.table import Table

    from tsbench.bench.studies import list_studies

    root, recipe, _ = home(name, tracking_uri)
    found = list(list_studies(root, recipe))
    if format_ == "json":
        plain = [dataclasses.asdict(one) | {"folder": str(one.folder)} for one in found]
        typer.echo(json.dumps(plain, indent=2))
        return
    table = Table()
    for title in ("recipe", "data set", "state", "trials", "pruned", "failed", "lost", "best cv score"):
        table.add_column(title, justify="left" if title in ("recipe", "data set", "state") else "right")
    for one in found:
        title = one.dataset if one.resample == 0 else f"{one.dataset} resample {one.resample}"
        best = "" if one.best is None else f"{one.metric} {one.best:.4f}"
        counts = (str(count or "") for count in (one.pruned, one.failed, one.lost))
        table.add_row(one.recipe, title, one.state, f"{one.trials}/{one.budget}", *counts, best)
    Console().print(table)
