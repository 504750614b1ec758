"""Fits the candidates side by side within a time limit, and makes a vote of what is fitted when it ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from tsbench.auto.combining import combine
from tsbench.auto.fitting import FoldFit, WholeFit
from tsbench.auto.members import MemberState
from tsbench.auto.portfolio import Candidate
from tsbench.auto.schedule import Call, Schedule
from tsbench.classifiers.contract import OutOfFold
from tsbench.classifiers.vote import FittedVote
from tsbench.data.collection import Collection
from tsbench.errors import TsbenchError
from tsbench.workers.isolated import CrashedError, FailedError, IsolatedProcess, OverranError
from tsbench.workers.protocol import StoppedError

__all__ = ["AutoTraining", "TimeLimitError"]

RESERVE = 0.02, 1.0
"""Of the time limit, the share and at least the seconds that are kept for the weights."""

_IMPORTS = 5.0
"""Seconds that a process takes for its first imports, in estimates."""


class TimeLimitError(TsbenchError):
    """No member was fitted within the time limit."""


class AutoTraining:
    """The training of one ensemble.

    Args:
        cases: the training cases.
        candidates: in the order in which they are tried.
        time_limit: seconds from now, everything included; None for no limit.
        seed: of every member.
        jobs: processes side by side, of one thread each.
        device: of networks.
        on_change: called, from any thread, when a member's state has changed.
        stopping: asked now and then; True ends the fits, and what is fitted votes.

    Attributes:
        members: the candidates' states, in their order.
        deadline: on the clock of `time.monotonic`; None for no limit.
    """

    def __init__(
        self,
        cases: Collection,
        candidates: Sequence[Candidate],
        time_limit: float | None = None,
        seed: int = 0,
        jobs: int = 1,
        device: str = "cpu",
        on_change: Callable[[], None] = lambda: None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self.started = time.monotonic()
        self.time_limit = time_limit
        self.deadline = None if time_limit is None else self.started + time_limit
        self.cases, self.seed, self.jobs = cases, seed, max(1, jobs)
        self.on_change, self.stopping = on_change, stopping
        self._changed = threading.Condition()
        self._schedule = Schedule(cases, candidates, seed, device, lambda: self.left, self.jobs)
        self.members: list[MemberState] = self._schedule.members

    @property
    def left(self) -> float:
        """Seconds that are left for fits; infinite without a limit."""
        if self.deadline is None or self.time_limit is None:
            return float("inf")
        share, least = RESERVE
        return self.deadline - max(share * self.time_limit, least) - time.monotonic()

    def summary(self) -> str:
        """What is being fitted, how many are fitted, and the time left, for a line of a display."""
        fitting = [member.title for member in self.members if member.running]
        done = sum(not member.running and member.state != "waiting" for member in self.members)
        left = "" if self.deadline is None else f", {max(0.0, self.deadline - time.monotonic()):.0f} s left"
        return f"{', '.join(fitting) or 'weights'}; {done} of {len(self.members)} members{left}"

    @property
    def out_of_fold(self) -> dict[str, OutOfFold]:
        """The members' out-of-fold probabilities, by their titles."""
        found = {member.title: member.out_of_fold for member in self.members if member.usable}
        return {title: probabilities for title, probabilities in found.items() if probabilities is not None}

    @property
    def cut_short(self) -> list[str]:
        """The members that vote although the time did not suffice for all of their folds, by their titles."""
        return [member.title for member in self.members if member.cut_short and member.usable]

    @property
    def candidates(self) -> list[Candidate]:
        """Those that the time and the memory of this machine sufficed for, so that a repetition tries them again."""
        kept = {member.candidate.name: member.candidate for member in self.members if not member.cut_short}
        return list(kept.values())

    def run(self) -> FittedVote:
        """Fits members until all are fitted, or the time is up, and returns their vote.

        Raises:
            TimeLimitError: no member was fitted in time.
            TsbenchError: no member could be fitted, with the reason of each.
        """
        threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(self.jobs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for member in self.members:
            if not member.usable:
                member.leave_out("the time limit had passed before it was fitted", member.state != "left out")
            elif member.state != "left out":
                member.state = "fitted"
        self.on_change()
        if not any(member.usable and member.state == "fitted" for member in self.members):
            raise self._nothing_fitted()
        return combine(self.cases, [member.result() for member in self.members], self.seed)

    def _nothing_fitted(self) -> TsbenchError:
        late = [member.candidate for member in self.members if "time limit" in member.reason]
        if late and self.time_limit is not None:
            quickest = min(late, key=self._schedule.seconds)
            least = _IMPORTS + 2 * self._schedule.seconds(quickest) + RESERVE[1]
            least = max(least, 1.5 * self.time_limit)
            return TimeLimitError(
                f"no member was fitted within {self.time_limit:g} s; the quickest, {quickest.name}, needs about "
                f"{least:.0f} s here"
            )
        reasons = "; ".join(f"{member.title}: {member.reason}" for member in self.members)
        return TsbenchError(f"no member could be fitted: {reasons}")

    def _serve(self) -> None:
        """One thread: a process, and call after call until nothing is left that fits into the time."""
        process = IsolatedProcess()
        try:
            while True:
                with self._changed:
                    call = self._schedule.next()
                    while call is None and self._schedule.waits and self.left > 0 and not self.stopping():
                        self._changed.wait(0.2)
                        call = self._schedule.next()
                    if call is None or self.left <= 0 or self.stopping():
                        return
                    call.member.running += 1
                    call.member.state = "fitting"
                self.on_change()
                self._run(process, call)
        finally:
            process.end()

    def _run(self, process: IsolatedProcess, call: Call) -> None:
        member = call.member

        def receive(fit: WholeFit | FoldFit | None) -> None:
            with self._changed:
                if fit is None or not member.receive(fit):
                    return
                self._schedule.learn_speed(member.candidate, fit.seconds)
            self.on_change()

        folds = tuple((number, member.splits[number]) for number in call.folds)
        arguments = (member.candidate, self.cases, folds, self.seed, member.preprocessing)
        reason = ""
        try:
            left = self.left
            process.call(
                "tsbench.auto.fitting:fit_candidate",
                arguments,
                None if left == float("inf") else max(0.0, left),
                receive,
                lambda: self.left <= 0 or self.stopping(),
            )
        except (OverranError, StoppedError):
            member.cut_short = True
            reason = "" if member.usable else "the time limit had passed before it was fitted"
        except (FailedError, CrashedError) as error:
            reason = str(error)
        with self._changed:
            member.running -= 1
            member.ended += 1
            if reason and not member.usable:
                member.leave_out(reason)
            elif reason:
                member.reason = reason
            if not member.running and member.state == "fitting":
                member.state = "fitted"
            self._schedule.decide_race()
            self._changed.notify_all()
        self.on_change()
