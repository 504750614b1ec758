"""Scores from other sources: the package's published accuracies, or a CSV file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path

from tsbench.comparisons.reference_file import Cells, Empty, ReferenceReader, loosely, read_text

__all__ = ["PUBLISHED", "Reference", "decimals", "load_reference"]

PUBLISHED = "published"
"""The name of the package's published scores."""

CARRIED = ("published.csv", "unishape.csv", "mambasl.csv", "phit.csv")
BAKE_OFF = "Middlehurst et al. 2024, Bake off redux"
MULTIVARIATE = "Ruiz et al. 2021, The great multivariate time series classification bake off"
HIVE_COTE = "Middlehurst et al. 2021, HIVE-COTE 2.0"
SOURCES = {
    **dict.fromkeys(("1NN-DTW-A", "1NN-DTW-D", "1NN-DTW-I", "CIF", "MUSE", "TapNet"), MULTIVARIATE),
    **dict.fromkeys(("InceptionTime", "ResNet", "ROCKET"), f"{BAKE_OFF}; multivariate: {MULTIVARIATE}"),
    **dict.fromkeys(("HC2", "Arsenal", "DrCIF", "TDE"), f"{BAKE_OFF}; multivariate: {HIVE_COTE}"),
    **dict.fromkeys(("LSTM-FCN", "ALSTM-FCN"), "Karim et al. 2018, LSTM fully convolutional networks"),
    **dict.fromkeys(("LITEMVTime", "ConvTran"), "Ismail-Fawaz et al. 2024, Look into the LITE"),
    "UniShape": "Liu et al. 2026, A unified shape-aware foundation model for time series classification",
    "MambaSL": "Jung and Kim 2026, MambaSL: exploring single-layer Mamba for time series classification",
    "PHIT": "Ismail-Fawaz et al. 2024, Finding foundation models for time series classification with a pretext task",
}
"""By classifier; the name after an `@` is that of a paper that ran another's classifier again."""


@dataclass(frozen=True)
class Reference:
    """Scores by data set and classifier, each with its resamples.

    Attributes:
        name: `published`, or the file's name.
        cells: for a data set and classifier, its mean score by resamples.
        sources: the source of a classifier's scores; the file's name if it is unknown.
        carried: whether these are the package's published accuracies.
        empty: cells of the file without a score.
        chosen_on_test: data set and classifier of the scores whose epoch was chosen on the test cases.
        remarks: notes on the file, in sentences.
    """

    name: str
    cells: Cells
    sources: Mapping[str, str] = field(default_factory=dict)
    carried: bool = False
    empty: Mapping[tuple[str, str], Empty] = field(default_factory=dict)
    chosen_on_test: frozenset[tuple[str, str]] = frozenset()
    remarks: tuple[str, ...] = ()

    @property
    def datasets(self) -> tuple[str, ...]:
        """Sorted by name, including those without any score."""
        return tuple(sorted({dataset for dataset, _ in (*self.cells, *self.empty)}, key=str.lower))

    @property
    def classifiers(self) -> tuple[str, ...]:
        """In the order of appearance; those without any score come last."""
        return tuple(dict.fromkeys(classifier for _, classifier in (*self.cells, *self.empty)))

    def source(self, classifier: str) -> str:
        """The source of a classifier's scores."""
        return self.sources.get(classifier.rpartition("@")[2], BAKE_OFF if self.carried else self.name)

    def original(self, classifier: str) -> str | None:
        """`ROCKET` of `ROCKET@UniShape`, another paper's scores of the same; None for the original itself."""
        name, _, paper = classifier.partition("@")
        return name if self.carried and paper and name in self.classifiers else None

    def score(self, dataset: str, classifier: str, resamples: tuple[int, ...]) -> float | None:
        """The mean score over just these resamples; None if the reference has none."""
        cell = self.cells.get((dataset, classifier), {})
        if resamples in cell:
            return cell[resamples]
        if any((number,) not in cell for number in resamples):
            return None
        return sum(cell[(number,)] for number in resamples) / len(resamples)

    def reason(self, dataset: str, classifier: str) -> str:
        """Why there is no score."""
        if self.cells.get((dataset, classifier)):
            return "published under another protocol" if self.carried else f"{self.name} has another protocol's"
        if (dataset, classifier) in self.empty:
            empty = self.empty[dataset, classifier]
            held = repr(empty.text) if empty.text else "empty"
            return f"{held} in line {empty.line} of {self.name}"
        return "not published" if self.carried else f"not in {self.name}"

    def match_names(self, known: Iterable[str]) -> Reference:
        """The same with known spellings of data sets that differ in case or, failing that, in spaces, `_` and `-`."""
        spelling = _spellings(self.datasets, tuple(known))
        chosen = frozenset((spelling.get(dataset, dataset), name) for dataset, name in self.chosen_on_test)
        changed = {name: new for name, new in spelling.items() if name.lower() != new.lower()}
        remarks = (f"{self.name}: {name!r} is taken as {new!r}." for name, new in changed.items())
        return replace(
            self,
            cells={(spelling.get(dataset, dataset), name): cell for (dataset, name), cell in self.cells.items()},
            empty={(spelling.get(dataset, dataset), name): cell for (dataset, name), cell in self.empty.items()},
            chosen_on_test=chosen,
            remarks=(*self.remarks, *remarks),
        )


def _spellings(given: Sequence[str], known: Sequence[str]) -> dict[str, str]:
    """For each given name that is a known one's in another spelling, that one; no two names become one."""
    by_case = {name.lower(): name for name in known}
    found = {name: by_case[name.lower()] for name in given if name.lower() in by_case}
    rest = [name for name in given if name not in found]
    by_letters = {loosely(name): name for name in known if name not in found.values()}
    similar = [loosely(name) for name in rest]
    return found | {
        name: by_letters[key]
        for name, key in zip(rest, similar, strict=True)
        if key in by_letters and similar.count(key) == 1
    }


def load_reference(name: str, resamples: int = 1, metric: str = "accuracy") -> Reference:
    """The published accuracies, or the scores of a CSV file.

    A file is read in one of three layouts. Long: columns `dataset` and `classifier`, and the metric's (with `resample`
    if there are several), or `accuracy_default_split` and `accuracy_mean_30_resamples`. Wide: a row for each data
    set, a column for each classifier. Resamples of one classifier, as the bake-offs' `HC2_TESTFOLDS.csv`: a row for
    each data set, columns 0, 1, 2, ... Columns are separated by commas, semicolons or tabs; decimals by a point or a
    comma. In the long layout a column `chosen_on` says `test` of scores whose epoch was chosen on the test cases.

    Args:
        name: `published` or a file.
        resamples: number of resamples behind a score of the wide layout; 1 for the first split.
        metric: of the scores.

    Raises:
        DataError: with every problem of the file, each with its line.
    """
    if name == PUBLISHED and not Path(name).is_file():
        return _carried()
    path = Path(name)
    reader = ReferenceReader(str(path), read_text(path), resamples, metric)
    reader.read()
    remarks = tuple(remark.replace(str(path), path.name, 1) for remark in reader.remarks)
    return Reference(
        path.name, reader.cells, empty=reader.empty, chosen_on_test=frozenset(reader.chosen_on_test), remarks=remarks
    )


def _carried() -> Reference:
    """The scores of all files in `references`: the bake-offs' first, so that their classifiers come first."""
    cells: dict[tuple[str, str], Mapping[tuple[int, ...], float]] = {}
    chosen_on_test: set[tuple[str, str]] = set()
    for file in CARRIED:
        reader = ReferenceReader(file, (files("tsbench.comparisons") / "references" / file).read_text(encoding="utf-8"))
        reader.read()
        cells |= reader.cells
        chosen_on_test |= reader.chosen_on_test
    return Reference(PUBLISHED, cells, SOURCES, carried=True, chosen_on_test=frozenset(chosen_on_test))


def decimals(values: Sequence[float]) -> int:
    """The number of decimals of the given scores."""
    return max((len(f"{value:.12f}".rstrip("0").partition(".")[2]) for value in values), default=0)
