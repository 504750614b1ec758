"""Folds of the training cases, and the field's resamples of a whole data set."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tsbench.data.collection import Collection, DataSet
from tsbench.data.splitting import split_cases
from tsbench.errors import DataError
from tsbench.recipe.schema import SplitConfig

__all__ = ["Fold", "fraction_of", "held_out_fold", "repeats_of", "resample", "stratified_folds"]

Fold = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Indices of the cases to train on, and of those to validate on."""


def stratified_folds(
    labels: NDArray[np.str_],
    folds: int,
    seed: int,
    groups: NDArray[np.str_] | None = None,
    spread_rare: bool = False,
) -> list[Fold]:
    """Shuffled cross-validation folds that keep each class's share.

    If a class has fewer cases than there are folds, there are as many folds as its cases, and at least two, so that
    each fold validates every class; or as many as requested, if `spread_rare`. A class of one case, or of one group,
    is always trained on and never validated on. With groups, there are at most as many folds as groups, and as cases
    of the most frequent class.

    Args:
        labels: shape (cases,).
        folds: at least 2.
        seed: of the shuffle.
        groups: shape (cases,): cases of one group are never on both sides; None if every case is its own group.
        spread_rare: whether the cases of a rare class are spread over some of the folds instead of lowering their
            number. That suits out-of-fold probabilities, which should be as good as those of a classifier of all cases:
            two folds train on half of them. Where the scores of folds are averaged, each fold should have every class.

    Returns:
        For each fold the training and validation indices, sorted. Each case of a class of two or more is validated
        on exactly once.

    Warns:
        UserWarning: fewer folds than requested, with the class that causes it.
        UserWarning: a class has a single case.

    Raises:
        DataError: every class has a single case, or a single group.
    """
    if groups is not None:
        return _grouped_folds(labels, folds, seed, groups)
    from sklearn.model_selection import StratifiedKFold

    classes, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    repeated = np.flatnonzero(counts[inverse] > 1)
    single = np.flatnonzero(counts[inverse] == 1)
    if len(repeated) == 0:
        raise DataError("every class has a single training case: validation is not possible")
    if len(single):
        names = ", ".join(repr(str(label)) for label in labels[single])
        warnings.warn(f"classes with a single training case ({names}) are used for training only", stacklevel=2)
    smallest = int(counts[counts > 1].min())
    if spread_rare:
        folds = min(folds, int(counts.max()))
    elif smallest < folds:
        name = str(classes[counts == smallest][0])
        warnings.warn(
            f"{smallest} folds instead of {folds}: class {name!r} has {smallest} training cases",
            stacklevel=2,
        )
        folds = smallest
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # of a class with fewer cases than folds
        divided = list(splitter.split(repeated, labels[repeated]))
    return [(np.sort(np.concatenate([repeated[train], single])), repeated[validation]) for train, validation in divided]


def _grouped_folds(labels: NDArray[np.str_], folds: int, seed: int, groups: NDArray[np.str_]) -> list[Fold]:
    """Folds of whole groups; a class entirely in one validation part is moved to the training part."""
    from sklearn.model_selection import StratifiedGroupKFold

    names = np.unique(groups)
    if len(names) < 2:
        raise DataError(f"all training cases are of one group, {str(names[0])!r}: validation is not possible")
    if len(names) < folds:
        warnings.warn(f"{len(names)} folds instead of {folds}: there are {len(names)} groups", stacklevel=3)
        folds = len(names)
    most = int(np.unique(labels, return_counts=True)[1].max())
    if most == 1:
        raise DataError("every class has a single training case: validation is not possible")
    if most < folds:  # scikit-learn refuses more folds, even if there are as many groups
        warnings.warn(f"{most} folds instead of {folds}: no class has more than {most} training cases", stacklevel=3)
        folds = most
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # of a class with fewer cases than folds
        divided = list(StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(labels, labels, groups))
    found: list[Fold] = []
    unknown_labels: set[str] = set()
    for train, validation in divided:
        known = np.isin(labels[validation], labels[train])
        unknown_labels |= set(map(str, labels[validation][~known]))
        if known.any():
            found.append((train, validation[known]))
    if not found:
        raise DataError("each class comes from a single group: validation is not possible")
    if unknown_labels:
        listed = ", ".join(map(repr, sorted(unknown_labels)))
        warnings.warn(
            f"classes that come from a single group ({listed}) are not validated when that group is held out",
            stacklevel=3,
        )
    return found


def held_out_fold(
    labels: NDArray[np.str_], share: float, seed: int, groups: NDArray[np.str_] | None = None
) -> list[Fold]:
    """A single fold, which validates on a stratified share of the cases; for sets too large to train on several times.

    Args:
        labels: shape (cases,).
        share: of the cases to validate on.
        seed: of the draw.
        groups: shape (cases,): cases of one group are never on both sides.

    Raises:
        DataError: there are too few cases or groups.
    """
    if groups is None:
        labels = _singles_joined(labels)
    train, validation = split_cases(labels, groups, SplitConfig(test_size=share, seed=seed))
    known = np.isin(labels[validation], labels[train])
    return [(train, validation[known])]


def repeats_of(folds: Sequence[Fold]) -> int:
    """How often the folds hold out each case; more than once if they are repeated."""
    held_out = np.concatenate([validation for _, validation in folds])
    return round(len(held_out) / len(np.unique(held_out)))


def fraction_of(
    labels: NDArray[np.str_], share: float, seed: int, groups: NDArray[np.str_] | None = None
) -> NDArray[np.int64]:
    """Indices, sorted, of a stratified share of the cases, at least two of each class that has as many; whole groups.

    Raises:
        DataError: there are too few groups.
    """
    if share == 1:
        return np.arange(len(labels))
    if groups is not None:
        left_out, _ = split_cases(labels, groups, SplitConfig(test_size=1 - share, seed=seed))
        return left_out
    random = np.random.default_rng(seed)
    kept = []
    for label in np.unique(labels):
        cases = np.flatnonzero(labels == label)
        count = min(len(cases), max(2, round(share * len(cases))))
        kept.append(random.choice(cases, count, replace=False))
    return np.sort(np.concatenate(kept))


def _singles_joined(labels: NDArray[np.str_]) -> NDArray[np.str_]:
    """Classes of a single case as one class, which scikit-learn can stratify."""
    _, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    single = counts[inverse] == 1
    if not single.any():
        return labels
    largest = labels[np.argmax(counts[inverse])]
    return np.where(single, largest, labels)


def resample(dataset: DataSet, number: int) -> DataSet:
    """The archive's split for 0; otherwise the stratified re-draw of the field's newer published scores.

    Train and test cases are pooled and drawn again with each class's training count kept, by aeon's
    `stratified_resample_data` with the resample's number as its seed. If cases have groups, whole groups are drawn.

    Raises:
        DataError: a class has no test case, or there are too few groups.
    """
    if number == 0:
        return dataset
    pooled = _pool(dataset.train, dataset.test)
    if pooled.groups is not None:
        share = len(dataset.test) / len(pooled)
        split = SplitConfig(test_size=share, seed=number)
        try:
            train, test = split_cases(pooled.labels, pooled.groups, split)
        except DataError as error:
            raise DataError(f"{dataset.name}, resample {number}: {error}") from None
        return _divided(dataset, pooled, train, test, number)
    if untested := sorted(set(dataset.train.labels) - set(dataset.test.labels)):
        raise DataError(
            f"{dataset.name}: class {str(untested[0])!r} has no test case, and the field's resamples need at least "
            "one for every class; set evaluation.resamples to 1"
        )
    from aeon.benchmarking.resampling import stratified_resample_data_indices

    train, test = stratified_resample_data_indices(dataset.train.labels, dataset.test.labels, random_state=number)
    return _divided(dataset, pooled, train, test, number)


def _divided(
    dataset: DataSet, pooled: Collection, train: NDArray[np.int64], test: NDArray[np.int64], number: int
) -> DataSet:
    return replace(dataset, train=_trimmed(pooled.subset(train)), test=_trimmed(pooled.subset(test)), resample=number)


def _trimmed(cases: Collection) -> Collection:
    """Removes padding that no case of it needs: the length of the others must not leak."""
    return replace(cases, values=cases.values[:, :, : int(cases.lengths.max())])


def _pool(first: Collection, second: Collection) -> Collection:
    longest = max(first.length, second.length)
    padded = [np.pad(cases.values, ((0, 0), (0, 0), (0, longest - cases.length))) for cases in (first, second)]
    groups = None
    if first.groups is not None and second.groups is not None:
        groups = np.concatenate([first.groups, second.groups])
    return Collection(
        np.concatenate(padded),
        np.concatenate([first.lengths, second.lengths]),
        np.concatenate([first.labels, second.labels]),
        groups,
        first.columns,
    )
