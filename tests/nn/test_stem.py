import numpy as np
import pytest
import torch

from tsbench.nn.convolution import average_steps
from tsbench.nn.stem import AverageStem, ConvolutionStem

LENGTHS = [20, 1, 7, 12]


def padded_cases():
    valid = torch.arange(20) < torch.tensor(LENGTHS)[:, None]
    x = torch.randn(4, 2, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return x * valid[:, None], valid


def convolution_stem(stride, width=3):
    torch.manual_seed(0)
    stem = ConvolutionStem(2, width, stride).double().eval()
    stem.norm.running_mean.normal_()
    stem.norm.running_var.uniform_(0.5, 2)
    return stem


@pytest.mark.parametrize("stride", [2, 3, 7])
def test_average_stem_is_the_mean_of_each_window_of_valid_steps(stride):
    stem = AverageStem(2, stride)
    assert stem.width == 2
    x, valid = padded_cases()
    y, shorter = stem(x, valid)
    for case, length in enumerate(LENGTHS):
        means = [x[case, :, i : min(i + stride, length)].mean(1) for i in range(0, length, stride)]
        assert shorter[case].sum() == len(means)
        torch.testing.assert_close(y[case, :, : len(means)], torch.stack(means, dim=1), rtol=0, atol=1e-6)
    assert torch.equal(y, average_steps(x, valid, stride)[0])


@pytest.mark.parametrize("stride", [2, 3, 7])
def test_convolution_stem_is_a_kernel_of_twice_the_stride_less_one_centred_on_every_stride_th_step(stride):
    stem = convolution_stem(stride)
    w = stem.convolution.weight.detach().numpy()
    assert w.shape == (3, 2, 2 * stride - 1)
    x, valid = padded_cases()
    y, shorter = stem(x, valid)
    norm = stem.norm
    for case, length in enumerate(LENGTHS):
        steps = np.pad(x[case, :, :length].numpy(), ((0, 0), (stride - 1, stride - 1)))
        z = np.stack([(w * steps[:, i : i + 2 * stride - 1]).sum((1, 2)) for i in range(0, length, stride)], axis=1)
        scale = np.sqrt(norm.running_var.numpy() + norm.eps)[:, None]
        expected = np.maximum((z - norm.running_mean.numpy()[:, None]) / scale, 0)
        assert shorter[case].sum() == -(-length // stride)
        np.testing.assert_allclose(y[case, :, : z.shape[1]].detach(), expected, rtol=0, atol=1e-6)
        assert y[case, :, z.shape[1] :].abs().sum() == 0


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 20, 21])
@pytest.mark.parametrize("kind", ["average", "convolution"])
def test_stems_leave_a_step_of_every_stride_and_of_the_rest(kind, steps):
    stem = AverageStem(2, 3) if kind == "average" else convolution_stem(3)
    x = torch.ones(2, 2, steps, dtype=torch.float64)
    y, valid = stem(x)
    assert y.shape == (2, stem.width, -(-steps // 3))
    assert valid is None
    masked, whole = stem(x, torch.ones(2, steps, dtype=torch.bool))
    assert whole.all()
    torch.testing.assert_close(masked, y, rtol=0, atol=1e-6)
