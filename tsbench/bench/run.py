"""Carries a plan out: keeps every worker busy with trials, refits and baselines until all units are done.

One process supervises. It alone puts trials into studies, hands tasks to workers, and decides what a unit needs next;
workers run the tasks and write the records. While one unit's last trials run, idle workers go on with its baselines
and with the next unit.
"""

from __future__ import annotations

import io
import json
import shutil
import tempfile
import time
import uuid
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tsbench.bench import tasks
from tsbench.bench.plan import Plan, Unit
from tsbench.bench.progress import Display, RunState, UnitState, WorkerState
from tsbench.data.collection import Collection, DataSet
from tsbench.errors import RecipeError
from tsbench.evaluation.resampling import Fold, stratified_folds
from tsbench.search.launchers.local import Message, Task, WorkerPool
from tsbench.search.study import BestTrial, Study, StudySpec, derive_seed, meaning_of
from tsbench.search.worker import TrialOutcome, TrialProgress
from tsbench.tracking import names, provenance
from tsbench.tracking.store import DataInput, RunRecord, Store

__all__ = ["BenchmarkRun", "check_meanings"]

ENSEMBLE = "tsbench.ensemble"  # tag of the final model: how many networks it averages
WAIT = 0.25  # seconds between two looks at the workers


def check_meanings(plan: Plan) -> None:
    """Refuses to continue studies that were begun with another meaning of the recipe.

    Raises:
        RecipeError: names the studies and says how to start again.
    """
    changed = []
    for unit in plan.units:
        stored = Study.stored_meaning(unit.folder)
        if stored is not None and stored != _meaning(plan, unit, plan.load(unit)):
            changed.append(unit.title)
    if changed:
        raise RecipeError(
            [
                f"{plan.loaded.path}: the recipe or its data changed since the search of {', '.join(changed)} was "
                "begun, so its trials cannot be continued; run it with --fresh to start a new search (the old runs "
                "stay in MLflow), or give the recipe another name"
            ]
        )


def _meaning(plan: Plan, unit: Unit, dataset: DataSet) -> str:
    return meaning_of(**plan.meaning(unit, dataset.files))


@dataclass
class _Key:
    """How the supervisor knows a task."""

    unit: _UnitRun
    kind: str  # trial, member, score or baseline
    name: str = ""  # of a baseline
    number: int = 0  # of a trial or member


class _UnitRun:
    """One unit under way: what it still needs, and what has come in."""

    def __init__(self, plan: Plan, unit: Unit, state: UnitState, scratch: Path) -> None:
        self.plan, self.unit, self.state, self.scratch = plan, unit, state, scratch
        self.recipe = plan.loaded.recipe
        self.began = time.time()
        self.dataset = plan.load(unit)
        self.folds = self._make_folds()
        self.study = self._open_study()
        self.spec = self.study.spec
        self.records = tasks.Records(self.spec.tracking_uri, self.spec.experiment, self.spec.parent_run, self._tags())
        done = self._recorded()
        self.baselines = deque(name for name in self.recipe.baselines if name not in done)
        self.assigned: set[int] = set()  # trials that workers were told to run
        self.stopped = ""  # why the search ended before its trials were run
        self.best: BestTrial | None = None  # set when the search has ended
        self.members: dict[int, tasks.FittedMember] = {}
        self.members_begun = 0.0
        self.to_fit: deque[int] = deque(range(self.recipe.evaluation.ensemble))
        self.scored = self._network_is_current(done.get(names.NETWORK))
        self.searching = not self.scored
        self.failures: list[str] = []
        self.pending = 0  # tasks that workers are at
        self.retries: dict[str, int] = {}
        self._update()

    # Beginning

    def _tags(self) -> dict[str, Any]:
        return {
            names.DATASET: self.unit.dataset,
            names.RESAMPLE: self.unit.resample,
            names.RECIPE: self.recipe.name,
            names.STUDY: self.spec.identity,
        }

    def _make_folds(self) -> list[Fold]:
        seed = derive_seed(derive_seed(self.recipe.search.seed, self.unit.resample), 0)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            folds = stratified_folds(self.dataset.train.labels, self.recipe.search.folds, seed)
        self.warnings = [f"{self.unit.title}: {one.message}" for one in caught]
        return folds

    def _open_study(self) -> Study:
        folder = self.unit.folder
        if Study.stored_meaning(folder) == _meaning(self.plan, self.unit, self.dataset):
            study = Study.open(folder)
            if self.plan.store.resume(study.spec.parent_run):
                study.spec = _with_budget(study.spec, self.plan)
                for number in study.running():  # left behind by a supervisor that was killed
                    study.fail_lost(number, "its worker ended")
                return study
        Study.set_aside(folder)
        return self._create_study()

    def _create_study(self) -> Study:
        store, recipe = self.plan.store, self.recipe
        experiment = store.experiment(recipe.name)
        identity = uuid.uuid4().hex[:12]
        parent = self._begin_parent(store, experiment, identity)
        spec = StudySpec(
            identity=identity,
            recipe=recipe.name,
            dataset=self.unit.dataset,
            resample=self.unit.resample,
            base=recipe.hyperparameters,
            space=self.plan.loaded.space,
            search=recipe.search,
            concurrency=self.plan.concurrency,
            tracking_uri=store.uri,
            experiment=experiment,
            parent_run=parent,
        )
        meaning = _meaning(self.plan, self.unit, self.dataset)
        return Study.create(self.unit.folder, _with_budget(spec, self.plan), self.dataset.training_set(), meaning)

    def _begin_parent(self, store: Store, experiment: str, identity: str) -> str:
        tags = {
            names.ROLE: "search",
            names.DATASET: self.unit.dataset,
            names.RESAMPLE: self.unit.resample,
            names.RECIPE: self.recipe.name,
            names.STUDY: identity,
        }
        path = self.plan.loaded.path
        if commit := provenance.git_commit(path.absolute().parent):
            tags["mlflow.source.git.commit"] = commit
        tags |= {f"tsbench.sha256.{name}": digest for name, digest in self.dataset.files.items()}
        run = store.begin(experiment, self.unit.title, tags)
        store.log_text(run, _yaml(self.plan.resolved()), "recipe.yaml")
        store.log_text(run, json.dumps(provenance.versions(), indent=2), "versions.json")
        store.log_inputs(run, [self._input("train", self.dataset.train), self._input("test", self.dataset.test)])
        return run

    def _input(self, context: str, cases: Collection) -> DataInput:
        name = f"{self.unit.title} {context}"
        return DataInput(name, context, cases.digest(), self.dataset.source, len(cases), cases.channels, cases.length)

    def _recorded(self) -> dict[str, RunRecord]:
        """The finished network and baselines of this study, by classifier."""
        where = f"tags.`{names.STUDY}` = '{self.spec.identity}' and attributes.status = 'FINISHED'"
        runs = self.plan.store.runs(self.recipe.name, where)
        return {r.tags[names.CLASSIFIER]: r for r in runs if r.tags.get(names.ROLE) in ("model", "baseline")}

    def _network_is_current(self, record: RunRecord | None) -> bool:
        """Whether the recorded network is the one that the finished search and today's recipe lead to."""
        if record is None or not (self.study.is_complete() or self._time_is_spent()):
            return False
        best = self.study.best()
        expected = {
            names.TRIAL: best.number if best else None,
            "tsbench.ensemble": self.recipe.evaluation.ensemble,
        }
        return all(record.tags.get(key) == str(value) for key, value in expected.items())

    def _time_is_spent(self) -> bool:
        ended_by, timeout = self.study.timed_out, self.recipe.search.timeout
        return ended_by is not None and timeout is not None and timeout <= ended_by

    # What is to be done next

    def next_task(self) -> Task | None:
        """The unit's most urgent task that can be begun now."""
        if self.searching:
            if task := self._next_trial():
                return task
            self._end_search()
        if not self.searching and not self.scored:
            if self.to_fit:
                return self._member_task(self.to_fit.popleft())
            if len(self.members) == self.recipe.evaluation.ensemble:
                self.scored = True
                return self._score_task()
        if self.baselines:
            return self._baseline_task(self.baselines.popleft())
        return None

    def _next_trial(self) -> Task | None:
        if self._must_stop():
            return None
        for number in self.study.refill():
            if number not in self.assigned:
                self.assigned.add(number)
                return self._task(tasks.run_trial, "trial", (self.unit.folder, number, self._deadline()), number=number)
        return None

    def _must_stop(self) -> bool:
        deadline = self._deadline()
        if deadline is not None and time.time() > deadline:
            self.stopped = "its time is spent"
        return bool(self.stopped)

    def _deadline(self) -> float | None:
        """When trials must end, in seconds since the epoch, with the refit's share of the time set aside."""
        timeout = self.recipe.search.timeout
        if timeout is None:
            return None
        seconds = self.study.complete_seconds()
        folds = len(self.folds)
        # A fold trains on all but 1/folds of the cases; members are spread over the workers.
        member = max(seconds, default=0.0) / (folds - 1)
        rounds = -(-self.recipe.evaluation.ensemble // len(self.plan.devices))
        return self.began + timeout - min(member * rounds, timeout / 2)

    def _end_search(self) -> None:
        if self.assigned or not (self.stopped or self.study.is_complete()):
            return
        self.searching = False
        self.study.timed_out = self.recipe.search.timeout if self.stopped else None
        self.best = self.study.best()
        if self.best is None:
            last = self.study.last_reason()
            why = self.stopped or "every trial failed or was pruned"
            hint = "; give search.timeout more time" if self.stopped else ""
            self._fail(f"no trial was completed: {why}{f' ({last})' if last else ''}{hint}")

    def _fail(self, reason: str) -> None:
        self.failures.append(f"{self.unit.title}: {reason}")
        self.searching, self.scored = False, True
        self.to_fit.clear()

    def _member_task(self, number: int) -> Task:
        assert self.best is not None
        self.members_begun = self.members_begun or time.time()
        folder = self.scratch / f"{self.spec.identity}-{number}"
        arguments = (self.dataset.train, self.best.hyperparameters, derive_seed(self.spec.seed, 2, number), folder)
        return self._task(tasks.fit_member, "member", arguments, number=number)

    def _score_task(self) -> Task:
        assert self.best is not None
        metrics = {**self.best.scores, "search_seconds": self.members_begun - self.began}
        tags = {names.TRIAL: self.best.number, ENSEMBLE: self.recipe.evaluation.ensemble}
        members = [self.members[number] for number in sorted(self.members)]
        arguments = (self.records, members, self.dataset.test, metrics, tags, self.members_begun)
        return self._task(tasks.score_network, "score", arguments)

    def _baseline_task(self, name: str) -> Task:
        folds = self.folds if self.recipe.evaluation.cross_validate_baselines else []
        seed = self.recipe.search.seed + self.unit.resample
        return self._task(tasks.run_baseline, "baseline", (self.records, name, self.dataset, folds, seed), name)

    def _task(
        self,
        function: Callable[..., Any],
        kind: str,
        arguments: tuple[Any, ...],
        name: str = "",
        number: int = 0,
    ) -> Task:
        self.pending += 1
        return Task(function, arguments, _Key(self, kind, name, number))

    # What has come in

    def receive(self, message: Message) -> Iterator[str]:
        """Takes the end of one of its tasks; gives lines worth saying."""
        assert message.task is not None
        key: _Key = message.task.key
        self.pending -= 1
        if key.kind == "trial":
            self.assigned.discard(key.number)
        match message.kind, key.kind:
            case "result", "trial":
                yield from self._trial_ended(message.payload)
            case "result", "member":
                if message.payload is not None:
                    self.members[key.number] = message.payload
            case "result", _:
                yield from self._classifier_scored(message.payload)
            case "died", _:
                yield from self._worker_died(key, message.payload)
            case _:
                yield from self._task_raised(key, message)
        self._update()

    def _trial_ended(self, outcome: TrialOutcome | None) -> Iterator[str]:
        if outcome is None:
            return
        if outcome.state in ("complete", "pruned"):
            self.state.trial_seconds.append(outcome.seconds)
        elif outcome.state == "failed":
            yield f"{self.unit.title}: trial {outcome.trial} failed: {outcome.reason}"

    def _task_raised(self, key: _Key, message: Message) -> Iterator[str]:
        if key.kind == "trial":
            self._lose(key.number, message.payload)
        if key.kind == "baseline":
            self.failures.append(f"{self.unit.title}: {key.name}: {message.payload}")
        else:
            self._fail(f"{key.kind} {key.number}: {message.payload}")
        yield self.failures[-1] + (f"\n{message.details}" if message.details else "")

    def _classifier_scored(self, scored: tasks.Scored) -> Iterator[str]:
        if scored.classifier == names.NETWORK:
            self.state.test = scored.metrics[names.test("accuracy")]
        if scored.state == "skipped":
            yield f"{self.unit.title}: {scored.classifier} skipped: {scored.reason}"
        if scored.state == "failed":
            self.failures.append(f"{self.unit.title}: {scored.classifier} failed: {scored.reason}")
            yield self.failures[-1]

    def _worker_died(self, key: _Key, sentence: str) -> Iterator[str]:
        """Its task is done again, twice at most; a lost trial is queued again by the study itself."""
        if key.kind == "trial":
            self._lose(key.number, sentence)
            yield f"{self.unit.title}: {sentence}; trial {key.number} is tried again"
            return
        what = f"{key.kind} {key.name or key.number}"
        self.retries[what] = self.retries.get(what, 0) + 1
        if self.retries[what] > 2:
            self._fail(f"{what}: {sentence}, three times")
            yield self.failures[-1]
            return
        if key.kind == "member":
            self.to_fit.appendleft(key.number)
        elif key.kind == "baseline":
            self.baselines.appendleft(key.name)
        else:
            self.scored = False
        yield f"{self.unit.title}: {sentence}; {what} is done again"

    def _lose(self, number: int, reason: str) -> None:
        """Fails a trial that its worker left running, in Optuna and in MLflow."""
        if run := self.study.fail_lost(number, reason):
            self.plan.store.log(run, tags={names.STATE: "failed", names.REASON: reason})
            self.plan.store.end(run, "FAILED")

    def _update(self) -> None:
        counts, best = self.study.counts(), self.study.best()
        state = self.state
        state.ended = counts["complete"] + counts["pruned"] + counts["fail"]
        state.pruned = counts["pruned"]
        state.best = best.value if best else None
        state.steps_left = 0 if self.scored else self.recipe.evaluation.ensemble - len(self.members)
        if self.stopped:
            state.trials = state.ended
        state.stage = self._stage()

    def _stage(self) -> str:
        if self.finished:
            return "failed" if self.failures else "done"
        if self.searching:
            return "searching"
        if not self.scored:
            return "refitting"
        return "baselines" if self.baselines or self.pending else "scoring"

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return not (self.searching or self.pending or self.baselines) and self.scored

    def close(self, status: str = "FINISHED") -> None:
        """Ends the unit's runs, whichever still run, with their parent."""
        store = self.plan.store
        where = f"tags.`{names.STUDY}` = '{self.spec.identity}' and attributes.status = 'RUNNING'"
        for run in list(store.runs(self.recipe.name, where)):
            if run.run_id != self.spec.parent_run:
                store.end(run.run_id, "KILLED")
        best = self.study.best()
        metrics: dict[str, float] = {"trials": self.state.ended, "pruned_trials": self.state.pruned}
        if best is not None:
            metrics |= best.scores
        tags = {names.REASON: "; ".join(self.failures)} if self.failures else {}
        store.log(self.spec.parent_run, metrics, tags=tags)
        store.end(self.spec.parent_run, "FAILED" if self.failures else status)

    def interrupt(self) -> None:
        """Leaves nothing running: what was under way is told failed, its runs are ended."""
        for number in self.study.running():
            self.study.fail_lost(number, "the search was interrupted")
        self.close("KILLED")


def _with_budget(spec: StudySpec, plan: Plan) -> StudySpec:
    """The budgets may change between two calls of one study; everything else stays."""
    recipe = plan.loaded.recipe
    search = spec.search.model_copy(update={"trials": plan.trials, "timeout": recipe.search.timeout})
    return replace(spec, search=search)


def _yaml(tree: dict[str, Any]) -> str:
    from ruamel.yaml import YAML

    text = io.StringIO()
    yaml = YAML()
    yaml.default_flow_style = None
    yaml.dump(tree, text)
    return text.getvalue()


class BenchmarkRun:
    """A plan under way.

    Args:
        plan: what to do.
        display: shows how it goes.
        fresh: set earlier studies of these units aside and start anew.
    """

    def __init__(self, plan: Plan, display: Display, fresh: bool = False) -> None:
        self.plan = plan
        self.display = display
        self.fresh = fresh
        recipe = plan.loaded.recipe
        steps = recipe.evaluation.ensemble
        self.state = RunState(
            recipe.name,
            recipe.search.metric,
            [UnitState(unit.title, unit.size, plan.trials, steps_left=steps) for unit in plan.units],
            [WorkerState(device) for device in plan.devices],
        )
        self.open: list[_UnitRun] = []
        self.unopened = deque(zip(plan.units, self.state.units, strict=True))
        self.failures: list[str] = []

    def carry_out(self) -> list[str]:
        """Runs everything and returns what failed, one sentence each.

        Raises:
            KeyboardInterrupt: after the first Ctrl-C, when running trials were ended and recorded.
        """
        self.plan.store.prepare()
        if self.fresh:
            for unit in self.plan.units:
                Study.set_aside(unit.folder)
        scratch = Path(tempfile.mkdtemp(prefix="tsbench-"))
        try:
            with self.display, WorkerPool(self.plan.devices) as pool:
                try:
                    self._loop(pool, scratch)
                except KeyboardInterrupt:
                    self._drain(pool)
                    raise
        finally:
            for under_way in self.open:
                under_way.interrupt()
            shutil.rmtree(scratch, ignore_errors=True)
        return self.failures

    def _loop(self, pool: WorkerPool, scratch: Path) -> None:
        while True:
            for worker in list(pool.idle()):
                task = self._next_task(scratch)
                if task is None:
                    break
                self.state.workers[worker].text = _describe(task.key)
                pool.submit(worker, task)
            self._close_finished()
            self.display.update(self.state)
            if not (self.open or self.unopened):
                return
            for message in pool.wait(WAIT):
                self._receive(message)

    def _next_task(self, scratch: Path) -> Task | None:
        for unit in self.open:
            if task := unit.next_task():
                return task
        while self.unopened:
            unit = _UnitRun(self.plan, *self.unopened.popleft(), scratch)
            self.open.append(unit)
            for line in unit.warnings:
                self.display.say(line)
            if task := unit.next_task():
                return task
        return None

    def _receive(self, message: Message) -> None:
        worker = self.state.workers[message.worker]
        if message.task is None:
            if message.kind == "died":
                self.display.say(f"{message.payload} while idle; a new one takes its place")
            return
        key: _Key = message.task.key
        if message.kind == "progress":
            worker.text = _describe(key, message.payload)
            return
        worker.text = "idle"
        for line in key.unit.receive(message):
            self.display.say(line)

    def _close_finished(self) -> None:
        for unit in [one for one in self.open if one.finished]:
            unit.close()
            unit.state.stage = "failed" if unit.failures else "done"
            self.failures += unit.failures
            self.open.remove(unit)

    def _drain(self, pool: WorkerPool) -> None:
        """After Ctrl-C: lets running trials notice and record their end; a second Ctrl-C does not wait."""
        self.display.say("interrupted: ending what runs (Ctrl-C again to end at once)")
        pool.stop()
        deadline = time.monotonic() + 15
        try:
            while pool.busy and time.monotonic() < deadline:
                for message in pool.wait(WAIT):
                    self._receive(message)
                if all(task.key.kind == "baseline" for task in pool.busy):
                    break  # a third party's code does not hear the request
        except KeyboardInterrupt:
            pass


def _describe(key: _Key, progress: Any = None) -> str:
    """What a worker is at, for the display."""
    unit = key.unit.unit.title
    if isinstance(progress, TrialProgress):
        score = "" if progress.score is None else f", cv {progress.score:.4f}"
        return f"{unit}: trial {progress.trial}, epoch {progress.epoch}/{progress.epochs}{score}"
    what = {
        "trial": f"trial {key.number}",
        "member": f"final network {key.number + 1}",
        "score": "final network",
    }
    text = f"{unit}: {key.name or what[key.kind]}"
    return f"{text}, {progress.text}" if isinstance(progress, tasks.TaskProgress) else text
