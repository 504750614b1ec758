"""`tsbench studies`: the state of the studies in a folder."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tsbench.api.sources import home
from tsbench.cli.app import verb
from tsbench.cli.options import Json, NameOrRecipe, TrackingUri

if TYPE_CHECKING:
    from tsbench.bench.study_list import StudySummary


@verb
def studies(
    name: NameOrRecipe = None,
    tracking_uri: TrackingUri = None,
    format_: Annotated[Literal["table", "json"], typer.Option("--format", help="Output format.")] = "table",
    as_json: Json = False,
) -> None:
    """List studies with state, trials and best CV score. Each data set and resample has its own.

    A study that cannot be read is reported after the others, and the exit code is then 1.
    """
    from tsbench.bench.study_list import list_studies

    root, recipe = home(name, tracking_uri)
    problems: list[str] = []
    found = list(list_studies(root, recipe, problems.append))
    if as_json or format_ == "json":
        plain = [dataclasses.asdict(study) | {"folder": str(study.folder)} for study in found]
        typer.echo(json.dumps(plain, indent=2))
    elif found:
        _print_table(found)
    if problems:
        typer.echo("\n".join(problems), err=True)
        raise typer.Exit(1)


def _print_table(found: Sequence[StudySummary]) -> None:
    from rich.console import Console
    from rich.table import Table

    from tsbench.bench.progress import format_trials
    from tsbench.evaluation.metrics import format_score

    table = Table()
    for title in ("recipe", "data set", "state"):
        table.add_column(title, no_wrap=True)
    table.add_column("trials", justify="right")
    # A terminal of 80 columns has little room, so that a count that is 0 everywhere has no column.
    happened = [kind for kind in ("pruned", "failed", "lost") if any(getattr(study, kind) for study in found)]
    for title in (*happened, "best cv score"):
        table.add_column(title, justify="right")
    for study in found:
        title = study.dataset if study.resample == 0 else f"{study.dataset} resample {study.resample}"
        best = "" if study.best is None else f"{study.metric} {format_score(study.best, study.error)}"
        trials = format_trials(study.trials, study.budget) if study.budget else ""
        counts = (str(getattr(study, kind) or "") for kind in happened)
        table.add_row(study.recipe, title, study.state, trials, *counts, best)
    Console().print(table)
