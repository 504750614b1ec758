"""`tsbench explain`: plots of what a model's predictions rest on."""

from __future__ import annotations

from itertools import chain, islice
from pathlib import Path
from typing import Annotated

import typer

from tsbench.api.sources import store_for
from tsbench.cli.app import verb
from tsbench.cli.options import ModelReference, TrackingUri
from tsbench.cli.status import working


@verb
def explain(
    model: ModelReference,
    case: Annotated[
        list[int] | None,
        typer.Option("--case", min=0, help="Number of a test case, from 0; by default the first of each class."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help="Cases to explain instead of the test cases.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Folder for the plots.")] = Path("explanations"),
    tracking_uri: TrackingUri = None,
) -> None:
    """Draw the time steps that a model's predictions rest on.

    For a network, its attention and its pooled maxima are drawn; for another classifier, how much the predicted class's
    probability falls if a window of the series is hidden.
    """
    with working("loading the model"):
        from tsbench.models.explaining import draw_cases

        paths = draw_cases(store_for(tracking_uri), model, case, file, out)
        first = list(islice(paths, 1))
    for path in chain(first, paths):
        typer.echo(f"Wrote {path}")
