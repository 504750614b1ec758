import numpy as np
import pytest
import torch

from tsbench.nn.features.spectrum import FREQUENCIES, Spectrum
from tsbench.recipe.schema import FeaturesConfig


def series(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def spectrum_of(length, channels=2):
    return Spectrum(channels, length, FeaturesConfig()).double()


def expected(case, frequencies):
    """`log(1 + |rfft|^2 / T)` of one case of shape (channels, steps), for 1 ... `frequencies` cycles."""
    steps = case.shape[1]
    cycles = np.arange(1, frequencies + 1)
    # Beyond half a cycle a step, a shorter case's frequencies repeat.
    power = np.abs(np.fft.fft(case, axis=1)[:, cycles % steps]) ** 2
    return np.log1p(power / steps).ravel()


@pytest.mark.parametrize(("length", "frequencies"), [(1, 1), (2, 1), (4, 1), (5, 2), (24, 11), (129, 64), (500, 64)])
def test_frequencies_stop_below_half_a_cycle_a_step_and_at_64(length, frequencies):
    block = spectrum_of(length)
    assert block.frequencies == frequencies <= FREQUENCIES
    assert block.width == 2 * frequencies
    assert block(series(3, 2, length)).shape == (3, 2 * frequencies)


@pytest.mark.parametrize("length", [5, 24, 25, 150])
def test_features_are_the_logarithm_of_numpys_power_spectrum(length):
    block, x = spectrum_of(length), series(3, 2, length)
    power = np.abs(np.fft.rfft(x.numpy(), axis=2)[:, :, 1 : block.frequencies + 1]) ** 2
    np.testing.assert_allclose(block(x), np.log1p(power / length).reshape(3, -1), rtol=0, atol=1e-6)


def test_each_case_is_read_over_its_own_length():
    lengths = [24, 1, 9, 15]
    block = spectrum_of(24)
    valid = torch.arange(24) < torch.tensor(lengths)[:, None]
    x = series(4, 2, 24) * valid[:, None]
    actual = block(x, valid)
    for case, length in enumerate(lengths):
        np.testing.assert_allclose(
            actual[case], expected(x[case, :, :length].numpy(), block.frequencies), rtol=0, atol=1e-6
        )


def test_a_sine_of_three_cycles_stands_out_at_the_third_frequency_alone():
    step = torch.arange(30, dtype=torch.float64)
    features = spectrum_of(30, channels=1)(torch.sin(2 * torch.pi * 3 * step / 30)[None, None])[0]
    assert features.argmax() == 2
    assert abs(features[2].item() - np.log1p(15**2 / 30)) < 1e-6  # the sum of sin^2 over 30 steps is 15
    assert features[torch.arange(14) != 2].abs().max() < 1e-6
