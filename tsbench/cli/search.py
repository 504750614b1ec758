"""`tsbench search`: the main job."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tsbench.cli.app import verb
from tsbench.cli.options import RecipePath, Set
from tsbench.cli.output import lasting_output
from tsbench.cli.validate import download_lines, load_with_data
from tsbench.signals import describe_interrupt, exit_code_of, raised_signals

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
    """Tune the network on a recipe's data sets, score it beside the baselines, and record it all in MLflow.

    The same command again continues a search that was interrupted, and runs nothing where it is complete.
    """
    with lasting_output(), raised_signals():
        _search(recipe, set_, dry_run, fresh)


def _search(recipe: Path, overrides: list[str] | None, dry_run: bool, fresh: bool) -> None:
    from rich.console import Console

    from tsbench.bench.begin import check_meanings
    from tsbench.bench.plan import describe_plan, make_plan
    from tsbench.bench.preflight import check_ready
    from tsbench.bench.progress import make_display, spell
    from tsbench.bench.run import BenchmarkRun

    loaded = load_with_data(recipe, overrides)
    if dry_run:
        lines = list(download_lines(loaded.recipe, "would be"))
        described = describe_plan(make_plan(loaded, lines.append, dry=True))
        typer.echo("".join(f"# {line}\n" for line in lines) + described, nl=False)
        return
    check_ready(loaded.recipe, fresh)  # before anything is downloaded
    plan = make_plan(loaded, lambda text: typer.echo(text, err=True))
    if not fresh:
        check_meanings(plan)
    console = Console()
    run = BenchmarkRun(plan, make_display(console), fresh)
    try:
        failures = run.carry_out()
    except KeyboardInterrupt as interrupt:
        how, without = describe_interrupt(interrupt), " without --fresh" if fresh else ""
        typer.echo(f"I{how[1:]}. The same command{without} continues where it stopped.", err=True)
        raise typer.Exit(exit_code_of(interrupt)) from None
    if run.begun:
        _print_results(console, plan)
        for unit, front in run.fronts.items():
            _print_front(console, unit, front, plan)
        console.print(f"Took {spell(run.state.elapsed)}.", highlight=False)
        console.print(f"Browse it in MLflow: tsbench ui {shlex.quote(str(recipe))}", highlight=False, soft_wrap=True)
    if failures:
        typer.echo("\n".join(["What failed:", *(f"  {failure}" for failure in failures)]), err=True)
        raise typer.Exit(1)


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
