import numpy as np
import pytest
import torch

from tsbench.nn.pooling import pool

LENGTHS = [8, 1, 5]


def series():
    x = torch.randn(3, 4, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return x, torch.arange(8) < torch.tensor(LENGTHS)[:, None]


def test_n12_max_pooling_is_the_greatest_step_of_each_channel():
    x, _ = series()
    np.testing.assert_allclose(pool(x, None, "max"), x.numpy().max(axis=2), rtol=0, atol=1e-6)


def test_n12_max_pooling_looks_at_valid_steps_alone_even_where_all_are_negative():
    x, valid = series()
    x = torch.where(valid[:, None], x - 10, 0.0)
    expected = [case[:, :length].max(axis=1) for case, length in zip(x.numpy(), LENGTHS, strict=True)]
    np.testing.assert_allclose(pool(x, valid, "max"), expected, rtol=0, atol=1e-6)


def test_n13_average_pooling_is_the_mean_of_each_channel():
    x, _ = series()
    np.testing.assert_allclose(pool(x, None, "average"), x.numpy().mean(axis=2), rtol=0, atol=1e-6)


def test_n13_average_pooling_leaves_padded_steps_out():
    x, valid = series()
    expected = [case[:, :length].mean(axis=1) for case, length in zip(x.numpy(), LENGTHS, strict=True)]
    np.testing.assert_allclose(pool(x, valid, "average"), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("masked", [True, False])
def test_n14_both_is_the_max_then_the_average(masked):
    x, valid = series()
    valid = valid if masked else None
    both = pool(x, valid, "both")
    assert both.shape == (3, 8)
    assert torch.equal(both, torch.cat([pool(x, valid, "max"), pool(x, valid, "average")], dim=1))


@pytest.mark.parametrize("kind", ["max", "average", "both"])
def test_gradients_reach_valid_steps_alone(kind):
    x, valid = series()
    x.requires_grad_()
    pool(x, valid, kind).sum().backward()
    assert torch.isfinite(x.grad).all()
    assert x.grad.transpose(1, 2)[~valid].abs().max() == 0
    assert torch.allclose(x.grad.sum(dim=2), torch.full((3, 4), 2.0 if kind == "both" else 1.0, dtype=torch.float64))
