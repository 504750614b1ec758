import warnings

import numpy as np
import pytest
import torch
from torch import nn

from tsbench.nn.convolution import (
    BatchNorm,
    ConvolutionStack,
    FixedFilters,
    MultiScaleConvolution,
    ResidualConvolution,
    average_steps,
    kernel_lengths,
    same_convolution,
)
from tsbench.recipe.schema import ConvolutionConfig


def correlate(x, w):
    """`y[i] = sum_k w[k] x[i + k]`, the kernel centred on i and zeros outside the series."""
    cases, channels, steps = x.shape
    outputs, _, size = w.shape
    left = (size - 1) // 2
    padded = np.zeros((cases, channels, steps + size - 1))
    padded[:, :, left : left + steps] = x
    y = np.zeros((cases, outputs, steps))
    for i in range(steps):
        for k in range(size):
            y[:, :, i] += padded[:, :, i + k] @ w[:, :, k].T
    return y


def series(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def block(channels=2, kernels=(3, 5, 7), width=4):
    torch.manual_seed(0)
    return MultiScaleConvolution(channels, kernels, width).double()


def some_valid(x, lengths):
    """The valid steps' mask, and `x` with zeros elsewhere."""
    valid = torch.arange(x.shape[2]) < torch.tensor(lengths)[:, None]
    return valid, x * valid[:, None]


@pytest.mark.parametrize("kernel", [1, 3, 5, 7, 21])
def test_n1_convolution_is_the_sum_over_the_kernel_at_the_same_length(kernel):
    x = series(3, 2, 12)
    layer = block(kernels=(kernel,)).branches[0]
    (weight,) = layer.parameters()
    expected = correlate(x.numpy(), weight.detach().numpy())
    with warnings.catch_warnings(action="error"):
        np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kernel", [2, 8])
def test_n1_an_even_kernel_reaches_one_step_further_ahead_than_back(kernel):
    x = series(3, 2, 12)
    layer = block(kernels=(kernel,)).branches[0]
    (weight,) = layer.parameters()
    expected = correlate(x.numpy(), weight.detach().numpy())
    with warnings.catch_warnings(action="error"):
        np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=0, atol=1e-6)


def test_n1_the_three_lengths_see_one_two_and_three_steps_to_either_side():
    x = torch.zeros(1, 1, 15, dtype=torch.float64)
    x[0, 0, 7] = 1
    for branch, reach in zip(block(channels=1).branches, (1, 2, 3), strict=True):
        touched = branch(x).detach().abs().sum(dim=(0, 1)).nonzero().flatten()
        assert touched.tolist() == list(range(7 - reach, 7 + reach + 1))


def test_n2_branches_are_concatenated_on_the_channel_axis_in_order():
    x = series(3, 2, 12)
    convolution = block().eval()  # fresh running statistics: mean 0 and variance 1
    parts = [correlate(x.numpy(), branch.weight.detach().numpy()) for branch in convolution.branches]
    expected = np.maximum(np.concatenate(parts, axis=1) / np.sqrt(1 + 1e-5), 0)
    actual = convolution(x).detach().numpy()
    assert actual.shape == (3, 12, 12)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-6)


def test_n3_batch_norm_uses_the_mini_batch_and_a_learned_scale_and_shift():
    x = series(4, 3, 10) * 5 + 2
    norm = BatchNorm(3).double()
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([0.5, 1.0, 2.0]))
        norm.bias.copy_(torch.tensor([-1.0, 0.0, 3.0]))
    array = x.numpy()
    mean = array.mean(axis=(0, 2), keepdims=True)
    variance = array.var(axis=(0, 2), keepdims=True)
    scale, shift = norm.weight.detach().numpy()[:, None], norm.bias.detach().numpy()[:, None]
    expected = (array - mean) / np.sqrt(variance + 1e-5) * scale + shift
    np.testing.assert_allclose(norm(x).detach().numpy(), expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(norm.running_mean, 0.1 * mean.ravel(), rtol=0, atol=1e-6)
    np.testing.assert_allclose(norm.running_var, 0.9 + 0.1 * variance.ravel() * 40 / 39, rtol=0, atol=1e-6)


def test_n3_masked_batch_norm_equals_plain_batch_norm_over_the_valid_steps_put_end_to_end():
    lengths = [10, 4, 1, 7]
    masked, plain = BatchNorm(3).double(), nn.BatchNorm1d(3).double()
    with torch.no_grad():
        masked.weight.copy_(torch.tensor([0.5, 1.0, 2.0]))
        masked.bias.copy_(torch.tensor([-1.0, 0.5, 3.0]))
    plain.load_state_dict(masked.state_dict())
    for seed in range(3):
        valid, x = some_valid(series(4, 3, 10, seed=seed) * 3 + 1, lengths)
        ends = torch.cat([case[:, :length] for case, length in zip(x, lengths, strict=True)], dim=1)
        actual, expected = masked(x, valid), plain(ends[None])[0]
        assert actual[~valid[:, None].expand_as(x)].abs().max() == 0
        torch.testing.assert_close(actual.transpose(1, 2)[valid], expected.T, rtol=0, atol=1e-6)
    torch.testing.assert_close(masked.running_mean, plain.running_mean, rtol=0, atol=1e-6)
    torch.testing.assert_close(masked.running_var, plain.running_var, rtol=0, atol=1e-6)
    assert masked.num_batches_tracked == plain.num_batches_tracked == 3
    masked.eval(), plain.eval()
    actual, expected = masked(x, valid), plain(ends[None])[0]
    assert actual[~valid[:, None].expand_as(x)].abs().max() == 0
    torch.testing.assert_close(actual.transpose(1, 2)[valid], expected.T, rtol=0, atol=1e-6)


def test_n3_masked_batch_norm_has_the_gradients_of_plain_batch_norm_over_the_valid_steps():
    lengths = [6, 2, 4]
    valid, x = some_valid(series(3, 2, 6), lengths)
    ends = torch.cat([case[:, :length] for case, length in zip(x, lengths, strict=True)], dim=1)[None]
    target = series(1, 2, 12, seed=1)
    masked, plain = BatchNorm(2).double(), nn.BatchNorm1d(2).double()
    x.requires_grad_(), ends.requires_grad_()
    (masked(x, valid).transpose(1, 2)[valid] * target[0].T).sum().backward()
    (plain(ends) * target).sum().backward()
    torch.testing.assert_close(x.grad.transpose(1, 2)[valid], ends.grad[0].T, rtol=0, atol=1e-6)
    assert x.grad.transpose(1, 2)[~valid].abs().max() == 0
    torch.testing.assert_close(masked.weight.grad, plain.weight.grad, rtol=0, atol=1e-6)


def test_n3_a_mask_of_full_lengths_changes_nothing():
    x = series(3, 2, 9)
    with_mask, without = BatchNorm(2).double(), BatchNorm(2).double()
    torch.testing.assert_close(with_mask(x, torch.ones(3, 9, dtype=torch.bool)), without(x), rtol=0, atol=1e-6)
    torch.testing.assert_close(with_mask.running_var, without.running_var, rtol=0, atol=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_convolution_is_zero_on_padded_steps_whatever_the_shift(training):
    valid, x = some_valid(series(3, 2, 9), [9, 5, 2])
    convolution = block().train(training)
    with torch.no_grad():
        convolution.norm.bias.fill_(3.0)
    y = convolution(x, valid)
    assert y.transpose(1, 2)[~valid].abs().max() == 0
    assert y.transpose(1, 2)[valid].mean() > 1


@pytest.mark.parametrize(("steps", "stride"), [(12, 1), (12, 3), (13, 3), (14, 3), (2, 3), (7, 7), (7, 10)])
def test_average_steps_with_a_ragged_last_window_is_the_plain_mean_of_the_remaining_steps(steps, stride):
    x = series(2, 3, steps)
    expected = np.stack([x.numpy()[:, :, i : i + stride].mean(axis=2) for i in range(0, steps, stride)], axis=2)
    actual, valid = average_steps(x, None, stride)
    assert valid is None
    assert actual.shape[2] == -(-steps // stride)
    np.testing.assert_allclose(actual.numpy(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("stride", [1, 2, 3, 5])
def test_average_steps_leaves_padded_steps_out_of_the_mean(stride):
    lengths = [11, 7, 1, 6]
    valid, x = some_valid(series(4, 3, 11), lengths)
    actual, shorter = average_steps(x, valid, stride)
    assert shorter.sum(dim=1).tolist() == [-(-length // stride) for length in lengths]
    for case, length in enumerate(lengths):
        alone, _ = average_steps(x[case : case + 1, :, :length], None, stride)
        torch.testing.assert_close(actual[case, :, shorter[case]], alone[0], rtol=0, atol=1e-6)
        assert actual[case, :, ~shorter[case]].abs().sum() == 0


def spread(w, dilation):
    """A kernel with `dilation - 1` zeros between its taps."""
    wide = np.zeros((*w.shape[:2], (w.shape[2] - 1) * dilation + 1))
    wide[:, :, ::dilation] = w
    return wide


def array(parameter):
    return parameter.detach().numpy()


def fresh_norm(y):
    """Batch normalisation in evaluation, before any training: mean 0 and variance 1."""
    return y / np.sqrt(1 + 1e-5)


def residual_of(channels=6, kernels=(3, 4), width=3, dilation=1, separable=False):
    torch.manual_seed(0)
    return ResidualConvolution(channels, kernels, width, dilation, separable).double().eval()


def branch_response(branch, x, dilation, separable):
    """A branch of a residual block, written out; `x` is the narrowed input."""
    kernels = [array(parameter) for parameter in branch.parameters()]
    if not separable:
        return correlate(x, spread(kernels[0], dilation))
    by_channel, mixing = kernels
    alone = [correlate(x[:, [c]], spread(by_channel[[c]], dilation)) for c in range(x.shape[1])]
    return correlate(np.concatenate(alone, axis=1), mixing)


def run_residual(block, x, dilation, separable=False):
    narrow = correlate(x, array(block.bottleneck.weight))
    y = np.concatenate([branch_response(branch, narrow, dilation, separable) for branch in block.branches], axis=1)
    shortcut = x if isinstance(block.shortcut, nn.Identity) else correlate(x, array(block.shortcut.weight))
    return np.maximum(fresh_norm(y) + shortcut, 0)


def fixed_filters():
    """The hand-crafted filters by their formulas."""
    for k in (2, 4, 8, 16, 32, 64):
        yield np.array([(-1) ** (i + 1) for i in range(k)])
        yield np.array([(-1) ** i for i in range(k)])
    for k in (6, 12, 24, 48, 96):
        quarter = k // 4
        side = np.array([((i + 1) / quarter) ** 2 for i in range(quarter)])
        hill = np.concatenate([side, side[::-1]])
        yield np.concatenate([-hill, 2 * hill, -hill])


@pytest.mark.parametrize(
    ("kernels", "length", "expected"),
    [
        ((3, 5, 7), 10, [3, 5, 7]),
        ((1, 2, 40), 10, [1, 2, 40]),
        ((0.1,), 150, [15]),
        ((0.25,), 149, [37]),
        ((0.25, 9), 28, [7, 9]),
        ((0.5,), 1, [3]),
        ((0.01, 0.99), 100, [3, 99]),
    ],
)
def test_n1_kernels_are_time_steps_or_shares_of_the_length_made_odd(kernels, length, expected):
    assert kernel_lengths(kernels, length) == expected


@pytest.mark.parametrize("share", [0.02, 0.1, 0.33, 0.5, 0.9])
@pytest.mark.parametrize("length", [1, 24, 150, 1000])
def test_n1_a_share_gives_the_nearest_odd_number_of_at_least_three(share, length):
    (kernel,) = kernel_lengths([share], length)
    assert kernel % 2 == 1
    assert kernel == 3 or abs(kernel - share * length) <= 1 + 1e-9


@pytest.mark.parametrize("dilation", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 8])
def test_n1_a_dilated_kernel_has_its_taps_that_many_steps_apart(kernel, dilation):
    torch.manual_seed(0)
    layer = same_convolution(2, 4, kernel, dilation).double()
    x = series(3, 2, 12)
    (weight,) = layer.parameters()
    np.testing.assert_allclose(
        array(layer(x)), correlate(x.numpy(), spread(array(weight), dilation)), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("separable", [False, True])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("channels", [6, 2])
def test_residual_block_follows_the_formula(channels, dilation, separable):
    block = residual_of(channels, dilation=dilation, separable=separable)
    assert block.width == 6
    assert isinstance(block.shortcut, nn.Identity) == (channels == 6)
    x = series(3, channels, 12)
    np.testing.assert_allclose(array(block(x)), run_residual(block, x.numpy(), dilation, separable), rtol=0, atol=1e-6)


def test_a_separable_branch_has_a_kernel_a_channel_and_a_mixing_matrix():
    block = residual_of(kernels=(5,), width=3, separable=True)
    assert [tuple(parameter.shape) for parameter in block.branches.parameters()] == [(3, 1, 5), (3, 3, 1)]


def test_residual_block_is_zero_on_padded_steps_and_padding_reaches_no_valid_step():
    lengths = [9, 5, 2]
    valid, x = some_valid(series(3, 2, 9), lengths)
    block = residual_of(2, dilation=2)
    with torch.no_grad():
        block.norm.bias.fill_(3.0)
    y = block(x, valid)
    assert y.transpose(1, 2)[~valid].abs().max() == 0
    for case, length in enumerate(lengths):
        torch.testing.assert_close(y[case, :, :length], block(x[case : case + 1, :, :length])[0], rtol=0, atol=1e-6)


def test_stack_runs_its_blocks_in_turn_each_spread_wider_than_the_last():
    torch.manual_seed(0)
    config = ConvolutionConfig(kernels=(3, 0.25), channels=2, blocks=3, dilation=3)
    stack = ConvolutionStack(2, config, length=20).double().eval()
    x = series(3, 2, 20)
    first, second, third = stack.blocks
    parts = [correlate(x.numpy(), array(branch.weight)) for branch in first.branches]
    assert [branch.weight.shape[2] for branch in first.branches] == [3, 5]
    expected = np.maximum(fresh_norm(np.concatenate(parts, axis=1)), 0)
    expected = run_residual(third, run_residual(second, expected, dilation=3), dilation=9)
    assert stack.width == 4
    np.testing.assert_allclose(array(stack(x)), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("blocks", [1, 3])
def test_stack_has_separable_blocks_after_the_first_and_fixed_filters_in_it_alone(blocks):
    config = ConvolutionConfig(
        kernels=(3, 5), channels=2, blocks=blocks, dilation=1, separable=True, fixed_filters=True
    )
    stack = ConvolutionStack(2, config, length=20)
    assert len(stack.blocks) == blocks
    assert isinstance(stack.blocks[0], MultiScaleConvolution)
    assert [sum(isinstance(part, FixedFilters) for part in block.modules()) for block in stack.blocks] == [
        1,
        *[0] * (blocks - 1),
    ]
    assert stack.blocks[0].width == 2 * 2 + 17
    assert all(len(branch) == 2 for block in stack.blocks[1:] for branch in block.branches)


def test_fixed_filters_are_convolutions_of_the_channels_sum_with_the_written_formulas():
    x = series(2, 3, 40)
    filters = FixedFilters(3).double()
    total = x.numpy().sum(1, keepdims=True)
    expected = [correlate(total, kernel[None, None]) for kernel in fixed_filters()]
    assert filters.width == len(expected) == 17
    np.testing.assert_allclose(filters(x), np.concatenate(expected, axis=1), rtol=0, atol=1e-5)


def test_fixed_filters_are_not_learned():
    filters = FixedFilters(2)
    assert not list(filters.parameters())
    assert not filters.state_dict()
    block = MultiScaleConvolution(2, (3,), 4, fixed_filters=True)
    assert block.width == 4 + 17
    assert len(list(block.branches.parameters())) == 1


@pytest.mark.parametrize("kernels", [[3, 5, 9], [4, 8]])
@pytest.mark.parametrize("separable", [False, True])
def test_channels_of_a_step_lie_side_by_side_in_memory_through_the_stack(kernels, separable):
    config = ConvolutionConfig.model_validate({"blocks": 3, "kernels": kernels, "separable": separable})
    stack = ConvolutionStack(2, config, length=20)
    layouts = []
    for block in stack.blocks[1:]:
        block.bottleneck.register_forward_hook(lambda module, given, found: layouts.append(found.stride(1)))
    assert stack(torch.randn(3, 2, 20)).stride(1) == 1
    assert layouts == [1, 1]
