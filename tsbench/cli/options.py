"""Arguments and options that several verbs take."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tsbench.cli import completion
from tsbench.cli.completion import DEFAULT_STORE
from tsbench.errors import RecipeError

if TYPE_CHECKING:
    from tsbench.recipe.loading import LoadedRecipe
    from tsbench.tracking.store import Store

__all__ = [
    "ModelReference",
    "NameOrRecipe",
    "RecipePath",
    "Set",
    "TrackingUri",
    "home",
    "load",
    "store_and_name",
    "store_for",
]

RecipePath = Annotated[
    Path,
    typer.Argument(metavar="RECIPE", help="A recipe in YAML.", show_default=False, autocompletion=completion.recipes),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Replace a value of the recipe, as in --set search.trials=30."),
]
NameOrRecipe = Annotated[
    str | None,
    typer.Argument(
        metavar="[NAME or RECIPE]",
        help="An MLflow experiment, or a recipe's file.",
        show_default=False,
        autocompletion=completion.experiments_and_recipes,
    ),
]
ModelReference = Annotated[
    str,
    typer.Argument(
        metavar="RUN_OR_MODEL",
        help="Id of a search's or a final network's MLflow run, models:/NAME@best, or a folder with a model.",
        show_default=False,
        autocompletion=completion.models,
    ),
]
TrackingUri = Annotated[
    str | None,
    typer.Option(
        "--tracking-uri",
        metavar="URI",
        help="The MLflow store; by default the recipe's, else MLFLOW_TRACKING_URI, else sqlite:///mlflow.db.",
    ),
]


def load(path: Path, overrides: list[str] | None) -> LoadedRecipe:
    """Reads and checks a recipe, with the baselines' names known."""
    from tsbench.classifiers.baselines import BASELINES, problem_with
    from tsbench.recipe.loading import load_recipe

    return load_recipe(path, overrides or (), BASELINES, problem_with)


def store_for(uri: str | None) -> Store | None:
    """The store that an address, the environment or the current folder names; None if there is none."""
    from tsbench.tracking.store import Store

    store = Store(uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_STORE)
    if store.connection.exists():
        return store
    if uri is not None:
        raise RecipeError([f"there is no MLflow store at {uri}"])
    return None


def home(name_or_recipe: str | None, uri: str | None) -> tuple[Path, str | None]:
    """The folder `.tsbench` of a NAME, a RECIPE or neither, with the recipe's name."""
    from tsbench.bench.plan import studies_folder
    from tsbench.data.folders import is_file
    from tsbench.tracking.store import Store

    name = name_or_recipe
    if name_or_recipe and (name_or_recipe.endswith((".yaml", ".yml")) or is_file(name_or_recipe)):
        recipe = load(Path(name_or_recipe), None).recipe
        name = recipe.name
        uri = uri or recipe.tracking.uri
    store = Store(uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_STORE)
    return studies_folder(store), name


def store_and_name(name_or_recipe: str | None, uri: str | None) -> tuple[Store, str | None, list[str]]:
    """The store, the experiment's name and the recipe's data sets, of a NAME, a RECIPE or neither.

    Raises:
        RecipeError: the recipe is wrong, or the store is not there.
    """
    from tsbench.data.folders import is_file
    from tsbench.data.selection import names_of
    from tsbench.redaction import redacted
    from tsbench.tracking.store import Store

    name, datasets = name_or_recipe, []
    if name_or_recipe and (name_or_recipe.endswith((".yaml", ".yml")) or is_file(name_or_recipe)):
        recipe = load(Path(name_or_recipe), None).recipe
        name, datasets = recipe.name, names_of(recipe)
        uri = uri or recipe.tracking.uri
    store = Store(uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_STORE)
    if not store.connection.exists():
        raise RecipeError(
            [
                f"there is no MLflow store at {redacted(store.uri)}; run `tsbench search RECIPE` first, "
                "or name another store with --tracking-uri"
            ]
        )
    return store, name, datasets
