"""`tsbench search`: the main job."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tsbench.cli.app import INTERRUPTED, verb
from tsbench.cli.options import RecipePath, Set, load
from tsbench.cli.status import working

if TYPE_CHECKING:
    from rich.console import Console

    from tsbench.bench.plan import Plan
    from tsbench.search.study import BestTrial


@verb
def search(
    recipe: RecipePath,
    set_: Set = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the resolved plan and do nothing.")] = False,
    fresh: Annotated[
        bool,
        typer.Option("--fresh", help="Begin new studies, where the same command would continue earlier ones."),
    ] = False,
) -> None:
    """Tune the network on a recipe's data sets, and score it.

    The network and the baselines are scored on the test cases, and all of it is recorded in MLflow.

    The same command again continues a search that was interrupted, and runs nothing where it is complete.
    """
    from rich.console import Console

    from tsbench.bench.progress import make_display, spell

    if dry_run:
        with working("reading the recipe and its data sets"):
            plan = _plan(recipe, set_, lambda text: None)
        from tsbench.bench.plan import describe_plan

        typer.echo(describe_plan(plan), nl=False)
        return
    began, console = time.monotonic(), Console()
    display = make_display(console)
    with display:
        plan = _plan(recipe, set_, display.prepare)
        from tsbench.bench.begin import check_meanings
        from tsbench.bench.run import BenchmarkRun

        if not fresh:
            check_meanings(plan)
    run = BenchmarkRun(plan, display, fresh)
    run.state.began = began
    try:
        failures = run.carry_out()
    except KeyboardInterrupt:
        without = " without --fresh" if fresh else ""
        typer.echo(f"Interrupted. The same command{without} continues where it stopped.", err=True)
        raise typer.Exit(INTERRUPTED) from None
    if run.begun:
        _print_results(console, plan)
        for unit, front in run.fronts.items():
            _print_front(console, unit, front, plan)
        console.print(f"Took {spell(run.state.elapsed)}.", highlight=False)
        console.print(f"Browse it in MLflow: tsbench ui {recipe}", highlight=False, soft_wrap=True)
    if failures:
        typer.echo("\n".join(["What failed:", *(f"  {failure}" for failure in failures)]), err=True)
        raise typer.Exit(1)


def _plan(path: Path, overrides: list[str] | None, prepare: Callable[[str], None]) -> Plan:
    """Reads a recipe and checks it; `prepare` is told of each step that may take a while."""
    from tsbench.bench.plan import make_plan
    from tsbench.data.selection import names_of

    loaded = load(path, overrides)
    count = len(names_of(loaded.recipe))
    prepare(f"reading {count} data set{'' if count == 1 else 's'}")
    return make_plan(loaded, lambda text: typer.echo(text, err=True))


def _print_results(console: Console, plan: Plan) -> None:
    from tsbench.compare.comparison import Comparison
    from tsbench.compare.report import leaderboard
    from tsbench.compare.results import read_results
    from tsbench.data.selection import names_of

    recipe = plan.loaded.recipe
    results = read_results(plan.store, recipe.name).of(names_of(recipe))
    console.print(leaderboard(results, recipe.search.metric))
    for note in Comparison(results).notes():
        console.print(note, highlight=False, markup=False, soft_wrap=True)


def _print_front(console: Console, unit: str, front: list[BestTrial], plan: Plan) -> None:
    """The best compromises of a search over several metrics."""
    from rich.table import Table

    from tsbench.tracking import names

    search = plan.loaded.recipe.search
    metrics = [names.cv(metric) for metric in (search.metric, *search.trade_off)]
    table = Table("trial", *metrics, title=f"{unit}: trials that no other one surpasses in all metrics")
    for one in front:
        table.add_row(str(one.number), *(f"{one.scores[metric]:.4g}" for metric in metrics))
    console.print(table)
