"""`tsbench worker`: adds a worker to a running search."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from tsbench.api.sources import home
from tsbench.cli import completion
from tsbench.cli.app import verb
from tsbench.cli.options import TrackingUri
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
    storage: Annotated[str | None, typer.Option("--storage", hidden=True)] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda:N.")] = "auto",
    tracking_uri: TrackingUri = None,
) -> None:
    """Join a running search as a worker.

    It works from a second terminal of the search's machine until the search is done, or until Ctrl-C.

    The worker runs the same tasks as the search's own workers. To use other machines, add them to a Ray cluster and
    set execution.launcher: ray.
    """
    from tsbench.bench.study_list import ON_OTHER_MACHINES, find_search
    from tsbench.recipe.schema import DEVICE
    from tsbench.workers.joining import join
    from tsbench.workers.local import find_devices

    if not re.fullmatch(DEVICE, device):
        raise TsbenchError(
            f"--device is {device!r}; expected auto, cpu, cuda or a GPU's number as in cuda:1", exit_code=2
        )
    if storage is not None:
        raise TsbenchError(f"--storage was removed: {ON_OTHER_MACHINES}", exit_code=2)
    root, name = home(study, tracking_uri)
    assert name is not None
    address = find_search(name, root)
    with working("selecting a device"):
        chosen = find_devices(device, 1)[0]
    typer.echo(f"Working for {name!r} on {chosen}; press Ctrl-C to leave.")
    try:
        done = join(address, chosen, may_leave=True)
    except KeyboardInterrupt:
        done = True
    if not done:
        typer.echo("The search process has exited; running tasks were marked as failed.", err=True)
        raise typer.Exit(1)
    typer.echo("Done.")
