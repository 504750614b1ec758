"""`tsbench ui`: MLflow's page for a recipe's store, or Optuna's for its studies."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Annotated

import typer

from tsbench.api.sources import home, store_and_name
from tsbench.cli.app import verb
from tsbench.cli.options import NameOrRecipe, TrackingUri
from tsbench.cli.status import working


@verb
def ui(
    name: NameOrRecipe = None,
    tracking_uri: TrackingUri = None,
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port on 127.0.0.1.")] = 5000,
    optuna: Annotated[
        bool, typer.Option("--optuna", help="Serve optuna-dashboard for the studies instead of MLflow's page.")
    ] = False,
) -> None:
    """Serve MLflow's page for a store on this machine, until Ctrl-C.

    The address is printed when the page answers. It opens the leaderboard of the recipe's experiment, or the trials as
    long as nothing is scored on test cases; without a name, the store's only experiment or the list of all.
    """
    if optuna:
        _serve_dashboard(name, tracking_uri, port)
        return
    from tsbench.redaction import redacted
    from tsbench.tracking.mlflow_ui import remote_page, served_page

    with working("reading the store"):
        store, experiment, _ = store_and_name(name, tracking_uri)
    if store.database is None:
        with working(f"asking {redacted(store.uri)}"):
            address = remote_page(store, experiment)
        typer.echo(f"The store is already an MLflow server: {redacted(address)}")
        return
    with ExitStack() as stack:
        with working("starting MLflow's page"):
            page = stack.enter_context(served_page(store, port, experiment))
        typer.echo(f"MLflow on {store.database}: {page.address}")
        typer.echo("Press Ctrl-C to stop.")
        try:
            page.wait()
        except KeyboardInterrupt:
            return


def _serve_dashboard(name: str | None, tracking_uri: str | None, port: int) -> None:
    """Serves Optuna's dashboard on copies of the studies."""
    with working("reading the studies"):
        from tsbench.bench.study_list import find_studies
        from tsbench.studies.dashboard import dashboard_server

        server = dashboard_server(find_studies(*home(name, tracking_uri)), port)
    with server:
        typer.echo(f"optuna-dashboard on a copy of the studies: http://127.0.0.1:{port}/dashboard/")
        typer.echo("Press Ctrl-C to stop.")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return
