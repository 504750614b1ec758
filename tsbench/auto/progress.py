"""How far the training of an ensemble is, for whoever shows it; light to import."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["AutoProgress", "MemberProgress"]


@dataclass(frozen=True)
class MemberProgress:
    """How far a member is.

    Attributes:
        name: in the leaderboard.
        state: `waiting`, `fitting`, `done` or `skipped`.
        reason: why it is skipped; empty if it is not.
        seconds: that its fits have taken so far.
        accuracy: out of fold; None if it is not known.
        log_loss: out of fold, of its probabilities after recalibration; None if it is not known.
    """

    name: str
    state: str
    reason: str = ""
    seconds: float = 0.0
    accuracy: float | None = None
    log_loss: float | None = None


@dataclass(frozen=True)
class AutoProgress:
    """How far the training of an ensemble is; as text it is one line.

    Attributes:
        members: in the order in which they are tried.
        left: seconds until the time limit; None without one.
        accuracy: nested, of the vote of the members that are done; None if it is not known.
        log_loss: nested, of the same vote; None if it is not known.
    """

    members: tuple[MemberProgress, ...]
    left: float | None = None
    accuracy: float | None = None
    log_loss: float | None = None

    def __str__(self) -> str:
        fitting = [member.name for member in self.members if member.state == "fitting"]
        ended = sum(member.state in ("done", "skipped") for member in self.members)
        left = "" if self.left is None else f", {self.left:.0f} s left"
        return f"{', '.join(fitting) or 'weights'}; {ended} of {len(self.members)} members{left}"
