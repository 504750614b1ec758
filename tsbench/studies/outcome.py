"""Workers' reports on a trial to their supervisor; quick to import, as the supervisor does not need torch."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["COMPLETE", "FAILED", "PRUNED", "STOPPED", "TrialOutcome", "TrialProgress"]

PRUNED, FAILED, STOPPED, COMPLETE = "pruned", "failed", "stopped", "complete"


@dataclass(frozen=True)
class TrialProgress:
    """The progress of a running trial; `score` is the searched metric at the last rung, None before the first."""

    epoch: int
    epochs: int
    score: float | None = None

    def __str__(self) -> str:
        return f"epoch {self.epoch}/{self.epochs}" + ("" if self.score is None else f", cv {self.score:.4f}")


@dataclass(frozen=True)
class TrialOutcome:
    """How a trial ended: complete, pruned, failed or stopped, with the reason if it is not complete."""

    trial: int
    state: str
    score: float | None
    seconds: float
    reason: str = ""
