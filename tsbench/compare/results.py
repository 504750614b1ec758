"""Reads scored classifiers out of MLflow, into one row each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tsbench.tracking import names
from tsbench.tracking.store import RunRecord, Store

__all__ = ["Result", "Results", "read_results"]


@dataclass(frozen=True)
class Result:
    """How one classifier did on one resample of one data set; `state` is complete, skipped, failed or running."""

    dataset: str
    classifier: str
    resample: int
    state: str
    metrics: dict[str, float]
    reason: str
    run_id: str


@dataclass(frozen=True)
class Results:
    """The newest result of each classifier, data set and resample.

    Attributes:
        name: the MLflow experiment.
        rows: one for each.
        datasets: the data sets shown, by default all, sorted by name.
        classifiers: the network first, then as they first appeared.
    """

    name: str
    rows: tuple[Result, ...]
    datasets: tuple[str, ...] = ()
    classifiers: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        if not self.datasets:
            object.__setattr__(self, "datasets", tuple(sorted({row.dataset for row in self.rows}, key=str.lower)))
        found = dict.fromkeys(row.classifier for row in self.rows)
        object.__setattr__(self, "classifiers", tuple(sorted(found, key=lambda name: name != names.NETWORK)))

    def resamples(self, dataset: str) -> tuple[int, ...]:
        """The resamples of a data set that any classifier was scored on."""
        return tuple(sorted({row.resample for row in self.rows if row.dataset == dataset and row.state == "complete"}))

    def mean(self, metric: str, dataset: str, classifier: str) -> float | None:
        """Mean over the data set's resamples; None unless the classifier has a figure, and no NaN, for each of them."""
        figures = [
            row.metrics.get(metric, math.nan)
            for row in self.rows
            if (row.dataset, row.classifier, row.state) == (dataset, classifier, "complete")
        ]
        if not figures or len(figures) < len(self.resamples(dataset)) or any(map(math.isnan, figures)):
            return None
        return sum(figures) / len(figures)

    def missing(self) -> list[dict[str, str]]:
        """The cells without a figure, each with its reason."""
        cells = []
        for dataset in self.datasets:
            for classifier in self.classifiers:
                if self.mean(names.test("accuracy"), dataset, classifier) is None:
                    cells.append(
                        {
                            "dataset": dataset,
                            "classifier": classifier,
                            "reason": self._why(dataset, classifier),
                        }
                    )
        return cells

    def _why(self, dataset: str, classifier: str) -> str:
        rows = [row for row in self.rows if (row.dataset, row.classifier) == (dataset, classifier)]
        if not rows:
            return "never run"
        reasons = [f"{row.state}: {row.reason}" if row.reason else row.state for row in rows if row.state != "complete"]
        if reasons:
            return reasons[-1]
        done = {row.resample for row in rows}
        lacking = [str(number) for number in self.resamples(dataset) if number not in done]
        if not lacking:
            return "complete, but without a test accuracy"
        which = f"resamples {', '.join(lacking)} are" if len(lacking) > 1 else f"resample {lacking[0]} is"
        return f"{which} not there"

    def of(self, datasets: Sequence[str]) -> Results:
        """The results on some of the data sets, each once, in the order given."""
        rows = tuple(row for row in self.rows if row.dataset in datasets)
        held = {row.dataset for row in rows}
        return Results(self.name, rows, tuple(name for name in dict.fromkeys(datasets) if name in held))


def read_results(store: Store, experiment: str) -> Results:
    """The results of an MLflow experiment.

    Where a classifier was run more than once on the same resample, the newest finished run counts.

    Raises:
        TrackingError: there is no such experiment.
    """
    where = f"tags.`{names.CLASSIFIER}` != '' and tags.`{names.ROLE}` != 'trial'"
    return Results(experiment, tuple(_newest(store.runs(experiment, where))))


def _newest(runs: Iterable[RunRecord]) -> Iterable[Result]:
    newest: dict[tuple[str, str, int], Result] = {}
    for run in runs:  # the oldest first
        if run.tags.get(names.ROLE) not in ("model", "baseline"):
            continue
        result = _result(run)
        key = (result.dataset, result.classifier, result.resample)
        if key not in newest or result.state == "complete" or newest[key].state != "complete":
            newest[key] = result
    return newest.values()


def _result(run: RunRecord) -> Result:
    state = run.tags.get(names.STATE, "running" if run.status == "RUNNING" else "interrupted")
    return Result(
        run.tags[names.DATASET],
        run.tags[names.CLASSIFIER],
        int(run.tags[names.RESAMPLE]),
        state,
        run.metrics,
        run.tags.get(names.REASON, ""),
        run.run_id,
    )
