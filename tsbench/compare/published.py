"""Accuracies that others measured: published ones, carried in the package, or those of a CSV file."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from tsbench.errors import DataError

__all__ = ["PUBLISHED", "Reference", "decimals", "load_reference"]

PUBLISHED = "published"
"""The name by which the package's own figures are asked for."""

ARCHIVE_SPLIT = (0,)
THIRTY = tuple(range(30))

BAKE_OFF = "Middlehurst et al. 2024, Bake off redux"
MULTIVARIATE = "Ruiz et al. 2021, The great multivariate time series classification bake off"
HIVE_COTE = "Middlehurst et al. 2021, HIVE-COTE 2.0"
SOURCES = {
    **dict.fromkeys(("1NN-DTW-A", "1NN-DTW-D", "1NN-DTW-I", "CIF", "MUSE", "TapNet"), MULTIVARIATE),
    **dict.fromkeys(("InceptionTime", "ResNet", "ROCKET"), f"{BAKE_OFF}; multivariate: {MULTIVARIATE}"),
    **dict.fromkeys(("HC2", "Arsenal", "DrCIF", "TDE"), f"{BAKE_OFF}; multivariate: {HIVE_COTE}"),
    **dict.fromkeys(("LSTM-FCN", "ALSTM-FCN"), "Karim et al. 2018, LSTM fully convolutional networks"),
    **dict.fromkeys(("LITEMVTime", "ConvTran"), "Ismail-Fawaz et al. 2024, Look into the LITE"),
}

Cells = Mapping[tuple[str, str], Mapping[tuple[int, ...], float]]
_Layout = Callable[[int, list[str]], Iterable[tuple[str, str, tuple[int, ...], str]]]
"""Makes data set, classifier, resamples and figure out of a line and its values."""


@dataclass(frozen=True)
class Reference:
    """Figures by data set and classifier, each with the resamples that it is the mean of.

    Attributes:
        name: `published`, or the file's name.
        cells: for a data set and classifier, accuracy by the resamples that it is the mean of.
        source: where a classifier's figures are from; the file's name where nothing else is known.
    """

    name: str
    cells: Cells
    sources: Mapping[str, str] = field(default_factory=dict)

    @property
    def datasets(self) -> tuple[str, ...]:
        """Sorted by name."""
        return tuple(sorted({dataset for dataset, _ in self.cells}, key=str.lower))

    @property
    def classifiers(self) -> tuple[str, ...]:
        """As they first appear."""
        return tuple(dict.fromkeys(classifier for _, classifier in self.cells))

    def source(self, classifier: str) -> str:
        """Where a classifier's figures are from."""
        return self.sources.get(classifier, BAKE_OFF if self.name == PUBLISHED else self.name)

    def figure(self, dataset: str, classifier: str, resamples: tuple[int, ...]) -> float | None:
        """The mean accuracy over just these resamples; None where it was not published."""
        cell = self.cells.get((dataset, classifier), {})
        if resamples in cell:
            return cell[resamples]
        if any((one,) not in cell for one in resamples):
            return None
        return sum(cell[(one,)] for one in resamples) / len(resamples)

    def respelt(self, known: Iterable[str]) -> Reference:
        """The same with data sets spelt as the known ones that differ in case only."""
        spelling = {name.lower(): name for name in known}
        cells = {(spelling.get(dataset.lower(), dataset), name): cell for (dataset, name), cell in self.cells.items()}
        return Reference(self.name, cells, self.sources)


def load_reference(name: str, resamples: int = 1) -> Reference:
    """The published figures, or those of a CSV file.

    A file is read in one of three layouts. Long: columns `dataset` and `classifier`, and `accuracy` (with `resample`
    where there are several), or `accuracy_default_split` and `accuracy_mean_30_resamples`. Wide: a row for each data
    set, a column for each classifier. Resamples of one classifier, as the bake-offs' `HC2_TESTFOLDS.csv`: a row for
    each data set, columns 0, 1, 2, ...

    Args:
        name: `published` or a file.
        resamples: how many resamples a figure of the wide layout is the mean of; 1 for the archive's split.

    Raises:
        DataError: with every problem of the file, each with its line.
    """
    if name == PUBLISHED and not Path(name).is_file():
        with (files("tsbench.compare") / "references" / "published.csv").open(encoding="utf-8") as text:
            reader = _Reader(name, csv.reader(text), resamples)
            return Reference(name, reader.read(), SOURCES)
    path = Path(name)
    try:
        with path.open(encoding="utf-8-sig", newline="") as text:
            return Reference(path.name, _Reader(str(path), csv.reader(text), resamples).read())
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file; --reference takes a CSV file, or `published`") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text (byte {error.start})") from None
    except csv.Error as error:
        raise DataError(f"{path}: is not CSV: {error}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None


DATASET, CLASSIFIER, RESAMPLE, ACCURACY = "dataset", "classifier", "resample", "accuracy"
SPLIT, MEAN = "accuracy_default_split", "accuracy_mean_30_resamples"
LONG = (DATASET, CLASSIFIER, RESAMPLE, ACCURACY, SPLIT, MEAN)


class _Reader:
    """Reads one file, and collects its problems."""

    def __init__(self, place: str, rows: Iterable[list[str]], resamples: int) -> None:
        self.place, self.rows, self.resamples = place, enumerate(rows, 1), resamples
        self.problems: list[str] = []
        self.cells: dict[tuple[str, str], dict[tuple[int, ...], float]] = {}
        self.lines: dict[tuple[str, str, tuple[int, ...]], int] = {}
        self.spellings: dict[tuple[str, str], tuple[str, int]] = {}

    def read(self) -> Cells:
        _, header = next(self.rows, (0, []))
        names = [name.strip() for name in header]
        if len(names) < 2:
            raise DataError(f"{self.place}: has no header with a column for data sets and one for figures")
        for line, row in self.rows:
            if not any(value.strip() for value in row):
                continue
            if len(row) != len(names):
                self.problems.append(f"{self.place}:{line}: has {len(row)} values, the header {len(names)}")
                continue
            for one in self._figures(names)(line, [value.strip() for value in row]):
                self._add(line, *one)
        if not self.cells and not self.problems:
            self.problems.append(f"{self.place}: holds no figure below its header")
        if self.problems:
            raise DataError("\n".join(self.problems[:20] + (["..."] if len(self.problems) > 20 else [])))
        return self.cells

    def _figures(self, names: list[str]) -> _Layout:
        """The layout that a header announces.

        Raises:
            DataError: a column that is not known, lacks or is there twice.
        """
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise DataError(f"{self.place}:1: columns named more than once: {', '.join(map(repr, repeated))}")
        lower = [name.lower() for name in names]
        if DATASET in lower and (CLASSIFIER in lower or ACCURACY in lower):
            return self._long(lower)
        if all(name.isdecimal() for name in names[1:]):
            classifier = Path(self.place).stem.removesuffix("_TESTFOLDS")
            return lambda line, row: (
                (row[0], classifier, (int(number),), value) for number, value in zip(names[1:], row[1:], strict=True)
            )
        if "" in names[1:]:
            raise DataError(f"{self.place}:1: column {names.index('', 1) + 1} has no name")
        over = tuple(range(self.resamples))
        return lambda line, row: (
            (row[0], classifier, over, value) for classifier, value in zip(names[1:], row[1:], strict=True)
        )

    def _long(self, columns: list[str]) -> _Layout:
        unknown = [name for name in columns if name not in LONG]
        if unknown:
            raise DataError(
                f"{self.place}:1: unknown column{'s' if len(unknown) > 1 else ''} {', '.join(map(repr, unknown))}; "
                f"known: {', '.join(LONG)}"
            )
        if CLASSIFIER not in columns or not {ACCURACY, SPLIT, MEAN} & set(columns):
            raise DataError(f"{self.place}:1: needs the columns {DATASET}, {CLASSIFIER} and {ACCURACY}")

        def layout(line: int, row: list[str]) -> Iterator[tuple[str, str, tuple[int, ...], str]]:
            value = dict(zip(columns, row, strict=True))
            number = value.get(RESAMPLE, "0")
            if not number.isdecimal():
                self.problems.append(f"{self.place}:{line}: resample: expected 0, 1, 2, ..., got {number!r}")
                return
            for column, over in ((ACCURACY, (int(number),)), (SPLIT, ARCHIVE_SPLIT), (MEAN, THIRTY)):
                if column in value:
                    yield value[DATASET], value[CLASSIFIER], over, value[column]

        return layout

    def _add(self, line: int, dataset: str, classifier: str, over: tuple[int, ...], text: str) -> None:
        if not dataset or not classifier:
            self.problems.append(f"{self.place}:{line}: names no {'data set' if not dataset else 'classifier'}")
            return
        if text == "" or text.lower() == "nan":
            return
        key = (dataset, classifier, over)
        if key in self.lines:
            self.problems.append(
                f"{self.place}:{line}: {classifier} on {dataset} has a figure in line {self.lines[key]} already"
            )
            return
        self.lines[key] = line
        self._check_spelling("data set", dataset, line)
        self._check_spelling("classifier", classifier, line)
        value = _number(text)
        if not 0 <= value <= 1:
            self.problems.append(
                f"{self.place}:{line}: {classifier} on {dataset}: expected an accuracy between 0 and 1, got {text!r}"
            )
            return
        self.cells.setdefault((dataset, classifier), {})[over] = value

    def _check_spelling(self, what: str, name: str, line: int) -> None:
        known, where = self.spellings.setdefault((what, name.lower()), (name, line))
        if known != name:
            self.problems.append(
                f"{self.place}:{line}: the {what}s {name!r} and {known!r} (line {where}) differ in case alone; spell "
                "them the same"
            )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def decimals(values: Sequence[float]) -> int:
    """How many decimals the figures were given with."""
    return max((len(f"{value:.12f}".rstrip("0").partition(".")[2]) for value in values), default=0)
