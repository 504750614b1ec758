"""Versions, data and commits behind the compared scores, read from the searches' MLflow runs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from tsbench.comparisons.study_data import DIGEST
from tsbench.errors import TrackingError
from tsbench.redaction import redacted
from tsbench.tracking import names
from tsbench.tracking.store import RunRecord, Store

__all__ = ["Provenance", "read_provenance"]

MAX_READ = 100
"""Number of newest searches whose versions are read: each is a separate file, which a server may send slowly."""

COMMIT = "mlflow.source.git.commit"


@dataclass(frozen=True)
class Provenance:
    """Versions, data and commits behind the scores.

    Attributes:
        store: its address without credentials or folder; empty if nothing was read.
        searches: number of searches found.
        versions: each set of package versions found, with the number of searches that have it.
        digests: for each data set and file, its SHA-256; several if the file changed between searches.
        commits: git commits of the recipes.
    """

    store: str = ""
    searches: int = 0
    versions: Sequence[tuple[Mapping[str, str], int]] = ()
    digests: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)
    commits: Sequence[str] = ()


def read_provenance(store: Store, experiments: Sequence[str], datasets: Collection[str]) -> Provenance:
    """The versions, digests and commits of the searches on some data sets.

    Raises:
        TrackingError: there is no such experiment.
    """
    where = names.where({names.ROLE: "search"})
    runs = [
        run
        for experiment in experiments
        for run in store.runs(experiment, where)
        if run.tags.get(names.DATASET) in datasets
    ]
    digests: dict[str, dict[str, dict[str, None]]] = {}
    for run in runs:
        for tag, digest in run.tags.items():
            if tag.startswith(DIGEST):
                files = digests.setdefault(run.tags[names.DATASET], {})
                files.setdefault(tag.removeprefix(DIGEST), {})[digest] = None
    newest = sorted(runs, key=lambda run: run.started)[-MAX_READ:]
    counted = Counter(_versions(store, run) for run in newest)
    return Provenance(
        store.database.name if store.database else redacted(store.uri),  # the page may be published
        len(runs),
        [(dict(versions), count) for versions, count in counted.most_common() if versions],
        {
            dataset: {file: list(found) for file, found in sorted(files.items(), reverse=True)}
            for dataset, files in sorted(digests.items(), key=lambda item: item[0].lower())
        },
        sorted({run.tags[COMMIT] for run in runs if COMMIT in run.tags}),
    )


def _versions(store: Store, run: RunRecord) -> tuple[tuple[str, str], ...]:
    """Empty if the run has none, for example if it was killed before writing them."""
    try:
        found = json.loads(store.artifacts.read_text(run.run_id, "versions.json"))
    except (TrackingError, json.JSONDecodeError):
        return ()
    return tuple((str(name), str(version)) for name, version in found.items())
