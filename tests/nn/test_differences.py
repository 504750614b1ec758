import numpy as np
import pytest
import torch
from torch.nn import functional

from tsbench.nn.differences import Differences


def padded(lengths, steps=12):
    x = torch.randn(len(lengths), 2, steps, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    valid = torch.arange(steps) < torch.tensor(lengths)[:, None]
    return x * valid[:, None], valid


@pytest.mark.parametrize("lengths", [None, [12, 5, 1]])
def test_differences_are_further_channels_over_the_deviation_of_the_training_cases(lengths):
    x, valid = padded(lengths or [12, 12, 12])
    block = Differences(2).double()
    block.prepare(x, None if lengths is None else valid)
    found = block(x, None if lengths is None else valid)
    assert torch.equal(found[:, :2], x)
    expected = [
        np.diff(case[:, :length], axis=1, prepend=case[:, :1])
        for case, length in zip(x.numpy(), valid.sum(1).tolist(), strict=True)
    ]
    deviation = np.concatenate(expected, axis=1).std(axis=1)
    for case, length in enumerate(valid.sum(1).tolist()):
        np.testing.assert_allclose(found[case, 2:, :length], expected[case] / deviation[:, None], rtol=0, atol=1e-9)
        assert (found[case, 2:, length:] == 0).all()


def test_padding_changes_nothing_and_a_constant_channel_stays_finite():
    x, valid = padded([12, 5, 1])
    x[:, 1] = 0.0
    block, other = Differences(2).double(), Differences(2).double()
    block.prepare(x, valid)
    other.prepare(functional.pad(x, (0, 5)), functional.pad(valid, (0, 5)))
    torch.testing.assert_close(other.scale, block.scale, rtol=0, atol=1e-9)
    longer = other(functional.pad(x, (0, 5)), functional.pad(valid, (0, 5)))
    torch.testing.assert_close(longer[:, :, :12], block(x, valid), rtol=0, atol=1e-9)
    assert block.scale[1] == 1
