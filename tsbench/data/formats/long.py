"""Reads long tables, a row for each case and time step, from CSV or Parquet."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tsbench.data.collection import Collection
from tsbench.data.formats.case_file import CaseFile
from tsbench.data.formats.numbers import MISSING
from tsbench.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LongColumns", "read_long"]


@dataclass(frozen=True)
class LongColumns:
    """What the columns of a long table are.

    Attributes:
        case: tells the cases apart.
        label: of a case, the same in all of its rows.
        time: orders the rows of a case; None where they are in order.
        group: of a case, such as the machine that it was measured on; None where there is none.
        channels: values; None for all columns that are none of the above.
    """

    case: str = "case"
    label: str = "label"
    time: str | None = None
    group: str | None = None
    channels: tuple[str, ...] | None = None

    def named(self) -> dict[str, str]:
        """The columns by what they are, without the channels."""
        all_of_them = {"case": self.case, "label": self.label, "time": self.time, "group": self.group}
        return {what: column for what, column in all_of_them.items() if column is not None}


def read_long(path: Path, columns: LongColumns) -> CaseFile:
    """Reads a long table, cases in the order in which they first appear.

    Values are NaN where a field is empty, NaN, NA or `?`; float32 in a Parquet file stays float32. A .csv file may part
    its fields by commas, semicolons or tabs.

    Raises:
        DataError: names the file and, where there is one, the line (CSV) or row (Parquet) and column at fault.
    """
    parquet = path.suffix.lower() in (".parquet", ".pq")
    table = _read_parquet(path) if parquet else _read_csv(path)
    where = f"{path}: row " if parquet else f"{path}:"
    lines = table.index.to_numpy()
    channels = _channels(path, table, columns)
    if not len(table):
        raise DataError(f"{path}: there are no rows below the column names; is the file cut short?")
    texts = {what: _texts(where, table, column) for what, column in columns.named().items() if what != "time"}
    first, case = _first_appearance(texts["case"])
    values = _values(where, table, channels)
    order = np.argsort(case, kind="stable")
    if columns.time is not None:
        times = _times(where, table, columns.time)
        order = np.lexsort((times, case))
        _refuse_repeated_times(where, lines[order], case[order], times[order], texts["case"][order])
    per_case = {}
    for what in ("label", "group"):
        if what in texts:
            per_case[what] = texts[what][first]
            differs = texts[what] != per_case[what][case]
            if differs.any():
                row = int(np.argmax(differs))
                name, here = str(texts["case"][row]), str(texts[what][row])
                before = str(per_case[what][case[row]])
                raise DataError(
                    f"{where}{lines[row]}: case {name!r} has the {what} {here!r} here and {before!r} in an earlier "
                    f"row; a case has one {what}"
                )
    lengths = np.bincount(case)
    cases = Collection(_padded(values[order], lengths), lengths, per_case["label"], per_case.get("group"))
    return CaseFile(path, cases, np.zeros(0, dtype=np.int64) if parquet else lines[first], True)


def _read_csv(path: Path) -> pd.DataFrame:
    """All fields as texts, indexed by their line."""
    import pandas as pd

    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            head = file.readline()
        separator = max((",", ";", "\t"), key=head.count)
        with warnings.catch_warnings(action="error", category=pd.errors.ParserWarning):  # of fields left out
            table = pd.read_csv(
                path,
                sep=separator,
                dtype=str,
                keep_default_na=False,
                skip_blank_lines=False,
                encoding="utf-8-sig",
                encoding_errors="replace",
                index_col=False,
            )
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    except pd.errors.EmptyDataError:
        raise DataError(f"{path}: the file is empty; remove it, or fetch it again") from None
    except (pd.errors.ParserError, pd.errors.ParserWarning, ValueError, OverflowError) as error:
        reason = str(error).strip().splitlines()[-1].removeprefix("Error tokenizing data. ")
        raise DataError(f"{path}: is not a table of comma-separated fields: {reason}") from None
    table.index = pd.RangeIndex(2, 2 + len(table))
    return table[~(table.fillna("") == "").all(axis=1)]


def _read_parquet(path: Path) -> pd.DataFrame:
    import pandas as pd
    from pyarrow import ArrowException

    try:
        table = pd.read_parquet(path, engine="pyarrow")
    except (ArrowException, OSError, ValueError, KeyError, TypeError, OverflowError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path}: is not a whole Parquet file: {reason[:160]}") from None
    table = table.reset_index(drop=all(name is None for name in table.index.names))
    table.index = pd.RangeIndex(1, 1 + len(table))
    return table


def _channels(path: Path, table: pd.DataFrame, columns: LongColumns) -> list[str]:
    known = [str(column) for column in table.columns]
    asked = {**columns.named(), **{f"channel {name}": name for name in columns.channels or ()}}
    if absent := {what: column for what, column in asked.items() if column not in known}:
        wanted = ", ".join(f"{column!r} ({what})" for what, column in absent.items())
        raise DataError(f"{path}: there is no column {wanted}; there are: {', '.join(known)}")
    channels = list(columns.channels or [name for name in known if name not in columns.named().values()])
    if not channels:
        raise DataError(f"{path}: there is no column of values beside {', '.join(columns.named().values())}")
    return channels


def _texts(where: str, table: pd.DataFrame, column: str) -> NDArray[np.str_]:
    """A column that names something; a whole number is spelt as such, also where the column is of floats."""
    import pandas as pd

    series = table[column]
    absent = (series.isna() | (series == "")).to_numpy()
    if absent.any():
        raise DataError(f"{where}{table.index[int(np.argmax(absent))]}: there is nothing in column {column!r}")
    values = series.to_numpy()
    if values.dtype.kind == "f" and (values == np.round(values)).all():
        values = values.astype(np.int64)
    codes, distinct = pd.factorize(values)
    names: NDArray[np.str_] = np.array([str(one) for one in distinct.tolist()])[codes]
    return names


def _first_appearance(names: NDArray[np.str_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The row of each case's first appearance, in order, and for each row the number of its case."""
    import pandas as pd

    codes, _ = pd.factorize(names)
    first = np.full(int(codes.max()) + 1, len(codes), dtype=np.int64)
    np.minimum.at(first, codes, np.arange(len(codes)))
    return first, codes.astype(np.int64)


def _values(where: str, table: pd.DataFrame, channels: list[str]) -> NDArray[np.floating]:
    """Shape (rows, channels)."""
    columns = [_numbers(where, table, name) for name in channels]
    return np.stack(columns, axis=1)


def _numbers(where: str, table: pd.DataFrame, column: str) -> NDArray[np.floating]:
    import pandas as pd

    series = table[column]
    if pd.api.types.is_numeric_dtype(series.dtype):
        single = series.dtype == np.float32
        numbers: NDArray[np.floating] = series.to_numpy(np.float32 if single else np.float64, na_value=np.nan)
        return numbers
    texts = series.astype(object).to_numpy()
    read: NDArray[np.float64] = pd.to_numeric(series, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    odd = np.flatnonzero(np.isnan(read))
    wrong = [row for row in odd if texts[row] == texts[row] and str(texts[row]).strip() not in MISSING]
    if wrong:
        raise DataError(
            f"{where}{table.index[wrong[0]]}: {str(texts[wrong[0]])[:30]!r} in column {column!r} is not a number; "
            "where that is no column of values, name those that are by `channels`"
        )
    return read


def _times(where: str, table: pd.DataFrame, column: str) -> NDArray[Any]:
    """Numbers or dates, whatever orders the rows."""
    import pandas as pd

    series = table[column]
    if not (pd.api.types.is_numeric_dtype(series.dtype) or pd.api.types.is_datetime64_any_dtype(series.dtype)):
        numbers = pd.to_numeric(series, errors="coerce")
        series = (
            pd.to_datetime(series, errors="coerce", format="ISO8601", utc=True) if numbers.isna().any() else numbers
        )
    absent = series.isna().to_numpy()
    if absent.any():
        row = int(np.argmax(absent))
        text = str(table[column].iloc[row])[:30]
        raise DataError(
            f"{where}{table.index[row]}: {text!r} in column {column!r} is neither a number nor a date like "
            "2026-01-31 or 2026-01-31T12:00:00"
        )
    if isinstance(series.dtype, pd.DatetimeTZDtype):
        series = series.dt.tz_convert(None)
    times: NDArray[Any] = series.to_numpy()
    return times.astype(np.int64) if times.dtype.kind == "M" else times.astype(np.float64)


def _refuse_repeated_times(
    where: str, lines: NDArray[Any], case: NDArray[np.int64], times: NDArray[Any], names: NDArray[np.str_]
) -> None:
    repeated = (case[1:] == case[:-1]) & (times[1:] == times[:-1])
    if repeated.any():
        row = int(np.argmax(repeated)) + 1
        raise DataError(
            f"{where}{lines[row]}: case {str(names[row])!r} has this time already, in row {lines[row - 1]}; "
            "a case has one row for each time"
        )


def _padded(values: NDArray[np.floating], lengths: NDArray[np.int64]) -> NDArray[np.floating]:
    """From rows sorted by case and time, shape (rows, channels), to (cases, channels, longest length)."""
    cases, longest, channels = len(lengths), int(lengths.max()), values.shape[1]
    if (lengths == longest).all():
        return np.ascontiguousarray(values.reshape(cases, longest, channels).transpose(0, 2, 1))
    padded = np.zeros((cases, channels, longest), dtype=values.dtype)
    rows = np.repeat(np.arange(cases), lengths)
    steps = np.arange(len(values)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    padded[rows, :, steps] = values
    return padded
