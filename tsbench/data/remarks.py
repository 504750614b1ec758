"""Notes on how a data set was read, for the user to check before training."""

from __future__ import annotations

from collections.abc import Iterable

from tsbench.data.collection import Collection
from tsbench.data.column_roles import NOT_CHOSEN
from tsbench.data.formats.labels import lookalikes
from tsbench.data.formats.table import NO_NAME, listed
from tsbench.recipe.messages import count_of

__all__ = ["remarks_on_channels", "remarks_on_labels"]


def remarks_on_channels(cases: Collection) -> list[str]:
    """The channels of a table by name, and each column that is not one; nothing for other formats."""
    columns = cases.columns
    if columns is None or columns.channels is None:
        return []
    found = [f"{count_of(len(columns.channels), 'channel')}: {listed(columns.channels)}"]
    chosen = [name for name, reason in columns.ignored.items() if reason == NOT_CHOSEN]
    if chosen:
        found.append(f"not among the channels that were chosen: {listed(chosen)}")
    return found + [
        f"the {name}, is not a channel"
        if name.startswith(NO_NAME)
        else f"column {name!r} is not a channel: it {reason} (name it by `channels` if it is one)"
        for name, reason in columns.ignored.items()
        if reason != NOT_CHOSEN
    ]


def remarks_on_labels(labels: Iterable[str]) -> list[str]:
    """Labels that may have been meant to be the same."""
    return [
        f"the labels {', '.join(map(repr, group))} differ only in spelling, and count as different classes; give "
        "them one spelling if they are the same"
        for group in lookalikes(labels)
    ]
