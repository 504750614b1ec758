"""`tsbench reproduce`: runs a recorded run again and compares its values."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from tsbench.api.sources import store_for
from tsbench.cli import completion
from tsbench.cli.app import verb
from tsbench.cli.options import TrackingUri

if TYPE_CHECKING:
    from tsbench.models.reproduction import Reproduction

MAX_SHOWN = 12


@verb
def reproduce(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="Id of the MLflow run of a trial, a final network, a baseline, `auto` or a search.",
            show_default=False,
            autocompletion=completion.any_runs,
        ),
    ],
    tracking_uri: TrackingUri = None,
) -> None:
    """Run a recorded trial, network, baseline or `auto` again. Reports whether all values agree to the bit."""
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[variable] = "1"  # the same as in a worker; must precede the import of NumPy and torch
    from rich.console import Console

    from tsbench.bench.progress import format_elapsed
    from tsbench.errors import ModelError

    store = store_for(tracking_uri)
    if store is None:
        raise ModelError("there is no MLflow store here; name one with --tracking-uri")
    console = Console(stderr=True)
    with console.status("reading the recorded run") as status:
        from tsbench.models.reproduction import reproduce as run_again

        done = run_again(store, run, lambda text: status.update(f"running again: {text}"))
    typer.echo(f"{done.run.name}, run {done.run.run_id}: ran again in {format_elapsed(done.seconds)}.")
    _print(done)
    if not done.agrees:
        raise typer.Exit(1)


def _print(done: Reproduction) -> None:
    if done.agrees:
        typer.echo(f"All {len(done.values)} values agree to the bit.")
    elif not done.values:
        typer.echo("The run holds no values to compare.")
    else:
        wrong = [value for value in done.values if not value.agrees]
        typer.echo(f"{len(wrong)} of {len(done.values)} values differ:")
        for value in wrong[:MAX_SHOWN]:
            typer.echo(f"  {value.name}: {value.recorded!r} recorded, {value.now!r} now")
        if len(wrong) > MAX_SHOWN:
            typer.echo(f"  and {len(wrong) - MAX_SHOWN} more")
    if done.differences:
        typer.echo("Differences from the recorded run:")
        for sentence in done.differences:
            typer.echo(f"  {sentence}")
    elif not done.agrees:
        typer.echo("Versions, hardware and data are unchanged.")
