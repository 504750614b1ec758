"""`auto` as an sktime classifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from tsbench.adapters.sktime import converted
from tsbench.auto.portfolio import candidates_of
from tsbench.auto.training import AutoTraining
from tsbench.classifiers.series_classifier import SeriesClassifier, collection_of, device_of, whole_number
from tsbench.classifiers.vote import FittedVote
from tsbench.data.collection import Collection
from tsbench.recipe.plain import plain
from tsbench.recipe.schema import format_duration, parse_duration
from tsbench.workers.local import count_cores

__all__ = ["AutoClassifier", "processes_of"]


def processes_of(n_jobs: int | None) -> int:
    """The number of processes that `n_jobs` asks for: as in joblib, negative numbers count back from all cores.

    Raises:
        ValueError: it is 0, or no whole number.
    """
    jobs = -1 if n_jobs is None else whole_number("n_jobs", n_jobs)
    if jobs == 0:
        raise ValueError("n_jobs must not be 0; give a number of processes, or -1 for all cores")
    return jobs if jobs > 0 else max(1, count_cores() + 1 + jobs)


class AutoClassifier(SeriesClassifier):
    """A vote of several families of classifiers, fitted within a time limit.

    Members are fitted in parallel, each in a process of one thread, and vote with weights chosen on
    out-of-fold probabilities. Takes series of one or several channels, of equal or unequal length, with or without
    missing values (NaN); a member that cannot take them gets padded or resampled, imputed cases.

    Args:
        time_limit: of `fit`, a number of seconds or a text such as `"5 min"`; None for no limit. When it has passed,
            the members that are fitted vote; if there are none, `fit` raises `tsbench.auto.training.TimeLimitError`.
        preset: `quick` (seconds, without a network), `good` (minutes) or `best` (slower families too).
        members: names of members, of registered baselines, or import paths of classifiers, instead of the preset's.
        n_jobs: parallel processes; None or -1 for all cores, -2 for all but one.
        device: of networks: `auto` (a GPU if there is one), `cpu`, `cuda` or `cuda:N`.
        random_state: of all members. Without a time limit, the same number gives the same bits; with one, it depends
            on the machine's speed which members are fitted in time.

    Attributes:
        vote_: the fitted `FittedVote`.
        leaderboard_: a data frame, the ensemble in its first row, then a row for each member; see `LeaderboardRow`.

    Examples:
        >>> from sktime.datasets import load_unit_test
        >>> from tsbench import AutoClassifier
        >>> X, y = load_unit_test(split="train")
        >>> classifier = AutoClassifier(time_limit="1 min", preset="quick").fit(X, y)
        >>> classifier.predict_proba(X).shape
        (20, 2)
    """

    ATTRIBUTE: ClassVar[str] = "vote_"
    FOLDER: ClassVar[str] = "auto"

    def __init__(
        self,
        time_limit: float | str | None = "5 min",
        preset: str = "good",
        members: Sequence[str] | None = None,
        n_jobs: int | None = None,
        device: str = "auto",
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.time_limit = time_limit
        self.preset = preset
        self.members = members
        self.n_jobs = n_jobs
        self.device = device
        self.random_state = random_state
        super().__init__()

    def _fit_classifier(self, cases: Collection) -> FittedVote:
        try:
            limit = None if self.time_limit is None else parse_duration(plain(self.time_limit))
        except ValueError as error:
            raise ValueError(f"time_limit: {error}") from None
        candidates = candidates_of(self.preset, self.members)
        seed = int(check_random_state(plain(self.random_state)).randint(2**31 - 1))
        return AutoTraining(cases, candidates, limit, seed, processes_of(self.n_jobs), device_of(self.device)).run()

    @property
    def leaderboard_(self) -> pd.DataFrame:
        """Accuracy, log loss, weight and seconds of the ensemble and of every member that was tried."""
        self.check_is_fitted()
        return pd.DataFrame([asdict(row) for row in self._vote.leaderboard])

    @property
    def _vote(self) -> FittedVote:
        if not hasattr(self, "vote_"):
            raise ValueError("there are no members: all training cases were of one class, so none was fitted")
        vote: FittedVote = self.vote_
        return vote

    def fit_summary(self) -> str:
        """The members, their scores out of fold, and those left out, in a few lines."""
        self.check_is_fitted()
        ensemble, *members = self._vote.leaderboard
        lines = [f"{self._vote.summary()}; fitted in {format_duration(round(ensemble.fit_seconds or 0))} of one core."]
        if ensemble.accuracy is not None:
            lines.append(
                f"Out of fold: accuracy {ensemble.accuracy:.4f} (standard error {ensemble.standard_error:.4f}), "
                f"log loss {ensemble.log_loss:.4f}, expected calibration error {ensemble.calibration_error:.4f}."
            )
        lines += [f"Left out: {row.member}: {row.note}." for row in members if row.weight == 0]
        return "\n".join(lines)

    def predict_set(self, X: Any, coverage: float = 0.9) -> NDArray[np.bool_]:
        """The labels that each case may have, which include the true one with about the given probability.

        Args:
            X: as for `predict`.
            coverage: above 0, below 1.

        Returns:
            Shape (cases, classes), in the order of `classes_`; see `FittedVote.predict_set` for the method.

        Raises:
            ValueError: the coverage is not between 0 and 1.
        """
        self.check_is_fitted()
        vote = self._vote
        return vote.predict_set(collection_of(converted(self, X), known=vote.columns), coverage)

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        """Settings with which sktime's tests are quick."""
        small = {"time_limit": None, "n_jobs": 1}
        return [{**small, "members": ["dummy", "1nn-ed"]}, {**small, "members": ["1nn-ed"], "random_state": 7}]
