"""The origin of a score's split into training and test cases."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal, get_args

from tsbench.recipe.schema import OwnDataConfig, Recipe, SplitConfig

__all__ = ["ARCHIVE", "FILES", "UNKNOWN", "Kind", "Split", "own_split", "recorded_split", "split_of"]

Kind = Literal["archive", "folder", "files", "drawn", "reference", "unknown"]


@dataclass(frozen=True)
class Split:
    """How a data set was split into training and test cases, before any resampling.

    Attributes:
        kind: `archive` for the split that the UCR and UEA archives define; `folder` for the two files of a data set's
            folder that the catalogue does not know, or knows with other numbers of cases; `files` for the user's own
            train and test files; `drawn` for a split that tsbench drew from one file; `reference` for what a file of
            other people's scores is of; `unknown` if it was not recorded.
        drawn: settings of a `drawn` split; None if they were not recorded.
    """

    kind: Kind
    drawn: SplitConfig | None = None

    @property
    def is_own(self) -> bool:
        """Whether the data are the user's own, so that no published score can be of the same cases."""
        return self.kind in ("files", "drawn")

    @property
    def tag(self) -> str:
        """The value of an MLflow tag; `parse` reads it back."""
        return self.kind if self.drawn is None else f"{self.kind} {json.dumps(self.drawn.model_dump(mode='json'))}"

    @classmethod
    def parse(cls, tag: str) -> Split:
        """Reads a tag; a tag that this version does not know is an unknown split."""
        kind, _, drawn = tag.partition(" ")
        if kind not in get_args(Kind):
            return UNKNOWN
        try:
            return cls(kind, SplitConfig.model_validate(json.loads(drawn)) if drawn else None)  # type: ignore[arg-type]
        except ValueError:
            return UNKNOWN

    def __str__(self) -> str:
        """Describes it within a sentence, as in `accuracy on ...`."""
        if self.kind != "drawn":
            return _WORDS[self.kind]
        return f"a split drawn by tsbench{f' ({_details(self.drawn)})' if self.drawn else ''}"


def _details(drawn: SplitConfig) -> str:
    parts = [f"{100 * drawn.test_size:g} % of the cases held out for the test"]
    if drawn.stratify:
        parts.append("stratified")
    if drawn.group is not None:
        parts.append(f"whole groups of {drawn.group!r}")
    return ", ".join([*parts, f"seed {drawn.seed}"])


_WORDS: dict[str, str] = {
    "archive": "the archive's own split",
    "folder": "the train and test files of the data set's folder",
    "files": "the user's own train and test files",
    "reference": "one split of each data set, as given in the reference file",
    "unknown": "the first split of each data set",
}

ARCHIVE, FILES, UNKNOWN = Split("archive"), Split("files"), Split("unknown")


def split_of(recipe: Recipe, dataset: str) -> Split:
    """The split of one of a recipe's data sets.

    Raises:
        DataError: the data set is not available, or its files are broken.
    """
    for entry in recipe.datasets:
        if isinstance(entry, OwnDataConfig) and entry.name == dataset:
            return own_split(entry)
    return _archive_split(recipe, dataset)


def own_split(entry: OwnDataConfig) -> Split:
    """The split of the user's own data."""
    return FILES if entry.file is None else Split("drawn", entry.split)


def _archive_split(recipe: Recipe, dataset: str) -> Split:
    """The archive's, if the files hold as many cases as the archive's do: a folder's name proves nothing."""
    from tsbench.data.catalogue import catalogue
    from tsbench.data.selection import archive_of

    facts = catalogue().get(dataset)
    if facts is None:
        return Split("folder")
    found = archive_of(recipe).load(dataset)
    return ARCHIVE if (len(found.train), len(found.test)) == (facts.train, facts.test) else Split("folder")


def recorded_split(tree: Any, dataset: str) -> Split:
    """The split of a data set in a recipe that an earlier search recorded, as plain data."""
    entries = tree.get("datasets") if isinstance(tree, dict) else None
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and entry.get("name") == dataset:
            try:
                return own_split(OwnDataConfig.model_validate(entry))
            except ValueError:  # another version's recipe
                return UNKNOWN
    return UNKNOWN
