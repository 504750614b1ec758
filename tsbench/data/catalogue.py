"""The catalogue: facts about the archives' data sets, known without their files.

The facts are in `datasets/catalogue.csv` and `datasets/archives.csv` of the repository, which an installed package
carries as `tsbench/datasets/`; `datasets/README.md` names their sources.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path

from tsbench.recipe.registries import COLLECTIONS
from tsbench.recipe.schema import SelectionConfig

__all__ = [
    "ArchiveFacts",
    "CollectionFacts",
    "Facts",
    "archives",
    "catalogue",
    "collection",
    "collections_with",
    "describe_collection",
    "kept",
]


@dataclass(frozen=True)
class ArchiveFacts:
    """An archive: its full name, citation, and description's address."""

    name: str
    title: str
    citation: str
    url: str


@dataclass(frozen=True)
class Facts:
    """What the catalogue says of a data set.

    Attributes:
        name: the archive's name for it.
        archive: `ucr` or `uea`.
        ucr_2015: whether it is among the 85 of the UCR archive's 2015 version.
        train, test: cases of each split.
        channels: of a case.
        shortest: length in time steps; None if lengths vary and the shortest is not published.
        longest: length in time steps.
        equal_length: whether all cases have the same length.
        classes: number of classes.
        missing_values: whether values are missing.
        domain: kind of data, in the archive's own word.
        ed_error: the archive's error rate of 1NN with the Euclidean distance; None for `uea`.
        donor: who gave or edited the data, as the UCR archive names them; empty for `uea`.
    """

    name: str
    archive: str
    ucr_2015: bool
    train: int
    test: int
    channels: int
    shortest: int | None
    longest: int
    equal_length: bool
    classes: int
    missing_values: bool
    domain: str
    ed_error: float | None
    donor: str

    @property
    def lengths(self) -> str:
        """`150`, `7 to 29`, or `up to 385`."""
        if self.equal_length:
            return str(self.longest)
        return f"up to {self.longest}" if self.shortest is None else f"{self.shortest} to {self.longest}"


def _folder() -> Path:
    """`tsbench/datasets` of an installed package, else `datasets` of the repository."""
    package = Path(__file__).parents[1]
    return next(
        folder for folder in (package / "datasets", package.parent / "datasets") if (folder / "catalogue.csv").is_file()
    )


def _rows(file: str) -> list[dict[str, str]]:
    with (_folder() / file).open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


@lru_cache(maxsize=1)
def catalogue() -> Mapping[str, Facts]:
    """All data sets of the UCR and UEA archives by name, sorted."""
    return {row["name"]: _facts(row) for row in _rows("catalogue.csv")}


def _facts(row: Mapping[str, str]) -> Facts:
    return Facts(
        name=row["name"],
        archive=row["archive"],
        ucr_2015=row["ucr_2015"] == "yes",
        train=int(row["train"]),
        test=int(row["test"]),
        channels=int(row["channels"]),
        shortest=int(row["shortest"]) if row["shortest"] else None,
        longest=int(row["longest"]),
        equal_length=row["equal_length"] == "yes",
        classes=int(row["classes"]),
        missing_values=row["missing_values"] == "yes",
        domain=row["domain"],
        ed_error=float(row["ed_error"]) if row["ed_error"] else None,
        donor=row["donor"],
    )


@lru_cache(maxsize=1)
def archives() -> Mapping[str, ArchiveFacts]:
    """The archives by name."""
    return {row["name"]: ArchiveFacts(**row) for row in _rows("archives.csv")}


def collection(name: str) -> list[str]:
    """The data sets of a collection, such as `ucr-112`, sorted.

    Raises:
        KeyError: there is no such collection.
    """
    if COLLECTIONS[name].get("listed"):
        return list(_listed()[name])
    return [facts.name for facts in catalogue().values() if _in_collection(facts, COLLECTIONS[name])]


@dataclass(frozen=True)
class CollectionFacts:
    """How large a collection is, as far as the catalogue knows its data sets.

    Attributes:
        name: of the collection.
        datasets: how many it has.
        known: of how many of them the catalogue has sizes.
        train: least and most training cases of those; None if none is known.
        lengths: least and greatest length of those in time steps; None if none is known.
    """

    name: str
    datasets: int
    known: int
    train: tuple[int, int] | None
    lengths: tuple[int, int] | None


def describe_collection(name: str) -> CollectionFacts:
    """The sizes of a collection.

    Raises:
        KeyError: there is no such collection.
    """
    names = collection(name)
    known = [catalogue()[dataset] for dataset in names if dataset in catalogue()]
    if not known:
        return CollectionFacts(name, len(names), 0, None, None)
    train = [facts.train for facts in known]
    shortest = [facts.longest if facts.shortest is None else facts.shortest for facts in known]
    lengths = min(shortest), max(facts.longest for facts in known)
    return CollectionFacts(name, len(names), len(known), (min(train), max(train)), lengths)


def collections_with(dataset: str) -> list[str]:
    """The listed collections that a data set is in, which the catalogue itself may not hold."""
    return [name for name, datasets in _listed().items() if dataset in datasets]


@lru_cache(maxsize=1)
def _listed() -> Mapping[str, Sequence[str]]:
    found: dict[str, list[str]] = {}
    for row in _rows("collections.csv"):
        found.setdefault(row["collection"], []).append(row["dataset"])
    return found


def _in_collection(facts: Facts, wanted: Mapping[str, object]) -> bool:
    regular = facts.equal_length and not facts.missing_values
    # It has one training case per class and so none to validate on; the usual 112 leave it out too.
    single = facts.train <= facts.classes
    return (
        facts.archive == wanted["archive"]
        and (facts.ucr_2015 or not wanted.get("ucr_2015"))
        and (not wanted.get("regular") or (regular and not single))
    )


def kept(names: Iterable[str], filters: SelectionConfig) -> list[str]:
    """The names that are in the catalogue and pass the filters, in their order."""
    return [name for name in names if (facts := catalogue().get(name)) is not None and _passes(facts, filters)]


def _passes(facts: Facts, filters: SelectionConfig) -> bool:
    shortest = facts.longest if facts.shortest is None else facts.shortest
    return (
        (filters.univariate is None or filters.univariate == (facts.channels == 1))
        and (filters.equal_length is None or filters.equal_length == facts.equal_length)
        and (filters.missing_values is None or filters.missing_values == facts.missing_values)
        and (filters.max_cases is None or facts.train <= filters.max_cases)
        and (filters.min_cases is None or facts.train >= filters.min_cases)
        and (filters.max_length is None or facts.longest <= filters.max_length)
        and (filters.min_length is None or shortest >= filters.min_length)
        and (filters.max_channels is None or facts.channels <= filters.max_channels)
        and (filters.max_classes is None or facts.classes <= filters.max_classes)
        and (not filters.domains or facts.domain.lower() in {domain.lower() for domain in filters.domains})
        and not any(fnmatchcase(facts.name, pattern) for pattern in filters.exclude)
    )
