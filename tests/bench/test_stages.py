"""What a cell gives its workers to do, and when; the tasks are run in this process."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.trial import TrialState

from tsbench.bench.cell_run import CellRun
from tsbench.bench.opening import archive_studies, check_roc_auc
from tsbench.bench.payloads import FittedMember, Scored
from tsbench.bench.plan import Plan, make_plan
from tsbench.bench.progress import CellState
from tsbench.bench.refit_stage import is_current
from tsbench.bench.search_report import write_report
from tsbench.bench.stages import TaskKey
from tsbench.bench.study_list import list_studies
from tsbench.classifiers.baselines import BASELINES
from tsbench.errors import DataError, SearchError
from tsbench.recipe.loading import load_recipe
from tsbench.recipe.schema import HyperparameterConfig, SearchConfig
from tsbench.studies.confirming import Confirmation
from tsbench.studies.outcome import TrialOutcome
from tsbench.studies.study import Study
from tsbench.studies.trials import LOST, RESULT
from tsbench.tracking.store import RunRecord
from tsbench.workers.protocol import Message, Task, WorkerContext

Write = Callable[..., Path]
PICTURES = "pictures of the search"
SPENT = "the study's time is spent"


def make(path: Path, *overrides: str) -> tuple[Plan, CellRun]:
    plan = make_plan(load_recipe(path, overrides, BASELINES))
    plan.store.connection.prepare()
    (cell,) = plan.cells
    return plan, CellRun(plan, cell, CellState(cell.title, cell.size, plan.trials, steps_left=2))


def next_task(run: CellRun) -> Task:
    task = run.next_task()
    assert task is not None
    return task


def early_task(run: CellRun) -> Task:
    task = run.refit.early_task()
    assert task is not None
    return task


def titles(run: CellRun) -> list[str]:
    """All tasks that can be started now."""
    return [task.key.title for task in iter(run.next_task, None)]


def receive(run: CellRun, task: Task, kind: str, payload: Any) -> list[str]:
    """Lets a run know what became of a task; returns what it says."""
    run.cell.notes.clear()
    run.receive(Message(0, kind, payload, task))
    return run.cell.notes


def perform(run: CellRun, *tasks: Task) -> None:
    """Does tasks as a worker would."""
    for task in tasks:
        module, _, name = task.function.partition(":")
        ours, theirs = Pipe()
        with ours, theirs:
            result = getattr(import_module(module), name)(WorkerContext("cpu", theirs), *task.arguments)
        assert receive(run, task, "result", result) == []


def raised(run: CellRun, task: Task) -> list[str]:
    return receive(run, task, "error", "it does not work")


def died(run: CellRun, task: Task) -> list[str]:
    return receive(run, task, "died", "worker 1 was ended by SIGKILL")


def two_trials(recipe_file: Write, first_is_better: bool) -> Path:
    """A recipe of two trials, of which one learns nothing."""
    # By a rate of a billionth nothing is learned; the features' classifier is trained along, not solved for.
    rates = (0.01, 1e-9) if first_is_better else (1e-9, 0.01)
    return recipe_file(
        ("training.learning_rate: {float: [1e-3, 1e-1], log: true}", "training.learning_rate: {choice: [0.01, 1e-9]}"),
        (
            "search: {trials: 4",
            f"search: {{enqueue: [{{training.learning_rate: {rates[0]}}}, "
            f"{{training.learning_rate: {rates[1]}}}], trials: 2",
        ),
        ("[dummy]", "[]"),
        ("features: {size: 84}", "features: {size: 84, head: gradient}"),
    )


@pytest.mark.parametrize("first_is_better", [True, False])
def test_while_the_last_trial_runs_idle_workers_begin_the_final_network(
    recipe_file: Write, first_is_better: bool
) -> None:
    _, run = make(two_trials(recipe_file, first_is_better))
    first, second = next_task(run), next_task(run)
    assert first.key == TaskKey("ItalyPowerDemand", "search", "trial 0", 0)
    assert second.key.title == "trial 1"
    assert run.next_task() is None
    assert run.refit.early_task() is None  # nothing is known yet

    perform(run, first)
    assert run.next_task() is None
    early = early_task(run)
    assert early.key == TaskKey("ItalyPowerDemand", "refit", "final network 1", 0, trial=0)
    perform(run, early, second)

    best = 0 if first_is_better else 1
    rest = [next_task(run) for _ in range(1 if first_is_better else 2)]
    assert [(begun.key.trial, begun.key.number) for begun in rest] == [(best, n) for n in range(2)][2 - len(rest) :]
    pictures = next_task(run)  # which need not wait for the network
    assert pictures.key.title == PICTURES
    assert run.next_task() is None
    perform(run, *rest, pictures)
    score = next_task(run)
    assert score.key.title == "final network"
    fitted = {key.number: member for key, member in run.refit.fitted.items() if key.trial == best}
    assert [member.train_loss for member in score.arguments[1].members] == [fitted[n].train_loss for n in range(2)]
    perform(run, score)
    report = next_task(run)
    assert report.key.title == "report"
    assert not run.finished
    perform(run, report)
    assert run.finished
    run.close()


Early = Callable[[bool], tuple[CellRun, Task, Task]]


@pytest.fixture
def early(recipe_file: Write) -> Early:
    """Makes a run whose last trial runs, that trial's task, and an early network's by the first trial."""

    def make_early(first_is_better: bool) -> tuple[CellRun, Task, Task]:
        _, run = make(two_trials(recipe_file, first_is_better))
        first, last = next_task(run), next_task(run)
        perform(run, first)
        assert run.next_task() is None
        member = early_task(run)
        assert (member.key.title, member.key.trial) == ("final network 1", 0)
        return run, last, member

    return make_early


def test_an_early_network_that_fails_is_begun_again_when_it_is_needed(early: Early) -> None:
    run, last, member = early(True)
    assert raised(run, member) == []
    assert run.refit.early_task() is None
    assert run.cell.failures == []
    perform(run, last)
    needed = next_task(run)
    assert needed.key == member.key
    assert raised(run, needed) == ["ItalyPowerDemand: final network 1: it does not work"]
    assert len(run.cell.failures) == 1
    assert run.refit.early_task() is None


def test_an_early_network_whose_worker_dies_three_times_waits_until_it_is_needed(early: Early) -> None:
    run, last, member = early(True)
    for _ in range(2):
        (line,) = died(run, member)
        assert line.endswith("SIGKILL; final network 1 is started again")
        assert early_task(run).key == member.key
    assert died(run, member) == []
    assert run.refit.early_task() is None
    perform(run, last)
    for deaths in range(3):
        assert run.cell.failures == [], deaths
        died(run, next_task(run))
    assert run.cell.failures == ["ItalyPowerDemand: final network 1: worker 1 was ended by SIGKILL, three times"]


def test_an_early_network_of_a_trial_that_is_surpassed_is_stopped_and_never_used(early: Early) -> None:
    run, last, member = early(False)
    other = early_task(run)
    assert not run.stop_reason(member.key)
    perform(run, last)
    needed = [next_task(run), next_task(run)]
    assert [task.key.trial for task in needed] == [1, 1]
    assert run.stop_reason(member.key)
    assert not any(run.stop_reason(task.key) for task in needed)
    perform(run, member)  # which had ended before it heard
    receive(run, other, "result", None)
    assert run.refit.members == []
    assert titles(run) == [PICTURES]
    perform(run, *needed)
    assert next_task(run).key.title == "final network"


def test_networks_of_a_cell_that_failed_are_stopped(early: Early) -> None:
    run, last, member = early(True)
    raised(run, last)
    assert run.stop_reason(member.key)
    assert run.refit.early_task() is None
    assert not run.finished
    receive(run, member, "result", None)
    assert titles(run) == [PICTURES]


def test_pictures_that_cannot_be_drawn_cost_nothing_else(recipe_file: Write) -> None:
    _, run = make(recipe_file(("trials: 4", "trials: 1"), ("ensemble: 2", "ensemble: 1"), ("[dummy]", "[]")))
    perform(run, next_task(run))
    member, pictures = next_task(run), next_task(run)
    assert raised(run, pictures) == ["ItalyPowerDemand: pictures of the search: it does not work"]
    perform(run, member)
    perform(run, next_task(run))
    report = next_task(run)
    for _ in range(2):
        (line,) = died(run, report)
        assert line.endswith("report is started again")
        report = next_task(run)
    died(run, report)
    assert run.finished
    run.update()
    assert run.state.test is not None
    assert [failure.partition(": ")[2] for failure in run.cell.failures] == [
        "pictures of the search: it does not work",
        "report: worker 1 was ended by SIGKILL, three times",
    ]


def test_a_score_whose_worker_died_is_done_again(early: Early) -> None:
    run, last, member = early(True)
    perform(run, last)
    for task in (member, next_task(run)):
        receive(run, task, "result", FittedMember({}, 1.0, [], "cpu", {}))
    score = next_task(run)
    assert titles(run) == [PICTURES]
    assert died(run, score) == ["ItalyPowerDemand: worker 1 was ended by SIGKILL; final network is started again"]
    assert next_task(run).key == score.key
    assert raised(run, score) == ["ItalyPowerDemand: final network: it does not work"]
    assert run.refit.done


def test_a_stage_that_is_stopped_begins_nothing_more(recipe_file: Write) -> None:
    _, run = make(recipe_file(), "search.trials=1", "baselines=[dummy, 1nn-ed]")
    stage = run.stages["baselines"]
    trial, baseline = next_task(run), next_task(run)
    assert (baseline.key.title, stage.steps_left) == ("dummy", 2)
    stage.stop("enough is known")
    assert run.next_task() is None
    assert run.stop_reason(baseline.key) == "enough is known"
    assert run.stop_reason(trial.key) == ""
    assert died(run, baseline) == []  # nor again
    assert stage.done


def test_a_search_that_was_killed_before_its_report_writes_it_when_it_is_continued(recipe_file: Write) -> None:
    path = recipe_file(("trials: 4", "trials: 1"), ("ensemble: 2", "ensemble: 1"))
    plan, run = make(path)
    while (task := next_task(run)).key.title != "report":
        perform(run, task)
    files = plan.store.artifacts.names(run.cell.records.parent)
    assert "learning_curves.png" in files
    assert "leaderboard.csv" not in files

    _, again = make(path)
    done = []
    while (task := again.next_task()) is not None:  # type: ignore[assignment]
        done.append(task.key.title)
        perform(again, task)
    assert done == [PICTURES, "report"]
    again.close()
    assert "leaderboard.csv" in plan.store.artifacts.names(run.cell.records.parent)

    _, once_more = make(path)
    assert once_more.next_task() is None
    assert once_more.finished
    assert once_more.state.stage == "done"
    once_more.close()


@dataclass
class Clock:
    """Stands for the time of day of a cell's time budget, and moves when it is told to."""

    now: float = 1_000_000.0

    def time(self) -> float:
        return self.now

    monotonic = time


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in ("opening", "time_budget"):
        monkeypatch.setattr(f"tsbench.bench.{module}.time", clock)
    return clock


def ends(run: CellRun, task: Task, seconds: float, state: str = "complete") -> None:
    """Tells that a trial has ended that took so long, in the study as its worker would have, and to the run."""
    study, number = run.cell.study, task.key.number
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
    receive(run, task, "result", TrialOutcome(number, state, 0.5, seconds))


def fitted(run: CellRun, task: Task) -> None:
    assert task.key.title.startswith("final network ")
    receive(run, task, "result", FittedMember({}, 1.0, [], "cpu", {}))


def test_before_any_trial_has_ended_enough_time_is_kept_for_one_network(recipe_file: Write, clock: Clock) -> None:
    _, run = make(recipe_file(), "search.timeout=60 s", "search.folds=3")
    first = next_task(run)
    clock.now += 39  # a network takes half of what a trial of three folds takes: 40 s and 20 s
    assert run.stop_reason(first.key) == ""
    clock.now += 2
    assert run.stop_reason(first.key) == SPENT
    ends(run, first, 41, "stopped")
    assert titles(run) == ["dummy", PICTURES]
    (failure,) = run.cell.failures
    assert failure.endswith("no trial was completed: the study's time is spent; give search.timeout more time")
    assert run.cell.notes == [failure]


def test_a_trial_that_was_begun_early_is_ended_when_others_show_how_long_a_refit_takes(
    recipe_file: Write, clock: Clock
) -> None:
    _, run = make(recipe_file(), "search.timeout=100 s", "search.folds=3")
    first, long = next_task(run), next_task(run)
    clock.now += 20
    ends(run, first, 20)
    clock.now += 59  # two networks, one after the other on one worker, take 2 x 10 s
    assert run.stop_reason(long.key) == ""
    clock.now += 2
    assert run.stop_reason(long.key) == SPENT
    ends(run, long, 81, "stopped")
    assert titles(run)[:2] == ["final network 1", "final network 2"]
    assert run.cell.notes == []


def test_a_timeout_that_leaves_too_little_time_means_fewer_networks(recipe_file: Write, clock: Clock) -> None:
    path = recipe_file(("ensemble: 2", "ensemble: 5"), ("[dummy]", "[]"))
    overrides = ("search.timeout=60 s", "search.folds=3")
    _, run = make(path, *overrides)
    first = next_task(run)
    clock.now += 34
    ends(run, first, 34)  # a network takes 17 s; 26 s are left
    member = next_task(run)
    assert run.refit.networks == 1
    (line,) = run.cell.notes
    assert line == ("ItalyPowerDemand: search.timeout leaves time for 1 of the 5 final networks (evaluation.ensemble)")
    fitted(run, member)
    score = next_task(run)
    assert score.key.title == "final network"
    tags = {key: str(value) for key, value in score.arguments[1].tags.items()}
    assert tags == {"tsbench.trial": "0", "tsbench.ensemble": "1", "tsbench.shortened_by": "60.0"}
    recorded = RunRecord("r", "network", "FINISHED", 0.0, 1.0, tags=tags)
    assert is_current(run.cell, recorded)  # the same command runs nothing
    _, longer = make(path, "search.timeout=90 s", "search.folds=3", "search.trials=1")
    assert not is_current(longer.cell, recorded)


def test_a_timeout_is_for_all_calls_together(recipe_file: Write, clock: Clock) -> None:
    overrides = ("search.timeout=100 s", "search.folds=3")
    _, run = make(recipe_file(), *overrides)
    first = next_task(run)
    clock.now += 30
    ends(run, first, 30)
    run.interrupt()
    clock.now += 10_000  # nobody searched
    _, run = make(recipe_file(), *overrides)
    second = next_task(run)
    assert second.key.title == "trial 1"
    clock.now += 39  # of 70 s, two networks take 30
    assert run.stop_reason(second.key) == ""
    clock.now += 2
    assert run.stop_reason(second.key) == SPENT
    ends(run, second, 41, "stopped")
    members = [next_task(run), next_task(run)]
    for task in members:
        clock.now += 15
        fitted(run, task)
    assert (run.cell.study.notes.search_seconds, run.cell.study.notes.seconds) == (71, 101)
    assert next_task(run).arguments[1].metrics["search_seconds"] == 71
    run.interrupt()
    _, run = make(recipe_file(), *overrides, "evaluation.ensemble=3")  # the search is over, the refit begins again
    assert next_task(run).key.title == "final network 1"
    assert run.cell.study.notes.search_seconds == 71


def test_a_first_trial_of_a_later_call_has_the_time_that_is_left(recipe_file: Write, clock: Clock) -> None:
    overrides = ("search.timeout=90 s", "search.folds=3")
    _, run = make(recipe_file(), *overrides)
    first = next_task(run)
    clock.now += 30
    ends(run, first, 30, "stopped")
    run.interrupt()
    _, run = make(recipe_file(), *overrides)
    again = next_task(run)
    clock.now += 39  # of 60 s, which are 40 s for a trial and 20 s for a network
    assert run.stop_reason(again.key) == ""
    clock.now += 2
    assert run.stop_reason(again.key) == SPENT


def test_networks_of_an_earlier_call_stay_where_there_is_no_time_for_as_many(
    recipe_file: Write, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = recipe_file(("ensemble: 2", "ensemble: 5"))
    overrides = ("search.timeout=60 s", "search.folds=3")
    _, run = make(path, *overrides, "search.trials=1")
    first = next_task(run)
    clock.now += 5
    ends(run, first, 5)
    for task in [next_task(run) for _ in range(5)]:
        clock.now += 10
        fitted(run, task)
    tags = {"tsbench.trial": "0", "tsbench.ensemble": "5"}
    recorded = {"network": RunRecord("r", "network", "FINISHED", 0.0, 1.0, tags=tags)}
    run.interrupt()
    monkeypatch.setattr(CellRun, "_recorded", lambda run: recorded)
    _, again = make(path, *overrides, "search.trials=8")
    assert not again.refit.ended  # more trials are asked for
    clock.now += 4
    assert next_task(again).key.title == "dummy"  # but no time is left, so that the best is the same
    assert again.refit.ended
    (line,) = again.cell.notes
    assert line == (
        "ItalyPowerDemand: search.timeout leaves time for 2 of the 5 final networks; keeping the recorded "
        "ensemble, which has at least as many networks of the same trial"
    )


def test_a_cell_at_whose_trials_worker_after_worker_dies_ends(recipe_file: Write) -> None:
    _, run = make(recipe_file(), "search.trials=100")
    lines = []
    while (task := run.next_task()) is not None and task.key.stage == "search":
        run.cell.study.queue.claim(task.key.number)
        lines += died(run, task)
    assert len(lines) == 30
    assert lines[0].endswith("trial 0 is tried again")
    (failure,) = run.cell.failures
    assert "30 workers died running its trials, and no trial ended meanwhile: worker 1 was ended by SIGKILL" in failure


def test_a_trial_that_a_killed_searchs_worker_took_late_is_tried_again(recipe_file: Write) -> None:
    _, run = make(recipe_file(), "search.trials=1", "baselines=[]")
    (number,) = run.cell.study.queue.refill()
    assert Study.open(run.cell.study.folder).queue.claim(number) is not None  # and was killed
    assert run.next_task() is None
    assert run.cell.study.trials().lost() == {0: "the search was killed"}
    assert next_task(run).key.number == 1


def test_a_study_that_lost_its_trials_is_a_sentence_and_can_be_begun_anew(recipe_file: Write) -> None:
    plan, run = make(recipe_file())
    run.interrupt()
    (run.cell.study.folder / "journal.log").unlink()
    with pytest.raises(SearchError, match=r"has lost its trials: .* journal.log; `fresh=True` starts a new one"):
        make(recipe_file())
    assert {run.status for run in plan.store.runs("tiny")} == {"KILLED"}
    archive_studies(plan)
    make(recipe_file())


def test_where_time_counts_baselines_and_other_studies_wait_for_the_refit(recipe_file: Write, clock: Clock) -> None:
    _, run = make(recipe_file(), "search.timeout=100 s", "search.folds=3", "search.trials=2")
    first, second = next_task(run), next_task(run)
    assert run.next_task() is None  # not the baseline
    assert not run.leaves_workers
    for task in (first, second):
        clock.now += 5
        ends(run, task, 5)
    members = [next_task(run)]
    assert not run.leaves_workers
    members.append(next_task(run))
    assert run.leaves_workers
    assert [task.key.stage for task in members] == ["refit", "refit"]
    assert next_task(run).key.title == "dummy"


def test_a_baseline_whose_worker_left_is_run_by_another(recipe_file: Write) -> None:
    _, run = make(recipe_file(), "search.trials=1")
    trial, baseline = next_task(run), next_task(run)
    assert (trial.key.title, baseline.key.title) == ("trial 0", "dummy")
    left = Scored("stopped", "the run was interrupted")
    assert receive(run, baseline, "result", left) == []
    assert next_task(run).key == baseline.key


def test_a_cell_that_cannot_be_begun_leaves_no_run_open(recipe_file: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    places = (
        "tsbench.bench.opening.Study.create",
        "tsbench.bench.opening.TimeBudget",
        "tsbench.bench.cell_run.is_current",
    )
    for place in places:
        with monkeypatch.context() as patch:
            patch.setattr(place, interrupted)
            with pytest.raises(KeyboardInterrupt):
                make(recipe_file())
    plan, run = make(recipe_file())
    assert [run.status for run in plan.store.runs("tiny")] == ["KILLED", "RUNNING"]  # the second was taken up again
    run.interrupt()


def test_a_new_search_ends_what_a_crash_left_open_of_the_old_one(recipe_file: Write) -> None:
    plan, run = make(recipe_file())
    task = next_task(run)
    assert run.cell.study.queue.claim(task.key.number) is not None
    folder = run.cell.study.folder
    archive_studies(plan)  # as the search that began it is gone
    assert not folder.exists()
    assert [run.status for run in plan.store.runs("tiny")] == ["KILLED"]
    (aside,) = folder.parent.glob("*/study.json")
    assert Study.open(aside.parent).trials().counts()["lost"] == 1
    (listed,) = list_studies(folder.parent.parent)
    assert listed.state == "archived"


def test_a_metric_that_a_fold_cannot_be_scored_by_is_refused_before_any_trial() -> None:
    labels = np.array(["a", "a", "b", "b", "c"])
    cases = [np.array(held_out) for held_out in ([0, 2, 4], [1, 3], [0, 1], [2, 3], [4])]
    sound = [(cases[0], cases[1])]
    search = SearchConfig(metric="roc_auc")
    check_roc_auc(search, labels, sound)
    with pytest.raises(DataError, match=r"roc_auc, which is not defined on fold 1: .* all of class 'a'; use"):
        check_roc_auc(search, labels, [*sound, (cases[3], cases[2])])
    with pytest.raises(DataError, match="fold 0: its validation cases are all of class 'a' or 'b'; use"):
        check_roc_auc(search, labels, [(cases[4], np.array([0, 2]))])


def confirming(recipe_file: Write, *overrides: str) -> tuple[Plan, CellRun]:
    """A run of three trials, the default first, all of which are scored again."""
    path = recipe_file(
        ("trials: 4", "trials: 3"),
        ("[dummy]", "[]"),
    )
    return make(path, "search.confirm=2", *overrides)


def scored_again(run: CellRun, task: Task, *scores: float, seconds: float = 1.0) -> list[str]:
    return receive(run, task, "result", Confirmation(scores, seconds, {"other_folds_accuracy": float(np.mean(scores))}))


def test_the_best_trials_are_scored_again_before_the_refit(recipe_file: Write) -> None:
    plan, run = confirming(recipe_file)
    perform(run, *(next_task(run) for _ in range(3)))
    again = [next_task(run) for _ in range(3)]
    assert (again[0].key.stage, again[0].key.title) == ("confirmation", "trial 0 on other folds")
    assert {task.key.number for task in again} == {0, 1, 2}
    assert run.next_task() is None
    run.update()
    assert run.state.stage == "confirming"
    perform(run, *again[:2])
    assert scored_again(run, again[2], 1.0, 1.0) == []
    member = next_task(run)
    best = again[2].key.number
    assert member.key == TaskKey("ItalyPowerDemand", "refit", "final network 1", 0, best)
    (line,) = run.cell.notes
    assert line.startswith(f"ItalyPowerDemand: trial {best} beats the default by ")
    trial = next(record for record in plan.store.runs("tiny") if record.tags.get("tsbench.trial") == "0")
    confirmed = {name: value for name, value in trial.metrics.items() if name.startswith("other_folds_")}
    assert {"other_folds_accuracy", "other_folds_log_loss"} <= set(confirmed)
    assert run.cell.study.notes.confirmed[0].metrics == confirmed
    assert confirmed["other_folds_accuracy"] == np.mean(run.cell.study.notes.confirmed[0].scores)
    assert confirmed["other_folds_log_loss"] != trial.metrics["cv_log_loss"]  # the folds and networks are others
    perform(run, member, *iter(run.next_task, None))
    score = next_task(run)
    assert score.arguments[1].tags["tsbench.choice"] == line.partition(": ")[2]
    assert score.arguments[1].metrics["other_folds_accuracy"] == 1.0
    perform(run, score)
    perform(run, next_task(run))
    run.close()
    (parent,) = [record for record in plan.store.runs("tiny") if record.tags["tsbench.role"] == "search"]
    assert f"Trial {best} beats the default by " in parent.tags["mlflow.note.content"]
    assert f"Trial {best} was refitted, with accuracy " in parent.tags["mlflow.note.content"]


def test_a_confirmation_that_was_interrupted_is_continued_and_chooses_the_same(recipe_file: Write) -> None:
    _, run = confirming(recipe_file)
    perform(run, *(next_task(run) for _ in range(3)))
    first, second, _ = (next_task(run) for _ in range(3))
    scored_again(run, first, 0.5, 0.6)
    receive(run, second, "result", None)  # its worker heard of the interruption
    run.interrupt()
    _, run = confirming(recipe_file)
    rest = [next_task(run), next_task(run)]
    assert first.key not in [task.key for task in rest]
    for task in rest:
        scored_again(run, task, 0.4, 0.6)
    assert next_task(run).key.trial == first.key.number == 0
    assert run.cell.notes == ["ItalyPowerDemand: no trial beat the default beyond chance; the default was kept"]
    run.interrupt()
    _, run = confirming(recipe_file)  # the choice stands, and only the refit is to be done
    assert next_task(run).key.stage == "refit"
    recorded = RunRecord("r", "network", "FINISHED", 0.0, 1.0, tags={"tsbench.trial": "0", "tsbench.ensemble": "2"})
    assert is_current(run.cell, recorded)
    run.interrupt()
    _, more = confirming(recipe_file, "search.confirm=1")
    assert is_current(more.cell, recorded)
    more.interrupt()
    _, without = confirming(recipe_file, "search.confirm=0")
    best = without.cell.study.trials().best()
    assert best is not None
    assert is_current(without.cell, recorded) == (best.number == 0)


def test_while_the_last_trial_runs_idle_workers_score_the_default_again(recipe_file: Write) -> None:
    _, run = confirming(recipe_file)
    first, second, last = (next_task(run) for _ in range(3))
    perform(run, first, second)
    assert run.next_task() is None
    early = [run.early_task(), run.early_task()]
    assert [task.key.title for task in early if task] == ["trial 0 on other folds", "trial 1 on other folds"]
    assert run.early_task() is None  # which configuration is refitted is not known
    perform(run, last)
    (rest,) = [next_task(run)]
    assert rest.key.title == "trial 2 on other folds"
    assert run.next_task() is None
    presumed = run.early_task()
    assert presumed is not None
    assert (presumed.key.stage, presumed.key.trial) == ("refit", 0)
    assert not any(run.stop_reason(task.key) for task in early if task)


def test_a_candidate_that_cannot_be_scored_again_drops_out(recipe_file: Write) -> None:
    _, run = confirming(recipe_file)
    perform(run, *(next_task(run) for _ in range(3)))
    tasks = {task.key.number: task for task in (next_task(run) for _ in range(3))}
    scored_again(run, tasks[0], 0.5, 0.6)
    (line,) = receive(run, tasks[1], "result", Confirmation((), 1.0, reason="DivergedError: the loss is NaN"))
    assert line.endswith("trial 1 on other folds failed: DivergedError: the loss is NaN")
    for _ in range(2):
        died(run, tasks[2])
        tasks[2] = next_task(run)
    (line,) = died(run, tasks[2])
    assert line.endswith("trial 2 on other folds: worker 1 was ended by SIGKILL, three times")
    assert next_task(run).key.trial is not None
    assert run.cell.failures == []


def test_scoring_again_counts_in_the_time_budget(recipe_file: Write, clock: Clock) -> None:
    """On one worker: 3 x 10 s for three candidates, and 2 x 5 s for two networks."""
    _, run = confirming(recipe_file, "search.timeout=200 s", "search.folds=3", "search.trials=9")
    first, second = next_task(run), next_task(run)
    clock.now += 10
    ends(run, first, 10)
    clock.now += 149
    assert run.stop_reason(second.key) == ""
    clock.now += 2
    assert run.stop_reason(second.key) == SPENT
    ends(run, second, 10)
    again = next_task(run)
    assert again.key.stage == "refit"  # both trials have the same settings, so that there is nothing to choose


@pytest.mark.parametrize(("timeout", "reserved"), [(400, 90), (300, 0)])
def test_scoring_again_on_held_out_parts_takes_as_many_times_as_long(
    recipe_file: Write, clock: Clock, timeout: int, reserved: int
) -> None:
    """On one worker: 3 x 3 x 10 s for three candidates, if that is a quarter of the time at most."""
    budget = (f"search.timeout={timeout} s", "search.folds=3", "search.holdout_above=20", "search.trials=9")
    _, run = confirming(recipe_file, *budget)
    first, second = next_task(run), next_task(run)
    clock.now += 10
    ends(run, first, 10)
    ((training, _),) = run.cell.folds
    network = 10 * len(run.cell.dataset.train) / len(training)
    clock.now += timeout - 10 - reserved - 2 * network - 1
    assert run.stop_reason(second.key) == ""
    clock.now += 2
    assert run.stop_reason(second.key) == SPENT


def test_what_time_left_unconfirmed_is_not_done_by_the_same_command_again(recipe_file: Write, clock: Clock) -> None:
    budget = ("search.timeout=60 s", "search.folds=3")
    _, run = confirming(recipe_file, *budget)
    trials = [next_task(run) for _ in range(3)]
    for task in trials:
        perform(run, task)
    again = [next_task(run), next_task(run)]
    scored_again(run, again[0], 0.5, 0.6)
    clock.now += 59.9
    assert run.stop_reason(again[1].key) == SPENT
    member = next_task(run)
    assert run.stop_reason(again[1].key) == "the configuration is chosen, or another trial is among the best"
    assert run.cell.notes[0].endswith(
        "search.timeout left too little time to score the best trials again on other folds"
    )
    scored_again(run, again[1], 1.0, 1.0)  # it had ended before it heard, and changes nothing any more
    recorded = RunRecord(
        "r", "network", "FINISHED", 0.0, 1.0, tags={"tsbench.trial": str(member.key.trial), "tsbench.ensemble": "2"}
    )
    assert is_current(run.cell, recorded)
    run.interrupt()
    _, longer = confirming(recipe_file, "search.timeout=90 s", "search.folds=3")
    assert not is_current(longer.cell, recorded)


def test_a_search_with_a_held_out_part_says_so(recipe_file: Write) -> None:
    plan, run = make(recipe_file(), "search.holdout_above=20", "baselines=[]")
    for task in [next_task(run), next_task(run)]:
        perform(run, task)
    trials = [record for record in plan.store.runs("tiny") if record.tags["tsbench.role"] == "trial"]
    assert [record.tags.get("tsbench.held_out_part") for record in trials] == [None, "1"]
    assert all("validated on a held-out part of the" in record.tags["mlflow.note.content"] for record in trials)
    write_report(run.cell.records, run.cell.study.folder)
    text = plan.store.run(run.cell.records.parent).tags["mlflow.note.content"]
    assert "by accuracy on a held-out part of the training cases: 2 trials completed" in text
    run.interrupt()


def test_a_trial_that_is_scored_on_folds_has_no_held_out_part(recipe_file: Write) -> None:
    plan, run = make(recipe_file(), "baselines=[]")
    for task in [next_task(run), next_task(run)]:
        perform(run, task)
    trials = [record for record in plan.store.runs("tiny") if record.tags["tsbench.role"] == "trial"]
    assert not any("tsbench.held_out_part" in record.tags for record in trials)
    assert all("validated on 2 folds of the" in record.tags["mlflow.note.content"] for record in trials)
    run.interrupt()


def test_the_report_says_that_trials_were_compared_only_if_they_were(recipe_file: Write) -> None:
    plan, run = confirming(recipe_file)
    for task in [next_task(run) for _ in range(3)]:
        ends(run, task, 1.0)
    notes, sentence = run.cell.study.notes, "The best trials and the default were scored again on other folds"
    notes.note_choice(1, "the best trial by its CV score was chosen, as too few could be scored again", None)
    found = []
    for number in range(2):
        notes.note_confirmed(number, Confirmation([0.5, 0.6], 1.0))
        write_report(run.cell.records, run.cell.study.folder)
        found.append(sentence in plan.store.run(run.cell.records.parent).tags["mlflow.note.content"])
    assert found == [False, True]
    run.interrupt()
