from itertools import combinations

import numpy as np
import pytest
import torch

from tsbench.nn.features.minirocket import MiniRocket
from tsbench.recipe.schema import FeaturesConfig

KERNELS = np.full((84, 9), -1.0)
for number, triple in enumerate(combinations(range(9), 3)):
    KERNELS[number, list(triple)] = 2.0


def series(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def masked(x, lengths):
    valid = torch.arange(x.shape[2]) < torch.tensor(lengths)[:, None]
    return x * valid[:, None], valid


def block_of(length, channels=1, size=500):
    return MiniRocket(channels, length, FeaturesConfig(size=size)).double()


def prepared(block, x, valid=None, seed=0):
    block.prepare(x, valid, torch.Generator().manual_seed(seed))
    return block


def respond(case, kernel, dilation):
    """A kernel's response to one channel, of shape (steps,), zeros beyond the series."""
    steps = len(case)
    padded = np.pad(case, 4 * dilation)
    return sum(kernel[tap] * padded[tap * dilation : tap * dilation + steps] for tap in range(9))


def steps_that_count(steps, kernel, place, dilation):
    """Every step for every second kernel; for the others those where it reaches not beyond the series, if any."""
    counted = np.ones(steps, dtype=bool)
    if (kernel + place) % 2 == 1 and steps > 8 * dilation:
        counted[: 4 * dilation] = counted[steps - 4 * dilation :] = False
    return counted


def chosen_channels(block, place, kernel, channels):
    return np.ones(channels) if channels == 1 else block.get_buffer(f"channels_{place}")[kernel].numpy()


def ppv(block, case):
    """The features of one case of shape (channels, steps), kernel by kernel: a share for each dilation and bias."""
    features = []
    for place, dilation in enumerate(block.dilations):
        biases = block.get_buffer(f"bias_{place}").numpy()
        shares = np.empty(biases.shape)
        for kernel in range(84):
            weights = chosen_channels(block, place, kernel, len(case))
            response = respond(weights @ case, KERNELS[kernel], dilation)
            counted = steps_that_count(case.shape[1], kernel, place, dilation)
            shares[kernel] = [(response[counted] > bias).mean() for bias in biases[kernel]]
        features.append(shares)
    return np.concatenate(features, axis=1).ravel()


def assert_ppv(block, x, valid=None):
    actual = block(x, valid)
    assert actual.shape == (len(x), block.width)
    lengths = [x.shape[2]] * len(x) if valid is None else valid.sum(1).tolist()
    for case, length in enumerate(lengths):
        np.testing.assert_allclose(actual[case], ppv(block, x[case, :, :length].numpy()), rtol=0, atol=1e-6)


def test_the_84_kernels_have_three_taps_of_2_and_six_of_minus_1():
    kernels = block_of(50).kernels.squeeze(1).numpy()
    assert np.array_equal(kernels, KERNELS)
    assert (kernels.sum(1) == 0).all()
    assert len(np.unique(kernels, axis=0)) == 84


@pytest.mark.parametrize("length", [1, 8, 9, 17, 40, 150])
def test_features_are_shares_of_positive_responses(length):
    block = prepared(block_of(length), series(6, 1, length, seed=1))
    assert_ppv(block, series(4, 1, length))


@pytest.mark.parametrize("training_length", [30, 150])
def test_features_of_unequal_lengths_are_shares_of_each_cases_own_steps(training_length):
    x, valid = masked(series(6, 1, 60), [60, 1, 8, 9, 30, 59])
    block = prepared(block_of(training_length), *masked(series(4, 1, 60, seed=1), [60, 12, 40, 33]))
    assert_ppv(block, x, valid)


@pytest.mark.parametrize("channels", [2, 3, 12])
def test_a_kernel_of_a_multivariate_series_reads_the_sum_of_its_channels(channels):
    block = prepared(block_of(40, channels), series(5, channels, 40, seed=1))
    for place in range(len(block.dilations)):
        drawn = block.get_buffer(f"channels_{place}")
        assert set(drawn.unique().tolist()) <= {0.0, 1.0}
        assert 1 <= drawn.sum(1).min() <= drawn.sum(1).max() <= min(channels, 9)
    x, valid = masked(series(3, channels, 40), [40, 20, 7])
    assert_ppv(block, x, valid)


@pytest.mark.parametrize("unequal", [True, False])
def test_biases_are_the_stated_quantiles_of_the_responses_of_the_drawn_cases(unequal):
    x, valid = masked(series(5, 1, 40, seed=1), [40, 22, 31, 9, 36])
    if not unequal:
        x, valid = series(5, 1, 40, seed=1), None
    block = prepared(block_of(40), x, valid, seed=3)
    generator = torch.Generator().manual_seed(3)
    multiples = np.arange(1, block.width + 1) * (np.sqrt(5) + 1) / 2 % 1
    begin = 0
    for place, (dilation, count) in enumerate(zip(block.dilations, block.counts, strict=True)):
        drawn = torch.randint(5, (84,), generator=generator)
        shares = multiples[begin : begin + 84 * count].reshape(84, count)
        begin += 84 * count
        for kernel, case in enumerate(drawn.tolist()):
            length = 40 if valid is None else int(valid[case].sum())
            response = respond(x[case, 0, :length].numpy(), KERNELS[kernel], dilation)
            counted = steps_that_count(length, kernel, place, dilation)
            expected = np.quantile(response[counted], shares[kernel])
            np.testing.assert_allclose(block.get_buffer(f"bias_{place}")[kernel], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("size", "width"), [(1, 84), (84, 84), (167, 84), (168, 168), (500, 420), (9996, 9996), (10_000, 9996)]
)
def test_the_number_of_features_is_rounded_down_to_a_multiple_of_84(size, width):
    for length in (1, 24, 150):
        block = block_of(length, size=size)
        assert block.width == width == 84 * sum(block.counts)


@pytest.mark.parametrize(("length", "greatest"), [(1, 1), (2, 1), (8, 1), (9, 1), (16, 1), (17, 2), (33, 4), (150, 18)])
def test_dilations_grow_to_an_eighth_of_the_length(length, greatest):
    block = block_of(length, size=9996)
    assert block.dilations[0] == 1
    assert block.dilations == sorted(set(block.dilations))
    assert block.dilations[-1] == greatest <= max(1, (length - 1) / 8)
    assert len(block.counts) == len(block.dilations)
    assert min(block.counts) >= 1
    assert sum(block.counts) == 119


@pytest.mark.slow
def test_dilations_are_those_of_the_published_code():
    """aeon's MiniRocket, written by its authors, of the same length and number of features."""
    from aeon.transformations.collection.convolution_based._minirocket import _fit_dilations

    for length in (9, 17, 24, 150, 1000):
        dilations, counts = _fit_dilations(length, 9996, 32)
        block = block_of(length, size=9996)
        assert block.dilations == dilations.tolist()
        assert block.counts == counts.tolist()


def test_a_case_shorter_than_nine_steps_has_finite_shares():
    block = prepared(block_of(150), series(6, 1, 150, seed=1))
    for steps in (1, 2, 8):
        features = block(series(3, 1, steps))
        assert torch.isfinite(features).all()
        assert (features >= 0).all()
        assert (features <= 1).all()


def test_what_is_drawn_depends_on_the_generator_alone():
    x = series(6, 2, 40)
    torch.manual_seed(0)
    first = prepared(block_of(40, 2), x, seed=5).state_dict()
    torch.manual_seed(1)
    same = prepared(block_of(40, 2), x, seed=5).state_dict()
    other = prepared(block_of(40, 2), x, seed=6).state_dict()
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)
