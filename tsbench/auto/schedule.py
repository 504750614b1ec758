"""Which fit comes next: what fits into the time and the memory, in the candidates' order."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tsbench.auto.combining import LEAST_SHARE
from tsbench.auto.members import MemberState
from tsbench.auto.portfolio import Candidate, Size
from tsbench.classifiers.baselines import Baseline
from tsbench.data.collection import Collection
from tsbench.errors import DataError
from tsbench.evaluation.resampling import Fold, stratified_folds
from tsbench.recipe.schema import BaselinePreprocessingConfig

__all__ = ["Call", "Schedule"]

FOLDS, MORE_FOLDS, FEW_CASES = 5, 10, 100
"""Folds, and those of fewer training cases than FEW_CASES, where five would leave out too much; bags have FOLDS."""

REFITS, FEW_PER_CLASS = 3, 10
"""Fits on all cases that vote beside a bag's folds, and below how many cases per class on average there are any: there,
what a fold leaves out is missed most. They come last, if there is time."""

MEMORY_SHARE = 0.8
"""Of the available memory, which a candidate's estimate must not exceed."""

LEAST_INFORMATIVE = 3.0
"""Estimated seconds of a fit from which the speed of this machine is learned."""

FASTEST, SLOWEST = 0.3, 4.0
"""Bounds of the measured seconds over the estimated ones."""

_IN_WORDS = {"pad": "padded", "resample": "resampled"}


@dataclass(frozen=True)
class Call:
    """A task of a process: a candidate with some of its folds."""

    member: MemberState
    folds: tuple[int, ...]

    @property
    def is_refit(self) -> bool:
        """Whether it is a fit on all cases of a candidate that votes without it too."""
        return self.member.candidate.bagged and self.folds[0] >= len(self.member.splits)


class Schedule:
    """The members, and the calls that wait.

    Args:
        cases: the training cases.
        candidates: in the order in which they are tried.
        seed: of the folds.
        device: of networks.
        left: returns the seconds that are left for fits.
        jobs: processes side by side.

    Attributes:
        members: the candidates' states, in their order.
        pending: the calls that wait.
        speed: measured seconds over estimated ones.
        racing: two ways to adapt the cases, of which the better one is kept; empty if there is no choice.
    """

    def __init__(
        self,
        cases: Collection,
        candidates: Sequence[Candidate],
        seed: int,
        device: str,
        left: Callable[[], float],
        jobs: int = 1,
    ) -> None:
        self.cases, self.device, self.left, self.jobs = cases, device, left, jobs
        self.size = Size.of(cases)
        self.folds, _ = _folds(cases, seed, MORE_FOLDS if len(cases) < FEW_CASES else FOLDS)
        self.bag_folds, self._no_folds = _folds(cases, seed, FOLDS)
        self.members: list[MemberState] = []
        self.pending: list[Call] = []
        self.speed = 1.0
        self.racing: list[MemberState] = []
        self._adaptation: BaselinePreprocessingConfig | None = None
        for candidate in candidates:
            self._add(candidate)
        if len(cases) < FEW_PER_CLASS * len(cases.classes):
            bags = [member for member in self.members if member.candidate.bagged and member.state == "waiting"]
            self.pending += [Call(member, (len(member.splits) + extra,)) for member in bags for extra in range(REFITS)]

    def _add(self, candidate: Candidate) -> None:
        """Queues a candidate; one that needs one length is tried with padded and with resampled cases."""
        try:
            classifier = candidate.make(self.device)
        except Exception as error:  # a third party's module may raise anything when it is imported
            self._refuse(candidate, f"it cannot be made: {type(error).__name__}: {error}")
            return
        reason = classifier.refuses(self.cases)
        if reason is None:
            self._queue(candidate)
            return
        if not isinstance(classifier, Baseline):
            self._refuse(candidate, reason)
            return
        ways = [BaselinePreprocessingConfig(unequal_length=way) for way in ("pad", "resample")]
        needed = [classifier.narrowed(way, self.cases) for way in ways]
        if (reason := classifier.refuses(self.cases, preprocessing=needed[0])) is not None:
            self._refuse(candidate, reason)
        elif self.cases.equal_length or self.racing:
            self._queue(candidate, needed[0])
        else:
            for way in needed:
                assert way is not None
                member = self._queue(candidate, way, f"{candidate.name} ({_IN_WORDS[way.unequal_length]})")
                self.racing.append(member)

    def _refuse(self, candidate: Candidate, reason: str) -> None:
        member = MemberState(candidate, candidate.name, self.cases, self.folds)
        member.leave_out(reason)
        self.members.append(member)

    def _queue(
        self, candidate: Candidate, preprocessing: BaselinePreprocessingConfig | None = None, title: str | None = None
    ) -> MemberState:
        splits = self.bag_folds if candidate.bagged else self.folds
        member = MemberState(candidate, title or candidate.name, self.cases, splits, preprocessing)
        self.members.append(member)
        numbers = tuple(range(len(splits)))
        if not candidate.bagged:
            self.pending.append(Call(member, numbers))
        elif numbers:
            self.pending += [Call(member, (number,)) for number in numbers]
        else:
            member.leave_out(f"there are no folds to bag, as {self._no_folds}")
        return member

    def next(self) -> Call | None:
        """The next call that fits into the time left, which no longer waits; None if there is none, or none yet."""
        for call in list(self.pending):
            self.decide_race()
            member = call.member
            given = member.preprocessing
            if self.racing and member not in self.racing and given is not None and given.unequal_length != "none":
                if self._adaptation is None:
                    continue  # until the race is decided
                way = {"unequal_length": self._adaptation.unequal_length}
                member.preprocessing = given.model_copy(update=way)
            self.pending.remove(call)
            if call.is_refit and member.state == "skipped":
                continue
            needed, left = self._least(call), max(0.0, self.left())
            if needed > left and any(other.usable for other in self.members):
                self._give_up(member, f"it would need about {needed:.0f} s, and {left:.0f} s were left")
            elif (needs := _memory_problem(member.candidate, self.size)) is not None:
                self._give_up(member, needs)
            else:
                return call
        return None

    def _give_up(self, member: MemberState, reason: str) -> None:
        """Drops a call: its member is left out if none of its fits has begun, otherwise it votes by what it has."""
        member.cut_short = True
        if member.running or member.ended:
            member.reason = member.reason or reason
            self.settle(member)
        else:
            member.leave_out(reason)

    def settle(self, member: MemberState) -> None:
        """Marks a member as done if none of its fits runs or waits, but for refits: it votes without them too."""
        waits = any(call.member is member and not call.is_refit for call in self.pending)
        if member.state == "fitting" and not member.running and not waits:
            member.state = "done"

    @property
    def waits(self) -> bool:
        """Whether a call may become possible."""
        return bool(self.pending) and any(member.running for member in self.members)

    def _least(self, call: Call) -> float:
        """Estimated seconds until a call's member can vote: the fit on all cases, and enough folds for its weight."""
        candidate, member = call.member.candidate, call.member
        if call.is_refit:
            return self.seconds(candidate)
        enough = int(LEAST_SHARE * len(member.splits)) + 1
        if candidate.bagged:
            lacking = max(1, enough - len(member.folds) - member.running)
            fits = math.ceil(lacking / self.jobs)
        else:
            fits = 1 if candidate.closed_form else 1 + min(enough, len(call.folds))
        return fits * self.seconds(candidate)

    def seconds(self, candidate: Candidate) -> float:
        """Seconds that one fit of a candidate takes on one core here, by the fits so far."""
        return candidate.seconds(self.size) * self.speed

    def learn_speed(self, candidate: Candidate, seconds: float) -> None:
        """Corrects the estimates by a fit; one that should be short is mostly imports and compilation.

        A network on a GPU does not show how fast a core is.
        """
        expected = candidate.seconds(self.size)
        on_core = self.device == "cpu" or candidate.classifier != "network"
        if on_core and expected >= LEAST_INFORMATIVE:
            self.speed = min(SLOWEST, max(FASTEST, 0.5 * (self.speed + seconds / expected)))

    def decide_race(self) -> None:
        """Keeps the better of two ways to adapt the cases, once both have ended or were left out."""
        decided = all(member.state in ("done", "skipped") for member in self.racing)
        if self._adaptation is not None or not self.racing or not decided:
            return
        losses = {member.title: member.log_loss for member in self.racing}
        best, *others = sorted(self.racing, key=lambda member: losses[member.title])
        self._adaptation = best.preprocessing
        for member in others:
            if member.usable:
                member.leave_out(
                    f"its log loss is {losses[member.title]:.3f}, that of {best.title} {losses[best.title]:.3f}"
                )


def _folds(cases: Collection, seed: int, count: int) -> tuple[list[Fold], str]:
    """Stratified folds; if there are none, why."""
    with warnings.catch_warnings(action="ignore"):
        try:
            return stratified_folds(cases.labels, count, seed, cases.groups, spread_rare=True), ""
        except DataError as error:
            return [], str(error)


def _memory_problem(candidate: Candidate, size: Size) -> str | None:
    """Why a candidate would not fit into memory; None if it would."""
    import psutil

    available = int(psutil.virtual_memory().available)
    needs = candidate.bytes(size)
    if needs <= MEMORY_SHARE * available:
        return None
    return f"it needs about {needs / 2**30:.1f} GB of memory, and {available / 2**30:.1f} GB are available"
