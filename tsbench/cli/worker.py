"""`tsbench worker`: one more worker for a search that is under way."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from tsbench.cli import completion
from tsbench.cli.app import verb
from tsbench.cli.options import TrackingUri, home
from tsbench.cli.status import working
from tsbench.errors import TsbenchError


@verb
def worker(
    study: Annotated[
        str,
        typer.Argument(
            metavar="NAME or RECIPE",
            help="The search to join, or its recipe's file.",
            show_default=False,
            autocompletion=completion.experiments_and_recipes,
        ),
    ],
    storage: Annotated[
        str | None,
        typer.Option("--storage", metavar="URI", help="The search's database, where it runs on another machine."),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda:N.")] = "auto",
    tracking_uri: TrackingUri = None,
) -> None:
    """Join a running search as one more worker.

    It works from a second terminal or machine until the search is done, or until Ctrl-C.

    The worker does what the search's own workers do. A search lets workers of other machines in where its trials are in
    a database (search.storage) and its records on an MLflow server.
    """
    from tsbench.bench.studies import find_invitation
    from tsbench.recipe.schema import DEVICE
    from tsbench.search.launchers.joining import join
    from tsbench.search.launchers.local import find_devices

    if not re.fullmatch(DEVICE, device):
        raise TsbenchError(f"--device is {device!r}; expected auto, cpu, cuda or a GPU's number as in cuda:1")
    root, name, stored = home(study, tracking_uri)
    assert name is not None
    invitation = find_invitation(name, root, storage or stored)
    with working("looking for a device"):
        chosen = find_devices(device, 1)[0]
    typer.echo(f"Working for {name!r} at {invitation.host}:{invitation.port} on {chosen}; Ctrl-C leaves.")
    try:
        done = join(invitation, chosen, may_leave=True)
    except KeyboardInterrupt:
        done = True
    if not done:
        typer.echo("The search's own process is gone; what was under way is told failed.", err=True)
        raise typer.Exit(1)
    typer.echo("Done.")
