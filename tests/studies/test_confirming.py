"""The choice between the default and the trials that were scored again on other folds."""

import math
from dataclasses import replace

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from tsbench.recipe.schema import HyperparameterConfig, SearchConfig
from tsbench.recipe.space import FloatRange, assign
from tsbench.studies.confirming import Confirmation, candidates, choose
from tsbench.studies.specification import StudySpec
from tsbench.studies.trials import FOLDS, INFEASIBLE, RESULT, Trials

BASE = HyperparameterConfig()


def trials_of(*scores: float | None, same: bool = False, **search: object) -> Trials:
    """A study whose trials have these CV scores, None for one that was pruned; the first is the default."""
    spec = StudySpec(
        identity="abc",
        recipe="tiny",
        dataset="UnitTest",
        resample=0,
        base=BASE,
        space={"model.dropout": FloatRange(0.0, 0.5)},
        search=SearchConfig.model_validate(search),
        concurrency=4,
        tracking_uri="sqlite:////nowhere/mlflow.db",
        experiment="1",
        parent_run="p",
    )
    found = []
    for number, score in enumerate(scores):
        settings = BASE if same else assign(BASE, {"model.dropout": 0.1 + 0.01 * number})
        trial = optuna.trial.create_trial(
            state=TrialState.PRUNED if score is None else TrialState.COMPLETE,
            value=score,
            user_attrs={
                "hyperparameters": settings.model_dump(mode="json"),
                RESULT: {"cv_accuracy": score, "cv_log_loss": 1.0, "seconds": 2.0, "reason": ""},
            },
        )
        trial.number = number
        found.append(trial)
    return Trials(found, spec)


def confirmed(**scores: list[float]) -> dict[int, Confirmation]:
    return {int(name[1:]): Confirmation(found, 3.0, {"other_folds_accuracy": 0.5}) for name, found in scores.items()}


def chosen(trials: Trials, count: int = 3, **scores: list[float]) -> tuple[int, str]:
    choice = choose(trials, count, confirmed(**scores))
    assert choice is not None
    return choice.trial.number, choice.sentence


def test_the_default_and_the_best_few_are_candidates() -> None:
    assert [trial.number for trial in candidates(trials_of(0.5, 0.9, 0.6, 0.8, 0.7), 2)] == [0, 1, 3]
    assert [trial.number for trial in candidates(trials_of(0.9, 0.5, 0.6), 2)] == [0, 2, 1]
    assert [trial.number for trial in candidates(trials_of(None, 0.5), 2)] == [0, 1]  # pruned, and yet the default


def test_there_are_no_candidates_where_nothing_can_be_chosen() -> None:
    assert candidates(trials_of(0.5, 0.9), 0) == []
    assert candidates(trials_of(0.5, None), 3) == []
    assert candidates(trials_of(0.5, 0.9, same=True), 3) == []
    assert choose(trials_of(None), 3, {}) is None
    assert chosen(trials_of(0.5, 0.9), 0) == (1, "")


def test_queued_configurations_come_before_the_default() -> None:
    trials = trials_of(0.9, 0.5, 0.6, enqueue=[{"model.dropout": 0.1}])
    assert [trial.number for trial in candidates(trials, 1)] == [1, 0]


def test_the_default_of_a_grid_is_the_combination_of_the_recipes_own_values() -> None:
    assert BASE.model.dropout == 0.1
    assert [trial.number for trial in candidates(trials_of(0.5, 0.9, 0.6, sampler="grid"), 1)] == [0, 1]
    trials = trials_of(0.5, 0.9, 0.6, sampler="grid")
    without = Trials(trials[1:], trials.spec)
    for number, trial in enumerate(without):
        trial.number = number
    assert [trial.number for trial in candidates(without, 3)] == [0, 1]
    choice = choose(without, 3, confirmed(t0=[0.7, 0.7], t1=[1.1, 1.2]))
    assert choice is not None
    assert choice.trial.number == 1
    assert choice.sentence == "trial 1 is the best of 2 on all its folds; the default is not among the trials"


def test_a_default_that_exceeds_a_constraint_is_no_candidate() -> None:
    trials = trials_of(None, 0.9, 0.8)
    trials[0].user_attrs[RESULT][INFEASIBLE] = True
    assert [trial.number for trial in candidates(trials, 3)] == [1, 2]
    assert chosen(trials, t1=[0.5, 0.5], t2=[0.7, 0.7])[0] == 2


def test_another_trial_is_chosen_if_it_is_better_beyond_the_standard_error() -> None:
    differences = np.array([0.01, 0.02, 0.024])
    default = np.array([0.80, 0.85, 0.90])
    error = differences.std(ddof=1) / math.sqrt(3)
    assert differences.mean() > error
    number, sentence = chosen(trials_of(0.8, 0.9), t0=list(default), t1=list(default + differences))
    assert number == 1
    assert sentence == f"trial 1 beats the default by 1.8 points (standard error {100 * error:.1f})"


def test_what_the_folds_have_in_common_does_not_count() -> None:
    """The scores of each candidate spread by far more than they differ."""
    assert chosen(trials_of(0.5, 0.9), t0=[0.1, 0.5, 0.9], t1=[0.12, 0.53, 0.92])[0] == 1


@pytest.mark.parametrize("rival", [[0.7, 0.8, 1.0], [0.8, 0.8, 0.9], [0.7, 0.8, 0.8], [math.nan] * 3])
def test_the_default_is_kept_where_the_difference_may_be_chance(rival: list[float]) -> None:
    number, sentence = chosen(trials_of(0.5, 0.9), t0=[0.8, 0.8, 0.9], t1=rival)
    assert number == 0
    assert sentence == "no trial beat the default beyond chance; the default was kept"


def test_the_best_of_those_that_beat_the_default_is_chosen() -> None:
    trials = trials_of(0.5, 0.9, 0.8, 0.7)
    scores = {"t0": [0.5, 0.6], "t1": [0.6, 0.71], "t2": [0.7, 0.81], "t3": [0.4, 1.0]}
    assert chosen(trials, **scores)[0] == 2
    assert chosen(trials, **{**scores, "t3": [0.5, 2.0]})[0] == 2  # the highest, but not beyond its standard error


def test_the_order_of_those_that_beat_the_default_is_by_all_of_their_folds() -> None:
    """Trial 1 has .90 and .60, trial 2 .84 and .64: the means over all folds are .75 and .74."""
    scores = {"t0": [0.5, 0.5], "t1": [0.6, 0.6], "t2": [0.64, 0.64]}
    assert chosen(trials_of(0.5, 0.9, 0.84), **scores)[0] == 1
    assert chosen(trials_of(0.5, 0.9, 0.88), **scores)[0] == 2  # .76
    losses = trials_of(0.9, 0.2, 0.3, metric="log_loss")
    assert chosen(losses, t0=[0.8, 0.8], t1=[0.5, 0.5], t2=[0.45, 0.45])[0] == 1  # .35 and .375


def test_a_held_out_part_counts_as_one_fold() -> None:
    trials = trials_of(0.5, 0.9, 0.84)
    for trial in trials:
        trial.set_user_attr(FOLDS, [[[[1, 0.3]], [[1, 0.9]]]])
    scores = {"t0": [0.5] * 3, "t1": [0.6] * 3, "t2": [0.64] * 3}
    assert chosen(trials, **scores)[0] == 2  # (3 * .64 + .84) / 4 = .69 for .675


@pytest.mark.parametrize(("folds", "seconds"), [(1, 1.0), (3, 3.0)])
def test_the_seconds_of_the_chosen_trial_are_those_of_its_own_folds(folds: int, seconds: float) -> None:
    """A confirmation of three folds took 3 s; with a held-out part a trial has one."""
    trials = trials_of(0.5, 0.9)
    for trial in trials:
        trial.set_user_attr(FOLDS, [[[[1, 0.3]], [[1, 0.9]]]] * folds)
    choice = choose(trials, 3, confirmed(t0=[0.5] * 3, t1=[0.6] * 3))
    assert choice is not None
    assert choice.trial.seconds == seconds


def test_studies_of_earlier_versions_order_by_the_other_folds_alone() -> None:
    trials = trials_of(0.5, 0.9, 0.84)
    earlier = Trials(trials, replace(trials.spec, pooled=False))
    assert chosen(earlier, t0=[0.5, 0.5], t1=[0.6, 0.6], t2=[0.64, 0.64])[0] == 2


def test_a_lower_log_loss_is_better() -> None:
    number, sentence = chosen(trials_of(0.9, 0.5, metric="log_loss"), t0=[0.5, 0.6], t1=[0.4, 0.51])
    assert number == 1
    assert sentence == "trial 1 beats the default by 0.095 in log loss (standard error 0.005)"
    assert chosen(trials_of(0.9, 0.5, metric="log_loss"), t0=[0.4, 0.51], t1=[0.5, 0.6])[0] == 0


def test_folds_of_repeats_count_once() -> None:
    scores = {0: Confirmation([0.5] * 4, 1.0, repeats=2), 1: Confirmation([0.5, 0.6, 0.7, 0.8], 1.0, repeats=2)}
    choice = choose(trials_of(0.5, 0.9), 3, scores)
    assert choice is not None
    error = np.std([0.0, 0.1, 0.2, 0.3], ddof=1) / math.sqrt(2)
    assert choice.sentence == f"trial 1 beats the default by 15.0 points (standard error {100 * error:.1f})"


def test_a_candidate_that_could_not_be_trained_drops_out() -> None:
    assert chosen(trials_of(0.5, 0.9, 0.8), t0=[0.5, 0.5], t1=[], t2=[0.6, 0.6])[0] == 2


def test_without_all_candidates_nothing_is_chosen_unless_time_is_up() -> None:
    trials = trials_of(0.5, 0.9, 0.8)
    known = confirmed(t0=[0.5, 0.5], t2=[0.6, 0.6])
    assert choose(trials, 3, known) is None
    cut = choose(trials, 3, known, whatever_is_known=True)
    assert cut is not None
    assert cut.trial.number == 2
    only_rivals = choose(trials, 3, confirmed(t1=[0.9, 0.9], t2=[0.6, 0.6]), whatever_is_known=True)
    assert only_rivals is not None
    assert (only_rivals.trial.number, only_rivals.metrics) == (1, {})
    assert only_rivals.sentence.startswith("the best trial by its CV score was chosen")
