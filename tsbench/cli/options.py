"""Arguments and options that several verbs take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tsbench.cli import completion

__all__ = ["Json", "ModelReference", "NameOrRecipe", "Quiet", "RecipePath", "Set", "TrackingUri", "Verbose"]

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
        metavar="NAME or RECIPE",
        help="An MLflow experiment, or a recipe's file.",
        show_default=False,
        autocompletion=completion.experiments_and_recipes,
    ),
]
ModelReference = Annotated[
    str,
    typer.Argument(
        metavar="RUN_OR_MODEL",
        help="Id of the MLflow run of a search or of a model, models:/NAME@best, or a folder with a model.",
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
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Log each step to standard error instead of showing the progress.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print failures only.")]
