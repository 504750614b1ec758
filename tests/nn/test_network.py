from itertools import product

import numpy as np
import pytest
import torch
from torch.nn import functional

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
from tsbench.training.trainer import Series, predict_probabilities

ENCODERS = ("lstm", "gru", "transformer", "none")
ATTENTIONS = ("none", "single", "multi")
LENGTHS = [20, 1, 7, 12]


def config(encoder="lstm", attention="single", stride=1, pooling="both", skip=True, residual=True, dropout=0.0, **more):
    return ModelConfig(
        stem=StemConfig(type="none"),
        convolution=ConvolutionConfig(kernels=(3, 5, 7), channels=3, blocks=1, dilation=1),
        encoder=EncoderConfig(type=encoder, hidden_size=4, heads=2, stride=stride, **more),
        attention=AttentionConfig(type=attention, heads=2, residual=residual),
        pooling=pooling,
        skip=skip,
        features=FeaturesConfig(blocks=()),
        head=HeadConfig(hidden_sizes=(6,)),
        dropout=dropout,
    )


def network_of(*args, seed=0, channels=2, classes=3, length=20, **kwargs):
    return build_network(config(*args, **kwargs), channels, classes, length, seed).double()


def padded_cases(steps=20):
    """Four cases of different lengths, zeros behind each."""
    x = torch.randn(4, 2, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    lengths = torch.tensor(LENGTHS)
    x = x * (torch.arange(20) < lengths[:, None])[:, None]
    return functional.pad(x, (0, steps - 20)), lengths


def parameters(network):
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


def assert_close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_padding_a_case_further_changes_no_logit(encoder, attention, stride, training):
    network = network_of(encoder, attention, stride).train(training)
    (x, lengths), (longer, _) = padded_cases(), padded_cases(steps=37)
    assert_close(network(longer, lengths), network(x, lengths))


@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_the_other_cases_of_a_batch_change_no_prediction(encoder, attention, stride):
    network = network_of(encoder, attention, stride).eval()
    x, lengths = padded_cases()
    together = network(x, lengths)
    for case, length in enumerate(LENGTHS):
        alone = x[case : case + 1, :, :length]
        assert_close(network(alone), together[case : case + 1])
        assert_close(network(x[[case, 0, 0]], lengths[[case, 0, 0]])[:1], together[case : case + 1])


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_full_lengths_are_the_same_as_none(encoder, training):
    x = torch.randn(3, 2, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    masked, plain = (network_of(encoder, stride=3).train(training) for _ in range(2))
    assert_close(masked(x, torch.full((3,), 20)), plain(x))
    for one, other in zip(masked.buffers(), plain.buffers(), strict=True):
        assert_close(one, other)


@pytest.mark.parametrize(
    ("encoder", "attention", "pooling", "skip"),
    list(product(ENCODERS, ATTENTIONS, ("max", "average", "both"), (True, False))),
)
def test_every_setting_builds_and_every_parameter_gets_a_finite_gradient_that_is_not_zero(
    encoder, attention, pooling, skip
):
    network = network_of(encoder, attention, stride=2, pooling=pooling, skip=skip)
    logits = network(*padded_cases())
    assert logits.shape == (4, 3)
    functional.cross_entropy(logits, torch.tensor([0, 1, 2, 0])).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("stride", [1, 3])
def test_the_blocks_stand_in_the_documented_order(stride, residual, skip):
    network = network_of("lstm", "single", stride, skip=skip, residual=residual).eval()
    x, lengths = padded_cases()
    valid = torch.arange(20) < lengths[:, None]
    features = network.convolution(x, valid)
    short, short_valid = average_steps(features, valid, stride)
    h = network.encoder(short.transpose(1, 2), short_valid)
    h = network.attention(h, short_valid) + (h if residual else 0)
    pooled = pool(h.transpose(1, 2), short_valid, "both")
    if skip:
        pooled = torch.cat([pooled, pool(features, valid, "both")], dim=1)
    assert_close(network(x, lengths), network.head(pooled))


def test_without_encoder_and_attention_the_convolutions_are_pooled_once():
    with_skip, without = (network_of("none", "none", skip=skip).eval() for skip in (True, False))
    assert torch.equal(parameters(with_skip), parameters(without))
    assert torch.equal(with_skip(*padded_cases()), without(*padded_cases()))


@pytest.mark.parametrize(("length", "stride"), [(1, 1), (256, 1), (257, 2), (512, 2), (513, 3), (2709, 11)])
def test_an_automatic_stride_leaves_256_steps_at_most(length, stride):
    network = network_of(stride="auto", length=length)
    assert network.stride == stride
    assert -(-length // network.stride) <= 256


@pytest.mark.parametrize("p", [0.2, 0.6])
def test_n16_pooled_features_are_dropped_with_probability_p_in_training_alone(p):
    network = network_of(dropout=p)
    ones = torch.ones(20000)
    torch.manual_seed(0)
    assert abs((network.dropout(ones) == 0).float().mean().item() - p) < 4 * np.sqrt(0.25 / 20000)
    cases = padded_cases()
    assert not torch.equal(network(*cases), network(*cases))
    network.eval()
    assert torch.equal(network(*cases), network(*cases))


@pytest.mark.parametrize("encoder", ["lstm", "transformer"])
def test_n16_every_dropout_layer_has_the_configured_probability(encoder):
    network = network_of(encoder, dropout=0.35)
    rates = {module.p for module in network.modules() if isinstance(module, torch.nn.Dropout)}
    assert rates == {0.35}


@pytest.mark.parametrize("classes", [2, 5])
def test_n17_probabilities_are_the_softmax_of_the_logits(classes):
    network = network_of(classes=classes).float().eval()
    x, lengths = padded_cases()
    logits = network(x.float(), lengths).detach().double().numpy()
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    actual = predict_probabilities(network, Series(x.float().numpy(), lengths.numpy()))
    assert actual.shape == (4, classes)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(actual.sum(axis=1), 1, rtol=0, atol=1e-6)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_initial_weights_depend_on_the_seed_alone(encoder):
    torch.manual_seed(1)
    first = network_of(encoder, seed=7)
    torch.manual_seed(2)
    same, other = network_of(encoder, seed=7), network_of(encoder, seed=8)
    assert torch.equal(parameters(first), parameters(same))
    assert not torch.equal(parameters(first), parameters(other))


def test_building_a_network_leaves_the_global_generator_as_it_was():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    network_of("lstm", "multi", seed=7)
    assert torch.equal(torch.get_rng_state(), before)
