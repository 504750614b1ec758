import copy

import numpy as np
import pytest
import torch
from torch.nn import functional

from tsbench.nn.convolution import average_steps
from tsbench.nn.gate import Gate
from tsbench.nn.network import build_network
from tsbench.nn.pooling import pool
from tsbench.nn.stem import AverageStem, ConvolutionStem
from tsbench.recipe.presets import PRESETS
from tsbench.recipe.schema import (
    AttentionConfig,
    ConvolutionConfig,
    EncoderConfig,
    FeaturesConfig,
    HeadConfig,
    ModelConfig,
    StemConfig,
)
from tsbench.training.inference import predict_probabilities
from tsbench.training.jobs import Series

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
    return with_open_gates(build_network(config(*args, **kwargs), channels, classes, length, seed).double())


def with_open_gates(network):
    """The gates half open: closed, as they begin, they would hide what stands behind them."""
    for gate in gates_of(network):
        torch.nn.init.constant_(gate.factor, 0.5)
    return network


def gates_of(network):
    return [module for module in network.modules() if isinstance(module, Gate)]


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


PAIRS = [*((encoder, "single") for encoder in ENCODERS), *(("lstm", attention) for attention in ATTENTIONS)]
"""Each encoder with one attention and each attention with one encoder: neither sees what the other does."""


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize(("encoder", "attention"), dict.fromkeys(PAIRS))
def test_padding_a_case_further_changes_no_logit(encoder, attention, stride, training):
    network = network_of(encoder, attention, stride).train(training)
    (x, lengths), (longer, _) = padded_cases(), padded_cases(steps=37)
    assert_close(network(longer, lengths), network(x, lengths))


@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize(("encoder", "attention"), dict.fromkeys(PAIRS))
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
    for buffer, other in zip(masked.buffers(), plain.buffers(), strict=True):
        assert_close(buffer, other)


@pytest.mark.parametrize(("pooling", "skip"), [("max", True), ("average", False), ("both", True)])
@pytest.mark.parametrize(("encoder", "attention"), dict.fromkeys(PAIRS))
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
    h = 0.5 * network.attention(h, short_valid) + h if residual else network.attention(h, short_valid)
    pooled = pool(h.transpose(1, 2), short_valid, "both")
    if skip:
        pooled = torch.cat([pooled, pool(features, valid, "both")], dim=1)
    assert_close(network(x, lengths), network.head(pooled))


def test_without_encoder_and_attention_the_convolutions_are_pooled_once():
    with_skip, without = (network_of("none", "none", skip=skip).eval() for skip in (True, False))
    assert torch.equal(parameters(with_skip), parameters(without))
    assert torch.equal(with_skip(*padded_cases()), without(*padded_cases()))


@pytest.mark.parametrize(("length", "stride"), [(1, 1), (32, 1), (33, 2), (64, 2), (65, 3), (2709, 85)])
def test_an_automatic_stride_leaves_32_steps_at_most(length, stride):
    network = network_of(stride="auto", length=length)
    assert network.stride == stride
    assert -(-length // network.stride) <= 32
    assert network_of(stride="auto", length=length, max_steps=1000).stride == -(-length // 1000)


@pytest.mark.parametrize("encoder", ["lstm", "gru"])
def test_gates_begin_at_zero_and_hide_the_blocks_behind_them(encoder):
    network = build_network(config(encoder), 2, 3, 20, seed=0).double().eval()
    assert len(gates_of(network)) == 3  # two layers and the attention
    x, lengths = padded_cases()
    before = network(x, lengths)
    with torch.no_grad():
        for part in (network.attention, *(layer.ahead for layer in network.encoder.layers)):
            for parameter in part.parameters():
                parameter.add_(1.0)
    assert_close(network(x, lengths), before)
    assert not torch.allclose(with_open_gates(network)(x, lengths), before, atol=1e-6)


def test_without_gates_there_are_none():
    plain = changed(encoder={"gated": False}, attention={"gated": False})
    assert not gates_of(built(plain))
    assert not gates_of(built(ModelConfig(preset="classic")))


def test_the_default_network_has_the_documents_parts():
    network = build_network(ModelConfig(), 1, 3, 300, seed=0)
    assert len(network.encoder.layers) == 2
    assert all(isinstance(layer.ahead, torch.nn.LSTM) and layer.back is not None for layer in network.encoder.layers)
    assert network.attention.heads == 1
    assert network.residual_attention
    assert -(-300 // network.stride) <= 64
    assert network.pooling == "both"
    assert len(gates_of(network)) == 3


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


def changed(**groups):
    """The small configuration with some groups' values replaced."""
    tree = config().model_dump()
    for name, group in groups.items():
        tree[name] = {**tree[name], **group} if isinstance(group, dict) else group
    return ModelConfig.model_validate(tree)


def built(model, length=20):
    return with_open_gates(build_network(model, channels=2, classes=3, length=length, seed=0).double().eval())


@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize("skip", [True, False])
def test_n9_convolutions_may_stand_between_the_encoder_and_the_attention(stride, skip):
    network = built(changed(convolution={"position": "after_encoder"}, encoder={"stride": stride}, skip=skip))
    x, lengths = padded_cases()
    short, valid = average_steps(x, torch.arange(20) < lengths[:, None], stride)
    h = network.encoder(short.transpose(1, 2), valid).transpose(1, 2) * valid[:, None]
    views = network.convolution(h, valid)
    attended = views.transpose(1, 2) + 0.5 * network.attention(views.transpose(1, 2), valid)
    pooled = pool(attended.transpose(1, 2), valid, "both")
    if skip:
        pooled = torch.cat([pooled, pool(views, valid, "both")], dim=1)
    assert_close(network(x, lengths), network.head(pooled))


@pytest.mark.parametrize("stride", [1, 3])
def test_n9_padding_and_company_change_nothing_after_the_encoder_either(stride):
    network = built(changed(convolution={"position": "after_encoder"}, encoder={"stride": stride}))
    (x, lengths), (longer, _) = padded_cases(), padded_cases(steps=37)
    together = network(x, lengths)
    assert_close(network(longer, lengths), together)
    for case, length in enumerate(LENGTHS):
        assert_close(network(x[case : case + 1, :, :length]), together[case : case + 1])


def two_branches(share=0.5):
    network = built(changed(features={"blocks": ["statistics", "minirocket"], "size": 84, "share": share}))
    x, lengths = padded_cases()
    network.prepare(x.flip(0), lengths.flip(0), seed=1)
    with torch.no_grad():
        network.feature_branch.linear.weight.normal_(generator=torch.Generator().manual_seed(0))
    return network


@pytest.mark.parametrize("share", [0.5, 0.2])
def test_two_branches_give_the_logarithm_of_the_weighted_mean_of_their_probabilities(share):
    network = two_branches(share)
    x, lengths = padded_cases()
    branches = network.branches(x, lengths)
    assert branches.shape == (2, 4, 3)
    valid = torch.arange(20) < lengths[:, None]
    assert_close(branches[0], network.head(network.pooled(x, valid)))
    assert_close(branches[1], network.feature_branch(network.feature_branch.features(x, valid)))
    e = np.exp(branches.detach().numpy())
    learned, computed = e / e.sum(axis=2, keepdims=True)
    expected = np.log((1 - share) * learned + share * computed)
    np.testing.assert_allclose(network(x, lengths).detach(), expected, rtol=0, atol=1e-6)
    assert_close(network(x, lengths).exp().sum(1), torch.ones(4, dtype=torch.float64))


def test_features_computed_before_give_the_same_as_computed_anew():
    network = two_branches()
    x, lengths = padded_cases()
    features = network.fixed_features(x, lengths)
    assert features.shape == (4, network.feature_branch.width)
    assert_close(network(x, lengths, features), network(x, lengths))
    assert not torch.equal(network(x, lengths, features + 1), network(x, lengths))


def test_without_feature_blocks_there_is_one_branch_and_nothing_to_prepare():
    network = built(config())
    x, lengths = padded_cases()
    network.prepare(x, lengths, seed=0)
    assert network.fixed_features(x, lengths) is None
    assert network.branches(x, lengths).shape == (1, 4, 3)
    assert torch.equal(network.branches(x, lengths)[0], network(x, lengths))


@pytest.mark.parametrize(("kind", "block"), [("average", AverageStem), ("convolution", ConvolutionStem)])
def test_a_stem_shortens_the_series_before_every_learned_block(kind, block):
    network = built(changed(stem={"type": kind, "stride": 3}))
    assert isinstance(network.stem, block)
    x, lengths = padded_cases()
    short, valid = network.stem(x, torch.arange(20) < lengths[:, None])
    assert short.shape == (4, 2 if kind == "average" else 3, 7)
    pooled = network.pooled(x, torch.arange(20) < lengths[:, None])
    assert_close(network(x, lengths), network.head(pooled))
    network.stem = None
    assert_close(network.pooled(short, valid), pooled)


@pytest.mark.parametrize(("length", "stride"), [(1, None), (512, None), (513, 2), (1024, 2), (1025, 3), (2709, 6)])
def test_an_automatic_stem_leaves_512_steps_at_most(length, stride):
    network = built(changed(stem={"type": "average", "stride": "auto"}, encoder={"stride": "auto"}), length)
    assert (network.stem and network.stem.stride) == stride
    assert -(-length // (stride or 1)) <= 512


def test_kernels_that_are_shares_are_shares_of_the_steps_that_the_convolutions_see():
    def kernels(model):
        return [branch.weight.shape[2] for branch in built(model, length=120).convolution.blocks[0].branches]

    shares = {"kernels": [0.09, 0.24]}
    assert kernels(changed(convolution=shares)) == [11, 29]
    assert kernels(changed(convolution=shares, stem={"type": "average", "stride": 4})) == [3, 7]
    after = changed(convolution={**shares, "position": "after_encoder"}, encoder={"stride": 4})
    assert kernels(after) == [3, 7]


@pytest.mark.parametrize("name", PRESETS)
def test_presets_build_and_give_probabilities(name):
    network = built(ModelConfig.model_validate({"preset": name}))
    assert_close(network(*padded_cases()).softmax(1).sum(1), torch.ones(4, dtype=torch.float64))
    assert network.feature_branch is None


def test_the_classic_preset_is_the_documents_network():
    network = built(ModelConfig(preset="classic"))
    first, *further = network.convolution.blocks
    assert [branch.weight.shape[2] for branch in first.branches] == [3, 5, 7]
    assert not further
    assert len(network.encoder.layers) == 2
    assert all(layer.back is not None for layer in network.encoder.layers)
    assert network.attention.heads == 1
    assert network.pooling == "both"
    assert not network.skip
    assert network.stem is None
    assert isinstance(network.head.norm, torch.nn.Identity)


class Branches(torch.nn.Module):
    """`Network.branches` as a module's forward, which `functional_call` calls."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, *arguments):
        return self.network.branches(*arguments)


@pytest.mark.filterwarnings("error:There is a performance drop:UserWarning")
@pytest.mark.parametrize("padded", [False, True])
def test_networks_of_one_shape_run_as_one_model_with_their_own_statistics(padded):
    x, lengths = padded_cases()
    x, lengths = torch.stack([x, 2 * x, x - x.mean()]), lengths if padded else None
    networks = [Branches(network_of("none", "none", seed=seed).train()) for seed in range(3)]
    state = torch.func.stack_module_state(copy.deepcopy(networks))

    def run(parameters, buffers, series):
        return torch.func.functional_call(networks[0], (parameters, buffers), (series, lengths))

    together = torch.vmap(run)(*state, x)
    alone = [network(series, lengths) for network, series in zip(networks, x, strict=True)]
    assert_close(together, torch.stack(alone))
    for name, stacked in state[1].items():
        assert_close(stacked, torch.stack([network.get_buffer(name) for network in networks]))
