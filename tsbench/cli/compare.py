"""`tsbench compare`: compares classifiers by scores from MLflow and published ones."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tsbench.cli import completion
from tsbench.cli.app import verb
from tsbench.cli.options import Json, Quiet, TrackingUri, Verbose
from tsbench.cli.status import set_verbosity, working
from tsbench.errors import RecipeError
from tsbench.recipe.registries import Metric

if TYPE_CHECKING:
    from tsbench.comparisons.comparison import Comparison


class Format(StrEnum):
    """Output formats of a comparison."""

    table = "table"
    csv = "csv"
    json = "json"
    markdown = "markdown"
    latex = "latex"


Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="NAME or RECIPE",
        help="MLflow experiments or recipe files; several are compared together.",
        autocompletion=completion.experiments_and_recipes,
    ),
]
References = Annotated[
    list[str] | None,
    typer.Option(
        "--reference",
        metavar="published|FILE.csv",
        help="Add published accuracies, or the scores in a CSV file. Repeatable.",
    ),
]


@verb
def compare(
    name: Names = None,
    tracking_uri: TrackingUri = None,
    all_: Annotated[bool, typer.Option("--all", help="Compare every experiment in the store.")] = False,
    reference: References = None,
    reference_resamples: Annotated[
        int,
        typer.Option(
            min=1,
            help="Resamples behind each score of a FILE without a column for them; 1: the first split.",
        ),
    ] = 1,
    reference_only: Annotated[bool, typer.Option("--reference-only", help="Do not read MLflow.")] = False,
    datasets: Annotated[
        str,
        typer.Option(
            metavar="NAME,...",
            help="Data sets to show, or a collection such as ucr-112.",
            autocompletion=completion.listed_data_sets,
        ),
    ] = "",
    classifiers: Annotated[
        str,
        typer.Option(metavar="NAME,...", help="Classifiers to show.", autocompletion=completion.classifiers),
    ] = "",
    metric: Annotated[
        Metric, typer.Option(help="Test score to compare; published scores exist for accuracy only.")
    ] = "accuracy",
    resamples: Annotated[
        int | None,
        typer.Option(min=1, help="Mean over resamples 0 to N-1; 1: the first split only. Default: all available."),
    ] = None,
    control: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Reference classifier for all comparisons; by default the network, else the best rank.",
            autocompletion=completion.classifiers,
        ),
    ] = "",
    alpha: Annotated[float, typer.Option(min=0.0001, max=0.5, help="Significance level of the tests.")] = 0.05,
    rope: Annotated[
        float, typer.Option(min=0, max=0.5, help="Differences up to this count as equivalent (Bayesian test).")
    ] = 0.01,
    nemenyi: Annotated[bool, typer.Option("--nemenyi", help="Add Nemenyi's test to JSON and the report.")] = False,
    format_: Annotated[Format, typer.Option("--format", help="Output format.")] = Format.table,
    as_json: Json = False,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Write a self-contained HTML report.")
    ] = None,
    plots: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write the plots as PNG and SVG to a folder.")
    ] = None,
    log: Annotated[bool, typer.Option("--log", help="Record the comparison as a run in MLflow.")] = False,
    fail_if_worse_than: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Exit with 1 if the control's mean score is worse than NAME's.",
            autocompletion=completion.classifiers,
        ),
    ] = "",
    margin: Annotated[float, typer.Option(min=0, help="Difference that --fail-if-worse-than tolerates.")] = 0.0,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Compare classifiers by a test score. Reports which is better, by how much, and with what certainty."""
    set_verbosity(verbose, quiet)
    with working("reading the results", not verbose and not quiet):
        from tsbench.api.comparing import compare as compare_named

        notes: list[str] = []
        comparison = compare_named(
            *(name or ()),
            tracking_uri=tracking_uri,
            every=all_,
            reference=reference or (),
            reference_resamples=reference_resamples,
            reference_only=reference_only,
            datasets=_split(datasets),
            classifiers=_split(classifiers),
            metric=metric,
            resamples=resamples,
            control=control,
            alpha=alpha,
            rope=rope,
            nemenyi=nemenyi,
            say=notes.append,
        )
    say = _say_nothing if quiet else partial(typer.echo, err=True)
    for note in notes:
        say(note)
    if log and comparison.results.store is None:
        raise RecipeError(["--log needs an MLflow experiment to record the comparison in; name one"])
    if report:
        from tsbench.comparisons.output import check_name

        check_name(report)  # before anything is written
    if fail_if_worse_than:
        comparison.lead_over(fail_if_worse_than)  # an unknown name is refused before anything is recorded
    if not quiet:
        _print(comparison, Format.json if as_json else format_)
    if plots:
        from tsbench.comparisons.plots import save_pictures
        from tsbench.recipe.messages import count_of

        try:
            count = len(save_pictures(comparison, plots))
        except OSError as error:
            raise RecipeError([f"--plots {plots}: cannot be written: {error.strerror}"]) from None
        say(f"Wrote {count_of(count, 'plot')} into {plots}.")
    if report:
        comparison.report(report)
        say(f"Wrote {report}.")
    if log:
        run = comparison.log()
        say(f"Recorded in MLflow as run {run} of {comparison.results.experiments[0]}.")
    if fail_if_worse_than:
        _fail_if_worse(comparison, fail_if_worse_than, margin, quiet)


def _say_nothing(text: str) -> None:
    pass


def _split(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _print(comparison: Comparison, form: Format) -> None:
    from tsbench.comparisons.report import FORMATS
    from tsbench.comparisons.terminal import WIDEST, score_tables, standings_table
    from tsbench.comparisons.wording import cautions, notes, sentences

    if form is not Format.table:
        typer.echo(FORMATS[form](comparison).rstrip("\n"))
        if form is Format.csv and comparison.remark:
            typer.echo(comparison.remark, err=True)  # a CSV file of scores has no room for a remark
        return
    from rich.console import Console

    console = Console()
    if len(comparison.classifiers) <= WIDEST:
        score_tables(comparison, console.width).print(console)
    if len(comparison.standings) > 1:
        standings_table(comparison, console.width).print(console)
    lines = sentences(comparison)[:1] + notes(comparison) + cautions(comparison)
    if len(comparison.classifiers) > WIDEST:
        lines.append("The table by data set is too wide for a terminal; use --classifiers, --report or --format csv.")
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _fail_if_worse(comparison: Comparison, name: str, margin: float, quiet: bool) -> None:
    from tsbench.comparisons.formatting import signed
    from tsbench.recipe.messages import count_of

    lead = comparison.lead_over(name)
    is_worse = lead.advantage < -margin
    if is_worse or not quiet:
        typer.echo(
            f"{lead.first} {'is worse' if is_worse else 'is not worse'} than {lead.second} by more than {margin:g}: "
            f"mean {comparison.words} {signed(lead.difference)} over {count_of(lead.count, 'data set')}.",
            err=True,
        )
    if is_worse:
        raise typer.Exit(1)
