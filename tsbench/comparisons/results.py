"""Reads scored classifiers from MLflow, one row each."""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from tsbench.comparisons.formatting import METRIC_WORDS
from tsbench.comparisons.study_data import StudyData, read_studies
from tsbench.recipe.messages import count_of
from tsbench.redaction import redacted
from tsbench.tracking import names
from tsbench.tracking.split import UNKNOWN, Split
from tsbench.tracking.store import RunRecord, Store

_logger = logging.getLogger(__name__)

__all__ = ["ARCHIVE_SPLIT", "Result", "Results", "read_results"]

ARCHIVE_SPLIT = (0,)
"""The protocol of the first split, which is the archive's own for its data sets."""


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one classifier on one resample of one data set.

    Attributes:
        state: complete, skipped, failed, running, interrupted, or `on another split` than the data set's newest
            result, with which it cannot be compared.
        data: its search's record of the data.
        preprocessing: of cases that the classifier could not take unchanged; empty for none.
    """

    dataset: str
    classifier: str
    resample: int
    state: str
    metrics: Mapping[str, float]
    reason: str
    run_id: str
    data: StudyData = field(default_factory=StudyData)
    preprocessing: str = ""


@dataclass(frozen=True)
class Results:
    """The newest result of each classifier, data set and resample.

    Attributes:
        name: the MLflow experiment, or several.
        rows: one for each.
        datasets: the data sets shown, by default all, sorted by name.
        protocol: the resamples that every score is the mean of, so that no two scores are of different ones; by
            default all that any classifier was scored on.
        empty: the experiments that hold no result.
        experiments: that were read.
        store: of the experiments; None if nothing was read from MLflow.
    """

    name: str
    rows: tuple[Result, ...]
    datasets: tuple[str, ...] = ()
    protocol: tuple[int, ...] = ()
    empty: tuple[str, ...] = ()
    experiments: tuple[str, ...] = ()
    store: Store | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.datasets:
            object.__setattr__(self, "datasets", tuple(sorted({row.dataset for row in self.rows}, key=str.lower)))
        if not self.protocol:
            object.__setattr__(self, "protocol", self.scored() or ARCHIVE_SPLIT)

    @cached_property
    def classifiers(self) -> tuple[str, ...]:
        """The network first, then in the order of appearance."""
        found = dict.fromkeys(row.classifier for row in self.rows)
        return tuple(sorted(found, key=lambda name: not is_network(name)))

    @cached_property
    def _cells(self) -> dict[tuple[str, str], dict[int, Result]]:
        cells: dict[tuple[str, str], dict[int, Result]] = defaultdict(dict)
        for row in self.rows:
            cells[row.dataset, row.classifier][row.resample] = row
        return dict(cells)

    def scored(self, dataset: str | None = None) -> tuple[int, ...]:
        """The resamples that any classifier was scored on, of one data set or all."""
        return tuple(
            sorted({row.resample for row in self.rows if row.state == "complete" and dataset in (None, row.dataset)})
        )

    @cached_property
    def splits(self) -> dict[str, Split]:
        """The split of each data set's scores; unknown for one without scores."""
        found = dict.fromkeys(self.datasets, UNKNOWN)
        for row in self.rows:
            if row.dataset in found and row.state == "complete" and row.data.split != UNKNOWN:
                found[row.dataset] = row.data.split
        return found

    @cached_property
    def changed(self) -> list[str]:
        """The data sets whose files differed between the searches of the scores."""
        seen: dict[str, set[frozenset[str]]] = defaultdict(set)
        for row in self.rows:
            if row.state == "complete" and row.data.digests:
                seen[row.dataset].add(frozenset(row.data.digests.values()))
        return [dataset for dataset in self.datasets if len(seen[dataset]) > 1]

    def scores_of(self, metric: str, dataset: str, classifier: str) -> dict[int, float]:
        """The scores by resample; NaN is left out."""
        cell = self._cells.get((dataset, classifier), {})
        found = {number: row.metrics.get(metric, math.nan) for number, row in cell.items() if row.state == "complete"}
        return {number: value for number, value in sorted(found.items()) if not math.isnan(value)}

    def mean(self, metric: str, dataset: str, classifier: str) -> float | None:
        """Mean over the protocol's resamples; None unless the classifier has a score for each of them."""
        found = self.scores_of(metric, dataset, classifier)
        if any(number not in found for number in self.protocol):
            return None
        return sum(found[number] for number in self.protocol) / len(self.protocol)

    def preprocessing(self, dataset: str, classifier: str) -> str:
        """The preprocessing behind a cell's score; empty if the classifier took the cases unchanged."""
        cell = self._cells.get((dataset, classifier), {})
        rows = [cell[number] for number in self.protocol if number in cell]
        done = list(dict.fromkeys(row.preprocessing for row in rows if row.state == "complete" and row.preprocessing))
        return "" if not done else done[0] if len(done) == 1 else f"{done[0]} (other lengths in other resamples)"

    def reason(self, dataset: str, classifier: str, metric: str = "accuracy") -> str:
        """Why a cell has no score of a metric."""
        cell = self._cells.get((dataset, classifier), {})
        if not cell:
            return "never run"
        wanted = [cell[number] for number in self.protocol if number in cell]
        reasons = [
            f"{row.state}: {row.reason}" if row.reason else row.state for row in wanted if row.state != "complete"
        ]
        if reasons:
            return reasons[-1]
        lacking = [number for number in self.protocol if number not in cell]
        if not lacking:
            return f"complete, but without a test {METRIC_WORDS[metric]}"
        return f"{_resamples(lacking)} {'are' if len(lacking) > 1 else 'is'} missing"

    def of(self, datasets: Sequence[str]) -> Results:
        """The results on some of the data sets, each once, in the order given."""
        rows = tuple(row for row in self.rows if row.dataset in datasets)
        held = {row.dataset for row in rows}
        shown = tuple(name for name in dict.fromkeys(datasets) if name in held)
        return replace(self, rows=rows, datasets=shown, protocol=())

    def under(self, protocol: tuple[int, ...]) -> Results:
        """The same, with scores that are the mean of these resamples."""
        return replace(self, protocol=protocol)


def is_network(classifier: str) -> bool:
    """Whether it is the tuned network, also if several recipes are compared."""
    return classifier.partition("@")[0] == names.NETWORK


def _resamples(numbers: Sequence[int]) -> str:
    """`resample 2`, `resamples 1, 3`, `resamples 1 to 29`."""
    if len(numbers) > 2 and numbers[-1] - numbers[0] == len(numbers) - 1:
        return f"resamples {numbers[0]} to {numbers[-1]}"
    return f"resample{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


def read_results(store: Store, *experiments: str) -> Results:
    """The results of one or more MLflow experiments.

    If a classifier was run more than once on the same resample, the newest finished run counts. All scores of a data
    set are of one split, that of the newest result; results on another split have no scores. The networks of several
    recipes are different classifiers, each named after its recipe: `network@quickstart`.

    Raises:
        TrackingError: there is no such experiment.
    """
    where = names.where({}, unlike={names.CLASSIFIER: "", names.ROLE: "trial"})
    studies = read_studies(store, experiments)
    found = {
        experiment: [
            (run.started, _result(run, experiment if len(experiments) > 1 else "", studies))
            for run in store.runs(experiment, where)
            if run.tags.get(names.ROLE) in ("model", "baseline")
        ]
        for experiment in experiments
    }
    for experiment, pairs in found.items():
        _logger.debug("%s: read %s from %s", experiment, count_of(len(pairs), "result"), redacted(store.uri))
    runs = [pair for pairs in found.values() for pair in pairs]
    runs.sort(key=lambda pair: pair[0])  # the oldest first, across experiments
    rows = tuple(_newest(_on_one_split([result for _, result in runs])))
    empty = tuple(name for name, pairs in found.items() if not pairs)
    return Results(", ".join(experiments), rows, empty=empty, experiments=experiments, store=store)


def _on_one_split(results: Sequence[Result]) -> Iterable[Result]:
    """The results, the oldest first; those on another split than the newest of their data set lose their scores."""
    newest = {
        result.dataset: result.data.split
        for result in results
        if result.state == "complete" and result.data.split != UNKNOWN
    }
    for result in results:
        split = newest.get(result.dataset, UNKNOWN)
        if result.state != "complete" or split == UNKNOWN or result.data.split in (split, UNKNOWN):
            yield result
        else:
            yield replace(result, state="on another split", metrics={}, reason=str(result.data.split))


def _newest(results: Iterable[Result]) -> Iterable[Result]:
    newest: dict[tuple[str, str, int], Result] = {}
    for result in results:
        key = (result.dataset, result.classifier, result.resample)
        replaces_failure = key not in newest or newest[key].state != "complete"
        # Preprocessing was switched off later: its score must not count for a classifier that skips these cases.
        refused = result.state == "skipped" and not replaces_failure and newest[key].preprocessing != ""
        if result.state == "complete" or replaces_failure or refused:
            newest[key] = result
    return newest.values()


def _result(run: RunRecord, experiment: str, studies: Mapping[str, StudyData]) -> Result:
    state = run.tags.get(names.STATE, "running" if run.status == "RUNNING" else "interrupted")
    classifier = run.tags[names.CLASSIFIER]
    if experiment and classifier == names.NETWORK:
        classifier = f"{classifier}@{experiment}"
    return Result(
        run.tags[names.DATASET],
        classifier,
        int(run.tags[names.RESAMPLE]),
        state,
        _metrics(run),
        run.tags.get(names.REASON, ""),
        run.run_id,
        _data(run, studies),
        run.tags.get(names.PREPROCESSING, ""),
    )


def _metrics(run: RunRecord) -> dict[str, float]:
    """The run's metrics, except those computed from one-hot probabilities."""
    if not names.is_one_hot(run.tags, run.params):
        return run.metrics
    return {name: value for name, value in run.metrics.items() if not name.endswith(names.PROBABILISTIC)}


def _data(run: RunRecord, studies: Mapping[str, StudyData]) -> StudyData:
    """The record of the run's search, or else of the run itself."""
    study = studies.get(run.tags.get(names.STUDY, ""), StudyData())
    if study.split != UNKNOWN or names.SPLIT not in run.tags:
        return study
    return replace(study, split=Split.parse(run.tags[names.SPLIT]))
