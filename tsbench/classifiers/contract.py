"""The contract of every classifier: the interface before and after `fit`.

A `Classifier` is a specification: it refuses cases with a reason, and fits. `fit` returns a `FittedClassifier`,
which predicts, and which is saved without pickled code. The tuned network, the baselines and any class of sktime or
aeon satisfy both; `tsbench.testing.check_classifier` checks it. Importing this module does not import NumPy.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tsbench.recipe.messages import count_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tsbench.data.collection import Collection
    from tsbench.data.column_roles import Columns

__all__ = ["Budget", "BudgetSpentError", "Classifier", "Facts", "FittedClassifier", "OutOfFold", "in_columns_of"]

Method = Literal["folds", "leave-one-out", "leave-one-group-out"]


class BudgetSpentError(Exception):
    """A fit was ended because its time budget was spent."""


@dataclass(frozen=True)
class Budget:
    """The time that a fit may take.

    Attributes:
        seconds: from the creation of the budget; None for no limit.
    """

    seconds: float | None = None
    started: float = field(default_factory=time.monotonic, repr=False)

    @property
    def left(self) -> float | None:
        """Remaining seconds, at least 0; None for no limit."""
        return None if self.seconds is None else max(0.0, self.started + self.seconds - time.monotonic())

    def check(self) -> None:
        """Raises an error if the time is spent; a fit calls it wherever it can be ended.

        Raises:
            BudgetSpentError: no time is left.
        """
        if self.left == 0:
            raise BudgetSpentError(f"the fit took longer than {self.seconds:g} s")


def in_columns_of(
    classes: NDArray[np.str_], probabilities: NDArray[np.floating], known: NDArray[np.str_]
) -> NDArray[np.float64]:
    """Probabilities of some of the classes as columns of all of them; an unknown class has the probability 0.

    Args:
        classes: shape (classes,), sorted.
        probabilities: shape (cases, known classes).
        known: shape (known classes,), the classes of the given columns.
    """
    import numpy as np

    found = np.zeros((len(probabilities), len(classes)))
    found[:, np.searchsorted(classes, known)] = probabilities
    return found


@dataclass(frozen=True)
class OutOfFold:
    """Probabilities of training cases by classifiers that were fitted without them.

    Attributes:
        probabilities: shape (cases, classes); NaN for a case that no fold held out.
        classes: shape (classes,), in the order of the columns.
        labels: shape (cases,), the true labels.
        folds: shape (cases,), the fold that held each case out, counted from 0; -1 for none.
        method: by fits without each fold, or in closed form without each case or group of cases.
    """

    probabilities: NDArray[np.float64]
    classes: NDArray[np.str_]
    labels: NDArray[np.str_]
    folds: NDArray[np.int64]
    method: Method = "folds"

    def held_out(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """The held-out cases: probabilities, shape (cases, classes), and numbers of the true classes."""
        import numpy as np

        held_out = self.folds >= 0
        return self.probabilities[held_out], np.searchsorted(self.classes, self.labels[held_out])

    @property
    def accuracy(self) -> float:
        """Share of the cases held out whose most probable class is the true one."""
        probabilities, codes = self.held_out()
        return float((probabilities.argmax(axis=1) == codes).mean())

    @classmethod
    def of_folds(
        cls,
        labels: NDArray[np.str_],
        parts: Sequence[tuple[NDArray[np.integer], NDArray[np.floating], NDArray[np.str_]]],
    ) -> OutOfFold:
        """Combines the predictions of several folds.

        Args:
            labels: shape (cases,), of all training cases.
            parts: for each fold the numbers of the cases that it held out, their probabilities, and the classes of the
                columns; a class that a fold's training cases lack has the probability 0 there.
        """
        import numpy as np

        classes = np.unique(labels)
        probabilities = np.full((len(labels), len(classes)), np.nan)
        folds = np.full(len(labels), -1, dtype=np.int64)
        for number, (held_out, found, known) in enumerate(parts):
            probabilities[held_out], folds[held_out] = in_columns_of(classes, found, known), number
        return cls(probabilities, classes, labels, folds)

    def save(self, path: Path) -> None:
        """Writes a compressed NumPy archive (.npz) with an array for each attribute."""
        import numpy as np

        np.savez_compressed(
            path,
            probabilities=self.probabilities,
            classes=self.classes,
            labels=self.labels,
            folds=self.folds,
            method=np.array(self.method),
        )

    @classmethod
    def load(cls, path: Path) -> OutOfFold:
        """Reads what `save` wrote.

        Raises:
            OSError: the file does not exist.
            ValueError: it is not such a file.
            KeyError: an array is missing.
        """
        import numpy as np

        with np.load(path, allow_pickle=False) as kept:
            arrays = {name: kept[name] for name in ("probabilities", "classes", "labels", "folds")}
            method: Any = str(kept["method"])
        return cls(**arrays, method=method)


@dataclass(frozen=True)
class Facts:
    """Facts about the training cases, by which later cases are accepted or refused.

    Attributes:
        channels: of a case.
        shortest: training case in time steps.
        longest: training case in time steps.
        missing_values: whether a training case had missing values.
        columns: of the table that the training cases were read from; None if it was not a table.
    """

    channels: int
    shortest: int
    longest: int
    missing_values: bool
    columns: Columns | None = None

    @classmethod
    def of(cls, cases: Collection) -> Facts:
        """The facts about training cases."""
        shortest, longest = int(cases.lengths.min()), int(cases.lengths.max())
        return cls(cases.channels, shortest, longest, cases.missing_values, cases.columns)

    def to_json(self) -> dict[str, Any]:
        """Plain values that `from_json` reads."""
        return {
            "channels": self.channels,
            "shortest": self.shortest,
            "longest": self.longest,
            "missing_values": self.missing_values,
            "columns": None if self.columns is None else self.columns.to_json(),
        }

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> Facts:
        """The facts that `to_json` gave."""
        from tsbench.data.column_roles import Columns

        columns = Columns.from_json(kept["columns"]) if kept.get("columns") else None
        return cls(kept["channels"], kept["shortest"], kept["longest"], kept["missing_values"], columns)


class FittedClassifier(ABC):
    """A classifier after `fit`.

    Attributes:
        classes: shape (classes,), the sorted labels of the training cases.
        channels, shortest, longest, missing_values, columns: as in `Facts`.
        out_of_fold: probabilities of the training cases as a by-product of the fit; None if there are none.
    """

    classes: NDArray[np.str_]
    channels: int
    shortest: int
    longest: int
    missing_values: bool
    columns: Columns | None
    out_of_fold: OutOfFold | None = None

    @abstractmethod
    def predict_proba(self, cases: Collection) -> NDArray[np.float64]:
        """Class probabilities, shape (cases, classes), in the order of `classes`."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Writes files without pickled code that `tsbench.classifiers.saved.load_classifier` reads.

        Raises:
            ModelError: it cannot be saved without pickling code.
        """

    @abstractmethod
    def summary(self) -> str:
        """A sentence for the model card."""

    @property
    def facts(self) -> Facts:
        """Facts about the training cases."""
        return Facts(self.channels, self.shortest, self.longest, self.missing_values, self.columns)

    def predict(self, cases: Collection) -> NDArray[np.str_]:
        """The most probable label of each case."""
        labels: NDArray[np.str_] = self.classes[self.predict_proba(cases).argmax(axis=1)]
        return labels

    @property
    def shortest_allowed(self) -> int:
        """The minimum time steps of a case: half of the shortest training case; a shorter one is probably cut off."""
        return (self.shortest + 1) // 2

    @property
    def longest_allowed(self) -> int | None:
        """The maximum time steps of a case; None for no limit."""
        return None

    def unfit_lengths(self, cases: Collection) -> NDArray[np.int64]:
        """Numbers of the cases with fewer time steps than `shortest_allowed` or more than `longest_allowed`.

        `predict_proba` may still take them, as an archive's own test cases may be so short; whoever receives
        cases from a user says so.
        """
        import numpy as np

        longest = self.longest_allowed
        unfit = cases.lengths < self.shortest_allowed
        return np.flatnonzero(unfit if longest is None else unfit | (cases.lengths > longest))

    def describe_length(self, steps: int) -> str:
        """The problem with a case of this many time steps, to follow the name of the case."""
        trained = f"{self.shortest} to {self.longest}" if self.shortest < self.longest else str(self.longest)
        long = self.longest_allowed is not None and steps > self.longest_allowed
        if self.longest_allowed == self.shortest_allowed:
            takes = "takes no other length"
        elif self.longest_allowed is None:
            takes = f"takes {self.shortest_allowed} or more"
        else:
            takes = f"takes {self.shortest_allowed} to {self.longest_allowed}"
        return (
            f"has {count_of(steps, 'time step')}, which is too {'long' if long else 'short'}; the model was trained on "
            f"{trained} time step{'' if trained == '1' else 's'} and {takes}"
        )


class Classifier(ABC):
    """A classifier before `fit`: a specification, which is not changed by fitting."""

    @abstractmethod
    def refuses(self, *collections: Collection) -> str | None:
        """Why it cannot be fitted and scored on these collections, as a sentence; None if it can.

        Args:
            collections: the training cases, then other cases to predict.
        """

    @abstractmethod
    def fit(self, cases: Collection, seed: int, budget: Budget | None = None) -> FittedClassifier:
        """Fits on all of the cases, and leaves this object and every global generator as they were.

        Args:
            cases: the training cases.
            seed: of every random number; the same seed gives the same bits.
            budget: the time it may take; None for no limit. A library's classifier cannot be ended from within; whoever
                must be sure of the end fits it in its own process.

        Raises:
            BudgetSpentError: the budget was spent.
        """
