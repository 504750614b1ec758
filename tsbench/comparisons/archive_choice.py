"""Chooses the archive's collection of which published scores are shown, if the user named no data sets."""

from __future__ import annotations

from tsbench.comparisons.published import Reference
from tsbench.data.catalogue import collection
from tsbench.errors import argument
from tsbench.recipe.messages import count_of
from tsbench.recipe.registries import COLLECTIONS

__all__ = ["choose_collection"]


def choose_collection(reference: Reference, protocol: tuple[int, ...]) -> tuple[tuple[str, ...], str]:
    """The collection with the most scores of classifiers that were published on all of it.

    Classifiers can only be compared on the same data sets, and most were published either on univariate or on
    multivariate ones.

    Args:
        reference: the published scores.
        protocol: the resamples behind every score.

    Returns:
        Its data sets, and a sentence that says so and names the other collections; empty if there is none.
    """
    found: dict[str, tuple[int, int]] = {}
    for name in COLLECTIONS:
        datasets = collection(name)
        on_all = [
            classifier
            for classifier in reference.classifiers
            if all(reference.score(dataset, classifier, protocol) is not None for dataset in datasets)
            and not any((dataset, classifier) in reference.chosen_on_test for dataset in datasets)
        ]
        whole = sum(reference.original(classifier) not in on_all for classifier in on_all)
        size = (len(datasets), whole)
        if whole > 1 and size not in found.values():  # `ucr` and `ucr-128` are the same
            found[name] = size
    if not found:
        return (), ""
    chosen = max(found, key=lambda name: found[name][0] * found[name][1])
    others = [
        f"{argument(f'--datasets {name}', f'datasets={name!r}')} ({_sizes(*found[name])})"
        for name in found
        if name != chosen
    ]
    count, whole = found[chosen]
    sentence = (
        f"No data sets were named, so these are the {count} of {chosen}, the collection with the most published "
        f"scores: {count_of(whole, 'classifier')} on all of it."
    )
    return tuple(collection(chosen)), f"{sentence} Others: {', '.join(others)}." if others else sentence


def _sizes(datasets: int, classifiers: int) -> str:
    return f"{count_of(datasets, 'data set')}, {count_of(classifiers, 'classifier')}"
