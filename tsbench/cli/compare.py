"""`tsbench compare`: a table of test accuracies out of MLflow."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from tsbench.cli.app import verb
from tsbench.cli.options import NameOrRecipe, TrackingUri, store_and_name
from tsbench.errors import RecipeError


class Format(StrEnum):
    """Spellings of a comparison."""

    table = "table"
    csv = "csv"
    json = "json"
    markdown = "markdown"


@verb
def compare(
    name: NameOrRecipe = None,
    tracking_uri: TrackingUri = None,
    format_: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.table,
) -> None:
    """Compare classifiers by their test accuracy: by data set, average ranks, win/tie/loss against the network."""
    from tsbench.compare.report import Comparison
    from tsbench.compare.results import read_results

    store, experiment, datasets = store_and_name(name, tracking_uri)
    if experiment is None:
        known = store.experiments()
        if len(known) != 1:
            held = f"holds {', '.join(known)}; name one of them" if known else "holds no experiment yet"
            raise RecipeError([f"which experiment? The store {held}, as in `tsbench compare NAME`"])
        experiment = known[0]
    results = read_results(store, experiment)
    comparison = Comparison(results.of(datasets) if datasets else results)
    match format_:
        case Format.csv:
            typer.echo(comparison.as_csv(), nl=False)
        case Format.json:
            typer.echo(comparison.as_json())
        case Format.markdown:
            typer.echo(comparison.as_markdown(), nl=False)
        case Format.table:
            _print_table(comparison)
    if not comparison.results.rows:
        typer.echo(f"{experiment} has no scored classifiers yet.", err=True)


def _print_table(comparison: object) -> None:
    from rich.console import Console

    from tsbench.compare.report import Comparison

    assert isinstance(comparison, Comparison)
    console = Console()
    console.print(comparison.as_table())
    for note in comparison.notes():
        console.print(note, highlight=False, markup=False, soft_wrap=True)
