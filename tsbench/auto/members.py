"""How far each candidate is, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tsbench.auto.combining import MemberResult
from tsbench.auto.fitting import FoldFit, WholeFit
from tsbench.auto.portfolio import Candidate
from tsbench.classifiers.contract import Facts, OutOfFold
from tsbench.classifiers.vote import FoldBag
from tsbench.classifiers.weighting import log_loss
from tsbench.data.adaptation import Adaptation
from tsbench.data.collection import Collection
from tsbench.evaluation.resampling import Fold
from tsbench.recipe.messages import count_of
from tsbench.recipe.schema import BaselinePreprocessingConfig

__all__ = ["MemberState"]


@dataclass
class MemberState:
    """How far a candidate is, for whoever shows it.

    Attributes:
        candidate: what is fitted.
        title: the candidate's name, and what is done to the cases first if there is a choice.
        cases: the training cases.
        splits: the folds that it is scored by, each as the cases to fit on and those held out.
        preprocessing: what is done to the cases first; None for nothing.
        state: `waiting`, `fitting`, `done` or `skipped`.
        reason: why it is skipped, or why some of its folds are missing; empty if neither.
        whole: the fit on all cases.
        folds: the fits without a fold, by number; a bagged candidate's fits on all cases are counted on from there.
        running: calls under way.
        ended: calls that have ended.
        cut_short: whether the time, a stop or the memory of this machine kept it from what it would have done.
    """

    candidate: Candidate
    title: str
    cases: Collection
    splits: Sequence[Fold]
    preprocessing: BaselinePreprocessingConfig | None = None
    state: str = "waiting"
    reason: str = ""
    whole: WholeFit | None = None
    folds: dict[int, FoldFit] = field(default_factory=dict)
    running: int = 0
    ended: int = 0
    cut_short: bool = False

    @property
    def shown(self) -> str:
        """The state for a display: `fitting` too if it is done but for fits on all cases."""
        return "fitting" if self.state == "done" and self.running else self.state

    @property
    def seconds(self) -> float:
        """That its fits took."""
        return (self.whole.seconds if self.whole else 0.0) + sum(fold.seconds for fold in self.folds.values())

    @property
    def usable(self) -> bool:
        """Whether there is a classifier to predict with."""
        return self.whole is not None or any(fold.classifier is not None for fold in self.folds.values())

    @property
    def lacking(self) -> int:
        """Number of folds that are missing for its scores."""
        return 0 if self.candidate.closed_form else len(self.splits) - len(self._scoring)

    @property
    def _scoring(self) -> list[FoldFit]:
        """The fits that hold cases out, by number."""
        return [self.folds[number] for number in range(len(self.splits)) if number in self.folds]

    def split(self, number: int) -> Fold:
        """The cases to fit on and those held out, which are none if the number is not that of a fold."""
        if number < len(self.splits):
            return self.splits[number]
        return np.arange(len(self.cases)), np.arange(0)

    @property
    def out_of_fold(self) -> OutOfFold | None:
        """Its probabilities of the training cases; None if no case could be held out."""
        whole = self.whole.classifier.out_of_fold if self.whole is not None else None
        if whole is not None and self.candidate.closed_form:
            return whole if self.splits else None
        if not self._scoring:
            return None
        parts = [(self.splits[fold.number][1], fold.probabilities, fold.classes) for fold in self._scoring]
        return OutOfFold.of_folds(self.cases.labels, parts)

    @property
    def log_loss(self) -> float:
        """Out of fold; infinite if there are no such probabilities."""
        found = self.out_of_fold if self.usable else None
        return float("inf") if found is None else log_loss(*found.held_out())

    def leave_out(self, reason: str, cut_short: bool = False) -> None:
        """Leaves it out, with the reason; the first one counts."""
        self.reason = self.reason or reason
        self.state = "skipped"
        self.cut_short = self.cut_short or cut_short

    def receive(self, fit: WholeFit | FoldFit) -> bool:
        """Keeps a fit; returns whether it was a new one."""
        if isinstance(fit, WholeFit):
            known = self.whole is not None
            self.whole = self.whole or fit
        else:
            known = fit.number in self.folds
            self.folds.setdefault(fit.number, fit)
        return not known

    def result(self) -> MemberResult:
        """What the combination needs to know of it."""
        classifier, found = None, None
        if self.usable and self.state == "done":
            classifier = self.whole.classifier if self.whole else self._bag()
            found = self.out_of_fold
        timed = [fit.predict_seconds for fit in (self.whole, *self.folds.values()) if fit is not None]
        predicts = sum(timed) if self.candidate.bagged else timed[0] if timed else None
        return MemberResult(self.title, classifier, found, self.seconds, predicts, self._note())

    def _bag(self) -> FoldBag:
        """The classifiers of the folds, and those of all cases, in the order of their numbers, however they ended."""
        fits = [self.folds[number] for number in sorted(self.folds)]
        bag = [fit.classifier for fit in fits if fit.classifier is not None]
        return FoldBag(bag, Facts.of(self.cases), self.cases.classes, len(bag) - len(self._scoring))

    def _note(self) -> str:
        """Why it is left out, or what was done to the cases first, and why some folds are missing."""
        if self.state == "skipped":
            return self.reason
        notes = []
        if self.preprocessing is not None:
            notes.append(Adaptation.fit(self.cases, self.preprocessing).describe(self.cases, self.cases))
        if self.lacking:
            notes.append(f"{len(self._scoring)} of {count_of(len(self.splits), 'fold')}, as {self.reason}")
        return "; ".join(filter(None, notes))
