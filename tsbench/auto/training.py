"""Fits the candidates side by side within a time limit, and makes a vote of what is fitted when it ends."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tsbench.auto.combining import MemberResult, combine
from tsbench.auto.fitting import FoldFit, WholeFit
from tsbench.auto.portfolio import Candidate, Size
from tsbench.classifiers.baselines import Baseline
from tsbench.classifiers.contract import Facts, OutOfFold
from tsbench.classifiers.vote import FittedVote, FoldBag
from tsbench.classifiers.weighting import log_loss
from tsbench.data.adaptation import Adaptation
from tsbench.data.collection import Collection
from tsbench.errors import DataError, TsbenchError
from tsbench.evaluation.resampling import Fold, stratified_folds
from tsbench.recipe.messages import count_of
from tsbench.recipe.schema import BaselinePreprocessingConfig
from tsbench.workers.isolated import CrashedError, FailedError, IsolatedProcess, OverranError
from tsbench.workers.protocol import StoppedError

__all__ = ["AutoTraining", "MemberState", "TimeLimitError"]

FOLDS, MORE_FOLDS, FEW_CASES = 5, 10, 100
"""Folds, and those of fewer training cases than FEW_CASES, where five would leave out too much; bags have FOLDS."""

RESERVE = 0.02, 1.0
"""Of the time limit, the share and at least the seconds that are kept for the weights."""

MEMORY_SHARE = 0.8
"""Of the available memory, which a candidate's estimate must not exceed."""

LEAST_INFORMATIVE = 3.0
"""Estimated seconds of a fit from which the speed of this machine is learned."""

FASTEST_SLOWEST = 0.3, 4.0
"""Bounds of the measured seconds over the estimated ones."""

_IMPORTS = 5.0
"""Seconds that a process takes for its first imports, in estimates."""


class TimeLimitError(TsbenchError):
    """No member was fitted within the time limit."""


@dataclass
class MemberState:
    """How far a candidate is, for whoever shows it.

    Attributes:
        candidate: what is fitted.
        title: the candidate's name, and what is done to the cases first if there is a choice.
        preprocessing: what is done to the cases first; None for nothing.
        state: `waiting`, `fitting`, `fitted` or `left out`.
        reason: why it is left out; empty if it is not.
        whole: the fit on all cases.
        folds: the fits without a fold, by number.
        running: calls under way.
        ended: calls that have ended.
    """

    candidate: Candidate
    title: str
    preprocessing: BaselinePreprocessingConfig | None = None
    state: str = "waiting"
    reason: str = ""
    whole: WholeFit | None = None
    folds: dict[int, FoldFit] = field(default_factory=dict)
    running: int = 0
    ended: int = 0

    @property
    def seconds(self) -> float:
        """That its fits took."""
        return (self.whole.seconds if self.whole else 0.0) + sum(fold.seconds for fold in self.folds.values())

    @property
    def usable(self) -> bool:
        """Whether there is a classifier to predict with."""
        return self.whole is not None or any(fold.classifier is not None for fold in self.folds.values())

    def leave_out(self, reason: str) -> None:
        """Leaves it out, with the reason; the first one counts."""
        self.reason = self.reason or reason
        self.state = "left out"


@dataclass(frozen=True)
class _Call:
    """A task of a process: a candidate with some of the folds."""

    member: MemberState
    folds: tuple[int, ...]


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
        self.cases, self.seed, self.jobs, self.device = cases, seed, max(1, jobs), device
        self.on_change, self.stopping = on_change, stopping
        self.size = Size.of(cases)
        self.folds = _folds(cases, seed, MORE_FOLDS if len(cases) < FEW_CASES else FOLDS)
        self.bag_folds = _folds(cases, seed, FOLDS)
        self.members: list[MemberState] = []
        self._pending: list[_Call] = []
        self._changed = threading.Condition()
        self._speed = 1.0  # measured seconds over estimated ones
        self._racing: list[MemberState] = []  # two ways to adapt the cases, of which the better one is kept
        self._adaptation: BaselinePreprocessingConfig | None = None
        for candidate in candidates:
            self._add(candidate)

    # What there is to do

    def _add(self, candidate: Candidate) -> None:
        """Queues a candidate; one that needs one length is tried with padded and with resampled cases."""
        try:
            classifier = candidate.make(self.device)
        except Exception as error:  # a third party's module may raise anything when it is imported
            self._refuse(candidate, f"it cannot be made: {type(error).__name__}: {error}")
            return
        reason = classifier.refuses(self.cases)
        if reason is None:
            self._queue(MemberState(candidate, candidate.name))
            return
        if not isinstance(classifier, Baseline):
            self._refuse(candidate, reason)
            return
        ways = [BaselinePreprocessingConfig(unequal_length=way) for way in ("pad", "resample")]
        needed = [classifier.narrowed(way, self.cases) for way in ways]
        if (reason := classifier.refuses(self.cases, preprocessing=needed[0])) is not None:
            self._refuse(candidate, reason)
        elif self.cases.equal_length or self._racing:
            self._queue(MemberState(candidate, candidate.name, needed[0]))
        else:
            for way in needed:
                assert way is not None
                member = MemberState(candidate, f"{candidate.name} ({_IN_WORDS[way.unequal_length]})", way)
                self._racing.append(member)
                self._queue(member)

    def _refuse(self, candidate: Candidate, reason: str) -> None:
        member = MemberState(candidate, candidate.name)
        member.leave_out(reason)
        self.members.append(member)

    def _queue(self, member: MemberState) -> None:
        self.members.append(member)
        numbers = tuple(range(len(self._folds_of(member))))
        if member.candidate.bagged and numbers:
            self._pending += [_Call(member, (number,)) for number in numbers]
        elif not member.candidate.bagged:
            self._pending.append(_Call(member, numbers))
        else:
            member.leave_out("no class has two training cases, so there are no folds to bag")

    def _folds_of(self, member: MemberState) -> list[Fold]:
        return self.bag_folds if member.candidate.bagged else self.folds

    @property
    def left(self) -> float:
        """Seconds that are left for fits; infinite without a limit."""
        if self.deadline is None or self.time_limit is None:
            return float("inf")
        share, least = RESERVE
        return self.deadline - max(share * self.time_limit, least) - time.monotonic()

    def _estimate(self, call: _Call) -> float:
        """Seconds that a call takes on one core."""
        candidate = call.member.candidate
        fits = len(call.folds) if candidate.bagged else 1 if candidate.closed_form else 1 + len(call.folds)
        return fits * candidate.seconds(self.size) * self._speed

    def _next(self) -> _Call | None:
        """The next call that fits into the time left; None if there is none, or none yet."""
        for call in list(self._pending):
            self._decide_race()
            member = call.member
            given = member.preprocessing
            if self._racing and member not in self._racing and given is not None and given.unequal_length != "none":
                if self._adaptation is None:
                    continue  # until the race is decided
                way = {"unequal_length": self._adaptation.unequal_length}
                member.preprocessing = given.model_copy(update=way)
            if self._estimate(call) > self.left and any(other.usable for other in self.members):
                self._pending.remove(call)
                if not member.running and not member.ended:
                    member.leave_out(
                        f"it would take about {self._estimate(call):.0f} s, and {max(0.0, self.left):.0f} s were left"
                    )
                continue
            if (needs := _memory_problem(member.candidate, self.size)) is not None:
                self._pending.remove(call)
                member.leave_out(needs)
                continue
            self._pending.remove(call)
            return call
        return None

    def _waits(self) -> bool:
        """Whether a call may become possible."""
        return bool(self._pending) and any(member.running for member in self.members)

    def summary(self) -> str:
        """What is being fitted, how many are fitted, and the time left, for a line of a display."""
        fitting = [member.title for member in self.members if member.running]
        done = sum(not member.running and member.state != "waiting" for member in self.members)
        left = "" if self.deadline is None else f", {max(0.0, self.deadline - time.monotonic()):.0f} s left"
        return f"{', '.join(fitting) or 'weights'}; {done} of {len(self.members)} members{left}"

    @property
    def out_of_fold(self) -> dict[str, OutOfFold]:
        """The members' out-of-fold probabilities, by their titles."""
        found = {member.title: self._out_of_fold(member) for member in self.members if member.usable}
        return {title: probabilities for title, probabilities in found.items() if probabilities is not None}

    # Doing it

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
                member.leave_out("the time limit had passed before it was fitted")
            elif member.state != "left out":
                member.state = "fitted"
        self.on_change()
        if not any(member.usable and member.state == "fitted" for member in self.members):
            raise self._nothing_fitted()
        return combine(self.cases, [self._result(member) for member in self.members], self.seed)

    def _result(self, member: MemberState) -> MemberResult:
        """What the combination needs to know of a member."""
        classifier, found = None, None
        if member.usable and member.state == "fitted":
            bag = [fold.classifier for fold in member.folds.values() if fold.classifier is not None]
            classifier = (
                member.whole.classifier if member.whole else FoldBag(bag, Facts.of(self.cases), self.cases.classes)
            )
            found = self._out_of_fold(member)
        timed = [fit.predict_seconds for fit in (member.whole, *member.folds.values()) if fit is not None]
        predicts = sum(timed) if member.candidate.bagged else timed[0] if timed else None
        return MemberResult(member.title, classifier, found, member.seconds, predicts, self._note(member))

    def _out_of_fold(self, member: MemberState) -> OutOfFold | None:
        whole = member.whole.classifier.out_of_fold if member.whole is not None else None
        if whole is not None and member.candidate.closed_form:
            return whole if self.folds else None
        if not member.folds:
            return None
        folds = self._folds_of(member)
        parts = [(folds[fold.number][1], fold.probabilities, fold.classes) for fold in member.folds.values()]
        return OutOfFold.of_folds(self.cases.labels, parts)

    def _note(self, member: MemberState) -> str:
        """Why it is left out, or what was done to the cases first, and how many folds there was time for."""
        if member.state == "left out":
            return member.reason
        notes = []
        if member.preprocessing is not None:
            notes.append(Adaptation.fit(self.cases, member.preprocessing).describe(self.cases, self.cases))
        if not member.candidate.closed_form and len(member.folds) < len(self._folds_of(member)):
            notes.append(f"time for {len(member.folds)} of {count_of(len(self._folds_of(member)), 'fold')}")
        return "; ".join(filter(None, notes))

    def _nothing_fitted(self) -> TsbenchError:
        late = [member for member in self.members if "time limit" in member.reason]
        if late and self.time_limit is not None:
            quickest = min(late, key=lambda member: member.candidate.seconds(self.size))
            least = _IMPORTS + 2 * quickest.candidate.seconds(self.size) * self._speed + RESERVE[1]
            least = max(least, 1.5 * self.time_limit)
            return TimeLimitError(
                f"no member was fitted within {self.time_limit:g} s; the quickest, {quickest.candidate.name}, needs "
                f"about {least:.0f} s here"
            )
        reasons = "; ".join(f"{member.title}: {member.reason}" for member in self.members)
        return TsbenchError(f"no member could be fitted: {reasons}")

    def _serve(self) -> None:
        """One thread: a process, and call after call until nothing is left that fits into the time."""
        process = IsolatedProcess()
        try:
            while True:
                with self._changed:
                    call = self._next()
                    while call is None and self._waits() and self.left > 0 and not self.stopping():
                        self._changed.wait(0.2)
                        call = self._next()
                    if call is None or self.left <= 0 or self.stopping():
                        return
                    call.member.running += 1
                    call.member.state = "fitting"
                self.on_change()
                self._run(process, call)
        finally:
            process.end()

    def _run(self, process: IsolatedProcess, call: _Call) -> None:
        member = call.member

        def receive(progress: Any) -> None:
            with self._changed:
                if isinstance(progress, WholeFit) and member.whole is None:
                    member.whole = progress
                elif isinstance(progress, FoldFit) and progress.number not in member.folds:
                    member.folds[progress.number] = progress
                else:
                    return
                self._learn_speed(member.candidate.seconds(self.size), progress.seconds)
            self.on_change()

        folds = tuple((number, self._folds_of(member)[number]) for number in call.folds)
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
            self._decide_race()
            self._changed.notify_all()
        self.on_change()

    def _learn_speed(self, expected: float, seconds: float) -> None:
        """Corrects the estimates by a fit; one that should be short is mostly imports and compilation."""
        if expected >= LEAST_INFORMATIVE:
            self._speed = min(FASTEST_SLOWEST[1], max(FASTEST_SLOWEST[0], 0.5 * (self._speed + seconds / expected)))

    def _decide_race(self) -> None:
        """Keeps the better of two ways to adapt the cases, once both have ended or were left out."""
        decided = all(member.ended or member.state == "left out" for member in self._racing)
        if self._adaptation is not None or not self._racing or not decided:
            return
        losses = {member.title: self._loss(member) for member in self._racing}
        best, *others = sorted(self._racing, key=lambda member: losses[member.title])
        self._adaptation = best.preprocessing
        for member in others:
            if member.usable:
                member.leave_out(
                    f"its log loss is {losses[member.title]:.3f}, that of {best.title} {losses[best.title]:.3f}"
                )

    def _loss(self, member: MemberState) -> float:
        """The out-of-fold log loss of a member; infinite if there is none."""
        found = self._out_of_fold(member) if member.usable else None
        if found is None:
            return float("inf")
        return log_loss(*found.held_out())


_IN_WORDS = {"pad": "padded", "resample": "resampled"}


def _folds(cases: Collection, seed: int, count: int) -> list[Fold]:
    """Stratified folds; none if no class has two cases."""
    with warnings.catch_warnings(action="ignore"):
        try:
            return stratified_folds(cases.labels, count, seed, cases.groups)
        except DataError:
            return []


def _memory_problem(candidate: Candidate, size: Size) -> str | None:
    """Why a candidate would not fit into memory; None if it would."""
    import psutil

    available = int(psutil.virtual_memory().available)
    needs = candidate.bytes(size)
    if needs <= MEMORY_SHARE * available:
        return None
    return f"it needs about {needs / 2**30:.1f} GB of memory, and {available / 2**30:.1f} GB are available"
