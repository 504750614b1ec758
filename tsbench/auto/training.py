"""Fits the candidates side by side within a time limit, and makes a vote of what is fitted when it ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from tsbench.auto.combining import combine
from tsbench.auto.fitting import FoldFit, WholeFit
from tsbench.auto.members import MemberState
from tsbench.auto.portfolio import Candidate
from tsbench.auto.progress import AutoProgress, MemberProgress
from tsbench.auto.schedule import Call, Schedule
from tsbench.classifiers.contract import OutOfFold
from tsbench.classifiers.vote import FittedVote, LeaderboardRow
from tsbench.data.collection import Collection
from tsbench.errors import TsbenchError
from tsbench.tracking import names
from tsbench.workers.isolated import CrashedError, FailedError, IsolatedProcess, OverranError
from tsbench.workers.protocol import StoppedError

__all__ = ["AutoTraining", "TimeLimitError"]

RESERVE = 0.02, 1.0
"""Of the time limit, the share and at least the seconds that are kept for the weights."""

HEARTBEAT = 1.0
"""Seconds between two calls of `on_change` if nothing changes, as the time left does."""

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
        on_change: called when a member's state has changed, and every second; from any thread, from one at a time.
        stopping: asked now and then, from any thread, from one at a time; a reason ends the fits, and what is fitted
            votes; None for none.
        process: one of the processes, which the caller keeps afterwards; None for new ones only, which end.

    Attributes:
        members: the candidates' states, in their order.
        deadline: on the clock of `time.monotonic`; None for no limit.
        stopped: the reason that ended the fits before the time limit; empty if none did.
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
        stopping: Callable[[], str | None] = lambda: None,
        process: IsolatedProcess | None = None,
    ) -> None:
        self.started = time.monotonic()
        self.time_limit = time_limit
        self.deadline = None if time_limit is None else self.started + time_limit
        self.cases, self.seed, self.jobs = cases, seed, max(1, jobs)
        self.stopped = ""
        self._on_change, self._stopping, self._process = on_change, stopping, process
        # The caller's functions are called by one thread at a time; `_changed` may be taken inside `_reporting`.
        self._reporting, self._asking = threading.RLock(), threading.Lock()
        self._reported = self.started
        self._so_far: tuple[tuple[str, ...], dict[str, LeaderboardRow]] = (), {}
        self._changed = threading.Condition()
        self._serving = 0
        self._schedule = Schedule(cases, candidates, seed, device, lambda: self.left, self.jobs)
        self.members: list[MemberState] = self._schedule.members

    @property
    def left(self) -> float:
        """Seconds that are left for fits; infinite without a limit."""
        if self.deadline is None or self.time_limit is None:
            return float("inf")
        share, least = RESERVE
        return self.deadline - max(share * self.time_limit, least) - time.monotonic()

    def progress(self) -> AutoProgress:
        """How far each member is, and how good the vote of those that are done."""
        with self._reporting:
            with self._changed:
                states = [(member.title, member.shown, member.reason, member.seconds) for member in self.members]
                done = [member for member in self.members if member.usable and member.state == "done"]
                titles = tuple(member.title for member in done)
                results = [] if titles == self._so_far[0] else [member.result() for member in done]
            if titles != self._so_far[0]:
                board = combine(self.cases, results, self.seed).leaderboard if results else []
                self._so_far = titles, {row.member: row for row in board}
            rows = self._so_far[1]
        vote = rows.get(names.AUTO)
        members = []
        for title, state, reason, seconds in states:
            row = rows.get(title)
            scores = (row.accuracy, row.log_loss) if row else (None, None)
            members.append(MemberProgress(title, state, reason if state == "skipped" else "", seconds, *scores))
        left = None if self.deadline is None else max(0.0, self.deadline - time.monotonic())
        accuracy, loss = (vote.accuracy, vote.log_loss) if vote else (None, None)
        return AutoProgress(tuple(members), left, accuracy, loss)

    def _report(self, due: bool = True) -> None:
        """Calls `on_change` if something changed, or the last call was a while ago."""
        with self._reporting:
            if due or time.monotonic() - self._reported >= HEARTBEAT:
                self._reported = time.monotonic()
                self._on_change()

    def _must_end(self) -> bool:
        """Whether no fit may go on: the time is up, or there is a reason to stop, which is kept."""
        if self.left <= 0:
            return True
        with self._asking:
            self.stopped = self.stopped or self._stopping() or ""
        return bool(self.stopped)

    @property
    def _why_ended(self) -> str:
        return self.stopped or "the time limit had passed"

    @property
    def _not_fitted(self) -> str:
        return f"{self.stopped} before it was fitted" if self.stopped else "it was not fitted within the time limit"

    @property
    def out_of_fold(self) -> dict[str, OutOfFold]:
        """The members' out-of-fold probabilities, by their titles."""
        found = {member.title: member.out_of_fold for member in self.members if member.usable}
        return {title: probabilities for title, probabilities in found.items() if probabilities is not None}

    @property
    def cut_short(self) -> list[str]:
        """The members, by their titles, on which the vote depends although the time did not suffice for all their fits.

        They vote, or are a way to adapt the cases that was not compared with the other as it should have been.
        """
        adapted = any(member.usable and member.preprocessing is not None for member in self.members)
        decisive = self._schedule.racing if adapted else []
        return [
            member.title
            for member in self.members
            if member.cut_short and (member.usable or any(member is other for other in decisive))
        ]

    @property
    def candidates(self) -> list[Candidate]:
        """Those that the time and the memory of this machine sufficed for, so that a repetition tries them again."""
        kept = {member.candidate.name: member.candidate for member in self.members if not member.cut_short}
        return list(kept.values())

    def run(self) -> FittedVote:
        """Fits members until all are fitted, or the time is up, and returns their vote.

        Raises:
            TimeLimitError: no member was fitted in time.
            TsbenchError: no member could be fitted, with the reason of each; or the fits were stopped before one was.
        """
        self._serving = self.jobs
        for number in range(self.jobs):
            process = None if number else self._process
            threading.Thread(target=self._serve, args=(process,), daemon=True).start()
        try:
            self._wait()
        except KeyboardInterrupt:  # otherwise the threads of a notebook would go on with the fits
            with self._asking:
                self.stopped = "the fit was interrupted"
            self._wait()
            raise
        for member in self.members:
            if not member.usable:
                member.leave_out(self._not_fitted, member.state != "skipped")
            elif member.state != "skipped":
                member.state = "done"
                if member.lacking:
                    member.reason = member.reason or self._why_ended
        self._report()
        if not any(member.usable and member.state == "done" for member in self.members):
            raise self._nothing_fitted()
        return combine(self.cases, [member.result() for member in self.members], self.seed)

    def _wait(self) -> None:
        """Waits until all threads have ended; `Thread.join` cannot be called again after Ctrl-C in Python 3.11."""
        with self._changed:
            self._changed.wait_for(lambda: not self._serving)

    def _nothing_fitted(self) -> TsbenchError:
        if self.stopped:
            return TsbenchError(f"{self.stopped} before a member was fitted")
        late = [member.candidate for member in self.members if member.reason == self._not_fitted]
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

    def _serve(self, given: IsolatedProcess | None) -> None:
        """One thread: a process, and call after call until nothing is left that fits into the time."""
        process = given or IsolatedProcess()
        try:
            while True:
                with self._changed:
                    call = self._schedule.next()
                    while call is None and self._schedule.waits and not self._must_end():
                        self._changed.wait(0.2)
                        call = self._schedule.next()
                    if call is None or self._must_end():
                        return
                    call.member.running += 1
                    if not call.is_refit:  # until then it votes without
                        call.member.state = "fitting"
                self._report()
                self._run(process, call)
        finally:
            if given is None:
                process.end()
            with self._changed:
                self._serving -= 1
                self._changed.notify_all()

    def _run(self, process: IsolatedProcess, call: Call) -> None:
        member = call.member

        def receive(fit: WholeFit | FoldFit | None) -> None:
            with self._changed:
                new = fit is not None and member.receive(fit)
                if fit is not None and new:
                    self._schedule.learn_speed(member.candidate, fit.seconds)
            self._report(new)

        folds = tuple((number, member.split(number)) for number in call.folds)
        arguments = (member.candidate, self.cases, folds, self.seed, member.preprocessing, self._schedule.device)
        reason = ""
        try:
            left = self.left
            process.call(
                "tsbench.auto.fitting:fit_candidate",
                arguments,
                None if left == float("inf") else max(0.0, left),
                receive,
                self._must_end,
            )
        except (OverranError, StoppedError):
            member.cut_short = True
            reason = self._why_ended if member.usable else self._not_fitted
        except (FailedError, CrashedError) as error:
            reason = str(error)
        with self._changed:
            member.running -= 1
            member.ended += 1
            if reason and not member.usable:
                member.leave_out(reason)
            elif reason:
                member.reason = reason
            self._schedule.settle(member)
            self._schedule.decide_race()
            self._changed.notify_all()
        self._report()
