"""`tsbench compare`: which classifier is better, by how much and how surely, from MLflow and published scores."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tsbench.cli import completion
from tsbench.cli.app import verb
from tsbench.cli.options import TrackingUri, store_and_name
from tsbench.cli.status import working
from tsbench.errors import RecipeError
from tsbench.recipe.registries import Metric

if TYPE_CHECKING:
    from tsbench.compare.comparison import Comparison
    from tsbench.compare.published import Reference
    from tsbench.compare.results import Results
    from tsbench.tracking.store import Store


class Format(StrEnum):
    """Spellings of a comparison."""

    table = "table"
    csv = "csv"
    json = "json"
    markdown = "markdown"
    latex = "latex"


Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[NAME or RECIPE]...",
        help="MLflow experiments, or recipes' files; several are compared together.",
        autocompletion=completion.experiments_and_recipes,
    ),
]
References = Annotated[
    list[str] | None,
    typer.Option(
        "--reference",
        metavar="published|FILE.csv",
        help="Add published accuracies, or the scores of a CSV file. May be given several times.",
    ),
]


@verb
def compare(
    name: Names = None,
    tracking_uri: TrackingUri = None,
    all_: Annotated[bool, typer.Option("--all", help="Every experiment of the store.")] = False,
    reference: References = None,
    reference_resamples: Annotated[
        int,
        typer.Option(
            min=1,
            help="Resamples that the scores of a FILE without a column for it are the mean of; 1: the first split.",
        ),
    ] = 1,
    reference_only: Annotated[bool, typer.Option("--reference-only", help="Leave MLflow aside.")] = False,
    datasets: Annotated[
        str, typer.Option(metavar="NAME,...", help="Data sets to show, or a collection such as ucr-112.")
    ] = "",
    classifiers: Annotated[str, typer.Option(metavar="NAME,...", help="Classifiers to show.")] = "",
    metric: Annotated[
        Metric, typer.Option(help="Test score to compare; published ones exist for accuracy only.")
    ] = "accuracy",
    resamples: Annotated[
        int | None,
        typer.Option(min=1, help="Mean over resamples 0 to N-1; 1: the first split alone. By default all there are."),
    ] = None,
    control: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Reference classifier for all comparisons; by default the network, else the best rank."
        ),
    ] = "",
    alpha: Annotated[float, typer.Option(min=0.0001, max=0.5, help="Level of the tests.")] = 0.05,
    rope: Annotated[
        float, typer.Option(min=0, max=0.5, help="Differences of the metric that are practically none (Bayesian test).")
    ] = 0.01,
    nemenyi: Annotated[bool, typer.Option("--nemenyi", help="Nemenyi's test too, in JSON and the report.")] = False,
    format_: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.table,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Write all of it as one self-contained page.")
    ] = None,
    plots: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write the pictures as PNG and SVG into a folder.")
    ] = None,
    log: Annotated[bool, typer.Option("--log", help="Record it as a run in MLflow.")] = False,
    fail_if_worse_than: Annotated[
        str, typer.Option(metavar="NAME", help="Exit with 1 if the control's mean score is worse than NAME's.")
    ] = "",
    margin: Annotated[float, typer.Option(min=0, help="By how much it may be worse.")] = 0.0,
) -> None:
    """Compare classifiers by a test score. Says which is better, by how much, and how surely."""
    with working("reading the results"):
        from tsbench.compare.comparison import Comparison

    references = _load_references(reference or [], reference_resamples, metric)
    if reference_only and not references:
        raise RecipeError(["--reference-only needs --reference published or --reference FILE.csv"])
    store, experiments, of_recipes = (
        (None, [], []) if reference_only else _find_experiments(name or [], tracking_uri, all_, bool(references))
    )
    if log and store is None:
        raise RecipeError(["--log needs an MLflow experiment to record the comparison in; name one"])
    everything = _read(store, experiments, references)
    shown = _data_sets(_split(datasets) or of_recipes, references, everything)
    results = everything.of(shown) if shown else everything
    if experiments:
        _refuse_without_results(everything, results, bool(references))
    if resamples is not None:
        results = results.under(tuple(range(resamples)))
    shown, remark = (shown, "") if shown or results.rows else _largest_collection(references, results.protocol)
    chosen = tuple(_split(classifiers))
    comparison = Comparison(results, references, shown, chosen, control, alpha, rope, nemenyi, metric, remark)
    if fail_if_worse_than:
        comparison.lead_over(fail_if_worse_than)  # an unknown name is refused before anything is recorded
    _print(comparison, format_)
    if plots:
        from tsbench.compare.plots import save_pictures
        from tsbench.recipe.messages import count_of

        try:
            count = len(save_pictures(comparison, plots))
        except OSError as error:
            raise RecipeError([f"--plots {plots}: cannot be written: {error.strerror}"]) from None
        typer.echo(f"Wrote {count_of(count, 'plot')} into {plots}.", err=True)
    if report or log:
        _record(comparison, store, experiments, report, log)
    if fail_if_worse_than:
        _fail_if_worse(comparison, fail_if_worse_than, margin)


def _load_references(given: Sequence[str], resamples: int, metric: Metric) -> tuple[Reference, ...]:
    """Each reference once; files of the same name are distinguished by their folders.

    Raises:
        RecipeError: published scores of another metric than accuracy are asked for.
    """
    from dataclasses import replace

    from tsbench.compare.published import load_reference

    sources = list(dict.fromkeys(given))
    loaded = [load_reference(source, resamples, metric) for source in sources]
    if metric != "accuracy" and any(reference.carried for reference in loaded):
        raise RecipeError(
            [
                f"--metric {metric}: published scores exist for accuracy only; leave out --reference published, "
                "or compare by accuracy"
            ]
        )
    names = [reference.name for reference in loaded]
    return tuple(
        reference if names.count(reference.name) == 1 or reference.carried else replace(reference, name=source)
        for reference, source in zip(loaded, sources, strict=True)
    )


def _refuse_without_results(everything: Results, shown: Results, with_reference: bool) -> None:
    """An empty table would look like a result.

    Raises:
        RecipeError: the experiments hold nothing, or nothing on the data sets chosen, and nothing else is shown.
    """
    if shown.rows:
        for name in everything.empty:
            typer.echo(f"{name} has no results.", err=True)
        return
    if everything.rows:
        problem = f"{everything.name} has no result on these data sets; it has: {', '.join(everything.datasets)}"
    else:
        problem = (
            f"{everything.name} has no results: nothing was scored yet, or its runs were removed; start a search with "
            "`tsbench search RECIPE`"
        )
    if not with_reference:
        raise RecipeError([problem])
    typer.echo(f"{problem}. Only the references are shown.", err=True)


def _largest_collection(references: Sequence[Reference], protocol: tuple[int, ...]) -> tuple[tuple[str, ...], str]:
    """The data sets to show of published scores alone, and why; none if there are other references too."""
    from tsbench.compare.archive_choice import choose_collection

    if not references or not all(reference.carried for reference in references):
        return (), ""
    return choose_collection(references[0], protocol)


def _find_experiments(
    given: Sequence[str], uri: str | None, every: bool, with_reference: bool
) -> tuple[Store | None, list[str], list[str]]:
    """The store, the experiments to read and the data sets of the recipes among them.

    No store, and none, if nothing is named, nothing is there and references are shown anyway.
    """
    found = [store_and_name(address, uri) for address in given]
    if len({store.uri for store, _, _ in found}) > 1:
        raise RecipeError(["these recipes have different MLflow stores; name one for all by --tracking-uri"])
    if found and not every:
        datasets = [dataset for _, _, some in found for dataset in some]
        return found[0][0], list(dict.fromkeys(name for _, name, _ in found if name)), datasets
    try:
        store = found[0][0] if found else store_and_name(None, uri)[0]
    except RecipeError:
        if with_reference and uri is None:
            return None, [], []
        raise
    known = store.experiments()
    if every or len(known) == 1:
        return store, sorted(known), []
    if not known and with_reference:
        return None, [], []
    held = f"holds {', '.join(known)}; name one of them, or --all" if known else "holds no experiment yet"
    raise RecipeError([f"which experiment? The store {held}, as in `tsbench compare NAME`"])


def _read(store: Store | None, experiments: Sequence[str], references: Sequence[Reference]) -> Results:
    """The experiments' results; without any an empty table named after the references."""
    from tsbench.compare.results import Results, read_results

    if store and experiments:
        with working("reading the results"):
            return read_results(store, *experiments)
    return Results(", ".join("published" if reference.carried else reference.name for reference in references), ())


def _split(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _data_sets(given: Sequence[str], references: Sequence[Reference], results: Results) -> tuple[str, ...]:
    """The data sets asked for, collections in place of their names, spelt as they are known."""
    from tsbench.data.catalogue import collection
    from tsbench.recipe.registries import COLLECTIONS

    known = [*results.datasets, *(name for reference in references for name in reference.datasets)]
    spelling = {candidate.lower(): candidate for candidate in reversed(known)}
    found: list[str] = []
    for name in given:
        if name.lower() in COLLECTIONS:
            found += collection(name.lower())
        else:
            found.append(spelling.get(name.lower(), name))
    return tuple(dict.fromkeys(found))


def _print(comparison: Comparison, form: Format) -> None:
    from tsbench.compare.report import FORMATS
    from tsbench.compare.terminal import WIDEST, score_tables, standings_table
    from tsbench.compare.wording import cautions, notes, sentences

    if form is not Format.table:
        typer.echo(FORMATS[form](comparison).rstrip("\n"))
        if form is Format.csv and comparison.remark:
            typer.echo(comparison.remark, err=True)  # a file of scores has no place for it
        return
    from rich.console import Console

    console = Console()
    if len(comparison.classifiers) <= WIDEST:
        score_tables(comparison, console.width).print(console)
    if len(comparison.standings) > 1:
        standings_table(comparison, console.width).print(console)
    lines = sentences(comparison)[:1] + notes(comparison) + cautions(comparison)
    if len(comparison.classifiers) > WIDEST:
        lines.append(
            "The table by data set is too wide for a terminal: --classifiers, --report or --format csv show it."
        )
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _record(
    comparison: Comparison, store: Store | None, experiments: Sequence[str], report: Path | None, log: bool
) -> None:
    from tsbench.compare.output import log_comparison, write_report
    from tsbench.compare.versions import Provenance, read_provenance

    provenance = read_provenance(store, experiments, comparison.datasets) if store else Provenance()
    if report:
        write_report(comparison, provenance, report)
        typer.echo(f"Wrote {report}.", err=True)
    if log:
        assert store is not None
        run = log_comparison(comparison, provenance, store, experiments[0])
        typer.echo(f"Recorded in MLflow as run {run} of {experiments[0]}.", err=True)


def _fail_if_worse(comparison: Comparison, name: str, margin: float) -> None:
    from tsbench.compare.formatting import signed
    from tsbench.recipe.messages import count_of

    lead = comparison.lead_over(name)
    verdict = "is worse" if lead.advantage < -margin else "is not worse"
    typer.echo(
        f"{lead.first} {verdict} than {lead.second} by more than {margin:g}: mean {comparison.words} "
        f"{signed(lead.difference)} over {count_of(lead.count, 'data set')}.",
        err=True,
    )
    if lead.advantage < -margin:
        raise typer.Exit(1)
