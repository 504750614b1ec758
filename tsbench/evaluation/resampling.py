"""Folds of the training cases, and the field's resamples of a whole data set."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tsbench.data.collection import Collection, DataSet
from tsbench.errors import DataError

__all__ = ["Fold", "resample", "stratified_folds"]

Fold = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Indices of the cases to train on, and of those to validate on."""


def stratified_folds(labels: NDArray[np.str_], folds: int, seed: int) -> list[Fold]:
    """Shuffled cross-validation folds that keep each class's share.

    Where a class has fewer cases than folds are asked for, there are as many folds as its cases, and at least two. A
    class of one case is always trained on and never validated on.

    Args:
        labels: shape (cases,).
        folds: at least 2.
        seed: of the shuffle.

    Returns:
        For each fold the training and validation indices, sorted. Each case of a class of two or more is validated
        on exactly once.

    Warns:
        UserWarning: fewer folds than asked for, with the class that is to blame.
        UserWarning: a class has a single case.

    Raises:
        DataError: every class has a single case.
    """
    from sklearn.model_selection import StratifiedKFold

    classes, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    repeated = np.flatnonzero(counts[inverse] > 1)
    single = np.flatnonzero(counts[inverse] == 1)
    if len(repeated) == 0:
        raise DataError("every class has a single training case: there is nothing to validate on")
    if len(single):
        names = ", ".join(repr(str(one)) for one in labels[single])
        warnings.warn(f"classes of a single training case ({names}) are trained on, never validated on", stacklevel=2)
    smallest = int(counts[counts > 1].min())
    if smallest < folds:
        name = str(classes[counts == smallest][0])
        warnings.warn(
            f"{smallest} folds in place of {folds}: class {name!r} has {smallest} training cases",
            stacklevel=2,
        )
        folds = smallest
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    return [
        (np.sort(np.concatenate([repeated[train], single])), repeated[validation])
        for train, validation in splitter.split(repeated, labels[repeated])
    ]


def resample(dataset: DataSet, number: int) -> DataSet:
    """The archive's split for 0; else the stratified re-draw that the field's newer published figures use.

    Train and test cases are pooled and drawn anew with each class's training count kept, by aeon's
    `stratified_resample_data` with the resample's number as its seed.

    Raises:
        DataError: a class has no test case.
    """
    if number == 0:
        return dataset
    if untested := sorted(set(dataset.train.labels) - set(dataset.test.labels)):
        raise DataError(
            f"{dataset.name}: class {str(untested[0])!r} has no test case, and the field's resamples are defined only "
            "where every class has one; set evaluation.resamples to 1"
        )
    from aeon.benchmarking.resampling import stratified_resample_data_indices

    train, test = stratified_resample_data_indices(dataset.train.labels, dataset.test.labels, random_state=number)
    pooled = _pool(dataset.train, dataset.test)
    return replace(dataset, train=_trimmed(pooled.subset(train)), test=_trimmed(pooled.subset(test)), resample=number)


def _trimmed(cases: Collection) -> Collection:
    """Without the padding that no case of it needs: how long the others are must not show."""
    return replace(cases, values=cases.values[:, :, : int(cases.lengths.max())])


def _pool(first: Collection, second: Collection) -> Collection:
    longest = max(first.length, second.length)
    padded = [np.pad(one.values, ((0, 0), (0, 0), (0, longest - one.length))) for one in (first, second)]
    return Collection(
        np.concatenate(padded),
        np.concatenate([first.lengths, second.lengths]),
        np.concatenate([first.labels, second.labels]),
    )
