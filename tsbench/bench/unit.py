"""One unit under way: decides what is to be done next, and takes what comes in."""

from __future__ import annotations

import time
import warnings
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tsbench.bench.model_files import few_of_each_class
from tsbench.bench.opening import check_roc_auc, end_runs, ended_on_error, mark_lost, open_study, unit_tags
from tsbench.bench.payloads import FinalNetwork, FittedMember, Records, Scored, preprocessing_params
from tsbench.bench.plan import Plan, Unit
from tsbench.bench.progress import UnitState
from tsbench.evaluation.resampling import Fold
from tsbench.recipe.schema import BaselineConfig
from tsbench.search.outcome import TrialOutcome
from tsbench.search.specification import derive_seed, folds_of, study_seed
from tsbench.search.trials import BestTrial
from tsbench.tracking import names
from tsbench.tracking.store import RunRecord
from tsbench.workers.protocol import Message, Task

__all__ = ["TaskKey", "UnitRun"]

ENSEMBLE = "tsbench.ensemble"  # tag of the final model: how many networks it averages
SHORTENED = "tsbench.shortened_by"  # tag of the final model: the timeout in seconds that left no time for all of them
MAX_RETRIES = 2  # of a task whose worker died
MAX_DEATHS = 30  # of workers, one after another, at trials of which none ends
SPENT = "the study's time is spent"
NOTE_TIME_EVERY = 5.0  # seconds between two notes of the time spent, which only a killed search needs
SLACK, LEAST_SLACK = 0.05, 5.0  # by how much of a timeout, and how many seconds at least, a refit may be late


@dataclass
class TaskKey:
    """How the supervisor knows a task."""

    unit: UnitRun
    kind: str  # trial, member, score, baseline, pictures or report
    name: str = ""  # of a baseline
    number: int = 0  # of a trial or member
    trial: int = 0  # whose configuration a member has

    @property
    def identity(self) -> tuple[str, str, int, int]:
        """What it is to do."""
        return self.kind, self.name, self.number, self.trial

    @property
    def title(self) -> str:
        """In words."""
        match self.kind:
            case "trial":
                return f"trial {self.number}"
            case "member":
                return f"final network {self.number + 1}"
            case "score":
                return "final network"
            case "pictures":
                return "pictures of the search"
        return self.name or self.kind


class UnitRun:
    """One unit under way: what it still needs, and what has come in."""

    def __init__(self, plan: Plan, unit: Unit, state: UnitState) -> None:
        self.plan, self.unit, self.state = plan, unit, state
        self.recipe = plan.loaded.recipe
        self.opened = time.time()
        self.dataset = plan.load(unit)
        self.news: list[str] = []  # lines worth saying
        if not self._is_easily_divided():
            _ = self.folds  # so that what there is to be said of them is said now
        if "roc_auc" in (self.recipe.search.metric, *self.recipe.search.trade_off):
            check_roc_auc(self.dataset.train.labels, self.folds)
        self.study, ended = open_study(plan, unit, self.dataset)
        self.spec = self.study.spec
        with ended_on_error(plan.store, self.spec.parent_run):
            self._resume(ended)

    # Beginning

    def _resume(self, ended: bool) -> None:
        spec = self.spec
        self.study.notes.set_budget(self.plan.trials)
        # As if earlier calls had just ended: a timeout is for all of them, and so are the seconds of the search.
        self.began = self.opened - self.study.notes.seconds
        self.search_began = self.opened - self.study.notes.search_seconds
        self.front: list[BestTrial] = []  # where several metrics are searched: the best compromises
        tags = unit_tags(self.plan, self.unit, spec.identity)
        self.records = Records(spec.tracking_uri, spec.experiment, spec.parent_run, tags)
        done = self._recorded()
        self.recorded = done.get(names.NETWORK)  # the final network of an earlier call
        self.baselines = deque(
            baseline for baseline in self.recipe.baselines if not self._is_current(done.get(baseline.name))
        )
        self.longest = max(self.study.trials().complete_seconds(), default=0.0)  # of the complete trials
        self.time_noted = time.monotonic()
        self.assigned: set[int] = set()  # trials that workers were told to run
        self.stopped = ""  # why the search ended before its trials were run
        self.best: BestTrial | None = None  # set when the search has ended
        self.search_ended = 0.0
        # By trial and number: those of another trial than the best were begun before the search had ended.
        self.fitting: set[tuple[int, int]] = set()
        self.fitted: dict[tuple[int, int], FittedMember] = {}
        self.failed_early: set[int] = set()  # trials whose members could not be fitted before the search had ended
        self.fitting_begun: dict[int, float] = {}  # by trial
        self.ensemble = self.recipe.evaluation.ensemble  # fewer where a timeout leaves no time for all
        self.scored = self._network_is_current(self.recorded)
        self.searching = not self.scored
        # Where an earlier call came to its end, and nothing is to be done, the report is there.
        self.drawn = self.scored and ended
        self.reported = self.drawn and not self.baselines
        self.failures: list[str] = []
        self.deaths = 0  # of workers at trials since one ended
        self.pending: Counter[str] = Counter()  # tasks that workers are at, by kind
        self.retries: Counter[tuple[str, str, int, int]] = Counter()
        self.changed = True  # since `update`
        self.update()

    def _is_easily_divided(self) -> bool:
        """Whether there can be no word about the folds, so that the first trials need not wait for scikit-learn."""
        train, search = self.dataset.train, self.recipe.search
        smallest = np.unique(train.labels, return_counts=True)[1].min()
        return (
            train.groups is None
            and search.fraction == 1
            and len(train) <= search.holdout_above
            and search.folds <= smallest
        )

    @cached_property
    def folds(self) -> list[Fold]:
        """Of the training cases.

        Raises:
            DataError: they cannot be divided.
        """
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            seed = study_seed(self.recipe.search, self.unit.resample)
            folds = folds_of(self.dataset.training_set(), self.recipe.search, seed)
        self.news += [f"{self.unit.title}: {warning.message}" for warning in caught]
        return folds

    def _recorded(self) -> dict[str, RunRecord]:
        """The finished network and baselines of this study, by classifier."""
        where = names.where({names.STUDY: self.spec.identity}, status="FINISHED")
        runs = self.plan.store.runs(self.recipe.name, where)
        return {r.tags[names.CLASSIFIER]: r for r in runs if r.tags.get(names.ROLE) in ("model", "baseline")}

    def _is_current(self, record: RunRecord | None) -> bool:
        """Whether a baseline's recorded run is what today's recipe leads to.

        A run on preprocessed cases, and one that was skipped, depend on `evaluation.baseline_preprocessing`, which the
        run holds; runs of versions without this setting do not hold it, so what they skipped is tried again.
        """
        if record is None:
            return False
        if record.tags.get(names.STATE) == "complete" and names.PREPROCESSING not in record.tags:
            return True
        asked = preprocessing_params(self.recipe.evaluation.baseline_preprocessing)
        return all(record.params.get(name) == value for name, value in asked.items())

    def _network_is_current(self, record: RunRecord | None) -> bool:
        """Whether the recorded network is the one that the finished search and today's recipe lead to."""
        if record is None or not (self.study.queue.is_complete() or self._time_is_spent()):
            return False
        best = self.study.trials().best()
        if record.tags.get(names.TRIAL) != str(best.number if best else None):
            return False
        networks, timeout = int(record.tags[ENSEMBLE]), self.recipe.search.timeout
        if networks < self.recipe.evaluation.ensemble and timeout is not None:
            return timeout <= float(record.tags.get(SHORTENED, 0))
        return networks == self.recipe.evaluation.ensemble

    def _time_is_spent(self) -> bool:
        ended_by, timeout = self.study.notes.timed_out, self.recipe.search.timeout
        return ended_by is not None and timeout is not None and timeout <= ended_by

    # What is to be done next

    def next_task(self) -> Task | None:
        """The unit's most urgent task that can be begun now."""
        if self.searching:
            if task := self._next_trial():
                return task
            self._end_search()
        if not self.searching and not self.scored:
            assert self.best is not None
            if task := self._next_member(self.best):
                return task
            if len(self.members) >= self.ensemble:
                self.scored = True
                return self._score_task()
        # Where time counts, a worker that is at a baseline would be missed when the refit begins.
        if self.baselines and not (self.searching and self.recipe.search.timeout is not None):
            return self._baseline_task(self.baselines.popleft())
        if not (self.searching or self.drawn):
            self.drawn = True
            return self._task("write_search_report", "pictures", (self.records, self.study.files))
        if self.scored and not (self.searching or self.pending.total() or self.reported):
            self.reported = True
            return self._task("write_report", "report", (self.records, self.study.files))
        return None

    def early_task(self) -> Task | None:
        """A member of the final network by the best trial so far, for a worker that else idles while the last run."""
        if not (self.searching and self.assigned) or self._must_stop() or not self.study.queue.is_filled():
            return None
        best = self.study.trials().best()
        return None if best is None or best.number in self.failed_early else self._next_member(best)

    def stop_reason(self, key: TaskKey) -> str:
        """Why a worker should end a task that it is at; empty where it should not."""
        if key.kind == "trial" and self._must_stop():
            return SPENT
        if key.kind == "member" and not self.searching and (self.scored or not self._is_of_best(key)):
            return "another trial is the best, or nothing can be scored"
        return ""

    @property
    def leaves_workers(self) -> bool:
        """Whether a study that is begun now takes no worker, and so no time, from this one's search and refit."""
        if self.searching or self.assigned:
            return False
        return self.scored or (self.best is not None and len(self._begun(self.best.number)) >= self.ensemble)

    def _is_of_best(self, key: TaskKey) -> bool:
        return self.best is not None and key.trial == self.best.number

    def _next_trial(self) -> Task | None:
        if self._must_stop():
            return None
        number = self._unassigned(self.study.queue.waiting())
        if number is None and (number := self._unassigned(self.study.queue.refill())) is None:
            if not self.assigned:  # a worker of a killed search took these, and was killed too
                for stray in self.study.trials().running():
                    self._lose(stray, "the search was killed")
            return None
        self.assigned.add(number)
        return self._task("run_trial", "trial", (self.study.files, number), number=number)

    def _unassigned(self, numbers: list[int]) -> int | None:
        return next((number for number in numbers if number not in self.assigned), None)

    def prefetch(self) -> None:
        """Chooses trials to come while the workers are busy, so that none waits for it."""
        if self.searching and not self._must_stop():
            self.study.queue.refill()

    def _must_stop(self) -> bool:
        deadline = self._deadline()
        if deadline is not None and time.time() > deadline:
            self.stopped = SPENT
        return bool(self.stopped)

    def _deadline(self) -> float | None:
        """When trials must end, in seconds since the epoch, with the refit's share of the time set aside."""
        timeout = self.recipe.search.timeout
        if timeout is None:
            return None
        if not self.longest:
            # One that ends now has taken all of this call, and must leave enough for one network of its settings.
            share = self._member_by_trial
            return (self.began + timeout + share * self.opened) / (1 + share)
        member = self.longest * self._member_by_trial
        rounds = -(-self.ensemble // self.plan.workers)  # members are spread over the workers
        return self.began + timeout - max(member, min(member * rounds, timeout / 2))

    @cached_property
    def _member_by_trial(self) -> float:
        """A member's training time by a trial's: it has all cases where the trial has each fold's training cases."""
        if self._is_easily_divided():
            return 1 / (self.recipe.search.folds - 1)
        return len(self.dataset.train) / sum(len(training) for training, _ in self.folds)

    def _networks_in_time(self, trial: int, seconds: float) -> int:
        """How many networks there is time for, one at least, by a trial and the seconds that it took."""
        timeout, asked = self.recipe.search.timeout, self.recipe.evaluation.ensemble
        if timeout is None:
            return asked
        begun = len(self._begun(trial))
        left = self.began + timeout - time.time() + max(LEAST_SLACK, SLACK * timeout)
        rounds = int(left / (seconds * self._member_by_trial))
        return min(asked, max(1, begun + max(0, rounds) * self.plan.workers))

    def _begun(self, trial: int) -> set[int]:
        """Numbers of the networks by a trial's settings that are fitted or being fitted."""
        return {number for fitted, number in (*self.fitting, *self.fitted) if fitted == trial}

    def _note_time(self, now: bool = False) -> None:
        if now or time.monotonic() - self.time_noted > NOTE_TIME_EVERY:
            self.time_noted = time.monotonic()
            searched = (self.search_ended or time.time()) - self.search_began
            self.study.notes.note_seconds(searched, time.time() - self.began)

    def _end_search(self) -> None:
        if self.assigned or not (self.stopped or self.study.queue.is_complete()):
            return
        self.searching = False
        self.search_ended = time.time()
        self._note_time(now=True)
        self.study.notes.note_timed_out(self.recipe.search.timeout if self.stopped else None)
        self.best = self.study.trials().best()
        if self.best is None:
            last = self.study.trials().last_reason()
            if self.stopped:
                self._fail(f"no trial was completed: {last or self.stopped}; give search.timeout more time")
            else:
                self._fail(f"no trial was completed: every trial failed or was pruned{f' ({last})' if last else ''}")
            return
        self.fitted = {key: member for key, member in self.fitted.items() if key[0] == self.best.number}
        self.ensemble = self._networks_in_time(self.best.number, self.best.seconds)
        asked = self.recipe.evaluation.ensemble
        if self.ensemble < asked:
            left = f"{self.unit.title}: search.timeout leaves time for {self.ensemble} of the {asked} final networks"
            if _networks_of(self.recorded, self.best.number) >= self.ensemble:
                self.scored = True
                self.news.append(
                    f"{left}; keeping the recorded ensemble, which has at least as many networks of the same trial"
                )
            else:
                self.news.append(f"{left} (evaluation.ensemble)")

    def _fail(self, reason: str) -> None:
        self.failures.append(f"{self.unit.title}: {reason}")
        self.searching, self.scored = False, True

    @property
    def members(self) -> list[FittedMember]:
        """Those of the final network that are fitted, by number, when the search has ended."""
        return [] if self.searching else [self.fitted[key] for key in sorted(self.fitted) if key[1] < self.ensemble]

    def _next_member(self, best: BestTrial) -> Task | None:
        for number in range(self.ensemble):
            key = (best.number, number)
            if key not in self.fitting and key not in self.fitted:
                self.fitting.add(key)
                self.fitting_begun.setdefault(best.number, time.time())
                arguments = (self.dataset.train, best.hyperparameters, derive_seed(self.spec.seed, 2, number))
                return self._task("fit_member", "member", arguments, number=number, trial=best.number)
        return None

    def _score_task(self) -> Task:
        assert self.best is not None
        tags: dict[str, Any] = {names.TRIAL: self.best.number, ENSEMBLE: len(self.members)}
        if len(self.members) < self.recipe.evaluation.ensemble:
            tags[SHORTENED] = self.recipe.search.timeout
        final = FinalNetwork(
            members=self.members,
            example=self.dataset.train.subset(few_of_each_class(self.dataset.train.labels)),
            test=self.dataset.test,
            cases=len(self.dataset.train),
            metric=self.recipe.search.metric,
            metrics={**self.best.scores, "search_seconds": self.search_ended - self.search_began},
            tags=tags,
            started=self.fitting_begun[self.best.number],
            register=self.recipe.tracking.register,
            trial_run=self.study.trials().run_of(self.best.number),
        )
        return self._task("score_network", "score", (self.records, final))

    def _baseline_task(self, baseline: BaselineConfig) -> Task:
        folds = self.folds if self.recipe.evaluation.cross_validate_baselines else []
        seed = self.recipe.search.seed + self.unit.resample
        arguments = (self.records, baseline, self.dataset, folds, seed, self.recipe.evaluation)
        return self._task("run_baseline", "baseline", arguments, baseline.name)

    def _task(
        self,
        function: str,
        kind: str,
        arguments: tuple[Any, ...],
        name: str = "",
        number: int = 0,
        trial: int = 0,
    ) -> Task:
        self.pending[kind] += 1
        return Task(f"tsbench.bench.tasks:{function}", arguments, TaskKey(self, kind, name, number, trial))

    # What has come in

    def receive(self, message: Message) -> Iterator[str]:
        """Takes the end of one of its tasks; gives lines worth saying."""
        assert message.task is not None
        key: TaskKey = message.task.key
        self.pending[key.kind] -= 1
        self.changed = True
        if key.kind == "trial":
            self.assigned.discard(key.number)
        if key.kind == "member":
            self.fitting.discard((key.trial, key.number))
        match message.kind, key.kind:
            case "result", "trial":
                yield from self._trial_ended(key.number, message.payload)
            case "result", "member":
                # None where its worker left, the run is interrupted, or another trial was better.
                if message.payload is not None and (self.searching or self._is_of_best(key)):
                    self.fitted[key.trial, key.number] = message.payload
                    self._note_time(now=not self.searching)
            case "result", "pictures" | "report":
                pass
            case "result", _:
                yield from self._classifier_scored(message.payload)
            case "died", _:
                yield from self._worker_died(key, message.payload)
            case _:
                yield from self._task_raised(key, message)

    def _trial_ended(self, number: int, outcome: TrialOutcome | None) -> Iterator[str]:
        self.deaths = 0
        if outcome is None:
            self._lose(number, "its worker had lost it")  # nothing to be done where it had ended
            return
        if outcome.state == "complete":
            self.longest = max(self.longest, outcome.seconds)
        if outcome.state in ("complete", "pruned"):
            self.state.trial_seconds.append(outcome.seconds)
        elif outcome.state == "failed":
            yield f"{self.unit.title}: trial {outcome.trial} failed: {outcome.reason}"

    def _task_raised(self, key: TaskKey, message: Message) -> Iterator[str]:
        if key.kind == "trial":
            self._lose(key.number, message.payload)
        if self._cannot_be_done(key, message.payload):
            yield self.failures[-1] + (f"\n{message.details}" if message.details else "")

    def _cannot_be_done(self, key: TaskKey, reason: str) -> bool:
        """Notes the failure of a task for good; False where it need not be done, as far as is known."""
        if key.kind == "member" and not self._is_of_best(key):
            self.failed_early.add(key.trial)
            del self.retries[key.identity]
            return False
        if key.kind in ("baseline", "pictures", "report"):
            self.failures.append(f"{self.unit.title}: {key.title}: {reason}")
        else:
            self._fail(f"{key.title}: {reason}")
        return True

    def _classifier_scored(self, scored: Scored) -> Iterator[str]:
        if scored.classifier == names.NETWORK:
            self.state.test = scored.metrics[names.test("accuracy")]
        if scored.state == "stopped":  # its worker left
            self._put_back(scored.classifier)
        if scored.state == "skipped":
            yield f"{self.unit.title}: {scored.classifier} skipped: {scored.reason}"
        if scored.preprocessing:
            yield f"{self.unit.title}: {scored.classifier} was given preprocessed cases: {scored.preprocessing}"
        if scored.state == "failed":
            self.failures.append(f"{self.unit.title}: {scored.classifier} failed: {scored.reason}")
            yield self.failures[-1]

    def _worker_died(self, key: TaskKey, sentence: str) -> Iterator[str]:
        """Its task is done again, twice at most; a lost trial is queued again by the study itself."""
        if key.kind == "trial":
            self._lose(key.number, sentence)
            self.deaths += 1
            if self.deaths < MAX_DEATHS:
                yield f"{self.unit.title}: {sentence}; trial {key.number} is tried again"
            elif self.searching:
                self._fail(f"{self.deaths} workers died at its trials, and none ended meanwhile: {sentence}")
                yield self.failures[-1]
            return
        self.retries[key.identity] += 1
        if self.retries[key.identity] > MAX_RETRIES:
            if self._cannot_be_done(key, f"{sentence}, three times"):
                yield self.failures[-1]
            return
        match key.kind:
            case "baseline":
                self._put_back(key.name)
            case "pictures":
                self.drawn = False
            case "report":
                self.reported = False
            case "score":
                self.scored = False
        if not self.stop_reason(key):
            yield f"{self.unit.title}: {sentence}; {key.title} is done again"

    def _put_back(self, baseline: str) -> None:
        self.baselines.extendleft(config for config in self.recipe.baselines if config.name == baseline)

    def _lose(self, number: int, reason: str) -> None:
        """Fails a trial that its worker left running, in Optuna and in MLflow."""
        mark_lost(self.study, self.plan.store, [number], reason)

    def update(self) -> None:
        """Notes the time it took, and, where something has come in, for the display how far it is."""
        if not self.scored:
            self._note_time()
        if not self.changed:
            return
        self.changed = False
        counts, best = self.study.trials().counts(), self.study.trials().best()
        state = self.state
        state.ended = counts["complete"] + counts["pruned"] + counts["fail"]
        state.pruned = counts["pruned"]
        state.best = best.value if best else None
        members = 0 if self.scored else max(0, self.ensemble - len(self.members))
        state.steps_left = members + len(self.baselines) + self.pending["baseline"]
        if (timeout := self.recipe.search.timeout) is not None:
            state.time_left = self.began + timeout - time.time()
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
        if self.pending["score"]:
            return "scoring"
        return "baselines" if self.baselines or self.pending["baseline"] else "reporting"

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return not (self.searching or self.pending.total() or self.baselines) and self.scored and self.reported

    def close(self, status: str = "FINISHED") -> None:
        """Ends the unit's runs, whichever still run, with their parent."""
        store = self.plan.store
        end_runs(store, self.spec)
        self.update()
        best = self.study.trials().best()
        self.front = self.study.pareto_front()
        metrics: dict[str, float] = {"trials": self.state.ended, "pruned_trials": self.state.pruned}
        if best is not None:
            metrics |= best.scores
        tags = {names.REASON: "; ".join(self.failures)} if self.failures else {}
        store.log(self.spec.parent_run, metrics, tags=tags)
        store.end(self.spec.parent_run, "FAILED" if self.failures else status)

    def interrupt(self) -> None:
        """Leaves nothing running: running tasks are marked as failed, its runs are ended.

        Raises:
            SearchError: the study's database is away; the runs were ended all the same, as after any other error.
        """
        try:
            if not self.scored:
                self._note_time(now=True)
            mark_lost(self.study, self.plan.store, self.study.trials().running(), "the search was interrupted")
            self.close("KILLED")
        except Exception:
            end_runs(self.plan.store, self.spec, with_parent=True)
            raise


def _networks_of(record: RunRecord | None, trial: int) -> int:
    """How many networks a recorded model averages, where they are of this trial; else none."""
    return int(record.tags[ENSEMBLE]) if record is not None and record.tags.get(names.TRIAL) == str(trial) else 0
