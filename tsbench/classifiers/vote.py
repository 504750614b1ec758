"""An ensemble over families of classifiers after `fit`: members that vote, and sets of labels with a coverage."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsbench.classifiers.contract import Facts, FittedClassifier, OutOfFold, in_columns_of
from tsbench.classifiers.files import intact, kind_of, read_description, write_description
from tsbench.classifiers.weighting import Combination
from tsbench.data.collection import Collection
from tsbench.errors import ModelError
from tsbench.recipe.messages import count_of

__all__ = ["FittedVote", "FoldBag", "LeaderboardRow", "VoteMember"]

MEMBERS, OUT_OF_FOLD, TRUE_PROBABILITIES = "members", "out_of_fold.npz", "true_probabilities.npy"


@dataclass(frozen=True)
class LeaderboardRow:
    """The results of a member, or of the ensemble itself.

    Attributes:
        member: its name.
        accuracy: out of fold; None if it was not fitted, or nothing could be held out.
        standard_error: of the accuracy, from the number of cases.
        log_loss: out of fold, of its probabilities after recalibration; of the ensemble, nested.
        calibration_error: expected calibration error of the same probabilities, in ten bins.
        weight: in the vote; 0 if it is left out.
        fit_seconds: of fitting, including folds.
        predict_seconds: for predicting 100 cases.
        note: preprocessing of the cases and why folds are missing, or why it is left out; empty if none of them.
    """

    member: str
    accuracy: float | None = None
    standard_error: float | None = None
    log_loss: float | None = None
    calibration_error: float | None = None
    weight: float = 0.0
    fit_seconds: float | None = None
    predict_seconds: float | None = None
    note: str = ""


class FoldBag(FittedClassifier):
    """Classifiers of one kind, each fitted without one fold, whose probabilities are averaged.

    Args:
        members: the classifiers; a class that one of them has not seen has the probability 0 there.
        facts: of all training cases.
        classes: shape (classes,), of all training cases.
        whole: how many of them, the last, were fitted on all cases instead.
    """

    def __init__(
        self, members: Sequence[FittedClassifier], facts: Facts, classes: NDArray[np.str_], whole: int = 0
    ) -> None:
        self.members, self.whole = list(members), whole
        self.classes = classes
        self.channels, self.columns = facts.channels, facts.columns
        self.shortest, self.longest, self.missing_values = facts.shortest, facts.longest, facts.missing_values

    def predict_proba(self, cases: Collection) -> NDArray[np.float64]:
        """Mean of the members' probabilities, shape (cases, classes)."""
        total = np.zeros((len(cases), len(self.classes)))
        for member in self.members:
            total += in_columns_of(self.classes, member.predict_proba(cases), member.classes)
        return total / len(self.members)

    @property
    def longest_allowed(self) -> int | None:
        """The limit of its members."""
        return self.members[0].longest_allowed

    def summary(self) -> str:
        """Describes one member, and gives their number."""
        folds = count_of(len(self.members) - self.whole, "fold")
        further = f" and {count_of(self.whole, 'time')} on all cases" if self.whole else ""
        return f"{self.members[0].summary()}, fitted without each of {folds}{further}, and averaged"

    def save(self, folder: Path) -> None:
        """Writes each member to its own folder."""
        for number, member in enumerate(self.members):
            member.save(folder / str(number))
        facts = {"members": len(self.members), "whole": self.whole, "classes": [str(label) for label in self.classes]}
        write_description(folder, "bag", {**facts, "facts": self.facts.to_json()}, [])

    @classmethod
    def load(cls, folder: Path) -> FoldBag:
        """Reads what `save` wrote.

        Raises:
            ModelError: there is no such model in the folder, or its files are damaged.
        """
        from tsbench.classifiers.saved import load_classifier

        about = read_description(folder)
        with intact(folder):
            members = [load_classifier(folder / str(number)) for number in range(about["members"])]
            facts, classes = Facts.from_json(about["facts"]), np.array(about["classes"], dtype=np.str_)
            return cls(members, facts, classes, about.get("whole", 0))  # earlier versions had none


@dataclass(frozen=True)
class VoteMember:
    """A member of the vote: its name in the leaderboard, and the fitted classifier."""

    name: str
    classifier: FittedClassifier


@dataclass
class FittedVote(FittedClassifier):
    """Classifiers of several families whose recalibrated probabilities are averaged with weights.

    Attributes:
        classes: shape (classes,), the sorted labels of the training cases.
        training: facts about the training cases.
        members: the classifiers that vote.
        combination: their temperatures and weights, in their order.
        leaderboard: the ensemble itself first, then every member that was tried, the best first.
        out_of_fold: the ensemble's probabilities of the training cases, each by members and weights that were fitted
            without it; None if no case could be held out.
        true_probabilities: sorted, of the true labels of the training cases, each by members that were fitted without
            it and the final weights; empty if no case could be held out.
    """

    classes: NDArray[np.str_]
    training: Facts
    members: list[VoteMember]
    combination: Combination
    leaderboard: list[LeaderboardRow] = field(default_factory=list)
    out_of_fold: OutOfFold | None = None
    true_probabilities: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        self.channels, self.columns = self.training.channels, self.training.columns
        self.shortest, self.longest = self.training.shortest, self.training.longest
        self.missing_values = self.training.missing_values

    @property
    def shortest_allowed(self) -> int:
        """The largest of its members'."""
        return max(member.classifier.shortest_allowed for member in self.members)

    @property
    def longest_allowed(self) -> int | None:
        """The smallest of its members'; None if none of them has a limit."""
        limits = [member.classifier.longest_allowed for member in self.members]
        return min((limit for limit in limits if limit is not None), default=None)

    def member_probabilities(self, cases: Collection) -> list[NDArray[np.float64]]:
        """For each member its probabilities, shape (cases, classes), before recalibration."""
        classifiers = [member.classifier for member in self.members]
        return [in_columns_of(self.classes, found.predict_proba(cases), found.classes) for found in classifiers]

    def predict_proba(self, cases: Collection) -> NDArray[np.float64]:
        """Weighted mean of the members' recalibrated probabilities, shape (cases, classes)."""
        return self.combination.apply(self.member_probabilities(cases))

    def predict_set(self, cases: Collection, coverage: float = 0.9) -> NDArray[np.bool_]:
        """The labels that a case may have: the true one is among them with a probability of about `coverage`.

        A label is in the set if its probability is at least the threshold that the share `coverage` of the training
        cases, held out, reached with their true labels: the score of Sadinle, Lei and Wasserman (Least Ambiguous
        Set-Valued Classifiers, 2019) in Vovk's cross-conformal predictor (2015). The coverage is an average over cases
        like the training cases, not for each case or class. A set may be empty, of a case that is unlike all classes,
        and holds all labels if too few cases were held out for the coverage.

        Args:
            cases: cases to predict.
            coverage: above 0, below 1.

        Returns:
            Shape (cases, classes), in the order of `classes`.

        Raises:
            ValueError: the coverage is not between 0 and 1.
        """
        if not 0 < coverage < 1:
            raise ValueError(f"coverage must be between 0 and 1, got {coverage!r}")
        threshold = self._threshold(coverage)
        if threshold is None:
            return np.ones((len(cases), len(self.classes)), dtype=np.bool_)
        return np.asarray(self.predict_proba(cases) >= threshold)

    def _threshold(self, coverage: float) -> float | None:
        """The least probability of a label in a set; None if the cases held out are too few."""
        cases = len(self.true_probabilities)
        rank = math.ceil((cases + 1) * coverage)
        return float(self.true_probabilities[cases - rank]) if rank <= cases else None

    def summary(self) -> str:
        """Its members, the largest weight first."""
        order = np.argsort(self.combination.weights, kind="stable")[::-1]
        shares = [f"{self.members[number].name} {self.combination.weights[number]:.0%}" for number in order]
        return f"weighted vote of {count_of(len(self.members), 'classifier')}: {', '.join(shares)}"

    def save(self, folder: Path) -> None:
        """Writes each member to its own folder, and their weights; no code is pickled.

        Raises:
            ModelError: a member cannot be saved without pickling code; the message names it.
        """
        folder.mkdir(parents=True, exist_ok=True)
        for number, member in enumerate(self.members):
            try:
                member.classifier.save(folder / MEMBERS / self._folder(number))
            except ModelError as error:
                raise ModelError(f"member {member.name}: {error}") from None
        np.save(folder / TRUE_PROBABILITIES, self.true_probabilities)
        files = [TRUE_PROBABILITIES]
        if self.out_of_fold is not None:
            self.out_of_fold.save(folder / OUT_OF_FOLD)
            files.append(OUT_OF_FOLD)
        about = {
            "classes": [str(label) for label in self.classes],
            "facts": self.training.to_json(),
            "members": [{"name": member.name, "folder": self._folder(n)} for n, member in enumerate(self.members)],
            "combination": asdict(self.combination),
            "leaderboard": [asdict(row) for row in self.leaderboard],
        }
        write_description(folder, "auto", about, files)

    def _folder(self, number: int) -> str:
        return f"{number}-{re.sub(r'[^A-Za-z0-9]+', '-', self.members[number].name).strip('-')}"

    @classmethod
    def load(cls, folder: Path) -> FittedVote:
        """Reads what `save` wrote.

        Raises:
            ModelError: there is no ensemble in the folder, its files are damaged, or a member cannot be read.
        """
        from tsbench.classifiers.saved import load_classifier

        about = read_description(folder)
        if kind_of(about) != "auto":
            raise ModelError(f"{folder} holds a {kind_of(about)}, not an ensemble of `auto`")
        with intact(folder):
            combination = {name: _frozen(value) for name, value in about["combination"].items()}
            return cls(
                np.array(about["classes"], dtype=np.str_),
                Facts.from_json(about["facts"]),
                [
                    VoteMember(member["name"], load_classifier(folder / MEMBERS / Path(member["folder"]).name))
                    for member in about["members"]
                ],
                Combination(**combination),
                [LeaderboardRow(**row) for row in about["leaderboard"]],
                OutOfFold.load(folder / OUT_OF_FOLD) if (folder / OUT_OF_FOLD).exists() else None,
                np.load(folder / TRUE_PROBABILITIES, allow_pickle=False),
            )


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
