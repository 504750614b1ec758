"""Decides which columns of a table are channels, and which only count, date or identify its rows.

A table's index, a counter or an identifier that becomes a channel can reveal the class, as cases are often in
order of their class. So such columns are left out with the reason, unless the recipe names them by `channels`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tsbench.data.formats.cells import holds_times, numbers
from tsbench.data.formats.table import Table
from tsbench.errors import DataError

__all__ = ["RowOrder", "channels_of"]

MIN_ROWS = 10
"""Rows below which a column of few numbers may count or be distinct by chance."""

EPOCHS = ((5e8, 5e9), (5e11, 5e12), (5e14, 5e15), (5e17, 5e18))
"""Ranges of time stamps since 1970 in s, ms, us and ns, for the years from 1985 to 2128."""

_TIME_NAME = re.compile(
    r"(.*[ _.\-])?(t|time|times|timestamp|datetime|date|epoch|elapsed|clock|uptime"
    r"|step|steps|index|idx|frame|tick|ticks|seq|sequence)"
    r"([ _.\-]?(s|ms|us|ns|sec|seconds|id|no|nr|num|number))?",
    re.IGNORECASE,
)
_ID_NAME = re.compile(r"(.*[ _.\-])?(id|ids|uid|uuid|key|row|rowid|no|nr|index|idx|record|serial)", re.IGNORECASE)


@dataclass(frozen=True)
class RowOrder:
    """How a table's rows make up cases.

    Attributes:
        case: shape (rows,), the number of each row's case.
        order: shape (rows,), the rows by case and, within a case, by time or as they stand.
    """

    case: NDArray[np.int64]
    order: NDArray[np.int64]

    @cached_property
    def inside(self) -> NDArray[np.bool_]:
        """Shape (rows - 1,): whether a row of `order` and the next are of the same case."""
        case = self.case[self.order]
        same: NDArray[np.bool_] = case[1:] == case[:-1]
        return same

    def only(self, kept: NDArray[np.bool_]) -> RowOrder:
        """The order of some of the rows, by their numbers among these."""
        number = np.cumsum(kept) - 1
        return RowOrder(self.case[kept], number[self.order[kept[self.order]]])


def channels_of(
    table: Table, columns: list[str], rows: RowOrder, ordered: bool
) -> tuple[list[str], dict[str, str], list[str]]:
    """Divides columns without a role into channels and others.

    Args:
        table: the table.
        columns: their names.
        rows: how its rows make up cases.
        ordered: whether a column of times orders the rows of a case.

    Returns:
        The channels; the others, each with the reason; and remarks on channels that are doubtful.

    Raises:
        DataError: a column holds something that is not a number, or a decision is needed.
    """
    channels: list[str] = []
    others: dict[str, str] = {}
    remarks: list[str] = []
    for column in columns:
        if table.is_unnamed(column):
            others[column] = "has no name"
        elif holds_times(table, column) is not None:
            others[column] = "holds dates"
            if not ordered:
                _refuse_disorder(table, column, rows)
        else:
            values = numbers(table, column, "; if it is not a column of values, name those that are by `channels`")
            reason = _why_no_channel(table, column, values, rows)
            if reason:
                others[column] = reason
            else:
                channels.append(column)
                remarks += _doubt(column, values, rows)
    return channels, others, remarks


def _why_no_channel(table: Table, column: str, values: NDArray[np.floating], rows: RowOrder) -> str:
    """Why a column of numbers is not a channel; empty if it may be one."""
    # A counter with a missing cell is still a counter: steps beside the cell are left out here, its row below.
    for what, steps in (("", np.diff(values[rows.order])[rows.inside]), ("the rows ", np.diff(values))):
        steps = steps[np.isfinite(steps)]
        if _is_constant_step(steps):
            return f"counts {what}in steps of {_short(float(steps[0]))}"
    values, rows = _present(values, rows)
    if len(values) < MIN_ROWS:
        return ""
    steps = np.diff(values[rows.order])[rows.inside]
    whole = bool((values == np.round(values)).all())
    increasing = len(steps) >= MIN_ROWS and bool((steps > 0).all())
    if increasing and (
        _TIME_NAME.fullmatch(column) or any(low <= values.min() and values.max() <= high for low, high in EPOCHS)
    ):
        return "holds times"
    if whole and len(np.unique(values)) == len(values):
        if _ID_NAME.fullmatch(column) or values.max() - values.min() < 2 * len(values):
            return "has a different whole number in every row, as an identifier"
        raise DataError(
            f"{table.name}: column {column!r} has a different whole number in every row: if it identifies the rows, "
            "name the columns of values by `channels`, without it; if it holds measured values, name it there too"
        )
    return "identifies the case" if whole and _identifies_cases(values, rows) else ""


def _is_constant_step(steps: NDArray[np.floating]) -> bool:
    if len(steps) < MIN_ROWS - 1 or steps[0] == 0:
        return False
    return bool(np.allclose(steps, steps[0], rtol=1e-6, atol=0))


def _per_case(values: NDArray[np.floating], rows: RowOrder) -> NDArray[np.floating] | None:
    """The one value of each case, in order of the cases; None if a case has several, or all cases have the same."""
    if not rows.inside.any() or (np.diff(values[rows.order])[rows.inside] != 0).any():
        return None
    first = np.concatenate([[True], ~rows.inside])
    of_case = values[rows.order][first]
    return None if (of_case == of_case[0]).all() else of_case


def _identifies_cases(values: NDArray[np.floating], rows: RowOrder) -> bool:
    of_case = _per_case(values, rows)
    return of_case is not None and len(of_case) > 2 and len(np.unique(of_case)) == len(of_case)


def _present(values: NDArray[np.floating], rows: RowOrder) -> tuple[NDArray[np.floating], RowOrder]:
    """The values that are not missing, and how their rows make up cases."""
    present = np.isfinite(values)
    return (values, rows) if present.all() else (values[present], rows.only(present))


def _runs_on(values: NDArray[np.floating], rows: RowOrder) -> bool:
    """Whether values only grow or only fall, within cases and from case to case, as a clock's or a meter's do."""
    ordered = values[rows.order]
    steps = np.diff(ordered)[rows.inside]
    if len(steps) < MIN_ROWS or not steps.any() or not ((steps >= 0).all() or (steps <= 0).all()):
        return False
    starts = np.flatnonzero(np.concatenate([[True], ~rows.inside]))
    lowest, highest = np.minimum.reduceat(ordered, starts), np.maximum.reduceat(ordered, starts)
    by_size = np.argsort(lowest)
    return len(starts) > 2 and bool((highest[by_size][:-1] <= lowest[by_size][1:]).all())


def _doubt(column: str, values: NDArray[np.floating], rows: RowOrder) -> list[str]:
    values, rows = _present(values, rows)
    if _runs_on(values, rows):
        return [
            f"channel {column!r} continues from case to case, as a clock or a meter does, and may reveal the class by "
            "the time of recording; if it is one, leave it out by naming the other columns by `channels`"
        ]
    if _per_case(values, rows) is None:
        return []
    return [
        f"channel {column!r} has one value in each case; if it names a machine, a person or the class, leave it out by "
        "naming the other columns by `channels`"
    ]


def _refuse_disorder(table: Table, column: str, rows: RowOrder) -> None:
    """Refuses rows that are not in the order of their times."""
    times = holds_times(table, column)
    assert times is not None
    before = (np.diff(times[rows.order]) < 0) & rows.inside
    if before.any():
        row = int(rows.order[int(np.argmax(before)) + 1])
        raise DataError(
            f"{table.place(row)}: the time in column {column!r} is before that of the case's last row; name the column "
            "by `time`, so that the rows are put in order"
        )


def _short(number: float) -> str:
    return f"{number:.6g}"
