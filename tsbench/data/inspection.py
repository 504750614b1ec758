"""Inspects a data set: what it holds, and which problems it will cause."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tsbench.data.collection import Collection
from tsbench.recipe.messages import count_of, listed

__all__ = ["Inspection", "PartFacts", "inspect"]

MAX_NAMED = 5  # cases or classes that a finding lists
UNBALANCED = 10.0  # times as many cases in the largest class as in the smallest
FEW = 2  # cases of a class that cross-validation needs


@dataclass(frozen=True)
class PartFacts:
    """What one part of a data set holds.

    Attributes:
        cases: number of cases.
        channels: of a case.
        shortest, longest: lengths in time steps.
        classes: cases of each class.
        missing: missing values, and the share that they are of all values.
        infinite: infinite values.
        constant_channels: numbers, from 1, of channels that have one value in all cases.
        constant_cases: cases whose every channel has one value.
        duplicates: cases with the series of an earlier case.
        contradictions: duplicates with another label.
        groups: number of groups; None if cases have none.
    """

    cases: int
    channels: int
    shortest: int
    longest: int
    classes: Mapping[str, int]
    missing: int
    missing_share: float
    infinite: int
    constant_channels: tuple[int, ...]
    constant_cases: int
    duplicates: int
    contradictions: int
    groups: int | None


@dataclass(frozen=True)
class Inspection:
    """The result of inspecting a data set.

    Attributes:
        parts: `train` and `test`, or `all` of one file.
        leaked: test cases whose series is also a training case.
        findings: sentences on problems, the most serious first.
    """

    parts: Mapping[str, PartFacts]
    leaked: int = 0
    findings: tuple[str, ...] = field(default=())


def inspect(parts: Mapping[str, Collection]) -> Inspection:
    """Inspects the cases of one file (`all`), or of two (`train` and `test`)."""
    prints = {name: _fingerprints(cases) for name, cases in parts.items()}
    facts = {name: _facts(cases, prints[name]) for name, cases in parts.items()}
    leaked = 0
    if {"train", "test"} <= parts.keys():
        leaked = int(np.isin(prints["test"], prints["train"]).sum())
    return Inspection(facts, leaked, tuple(_findings(facts, leaked, parts)))


def _fingerprints(cases: Collection) -> NDArray[np.bytes_]:
    """Equal for equal series, shape (cases,)."""
    digests = [
        hashlib.blake2b(np.ascontiguousarray(values[:, :length]).data, digest_size=16, person=str(length).encode())
        for values, length in zip(cases.values, cases.lengths, strict=True)
    ]
    return np.array([digest.hexdigest() for digest in digests], dtype=np.bytes_)


def _facts(cases: Collection, prints: NDArray[np.bytes_]) -> PartFacts:
    names, counts = np.unique(cases.labels, return_counts=True)
    _, first, inverse = np.unique(prints, return_index=True, return_inverse=True)
    again = first[inverse] != np.arange(len(prints))
    contradict = again & (cases.labels != cases.labels[first[inverse]])
    low = np.full(cases.channels, np.inf)
    high = np.full(cases.channels, -np.inf)
    missing = infinite = constant = 0
    for part in cases.parts():
        values = cases.values[part].astype(np.float64)
        inside = (np.arange(cases.length) < cases.lengths[part][:, None])[:, None, :]
        missing += int((np.isnan(values) & inside).sum())
        infinite += int((np.isinf(values) & inside).sum())
        there = inside & ~np.isnan(values)
        least = np.where(there, values, np.inf).min(axis=2)
        most = np.where(there, values, -np.inf).max(axis=2)
        constant += int((least >= most).all(axis=1).sum())
        low, high = np.minimum(low, least.min(axis=0)), np.maximum(high, most.max(axis=0))
    total = int(cases.lengths.sum()) * cases.channels
    return PartFacts(
        len(cases),
        cases.channels,
        int(cases.lengths.min()),
        int(cases.lengths.max()),
        {str(name): int(count) for name, count in zip(names, counts, strict=True)},
        missing,
        missing / total,
        infinite,
        tuple(int(channel) + 1 for channel in np.flatnonzero(low >= high)),
        constant,
        int(again.sum()),
        int(contradict.sum()),
        None if cases.groups is None else len(np.unique(cases.groups)),
    )


def _findings(facts: Mapping[str, PartFacts], leaked: int, parts: Mapping[str, Collection]) -> list[str]:
    found: list[str] = []
    training = facts.get("train", facts.get("all"))
    assert training is not None
    if len(training.classes) < 2:
        found.append(
            f"all cases have the same label {next(iter(training.classes))!r}; classification needs two classes"
        )
    if "test" in facts:
        if facts["test"].channels != training.channels:
            found.append(f"training cases have {training.channels} channels, test cases {facts['test'].channels}")
        if unknown := sorted(set(facts["test"].classes) - set(training.classes)):
            found.append(f"test labels that no training case has: {_listed(unknown)}")
        if untested := sorted(set(training.classes) - set(facts["test"].classes)):
            found.append(f"classes without a test case: {_listed(untested)}")
        if leaked:
            found.append(f"leakage: {_cases(leaked)} of the test split {_is(leaked)} in the training split too")
        if shared := _shared_groups(parts):
            found.append(f"leakage: groups with cases in both splits: {_listed(shared)}")
    for name, part in facts.items():
        of = "" if name == "all" else f" of the {name} split"
        if part.infinite:
            found.append(f"{count_of(part.infinite, 'infinite value')}{of}, refused when the data set is loaded")
        if part.contradictions:
            found.append(f"{_cases(part.contradictions)}{of} {_is(part.contradictions)} there again with another label")
        if part.duplicates > part.contradictions:
            again = part.duplicates - part.contradictions
            found.append(f"{_cases(again)}{of} {_is(again)} there more than once")
        if part.missing:
            missing = count_of(part.missing, "missing value")
            found.append(f"{missing}{of} ({part.missing_share:.2%}); see preprocessing.missing")
        if part.constant_channels:
            cases = parts[name]
            constant = [cases.channel_name(channel - 1).removeprefix("channel ") for channel in part.constant_channels]
            found.append(f"channels{of} that never vary: {_listed(constant)}")
        if part.constant_cases:
            found.append(f"{_cases(part.constant_cases)}{of} without any change over time")
    if few := [name for name, count in training.classes.items() if count < FEW]:
        found.append(f"classes with a single training case, which is never used for validation: {_listed(few)}")
    most, least = max(training.classes.values()), min(training.classes.values())
    if most >= UNBALANCED * least:
        found.append(
            f"imbalance: the largest class has {most} training cases, the smallest {least}; "
            "look at balanced_accuracy, and see training.class_weights"
        )
    return found


def _shared_groups(parts: Mapping[str, Collection]) -> list[str]:
    train_groups, test_groups = parts["train"].groups, parts["test"].groups
    return (
        []
        if train_groups is None or test_groups is None
        else sorted(map(str, np.intersect1d(train_groups, test_groups)))
    )


def _cases(count: int) -> str:
    return count_of(count, "case")


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


def _listed(names: list[str]) -> str:
    return listed(names, MAX_NAMED)
