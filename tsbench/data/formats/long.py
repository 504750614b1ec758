"""Reads long tables, a row for each case and time step; training, prediction and serving all read them here."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tsbench.data.collection import Collection
from tsbench.data.column_roles import NOT_CHOSEN, Columns
from tsbench.data.formats.case_file import CaseFile
from tsbench.data.formats.cells import names, numbers, times
from tsbench.data.formats.channels import RowOrder, channels_of
from tsbench.data.formats.labels import MISSING_LABELS, label_text, name_text
from tsbench.data.formats.sizes import check_padding
from tsbench.data.formats.table import Table, listed, read_table
from tsbench.errors import DataError

__all__ = ["TableCases", "cases_of", "known_columns", "read_long", "read_long_alike"]


@dataclass(frozen=True)
class TableCases:
    """The cases of a table.

    Attributes:
        collection: the cases, in the order in which they first appear; a missing label is empty.
        names: what each case is called in the table.
        first: shape (cases,), the row in which each case first appears.
        remarks: see `CaseFile`.
    """

    collection: Collection
    names: Sequence[Hashable]
    first: NDArray[np.int64]
    remarks: tuple[str, ...] = ()


def read_long(path: Path, columns: Columns) -> CaseFile:
    """Reads a long table of labelled cases, in the order in which they first appear.

    Values are NaN if a field is empty, NaN, NA or `?`; float32 in a Parquet file stays float32. A .csv file may
    separate its fields by commas, semicolons, tabs or bars, and with any but commas have decimal commas.

    Args:
        path: the file.
        columns: the roles of its columns; if it names no channels, all others are channels, except those that only
            count, date or identify the rows.

    Raises:
        DataError: names the file and, if there is one, the line (CSV) or row (Parquet) and column at fault.
    """
    table = read_table(path)
    return _case_file(path, table, cases_of(table, columns))


def read_long_alike(path: Path, columns: Columns, labelled: bool = True) -> CaseFile:
    """Reads a further table by the columns of the training table; their order may differ.

    Args:
        path: the file.
        columns: what `read_long` found in the training table.
        labelled: whether every case must have a label; otherwise a missing one is empty.

    Raises:
        DataError: as `read_long`; or a column is missing or unknown.
    """
    table = read_table(path)
    return _case_file(path, table, cases_of(table, known_columns(table, columns), labelled))


def _case_file(path: Path, table: Table, read: TableCases) -> CaseFile:
    lines = table.rows[read.first] if table.counted == "line" else np.zeros(0, dtype=np.int64)
    return CaseFile(path, read.collection, lines, True, read.remarks)


def known_columns(table: Table, known: Columns, given: Mapping[str, str] | None = None) -> Columns:
    """The roles of a further table's columns, by the names that the training table gave them.

    Args:
        table: the table.
        known: the columns of the training table; channels are None if it was not a table.
        given: columns of this table by their role, if their names differ here.

    Raises:
        DataError: a column is missing, unknown, or has two roles.
    """
    roles = {role: _column(table, role, known, given or {}) for role in ("case", "time", "label", "group")}
    _check_roles(table, known, roles, given or {})
    case = roles["case"]
    assert case is not None
    taken = {column for column in roles.values() if column is not None}
    if known.channels is None:
        others = [name for name in table.columns if name not in taken and not table.is_unnamed(name)]
        return Columns(case, roles["label"], roles["time"], roles["group"], tuple(others))
    if missing := [name for name in known.channels if name not in table.columns]:
        raise DataError(
            f"{table.name}: there is no column {listed(missing)}, which the training data had as "
            f"{'a channel' if len(missing) == 1 else 'channels'}; available: {listed(table.columns)}"
        )
    expected = {*known.channels, *known.ignored, *known.roles.values(), *taken}
    unknown = [name for name in table.columns if name not in expected and not table.is_unnamed(name)]
    if unknown:
        raise DataError(
            f"{table.name}: unknown column{'s' if len(unknown) > 1 else ''} {listed(unknown)}; the training data had "
            f"the channels {listed(known.channels)}. Remove columns that are not channels, or name the "
            "column of cases, times or labels if it has another name here"
        )
    return replace(known, case=case, label=roles["label"], time=roles["time"], group=roles["group"])


def _column(table: Table, role: str, known: Columns, given: Mapping[str, str]) -> str | None:
    """The column of a role: as given, as in the training table, or by its usual name; None if there is none."""
    if role in given:
        return given[role]
    trained = known.roles.get(role)
    if trained is not None and trained in table.columns:
        return trained
    usual = "" if role == "group" else role
    free = usual not in (known.channels or ()) and usual not in known.ignored and usual not in known.roles.values()
    return usual if usual in table.columns and free and usual not in given.values() else None


def _check_roles(table: Table, known: Columns, roles: Mapping[str, str | None], given: Mapping[str, str]) -> None:
    for role, column in given.items():
        if column not in table.columns:
            raise DataError(f"{table.name}: there is no column {column!r} ({role}); available: {listed(table.columns)}")
        if column in (known.channels or ()):
            raise DataError(f"{table.name}: column {column!r} cannot be the {role}, as it was a channel in training")
    for role in ("case", "time"):
        if roles[role] is None and (role == "case" or known.time is not None):
            wanted = known.roles.get(role, role)
            raise DataError(f"{table.name}: there is no column {wanted!r} ({role}); available: {listed(table.columns)}")
    taken = [column for column in roles.values() if column is not None]
    if twice := sorted({column for column in taken if taken.count(column) > 1}):
        raise DataError(f"{table.name}: column {twice[0]!r} cannot have two roles")


def cases_of(table: Table, columns: Columns, labelled: bool = True) -> TableCases:
    """The cases of a table.

    Args:
        table: the table.
        columns: the roles of its columns; channels are None if they are to be detected.
        labelled: whether every case must have a label.

    Raises:
        DataError: a column is missing, a row names no case, a case has two labels or one time twice, ...
    """
    _refuse_absent(table, columns)
    spelled = names(table, columns.case, name_text)
    _refuse_empty(table, columns.case, spelled)
    first, case = _first_appearance(spelled)
    rows, when = _order(table, columns, case)
    columns, remarks = _with_channels(table, columns, rows)
    if when is not None:
        _refuse_repeated_times(table, rows, when, spelled)
    labels = _of_cases(table, columns, "label", spelled, first, case, labelled)
    groups = _of_cases(table, columns, "group", spelled, first, case, labelled)
    assert columns.channels is not None
    values = np.stack([numbers(table, name)[rows.order] for name in columns.channels], axis=1)
    lengths = np.bincount(case)
    check_padding(table.name, lengths, len(columns.channels))
    collection = Collection(
        _padded(values, lengths), lengths, np.full(len(first), "") if labels is None else labels, groups, columns
    )
    return TableCases(collection, _as_given(table, columns.case, first, spelled), first, remarks)


def _refuse_absent(table: Table, columns: Columns) -> None:
    asked = {**columns.roles, **{f"channel {name}": name for name in columns.channels or ()}}
    if absent := {role: column for role, column in asked.items() if column not in table.columns}:
        wanted = ", ".join(f"{column!r} ({role})" for role, column in absent.items())
        raise DataError(f"{table.name}: there is no column {wanted}; available: {listed(table.columns)}")


def _refuse_empty(table: Table, column: str, spelled: NDArray[np.str_]) -> None:
    absent = spelled == ""
    if absent.any():
        row = int(np.argmax(absent))
        given = table.frame[column].iloc[row]
        what = f"no value in column {column!r}"
        if isinstance(given, str) and given.strip() in MISSING_LABELS[1:]:
            what = f"{given!r} in column {column!r} means that it is missing; spell the class otherwise if it is one"
        raise DataError(f"{table.place(row)}: {what}")


def _order(table: Table, columns: Columns, case: NDArray[np.int64]) -> tuple[RowOrder, NDArray[np.generic] | None]:
    """The rows by case and time, and the times if there are any."""
    if columns.time is None:
        return RowOrder(case, np.argsort(case, kind="stable")), None
    when = times(table, columns.time)
    return RowOrder(case, np.lexsort((when, case))), when


def _with_channels(table: Table, columns: Columns, rows: RowOrder) -> tuple[Columns, tuple[str, ...]]:
    """The columns with their channels, which are detected if none are named."""
    if columns.channels is not None:
        named = {*columns.channels, *columns.roles.values()}
        others = {name: NOT_CHOSEN for name in table.columns if name not in named}
        return replace(columns, ignored={**others, **columns.ignored}), ()
    free = [name for name in table.columns if name not in columns.roles.values()]
    channels, ignored, remarks = channels_of(table, free, rows, columns.time is not None)
    if not channels:
        beside = ", ".join(columns.roles.values())
        reasons = "".join(f"; column {name!r} {reason}" for name, reason in ignored.items())
        raise DataError(f"{table.name}: there is no column of values beside {beside}{reasons}")
    return replace(columns, channels=tuple(channels), ignored=ignored), tuple(remarks)


def _of_cases(
    table: Table,
    columns: Columns,
    role: str,
    spelled: NDArray[np.str_],
    first: NDArray[np.int64],
    case: NDArray[np.int64],
    required: bool,
) -> NDArray[np.str_] | None:
    """The label or group of each case, shape (cases,); None if there is no such column."""
    column = columns.roles.get(role)
    if column is None:
        return None
    found = names(table, column, label_text if role == "label" else name_text)
    if required:
        _refuse_empty(table, column, found)
    of_case = found[first]
    differs = found != of_case[case]
    if differs.any():
        row = int(np.argmax(differs))
        raise DataError(
            f"{table.place(row)}: case {str(spelled[row])!r} has the {role} {str(found[row])!r} here and "
            f"{str(of_case[case[row]])!r} in an earlier row; a case has one {role}"
        )
    return of_case


def _first_appearance(spelled: NDArray[np.str_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The row of each case's first appearance, in order, and for each row the number of its case."""
    import pandas as pd

    codes, _ = pd.factorize(spelled)
    first = np.full(int(codes.max(initial=-1)) + 1, len(codes), dtype=np.int64)
    np.minimum.at(first, codes, np.arange(len(codes)))
    return first, codes.astype(np.int64)


def _as_given(table: Table, column: str, first: NDArray[np.int64], spelled: NDArray[np.str_]) -> Sequence[Hashable]:
    """The cases' names as they were given, numbers as numbers; those of a text file as texts."""
    if table.counted == "line":
        return [str(name) for name in spelled[first]]
    return list(table.frame[column].iloc[first].tolist())


def _refuse_repeated_times(table: Table, rows: RowOrder, when: NDArray[np.generic], spelled: NDArray[np.str_]) -> None:
    ordered = when[rows.order]
    repeated = rows.inside & (ordered[1:] == ordered[:-1])
    if repeated.any():
        before, row = (int(number) for number in rows.order[np.argmax(repeated) :][:2])
        counted = "line" if table.counted == "line" else "row"
        raise DataError(
            f"{table.place(row)}: case {str(spelled[row])!r} already has this time, in {counted} {table.rows[before]}; "
            "a case has one row for each time"
        )


def _padded(values: NDArray[np.floating], lengths: NDArray[np.int64]) -> NDArray[np.floating]:
    """From rows sorted by case and time, shape (rows, channels), to (cases, channels, longest length)."""
    cases, longest, channels = len(lengths), int(lengths.max(initial=0)), values.shape[1]
    if (lengths == longest).all():
        return np.ascontiguousarray(values.reshape(cases, longest, channels).transpose(0, 2, 1))
    padded = np.zeros((cases, channels, longest), dtype=values.dtype)
    rows = np.repeat(np.arange(cases), lengths)
    steps = np.arange(len(values)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    padded[rows, :, steps] = values
    return padded
