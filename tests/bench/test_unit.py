"""What a unit gives its workers to do, and when; the tasks are carried out in this process."""

from collections.abc import Callable, Iterator
from importlib import import_module
from multiprocessing import Pipe
from pathlib import Path

import numpy as np
import pytest

from tsbench.bench.plan import Plan, make_plan
from tsbench.bench.progress import UnitState
from tsbench.bench.unit import UnitRun, _check_roc_auc
from tsbench.classifiers.baselines import BASELINES
from tsbench.errors import DataError
from tsbench.recipe.loading import load_recipe
from tsbench.search.launchers.protocol import Message, Task, WorkerContext

Write = Callable[..., Path]


def make(path: Path, *overrides: str) -> tuple[Plan, UnitRun]:
    plan = make_plan(load_recipe(path, overrides, BASELINES))
    plan.store.prepare()
    (unit,) = plan.units
    return plan, UnitRun(plan, unit, UnitState(unit.title, unit.size, plan.trials, steps_left=2))


@pytest.fixture
def carry_out() -> Iterator[Callable[[UnitRun, Task], None]]:
    """Does a task as a worker would, and tells the unit of its end."""
    ours, theirs = Pipe()
    context = WorkerContext("cpu", theirs)

    def carry_out(unit: UnitRun, task: Task) -> None:
        module, _, name = task.function.partition(":")
        result = getattr(import_module(module), name)(context, *task.arguments)
        assert list(unit.receive(Message(0, "result", result, task))) == []

    with ours, theirs:
        yield carry_out


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
    recipe_file: Write, carry_out: Callable[[UnitRun, Task], None], first_is_better: bool
) -> None:
    _, unit = make(two_trials(recipe_file, first_is_better))
    first, second = next_task(unit), next_task(unit)
    assert [(one.key.kind, one.key.number) for one in (first, second)] == [("trial", 0), ("trial", 1)]
    assert unit.next_task() is None
    assert unit.early_task() is None  # nothing is known yet

    carry_out(unit, first)
    assert unit.next_task() is None
    early = unit.early_task()
    assert early is not None
    assert (early.key.kind, early.key.trial, early.key.number) == ("member", 0, 0)
    carry_out(unit, early)
    carry_out(unit, second)

    best = 0 if first_is_better else 1
    rest = [next_task(unit) for _ in range(1 if first_is_better else 2)]
    assert [(one.key.trial, one.key.number) for one in rest] == [(best, n) for n in range(2)][2 - len(rest) :]
    pictures = next_task(unit)  # which need not wait for the network
    assert pictures.key.kind == "pictures"
    assert unit.next_task() is None
    for task in [*rest, pictures]:
        carry_out(unit, task)
    score = next_task(unit)
    assert score.key.kind == "score"
    assert [member.train_loss for member in score.arguments[1].members] == [
        unit.fitted[best, number].train_loss for number in range(2)
    ]
    carry_out(unit, score)
    report = next_task(unit)
    assert report.key.kind == "report"
    assert not unit.finished
    carry_out(unit, report)
    assert unit.finished
    unit.close()


def raised(unit: UnitRun, task: Task) -> list[str]:
    return list(unit.receive(Message(0, "error", "it does not work", task)))


def died(unit: UnitRun, task: Task) -> list[str]:
    return list(unit.receive(Message(0, "died", "worker 1 was ended by signal SIGKILL", task)))


@pytest.fixture
def early(
    recipe_file: Write, carry_out: Callable[[UnitRun, Task], None]
) -> Callable[[bool], tuple[UnitRun, Task, Task]]:
    """Makes a unit whose last trial runs, that trial's task, and an early member's by the first trial."""

    def make_early(first_is_better: bool) -> tuple[UnitRun, Task, Task]:
        _, unit = make(two_trials(recipe_file, first_is_better))
        first, last = next_task(unit), next_task(unit)
        carry_out(unit, first)
        assert unit.next_task() is None
        member = unit.early_task()
        assert member is not None
        assert (member.key.kind, member.key.trial, member.key.number) == ("member", 0, 0)
        return unit, last, member

    return make_early


Early = Callable[[bool], tuple[UnitRun, Task, Task]]


def test_an_early_member_that_fails_is_begun_again_when_it_is_needed(
    early: Early, carry_out: Callable[[UnitRun, Task], None]
) -> None:
    unit, last, member = early(True)
    assert raised(unit, member) == []
    assert unit.early_task() is None
    assert unit.failures == []
    carry_out(unit, last)
    needed = next_task(unit)
    assert needed.key == member.key
    assert raised(unit, needed) == ["ItalyPowerDemand: final network 1: it does not work"]
    assert len(unit.failures) == 1
    assert unit.early_task() is None


def test_an_early_member_whose_worker_dies_three_times_waits_until_it_is_needed(
    early: Early, carry_out: Callable[[UnitRun, Task], None]
) -> None:
    unit, last, member = early(True)
    for _ in range(2):
        (line,) = died(unit, member)
        assert line.endswith("signal SIGKILL; final network 1 is done again")
        again = unit.early_task()
        assert again is not None
        assert again.key == member.key
    assert died(unit, member) == []
    assert unit.early_task() is None
    carry_out(unit, last)
    for deaths in range(3):
        assert unit.failures == [], deaths
        died(unit, next_task(unit))
    assert unit.failures == ["ItalyPowerDemand: final network 1: worker 1 was ended by signal SIGKILL, three times"]


def test_an_early_member_of_a_trial_that_is_surpassed_is_stopped_and_never_used(
    early: Early, carry_out: Callable[[UnitRun, Task], None]
) -> None:
    unit, last, member = early(False)
    other = unit.early_task()
    assert other is not None
    assert not unit.is_dropped(member.key)
    carry_out(unit, last)
    needed = [next_task(unit), next_task(unit)]
    assert [task.key.trial for task in needed] == [1, 1]
    assert unit.is_dropped(member.key)
    assert not any(unit.is_dropped(task.key) for task in needed)
    carry_out(unit, member)  # which had ended before it heard
    list(unit.receive(Message(0, "result", None, other)))
    assert unit.members == []
    assert next_task(unit).key.kind == "pictures"
    assert unit.next_task() is None
    for task in needed:
        carry_out(unit, task)
    assert next_task(unit).key.kind == "score"


def test_members_of_a_unit_that_failed_are_stopped(early: Early) -> None:
    unit, last, member = early(True)
    raised(unit, last)
    assert unit.is_dropped(member.key)
    assert unit.early_task() is None
    assert not unit.finished
    list(unit.receive(Message(0, "result", None, member)))
    assert [task.key.kind for task in iter(unit.next_task, None)] == ["pictures"]


def test_pictures_that_cannot_be_drawn_cost_nothing_else(
    recipe_file: Write, carry_out: Callable[[UnitRun, Task], None]
) -> None:
    _, unit = make(recipe_file(("trials: 4", "trials: 1"), ("ensemble: 2", "ensemble: 1"), ("[dummy]", "[]")))
    carry_out(unit, next_task(unit))
    member, pictures = next_task(unit), next_task(unit)
    (line,) = raised(unit, pictures)
    assert line == "ItalyPowerDemand: pictures of the search: it does not work"
    carry_out(unit, member)
    carry_out(unit, next_task(unit))
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
        "report: worker 1 was ended by signal SIGKILL, three times",
    ]


def test_a_search_that_was_killed_before_its_report_writes_it_when_it_is_continued(
    recipe_file: Write, carry_out: Callable[[UnitRun, Task], None]
) -> None:
    path = recipe_file(("trials: 4", "trials: 1"), ("ensemble: 2", "ensemble: 1"))
    plan, unit = make(path)
    while (task := next_task(unit)).key.kind != "report":
        carry_out(unit, task)
    files = plan.store.files(unit.spec.parent_run)
    assert "learning_curves.png" in files
    assert "leaderboard.csv" not in files

    _, again = make(path)
    kinds = []
    while (task := again.next_task()) is not None:
        kinds.append(task.key.kind)
        carry_out(again, task)
    assert kinds == ["pictures", "report"]
    again.close()
    assert "leaderboard.csv" in plan.store.files(unit.spec.parent_run)

    _, once_more = make(path)
    assert once_more.next_task() is None
    assert once_more.finished
    once_more.close()


def test_a_metric_that_a_fold_cannot_be_scored_by_is_refused_before_any_trial() -> None:
    labels = np.array(["a", "a", "b", "b", "c"])
    cases = [np.array(one) for one in ([0, 2, 4], [1, 3], [0, 1], [2, 3], [4])]
    sound = [(cases[0], cases[1])]
    _check_roc_auc(labels, sound)
    with pytest.raises(DataError, match=r"roc_auc, which is not defined on fold 1: .* all of class 'a'; take"):
        _check_roc_auc(labels, [*sound, (cases[3], cases[2])])
    with pytest.raises(DataError, match="fold 0: its validation cases are all of class 'a' or 'b'; take"):
        _check_roc_auc(labels, [(cases[4], np.array([0, 2]))])
