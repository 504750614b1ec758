"""Tables before their columns have roles: CSV and Parquet files, and data frames."""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tsbench.data.formats.numbers import CommaError, decimal_commas
from tsbench.data.formats.text import read_head, read_utf8, suffix_of
from tsbench.errors import DataError
from tsbench.recipe.messages import listed as first_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["NO_NAME", "PARQUET", "Table", "column_names", "listed", "read_table"]

PARQUET = (".parquet", ".pq")
SEPARATORS = (",", ";", "\t", "|")
NO_NAME = "column without a name, number "
"""Start of the name given to a column without one."""

MAX_LISTED = 30
"""Columns that a message lists."""

_UNNAMED = re.compile(r"(Unnamed: \d+(_level_\d+)?|__index_level_\d+__|None)?")  # as pandas and pyarrow write them
_HEAD = 2**20  # bytes read to find a file's column names


@dataclass(frozen=True)
class Table:
    """A table with a row for each case and time step.

    Attributes:
        name: of the table, for messages: its path, or `the table`.
        frame: the columns, as texts (CSV) or with their types.
        rows: shape (rows,), what a message calls each row: the line in a CSV file, or its number.
        separator: what separates the fields of a text file; empty for other tables.
        counted: how the rows are called: `line` for CSV, `row` for Parquet from 1, `frame` for data frames from 0.
    """

    name: str
    frame: pd.DataFrame
    rows: NDArray[np.int64]
    separator: str = ""
    counted: str = "frame"

    @classmethod
    def of_frame(cls, frame: pd.DataFrame) -> Table:
        """A table from a data frame.

        Raises:
            DataError: two columns have the same name.
        """
        frame = frame.set_axis([str(column) for column in frame.columns], axis=1)
        _refuse_repeated("the table", list(frame.columns))
        return cls("the table", frame.reset_index(drop=True), np.arange(len(frame)))

    @property
    def columns(self) -> list[str]:
        """The names of its columns."""
        return list(self.frame.columns)

    def place(self, row: int) -> str:
        """Where a row stands."""
        number = int(self.rows[row])
        match self.counted:
            case "line":
                return f"{self.name}:{number}"
            case "row":
                return f"{self.name}: row {number}"
        return f"{self.name}, row {number} (counted from 0)"

    def is_unnamed(self, column: str) -> bool:
        """Whether a column has no name, like pandas' index when it is written."""
        return _UNNAMED.fullmatch(column) is not None or column.startswith(NO_NAME)

    def plain_numbers(self, column: str) -> pd.Series[Any]:
        """A column with its decimal commas replaced by decimal points.

        Raises:
            DataError: names the row of a comma that may be a decimal comma or not.
        """
        series = self.frame[column]
        if not self.separator or self.separator == ",":
            return series
        texts = series.tolist()
        if not any("," in text for text in texts):
            return series
        try:
            decimal_commas(texts)
        except CommaError as error:
            raise DataError(f"{self.place(error.index)}: column {column!r}: {error}") from None
        return series.str.replace(",", ".", regex=False)


def listed(names: Sequence[str]) -> str:
    """Names of columns in a message."""
    shown = [repr(name) if not name or name != name.strip() else name for name in names]
    return first_of(shown, MAX_LISTED) or "none"


def read_table(path: Path) -> Table:
    """Reads a CSV file (fields separated by commas, semicolons, tabs or bars), or a Parquet file.

    Raises:
        DataError: names the file and, if there is one, the line at fault.
    """
    table = _read_parquet(path) if suffix_of(path) in PARQUET else _read_csv(path)
    if not len(table.frame):
        raise DataError(f"{path}: there are no rows below the column names; is the file truncated?")
    return table


def column_names(path: Path) -> tuple[str, ...]:
    """The names of a table's columns, read from the beginning of the file only.

    Raises:
        DataError: the file cannot be read, or two columns have the same name.
    """
    if suffix_of(path) in PARQUET:
        return tuple(_parquet_names(path))
    return tuple(_header(path, read_head(path, _HEAD))[0])


def _read_csv(path: Path) -> Table:
    """All fields as texts."""
    import pandas as pd

    content = read_utf8(path)
    names, separator, skipped = _header(path, content)
    if not names:
        raise DataError(f"{path}:{skipped + 1}: the line is empty; write the names of the columns in it")
    try:
        with warnings.catch_warnings(action="error", category=pd.errors.ParserWarning):  # leaves out fields
            frame = pd.read_csv(
                io.BytesIO(content),
                sep=separator,
                header=None,
                names=names,
                skiprows=skipped,
                dtype=str,
                keep_default_na=False,
                skip_blank_lines=False,
                encoding="utf-8",
                index_col=False,
            )
    except pd.errors.EmptyDataError:
        frame = pd.DataFrame({name: [] for name in names}, dtype=str)
    except (pd.errors.ParserError, pd.errors.ParserWarning, ValueError, OverflowError) as error:
        _check_widths(path, content, separator, skipped, len(names))
        reason = str(error).strip().splitlines()[-1].removeprefix("Error tokenizing data. ")
        raise DataError(f"{path}: is not a table of comma-separated fields: {reason}") from None
    empty = (frame == "").to_numpy()
    blank = empty.all(axis=1)
    if (empty[:, -1] & ~blank).any():
        _check_widths(path, content, separator, skipped, len(names))
    rows = np.arange(skipped + 1, skipped + 1 + len(frame))[~blank]
    return Table(str(path), frame[~blank].reset_index(drop=True), rows, separator, "line")


def _check_widths(path: Path, content: bytes, separator: str, skipped: int, width: int) -> None:
    """Refuses a line of too few fields, which pandas reads as if the last ones were empty, or of too many."""
    lines = csv.reader(io.StringIO(content.decode("utf-8"), newline=""), delimiter=separator)
    try:
        for number, fields in enumerate(lines, 1):
            if number <= skipped or not any(fields):
                continue
            if len(fields) < width:
                raise DataError(
                    f"{path}:{number}: has {len(fields)} of the {width} fields that the column names announce; "
                    "is the file truncated?"
                )
            if any(fields[width:]):
                raise DataError(
                    f"{path}:{number}: has {len(fields)} fields, the column names announce {width}; if numbers have "
                    "decimal commas, write decimal points"
                )
    except csv.Error as error:
        raise DataError(f"{path}:{lines.line_num}: is not a table: {error}") from None


def _header(path: Path, content: bytes) -> tuple[list[str], str, int]:
    """The column names, the separator, and how many lines they take."""
    head = content[:_HEAD].decode("utf-8", errors="ignore")  # the last character may be cut off
    skipped = 0
    separators: Sequence[str] = SEPARATORS
    if match := re.match(r"\"?sep=(.)\"?\r?\n", head):  # Excel's own line
        head, skipped, separators = head[match.end() :], 1, match[1]
    best: tuple[list[str], str, int] = ([], ",", 0)
    for separator in separators:
        reader = csv.reader(io.StringIO(head, newline=""), delimiter=separator)
        try:
            names = next(reader, [])
        except csv.Error:
            continue
        if len(names) > len(best[0]):
            best = (names, separator, reader.line_num)
    names, separator, lines = best
    names = [name.strip() or f"{NO_NAME}{number}" for number, name in enumerate(names, 1)]
    _refuse_repeated(f"{path}:{skipped + 1}", names)
    return names, separator, skipped + lines


def _refuse_repeated(place: str, names: Sequence[str]) -> None:
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise DataError(f"{place}: columns named more than once: {listed(repeated)}; give each its own name")


def _parquet_names(path: Path) -> list[str]:
    from pyarrow import parquet

    names = [str(name) for name in _parquet(path, parquet.read_schema).names]
    _refuse_repeated(str(path), names)
    return names


def _read_parquet(path: Path) -> Table:
    import pandas as pd

    _parquet_names(path)
    frame = _parquet(path, lambda path: pd.read_parquet(path, engine="pyarrow"))
    # An index with names holds columns; pandas' default index only counts rows.
    frame = frame.reset_index(drop=all(name is None for name in frame.index.names))
    frame = frame.set_axis([str(column) for column in frame.columns], axis=1)
    return Table(str(path), frame, np.arange(1, 1 + len(frame)), counted="row")


def _parquet(path: Path, read: Any) -> Any:
    from pyarrow import ArrowException

    try:
        return read(path)
    except (ArrowException, OSError, ValueError, KeyError, TypeError, OverflowError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path}: is not a whole Parquet file: {reason[:160]}") from None
