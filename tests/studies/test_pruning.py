import math

import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from tsbench.recipe.schema import SearchConfig
from tsbench.studies.pruning import TrialPruner, pruning_note


def complete(scores: dict[int, float], **notes: float) -> FrozenTrial:
    return create_trial(
        state=TrialState.COMPLETE, value=list(scores.values())[-1], intermediate_values=scores, system_attrs=notes
    )


def curve(last: float) -> dict[int, float]:
    return {rung: last * rung / 10 for rung in range(1, 11)}


def verdicts(
    pruner: str, earlier: list[FrozenTrial], scores: dict[int, float], number: int = 8, **search: object
) -> list[int]:
    """The rungs at which the trial would be ended."""
    config = SearchConfig.model_validate({"trials": 20, "pruner": pruner, **search})
    asked = TrialPruner(config, "maximize", earlier, number)
    return [rung for rung, score in scores.items() if asked.verdict(rung, score)]


EARLIER = [
    complete(curve(last), completed_rung_0=last * 0.2, completed_rung_1=last * 0.6)
    for last in (0.6, 0.7, 0.8, 0.9, 0.95)
]


def test_the_median_of_the_earlier_trials_ends_what_is_behind_it() -> None:
    assert verdicts("median", EARLIER, curve(0.5))[0] == 2  # no trial is judged by its first
    assert verdicts("median", EARLIER, curve(0.97)) == []
    assert verdicts("median", EARLIER[:4], curve(0.1)) == []  # too few to compare with


def test_successive_halving_ends_what_is_not_in_the_best_third() -> None:
    assert verdicts("successive_halving", EARLIER, curve(0.8))[0] == 2  # as with the median
    assert verdicts("successive_halving", EARLIER, curve(0.99)) == []
    assert verdicts("successive_halving", [], curve(0.1)) == []


def test_what_halving_noted_with_a_trial_is_handed_on() -> None:
    pruner = TrialPruner(SearchConfig(trials=20, pruner="successive_halving"), "maximize", [], 0)
    assert pruner.verdict(1, 0.3) is None
    assert pruner.verdict(2, 0.4) is None
    assert pruner.verdict(6, 0.6) is None
    assert pruner.notes() == {"completed_rung_0": 0.4, "completed_rung_1": 0.6}


def test_hyperband_compares_within_a_bracket_drawn_by_the_trials_number() -> None:
    notes = {f"completed_rung_{number}": 0.9 for number in range(2)}
    earlier = [complete(curve(0.9), **notes)] * 12
    ended = {number: verdicts("hyperband", earlier, curve(0.1), number) for number in range(12, 30)}
    assert {rungs[0] for rungs in ended.values() if rungs} == {2, 6}  # its two brackets begin at these
    assert all(ended.values())


def test_wilcoxon_compares_folds_with_the_best_trials() -> None:
    best = complete({1: 0.9, 2: 0.91, 3: 0.92, 4: 0.93, 5: 0.94})
    assert verdicts("wilcoxon", [best], {1: 0.5, 2: 0.5, 3: 0.5, 4: 0.5, 5: 0.5}, folds=5) == [4, 5]
    assert verdicts("wilcoxon", [best], {1: 0.9, 2: 0.92, 3: 0.91, 4: 0.94, 5: 0.94}, folds=5) == []


def scored(*folds: float) -> FrozenTrial:
    """A complete trial of a configuration of its own."""
    name, value = f"x{folds}", sum(folds) / len(folds)
    scores = dict(enumerate(folds, 1))
    return create_trial(
        state=TrialState.COMPLETE,
        value=value,
        intermediate_values=scores,
        params={name: 0.0},
        distributions={name: FloatDistribution(0.0, 1.0)},
    )


def test_bound_ends_a_trial_that_perfect_scores_on_the_other_folds_could_not_bring_to_the_best() -> None:
    best, second = scored(0.9, 0.9, 0.9), scored(0.8, 0.9, 0.9)
    one = {"folds": 3, "confirm": 0}
    assert verdicts("bound", [best], {1: 0.69, 2: 1.0, 3: 1.0}, **one) == [1, 2]  # at most 2.69 of 2.7
    assert verdicts("bound", [best], {1: 0.7, 2: 1.0, 3: 1.0}, **one) == []  # it could still tie
    assert verdicts("bound", [best], {1: 0.8, 2: 0.85, 3: 0.1}, **one) == [2]  # after the last nothing is saved
    assert verdicts("bound", [second, best], {1: 0.69, 2: 1.0, 3: 1.0}, **one) == [1, 2]
    assert verdicts("bound", [], {1: 0.0, 2: 0.0, 3: 0.0}, **one) == []


def test_bound_leaves_as_many_as_are_confirmed_and_the_default_among_them() -> None:
    best, second = scored(0.9, 0.9, 0.9), scored(0.8, 0.8, 0.8)
    assert verdicts("bound", [best, second], {1: 0.5, 2: 0.8}, folds=3, confirm=1) == [2]  # 2.3 of 2.4
    assert verdicts("bound", [best, second], {1: 0.5, 2: 0.9}, folds=3, confirm=1) == []
    assert verdicts("bound", [best, best], {1: 0.0, 2: 0.0}, folds=3, confirm=1) == []  # one configuration
    assert verdicts("bound", [best, second], {1: 0.0, 2: 0.0}, folds=3, confirm=2) == []


def test_bound_knows_of_a_loss_that_0_is_best_and_of_folds_that_have_no_score() -> None:
    config = SearchConfig(trials=20, pruner="bound", metric="log_loss", confirm=0)
    for score, ends in ((0.99, False), (math.nan, False), (1.01, True)):
        asked = TrialPruner(config, "minimize", [scored(0.5, 0.5)], 8)
        assert (asked.verdict(1, score) is not None) == ends
    undefined = scored(0.9, 0.9, 0.9)
    undefined.intermediate_values[2] = math.nan  # as of roc_auc where a fold is of one class
    assert verdicts("bound", [undefined], {1: 0.81}, folds=3, confirm=0) == []
    assert verdicts("bound", [undefined], {1: 0.79}, folds=3, confirm=0) == [1]


def test_the_view_gives_trials_their_own_numbers() -> None:
    pruner = TrialPruner(SearchConfig(trials=20, pruner="hyperband"), "maximize", EARLIER, 11)
    assert [trial.number for trial in pruner._view.get_trials()] == list(range(12))
    assert pruner._stand_in.number == 11
    assert [trial.state for trial in pruner._view.get_trials()[5:11]] == [TrialState.FAIL] * 6


@pytest.mark.parametrize(
    ("pruner", "trials", "fits"),
    [("median", 12, True), ("median", 5, False), ("hyperband", 5, False), ("hyperband", 6, True), ("none", 1, True)],
)
def test_a_pruner_that_can_do_nothing_with_so_few_trials_is_reported(pruner: str, trials: int, fits: bool) -> None:
    note = pruning_note(SearchConfig(trials=trials, pruner=pruner), trials, 4)
    assert (note is None) == fits
    if note:
        assert note.startswith(f"search.pruner {pruner} will prune none of {trials} trials: ")


def test_the_smallest_budget_without_a_note_does_prune() -> None:
    """The note's limit is the pruner's own: the last trial of so many can be ended, with one fewer none can."""
    for trials, ends in ((6, True), (5, False)):
        config = SearchConfig(trials=trials, pruner="median")
        assert (pruning_note(config, trials, 4) is None) == ends
        asked = TrialPruner(config, "maximize", EARLIER[: trials - 4], trials - 1)
        assert any(asked.verdict(rung, 0.0) for rung in range(1, 11)) == ends


def test_without_a_pruner_nothing_ends() -> None:
    assert verdicts("none", EARLIER, curve(0.01)) == []
