"""Combines fitted members to a vote: its members, weights and scores."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tsbench.classifiers.contract import Facts, FittedClassifier, OutOfFold, in_columns_of
from tsbench.classifiers.vote import FittedVote, LeaderboardRow, VoteMember
from tsbench.classifiers.weighting import (
    Combination,
    fit_member_temperature,
    is_better_than_chance,
    log_loss,
    nested_probabilities,
    recalibrated,
)
from tsbench.data.collection import Collection
from tsbench.errors import DataError
from tsbench.evaluation.metrics import calibration_bins
from tsbench.evaluation.resampling import stratified_folds
from tsbench.recipe.messages import count_of
from tsbench.tracking import names

__all__ = ["MemberResult", "combine"]

FOLDS = 5
"""Folds of the nested evaluation: the weights are fitted on four of them and scored on the fifth."""

LEAST_SHARE = 0.5
"""Minimum share of held-out cases of a member; one with fewer is left out, as the weights need common cases."""


@dataclass(frozen=True)
class MemberResult:
    """The result of a candidate.

    Attributes:
        name: in the leaderboard.
        classifier: to predict with; None if it is left out.
        out_of_fold: its probabilities of the training cases; None if no case could be held out.
        fit_seconds: including folds.
        predict_seconds: of 100 cases; None if unknown.
        note: why it is left out, the preprocessing of the cases, and why folds are missing; empty if none of them.
    """

    name: str
    classifier: FittedClassifier | None
    out_of_fold: OutOfFold | None = None
    fit_seconds: float = 0.0
    predict_seconds: float | None = None
    note: str = ""


def combine(cases: Collection, results: Sequence[MemberResult], seed: int) -> FittedVote:
    """The vote of the members that can vote.

    Members without out-of-fold probabilities vote only if no member has any; then all weights are equal. A member that
    is no better than chance out of fold is left out, unless all are.

    Args:
        cases: the training cases.
        results: of the candidates; at least one has a classifier.
        seed: of the folds of the nested evaluation.
    """
    rows = {result.name: _row(result) for result in results}
    voting = [result for result in results if result.classifier is not None]
    scored = [result for result in voting if result.out_of_fold is not None]
    out_of_fold, combination, true = None, Combination.equal(len(voting)), np.empty(0)
    if scored:
        voting, common = _with_common_cases(scored, rows)
        codes = np.searchsorted(cases.classes, cases.labels)[common]
        voting = _better_than_chance(cases.classes, voting, common, codes, rows)
        members = [_probabilities(result, cases.classes)[common] for result in voting]
        combination = Combination.fit(members, codes)
        out_of_fold = _nested(cases, members, common, codes, seed)
        if out_of_fold is not None:
            true = np.sort(combination.apply(members)[np.arange(len(codes)), codes])
    for result, weight in zip(voting, combination.weights, strict=True):
        rows[result.name] = replace(rows[result.name], weight=weight)
    unscored = "no case could be held out, so all members have the same weight"
    if scored:
        unscored = "too few cases were held out for all of its members to score it"
    ensemble = LeaderboardRow(
        names.AUTO,
        weight=1.0,
        fit_seconds=sum(result.fit_seconds for result in results),
        predict_seconds=sum(result.predict_seconds or 0.0 for result in voting),
        note="" if out_of_fold else unscored,
    )
    if out_of_fold is not None:
        ensemble = _scored(ensemble, out_of_fold, recalibrate=False)
    ranked = sorted(rows.values(), key=lambda row: (row.weight == 0, np.inf if row.log_loss is None else row.log_loss))
    chosen = [VoteMember(result.name, result.classifier) for result in voting if result.classifier is not None]
    return FittedVote(cases.classes, Facts.of(cases), chosen, combination, [ensemble, *ranked], out_of_fold, true)


def _row(result: MemberResult) -> LeaderboardRow:
    fitted = result.classifier is not None
    row = LeaderboardRow(
        result.name,
        fit_seconds=result.fit_seconds if fitted else None,
        predict_seconds=result.predict_seconds if fitted else None,
        note=result.note,
    )
    return row if result.out_of_fold is None else _scored(row, result.out_of_fold, recalibrate=True)


def _scored(row: LeaderboardRow, found: OutOfFold, recalibrate: bool) -> LeaderboardRow:
    """Adds the scores of out-of-fold probabilities to a row."""
    probabilities, codes = found.held_out()
    if recalibrate:
        probabilities = recalibrated(probabilities, fit_member_temperature(probabilities, codes))
    right = probabilities.argmax(axis=1) == codes
    accuracy = float(right.mean())
    return replace(
        row,
        accuracy=accuracy,
        standard_error=float(np.sqrt(accuracy * (1 - accuracy) / len(right))),
        log_loss=log_loss(probabilities, codes),
        calibration_error=calibration_bins(probabilities.max(axis=1), right)[3],
    )


def _probabilities(result: MemberResult, classes: NDArray[np.str_]) -> NDArray[np.float64]:
    assert result.out_of_fold is not None
    return in_columns_of(classes, result.out_of_fold.probabilities, result.out_of_fold.classes)


def _with_common_cases(
    results: list[MemberResult], rows: dict[str, LeaderboardRow]
) -> tuple[list[MemberResult], NDArray[np.int64]]:
    """The members that have most cases in common, and these cases."""

    def held_out(result: MemberResult) -> NDArray[np.bool_]:
        assert result.out_of_fold is not None
        return result.out_of_fold.folds >= 0

    most = max(int(held_out(result).sum()) for result in results)
    kept = []
    for result in results:
        count = int(held_out(result).sum())
        if count >= LEAST_SHARE * most:
            kept.append(result)
        else:
            why = f"only {count_of(count, 'case')} of {most} were held out"
            rows[result.name] = replace(rows[result.name], note="; ".join(filter(None, [result.note, why])))
    while not (common := np.logical_and.reduce([held_out(result) for result in kept])).any():
        dropped = min(kept, key=lambda result: int(held_out(result).sum()))
        rows[dropped.name] = replace(rows[dropped.name], note="no case was held out for it and for the other members")
        kept.remove(dropped)
    return kept, np.flatnonzero(common)


def _better_than_chance(
    classes: NDArray[np.str_],
    results: list[MemberResult],
    common: NDArray[np.int64],
    codes: NDArray[np.integer],
    rows: dict[str, LeaderboardRow],
) -> list[MemberResult]:
    better = [result for result in results if is_better_than_chance(_probabilities(result, classes)[common], codes)]
    if not better:
        return results
    for result in results:
        if result not in better:
            rows[result.name] = replace(rows[result.name], note="it is no better than chance out of fold")
    return better


def _nested(
    cases: Collection,
    members: Sequence[NDArray[np.float64]],
    common: NDArray[np.int64],
    codes: NDArray[np.integer],
    seed: int,
) -> OutOfFold | None:
    """The ensemble's probabilities of the cases held out, by weights that were fitted on the other folds."""
    groups = None if cases.groups is None else cases.groups[common]
    with warnings.catch_warnings(action="ignore"):
        try:
            pairs = stratified_folds(cases.labels[common], FOLDS, seed, groups, spread_rare=True)
        except DataError:
            return None
    folds = [held_out for _, held_out in pairs]
    nested = nested_probabilities(members, codes, folds)
    probabilities = np.full((len(cases), len(cases.classes)), np.nan)
    numbers = np.full(len(cases), -1, dtype=np.int64)
    for number, fold in enumerate(folds):
        probabilities[common[fold]], numbers[common[fold]] = nested[fold], number
    return OutOfFold(probabilities, cases.classes, cases.labels, numbers)
