"""The model card: what a person must know before feeding a model, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tsbench import __version__
from tsbench.classifiers.network import NetworkEnsemble
from tsbench.classifiers.serving import CASE, TIME

__all__ = ["CardFacts", "model_card"]

MOST_CLASSES = 50
"""Classes that a card names one by one."""


@dataclass(frozen=True)
class CardFacts:
    """What a card says besides what the model itself knows.

    Attributes:
        title: of the data set, with its resample.
        recipe: name of the recipe.
        trial: number of the chosen trial.
        cases: number of training cases.
        test_cases: number of test cases.
        metrics: `cv_*` and `test_*` figures.
        requirements: pip requirements.
    """

    title: str
    recipe: str
    trial: int
    cases: int
    test_cases: int
    metrics: Mapping[str, float]
    requirements: Sequence[str]


def model_card(ensemble: NetworkEnsemble, facts: CardFacts) -> str:
    """Data set, recipe, CV and test figures, and what the model may be fed."""
    classes = [str(one) for one in ensemble.classes]
    named = ", ".join(f"`{one}`" for one in classes[:MOST_CLASSES])
    more = f" and {len(classes) - MOST_CLASSES} more" if len(classes) > MOST_CLASSES else ""
    missing = (
        "may be missing (NaN in arrays, null in JSON, an empty cell in a table)"
        if ensemble.missing_values
        else "must all be there: the training cases had no missing values, and NaN is refused"
    )
    lines = [
        f"# Network for {facts.title}",
        "",
        f"{len(ensemble.members)} neural networks that tsbench {__version__} tuned and trained on the data set "
        f"{facts.title}; the answer is the mean of their class probabilities.",
        "",
        "## What it may be fed",
        "",
        f"- Time series of {_channels(ensemble)}.",
        f"- Length: {_trained_on(ensemble)}; it takes {ensemble.shortest_allowed} time steps or more, and cases may "
        "differ in length.",
        f"- Values as they were measured: normalisation is part of the model. Values {missing}.",
        f"- It answers with one of {len(classes)} classes: {named}{more}. It does so for series of any other kind too.",
        "",
        f"An array of shape (cases, channels, time steps); a list of cases; or a long table with {_columns(ensemble)}, "
        "all also as JSON below the key `inputs`.",
        "",
        "## How good it is",
        "",
        "| metric | cross-validation | test |",
        "| --- | ---: | ---: |",
        *_figures(facts.metrics),
        "",
        f"Cross-validated on the {facts.cases} training cases; scored once on {facts.test_cases} test cases. The "
        "cross-validation figures are the best of the search and so are optimistic: judge by the test.",
        "",
        "## Where it comes from",
        "",
        f"Recipe `{facts.recipe}`, trial {facts.trial}, refitted on all training cases. Needs "
        f"{', '.join(f'`{one}`' for one in facts.requirements)}. Weights and settings only; no code is pickled.",
    ]
    return "\n".join(lines) + "\n"


def _channels(ensemble: NetworkEnsemble) -> str:
    count = "1 channel" if ensemble.channels == 1 else f"{ensemble.channels} channels"
    if ensemble.columns is not None and ensemble.columns.channels:
        return f"{count}: {', '.join(f'`{name}`' for name in ensemble.columns.channels)}"
    return count if ensemble.channels == 1 else f"{count}, in the training data's order"


def _columns(ensemble: NetworkEnsemble) -> str:
    columns = ensemble.columns
    if columns is None or not columns.channels:
        return f"the columns `{CASE}`, `{TIME}` and one for each channel"
    time = "" if columns.time is None else f", `{columns.time}` (time)"
    return f"the columns `{columns.case}` (case){time} and the channels by name, in any order"


def _trained_on(ensemble: NetworkEnsemble) -> str:
    if ensemble.shortest == ensemble.longest:
        return f"trained on cases of {ensemble.longest} time steps"
    return f"trained on cases of {ensemble.shortest} to {ensemble.longest} time steps"


def _figures(metrics: Mapping[str, float]) -> list[str]:
    found = dict.fromkeys(name.partition("_")[2] for name in metrics if name.startswith(("cv_", "test_")))
    rows = []
    for name in found:
        cells = [metrics.get(f"{part}_{name}") for part in ("cv", "test")]
        texts = ["" if value is None else f"{value:.4f}" for value in cells]
        rows.append(f"| {name.replace('_', ' ')} | {texts[0]} | {texts[1]} |")
    return rows
