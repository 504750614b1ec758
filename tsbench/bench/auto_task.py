"""Fits `auto` on a cell in a worker, scores it, and records it and its members."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd

from tsbench.auto.portfolio import Candidate, candidate_of, candidates_of
from tsbench.auto.training import AutoTraining
from tsbench.bench.baseline import scores_on_test
from tsbench.bench.final import log_model_files
from tsbench.bench.model_files import MODEL_FOLDER, few_of_each_class, write_model_files
from tsbench.bench.payloads import Records, Scored, auto_params
from tsbench.bench.tasks import begin_run, guard, process_apart
from tsbench.classifiers.card import CardFacts
from tsbench.classifiers.contract import OutOfFold
from tsbench.classifiers.fitted_baseline import FittedBaseline, packages_of
from tsbench.classifiers.vote import FittedVote, FoldBag
from tsbench.data.collection import DataSet
from tsbench.errors import ModelError, TsbenchError
from tsbench.evaluation.metrics import error_name, score_all
from tsbench.recipe.plain import plain
from tsbench.recipe.schema import AutoConfig, HyperparameterConfig
from tsbench.recipe.space import leaves
from tsbench.spreadsheet import as_cell
from tsbench.tracking import names, provenance
from tsbench.tracking.models import register_model
from tsbench.tracking.store import Store
from tsbench.workers.protocol import WorkerContext

__all__ = ["auto_scores", "run_auto", "with_networks"]


def run_auto(
    context: WorkerContext,
    records: Records,
    config: AutoConfig,
    dataset: DataSet,
    seed: int,
    jobs: int,
    networks: Sequence[HyperparameterConfig],
    register: bool,
) -> Scored:
    """Fits the members within the time limit, scores their vote once on the test cases, and records everything.

    Args:
        context: of the worker.
        records: where to record.
        config: preset or members, and the time limit.
        dataset: training and test cases.
        seed: of every member.
        jobs: processes side by side.
        networks: the search's best configurations, the best first; none if there was no search.
        register: whether to put the model into MLflow's registry.
    """
    guard(context, records.uri, records.parent)
    store, started = Store(records.uri), time.time()
    run = begin_run(store, records, names.AUTO, "baseline", {}, started)
    store.log(run, params=auto_params(config) | {"auto.seed": seed, "auto.jobs": jobs})
    members = None if config.members is None else [(member.classifier, member.parameters) for member in config.members]
    training = AutoTraining(
        dataset.train,
        with_networks(candidates_of(config.preset, members), networks),
        config.time_limit,
        seed,
        jobs,
        context.device,
        on_change=lambda: context.report(training.progress()),
        stopping=context.stop_reason,
        process=process_apart() if context.device == "cpu" else None,  # one that is kept would keep GPU memory
    )
    try:
        vote = training.run()
    except TsbenchError as error:
        state = "stopped" if context.stopping else "failed"
        store.log(run, tags={names.STATE: state, names.REASON: str(error)})
        store.end(run, "KILLED" if context.stopping else "FAILED")
        return Scored(state, str(error))
    if context.stopping:
        store.log(run, tags={names.STATE: "stopped", names.REASON: context.why})
        store.end(run, "KILLED")
        return Scored("stopped", context.why)
    context.send("progress", training.progress())  # not spared, as the last members would not be shown
    context.report("scoring")
    metrics = auto_scores(vote, dataset)
    store.log(run, metrics, tags={names.STATE: "complete"})
    context.report("recording the model")
    _record_members(store, records, run, vote, training, started)
    _record_model(store, records, run, vote, dataset, metrics, register)
    store.end(run)
    return Scored("complete", accuracy=metrics[names.test("accuracy")])


def with_networks(candidates: Sequence[Candidate], networks: Sequence[HyperparameterConfig]) -> list[Candidate]:
    """The candidates, with the search's best configurations instead of the default network.

    A network with parameters of its own stays: the recipe asks for just that.
    """
    found: list[Candidate] = []
    for candidate in candidates:
        if candidate.name == "network" and networks:
            for number, network in enumerate(networks, 1):
                name = candidate.name if len(networks) == 1 else f"{candidate.name} {number}"
                found.append(candidate_of(name, candidate.classifier, dict(leaves(network))))
        else:
            found.append(candidate)
    return found


def auto_scores(vote: FittedVote, dataset: DataSet) -> dict[str, float]:
    """Scores out of fold and on the test cases, coverage of 90 % prediction sets, and seconds."""
    began = time.perf_counter()
    probabilities = vote.predict_proba(dataset.test)
    metrics = {"predict_seconds": time.perf_counter() - began}
    metrics |= scores_on_test(dataset.test, probabilities, vote.classes)
    metrics["fit_seconds"] = vote.leaderboard[0].fit_seconds or 0.0
    if vote.out_of_fold is not None:
        found, codes = vote.out_of_fold.held_out()
        scores = score_all(vote.classes[codes], found, vote.classes)
        metrics |= {names.cv(metric): value for metric, value in scores.items()}
        if (error := vote.leaderboard[0].standard_error) is not None:
            metrics[error_name(names.cv("accuracy"))] = error
    sets = vote.predict_set(dataset.test)
    truth = dataset.test.labels[:, None] == vote.classes
    metrics["test_coverage_90"] = float((sets & truth).any(axis=1).mean())
    metrics["test_set_size_90"] = float(sets.sum(axis=1).mean())
    return metrics


def _record_members(
    store: Store, records: Records, run: str, vote: FittedVote, training: AutoTraining, started: float
) -> None:
    """Logs a child run for each member that was tried, with its scores out of fold, and the leaderboard as a table."""
    inside, out_of_fold = replace(records, parent=run), training.out_of_fold
    for row in vote.leaderboard[1:]:
        child = begin_run(store, inside, row.member, "member", {}, started)
        known = {
            names.cv("accuracy"): row.accuracy,
            names.cv("log_loss"): row.log_loss,
            "calibration_error": row.calibration_error,
            "weight": row.weight,
            "fit_seconds": row.fit_seconds,
            "predict_seconds": row.predict_seconds,
        }
        tags = {names.STATE: "complete" if row.weight else "skipped"} | ({names.REASON: row.note} if row.note else {})
        store.log(child, {name: value for name, value in known.items() if value is not None}, tags=tags)
        _add_out_of_fold(store, child, out_of_fold.get(row.member))
        store.end(child)
    table = pd.DataFrame([asdict(row) for row in vote.leaderboard]).map(as_cell)
    store.artifacts.write_text(run, table.to_csv(index=False), names.LEADERBOARD)
    kept = [
        {"name": candidate.name, "classifier": candidate.classifier, "parameters": plain(dict(candidate.parameters))}
        for candidate in training.candidates
    ]
    text = json.dumps({"candidates": kept, "cut_short": training.cut_short}, indent=2)
    store.artifacts.write_text(run, text, names.CANDIDATES)


def _add_out_of_fold(store: Store, run: str, found: OutOfFold | None) -> None:
    if found is not None:
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / names.OUT_OF_FOLD
            found.save(path)
            store.artifacts.add(run, path)


def _record_model(
    store: Store,
    records: Records,
    run: str,
    vote: FittedVote,
    dataset: DataSet,
    metrics: dict[str, float],
    register: bool,
) -> None:
    requirements = provenance.requirements() + _packages(vote)
    title, recipe = names.title(records.tags), str(records.tags[names.RECIPE])
    facts = CardFacts(title, recipe, None, len(dataset.train), len(dataset.test), metrics, requirements)
    examples = dataset.train.subset(few_of_each_class(dataset.train.labels))
    _add_out_of_fold(store, run, vote.out_of_fold)
    with tempfile.TemporaryDirectory() as scratch:
        try:
            files = write_model_files(Path(scratch) / MODEL_FOLDER, vote, facts, examples)
        except ModelError as error:
            store.log(run, tags={names.MODEL: str(error)})
            return
        uri = log_model_files(store, records, run, files, metrics, dataset)
        store.log(run, tags={names.MODEL: "logged"})
    metric = names.cv("accuracy")
    if register and int(records.tags[names.RESAMPLE]) == 0 and metric in metrics:
        name = f"{recipe}-{records.tags[names.DATASET]}-{names.AUTO}"
        version = register_model(store, run, uri, name, files.card, metric, metrics[metric], True)
        store.log(run, tags={names.REGISTERED: f"{name} version {version}"})


def _packages(vote: FittedVote) -> list[str]:
    """Requirements of the libraries whose classifiers are members."""
    found: dict[str, str] = {}
    for member in vote.members:
        bag: list[Any] = member.classifier.members if isinstance(member.classifier, FoldBag) else [member.classifier]
        for fitted in bag:
            if isinstance(fitted, FittedBaseline):
                found |= packages_of(fitted.baseline.path, "skops")
    return [f"{name}=={text}" for name, text in sorted(found.items())]
