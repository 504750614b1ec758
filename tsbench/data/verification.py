"""Reads every file of an available data set again, and compares it with its record and the catalogue."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from tsbench.data.archive import Archive
from tsbench.data.cache import Seen
from tsbench.data.catalogue import catalogue
from tsbench.data.checks import check_set
from tsbench.data.folders import ts_files
from tsbench.data.formats import CaseFile, read_ts
from tsbench.errors import DataError

__all__ = ["Verdict", "verify"]


@dataclass(frozen=True)
class Verdict:
    """The result of verifying a data set.

    Attributes:
        name: of the data set.
        folder: its folder.
        problems: sentences; empty if there are none.
        news: files that were recorded for the first time, or again.
    """

    name: str
    folder: Path
    problems: tuple[str, ...]
    news: tuple[str, ...]


def verify(archive: Archive, name: str, accept: bool = False) -> Verdict:
    """Reads both files completely, whatever is cached.

    Args:
        archive: where to find the data set.
        name: of the data set, which is available.
        accept: record a file that has changed as it is now.

    Raises:
        DataError: the data set is not available.
    """
    folder = archive.locate(name)
    if folder is None:
        raise DataError(f"data set {name!r} is not available; `tsbench datasets download {name}` fetches it")
    problems: list[str] = []
    news: list[str] = []
    files: list[CaseFile] = []
    cache = archive.cache(folder)
    for path in ts_files(folder):
        now, before = Seen.of(path), cache.seen(path)
        try:
            files.append(read_ts(path))
        except DataError as error:  # an unreadable file is not accepted
            problems.append(str(error))
            continue
        sha256 = cache.sha256(path)
        if before is not None and before.sha256 != sha256 and not accept:
            problems.append(
                f"{path}: has changed since it was first read (SHA-256 {before.sha256[:16]}..., now {sha256[:16]}...)"
            )
        elif before is None or before.sha256 != sha256:
            cache.record(path, replace(now, sha256=sha256))
            news.append(path.name)
    if len(files) == 2:
        problems += _compared(name, *files)
    return Verdict(name, folder, tuple(problems), tuple(news))


def _compared(name: str, train: CaseFile, test: CaseFile) -> list[str]:
    try:
        check_set(train, test)
    except DataError as error:
        return [str(error)]
    facts = catalogue().get(name)
    if facts is None:
        return []
    train_cases, test_cases = train.collection, test.collection
    longest = max(train_cases.length, test_cases.length)
    found = {
        "training cases": (len(train_cases), facts.train),
        "test cases": (len(test_cases), facts.test),
        "channels": (train_cases.channels, facts.channels),
        "classes": (len(train_cases.classes), facts.classes),
        "longest case in time steps": (longest, facts.longest),
    }
    return [
        f"{train.path.parent}: {what}: {here} here, {there} in the catalogue"
        for what, (here, there) in found.items()
        if here != there
    ]
