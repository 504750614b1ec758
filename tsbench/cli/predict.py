"""`tsbench predict`: a saved model on the cases of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tsbench.api.sources import store_for
from tsbench.cli.app import verb
from tsbench.cli.options import Json, ModelReference, Quiet, TrackingUri, Verbose
from tsbench.cli.output import print_json
from tsbench.cli.status import set_verbosity, working
from tsbench.errors import RecipeError


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
        Path | None, typer.Option("--out", metavar="FILE", help="Write .csv or .parquet. Default: print CSV.")
    ] = None,
    case: Annotated[
        str | None, typer.Option("--case", help="A table's column of cases; default: as in training.")
    ] = None,
    time: Annotated[
        str | None, typer.Option("--time", help="A table's column of times; default: as in training.")
    ] = None,
    label: Annotated[
        str | None, typer.Option("--label", help="A table's column of labels; default: as in training.")
    ] = None,
    tracking_uri: TrackingUri = None,
    as_json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Predict the labels of a file's cases, with probabilities. The model may be a network, a baseline or `auto`."""
    set_verbosity(verbose, quiet)
    if quiet and out is None:
        raise RecipeError(["--quiet prints no predictions; name a file for them by --out"])
    with working("predicting", not verbose and not quiet):
        from tsbench.models.prediction import as_csv, predict_file, write_table
        from tsbench.models.reopening import open_model

        saved = open_model(store_for(tracking_uri), model)
        given = {"case": case, "time": time, "label": label}
        named = {role: column for role, column in given.items() if column is not None}
        predictions = predict_file(saved.classifier, file, named)
    if as_json:
        if out is not None:
            raise RecipeError(["--json prints the predictions, and --out writes them; leave one out"])
        rows = predictions.table.reset_index().to_dict("records")
        print_json({"predictions": rows, "accuracy": predictions.accuracy, "notes": predictions.notes})
        return
    if out is None:
        typer.echo(as_csv(predictions.table), nl=False)
    else:
        write_table(predictions.table, out)
        if quiet:
            return
        typer.echo(f"Wrote {len(predictions.table)} predictions to {out}")
    for note in predictions.notes:
        typer.echo(f"Note: {note}.", err=True)
    if predictions.accuracy is not None:
        typer.echo(f"Accuracy against the file's own labels: {predictions.accuracy:.4f}", err=True)
