"""What a search notes of itself in a study, beside its trials."""

from __future__ import annotations

from optuna import Study as OptunaStudy

__all__ = ["StudyNotes"]

BUDGET, SECONDS, TIMED_OUT = "trials", "seconds", "timed_out"  # user attributes of Optuna's study


class StudyNotes:
    """Budget and time of a search, over all of its calls.

    Args:
        study: Optuna's study, which keeps them.
        budget: trials in all by the first call.
    """

    def __init__(self, study: OptunaStudy, budget: int) -> None:
        self._study = study
        self.budget = int(study.user_attrs.get(BUDGET, budget))
        """Trials in all, by the latest call; the specification has those of the first, by which the sampler is set."""

    def set_budget(self, trials: int) -> None:
        """Changes the trials in all."""
        if trials != self.budget:
            self._study.set_user_attr(BUDGET, trials)
            self.budget = trials

    @property
    def search_seconds(self) -> float:
        """What the search has taken so far, in all calls."""
        return float(self._study.user_attrs.get(SECONDS, (0.0, 0.0))[0])

    @property
    def seconds(self) -> float:
        """What the search and the refit have taken so far, in all calls."""
        return float(self._study.user_attrs.get(SECONDS, (0.0, 0.0))[1])

    def note_seconds(self, search: float, in_all: float) -> None:
        """See `search_seconds` and `seconds`."""
        self._study.set_user_attr(SECONDS, (round(search, 1), round(in_all, 1)))

    @property
    def timed_out(self) -> float | None:
        """The time budget in seconds that ended the search before its trials were run; None if none did."""
        budget = self._study.user_attrs.get(TIMED_OUT)
        return None if budget is None else float(budget)

    def note_timed_out(self, budget: float | None) -> None:
        """See `timed_out`."""
        self._study.set_user_attr(TIMED_OUT, budget)
