"""`tsbench.compare`: which classifier is better, from MLflow and published scores."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tsbench.api.sources import store_and_name
from tsbench.errors import RecipeError, argument

if TYPE_CHECKING:
    from tsbench.comparisons.comparison import Comparison
    from tsbench.comparisons.published import Reference
    from tsbench.comparisons.results import Results
    from tsbench.tracking.store import Store

__all__ = ["compare"]


def _warn(text: str) -> None:
    warnings.warn(text, UserWarning, stacklevel=4)


def compare(
    *names: str | Path,
    tracking_uri: str | None = None,
    every: bool = False,
    reference: str | Path | Sequence[str | Path] = (),
    reference_resamples: int = 1,
    reference_only: bool = False,
    datasets: str | Sequence[str] = (),
    classifiers: str | Sequence[str] = (),
    metric: str = "accuracy",
    resamples: int | None = None,
    control: str = "",
    alpha: float = 0.05,
    rope: float = 0.01,
    nemenyi: bool = False,
    say: Callable[[str], None] = _warn,
) -> Comparison:
    """Compares classifiers by a test score, as `tsbench compare` does.

    Args:
        names: MLflow experiments or recipe files; several are compared together. Without names, the store's only one.
        tracking_uri: the MLflow store; by default the recipes', else MLFLOW_TRACKING_URI, else sqlite:///mlflow.db.
        every: compare every experiment of the store.
        reference: `published` for published accuracies, or CSV files of scores.
        reference_resamples: number of resamples behind each score of a file without a column for them.
        reference_only: do not read MLflow.
        datasets: data sets to show, or collections such as `ucr-112`; by default the experiments' own.
        classifiers: classifiers to show; by default all of the experiments', and the published ones with the most data
            sets.
        metric: accuracy, balanced_accuracy, f1_macro, log_loss or roc_auc.
        resamples: number of resamples whose mean is taken, the first ones; by default all available.
        control: the classifier that the others are compared with; by default the network, else the best rank.
        alpha: significance level of the tests.
        rope: differences of at most this much count as equivalent (Bayesian test).
        nemenyi: whether Nemenyi's test is reported too.
        say: called with notes for the user; warns by default.

    Returns:
        Scores and statistics. A notebook shows them as a table.

    Raises:
        RecipeError: nothing can be compared, or a name is unknown.
        TrackingError: the store cannot be read.

    Examples:
        >>> import tsbench
        >>> chosen = ["HC2", "QUANT", "MiniROCKET"]
        >>> comparison = tsbench.compare(reference="published", datasets="ucr-112", classifiers=chosen, resamples=30)
        >>> comparison.ranks.round(2).to_dict()
        {'HC2 (published)': 1.49, 'MiniROCKET (published)': 2.21, 'QUANT (published)': 2.3}
        >>> comparison.pairwise["significant"].tolist()
        [True, True, False]
        >>> figure = comparison.plot_critical_difference()
        >>> comparison.report("report.html")
    """
    from tsbench.comparisons.comparison import Comparison
    from tsbench.evaluation.metrics import MAXIMISED

    if metric not in MAXIMISED:
        raise RecipeError([f"metric {metric!r} is not known; known: {', '.join(MAXIMISED)}"])
    references = _load_references(_texts(reference), reference_resamples, metric)
    if reference_only and not references:
        alone = argument("--reference-only", "reference_only=True")
        published = argument("--reference published", "reference='published'")
        file = argument("--reference FILE.csv", "reference='FILE.csv'")
        raise RecipeError([f"{alone} needs {published} or {file}"])
    store, experiments, of_recipes = (
        (None, [], []) if reference_only else _find_experiments(_texts(names), tracking_uri, every, bool(references))
    )
    everything = _read(store, experiments, references)
    shown = _data_sets(_texts(datasets) or of_recipes, references, everything)
    results = everything.of(shown) if shown else everything
    if experiments:
        _refuse_without_results(everything, results, bool(references), say)
    if resamples is not None:
        results = results.under(tuple(range(resamples)))
    shown, remark = (shown, "") if shown or results.rows else _largest_collection(references, results.protocol)
    chosen = tuple(_texts(classifiers))
    return Comparison(
        results,
        references,
        shown,
        chosen,
        metric,
        remark,
        against=control,
        alpha=alpha,
        rope=rope,
        with_nemenyi=nemenyi,
    )


def _texts(given: str | Path | Sequence[str | Path]) -> list[str]:
    """One name or several."""
    return [str(given)] if isinstance(given, str | Path) else [str(name) for name in given]


def _load_references(given: Sequence[str], resamples: int, metric: str) -> tuple[Reference, ...]:
    """Each reference once; files of the same name are distinguished by their folders.

    Raises:
        RecipeError: published scores are requested for another metric than accuracy.
    """
    from dataclasses import replace

    from tsbench.comparisons.published import load_reference

    sources = list(dict.fromkeys(given))
    loaded = [load_reference(source, resamples, metric) for source in sources]
    if metric != "accuracy" and any(reference.carried for reference in loaded):
        by = argument(f"--metric {metric}", f"metric={metric!r}")
        published = argument("--reference published", "reference='published'")
        raise RecipeError(
            [f"{by}: published scores exist for accuracy only; leave out {published}, or compare by accuracy"]
        )
    names = [reference.name for reference in loaded]
    return tuple(
        reference if names.count(reference.name) == 1 or reference.carried else replace(reference, name=source)
        for reference, source in zip(loaded, sources, strict=True)
    )


def _refuse_without_results(
    everything: Results, shown: Results, with_reference: bool, say: Callable[[str], None]
) -> None:
    """Raises an error if the table would be empty.

    Raises:
        RecipeError: the experiments hold nothing, or nothing on the data sets chosen, and nothing else is shown.
    """
    if shown.rows:
        for name in everything.empty:
            say(f"{name} has no results.")
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
    say(f"{problem}. Only the references are shown.")


def _largest_collection(references: Sequence[Reference], protocol: tuple[int, ...]) -> tuple[tuple[str, ...], str]:
    """The data sets to show if there are only published scores, and the reason; otherwise empty."""
    from tsbench.comparisons.archive_choice import choose_collection

    if not references or not all(reference.carried for reference in references):
        return (), ""
    return choose_collection(references[0], protocol)


def _find_experiments(
    given: Sequence[str], uri: str | None, every: bool, with_reference: bool
) -> tuple[Store | None, list[str], list[str]]:
    """The store, the experiments to read and the data sets of the recipes among them.

    Without names and store, but with references, there are no experiments to read.
    """
    found = [store_and_name(address, uri) for address in given]
    if len({store.uri for store, _, _ in found}) > 1:
        raise RecipeError(
            [
                "these recipes have different MLflow stores; choose one with "
                + argument("--tracking-uri", "tracking_uri")
            ]
        )
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
    if not known:
        raise RecipeError(["there is nothing to compare: the store holds no experiment yet"])
    everything = argument("--all", "every=True")
    raise RecipeError([f"which experiment? The store holds {', '.join(known)}; name one of them, or {everything}"])


def _read(store: Store | None, experiments: Sequence[str], references: Sequence[Reference]) -> Results:
    """The experiments' results; without experiments, an empty table named after the references."""
    from tsbench.comparisons.results import Results, read_results

    if store and experiments:
        return read_results(store, *experiments)
    return Results(", ".join("published" if reference.carried else reference.name for reference in references), ())


def _data_sets(given: Sequence[str], references: Sequence[Reference], results: Results) -> tuple[str, ...]:
    """The requested data sets in their known spelling, with collections expanded."""
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
