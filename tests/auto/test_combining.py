from __future__ import annotations

import numpy as np

from tsbench.auto.combining import MemberResult, combine
from tsbench.classifiers.baselines import find_baseline
from tsbench.classifiers.contract import OutOfFold
from tsbench.data.collection import Collection


def test_a_vote_that_cannot_be_scored_does_not_claim_equal_weights() -> None:
    labels = np.array(list("aabb"))
    cases = Collection(np.random.default_rng(0).normal(size=(4, 1, 20)), np.full(4, 20), labels)
    classifier = find_baseline("1nn-ed", {}).fit(cases, 0)
    sure = np.array([[0.9, 0.1], [0.8, 0.2], [0.2, 0.8], [0.3, 0.7]])
    doubtful = 0.8 * sure + 0.2 * sure[:, ::-1]
    doubtful[[1, 3]] = np.nan  # one case of each class is left that both have held out, too few to part again
    all_cases = OutOfFold(sure, cases.classes, labels, np.arange(4))
    some_cases = OutOfFold(doubtful, cases.classes, labels, np.array([0, -1, 0, -1]))
    vote = combine(cases, [MemberResult("a", classifier, all_cases), MemberResult("b", classifier, some_cases)], 0)
    assert vote.out_of_fold is None
    assert len(set(vote.combination.weights)) == 2
    assert vote.leaderboard[0].note == "too few cases were held out for all of its members to score it"
