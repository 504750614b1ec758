import numpy as np
import pytest
import torch
from torch.nn import functional

from tsbench.nn.features.hydra import GROUPS, KERNELS, Hydra
from tsbench.recipe.schema import FeaturesConfig


def series(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def block_of(length, channels=1, seed=0):
    block = Hydra(channels, length, FeaturesConfig()).double()
    block.prepare(series(3, channels, length), None, torch.Generator().manual_seed(seed))
    return block


def counted(block, case):
    """The features of one case of shape (channels, steps), by plain loops over groups and time steps."""
    features = []
    for place, dilation in enumerate(block.dilations):
        for half, channels in enumerate((case, np.diff(case, axis=1))):
            number, steps = 2 * place + half, channels.shape[1]
            kernels = block.get_buffer(f"kernels_{number}")[:, 0].numpy()
            won, lost = np.zeros((GROUPS, KERNELS)), np.zeros((GROUPS, KERNELS))
            for group in range(GROUPS):
                weights = np.ones(1) if len(case) == 1 else block.get_buffer(f"channels_{number}")[group].numpy()
                padded = np.pad(weights @ channels, 4 * dilation)
                own = kernels[group * KERNELS : (group + 1) * KERNELS]
                for step in range(steps):
                    response = own @ padded[step : step + 8 * dilation + 1 : dilation]
                    won[group, response.argmax()] += response.max() / steps
                    lost[group, response.argmin()] += 1 / steps
            features += [np.sqrt(won.clip(min=0)).ravel(), np.sqrt(lost).ravel()]
    return np.concatenate(features)


@pytest.mark.parametrize("channels", [1, 3])
def test_features_are_the_roots_of_mean_wins_and_shares_of_losses(channels):
    block, x = block_of(24, channels), series(2, channels, 24, seed=1)
    features = block(x)
    assert features.shape == (2, block.width)
    for case, found in zip(x.numpy(), features.numpy(), strict=True):
        np.testing.assert_allclose(found, counted(block, case), rtol=0, atol=1e-9)


def test_kernels_have_no_mean_and_absolute_values_that_sum_to_one():
    kernels = block_of(24).get_buffer("kernels_1")
    torch.testing.assert_close(kernels.sum(2), torch.zeros_like(kernels[:, :, 0]), rtol=0, atol=1e-6)
    torch.testing.assert_close(kernels.abs().sum(2), torch.ones_like(kernels[:, :, 0]), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("length", "dilations"), [(1, [1]), (16, [1]), (17, [1, 2]), (100, [1, 2, 4, 8])])
def test_dilations_double_up_to_an_eighth_of_the_length(length, dilations):
    assert Hydra(1, length, FeaturesConfig()).dilations == dilations


@pytest.mark.parametrize("lengths", [[20, 7, 2, 1], [20, 20, 20, 20]])
def test_padding_changes_nothing(lengths):
    block, x = block_of(20, 2), series(4, 2, 20)
    valid = torch.arange(20) < torch.tensor(lengths)[:, None]
    x = x * valid[:, None]
    together = block(x, valid)
    longer = block(functional.pad(x, (0, 9)), functional.pad(valid, (0, 9)))
    torch.testing.assert_close(longer, together, rtol=0, atol=1e-9)
    for case, length in enumerate(lengths):
        alone = block(x[case : case + 1, :, :length])
        torch.testing.assert_close(alone, together[case : case + 1], rtol=0, atol=1e-9)


def test_the_generator_decides_the_kernels():
    first, same, other = block_of(20, 3), block_of(20, 3), block_of(20, 3, seed=1)
    x = series(2, 3, 20)
    assert torch.equal(first(x), same(x))
    assert not torch.equal(first(x), other(x))
