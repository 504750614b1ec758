"""The model card in Markdown: origin, scores and accepted input of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tsbench import __version__
from tsbench.classifiers.contract import FittedClassifier
from tsbench.classifiers.serving import CASE, TIME
from tsbench.evaluation.metrics import error_name, format_score

__all__ = ["CardFacts", "model_card"]

MAX_CLASSES = 50
"""Maximum number of classes that a card lists."""


OPTIMISTIC = " The cross-validation scores are the best of the search and so are optimistic: judge by the test."


@dataclass(frozen=True)
class CardFacts:
    """The facts of a card that the model itself does not hold.

    Attributes:
        title: of the data set, with its resample.
        recipe: name of the recipe.
        trial: number of the chosen trial; None for a baseline, and for a network of the recipe's own values.
        cases: number of training cases.
        test_cases: number of test cases.
        metrics: `cv_*` and `test_*` scores.
        requirements: pip requirements.
        own_values: whether it is a network of the recipe's own values, because nothing could be searched.
    """

    title: str
    recipe: str
    trial: int | None
    cases: int
    test_cases: int
    metrics: Mapping[str, float]
    requirements: Sequence[str]
    own_values: bool = False


def model_card(classifier: FittedClassifier, facts: CardFacts) -> str:
    """Data set, recipe, CV and test scores, and accepted input."""
    classes = [str(label) for label in classifier.classes]
    named = ", ".join(f"`{name}`" for name in classes[:MAX_CLASSES])
    more = f" and {len(classes) - MAX_CLASSES} more" if len(classes) > MAX_CLASSES else ""
    missing = (
        "may be missing (NaN in arrays, null in JSON, an empty cell in a table)"
        if classifier.missing_values
        else "must not be missing: the training cases had no missing values, and NaN is refused"
    )
    lines = [
        f"# {'Baseline' if _is_baseline(facts) else 'Network'} for {facts.title}",
        "",
        f"{_capitalised(classifier.summary())}. tsbench {__version__} {'' if facts.trial is None else 'tuned and '}"
        f"trained it on the data set {facts.title}.",
        "",
        "## Input",
        "",
        f"- Time series of {_channels(classifier)}.",
        f"- Length: {_trained_on(classifier)}; {_taken(classifier)}.",
        f"- Raw values: normalisation is part of the model. Values {missing}.",
        f"- It answers with one of {len(classes)} classes: {named}{more}. It does so for series of any other kind too.",
        "",
        "An array of shape (cases, channels, time steps); a list of cases; or a long table with "
        f"{_columns(classifier)}, all also as JSON below the key `inputs`.",
        "",
        "## Scores",
        "",
        "| metric | cross-validation | test |",
        "| --- | ---: | ---: |",
        *_figures(facts.metrics),
        "",
        f"Cross-validated on the {facts.cases} training cases (± standard error); scored once on {facts.test_cases} "
        "test cases." + ("" if facts.trial is None else OPTIMISTIC),
        "",
        "## Origin",
        "",
        f"Recipe `{facts.recipe}`, {_configuration(facts)} on all "
        f"training cases. Needs {', '.join(f'`{name}`' for name in facts.requirements)}. Values and settings only; no "
        "code is pickled.",
    ]
    return "\n".join(lines) + "\n"


def _is_baseline(facts: CardFacts) -> bool:
    return facts.trial is None and not facts.own_values


def _configuration(facts: CardFacts) -> str:
    if _is_baseline(facts):
        return "baseline, fitted"
    return "the recipe's own values, fitted" if facts.own_values else f"trial {facts.trial}, refitted"


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def _taken(classifier: FittedClassifier) -> str:
    if classifier.longest_allowed is None:
        return f"it takes {classifier.shortest_allowed} time steps or more, and cases may differ in length"
    return "it takes only cases of this length"


def _channels(classifier: FittedClassifier) -> str:
    count = "1 channel" if classifier.channels == 1 else f"{classifier.channels} channels"
    if classifier.columns is not None and classifier.columns.channels:
        return f"{count}: {', '.join(f'`{name}`' for name in classifier.columns.channels)}"
    return count if classifier.channels == 1 else f"{count}, in the training data's order"


def _columns(classifier: FittedClassifier) -> str:
    columns = classifier.columns
    if columns is None or not columns.channels:
        return f"the columns `{CASE}`, `{TIME}` and one for each channel"
    time = "" if columns.time is None else f", `{columns.time}` (time)"
    return f"the columns `{columns.case}` (case){time} and the channels by name, in any order"


def _trained_on(classifier: FittedClassifier) -> str:
    if classifier.shortest == classifier.longest:
        return f"trained on cases of {classifier.longest} time steps"
    return f"trained on cases of {classifier.shortest} to {classifier.longest} time steps"


def _figures(metrics: Mapping[str, float]) -> list[str]:
    found = dict.fromkeys(name.partition("_")[2] for name in metrics if name.startswith(("cv_", "test_")))
    rows = []
    for name in found:
        if name.removesuffix("_se") in found and name.endswith("_se"):
            continue  # shown beside its score
        cells = [(metrics.get(key), metrics.get(error_name(key))) for key in (f"cv_{name}", f"test_{name}")]
        texts = ["" if value is None else format_score(value, error) for value, error in cells]
        rows.append(f"| {name.replace('_', ' ')} | {texts[0]} | {texts[1]} |")
    return rows
