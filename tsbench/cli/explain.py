"""`tsbench explain`: pictures of what a model looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tsbench.cli.app import verb
from tsbench.cli.options import ModelReference, TrackingUri, store_for


@verb
def explain(
    model: ModelReference,
    case: Annotated[
        list[int] | None,
        typer.Option("--case", min=0, help="Number of a test case, from 0; by default the first of each class."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help="Cases to explain, in place of the test cases.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where the pictures go.")] = Path("explanations"),
    tracking_uri: TrackingUri = None,
) -> None:
    """Draw cases over what a final network attended to, and where its pooled maxima lie."""
    from tsbench.bench.explain import draw_cases

    for path in draw_cases(store_for(tracking_uri), model, case, file, out):
        typer.echo(f"Wrote {path}")
