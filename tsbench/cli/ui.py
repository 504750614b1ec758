"""`tsbench ui`: MLflow's own page on a recipe's store."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Annotated

import typer

from tsbench.api.sources import store_and_name
from tsbench.cli.app import verb
from tsbench.cli.options import NameOrRecipe, TrackingUri
from tsbench.cli.status import working


@verb
def ui(
    name: NameOrRecipe = None,
    tracking_uri: TrackingUri = None,
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port on 127.0.0.1.")] = 5000,
) -> None:
    """Serve MLflow's page on a store to this machine, until Ctrl-C.

    The address is printed when the page answers. It opens the leaderboard of the recipe's experiment, or the trials as
    long as nothing is scored on test cases; without a name, the store's only experiment or the list of all.
    """
    from tsbench.redaction import redacted
    from tsbench.tracking.mlflow_ui import remote_page, served_page

    with working("reading the store"):
        store, experiment, _ = store_and_name(name, tracking_uri)
    if store.database is None:
        with working(f"asking {redacted(store.uri)}"):
            address = remote_page(store, experiment)
        typer.echo(f"The store is an MLflow server already: {redacted(address)}")
        return
    with ExitStack() as stack:
        with working("starting MLflow's page"):
            page = stack.enter_context(served_page(store, port, experiment))
        typer.echo(f"MLflow on {store.database}: {page.address}")
        typer.echo("Ctrl-C ends it.")
        try:
            page.wait()
        except KeyboardInterrupt:
            return
