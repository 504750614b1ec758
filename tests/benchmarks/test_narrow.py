"""What the learning of the narrow portfolio computes from its records."""

import numpy as np

from tests.benchmarks.loop import KERNELS
from tests.benchmarks.narrow import DEFAULT, EPOCHS, GRID, design, interpolate, learn
from tests.benchmarks.regret import EPOCHS as JUDGED


def test_no_data_set_of_the_benchmark_teaches() -> None:
    assert not EPOCHS.keys() & JUDGED.keys()


def test_the_best_of_the_mean_is_learned_from_noisy_scores() -> None:
    chance = np.random.default_rng(0)
    records = [
        {
            "configuration": [kernels, dropout, rate],
            "accuracy": 0.9 - 0.2 * abs(np.log10(rate) + 2.5) - 0.1 * (kernels != KERNELS[1]) - dropout / 5 + noise,
        }
        for kernels, dropout, rate in design("BME")
        for noise in chance.normal(0, 0.005, 2)
    ]
    found = interpolate(records)
    assert len(found) == len(GRID) + 1
    kernels, dropout, rate = learn([found, found])
    assert kernels == KERNELS[1]
    assert dropout <= 0.1
    assert 10**-2.75 < rate < 10**-2.25


def test_a_configuration_counts_where_it_is_better_than_the_default() -> None:
    # The first is better by far on one data set and much worse on the other, where the default is kept.
    accuracies = np.full((2, len(GRID) + 1), 0.5)
    accuracies[:, 0] = 0.9, 0.0
    accuracies[:, 1] = 0.6, 0.6
    kernels, dropout, _ = learn(list(accuracies))
    assert (kernels, dropout) == (DEFAULT[0], 0.0)
    assert learn(list(accuracies))[2] == float(f"{GRID[0][2]:.1g}")
