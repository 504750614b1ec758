"""Finds the recipes, stores and experiments that a caller names."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tsbench.errors import RecipeError, argument

if TYPE_CHECKING:
    from tsbench.recipe.loading import LoadedRecipe
    from tsbench.recipe.schema import Recipe
    from tsbench.tracking.store import Store

__all__ = ["DEFAULT_STORE", "home", "load", "load_with_data", "store_and_name", "store_for"]

DEFAULT_STORE = "sqlite:///mlflow.db"


def load_with_data(
    source: str | Path | Mapping[str, Any] | Recipe, overrides: Sequence[str] | None = None
) -> LoadedRecipe:
    """Reads a recipe, and checks its data sets, which may have to be downloaded, and its stores' addresses.

    Args:
        source: the recipe's file, its content as plain data, or a `Recipe`.
        overrides: `dotted.key=value` texts that replace values of the recipe.

    Raises:
        RecipeError: with every problem, each with its line and column if there is a file.
    """
    from tsbench.classifiers.baselines import BASELINES, problem_with
    from tsbench.data.selection import problems_of
    from tsbench.recipe.loading import load_recipe
    from tsbench.tracking.addresses import problem_with_database, problem_with_store

    stores = {"tracking.uri": problem_with_store, "search.storage": problem_with_database}
    loaded = load_recipe(source, overrides or (), BASELINES, problem_with, problems_of, stores)
    if loaded.recipe.execution.launcher != "local":
        from tsbench.bench.plan import check_reach

        with loaded.placed():
            check_reach(loaded.recipe)
    return loaded


def load(path: Path, overrides: list[str] | None) -> LoadedRecipe:
    """Reads and checks a recipe, with the baselines' names known."""
    from tsbench.classifiers.baselines import BASELINES, problem_with
    from tsbench.recipe.loading import load_recipe

    return load_recipe(path, overrides or (), BASELINES, problem_with)


def store_for(uri: str | None) -> Store | None:
    """The store of an address, the environment or the current folder; None if there is none."""
    store = _named_store(uri)
    if store.connection.exists():
        return store
    if uri is not None:
        raise RecipeError([f"there is no MLflow store at {uri}"])
    return None


def _recipe_of(name_or_recipe: str | None) -> Recipe | None:
    """The recipe, if the name is that of a recipe's file."""
    from tsbench.data.folders import is_file

    if name_or_recipe and (name_or_recipe.endswith((".yaml", ".yml")) or is_file(name_or_recipe)):
        return load(Path(name_or_recipe), None).recipe
    return None


def _named_store(uri: str | None, recipe: Recipe | None = None) -> Store:
    """The store of an address, a recipe or the environment, otherwise that of the current folder."""
    from tsbench.tracking.store import Store

    of_recipe = None if recipe is None else recipe.tracking.uri
    return Store(uri or of_recipe or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_STORE)


def home(name_or_recipe: str | None, uri: str | None) -> tuple[Path, str | None]:
    """The folder `.tsbench` of a NAME, a RECIPE or neither, with the recipe's name."""
    from tsbench.bench.plan import studies_folder

    recipe = _recipe_of(name_or_recipe)
    return studies_folder(_named_store(uri, recipe)), name_or_recipe if recipe is None else recipe.name


def store_and_name(name_or_recipe: str | None, uri: str | None) -> tuple[Store, str | None, list[str]]:
    """The store, the experiment's name and the recipe's data sets, of a NAME, a RECIPE or neither.

    Raises:
        RecipeError: the recipe is wrong, or the store does not exist.
    """
    from tsbench.data.selection import names_of
    from tsbench.redaction import redacted

    recipe = _recipe_of(name_or_recipe)
    store = _named_store(uri, recipe)
    if not store.connection.exists():
        raise RecipeError(
            [
                f"there is no MLflow store at {redacted(store.uri)}; run `tsbench search RECIPE` first, "
                f"or name another store with {argument('--tracking-uri', 'tracking_uri')}"
            ]
        )
    if recipe is None:
        return store, name_or_recipe, []
    return store, recipe.name, names_of(recipe)
