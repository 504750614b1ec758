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
    """List studies with state, trials and best CV score. There is one for each data set and resample."""
    from rich.console import Console
    from rich.table import Table

    from tsbench.bench.progress import spell_trials
    from tsbench.bench.studies import list_studies

    root, recipe, _ = home(name, tracking_uri)
    found = list(list_studies(root, recipe))
    if format_ == "json":
        plain = [dataclasses.asdict(one) | {"folder": str(one.folder)} for one in found]
        typer.echo(json.dumps(plain, indent=2))
        return
    table = Table()
    for title in ("recipe", "data set", "state"):
        table.add_column(title, no_wrap=True)
    table.add_column("trials", justify="right")
    # Room is short in a terminal of 80 columns: what happened nowhere has no column.
    happened = [kind for kind in ("pruned", "failed", "lost") if any(getattr(one, kind) for one in found)]
    for title in (*happened, "best cv score"):
        table.add_column(title, justify="right")
    for one in found:
        title = one.dataset if one.resample == 0 else f"{one.dataset} resample {one.resample}"
        best = "" if one.best is None else f"{one.metric} {one.best:.4f}"
        counts = (str(getattr(one, kind) or "") for kind in happened)
        table.add_row(one.recipe, title, one.state, spell_trials(one.trials, one.budget), *counts, best)
    Console().print(table)
