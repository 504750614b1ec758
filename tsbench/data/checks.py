"""Checks that a classifier can be trained on a train file and scored on a test file."""

from __future__ import annotations

import numpy as np

from tsbench.data.formats import CaseFile
from tsbench.errors import DataError

__all__ = ["check_finite", "check_set"]


def check_set(train: CaseFile, test: CaseFile) -> None:
    """Refuses data that no classifier can be trained on or scored on.

    Raises:
        DataError: infinite values, missing ones that the header does not announce, labels that training cases do not
            have, a single class, other channels, or a group on both sides; with file, line and case.
    """
    check_finite(train)
    check_finite(test)
    _check_labels(train, test)
    if train.collection.channels != test.collection.channels:
        raise DataError(
            f"{test.place(0)} has {test.collection.channels} channels, "
            f"the training file's cases have {train.collection.channels}"
        )
    _check_groups(train, test)


def check_finite(file: CaseFile) -> None:
    """Infinite values are never right; missing ones are if the header announces them.

    Raises:
        DataError: names the first such value.
    """
    cases = file.collection
    wrong = np.zeros(len(cases), dtype=bool)
    for part in cases.parts():
        values = cases.values[part]
        wrong[part] = (np.isinf(values) if file.missing else ~np.isfinite(values)).any(axis=(1, 2))
    if not wrong.any():
        return
    case = int(np.argmax(wrong))
    values = cases.values[case]
    channel, step = (int(index) for index in np.argwhere(np.isinf(values) if file.missing else ~np.isfinite(values))[0])
    others = int(wrong.sum()) - 1
    cases_have = "case has" if others == 1 else "cases have"
    missing = np.isnan(values[channel, step])
    raise DataError(
        f"{file.place(case)}, {cases.channel_name(channel)}, time step {step + 1}: "
        f"the value is {'missing (NaN)' if missing else 'infinite'}"
        + (f", and {others} other {cases_have} such values" if others else "")
        + "; impute these values, or remove the case"
        + (", or, if they are intended, declare them in the header: @missing true" if missing else "")
    )


def _check_labels(train: CaseFile, test: CaseFile) -> None:
    classes = train.collection.classes
    if len(classes) < 2:
        raise DataError(
            f"{train.place(0)}: all {len(train.collection)} training cases have the same label {str(classes[0])!r}; "
            "classification needs at least two classes"
        )
    unknown = ~np.isin(test.collection.labels, classes)
    if unknown.any():
        case = int(np.argmax(unknown))
        raise DataError(
            f"{test.place(case)} has the label {str(test.collection.labels[case])!r}, which no training case has"
        )


def _check_groups(train: CaseFile, test: CaseFile) -> None:
    train_groups, test_groups = train.collection.groups, test.collection.groups
    if train_groups is None or test_groups is None:
        return
    both = np.isin(test_groups, train_groups)
    if both.any():
        case = int(np.argmax(both))
        raise DataError(
            f"{test.place(case)} is of group {str(test_groups[case])!r}, which also has training cases; "
            "keep each group in one part, or its test scores are too high"
        )
