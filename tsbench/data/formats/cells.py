"""Parses the columns of a table: numbers, times, and names of cases, groups and labels."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tsbench.data.formats.numbers import MISSING
from tsbench.data.formats.table import Table
from tsbench.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["holds_times", "names", "numbers", "times"]


def names(table: Table, column: str, spelled: Callable[[Any], str]) -> NDArray[np.str_]:
    """A column of names, shape (rows,), each as `spelled` spells it; a missing one is empty.

    Raises:
        DataError: a name is not text in UTF-8.
    """
    import pandas as pd

    series = table.frame[column]
    try:
        codes, distinct = pd.factorize(series.astype(object), use_na_sentinel=False)
    except TypeError:  # of lists and mappings, which JSON may have
        raise DataError(f"{table.name}: column {column!r} must hold texts or numbers") from None
    try:
        spellings = np.array([spelled(value) for value in distinct.tolist()], dtype=np.str_)
    except UnicodeDecodeError:
        raise DataError(f"{table.name}: column {column!r} holds bytes that are not UTF-8") from None
    return spellings[codes] if len(codes) else np.zeros(0, dtype="<U1")


def numbers(table: Table, column: str, advice: str = "") -> NDArray[np.floating]:
    """A column of values, shape (rows,); NaN if a value is missing. float32 stays float32.

    Args:
        table: the table.
        column: its name.
        advice: what to do about a cell that is not a number, appended to the error.

    Raises:
        DataError: a cell is not a number; names its row.
    """
    import pandas as pd

    series = table.plain_numbers(column)
    if pd.api.types.is_numeric_dtype(series.dtype) and not pd.api.types.is_complex_dtype(series.dtype):
        single = series.dtype == np.float32
        found: NDArray[np.floating] = series.to_numpy(np.float32 if single else np.float64, na_value=np.nan)
        return found
    texts = series.astype(object).to_numpy()
    read: NDArray[np.float64]
    try:
        read = pd.to_numeric(series, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    except (TypeError, ValueError, OverflowError):  # a list or a mapping among the values, or a number beyond float64
        read = np.array([_number(value) for value in texts])
    odd = np.flatnonzero(np.isnan(read))
    wrong = [row for row in odd if not _is_missing(texts[row])]
    if wrong:
        raise DataError(
            f"{table.place(wrong[0])}: {str(texts[wrong[0]])[:30]!r} in column {column!r} is not a number{advice}"
        )
    return read


def _number(value: Any) -> float:
    try:
        return float(value) if isinstance(value, int | float | np.number) else float("nan")
    except OverflowError:
        return float("nan")


def _is_missing(value: Any) -> bool:
    if isinstance(value, str):
        return value.strip() in MISSING
    return value is None or (np.isscalar(value) and value != value) or str(value) in ("<NA>", "NaT")


def times(table: Table, column: str) -> NDArray[Any]:
    """Keys that order the rows, shape (rows,): numbers, or dates in their finest unit. Equal only if the cells are.

    Raises:
        DataError: a cell is neither a number nor a date; names its row.
    """
    import pandas as pd

    series = table.plain_numbers(column)
    exact = series
    if not (pd.api.types.is_numeric_dtype(series.dtype) or _is_date(series)):
        try:
            read = pd.to_numeric(series, errors="coerce")
            series = _dates(series) if read.isna().any() else read
        except (TypeError, ValueError, OverflowError):
            raise DataError(
                f"{table.name}: column {column!r} must hold numbers or dates like 2026-01-31T12:00:00"
            ) from None
    absent = series.isna().to_numpy()
    if absent.any():
        row = int(np.argmax(absent))
        text = str(table.frame[column].iloc[row])[:30]
        raise DataError(
            f"{table.place(row)}: {text!r} in column {column!r} is neither a number nor a date like "
            "2026-01-31 or 2026-01-31T12:00:00"
        )
    if _is_date(series):
        return _as_integers(series)
    values = series.to_numpy()
    if values.dtype.kind in "iub":
        whole: NDArray[Any] = values if values.dtype == np.uint64 else values.astype(np.int64)
        return whole
    return _ranked(values.astype(np.float64), exact)


def _ranked(values: NDArray[np.float64], exact: pd.Series[Any]) -> NDArray[Any]:
    """Floats, or if two of different cells are the same float, their ranks as decimal numbers."""
    if len(np.unique(values)) == len(values) or exact.dtype.kind == "f":
        return values
    cells = [str(value).strip() for value in exact.tolist()]
    if len(set(cells)) == len(np.unique(values)):
        return values
    try:
        exactly = [Decimal(cell) for cell in cells]
    except InvalidOperation:
        return values
    rank = {value: number for number, value in enumerate(sorted(set(exactly)))}
    return np.array([rank[value] for value in exactly], dtype=np.int64)


def holds_times(table: Table, column: str) -> NDArray[np.int64] | None:
    """A column of dates or times of day as whole numbers, shape (rows,); None if it holds anything else."""
    import pandas as pd

    series = table.frame[column]
    if not _is_date(series):
        if pd.api.types.is_numeric_dtype(series.dtype):
            return None
        first = next((value for value in series.tolist() if not _is_missing(value)), None)
        if not hasattr(first, "isoformat") and not (isinstance(first, str) and "-" in first.strip()[1:]):
            return None
        if not pd.to_numeric(series.astype(object), errors="coerce").isna().all():
            return None
        try:
            series = _dates(series)
        except (TypeError, ValueError, OverflowError):
            return None
    return None if series.isna().any() else _as_integers(series)


def _dates(series: pd.Series[Any]) -> pd.Series[Any]:
    import pandas as pd

    return pd.to_datetime(series, errors="coerce", format="ISO8601", utc=True)


def _is_date(series: pd.Series[Any]) -> bool:
    import pandas as pd

    kind = series.dtype
    return bool(pd.api.types.is_datetime64_any_dtype(kind) or pd.api.types.is_timedelta64_dtype(kind))


def _as_integers(series: pd.Series[Any]) -> NDArray[np.int64]:
    import pandas as pd

    if isinstance(series.dtype, pd.DatetimeTZDtype):
        series = series.dt.tz_convert(None)
    whole: NDArray[np.int64] = series.to_numpy().astype(np.int64)
    return whole
