"""What a unit gives its workers to do, and when; the tasks are carried out in this process."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import Pipe
from pathlib import Path

import numpy as np
import pytest
from optuna.trial import TrialState

from tsbench.bench.opening import check_roc_auc, put_aside
from tsbench.bench.payloads import FittedMember, Scored
from tsbench.bench.plan import Plan, make_plan
from tsbench.bench.progress import UnitState
from tsbench.bench.study_list import list_studies
from tsbench.bench.unit import UnitRun
from tsbench.classifiers.baselines import BASELINES
from tsbench.errors import DataError, SearchError
from tsbench.recipe.loading import load_recipe
from tsbench.recipe.schema import HyperparameterConfig
from tsbench.search.outcome import TrialOutcome
from tsbench.search.study import Study
from tsbench.search.trials import LOST, RESULT
from tsbench.tracking.store import RunRecord
from tsbench.workers.protocol import Message, Task, WorkerContext

Write = Callable[..., Path]


def make(path: Path, *overrides: str) -> tuple[Plan, UnitRun]:
    plan = make_plan(load_recipe(path, overrides, BASELINES))
    plan.store.connection.prepare()
    (unit,) = plan.units
    return plan, UnitRun(plan, unit, UnitState(unit.title, unit.size, plan.trials, steps_left=2))


@pytest.fixture
def run_task() -> Iterator[Callable[[UnitRun, Task], None]]:
    """Does a task as a worker would, and tells the unit of its end."""
    ours, theirs = Pipe()
    context = WorkerContext("cpu", theirs)

    def run(unit: UnitRun, task: Task) -> None:
        module, _, name = task.function.partition(":")
        result = getattr(import_module(module), name)(context, *task.arguments)
        assert list(unit.receive(Message(0, "result", result, task))) == []

    with ours, theirs:
        yield run


def next_task(unit: UnitRun) -> Task:
    task = unit.next_task()
    assert task is not None
    return task


def two_trials(recipe_file: Write, first_is_better: bool) -> Path:
    """A recipe of two trials, of which one learns nothing."""
    # By a rate of a billionth nothing is learned.
    rates = (0.01, 1e-9) if first_is_better else (1e-9, 0.01)
    return recipe_file(
        ("training.learning_rate: {float: [1e-3, 1e-1], log: true}", "training.learning_rate: {choice: [0.01, 1e-9]}"),
        (
            "search: {trials: 4",
            f"search: {{enqueue: [{{training.learning_rate: {rates[0]}}}, "
            f"{{training.learning_rate: {rates[1]}}}], trials: 2",
        ),
        ("[dummy]", "[]"),
    )


@pytest.mark.parametrize("first_is_better", [True, False])
def test_while_the_last_trial_runs_idle_workers_begin_the_final_network(
    recipe_file: Write, run_task: Callable[[UnitRun, Task], None], first_is_better: bool
) -> None:
    _, unit = make(two_trials(recipe_file, first_is_better))
    first, second = next_task(unit), next_task(unit)
    assert [(begun.key.kind, begun.key.number) for begun in (first, second)] == [("trial", 0), ("trial", 1)]
    assert unit.next_task() is None
    assert unit.early_task() is None  # nothing is known yet

    run_task(unit, first)
    assert unit.next_task() is None
    early = unit.early_task()
    assert early is not None
    assert (early.key.kind, early.key.trial, early.key.number) == ("member", 0, 0)
    run_task(unit, early)
    run_task(unit, second)

    best = 0 if first_is_better else 1
    rest = [next_task(unit) for _ in range(1 if first_is_better else 2)]
    assert [(begun.key.trial, begun.key.number) for begun in rest] == [(best, n) for n in range(2)][2 - len(rest) :]
    pictures = next_task(unit)  # which need not wait for the network
    assert pictures.key.kind == "pictures"
    assert unit.next_task() is None
    for task in [*rest, pictures]:
        run_task(unit, task)
    score = next_task(unit)
    assert score.key.kind == "score"
    assert [member.train_loss for member in score.arguments[1].members] == [
        unit.fitted[best, number].train_loss for number in range(2)
    ]
    run_task(unit, score)
    report = next_task(unit)
    assert report.key.kind == "report"
    assert not unit.finished
    run_task(unit, report)
    assert unit.finished
    unit.close()


def raised(unit: UnitRun, task: Task) -> list[str]:
    return list(unit.receive(Message(0, "error", "it does not work", task)))


def died(unit: UnitRun, task: Task) -> list[str]:
    return list(unit.receive(Message(0, "died", "worker 1 was ended by SIGKILL", task)))


@pytest.fixture
def early(
    recipe_file: Write, run_task: Callable[[UnitRun, Task], None]
) -> Callable[[bool], tuple[UnitRun, Task, Task]]:
    """Makes a unit whose last trial runs, that trial's task, and an early member's by the first trial."""

    def make_early(first_is_better: bool) -> tuple[UnitRun, Task, Task]:
        _, unit = make(two_trials(recipe_file, first_is_better))
        first, last = next_task(unit), next_task(unit)
        run_task(unit, first)
        assert unit.next_task() is None
        member = unit.early_task()
        assert member is not None
        assert (member.key.kind, member.key.trial, member.key.number) == ("member", 0, 0)
        return unit, last, member

    return make_early


Early = Callable[[bool], tuple[UnitRun, Task, Task]]


def test_an_early_member_that_fails_is_begun_again_when_it_is_needed(
    early: Early, run_task: Callable[[UnitRun, Task], None]
) -> None:
    unit, last, member = early(True)
    assert raised(unit, member) == []
    assert unit.early_task() is None
    assert unit.failures == []
    run_task(unit, last)
    needed = next_task(unit)
    assert needed.key == member.key
    assert raised(unit, needed) == ["ItalyPowerDemand: final network 1: it does not work"]
    assert len(unit.failures) == 1
    assert unit.early_task() is None


def test_an_early_member_whose_worker_dies_three_times_waits_until_it_is_needed(
    early: Early, run_task: Callable[[UnitRun, Task], None]
) -> None:
    unit, last, member = early(True)
    for _ in range(2):
        (line,) = died(unit, member)
        assert line.endswith("SIGKILL; final network 1 is done again")
        again = unit.early_task()
        assert again is not None
        assert again.key == member.key
    assert died(unit, member) == []
    assert unit.early_task() is None
    run_task(unit, last)
    for deaths in range(3):
        assert unit.failures == [], deaths
        died(unit, next_task(unit))
    assert unit.failures == ["ItalyPowerDemand: final network 1: worker 1 was ended by SIGKILL, three times"]


def test_an_early_member_of_a_trial_that_is_surpassed_is_stopped_and_never_used(
    early: Early, run_task: Callable[[UnitRun, Task], None]
) -> None:
    unit, last, member = early(False)
    other = unit.early_task()
    assert other is not None
    assert not unit.stop_reason(member.key)
    run_task(unit, last)
    needed = [next_task(unit), next_task(unit)]
    assert [task.key.trial for task in needed] == [1, 1]
    assert unit.stop_reason(member.key)
    assert not any(unit.stop_reason(task.key) for task in needed)
    run_task(unit, member)  # which had ended before it heard
    list(unit.receive(Message(0, "result", None, other)))
    assert unit.members == []
    assert next_task(unit).key.kind == "pictures"
    assert unit.next_task() is None
    for task in needed:
        run_task(unit, task)
    assert next_task(unit).key.kind == "score"


def test_members_of_a_unit_that_failed_are_stopped(early: Early) -> None:
    unit, last, member = early(True)
    raised(unit, last)
    assert unit.stop_reason(member.key)
    assert unit.early_task() is None
    assert not unit.finished
    list(unit.receive(Message(0, "result", None, member)))
    assert [task.key.kind for task in iter(unit.next_task, None)] == ["pictures"]


def test_pictures_that_cannot_be_drawn_cost_nothing_else(
    recipe_file: Write, run_task: Callable[[UnitRun, Task], None]
) -> None:
    _, unit = make(recipe_file(("trials: 4", "trials: 1"), ("ensemble: 2", "ensemble: 1"), ("[dummy]", "[]")))
    run_task(unit, next_task(unit))
    member, pictures = next_task(unit), next_task(unit)
    (line,) = raised(unit, pictures)
    assert line == "ItalyPowerDemand: pictures of the search: it does not work"
    run_task(unit, member)
    run_task(unit, next_task(unit))
    report = next_task(unit)
    for _ in range(2):
        (line,) = died(unit, report)
        assert line.endswith("report is done again")
        report = next_task(unit)
    died(unit, report)
    assert unit.finished
    assert unit.state.test is not None
    assert [failure.partition(": ")[2] for failure in unit.failures] == [
        "pictures of the search: it does not work",
        "report: worker 1 was ended by SIGKILL, three times",
    ]


def test_a_search_that_was_killed_before_its_report_writes_it_when_it_is_continued(
    recipe_file: Write, run_task: Callable[[UnitRun, Task], None]
) -> None:
    path = recipe_file(("trials: 4", "trials: 1"), ("ensemble: 2", "ensemble: 1"))
    plan, unit = make(path)
    while (task := next_task(unit)).key.kind != "report":
        run_task(unit, task)
    files = plan.store.artifacts.names(unit.spec.parent_run)
    assert "learning_curves.png" in files
    assert "leaderboard.csv" not in files

    _, again = make(path)
    kinds = []
    while (task := again.next_task()) is not None:
        kinds.append(task.key.kind)
        run_task(again, task)
    assert kinds == ["pictures", "report"]
    again.close()
    assert "leaderboard.csv" in plan.store.artifacts.names(unit.spec.parent_run)

    _, once_more = make(path)
    assert once_more.next_task() is None
    assert once_more.finished
    once_more.close()


@dataclass
class Clock:
    """Stands for the time of day in a unit, and moves when it is told to."""

    now: float = 1_000_000.0

    def time(self) -> float:
        return self.now

    monotonic = time


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("tsbench.bench.unit.time", clock)
    return clock


def ends(unit: UnitRun, task: Task, seconds: float, state: str = "complete") -> None:
    """Tells that a trial has ended that took so long, in the study as its worker would have, and to the unit."""
    study, number = unit.study, task.key.number
    trial = study.queue.claim(number)
    assert trial is not None
    trial.set_user_attr("hyperparameters", HyperparameterConfig().model_dump(mode="json"))
    trial.set_user_attr(RESULT, {"cv_accuracy": 0.5, "cv_log_loss": 1.0, "seconds": seconds, "reason": ""})
    if state == "stopped":
        trial.set_user_attr(LOST, "the study's time is spent")
    values = [0.5] if state == "complete" else None
    study.storage.set_trial_state_values(
        trial._trial_id, TrialState.COMPLETE if state == "complete" else TrialState.FAIL, values
    )
    list(unit.receive(Message(0, "result", TrialOutcome(number, state, 0.5, seconds), task)))


def fitted(unit: UnitRun, task: Task) -> None:
    assert task.key.kind == "member"
    list(unit.receive(Message(0, "result", FittedMember({}, 1.0, [], "cpu", {}), task)))


SPENT = "the study's time is spent"


def test_before_any_trial_has_ended_enough_time_is_kept_for_one_network(recipe_file: Write, clock: Clock) -> None:
    _, unit = make(recipe_file(), "search.timeout=60 s", "search.folds=3")
    first = next_task(unit)
    clock.now += 39  # a network takes half of what a trial of three folds takes: 40 s and 20 s
    assert unit.stop_reason(first.key) == ""
    clock.now += 2
    assert unit.stop_reason(first.key) == SPENT
    ends(unit, first, 41, "stopped")
    assert [task.key.kind for task in iter(unit.next_task, None)] == ["baseline", "pictures"]
    (failure,) = unit.failures
    assert failure.endswith("no trial was completed: the study's time is spent; give search.timeout more time")


def test_a_trial_that_was_begun_early_is_ended_when_others_show_how_long_a_refit_takes(
    recipe_file: Write, clock: Clock
) -> None:
    _, unit = make(recipe_file(), "search.timeout=100 s", "search.folds=3")
    first, long = next_task(unit), next_task(unit)
    clock.now += 20
    ends(unit, first, 20)
    clock.now += 59  # two networks, one after the other on one worker, take 2 x 10 s
    assert unit.stop_reason(long.key) == ""
    clock.now += 2
    assert unit.stop_reason(long.key) == SPENT
    ends(unit, long, 81, "stopped")
    members = [next_task(unit), next_task(unit)]
    assert [task.key.kind for task in members] == ["member", "member"]
    assert unit.news == []


def test_a_timeout_that_leaves_too_little_time_means_fewer_networks(recipe_file: Write, clock: Clock) -> None:
    path = recipe_file(("ensemble: 2", "ensemble: 5"), ("[dummy]", "[]"))
    overrides = ("search.timeout=60 s", "search.folds=3")
    _, unit = make(path, *overrides)
    first = next_task(unit)
    clock.now += 34
    ends(unit, first, 34)  # a network takes 17 s; 26 s are left
    member = next_task(unit)
    assert member.key.kind == "member"
    assert unit.ensemble == 1
    (line,) = unit.news
    assert line == ("ItalyPowerDemand: search.timeout leaves time for 1 of the 5 final networks (evaluation.ensemble)")
    fitted(unit, member)
    score = next_task(unit)
    assert score.key.kind == "score"
    tags = {key: str(value) for key, value in score.arguments[1].tags.items()}
    assert tags == {"tsbench.trial": "0", "tsbench.ensemble": "1", "tsbench.shortened_by": "60.0"}
    recorded = RunRecord("r", "network", "FINISHED", 0.0, 1.0, tags=tags)
    assert unit._network_is_current(recorded)  # the same command runs nothing
    _, longer = make(path, "search.timeout=90 s", "search.folds=3", "search.trials=1")
    assert not longer._network_is_current(recorded)


def test_a_timeout_is_for_all_calls_together(recipe_file: Write, clock: Clock) -> None:
    overrides = ("search.timeout=100 s", "search.folds=3")
    _, unit = make(recipe_file(), *overrides)
    first = next_task(unit)
    clock.now += 30
    ends(unit, first, 30)
    unit.interrupt()
    clock.now += 10_000  # nobody searched
    _, unit = make(recipe_file(), *overrides)
    second = next_task(unit)
    assert second.key.kind == "trial"
    clock.now += 39  # of 70 s, two networks take 30
    assert unit.stop_reason(second.key) == ""
    clock.now += 2
    assert unit.stop_reason(second.key) == SPENT
    ends(unit, second, 41, "stopped")
    members = [next_task(unit), next_task(unit)]
    for task in members:
        clock.now += 15
        fitted(unit, task)
    assert (unit.study.notes.search_seconds, unit.study.notes.seconds) == (71, 101)
    assert next_task(unit).arguments[1].metrics["search_seconds"] == 71
    unit.interrupt()
    _, unit = make(recipe_file(), *overrides, "evaluation.ensemble=3")  # the search is over, the refit begins anew
    assert next_task(unit).key.kind == "member"
    assert unit.study.notes.search_seconds == 71


def test_a_first_trial_of_a_later_call_has_the_time_that_is_left(recipe_file: Write, clock: Clock) -> None:
    overrides = ("search.timeout=90 s", "search.folds=3")
    _, unit = make(recipe_file(), *overrides)
    first = next_task(unit)
    clock.now += 30
    ends(unit, first, 30, "stopped")
    unit.interrupt()
    _, unit = make(recipe_file(), *overrides)
    again = next_task(unit)
    clock.now += 39  # of 60 s, which are 40 s for a trial and 20 s for a network
    assert unit.stop_reason(again.key) == ""
    clock.now += 2
    assert unit.stop_reason(again.key) == SPENT


def test_networks_of_an_earlier_call_stay_where_there_is_no_time_for_as_many(
    recipe_file: Write, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = recipe_file(("ensemble: 2", "ensemble: 5"))
    overrides = ("search.timeout=60 s", "search.folds=3")
    _, unit = make(path, *overrides, "search.trials=1")
    first = next_task(unit)
    clock.now += 5
    ends(unit, first, 5)
    for task in [next_task(unit) for _ in range(5)]:
        clock.now += 10
        fitted(unit, task)
    tags = {"tsbench.trial": "0", "tsbench.ensemble": "5"}
    recorded = {"network": RunRecord("r", "network", "FINISHED", 0.0, 1.0, tags=tags)}
    unit.interrupt()
    monkeypatch.setattr(UnitRun, "_recorded", lambda unit: recorded)
    _, again = make(path, *overrides, "search.trials=8")
    assert not again.scored  # more trials are asked for
    clock.now += 4
    assert next_task(again).key.kind == "baseline"  # but no time is left, so that the best is the same
    assert again.scored
    (line,) = again.news
    assert line == (
        "ItalyPowerDemand: search.timeout leaves time for 2 of the 5 final networks; keeping the recorded "
        "ensemble, which has at least as many networks of the same trial"
    )


def test_a_unit_at_whose_trials_worker_after_worker_dies_ends(recipe_file: Write) -> None:
    _, unit = make(recipe_file(), "search.trials=100")
    lines = []
    while (task := unit.next_task()) is not None and task.key.kind == "trial":
        unit.study.queue.claim(task.key.number)
        lines += died(unit, task)
    assert len(lines) == 30
    assert lines[0].endswith("trial 0 is tried again")
    (failure,) = unit.failures
    assert "30 workers died at its trials, and none ended meanwhile: worker 1 was ended by SIGKILL" in failure


def test_a_trial_that_a_killed_searchs_worker_took_late_is_tried_again(recipe_file: Write) -> None:
    _, unit = make(recipe_file(), "search.trials=1", "baselines=[]")
    (number,) = unit.study.queue.refill()
    assert Study.open(unit.study.folder).queue.claim(number) is not None  # and was killed
    assert unit.next_task() is None
    assert unit.study.trials().lost() == {0: "the search was killed"}
    assert next_task(unit).key.number == 1


def test_a_study_that_lost_its_trials_is_a_sentence_and_can_be_begun_anew(recipe_file: Write) -> None:
    plan, unit = make(recipe_file())
    unit.interrupt()
    (unit.study.folder / "journal.log").unlink()
    with pytest.raises(SearchError, match=r"has lost its trials: .* journal.log any more; --fresh begins a new one"):
        make(recipe_file())
    assert {run.status for run in plan.store.runs("tiny")} == {"KILLED"}
    put_aside(plan, plan.units[0])
    make(recipe_file())


def test_where_time_counts_baselines_and_other_studies_wait_for_the_refit(recipe_file: Write, clock: Clock) -> None:
    _, unit = make(recipe_file(), "search.timeout=100 s", "search.folds=3", "search.trials=2")
    first, second = next_task(unit), next_task(unit)
    assert unit.next_task() is None  # not the baseline
    assert not unit.leaves_workers
    for task in (first, second):
        clock.now += 5
        ends(unit, task, 5)
    members = [next_task(unit)]
    assert not unit.leaves_workers
    members.append(next_task(unit))
    assert unit.leaves_workers
    assert [task.key.kind for task in members] == ["member", "member"]
    assert next_task(unit).key.kind == "baseline"


def test_a_baseline_whose_worker_left_is_run_by_another(recipe_file: Write) -> None:
    _, unit = make(recipe_file(), "search.trials=1")
    trial, baseline = next_task(unit), next_task(unit)
    assert (trial.key.kind, baseline.key.kind) == ("trial", "baseline")
    left = Scored("dummy", "stopped", {}, "the run was interrupted")
    assert list(unit.receive(Message(0, "result", left, baseline))) == []
    again = next_task(unit)
    assert (again.key.kind, again.key.name) == ("baseline", "dummy")


def test_a_unit_that_cannot_be_begun_leaves_no_run_open(recipe_file: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    for place in ("tsbench.search.study.Study.create", "tsbench.bench.unit.UnitRun._resume"):
        with monkeypatch.context() as patch:
            patch.setattr(place, interrupted)
            with pytest.raises(KeyboardInterrupt):
                make(recipe_file())
    plan, unit = make(recipe_file())
    assert [run.status for run in plan.store.runs("tiny")] == ["KILLED", "RUNNING"]  # the second was taken up again
    unit.interrupt()


def test_a_new_search_ends_what_a_crash_left_open_of_the_old_one(recipe_file: Write) -> None:
    plan, unit = make(recipe_file())
    task = next_task(unit)
    assert unit.study.queue.claim(task.key.number) is not None
    folder = unit.study.folder
    put_aside(plan, plan.units[0])  # as the search that began it is gone
    assert not folder.exists()
    assert [run.status for run in plan.store.runs("tiny")] == ["KILLED"]
    (aside,) = folder.parent.glob("*/study.json")
    assert Study.open(aside.parent).trials().counts()["lost"] == 1
    (listed,) = list_studies(folder.parent.parent)
    assert listed.state == "set aside"


def test_a_metric_that_a_fold_cannot_be_scored_by_is_refused_before_any_trial() -> None:
    labels = np.array(["a", "a", "b", "b", "c"])
    cases = [np.array(held_out) for held_out in ([0, 2, 4], [1, 3], [0, 1], [2, 3], [4])]
    sound = [(cases[0], cases[1])]
    check_roc_auc(labels, sound)
    with pytest.raises(DataError, match=r"roc_auc, which is not defined on fold 1: .* all of class 'a'; take"):
        check_roc_auc(labels, [*sound, (cases[3], cases[2])])
    with pytest.raises(DataError, match="fold 0: its validation cases are all of class 'a' or 'b'; take"):
        check_roc_auc(labels, [(cases[4], np.array([0, 2]))])
