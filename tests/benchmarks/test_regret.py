"""What the benchmark of regret computes from its records."""

import numpy as np
import pytest

from tests.benchmarks.regret import (
    BUDGETS,
    PEER,
    TSBENCH,
    WORKERS,
    Results,
    aim,
    best_so_far,
    chosen,
    draw,
    key_of,
    luck_of_the_best,
    mean_and_error,
    table,
)
from tests.benchmarks.studied import named_settings
from tests.benchmarks.timetable import candidates_in_time, ends_of, trials_in_time
from tsbench.recipe.schema import SearchConfig

GOOD, MIDDLING, POOR = ({"model.dropout": value} for value in (0.1, 0.2, 0.3))
FRESH = {0.1: [0.9, 1.0], 0.2: [0.95, 0.85], 0.3: [0.8, 0.8]}


def search(seed, side, budget, incumbents, **more):
    record = {"dataset": "Toy", "seed": seed, "side": side, "budget": budget, "incumbents": incumbents}
    return record | {"seconds": 10.0, "trials": 24, "confirmed": 4} | more


def records(seeds=2):
    fresh = [
        {"dataset": "Toy", "configuration": {"model.dropout": dropout}, "fresh": accuracies}
        for dropout, accuracies in FRESH.items()
    ]
    found = []
    for seed in range(seeds):
        found.append(search(seed, PEER, 1.0, [[0.1, POOR], [0.5, MIDDLING if seed else POOR]]))
        for workers in WORKERS:
            for budget in BUDGETS:
                steps = [[0.2 * budget, POOR], [0.9 * budget, GOOD]]
                found.append(search(seed, TSBENCH, budget, steps, workers=workers))
    return fresh + found


def test_regret_is_the_difference_to_the_best_configuration_known_on_the_set():
    results = Results(records())
    assert results.cells == [("Toy", 0), ("Toy", 1)]
    assert results.best == {"Toy": pytest.approx(0.95)}
    assert results.regrets(PEER) == pytest.approx([15, 5])
    assert results.regrets(TSBENCH, 2, 0.25) == pytest.approx([0, 0])


def test_the_best_of_many_is_too_good_by_what_it_loses_on_a_split_that_did_not_choose_it():
    same = np.array([[0.9, 0.9, 0.9], [0.8, 0.8, 0.8]])
    assert luck_of_the_best(same) == pytest.approx(0)
    lucky = np.array([[1.0, 0.0], [0.0, 1.0]])  # each is best on one split and worst on the other
    assert luck_of_the_best(lucky) == pytest.approx(0.5)


def test_a_search_counts_when_all_that_it_might_have_chosen_was_evaluated():
    lines = records()
    unknown = lines[3]["incumbents"] + [[0.7, {"model.dropout": 0.4}]]
    results = Results([*lines[:3], lines[3] | {"incumbents": unknown}, *lines[4:]])
    assert results.cells == [("Toy", 1)]
    assert Results(lines[:-1]).cells == [("Toy", 0)]  # its quarter is missing


def test_the_curve_holds_what_would_have_been_chosen_then():
    record = search(0, TSBENCH, 1.0, [[0.2, POOR], [0.6, MIDDLING], [1.0, GOOD]])
    assert [chosen(record, share) for share in (0.1, 0.2, 0.5, 0.6, 1.0)] == [
        None,
        *map(key_of, (POOR, POOR, MIDDLING, GOOD)),
    ]
    results = Results(records())
    assert np.isnan(results.regrets(PEER, share=0.05)).all()
    assert results.regrets(PEER, share=0.3) == pytest.approx([15, 15])


def test_a_first_trial_that_takes_longer_than_the_budget_is_waited_for():
    assert chosen(search(0, TSBENCH, 0.25, [[0.3, POOR]]), 0.25) == key_of(POOR)


def test_the_loop_keeps_the_first_of_equal_trials():
    trials = [(1.0, 0.5, POOR), (2.0, 0.7, MIDDLING), (3.0, 0.7, GOOD)]
    assert best_so_far(trials) == [(1.0, POOR), (2.0, MIDDLING)]


def in_time(ended, complete, budget, confirm, workers=1):
    took = list(np.diff([0.0, *ended]))
    return trials_in_time(took, ended, complete, budget, confirm, workers)


def test_time_is_kept_for_the_confirmation_unless_it_takes_more_than_a_quarter():
    ended, complete = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], [True] * 8
    assert in_time(ended, complete, 8.0, confirm=0) == (set(range(8)), 8.0)
    assert in_time(ended, complete, 8.0, confirm=1) == (set(range(6)), 6.0)  # two trials of 1 s each
    assert in_time(ended, complete, 7.5, confirm=1) == (set(range(7)), 7.5)  # 2 s are more than a quarter
    assert in_time(ended, complete, 7.5, confirm=1, workers=2) == (set(range(6)), 6.5)  # side by side
    assert in_time([1.0, 1.5, 5.0], [True, False, True], 4.5, confirm=0) == ({0, 1}, 4.5)


def test_a_first_trial_longer_than_the_share_is_not_counted_and_no_time_is_kept():
    assert in_time([5.0], [True], 4.0, confirm=3) == (set(), 4.0)


def test_a_worker_takes_the_next_trial_when_it_is_free_and_the_trial_can_be_chosen():
    assert ends_of([1.0, 2.0, 3.0], 1, 4) == [1.0, 3.0, 6.0]
    assert ends_of([3.0, 1.0, 1.0, 1.0], 2, 4) == [3.0, 1.0, 2.0, 3.0]
    # The last one is chosen by the results of the first, two places before it.
    assert ends_of([5.0, 1.0, 1.0], 2, 2) == [5.0, 1.0, 6.0]
    assert trials_in_time([3.0, 1.0], [3.0, 1.0], [True, True], 2.0, 0, 2) == ({1}, 2.0)


def test_candidates_are_scored_again_as_far_as_there_is_time():
    assert candidates_in_time([1.0, 1.0, 1.0], 6.0, 7.5, 2) == [7.0, 7.0, None]


def test_differences_are_taken_in_pairs_without_the_luck_of_the_best():
    assert mean_and_error(np.array([1.0, 2.0, 3.0])) == (2.0, pytest.approx(1 / 3**0.5))
    results = Results(records())
    # The best of the first split has .85 on the second, that of the second .9 on the first.
    assert results.lucks() == pytest.approx([7.5, 7.5])
    text = table(results, {"Toy": key_of(MIDDLING)})
    assert "| the same time, two cores | 0.00 | -7.50 | -10.00 ± 5.00 | -8.75 ± 2.50 | 24 | 2 of 2 |" in text
    assert (
        "The aim, in the same time on two cores at most half of the peer's regret, was reached by 8.75 ± 2.50 points"
        in text
    )
    assert "| none: the recipe's own values | 5.00 | -2.50 | -5.00 ± 5.00 |" in text
    assert "| the peer | 10.00 | 2.50 | | | 24 | |" in text
    assert table(Results([]), {}) == "Not measured yet.\n"


def test_an_aim_is_missed_by_what_the_regret_exceeds_it():
    assert aim("so much", np.array([2.0, 3.0, 4.0])) == "The aim, so much, was missed by 3.00 ± 0.58 points."


def test_the_picture_is_drawn_from_the_first_choice_on(tmp_path):
    draw(Results(records()), tmp_path / "images" / "regret.svg")
    assert "<svg" in (tmp_path / "images" / "regret.svg").read_text()


def test_a_record_depends_on_a_setting_that_is_given_and_not_on_one_that_changes_nothing():
    plain = named_settings(SearchConfig())
    assert "constraints" not in plain
    assert plain["confirm"] == 3
    assert "constraints" in named_settings(SearchConfig.model_validate({"constraints": {"parameters": 9}}))
