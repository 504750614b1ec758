"""`tsbench export`: a saved model in another runtime's format."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tsbench.api.sources import store_for
from tsbench.cli.app import verb
from tsbench.cli.options import ModelReference, TrackingUri
from tsbench.cli.status import working


class Target(StrEnum):
    """Formats that a model is exported to."""

    onnx = "onnx"


@verb
def export(
    model: ModelReference,
    format_: Annotated[Target, typer.Option("--format", help="Output format.")] = Target.onnx,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Output file. Default: <data set>.onnx.")
    ] = None,
    tracking_uri: TrackingUri = None,
) -> None:
    """Export a final network to ONNX. The file's output is compared with PyTorch on real cases."""
    with working("exporting the model, and comparing it with PyTorch"):
        from tsbench.models.exporting import export_model

        done = export_model(store_for(tracking_uri), model, out)
    typer.echo(
        f"Wrote {done.path}: inputs x (cases, {done.channels}, time steps) and lengths (cases), any number and length "
        f"of cases; output probabilities of {done.classes} classes."
    )
    typer.echo(f"Compared with PyTorch on {done.compared}: probabilities differ by at most {done.difference:.1e}.")
