import numpy as np
import pytest
import torch

from tsbench.nn.features.statistics import Statistics
from tsbench.recipe.schema import FeaturesConfig


def series(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 3 + 2


def statistics_of(channels=2):
    return Statistics(channels, 20, FeaturesConfig())


def expected(case):
    """The statistics of one case of shape (channels, steps), by NumPy."""
    steps = case.shape[1]
    slope = np.zeros(len(case))
    if steps > 1:
        slope = np.polyfit(np.linspace(-0.5, 0.5, steps), case.T, 1)[0]
    return np.concatenate([case.mean(1), case.std(1), case.min(1), case.max(1), slope])


@pytest.mark.parametrize("steps", [1, 2, 3, 20, 101])
def test_features_are_numpys(steps):
    x = series(3, 2, steps)
    assert statistics_of().width == 10
    np.testing.assert_allclose(statistics_of()(x), [expected(case) for case in x.numpy()], rtol=0, atol=1e-6)


def test_padded_steps_reach_none_of_them():
    lengths = [20, 1, 7, 2]
    valid = torch.arange(20) < torch.tensor(lengths)[:, None]
    x = series(4, 2, 20) + 5  # so that a padded 0 would be the minimum
    for padding in (0.0, 1e3):
        actual = statistics_of()(torch.where(valid[:, None], x, padding), valid)
        for case, length in enumerate(lengths):
            np.testing.assert_allclose(actual[case], expected(x[case, :, :length].numpy()), rtol=0, atol=1e-6)


def test_a_straight_line_has_its_rise_over_the_whole_series_as_slope():
    x = torch.linspace(1, 4, 31, dtype=torch.float64)[None, None]
    mean, deviation, low, high, slope = statistics_of(channels=1)(x)[0].tolist()
    assert (mean, low, high) == pytest.approx((2.5, 1, 4))
    assert slope == pytest.approx(3)
    assert deviation == pytest.approx(x.numpy().std())
