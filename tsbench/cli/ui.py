"""`tsbench ui`: MLflow's own page on a recipe's store."""

from __future__ import annotations

from typing import Annotated

import typer

from tsbench.cli.app import verb
from tsbench.cli.options import NameOrRecipe, TrackingUri, store_and_name


@verb
def ui(
    name: NameOrRecipe = None,
    tracking_uri: TrackingUri = None,
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port on 127.0.0.1.")] = 5000,
) -> None:
    """Open MLflow's page on a store, on this machine only (127.0.0.1), until Ctrl-C."""
    from tsbench.redaction import redacted
    from tsbench.tracking.ui import page, serve

    store, experiment, _ = store_and_name(name, tracking_uri)
    if store.database is None:
        typer.echo(f"The store is an MLflow server already: {redacted(store.uri)}")
        return
    typer.echo(f"MLflow on {store.database}: {page(store, f'http://127.0.0.1:{port}', experiment)}")
    raise typer.Exit(serve(store, port))
