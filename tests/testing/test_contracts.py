import ast
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

import tsbench.testing
from tsbench.recipe.presets import PRESETS
from tsbench.recipe.registries import ENCODERS, FEATURES, SCHEDULERS
from tsbench.recipe.schema import ConvolutionConfig, FeaturesConfig, ModelConfig
from tsbench.testing import (
    check_attention,
    check_augmentation,
    check_convolution,
    check_encoder,
    check_feature_block,
    check_network,
    check_onnx,
    check_scheduler,
    check_stem,
)
from tsbench.testing.contracts import Subject, check
from tsbench.training.augmentation import AUGMENTATIONS

CONVOLUTIONS = {
    "one block": {},
    "several dilated blocks": {"blocks": 3, "dilation": 2},
    "even and relative kernels": {"kernels": [2, 0.3, 8], "blocks": 2},
    "separable, with fixed filters": {"blocks": 2, "separable": True, "fixed_filters": True},
}
# A whole network as small as can be; each entry of NETWORKS changes something of it.
SMALL = {
    "stem": {"type": "none"},
    "convolution": {"kernels": [3, 5], "channels": 3, "blocks": 1, "dilation": 1},
    "encoder": {"type": "none", "hidden_size": 4, "heads": 2, "stride": 1},
    "attention": {"type": "none", "heads": 2},
    "features": {"blocks": [], "size": 168},
    "head": {"hidden_sizes": [6]},
}
NETWORKS = {
    **{f"encoder {name}": {"encoder": {"type": name}} for name in ENCODERS},
    **{f"attention {name}": {"attention": {"type": name}} for name in ("none", "single", "multi")},
    **{f"stem {name}": {"stem": {"type": name, "stride": 3}} for name in ("average", "convolution")},
    **{f"pooling {name}": {"pooling": name} for name in ("max", "average", "both")},
    **{f"features {name}": {"features": {"blocks": [name]}} for name in FEATURES},
    **{f"convolution, {name}": {"convolution": change} for name, change in CONVOLUTIONS.items()},
    "a strided encoder and a skip": {"encoder": {"type": "gru", "stride": 3, "layers": 1}, "skip": True},
    "convolutions after the encoder": {
        "convolution": {"position": "after_encoder"},
        "encoder": {"type": "lstm"},
        "attention": {"type": "multi"},
    },
    "every feature block": {"features": {"blocks": list(FEATURES)}, "attention": {"type": "single"}},
    **{f"preset {name}": {"preset": name} for name in PRESETS},
}
FAST_ONNX = (("encoder none", True), ("encoder none", False), ("attention multi", True), ("features minirocket", True))


def model(name):
    change = NETWORKS[name]
    if "preset" in change:
        return ModelConfig.model_validate(change)
    groups = {key: {**SMALL.get(key, {}), **value} for key, value in change.items() if isinstance(value, dict)}
    return ModelConfig.model_validate({**SMALL, **change, **groups})


@pytest.mark.parametrize("name", ENCODERS)
def test_every_encoder_keeps_the_contracts(name):
    check_encoder(name)


@pytest.mark.parametrize("heads", [1, 2, 3])
def test_attention_keeps_the_contracts(heads):
    check_attention(heads)


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions_keep_the_contracts(name):
    check_convolution(ConvolutionConfig.model_validate({**SMALL["convolution"], **CONVOLUTIONS[name]}))


@pytest.mark.parametrize("stride", [2, 3])
@pytest.mark.parametrize("name", ["average", "convolution"])
def test_every_stem_keeps_the_contracts(name, stride):
    check_stem(name, stride)


@pytest.mark.parametrize("name", FEATURES)
def test_n21_every_feature_block_keeps_the_contracts(name):
    check_feature_block(name)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_scheduler_keeps_the_contracts(name):
    check_scheduler(name)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_every_augmentation_keeps_the_contracts(name):
    check_augmentation(name)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_keeps_the_contracts(name):
    check_network(model(name))


@pytest.mark.parametrize(
    ("name", "masked"),
    [
        pytest.param(name, masked, marks=() if (name, masked) in FAST_ONNX else pytest.mark.slow)
        for name in NETWORKS
        for masked in (True, False)
    ],
)
def test_every_network_gives_the_same_figures_in_onnx_at_any_number_and_length_of_cases(name, masked):
    check_onnx(model(name), masked)


def test_the_suite_imports_no_pytest():
    for file in Path(tsbench.testing.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                assert "pytest" not in ast.unparse(node)


class Block(nn.Module):
    """A feature block that keeps every contract, for broken ones to be made of: each channel's mean."""

    def __init__(self, channels, length, config):
        super().__init__()
        self.width = channels
        self.weight = nn.Parameter(torch.rand(channels))

    def forward(self, x, valid=None):
        count = x.shape[2] if valid is None else valid.sum(1, keepdim=True)
        return x.sum(2) / count * self.weight


class IgnoresTheMask(Block):
    def forward(self, x, valid=None):
        return x.mean(2) * self.weight


class CountsPaddedStepsInAMaximum(Block):
    def forward(self, x, valid=None):
        return x.amax(2) * self.weight


class NormalisesByTheBatchInEvaluation(Block):
    def forward(self, x, valid=None):
        y = super().forward(x, valid)
        return y - y.mean(0)


class HasNanGradients(Block):
    def forward(self, x, valid=None):
        return super().forward(x, valid) + torch.sqrt(0 * self.weight)


class LeavesAWeightOut(Block):
    def forward(self, x, valid=None):
        return super().forward(x, valid).detach() + 0 * self.weight


class ForgetsAWeight(Block):
    def forward(self, x, valid=None):
        return super().forward(x, valid).detach() + 0 * x.sum(2).requires_grad_()


class DrawsInEvaluation(Block):
    def forward(self, x, valid=None):
        return super().forward(x, valid) + 1e-9 * torch.rand(())


class DropsByTheGlobalGenerator(Block):
    def forward(self, x, valid=None):
        return functional.dropout(super().forward(x, valid), 0.5, self.training)


class InitialisesByTheGlobalGenerator(Block):
    def __init__(self, *args):
        super().__init__(*args)
        self.weight.data = functional.dropout(torch.ones(len(self.weight)), 0.1)


class StartsAnewEachTime(Block):
    built = 0

    def __init__(self, *args):
        super().__init__(*args)
        StartsAnewEachTime.built += 1
        self.weight.data += StartsAnewEachTime.built


class HasAnotherWidth(Block):
    def forward(self, x, valid=None):
        return super().forward(x, valid)[:, :1]


class IsInfinite(Block):
    def forward(self, x, valid=None):
        return super().forward(x, valid) / 0


class LosesItsState(Block):
    def __init__(self, *args):
        super().__init__(*args)
        self.shift = 0.0

    def prepare(self, x, valid, generator):
        self.shift = x.amax().item()

    def forward(self, x, valid=None):
        return super().forward(x, valid) + self.shift


class LearnsFromPaddedSteps(Block):
    def __init__(self, *args):
        super().__init__(*args)
        self.register_buffer("mean", torch.zeros(()))

    def prepare(self, x, valid, generator):
        self.mean.copy_(x.mean())

    def forward(self, x, valid=None):
        return super().forward(x, valid) + self.mean


BROKEN = {
    IgnoresTheMask: "padding the cases further changes the output",
    CountsPaddedStepsInAMaximum: "has another output alone than in a batch",
    NormalisesByTheBatchInEvaluation: "has another output alone than in a batch",
    HasNanGradients: "gradient of weight is not finite",
    LeavesAWeightOut: "gradient of weight is 0",
    ForgetsAWeight: "weight gets no gradient",
    DrawsInEvaluation: "another output the second time",
    DropsByTheGlobalGenerator: "in training, numbers are drawn from torch's global generator",
    InitialisesByTheGlobalGenerator: "initial weights are drawn from torch's global generator",
    StartsAnewEachTime: "the same seed gives a different weight",
    HasAnotherWidth: "gives shape",
    IsInfinite: "is not finite",
    LosesItsState: "loaded into a fresh block, gives different features",
    LearnsFromPaddedSteps: "padding the training cases further changes mean",
}


def test_n21_a_new_feature_block_is_checked_by_its_name(monkeypatch):
    monkeypatch.setitem(FEATURES, "mine", f"{__name__}:Block")
    check_feature_block("mine", FeaturesConfig(size=5))
    check_network(ModelConfig.model_validate({**SMALL, "features": {"blocks": ["mine"]}}))


@pytest.mark.parametrize("block", BROKEN, ids=lambda block: block.__name__)
def test_a_broken_feature_block_is_caught(block, monkeypatch):
    monkeypatch.setitem(FEATURES, "broken", f"{__name__}:{block.__name__}")
    with pytest.raises(AssertionError, match=f"feature block broken.*{BROKEN[block]}"):
        check_feature_block("broken")


class UnmaskedAttention(nn.Module):
    width = 2

    def forward(self, x, valid=None):
        return x.softmax(dim=1) * x


def test_a_broken_encoder_is_caught(monkeypatch):
    monkeypatch.setitem(ENCODERS, "none", lambda inputs, config: UnmaskedAttention())
    with pytest.raises(AssertionError, match="encoder none: in evaluation, padding"):
        check_encoder("none")


def test_batch_statistics_in_training_alone_must_leave_padded_steps_out():
    def run(norm, x, valid):
        lengths = [x.shape[2]] * len(x) if valid is None else valid.sum(1).tolist()
        return [case[:, :length] for case, length in zip(norm(x), lengths, strict=True)]

    subject = Subject("plain norm", lambda: nn.BatchNorm1d(2), run, lambda norm, steps: (2, steps))
    with pytest.raises(AssertionError, match="plain norm: in training, padding"):
        check(subject)


@pytest.mark.parametrize(
    ("rate", "message"), [(lambda step: 2.0, "the peak"), (lambda step: 0.0, "rate of step 1 is 0"), (float, "is 0")]
)
def test_a_broken_scheduler_is_caught(rate, message, monkeypatch):
    def scheduler(optimizer, config, steps_per_epoch, steps):
        return torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: 1.0 if step == 0 and rate(0) == 0 else rate(step)
        )

    monkeypatch.setitem(SCHEDULERS, "constant", scheduler)
    with pytest.raises(AssertionError, match=f"scheduler constant.*{message}"):
        check_scheduler("constant")


def test_a_scheduler_that_ends_too_early_is_caught(monkeypatch):
    def scheduler(optimizer, config, steps_per_epoch, steps):
        return torch.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=max(1, steps // 2))

    monkeypatch.setitem(SCHEDULERS, "constant", scheduler)
    with pytest.raises(AssertionError, match="scheduler constant"):
        check_scheduler("constant")


def jitters_padded_steps(x, lengths, strength, generator):
    return x + strength * torch.empty_like(x).normal_(generator=generator)


def shortens(x, lengths, strength, generator):
    return x[:, :, :-1]


def changes_in_place(x, lengths, strength, generator):
    with torch.no_grad():
        x *= 1 + strength
    return x


def changes_lengths(x, lengths, strength, generator):
    lengths -= 1
    return x * (1 + strength)


def cuts_gradients(x, lengths, strength, generator):
    return x.detach() * (1 + strength) + 0 * functional.relu(torch.zeros(1, requires_grad=True)).to(x)


def draws_of_its_own(x, lengths, strength, generator):
    return x * (1 + strength * torch.rand((), generator=OWN))


def draws_from_the_global_generator(x, lengths, strength, generator):
    return x * (1 + strength * torch.rand(()))


def does_nothing(x, lengths, strength, generator):
    return x * 1


OWN = torch.Generator().manual_seed(0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (jitters_padded_steps, "padded steps are not 0"),
        (shortens, "shape"),
        (changes_in_place, "the given cases are changed"),
        (changes_lengths, "the given lengths are changed"),
        (cuts_gradients, "no gradient is passed on"),
        (draws_of_its_own, "the same seed gives different cases"),
        (draws_from_the_global_generator, "drawn from torch's global generator"),
        (does_nothing, "changes nothing"),
    ],
)
def test_a_broken_augmentation_is_caught(change, message, monkeypatch):
    monkeypatch.setitem(AUGMENTATIONS, "jitter", change)
    with pytest.raises(AssertionError, match=f"augmentation jitter.*{message}"):
        check_augmentation("jitter")


def test_a_graph_that_gives_other_figures_is_caught(monkeypatch):
    class Shifted:
        def run(self, names, given):
            cases = len(given["x"])
            return [torch.zeros(cases, 3).numpy()]

    monkeypatch.setattr("tsbench.testing.exporting._session", lambda network, masked: Shifted())
    with pytest.raises(AssertionError, match=r"ONNX of network .* differ by"):
        check_onnx(model("encoder none"))
