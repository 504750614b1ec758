import numpy as np
import pytest
import torch
from torch import nn

from tsbench.nn.recurrent import RecurrentEncoder, RecurrentLayer, reverse_steps
from tsbench.recipe.schema import EncoderConfig


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def weights(cell):
    return [
        getattr(cell, name).detach().numpy() for name in ("weight_hh_l0", "weight_ih_l0", "bias_hh_l0", "bias_ih_l0")
    ]


def lstm(cell, x):
    """Row N4 for one case of shape (steps, inputs): `h_t`, of shape (steps, hidden units)."""
    on_h, on_x, b_h, b_x = weights(cell)
    W, b = np.concatenate([on_h, on_x], axis=1), b_h + b_x  # the rows are i, f, C~ and o
    h = C = np.zeros(cell.hidden_size)
    states = []
    for step in x:
        i, f, candidate, o = np.split(W @ np.concatenate([h, step]) + b, 4)
        C = sigmoid(f) * C + sigmoid(i) * np.tanh(candidate)
        h = sigmoid(o) * np.tanh(C)
        states.append(h)
    return np.array(states)


def gru(cell, x):
    on_h, on_x, b_h, b_x = weights(cell)
    h = np.zeros(cell.hidden_size)
    states = []
    for step in x:
        r_h, z_h, n_h = np.split(on_h @ h + b_h, 3)
        r_x, z_x, n_x = np.split(on_x @ step + b_x, 3)
        z = sigmoid(z_h + z_x)
        h = (1 - z) * np.tanh(n_x + sigmoid(r_h + r_x) * n_h) + z * h
        states.append(h)
    return np.array(states)


CELLS = {"lstm": lstm, "gru": gru}


def shortcut(layer, x):
    """Row N7's `x`: itself, or its linear projection if the widths differ."""
    if isinstance(layer.shortcut, nn.Identity):
        return x
    return x @ layer.shortcut.weight.detach().numpy().T + layer.shortcut.bias.detach().numpy()


def run_layer(cell, layer, x):
    """Rows N4, N6 and N7 for one case of shape (steps, inputs)."""
    h = CELLS[cell](layer.ahead, x)
    if layer.back is not None:
        h = np.concatenate([h, CELLS[cell](layer.back, x[::-1])[::-1]], axis=1)
    return h + shortcut(layer, x)


def layer_of(cell="lstm", inputs=4, hidden_size=4, bidirectional=False):
    torch.manual_seed(0)
    return RecurrentLayer(cell, inputs, hidden_size, bidirectional).double()


def encoder_of(cell="lstm", inputs=5, layers=2, hidden_size=3, bidirectional=True, dropout=0.0):
    torch.manual_seed(0)
    return RecurrentEncoder(cell, inputs, layers, hidden_size, bidirectional, dropout).double()


def series(cases, steps, inputs):
    return torch.randn(cases, steps, inputs, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def mask(lengths, steps):
    return torch.arange(steps) < torch.tensor(lengths)[:, None]


def assert_close(actual, expected):
    np.testing.assert_allclose(actual.detach().numpy(), expected, rtol=0, atol=1e-6)


def test_n4_lstm_gates_follow_the_formula():
    x = series(3, 8, 4)
    layer = layer_of()
    h = layer(x) - x
    assert_close(h, np.stack([lstm(layer.ahead, case.numpy()) for case in x]))


def test_gru_gates_follow_the_formula():
    x = series(3, 8, 4)
    layer = layer_of("gru")
    h = layer(x) - x
    assert_close(h, np.stack([gru(layer.ahead, case.numpy()) for case in x]))


def test_n5_two_layers_are_the_default():
    assert EncoderConfig().layers == 2


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_n5_each_layer_reads_the_output_of_the_one_before(cell, layers):
    x = series(2, 7, 5)
    encoder = encoder_of(cell, layers=layers)
    assert len(encoder.layers) == layers
    expected = list(x.numpy())
    for layer in encoder.layers:
        expected = [run_layer(cell, layer, case) for case in expected]
    assert_close(encoder(x), np.stack(expected))


@pytest.mark.parametrize("cell", CELLS)
def test_n6_both_directions_are_concatenated_forward_first(cell):
    x = series(2, 7, 6)
    layer = layer_of(cell, inputs=6, hidden_size=3, bidirectional=True)
    h = (layer(x) - x).detach()
    assert h.shape == (2, 7, 6)
    for case, states in zip(x.numpy(), h, strict=True):
        assert_close(states[:, :3], CELLS[cell](layer.ahead, case))
        assert_close(states[:, 3:], CELLS[cell](layer.back, case[::-1])[::-1])


def test_n6_one_direction_is_a_choice_and_looks_ahead_at_nothing():
    x = series(1, 9, 4)
    later = x.clone()
    later[:, 5:] += 1
    one, both = layer_of(), layer_of(hidden_size=2, bidirectional=True)
    assert one.back is None
    assert torch.equal(one(x)[:, :5], one(later)[:, :5])
    change = (both(x) - both(later)).abs()
    assert change[:, :5, :2].max() == 0  # forward
    assert change[:, :5, 2:].amin() > 0  # backward


@pytest.mark.parametrize("cell", CELLS)
def test_n6_backward_direction_begins_at_each_cases_own_last_step(cell):
    lengths = [9, 1, 4]
    valid = mask(lengths, 9)
    x = series(3, 9, 6) * valid[:, :, None]
    layer = layer_of(cell, inputs=6, hidden_size=3, bidirectional=True)
    y = layer(x, valid)
    for case, length in enumerate(lengths):
        assert_close(y[case, :length], run_layer(cell, layer, x[case, :length].numpy()))


@pytest.mark.parametrize("cell", CELLS)
def test_n6_values_on_padded_steps_reach_no_valid_step(cell):
    valid = mask([9, 1, 4], 9)
    x = series(3, 9, 5)
    encoder = encoder_of(cell)
    rubbish = torch.where(valid[:, :, None], x, 1e3)
    torch.testing.assert_close(encoder(x, valid)[valid], encoder(rubbish, valid)[valid], rtol=0, atol=0)


def test_n7_layer_one_adds_its_input_and_layer_two_adds_the_output_of_layer_one():
    x = series(2, 7, 6)
    encoder = encoder_of(inputs=6, layers=2, hidden_size=3)
    with torch.no_grad():
        for parameter in encoder.layers[1].parameters():
            parameter.zero_()  # F of an LSTM without weights is 0
    first = encoder.layers[0](x)
    assert (first - x).abs().mean() > 0.01
    assert torch.equal(encoder(x), first)
    with torch.no_grad():
        for parameter in encoder.layers[0].parameters():
            parameter.zero_()
    assert torch.equal(encoder(x), x)


def test_n7_a_linear_projection_is_used_if_the_widths_differ():
    x = series(2, 7, 5)
    layer = layer_of(inputs=5, hidden_size=3, bidirectional=True)
    assert isinstance(layer.shortcut, nn.Linear)
    assert layer.width == 6
    projected = layer(x).detach().numpy() - np.stack([shortcut(layer, case) for case in x.numpy()])
    for case, states in zip(x.numpy(), projected, strict=True):
        np.testing.assert_allclose(states[:, :3], lstm(layer.ahead, case), rtol=0, atol=1e-6)


def test_n7_no_projection_is_learned_where_the_widths_agree():
    encoder = encoder_of(inputs=6, hidden_size=3)
    assert [type(layer.shortcut) for layer in encoder.layers] == [nn.Identity, nn.Identity]
    assert [type(layer.shortcut) for layer in encoder_of(inputs=5).layers] == [nn.Linear, nn.Identity]


def test_reverse_steps_turns_each_case_round_within_its_own_length():
    x = torch.arange(10.0).reshape(2, 5, 1)
    valid = mask([5, 3], 5)
    assert reverse_steps(x, valid).squeeze(2).tolist() == [[4, 3, 2, 1, 0], [7, 6, 5, 8, 9]]
    assert reverse_steps(x, None).squeeze(2).tolist() == [[4, 3, 2, 1, 0], [9, 8, 7, 6, 5]]
    assert torch.equal(reverse_steps(reverse_steps(x, valid), valid), x)


def test_dropout_falls_on_the_cells_in_training_alone_and_never_on_the_residual_path():
    x = series(4, 20, 6)
    layer = encoder_of(inputs=6, hidden_size=3, dropout=0.5).layers[0]
    dropped = (layer(x) == x).double().mean().item()  # where the cell's output is dropped, the input is left
    assert abs(dropped - 0.5) < 0.1
    layer.eval()
    assert (layer(x) == x).sum() == 0
