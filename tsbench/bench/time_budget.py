"""The time budget of a cell's search and refit: how much is spent and left, and how it is shared."""

from __future__ import annotations

import time
from collections.abc import Callable

from tsbench.recipe.schema import Recipe
from tsbench.studies.study import Study

__all__ = ["TimeBudget"]

NOTE_EVERY = 5.0  # seconds between two records of the time spent, needed only after a killed search
SLACK, LEAST_SLACK = 0.05, 5.0  # share of a timeout, and minimum seconds, by which a refit may be late


class TimeBudget:
    """The time of a cell's search and refit, over all calls; without `search.timeout` it is only counted.

    Args:
        study: records the time spent; a refit's time is estimated from its trials.
        recipe: gives the timeout and the number of networks to refit.
        workers: number that share the networks.
        opened: when this call started with the cell, in seconds since the epoch.
        network_share: returns a network's training time divided by a trial's; called when it is first needed.
        confirm: trials that are scored again on other folds, besides the default.
        confirm_share: returns the time of scoring a trial again divided by a trial's; called as `network_share`.
    """

    def __init__(
        self,
        study: Study,
        recipe: Recipe,
        workers: int,
        opened: float,
        network_share: Callable[[], float],
        confirm: int = 0,
        confirm_share: Callable[[], float] = lambda: 1.0,
    ) -> None:
        self.timeout = recipe.search.timeout
        self._study = study
        self._networks = recipe.evaluation.ensemble
        self._workers = workers
        self._opened = opened
        self._network_share = network_share
        self._share_of_confirmation = confirm_share
        self._confirm = min(confirm, max(0, recipe.search.trials - 1))
        # Time is counted over all calls, so earlier calls count as if they had just ended.
        self._began = opened - study.notes.seconds
        self._search_began = opened - study.notes.search_seconds
        self._search_ended: float | None = None
        self._longest = max(study.trials().complete_seconds(), default=0.0)  # of the complete trials
        self._noted = time.monotonic()

    @property
    def left(self) -> float | None:
        """Seconds left for search and refit; None if they are not limited."""
        return None if self.timeout is None else self._began + self.timeout - time.time()

    @property
    def search_seconds(self) -> float:
        """Seconds of the search so far, over all calls."""
        return (self._search_ended or time.time()) - self._search_began

    def ended_search(self) -> bool:
        """Whether an earlier call's search ran out of time and the current recipe gives it no more."""
        ended_by = self._study.notes.timed_out
        return ended_by is not None and self.timeout is not None and self.timeout <= ended_by

    def is_search_over(self) -> bool:
        """Whether trials must end now, so that enough time is left for the refit."""
        if self.timeout is None:
            return False
        share = self._network_share()
        if self._longest:
            return time.time() > self._began + self.timeout - self._refit_share() - self._confirm_share()
        # A first trial that ends now has taken this whole call, and must leave time for one network of its settings.
        return time.time() > (self._began + self.timeout + share * self._opened) / (1 + share)

    def is_confirmation_over(self) -> bool:
        """Whether scoring trials again must stop, so that enough time is left for the refit."""
        return self.timeout is not None and time.time() > self._began + self.timeout - self._refit_share()

    def _refit_share(self) -> float:
        """Seconds reserved for the networks: at most half of the timeout, but enough for one."""
        assert self.timeout is not None
        network = self._longest * self._network_share()
        rounds = -(-self._networks // self._workers)
        return max(network, min(network * rounds, self.timeout / 2))

    def _confirm_share(self) -> float:
        """Seconds reserved for scoring trials again; none if that took more than a quarter of the timeout."""
        assert self.timeout is not None
        if not self._confirm:
            return 0.0
        seconds = self._longest * self._share_of_confirmation() * -(-(self._confirm + 1) // self._workers)
        return seconds if seconds <= self.timeout / 4 else 0.0

    def networks_in_time(self, trial_seconds: float, begun: int) -> int:
        """The number of networks that there is time for, at least 1.

        Args:
            trial_seconds: of the trial whose settings they have; 0 if unknown.
            begun: networks that are already fitted or being fitted.
        """
        if self.left is None or self.timeout is None or not trial_seconds:
            return self._networks
        left = self.left + max(LEAST_SLACK, SLACK * self.timeout)
        rounds = int(left / (trial_seconds * self._network_share()))
        return min(self._networks, max(1, begun + max(0, rounds) * self._workers))

    def add_trial(self, seconds: float) -> None:
        """Adds the seconds of a complete trial."""
        self._longest = max(self._longest, seconds)

    def end_search(self, timed_out: bool) -> None:
        """Records in the study whether the search ran out of time."""
        self.note(now=True)
        self._study.notes.note_timed_out(self.timeout if timed_out else None)

    def stop_clock(self) -> None:
        """Ends the seconds of the search, when its configuration is chosen."""
        self._search_ended = time.time()
        self.note(now=True)

    def note(self, now: bool = False) -> None:
        """Saves the time spent in the study, unless it was saved a moment ago."""
        if now or time.monotonic() - self._noted > NOTE_EVERY:
            self._noted = time.monotonic()
            self._study.notes.note_seconds(self.search_seconds, time.time() - self._began)
