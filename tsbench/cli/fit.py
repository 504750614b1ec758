"""`tsbench fit`: the best classifier for a data set or a file, without a recipe of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tsbench.cli import completion
from tsbench.cli.app import verb
from tsbench.cli.options import Quiet, Verbose
from tsbench.cli.output import lasting_output
from tsbench.errors import RecipeError
from tsbench.signals import raised_signals


@verb
def fit(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="A data set's name, or a file of labelled cases: .ts, .arff, .tsv, .npz, .csv or .parquet.",
            show_default=False,
            autocompletion=completion.data_sets,
        ),
    ],
    test: Annotated[
        str | None,
        typer.Option("--test", metavar="FILE", help="Test cases; by default part of DATA's cases are held out."),
    ] = None,
    label: Annotated[str | None, typer.Option("--label", help="A table's column of labels; default: label.")] = None,
    case: Annotated[str | None, typer.Option("--case", help="A table's column of cases; default: case.")] = None,
    time: Annotated[
        str | None, typer.Option("--time", help="A table's column of times; default: rows in order.")
    ] = None,
    group: Annotated[
        str | None, typer.Option("--group", help="A table's column of groups that are never split.")
    ] = None,
    channels: Annotated[
        list[str] | None,
        typer.Option("--channels", help="A table's column of values; default: all others with numbers. Repeatable."),
    ] = None,
    time_limit: Annotated[str, typer.Option("--time-limit", help="Limit of the fit, such as 90s, 5m or 1h.")] = "5m",
    preset: Annotated[str, typer.Option("--preset", help="quick, good or best.")] = "good",
    name: Annotated[
        str | None, typer.Option("--name", help="The recipe's name; NAME.yaml is written here. Default: fit-DATA.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Fit again if the same command was run before.")] = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Fit the best classifier for some data within a time limit.

    Several families of classifiers are fitted and vote. The model is recorded in MLflow, and a recipe that does the
    same is written to NAME.yaml.
    """
    from tsbench.api.fitting import recipe_of
    from tsbench.cli.search import run_search

    columns = {"label": label, "case": case, "time": time, "channels": channels}
    tree = recipe_of(data, test, columns, group, time_limit=time_limit, preset=preset, name=name)
    with lasting_output(), raised_signals():
        path = write_recipe(Path(f"{tree['name']}.yaml"), tree)
        run_search(path, None, fresh, verbose, quiet)


def write_recipe(path: Path, tree: dict[str, Any]) -> Path:
    """Writes a recipe if it is valid and its data can be used; one with the same content is left as it is.

    One that `fit` wrote and nobody edited is replaced if it differs in `auto` alone: in the time limit or the preset.

    Raises:
        DataError: the data cannot be used.
        RecipeError: the recipe is not valid, or the file exists with other content.
    """
    import tempfile

    from tsbench.api.fitting import by_argument
    from tsbench.api.sources import load_with_data
    from tsbench.bench.plan import make_plan

    text = _text(path, tree)
    if path.exists() and path.read_bytes() == text.encode():
        return path
    if path.exists() and not _differs_in_auto_alone(path, tree):
        raise RecipeError([f"{path} already exists with other content; choose another name by --name, or remove it"])
    with tempfile.TemporaryDirectory() as scratch:
        draft = Path(scratch) / path.name
        draft.write_text(text, encoding="utf-8")
        try:
            make_plan(load_with_data(draft, None), dry=True)
        except RecipeError as error:
            problems = [by_argument(problem) for problem in error.problems]
            raise RecipeError(
                [problem.replace(f"{draft}:", f"{path} (not written):") for problem in problems]
            ) from None
    path.write_text(text, encoding="utf-8")
    typer.echo(f"Wrote {path}.")
    return path


def _text(path: Path, tree: dict[str, Any]) -> str:
    from tsbench.recipe.writing import to_yaml

    return f"# Written by `tsbench fit`; `tsbench search {path}` does the same.\n{to_yaml(tree)}"


def _differs_in_auto_alone(path: Path, tree: dict[str, Any]) -> bool:
    """Whether a recipe is as `fit` wrote it, for the same data."""
    from tsbench.recipe.reading import NotReadableError, plain_yaml, read_yaml

    try:
        content = path.read_text(encoding="utf-8")
        written = plain_yaml(read_yaml(content))
    except (NotReadableError, OSError, ValueError):
        return False
    return isinstance(written, dict) and content == _text(path, written) and written | {"auto": tree["auto"]} == tree
