"""Reads the scores of a CSV file: decoding, separators, layouts, and every problem with its line."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tsbench.comparisons.formatting import METRIC_WORDS
from tsbench.errors import DataError, argument
from tsbench.spreadsheet import from_cell

__all__ = ["FIRST_SPLIT", "THIRTY_SPLITS", "Cells", "Empty", "ReferenceReader", "loosely", "read_text"]

FIRST_SPLIT = (0,)
THIRTY_SPLITS = tuple(range(30))

Cells = Mapping[tuple[str, str], Mapping[tuple[int, ...], float]]
_Layout = Callable[[int, list[str]], Iterable[tuple[str, str, tuple[int, ...], str]]]
"""Converts a line and its values to data set, classifier, resamples and score."""

DATASET, CLASSIFIER, RESAMPLE, ACCURACY = "dataset", "classifier", "resample", "accuracy"
CHOSEN_ON = "chosen_on"
SPLIT, MEAN = "accuracy_default_split", "accuracy_mean_30_resamples"

EMPTY = ("", "nan", "na", "n/a", "none", "null", "-", "--", "?")
"""Contents of a cell without a score, in lower case."""

MAX_PROBLEMS = 20


def loosely(name: str) -> str:
    """A data set's name without case, spaces, `_` and `-`: papers and archives spell them differently."""
    return re.sub(r"[\s_\-]", "", name).casefold()


def read_text(path: Path) -> str:
    """The text of a file in UTF-8, or in UTF-16 with a byte order mark.

    Raises:
        DataError: it does not exist or has another encoding; names the line and the byte.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        taken = argument("--reference", "reference")
        raise DataError(f"{path}: file not found; {taken} takes a CSV file, or `published`") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding == "utf-16":
            raise DataError(f"{path}: is not text: it begins as UTF-16 does, but is not valid UTF-16") from None
        at = error.start + (3 if content.startswith(b"\xef\xbb\xbf") else 0)  # counted without the mark
        line = content.count(b"\n", 0, at) + 1
        place = at - (content.rfind(b"\n", 0, at) + 1) + 1
        raise DataError(
            f"{path}:{line}: byte {place} of the line (0x{content[at]:02X}) is not UTF-8; save the file as UTF-8"
        ) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DataError(f"{path}:{line}: holds a zero byte, so it is not UTF-8 text; save the file as UTF-8")
    return text


@dataclass(frozen=True)
class Empty:
    """A cell without a score: its line and content."""

    line: int
    text: str


@dataclass
class ReferenceReader:
    """Reads one file, and collects its problems.

    Attributes:
        place: the file's name in messages.
        text: its content.
        resamples: number of resamples behind a score of the wide layout.
        metric: of the scores.
        cells: the scores that were read.
        empty: cells without a score, by data set and classifier.
        chosen_on_test: data set and classifier of the scores whose epoch was chosen on the test cases.
        remarks: notes for the user that are not errors.
    """

    place: str
    text: str
    resamples: int = 1
    metric: str = ACCURACY
    cells: dict[tuple[str, str], dict[tuple[int, ...], float]] = field(default_factory=dict, init=False)
    empty: dict[tuple[str, str], Empty] = field(default_factory=dict, init=False)
    chosen_on_test: set[tuple[str, str]] = field(default_factory=set, init=False)
    remarks: list[str] = field(default_factory=list, init=False)
    _problems: list[str] = field(default_factory=list, init=False)
    _lines: dict[tuple[str, str, tuple[int, ...]], int] = field(default_factory=dict, init=False)
    _spellings: dict[tuple[str, str], tuple[str, int]] = field(default_factory=dict, init=False)
    _percentages: bool = field(default=False, init=False)

    def read(self) -> None:
        """Fills `cells`, `empty` and `remarks`.

        Raises:
            DataError: with every problem of the file, each with its line.
        """
        try:
            self._read_rows()
        except csv.Error as error:
            raise DataError(f"{self.place}: is not CSV: {error}") from None
        if not self.cells and not self._problems:
            where = f"; its {len(self.empty)} cells are empty" if self.empty else " below its header"
            self._problems.append(f"{self.place}: holds no score{where}")
        if self._problems:
            shown = self._problems[:MAX_PROBLEMS]
            if len(self._problems) > MAX_PROBLEMS:
                shown.append(f"... and {len(self._problems) - MAX_PROBLEMS} more")
            if self._percentages:
                shown.append(f"{self.place}: if its values are percentages, divide them by 100")
            raise DataError("\n".join(shown))
        self._remark_on_similar_names()

    def _read_rows(self) -> None:
        rows = self._rows()
        first, header = next(rows, (1, []))
        names = [name.strip() for name in header]
        if len(names) < 2:
            raise DataError(f"{self.place}: has no header with a column for data sets and one for scores")
        layout = self._layout(first, names)
        for line, row in rows:
            if len(row) != len(names):
                self._problems.append(f"{self.place}:{line}: has {len(row)} values, the header {len(names)}")
                continue
            for cell in layout(line, [value.strip() for value in row]):
                self._add(line, *cell)

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """The rows that are not blank, each with its last line."""
        reader = csv.reader(io.StringIO(self.text, newline=""), delimiter=self._separator())
        for row in reader:
            if any(value.strip() for value in row):
                yield reader.line_num, [from_cell(value) for value in row]

    def _separator(self) -> str:
        """The separator of the header's columns: the most frequent of comma, semicolon and tab."""
        header = next((line for line in self.text.splitlines() if line.strip()), "")
        return max(",;\t", key=header.count)

    def _layout(self, line: int, names: list[str]) -> _Layout:
        """The layout of a header.

        Raises:
            DataError: a column is unknown, missing or repeated.
        """
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise DataError(f"{self.place}:{line}: columns named more than once: {', '.join(map(repr, repeated))}")
        lower = [name.lower() for name in names]
        if DATASET in lower and (CLASSIFIER in lower or set(METRIC_WORDS) & set(lower)):
            return self._long(line, lower)
        if all(name.isdecimal() for name in names[1:]):
            classifier = Path(self.place).stem.removesuffix("_TESTFOLDS")
            return lambda line, row: (
                (row[0], classifier, (int(number),), value) for number, value in zip(names[1:], row[1:], strict=True)
            )
        if "" in names[1:]:
            raise DataError(f"{self.place}:{line}: column {names.index('', 1) + 1} has no name")
        over = tuple(range(self.resamples))
        return lambda line, row: (
            (row[0], classifier, over, value) for classifier, value in zip(names[1:], row[1:], strict=True)
        )

    def _long(self, line: int, columns: list[str]) -> _Layout:
        scores = ((self.metric, None), (SPLIT, FIRST_SPLIT), (MEAN, THIRTY_SPLITS))
        known = (DATASET, CLASSIFIER, RESAMPLE, *METRIC_WORDS, SPLIT, MEAN, CHOSEN_ON)
        if unknown := [name for name in columns if name not in known]:
            raise DataError(
                f"{self.place}:{line}: unknown column{'s' if len(unknown) > 1 else ''} "
                f"{', '.join(map(repr, unknown))}; known: {', '.join(known)}"
            )
        held = [(name, over) for name, over in scores if name in columns and (over is None or self.metric == ACCURACY)]
        if CLASSIFIER not in columns or not held:
            raise DataError(f"{self.place}:{line}: needs the columns {DATASET}, {CLASSIFIER} and {self.metric}")

        def layout(line: int, row: list[str]) -> Iterator[tuple[str, str, tuple[int, ...], str]]:
            value = dict(zip(columns, row, strict=True))
            number = value.get(RESAMPLE, "0")
            if not number.isdecimal():
                self._problems.append(f"{self.place}:{line}: resample: expected 0, 1, 2, ..., got {number!r}")
                return
            if value.get(CHOSEN_ON, "") not in ("", "test"):
                self._problems.append(
                    f"{self.place}:{line}: {CHOSEN_ON}: expected test or nothing, got {value[CHOSEN_ON]!r}"
                )
                return
            if value.get(CHOSEN_ON):
                self.chosen_on_test.add((value[DATASET], value[CLASSIFIER]))
            for column, over in held:
                yield value[DATASET], value[CLASSIFIER], over or (int(number),), value[column]

        return layout

    def _add(self, line: int, dataset: str, classifier: str, over: tuple[int, ...], text: str) -> None:
        if not dataset or not classifier:
            self._problems.append(f"{self.place}:{line}: has no {'data set' if not dataset else 'classifier'}")
            return
        self._check_case("data set", dataset, line)
        self._check_case("classifier", classifier, line)
        if text.lower() in EMPTY:
            self.empty.setdefault((dataset, classifier), Empty(line, text))
            return
        key = (dataset, classifier, over)
        if key in self._lines:
            self._problems.append(
                f"{self.place}:{line}: {classifier} on {dataset} has a score in line {self._lines[key]} already"
            )
            return
        self._lines[key] = line
        value = _number(text)
        if not self._is_possible(value):
            self._problems.append(
                f"{self.place}:{line}: {classifier} on {dataset}: expected {self._expected()}, got {text!r}"
            )
            self._percentages |= text.endswith("%") or 1 < value <= 100
            return
        self.cells.setdefault((dataset, classifier), {})[over] = value

    def _is_possible(self, value: float) -> bool:
        return 0 <= value < math.inf if self.metric == "log_loss" else 0 <= value <= 1

    def _expected(self) -> str:
        if self.metric == "log_loss":
            return "a log loss of at least 0"
        article = "an" if self.metric == ACCURACY else "a"
        return f"{article} {METRIC_WORDS[self.metric]} between 0 and 1"

    def _check_case(self, what: str, name: str, line: int) -> None:
        known, where = self._spellings.setdefault((what, name.lower()), (name, line))
        if known != name:
            self._problems.append(
                f"{self.place}:{line}: the {what}s {name!r} and {known!r} (line {where}) differ only in case; use "
                "the same spelling"
            )

    def _remark_on_similar_names(self) -> None:
        """Notes names that may mean the same data set; only the user can know."""
        seen: dict[str, tuple[str, int]] = {}
        for (what, _), (name, line) in self._spellings.items():
            if what != "data set":
                continue
            other, where = seen.setdefault(loosely(name), (name, line))
            if other != name:
                self.remarks.append(
                    f"{self.place}: {other!r} (line {where}) and {name!r} (line {line}) are taken as two data sets; "
                    "if they are the same, use one spelling."
                )


def _number(text: str) -> float:
    """A number with a decimal point or comma; NaN if it is none."""
    if not re.fullmatch(r"[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?", text):
        return math.nan
    return float(text.replace(",", "."))
