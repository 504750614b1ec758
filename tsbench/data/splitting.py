"""Splits cases into train and test, by class and by group."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tsbench.errors import DataError
from tsbench.recipe.messages import count_of
from tsbench.recipe.schema import SplitConfig

__all__ = ["split_cases"]

TRIES = 50  # random draws of groups, the best of which is used


def split_cases(
    labels: NDArray[np.str_], groups: NDArray[np.str_] | None, split: SplitConfig
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The indices of the training and the test cases, each sorted.

    Without groups, this is scikit-learn's (stratified) shuffle split. Groups are never split: of several random draws
    of groups, the one closest to the requested size, and with `stratify` to each class's share, is used.

    Args:
        labels: shape (cases,).
        groups: shape (cases,), or None.
        split: the settings of the split.

    Raises:
        DataError: there are too few cases or groups, or no draw leaves each class a training case.
    """
    if groups is not None:
        return _split_groups(labels, groups, split)
    from sklearn.model_selection import train_test_split

    if split.stratify:
        _check_classes(labels, split.test_size)
    try:
        train, test = train_test_split(
            np.arange(len(labels)),
            test_size=split.test_size,
            stratify=labels if split.stratify else None,
            random_state=split.seed,
        )
    except ValueError as error:
        raise DataError(f"the cases cannot be split: {str(error).rstrip('.')}") from None
    return np.sort(train), np.sort(test)


def _check_classes(labels: NDArray[np.str_], test_size: float) -> None:
    """Refuses cases of which a stratified split cannot put every class into both parts."""
    ways_out = "give a test file, more cases, or `split: {stratify: false}`"
    classes, counts = np.unique(labels, return_counts=True)
    if (alone := classes[counts < 2]).size:
        which = f"class {str(alone[0])!r} has" if len(alone) == 1 else f"{len(alone)} of {len(classes)} classes have"
        raise DataError(f"{which} a single case, so no stratified split has it in both parts; {ways_out}")
    test = math.ceil(test_size * len(labels))
    for part, count in (("test", test), ("training", len(labels) - test)):
        if count < len(classes):
            raise DataError(
                f"{count_of(count, f'{part} case')} cannot be of all {len(classes)} classes, as a stratified split "
                f"demands; {ways_out}"
            )


def _split_groups(
    labels: NDArray[np.str_], groups: NDArray[np.str_], split: SplitConfig
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    names, group = np.unique(groups, return_inverse=True)
    classes, label = np.unique(labels, return_inverse=True)
    if len(names) < 2:
        raise DataError(f"all cases are of one group, {str(names[0])!r}; it cannot be split into train and test")
    counts = np.zeros((len(names), len(classes)))  # cases of each group and class
    np.add.at(counts, (group, label), 1)
    if not split.stratify:
        counts = counts.sum(axis=1, keepdims=True)
    total = counts.sum(axis=0)
    random = np.random.default_rng(split.seed)
    best, least = None, np.inf
    for _ in range(TRIES):
        chosen = _draw(counts, split.test_size, random)
        test = chosen[group]
        if test.all() or not test.any() or len(np.unique(label[~test])) < len(classes):
            continue
        miss = float(np.abs(counts[chosen].sum(axis=0) / total - split.test_size).mean())
        if miss < least:
            best, least = test, miss
    if best is None:
        raise DataError(
            f"no draw of whole groups leaves each class a training case ({len(names)} groups, {len(classes)} classes); "
            "give more groups, a smaller test_size, or a train and a test file"
        )
    return np.flatnonzero(~best), np.flatnonzero(best)


def _draw(counts: NDArray[np.float64], share: float, random: np.random.Generator) -> NDArray[np.bool_]:
    """Draws groups in random order; a group becomes test data if it brings the classes' shares closer to the target."""
    total = counts.sum(axis=0)
    taken = np.zeros(counts.shape[1])
    chosen = np.zeros(len(counts), dtype=bool)
    for group in random.permutation(len(counts)):
        before = np.abs(taken / total - share).sum()
        if np.abs((taken + counts[group]) / total - share).sum() < before:
            chosen[group] = True
            taken += counts[group]
    return chosen
