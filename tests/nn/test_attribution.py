import threading

import numpy as np
import pytest
import torch
from torch.nn import functional

from tsbench.nn.attention import SelfAttention
from tsbench.nn.attribution import explain, max_steps
from tsbench.nn.convolution import average_steps
from tsbench.nn.network import build_network
from tsbench.nn.pooling import pool
from tsbench.recipe.schema import (
    AttentionConfig,
    ConvolutionConfig,
    EncoderConfig,
    FeaturesConfig,
    HeadConfig,
    ModelConfig,
    StemConfig,
)

LENGTHS = [20, 1, 7, 12]


def network_of(
    encoder="lstm",
    attention="multi",
    stride=1,
    stem=1,
    pooling="both",
    skip=True,
    position="before_encoder",
    stem_type="average",
    features=(),
):
    config = ModelConfig(
        stem=StemConfig(type=stem_type, stride=stem),
        convolution=ConvolutionConfig(kernels=(3, 5), channels=4, blocks=1, position=position),
        encoder=EncoderConfig(type=encoder, layers=2, hidden_size=5, heads=3, stride=stride),
        attention=AttentionConfig(type=attention, heads=2),
        pooling=pooling,
        skip=skip,
        features=FeaturesConfig(blocks=features),
        head=HeadConfig(hidden_sizes=(6,)),
    )
    return build_network(config, channels=2, classes=3, length=20, seed=0).double().eval()


def padded_cases(steps=20):
    x = torch.randn(4, 2, steps, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    lengths = torch.tensor(LENGTHS)
    return x * (torch.arange(steps) < lengths[:, None])[:, None], lengths


def mask(lengths, steps):
    return torch.arange(steps) < torch.as_tensor(lengths)[:, None]


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def attention_and_input(heads, width=6):
    torch.manual_seed(0)
    attention = SelfAttention(width, heads).double()
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter.mul_(3)  # so that the attention weights are far from uniform
    return attention, torch.randn(4, 20, width, dtype=torch.float64)


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_n22_attention_weights_are_the_softmax_of_scaled_products_over_valid_steps(heads):
    attention, x = attention_and_input(heads)
    weights = attention.weights(x, mask(LENGTHS, 20)).detach().numpy()
    d = attention.head_width
    Q, K = (x.numpy() @ layer.weight.detach().numpy().T for layer in (attention.query, attention.key))
    assert weights.shape == (4, heads, 20, 20)
    for case, length in enumerate(LENGTHS):
        for head in range(heads):
            own = slice(head * d, (head + 1) * d)
            expected = softmax(Q[case, :, own] @ K[case, :length, own].T / np.sqrt(d))
            np.testing.assert_allclose(weights[case, head, :, :length], expected, rtol=0, atol=1e-6)
            assert (weights[case, head, :, length:] == 0).all()


@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize("heads", [1, 2, 4])
def test_n22_attention_weights_times_values_are_the_attentions_output(heads, lengths):
    attention, x = attention_and_input(heads)
    valid = None if lengths is None else mask(lengths, 20)
    V = attention.value(x).view(4, 20, heads, attention.head_width).transpose(1, 2)
    output = attention.output((attention.weights(x, valid) @ V).transpose(1, 2).flatten(2))
    torch.testing.assert_close(output, attention(x, valid), rtol=0, atol=1e-6)


@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_n22_max_steps_are_numpys_argmax_over_valid_steps(lengths):
    x = torch.randn(4, 5, 20, generator=torch.Generator().manual_seed(0)) - 10  # below what padded steps hold
    valid = None if lengths is None else mask(lengths, 20)
    if valid is not None:
        x = x * valid[:, None]
    expected = [case[:, :length].argmax(axis=1) for case, length in zip(x.numpy(), lengths or [20] * 4, strict=True)]
    np.testing.assert_array_equal(max_steps(x, valid), np.stack(expected))


def test_n22_of_equal_maxima_the_first_is_named_and_none_of_a_channel_that_never_varies():
    x = torch.tensor([[[0.0, 2, 1, 2], [0, 0, 0, 0], [3, 3, 3, 0]]])
    assert max_steps(x).tolist() == [[1, -1, 0]]
    assert max_steps(x, torch.tensor([[True, True, True, False]])).tolist() == [[1, -1, -1]]
    assert max_steps(x, torch.tensor([[True, False, False, False]])).tolist() == [[0, 0, 0]]


@pytest.mark.parametrize("stride", [1, 3])
def test_n22_maxima_lie_where_the_networks_own_pooled_values_are_found(stride):
    network, (x, lengths) = network_of(stride=stride), padded_cases()
    found = explain(network, x, lengths)
    for part, maxima in zip(network.unpooled(x, mask(LENGTHS, 20)), (found.maxima, found.skip_maxima), strict=True):
        values, valid = part
        own = pool(values, valid, "max")
        named = values.gather(2, maxima.clamp(min=0).unsqueeze(2)).squeeze(2)
        assert torch.equal(torch.where(maxima < 0, own, named), own)
        assert (maxima < valid.sum(1, keepdim=True)).all()
    assert (found.maxima >= 0).any()
    assert (found.skip_maxima >= 0).any()


@pytest.mark.parametrize(
    ("encoder", "attention", "heads"),
    [("lstm", "single", 1), ("gru", "multi", 2), ("none", "multi", 2), ("transformer", "none", 6)],
)
def test_n22_every_head_of_the_network_is_shown(encoder, attention, heads):
    x, lengths = padded_cases()
    weights = explain(network_of(encoder, attention, stride=2), x, lengths).attention
    assert weights.shape == (4, heads, 10, 10)
    torch.testing.assert_close(weights.sum(3), torch.ones(4, heads, 10, dtype=torch.float64), rtol=0, atol=1e-12)
    for case, length in enumerate(LENGTHS):
        assert (weights[case, :, :, -(-length // 2) :] == 0).all()


def test_n22_a_transformers_heads_come_before_those_of_the_self_attention():
    network, (x, lengths) = network_of("transformer", "multi"), padded_cases()
    weights = explain(network, x, lengths).attention
    features = network.convolution(x, mask(LENGTHS, 20)).transpose(1, 2)
    encoded = network.encoder(features, mask(LENGTHS, 20))
    assert weights.shape[1] == 2 * 3 + 2
    torch.testing.assert_close(weights[:, 6:], network.attention.weights(encoded, mask(LENGTHS, 20)), rtol=0, atol=0)


@pytest.mark.parametrize("pooling", ["max", "average", "both"])
@pytest.mark.parametrize("skip", [True, False])
def test_n22_what_the_network_lacks_is_none(pooling, skip):
    x, lengths = padded_cases()
    found = explain(network_of(attention="none", pooling=pooling, skip=skip), x, lengths)
    assert found.attention is None
    assert (found.maxima is None) == (pooling == "average")
    assert (found.skip_maxima is None) == (pooling == "average" or not skip)


@pytest.mark.parametrize(
    ("stem", "stride", "position", "strides"),
    [
        (1, 1, "before_encoder", (1, 1)),
        (2, 3, "before_encoder", (6, 2)),
        (3, 1, "before_encoder", (3, 3)),
        (2, 3, "after_encoder", (6, 6)),
    ],
)
@pytest.mark.parametrize("stem_type", ["average", "convolution"])
def test_n22_strides_say_how_many_time_steps_a_step_stands_for(stem, stride, position, strides, stem_type):
    x, lengths = padded_cases()
    found = explain(network_of(stem=stem, stride=stride, position=position, stem_type=stem_type), x, lengths)
    assert (found.stride, found.skip_stride) == strides
    assert found.attention.shape[2:] == (-(-20 // strides[0]),) * 2
    assert ((found.maxima * found.stride) < lengths[:, None]).all()
    assert ((found.skip_maxima * found.skip_stride) < lengths[:, None]).all()


def test_n22_a_strided_maximum_is_found_where_the_spike_is():
    network = network_of("none", "none", stride=4, pooling="max")
    x = torch.zeros(1, 2, 20, dtype=torch.float64)
    x[:, :, 13] = 5.0
    found = explain(network, x)
    features, _ = average_steps(network.convolution(x), None, 4)
    highest = features.amax(2) > features.amin(2)
    np.testing.assert_array_equal(found.maxima[highest], features.argmax(2)[highest])
    assert set(found.maxima.flatten().tolist()) <= {-1, 0, 1, 2, 3, 4}
    assert (found.maxima == 3).any()  # steps 12 to 15


def test_n22_padding_and_neighbours_change_no_explanation():
    network, (x, lengths) = network_of(stride=2), padded_cases()
    together = explain(network, functional.pad(x, (0, 6)), lengths)
    for case, length in enumerate(LENGTHS):
        alone = explain(network, x[case : case + 1, :, :length])
        steps = -(-length // 2)
        torch.testing.assert_close(together.attention[case, :, :steps, :steps], alone.attention[0], rtol=0, atol=1e-12)
        assert torch.equal(together.maxima[case], alone.maxima[0])


@pytest.mark.parametrize("training", [True, False])
def test_n22_explaining_is_in_evaluation_mode_and_changes_nothing(training):
    network, (x, lengths) = network_of(features=("spectrum",)), padded_cases()
    expected = explain(network, x, lengths)
    network.train(training)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = explain(network, x, lengths)
    assert torch.equal(found.attention, expected.attention)
    assert network.training is training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())


def test_what_other_threads_predict_meanwhile_is_not_explained():
    network = network_of("transformer", "multi")
    x = torch.randn(3, 2, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = explain(network, x).attention
    done = threading.Event()

    def predict():
        while not done.is_set():
            network(x)

    other = threading.Thread(target=predict)
    other.start()
    try:
        for _ in range(20):
            torch.testing.assert_close(explain(network, x).attention, expected, rtol=0, atol=1e-9)
    finally:
        done.set()
        other.join()
