"""`tsbench predict`: a saved model on the cases of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tsbench.cli.app import verb
from tsbench.cli.options import ModelReference, TrackingUri, store_for
from tsbench.cli.status import working


@verb
def predict(
    model: ModelReference,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="Cases: .ts, .arff, .tsv, .npz, a long table (.csv, .parquet), .json or .npy.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write .csv or .parquet; by default CSV is printed.")
    ] = None,
    case: Annotated[str, typer.Option("--case", help="The column of a table that tells its cases apart.")] = "case",
    time: Annotated[str, typer.Option("--time", help="The column of a table that orders a case's rows.")] = "time",
    label: Annotated[str, typer.Option("--label", help="The column of a table with the true labels.")] = "label",
    tracking_uri: TrackingUri = None,
) -> None:
    """Predict the labels of a file's cases. Uses a search's final network, and prints its probabilities too."""
    with working("predicting"):
        from tsbench.bench.predict import predict_file, write_table
        from tsbench.bench.recorded import open_model

        saved = open_model(store_for(tracking_uri), model)
        predictions = predict_file(saved.ensemble, file, {"case": case, "time": time, "label": label})
    if out is None:
        typer.echo(predictions.table.to_csv(), nl=False)
    else:
        write_table(predictions.table, out)
        typer.echo(f"Wrote {len(predictions.table)} predictions to {out}")
    if predictions.accuracy is not None:
        typer.echo(f"Accuracy against the file's own labels: {predictions.accuracy:.4f}", err=True)
