"""What is reported while the members are fitted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.auto.test_training import DUMMY, NEAREST, custom
from tsbench.auto.progress import AutoProgress
from tsbench.auto.training import AutoTraining
from tsbench.data.archive import Archive


def test_members_are_reported_as_they_end_with_the_vote_so_far() -> None:
    seen: list[AutoProgress] = []
    train = Archive().load("ItalyPowerDemand").train
    candidates = [NEAREST, custom("Raising"), DUMMY, custom("Hanging")]
    training = AutoTraining(
        train,
        candidates,
        time_limit=600,
        on_change=lambda: seen.append(training.progress()),
        stopping=lambda: "asked" if sum(progress.members[3].state == "fitting" for progress in seen) > 3 else None,
    )
    vote = training.run()
    first, last = seen[0], seen[-1]
    assert [member.state for member in first.members] == ["fitting", "waiting", "waiting", "waiting"]
    assert (first.accuracy, first.log_loss) == (None, None)
    assert [member.state for member in last.members] == ["done", "skipped", "done", "skipped"]
    assert last.members[1].reason == "ValueError: it does not like these cases"
    assert last.members[3].reason == "asked before it was fitted"
    rows = {row.member: row for row in vote.leaderboard}
    assert (last.accuracy, last.log_loss) == (rows["auto"].accuracy, rows["auto"].log_loss)
    assert last.members[0].accuracy == rows["1nn-ed"].accuracy
    alone = next(progress for progress in seen if progress.members[1].state == "fitting")
    assert alone.members[0].state == "done"
    assert alone.accuracy is not None
    lefts = [progress.left for progress in seen if progress.left is not None]
    assert len(lefts) == len(seen)
    assert lefts == sorted(lefts, reverse=True)
    assert any(str(progress).startswith("Hanging; 3 of 4 members, ") for progress in seen)


def test_a_bag_is_done_once_all_of_its_folds_are_and_its_fits_on_all_cases_are_shown_too() -> None:
    seen: list[AutoProgress] = []
    train = Archive().load("ItalyPowerDemand").train
    bag = replace(NEAREST, name="bag", bagged=True)
    few = train.subset(np.r_[0:6, len(train) - 6 : len(train)])
    training = AutoTraining(few, [bag], on_change=lambda: seen.append(training.progress()))
    vote = training.run()
    states = [progress.members[0].state for progress in seen]
    done = states.index("done")
    assert set(states[:done]) == {"fitting"}
    assert {progress.members[0].accuracy for progress in seen[done:]} == {vote.leaderboard[1].accuracy}
    assert any(str(progress) == "bag; 0 of 1 members" for progress in seen[done:])
