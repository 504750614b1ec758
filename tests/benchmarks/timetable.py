"""When the trials of a search would have ended with so many workers, by the CPU time of each.

Which trials a search runs does not depend on its workers or its time, so that one run of them in one process gives what
a search of any shorter time and with any number of workers would have chosen.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["candidates_in_time", "ends_of", "trials_in_time"]


def ends_of(seconds: Sequence[float], workers: int, concurrency: int) -> list[float]:
    """When each trial ends, if each worker takes the next one as soon as it is free and the trial can be chosen.

    Args:
        seconds: of each trial, in the order of the search.
        workers: number of processes, each on a core of its own.
        concurrency: a trial is chosen by the results of those that are so many places before it.
    """
    free, ended = [0.0] * workers, []
    for number, took in enumerate(seconds):
        chosen = max(ended[: max(0, number + 1 - concurrency)], default=0.0)
        worker = min(range(workers), key=free.__getitem__)
        free[worker] = max(free[worker], chosen) + took
        ended.append(free[worker])
    return ended


def trials_in_time(
    seconds: Sequence[float],
    ended: Sequence[float],
    complete: Sequence[bool],
    budget: float,
    confirm: int,
    workers: int,
) -> tuple[set[int], float]:
    """Which trials of a search end in its time budget, and when the others are stopped for the confirmation.

    As in `TimeBudget` without a refit: time is kept for scoring the default and `confirm` trials again, as much as if
    each took as long as the longest complete trial; none if that were more than a quarter.

    Args:
        seconds: that each trial takes.
        ended: when each trial ends.
        complete: whether each was trained to its end.
        budget: seconds.
        confirm: trials that are scored again, beside the default.
        workers: number of processes.
    """
    found: set[int] = set()
    longest, limit = 0.0, budget
    for number in sorted(range(len(ended)), key=ended.__getitem__):
        if ended[number] > limit:
            break
        found.add(number)
        longest = max(longest, seconds[number]) if complete[number] else longest
        share = longest * -(-(confirm + 1) // workers) if confirm else 0.0
        limit = budget - share if share <= budget / 4 else budget
    return found, max([limit, *(ended[number] for number in found)])


def candidates_in_time(seconds: Sequence[float], begin: float, budget: float, workers: int) -> list[float | None]:
    """When each candidate is scored again, one after another as workers are free; None if not within the budget."""
    ends = [begin + end for end in ends_of(seconds, workers, len(seconds))]
    return [end if end <= budget else None for end in ends]
