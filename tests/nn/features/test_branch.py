import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from tsbench.nn.features import branch as module
from tsbench.nn.features.branch import LARGEST, REACH, FeatureBranch, build_feature_block
from tsbench.nn.network import build_network
from tsbench.recipe.registries import FEATURES
from tsbench.recipe.schema import FeaturesConfig, ModelConfig


class Means(nn.Module):
    """A new block: each channel's mean, and a constant."""

    def __init__(self, channels, length, config):
        super().__init__()
        self.width = channels + 1

    def forward(self, x, valid=None):
        count = x.shape[2] if valid is None else valid.sum(1, keepdim=True)
        return torch.cat([x.sum(2) / count, torch.ones(len(x), 1, dtype=x.dtype)], dim=1)


class ScaledMeans(Means):
    def __init__(self, *args):
        super().__init__(*args)
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x, valid=None):
        return super().forward(x, valid) * self.scale


def series(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def branch_of(*blocks, channels=2, length=20):
    torch.manual_seed(0)
    return FeatureBranch(FeaturesConfig(blocks=blocks, size=84), channels, length, classes=3).double()


def prepared(branch, x, valid=None):
    branch.prepare(x, valid, torch.Generator().manual_seed(0))
    return branch


@pytest.fixture
def means(monkeypatch):
    monkeypatch.setitem(FEATURES, "means", f"{__name__}:Means")
    monkeypatch.setitem(FEATURES, "scaled_means", f"{__name__}:ScaledMeans")


@pytest.mark.usefixtures("means")
def test_n21_a_new_block_is_one_line_in_the_registry_and_selectable_by_name():
    assert isinstance(build_feature_block("means", 2, 20, FeaturesConfig()), Means)
    config = ModelConfig.model_validate({"features": {"blocks": ["means", "statistics"]}})
    network = build_network(config, channels=2, classes=3, length=20, seed=0)
    assert isinstance(network.feature_branch.blocks[0], Means)
    assert network.feature_branch.width == 3 + 10
    assert network(series(4, 2, 20).float()).shape == (4, 3)


def test_n21_a_block_that_is_not_in_the_registry_is_refused():
    with pytest.raises(ValidationError, match="unknown feature"):
        FeaturesConfig(blocks=("means",))


def test_n21_a_block_may_be_named_by_its_import_path():
    block = f"{__name__}.Means"
    config = ModelConfig.model_validate({"features": {"blocks": [block, "statistics"]}})
    network = build_network(config, channels=2, classes=3, length=20, seed=0)
    assert isinstance(network.feature_branch.blocks[0], Means)


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("no_such_package.Block", "'no_such_package.Block' cannot be imported: there is no package 'no_such_package'"),
        ("tests..Means", r"'tests..Means' is not an import path, such as "),
    ],
)
def test_n21_an_import_path_that_leads_nowhere_is_refused(path, problem):
    with pytest.raises(ValidationError, match=problem):
        FeaturesConfig(blocks=(path,))


def test_n21_an_import_path_without_its_class_is_refused_in_one_sentence():
    with pytest.raises(ValueError, match=r"^the feature block tests.Nothing of model.features.blocks cannot be imp"):
        build_feature_block("tests.Nothing", 2, 20, FeaturesConfig())


def test_blocks_stand_side_by_side_in_the_order_of_the_recipe():
    x = series(5, 2, 20)
    both = branch_of("spectrum", "statistics")
    spectrum, statistics = branch_of("spectrum"), branch_of("statistics")
    assert both.width == spectrum.width + statistics.width
    assert torch.equal(both.features(x), torch.cat([spectrum.features(x), statistics.features(x)], dim=1))


@pytest.mark.usefixtures("means")
def test_features_are_standardised_by_the_training_cases_and_scaled_to_a_norm_of_ten():
    train, x = series(50, 2, 20) * 3 + 1, series(6, 2, 20, seed=1)
    branch = prepared(branch_of("statistics", "means"), train)
    with torch.no_grad():
        branch.linear.weight.normal_()
        branch.linear.bias.normal_()
    features = branch.features(train).numpy()
    mean, deviation = features.mean(0), features.std(0)
    assert deviation[-1] == 0  # the constant
    scale = np.where(deviation > 1e-6, 1 / np.maximum(deviation, 1e-6), 0)
    standard = np.clip((branch.features(x).numpy() - mean) * scale, -LARGEST, LARGEST)
    W, b = branch.linear.weight.detach().numpy(), branch.linear.bias.detach().numpy()
    expected = standard * REACH / np.sqrt(branch.width) @ W.T + b
    np.testing.assert_allclose(branch(branch.features(x)).detach(), expected, rtol=0, atol=1e-6)


@pytest.mark.usefixtures("means")
def test_a_feature_that_never_varies_in_training_says_nothing_later():
    branch = prepared(branch_of("means"), series(10, 2, 20))
    with torch.no_grad():
        branch.linear.weight.normal_()
    features = branch.features(series(3, 2, 20, seed=1))
    changed = features.clone()
    changed[:, -1] += 100
    assert torch.equal(branch(features), branch(changed))


def test_a_feature_far_off_counts_ten_deviations_at_most():
    branch = prepared(branch_of("statistics"), series(10, 2, 20))
    with torch.no_grad():
        branch.linear.weight.normal_()
    far = branch.mean + torch.full((1, branch.width), 11.0) / branch.scale
    assert torch.equal(branch(far), branch(branch.mean + (far - branch.mean) * 100))


def test_the_linear_layer_begins_at_0_so_that_every_class_is_as_likely():
    branch = prepared(branch_of("minirocket", "statistics"), series(10, 2, 20))
    assert branch(branch.features(series(4, 2, 20))).abs().max() == 0


@pytest.mark.usefixtures("means")
def test_features_are_fixed_unless_a_block_has_learned_weights():
    assert branch_of("means", "minirocket").fixed
    assert not branch_of("means", "scaled_means").fixed


@pytest.mark.parametrize("masked", [True, False])
def test_features_in_parts_are_the_features(masked, monkeypatch):
    monkeypatch.setattr(module, "CPU_CHUNK_SIZE", 50)  # two cases of 20 steps
    valid = torch.arange(20) < torch.tensor([20, 3, 15, 9, 12])[:, None]
    x = series(5, 2, 20) * (valid[:, None] if masked else 1)
    branch = prepared(branch_of("spectrum", "minirocket"), x, valid if masked else None)
    features = branch.features(x, valid if masked else None)
    torch.testing.assert_close(branch.features_in_parts(x, valid if masked else None), features, rtol=0, atol=1e-6)


def test_what_is_learned_from_training_cases_is_saved_with_the_weights():
    branch = prepared(branch_of("minirocket", "statistics"), series(10, 2, 20))
    fresh = branch_of("minirocket", "statistics")
    fresh.load_state_dict(branch.state_dict())
    x = series(4, 2, 20, seed=1)
    assert torch.equal(fresh.features(x), branch.features(x))
    assert torch.equal(fresh.mean, branch.mean)
    assert torch.equal(fresh.scale, branch.scale)
