import math

import numpy as np
import pytest
import torch
from torch import nn

from tsbench.nn.generators import Dropout
from tsbench.nn.head import Head


def head_of(hidden_sizes=(6, 4), classes=3, dropout=0.0):
    torch.manual_seed(0)
    head = Head(5, hidden_sizes, classes, dropout).double()
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(torch.randn_like(parameter) / 3)  # so that no LayerNorm keeps its scale of 1 and shift of 0
    return head


def features(cases=7):
    return torch.randn(cases, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 2


def arrays(layer):
    return layer.weight.detach().numpy(), layer.bias.detach().numpy()


def dense(x, linear, norm):
    """A dense layer with LayerNorm and GELU `x Phi(x)`."""
    W, b = arrays(linear)
    z = x @ W.T + b
    scale, shift = arrays(norm)
    z = (z - z.mean(axis=1, keepdims=True)) / np.sqrt(z.var(axis=1, keepdims=True) + norm.eps) * scale + shift
    return z * 0.5 * (1 + np.vectorize(math.erf)(z / math.sqrt(2)))


@pytest.mark.parametrize("hidden_sizes", [(), (6,), (6, 4)])
def test_n15_dense_layers_have_layer_norm_and_exact_gelu(hidden_sizes):
    head = head_of(hidden_sizes).eval()
    x = expected = features().numpy()
    for number in range(len(hidden_sizes)):
        expected = dense(expected, *head.layers[4 * number : 4 * number + 2])
    W, b = arrays(head.layers[-1])
    actual = head(torch.from_numpy(x)).detach().numpy()
    assert actual.shape == (7, 3)
    np.testing.assert_allclose(actual, expected @ W.T + b, rtol=0, atol=1e-6)


@pytest.mark.parametrize("p", [0.0, 0.25, 0.8])
def test_n16_a_unit_is_dropped_with_probability_p_in_training_and_kept_in_evaluation(p):
    head = head_of((5000,), dropout=p)
    dense_layer = head.layers[:-1]
    kept = dense_layer.eval()(features(4)).detach()
    torch.manual_seed(0)
    trained = dense_layer.train()(features(4)).detach()
    dropped = trained == 0
    assert (kept == 0).sum() == 0
    assert abs(dropped.double().mean().item() - p) < 4 * math.sqrt(0.25 / 20000)
    torch.testing.assert_close(trained[~dropped], kept[~dropped] / (1 - p), rtol=0, atol=1e-6)


def test_n16_every_dense_layer_is_followed_by_dropout():
    kinds = [type(layer) for layer in head_of((6, 4), dropout=0.3).layers]
    assert kinds == [nn.Linear, nn.LayerNorm, nn.GELU, Dropout] * 2 + [nn.Linear]


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_n17_softmax_of_the_logits_is_a_distribution_over_the_classes(classes):
    logits = head_of(classes=classes).eval()(features()).detach()
    p = logits.softmax(dim=1).numpy()
    expected = np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(axis=1, keepdims=True)
    assert p.shape == (7, classes)
    np.testing.assert_allclose(p, expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=0, atol=1e-6)
