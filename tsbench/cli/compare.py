"""`tsbench compare`: who is better, by how much and how surely, out of MLflow and published figures."""

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
        help="Figures of others beside ours: the published ones, or a CSV file's. May be given several times.",
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
            help="Resamples that the figures of a FILE without a column for it are the mean of; 1: archive split.",
        ),
    ] = 1,
    reference_only: Annotated[bool, typer.Option("--reference-only", help="Leave MLflow aside.")] = False,
    datasets: Annotated[
        str, typer.Option(metavar="NAME,...", help="Data sets to show, or a collection such as ucr-112.")
    ] = "",
    classifiers: Annotated[str, typer.Option(metavar="NAME,...", help="Classifiers to show.")] = "",
    resamples: Annotated[
        int | None,
        typer.Option(min=1, help="Mean over resamples 0 to N-1; 1: the archive's own split. By default all there are."),
    ] = None,
    control: Annotated[
        str, typer.Option(metavar="NAME", help="Whom the others are compared with: the network, else the best rank.")
    ] = "",
    alpha: Annotated[float, typer.Option(min=0.0001, max=0.5, help="Level of the tests.")] = 0.05,
    rope: Annotated[
        float, typer.Option(min=0, max=0.5, help="Differences of accuracy that are practically none (Bayesian test).")
    ] = 0.01,
    nemenyi: Annotated[bool, typer.Option("--nemenyi", help="Nemenyi's test too, in JSON and the report.")] = False,
    format_: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.table,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Write all of it as one self-contained page.")
    ] = None,
    figures: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write the pictures as PNG and SVG into a folder.")
    ] = None,
    log: Annotated[bool, typer.Option("--log", help="Record it as a run in MLflow.")] = False,
    fail_if_worse_than: Annotated[
        str, typer.Option(metavar="NAME", help="Exit with 1 where the control's mean accuracy is worse than NAME's.")
    ] = "",
    margin: Annotated[float, typer.Option(min=0, max=1, help="By how much it may be worse.")] = 0.0,
) -> None:
    """Compare classifiers by their test accuracy. Says which is better, by how much, and how surely."""
    with working("reading the results"):
        from tsbench.compare.comparison import Comparison
        from tsbench.compare.published import load_reference

    references = tuple(load_reference(one, reference_resamples) for one in reference or ())
    if reference_only and not references:
        raise RecipeError(["--reference-only needs --reference published or --reference FILE.csv"])
    store, experiments, of_recipes = (
        (None, [], []) if reference_only else _find_experiments(name or [], tracking_uri, all_, bool(references))
    )
    if log and store is None:
        raise RecipeError(["--log needs an MLflow experiment to record the comparison in; name one"])
    results = _read(store, experiments)
    shown = _data_sets(_split(datasets) or of_recipes, references, results)
    results = results.of(shown) if shown else results
    if resamples is not None:
        results = results.under(tuple(range(resamples)))
    chosen = tuple(_split(classifiers))
    comparison = Comparison(results, references, shown, chosen, control, alpha, rope, nemenyi)
    _print(comparison, format_)
    if not results.rows and not references:
        typer.echo(f"{results.name} has no scored classifiers yet.", err=True)
    if report or log:
        _record(comparison, store, experiments, report, log)
    if figures:
        from tsbench.compare.figures import save_pictures

        count = len(save_pictures(comparison, figures))
        typer.echo(f"Wrote {count} pictures into {figures}.", err=True)
    if fail_if_worse_than:
        _fail_if_worse(comparison, fail_if_worse_than, margin)


def _find_experiments(
    given: Sequence[str], uri: str | None, every: bool, with_reference: bool
) -> tuple[Store | None, list[str], list[str]]:
    """The store, the experiments to read and the data sets of the recipes among them.

    No store, and none, where nothing is named, nothing is there and figures of others are shown anyway.
    """
    found = [store_and_name(one, uri) for one in given]
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


def _read(store: Store | None, experiments: Sequence[str]) -> Results:
    from tsbench.compare.results import Results, read_results

    with working("reading the results"):
        return read_results(store, *experiments) if store and experiments else Results("published figures", ())


def _split(text: str) -> list[str]:
    return [one.strip() for one in text.split(",") if one.strip()]


def _data_sets(given: Sequence[str], references: Sequence[Reference], results: Results) -> tuple[str, ...]:
    """The data sets asked for, collections in place of their names, spelt as they are known."""
    from tsbench.data.catalogue import collection
    from tsbench.recipe.names import COLLECTIONS

    known = [*results.datasets, *(name for one in references for name in one.datasets)]
    spelling = {one.lower(): one for one in reversed(known)}
    found: list[str] = []
    for name in given:
        if name.lower() in COLLECTIONS:
            found += collection(name.lower())
        else:
            found.append(spelling.get(name.lower(), name))
    return tuple(dict.fromkeys(found))


def _print(comparison: Comparison, form: Format) -> None:
    from tsbench.compare.report import FORMATS, WIDEST, as_table, standings

    if form is not Format.table:
        typer.echo(FORMATS[form](comparison).rstrip("\n"))
        return
    from rich.console import Console

    console = Console()
    if len(comparison.classifiers) <= WIDEST:
        console.print(as_table(comparison))
    if len(comparison.standings) > 1:
        console.print(standings(comparison))
    lines = comparison.sentences()[:1] + comparison.notes() + comparison.cautions()
    if len(comparison.classifiers) > WIDEST:
        lines.append(
            "The table by data set is too wide for a terminal: --classifiers, --report or --format csv show it."
        )
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _record(
    comparison: Comparison, store: Store | None, experiments: Sequence[str], report: Path | None, log: bool
) -> None:
    from tsbench.compare.provenance import Provenance, read_provenance
    from tsbench.compare.record import log_comparison, write_report

    provenance = read_provenance(store, experiments, comparison.datasets) if store else Provenance()
    if report:
        write_report(comparison, provenance, report)
        typer.echo(f"Wrote {report}.", err=True)
    if log:
        assert store is not None
        run = log_comparison(comparison, provenance, store, experiments[0])
        typer.echo(f"Recorded in MLflow as run {run} of {experiments[0]}.", err=True)


def _fail_if_worse(comparison: Comparison, name: str, margin: float) -> None:
    lead = comparison.lead_over(name)
    verdict = "is worse" if lead.difference < -margin else "is not worse"
    typer.echo(
        f"{lead.first} {verdict} than {lead.second} by more than {margin:g}: mean accuracy {lead.difference:+.4f} over "
        f"{lead.count} data set{'' if lead.count == 1 else 's'}.",
        err=True,
    )
    if lead.difference < -margin:
        raise typer.Exit(1)
