"""`tsbench datasets`: what is at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tsbench.cli.app import verb


@verb
def datasets(
    archive: Annotated[
        Path | None, typer.Option("--archive", help="A folder to look into first, besides TSBENCH_ARCHIVE.")
    ] = None,
) -> None:
    """List the data sets at hand, with their sizes and where they are."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from tsbench.data.archive import Archive
    from tsbench.errors import DataError

    found = Archive(archive)
    table = Table(padding=(0, 1), box=box.SIMPLE_HEAD)
    table.add_column("data set", overflow="fold")
    for title in ("train", "test", "channels", "length", "classes"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("remarks")
    folders: dict[Path, int] = {}
    for name, folder in found.names().items():
        try:
            about = found.describe(name)
        except DataError as error:
            table.add_row(name, *[""] * 5, escape(str(error)), style="dim")
            continue
        if about is None:
            continue
        folders[folder.parent] = folders.get(folder.parent, 0) + 1
        table.add_row(
            name,
            str(about.train),
            str(about.test),
            str(about.channels),
            about.lengths,
            str(about.classes),
            about.remarks,
        )
    console = Console()
    console.print(table)
    for folder, count in folders.items():
        console.print(f"{count} in {folder}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"Others are downloaded into {found.home} when a recipe names them.", highlight=False, soft_wrap=True)
