import math

import numpy as np
import pytest
import torch
from torch import nn

from tsbench.nn.attention import SelfAttention, TransformerEncoder, positions


def weight(layer):
    return layer.weight.detach().numpy()


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def attend(Q, K, V):
    """`softmax(Q K^T / sqrt(d_k)) V` for one case."""
    return softmax(Q @ K.T / np.sqrt(K.shape[1])) @ V


def heads_of(attention, X):
    """Rows N8 and N10 for one case of shape (steps, width)."""
    Q, K, V = (X @ weight(layer).T for layer in (attention.query, attention.key, attention.value))
    d = attention.head_width
    parts = [attend(*(M[:, i * d : (i + 1) * d] for M in (Q, K, V))) for i in range(attention.heads)]
    joined = np.concatenate(parts, axis=1)
    return joined if attention.heads == 1 else joined @ weight(attention.output).T


def layer_norm(x, norm):
    centred = x - x.mean(axis=-1, keepdims=True)
    scaled = centred / np.sqrt(centred.var(axis=-1, keepdims=True) + norm.eps)
    return scaled * weight(norm) + norm.bias.detach().numpy()


def linear(x, layer):
    return x @ weight(layer).T + layer.bias.detach().numpy()


def gelu(x):
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def series(cases, steps, width):
    return torch.randn(cases, steps, width, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def attention_of(width, heads=1):
    torch.manual_seed(0)
    attention = SelfAttention(width, heads).double()
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter.mul_(3)  # so that the attention weights are far from uniform
    return attention


def encoder_of(inputs=3, layers=2, width=6, heads=2, dropout=0.0):
    torch.manual_seed(0)
    return TransformerEncoder(inputs, layers, width, heads, dropout).double()


def mask(lengths, steps):
    return torch.arange(steps) < torch.tensor(lengths)[:, None]


def assert_close(actual, expected):
    np.testing.assert_allclose(actual.detach().numpy(), expected, rtol=0, atol=1e-6)


def test_n8_one_head_is_the_softmax_formula_without_an_output_projection():
    X = series(3, 7, 4)
    attention = attention_of(4)
    projections = (attention.query, attention.key, attention.value)
    expected = [attend(*(case @ weight(layer).T for layer in projections)) for case in X.numpy()]
    assert sum(parameter.numel() for parameter in attention.parameters()) == 3 * 4 * 4
    assert_close(attention(X), np.stack(expected))


def test_n8_padded_steps_get_no_attention_weight():
    lengths = [7, 1, 4]
    X = series(3, 7, 4)
    attention = attention_of(4)
    y = attention(X, mask(lengths, 7))
    for case, length in enumerate(lengths):
        assert_close(y[case, :length], heads_of(attention, X[case, :length].numpy()))


def test_n8_order_of_steps_does_not_matter_to_attention_alone():
    X, order = series(2, 7, 4), torch.randperm(7, generator=torch.Generator().manual_seed(0))
    attention = attention_of(4)
    torch.testing.assert_close(attention(X[:, order]), attention(X)[:, order], rtol=0, atol=1e-6)


@pytest.mark.parametrize(("width", "heads"), [(8, 2), (8, 4), (8, 8), (7, 3), (3, 5)])
def test_n10_heads_attend_by_themselves_and_are_projected_back(width, heads):
    X = series(2, 6, width)
    attention = attention_of(width, heads)
    assert attention.head_width == math.ceil(width / heads)
    assert attention(X).shape == X.shape
    assert_close(attention(X), np.stack([heads_of(attention, case) for case in X.numpy()]))


def test_n10_one_head_is_n8_exactly():
    X = series(2, 6, 5)
    alone, one_of_many = attention_of(5), attention_of(5, heads=1)
    one_of_many.load_state_dict(alone.state_dict())
    assert isinstance(one_of_many.output, nn.Identity)
    assert torch.equal(alone(X), one_of_many(X))
    assert_close(one_of_many(X), np.stack([heads_of(alone, case) for case in X.numpy()]))


@pytest.mark.parametrize("heads", [2, 3])
def test_n10_padded_steps_get_no_attention_weight_from_any_head(heads):
    lengths = [6, 2]
    X = series(2, 6, 6)
    attention = attention_of(6, heads)
    y = attention(X, mask(lengths, 6))
    for case, length in enumerate(lengths):
        assert_close(y[case, :length], heads_of(attention, X[case, :length].numpy()))


@pytest.mark.parametrize("width", [1, 2, 7, 8, 64])
def test_n11_positions_are_sines_and_cosines_of_falling_rates(width):
    table = positions(50, width, torch.zeros(1, dtype=torch.float64))
    assert table.shape == (50, width)
    for t in range(50):
        for j in range(width):
            angle = t / 10000 ** (2 * (j // 2) / width)
            assert abs(table[t, j].item() - (math.cos(angle) if j % 2 else math.sin(angle))) < 1e-6


def test_n11_transformer_encoder_follows_the_formula():
    X = series(2, 7, 3)
    encoder = encoder_of()
    with torch.no_grad():
        for number, parameter in enumerate(encoder.parameters()):
            parameter.add_(0.05 * number)  # so that no bias is 0 and no scale is 1
    for case, actual in zip(X.numpy(), encoder(X), strict=True):
        x = linear(case, encoder.project) + positions(7, 6, X).numpy()
        for layer in encoder.layers:
            x = x + heads_of(layer.attention, layer_norm(x, layer.attention_norm))
            wide = gelu(linear(layer_norm(x, layer.feedforward_norm), layer.feedforward[0]))
            x = x + linear(wide, layer.feedforward[3])
        assert_close(actual, layer_norm(x, encoder.norm))


def test_n11_a_permutation_of_the_steps_changes_the_output_as_positions_are_encoded():
    X, order = series(2, 7, 3), torch.randperm(7, generator=torch.Generator().manual_seed(0))
    encoder = encoder_of()
    moved = (encoder(X[:, order]) - encoder(X)[:, order]).abs()
    assert moved.amax(dim=(0, 2)).min() > 1e-2
    assert (encoder(X[:, order]).mean(dim=1) - encoder(X).mean(dim=1)).abs().max() > 1e-3


def test_n11_padded_steps_reach_no_valid_step():
    lengths = [7, 1, 4]
    X = series(3, 7, 3)
    encoder = encoder_of()
    y = encoder(X, mask(lengths, 7))
    for case, length in enumerate(lengths):
        torch.testing.assert_close(y[case, :length], encoder(X[case : case + 1, :length])[0], rtol=0, atol=1e-6)
