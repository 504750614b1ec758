"""The roles of a table's columns in the training data, by which every later table is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["NOT_CHOSEN", "Columns"]

NOT_CHOSEN = "was not chosen"
"""Why a column is not a channel if others are named as channels."""


@dataclass(frozen=True)
class Columns:
    """The roles of a table's columns, as a recipe gives them or as they were detected.

    Attributes:
        case: the column that identifies the cases.
        label: the column of the class, which is the same in all rows of a case; None if there is none.
        time: the column that orders the rows of a case; None if they are in order.
        group: the column of groups, such as machines, whose cases must stay together; None if there is none.
        channels: the columns of values, in order; None until a table has been read.
        ignored: further columns of the table that was read, each with the reason why it is not a channel.
    """

    case: str = "case"
    label: str | None = "label"
    time: str | None = None
    group: str | None = None
    channels: tuple[str, ...] | None = None
    ignored: Mapping[str, str] = field(default_factory=dict)

    @property
    def roles(self) -> dict[str, str]:
        """The columns that are not channels, by their role."""
        named = {"case": self.case, "label": self.label, "time": self.time, "group": self.group}
        return {role: column for role, column in named.items() if column is not None}

    def to_json(self) -> dict[str, Any]:
        """Plain data that `from_json` reads."""
        return {**asdict(self), "ignored": dict(self.ignored)}

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> Columns:
        """The columns that `to_json` gave.

        Raises:
            TypeError: a key is missing or unknown.
        """
        channels = tree.get("channels")
        return cls(**{**tree, "channels": None if channels is None else tuple(channels)})
