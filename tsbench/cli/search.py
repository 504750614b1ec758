"""`tsbench search`: tunes, fits and scores what a recipe declares."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tsbench.api.searching import prepare
from tsbench.api.sources import load_with_data
from tsbench.cli.app import verb
from tsbench.cli.options import Quiet, RecipePath, Set, Verbose
from tsbench.cli.output import lasting_output
from tsbench.cli.status import set_verbosity, working
from tsbench.cli.validate import download_lines
from tsbench.signals import describe_interrupt, exit_code_of, raised_signals

if TYPE_CHECKING:
    from rich.console import Console

    from tsbench.bench.plan import Plan
    from tsbench.studies.trials import BestTrial


MAX_SETS = 3
"""Data sets whose `auto` members and run ids are printed; MLflow has those of all."""


@verb
def search(
    recipe: RecipePath,
    set_: Set = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the resolved plan, run nothing.")] = False,
    fresh: Annotated[
        bool,
        typer.Option("--fresh", help="Start new studies instead of continuing earlier ones."),
    ] = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Tune the network on a recipe's data sets and score it.

    The network and the baselines are scored on the test cases, and everything is recorded in MLflow.

    The same command continues an interrupted search, and runs nothing if it is complete. A log is written to
    .tsbench/NAME/search.log.
    """
    with lasting_output(), raised_signals():
        if dry_run:
            with working("reading the recipe and its data sets"):
                text = _described(recipe, set_)
            typer.echo(text, nl=False)
        else:
            run_search(recipe, set_, fresh, verbose, quiet)


def run_search(
    recipe: Path, overrides: list[str] | None, fresh: bool, verbose: bool = False, quiet: bool = False
) -> None:
    """Runs a recipe, shows its progress and prints its results.

    Raises:
        RecipeError: both `verbose` and `quiet` are set.
    """
    set_verbosity(verbose, quiet)
    from rich.console import Console

    from tsbench.bench.progress import format_elapsed, make_display

    console, run = Console(quiet=quiet), None
    display = make_display(Console(quiet=quiet or verbose))
    try:
        with display:
            run = prepare(recipe, overrides, fresh, display, lambda text: None if quiet else typer.echo(text, err=True))
        failures = run.run()
    except KeyboardInterrupt as interrupt:
        typer.echo(_ending(interrupt, run is not None and run.begun, fresh), err=True)
        raise typer.Exit(exit_code_of(interrupt)) from None
    if run.begun:
        _print_results(console, run.plan)
        if run.plan.loaded.recipe.auto is not None:
            _print_leaderboards(console, run.plan)
        for title, front in run.fronts.items():
            _print_front(console, title, front, run.plan)
        console.print(f"Took {format_elapsed(run.state.elapsed)}.", highlight=False)
        console.print(f"Browse it in MLflow: tsbench ui {shlex.quote(str(recipe))}", highlight=False, soft_wrap=True)
    if failures:
        typer.echo("\n".join(["What failed:", *(f"  {failure}" for failure in failures)]), err=True)
        raise typer.Exit(1)


def _ending(interrupt: KeyboardInterrupt, begun: bool, fresh: bool) -> str:
    """The last line of a search that was ended by a signal."""
    how = describe_interrupt(interrupt).replace("i", "I", 1)
    if not begun:
        return f"{how} before the search started. Run the same command to start it."
    return f"{how}. The same command{' without --fresh' if fresh else ''} continues where it stopped."


def _described(path: Path, overrides: list[str] | None) -> str:
    """The resolved plan of a recipe; changes nothing."""
    from tsbench.bench.plan import describe_plan, make_plan

    loaded = load_with_data(path, overrides)
    lines = list(download_lines(loaded.recipe, "would be"))
    with loaded.placed():
        described = describe_plan(make_plan(loaded, lines.append, dry=True))
    return "".join(f"# {line}\n" for line in lines) + described


def _print_results(console: Console, plan: Plan) -> None:
    from tsbench.comparisons.comparison import Comparison
    from tsbench.comparisons.results import read_results
    from tsbench.comparisons.terminal import leaderboard
    from tsbench.comparisons.wording import run_notes
    from tsbench.data.selection import names_of
    from tsbench.tracking import names

    recipe = plan.loaded.recipe
    results = read_results(plan.store, recipe.name).of(names_of(recipe))
    leaderboard(results, recipe.search.metric, console.width).print(console)
    for note in run_notes(Comparison(results)):
        console.print(note, highlight=False, markup=False, soft_wrap=True)
    of_networks = [
        row for row in results.rows if (row.classifier, row.resample, row.state) == (names.NETWORK, 0, "complete")
    ]
    for row in of_networks[:MAX_SETS]:
        command = f"tsbench predict {row.run_id} FILE"
        console.print(
            f"Predict with the network of {row.dataset}: {command}", highlight=False, markup=False, soft_wrap=True
        )


def _print_leaderboards(console: Console, plan: Plan) -> None:
    """Prints the members of each `auto` on the archive's own split, and how to predict with it."""
    import csv

    from tsbench.comparisons.terminal import members_table
    from tsbench.tracking import names

    tags = {names.ROLE: "baseline", names.CLASSIFIER: names.AUTO, names.RESAMPLE: 0, names.STATE: "complete"}
    runs = {run.tags[names.DATASET]: run for run in plan.store.runs(plan.loaded.recipe.name, names.where(tags))}
    for cell in plan.cells[:MAX_SETS]:
        if cell.resample == 0 and (run := runs.get(cell.dataset)) is not None:
            text = plan.store.artifacts.read_text(run.run_id, names.LEADERBOARD)
            console.print(members_table(cell.title, list(csv.DictReader(text.splitlines()))))
            console.print(f"Predict with it: tsbench predict {run.run_id} FILE", highlight=False, soft_wrap=True)


def _print_front(console: Console, title: str, front: list[BestTrial], plan: Plan) -> None:
    """Prints the Pareto front of a search over several metrics."""
    from tsbench.comparisons.terminal import front_table

    search = plan.loaded.recipe.search
    metrics = (search.metric, *search.trade_off)
    console.print(front_table(title, metrics, [(trial.number, trial.scores) for trial in front]))
