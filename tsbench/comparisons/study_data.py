"""Reads the data of searches from their MLflow runs: the split and the files' digests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tsbench.data.catalogue import catalogue
from tsbench.errors import TrackingError
from tsbench.tracking import names
from tsbench.tracking.split import ARCHIVE, FILES, UNKNOWN, Split, recorded_split
from tsbench.tracking.store import RunRecord, Store

__all__ = ["DIGEST", "StudyData", "read_studies"]

DIGEST = "tsbench.sha256."
"""Prefix of the tags with a file's digest."""


@dataclass(frozen=True)
class StudyData:
    """The data of a study.

    Attributes:
        split: its origin.
        digests: SHA-256 of each of its files, by the file's name.
    """

    split: Split = UNKNOWN
    digests: Mapping[str, str] = field(default_factory=dict)


def read_studies(store: Store, experiments: Sequence[str]) -> dict[str, StudyData]:
    """The data of every study of some experiments, by the study's identity.

    Raises:
        TrackingError: there is no such experiment.
    """
    where = names.where({names.ROLE: "search"})
    return {
        run.tags[names.STUDY]: _data(store, run)
        for experiment in experiments
        for run in store.runs(experiment, where)
        if names.STUDY in run.tags
    }


def _data(store: Store, run: RunRecord) -> StudyData:
    digests = {tag.removeprefix(DIGEST): digest for tag, digest in run.tags.items() if tag.startswith(DIGEST)}
    tag = run.tags.get(names.SPLIT)
    return StudyData(_inferred(store, run, digests) if tag is None else Split.parse(tag), digests)


def _inferred(store: Store, run: RunRecord, digests: Mapping[str, str]) -> Split:
    """The split of a search by a version that did not record it, from the names of its files."""
    dataset = run.tags.get(names.DATASET, "")
    if set(digests) == {f"{dataset}_TRAIN.ts", f"{dataset}_TEST.ts"}:
        return ARCHIVE if dataset in catalogue() else Split("folder")
    if len(digests) == 2 and {file.partition(" ")[0] for file in digests} == {"train", "test"}:
        return FILES
    if len(digests) != 1:
        return UNKNOWN
    found = _from_recipe(store, run, dataset)
    return found if found.kind == "drawn" else Split("drawn")  # a single file must have been split


def _from_recipe(store: Store, run: RunRecord, dataset: str) -> Split:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return recorded_split(YAML(typ="safe").load(store.artifacts.read_text(run.run_id, "recipe.yaml")), dataset)
    except (TrackingError, YAMLError):  # the search was killed before writing it, or it is damaged
        return UNKNOWN
