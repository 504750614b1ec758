"""Contracts of every module that reads padded series."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from tsbench.nn.gate import Gate
from tsbench.nn.generators import drawing_from, initialising_from

__all__ = [
    "CHANNELS",
    "LENGTHS",
    "Subject",
    "check",
    "check_cases_apart",
    "check_determinism",
    "check_generators",
    "check_gradients",
    "check_padding",
    "check_shapes",
    "padded_series",
]

CHANNELS = 2
LENGTHS = (20, 1, 7, 12)
TOLERANCE = 1e-6  # in float64


@dataclass(frozen=True)
class Subject:
    """A module under test, in float64.

    Attributes:
        name: in messages.
        build: creates it; torch's generator is seeded before.
        run: of the module, series of shape (cases, channels, steps) and their valid steps, each case's output without
            its padded steps: shape (features,), or (features, steps).
        shape: of the output for a case of this many steps.
    """

    name: str
    build: Callable[[], nn.Module]
    run: Callable[[nn.Module, Tensor, Tensor | None], Sequence[Tensor]]
    shape: Callable[[nn.Module, int], tuple[int, ...]]

    def built(self, training: bool = False, seed: int = 0) -> nn.Module:
        """The module in the given mode, its gates open; torch's generator continues from the seed."""
        torch.manual_seed(seed)
        module = self.build().double().train(training)
        for gate in module.modules():
            if isinstance(gate, Gate):  # closed, as at the start, it would hide the blocks after it
                nn.init.constant_(gate.factor, 0.5)
        return module


def check(subject: Subject) -> None:
    """Checks every contract of this module.

    Raises:
        AssertionError: one is broken; the message names the subject.
    """
    for contract in (
        check_shapes,
        check_determinism,
        check_generators,
        check_padding,
        check_cases_apart,
        check_gradients,
    ):
        with torch.random.fork_rng(devices=[]):
            contract(subject)


def padded_series(steps: int = max(LENGTHS), seed: int = 1) -> tuple[Tensor, Tensor]:
    """Four cases of `LENGTHS` steps in float64 with zeros behind, up to `steps` of them, and their valid steps."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(len(LENGTHS), CHANNELS, max(LENGTHS), generator=generator, dtype=torch.float64)
    x = functional.pad(x, (0, steps - x.shape[2]))
    valid = torch.arange(steps) < torch.tensor(LENGTHS).unsqueeze(1)
    return x * valid.unsqueeze(1), valid


def check_shapes(subject: Subject) -> None:
    """Each output has its promised shape, and is finite."""
    module = subject.built()
    for length, output in zip(LENGTHS, subject.run(module, *padded_series()), strict=True):
        expected = subject.shape(module, length)
        assert tuple(output.shape) == expected, (
            f"{subject.name}: a case of {length} steps gives shape {tuple(output.shape)}, not {expected}"
        )
        assert torch.isfinite(output).all(), f"{subject.name}: the output of a case of {length} steps is not finite"


def check_determinism(subject: Subject) -> None:
    """The same seed gives the same weights and outputs, bit by bit; in evaluation no seed is needed."""
    first, second = subject.built(), subject.built()
    for (name, tensor), other in zip(first.state_dict().items(), second.state_dict().values(), strict=True):
        assert torch.equal(tensor, other), f"{subject.name}: the same seed gives a different {name}"
    torch.manual_seed(1)
    before = subject.run(first, *padded_series())
    torch.manual_seed(2)
    after = subject.run(second, *padded_series())
    assert _equal(before, after), f"{subject.name}: in evaluation, the same cases have another output the second time"
    trained = [subject.run(subject.built(training=True), *padded_series()) for _ in range(2)]
    assert _equal(*trained), f"{subject.name}: in training, the same seed gives another output"


def check_generators(subject: Subject) -> None:
    """Nothing is drawn from torch's global generator, which other threads use, when it is built or when it is trained.

    Both are done as `build_network` and the trainer do them: the initial weights come from a generator of the network's
    own, and so do the masks of `tsbench.nn.generators.Dropout`.
    """
    before = torch.get_rng_state()
    with initialising_from(torch.Generator().manual_seed(0)):
        module = subject.build().double().train()
    assert torch.equal(torch.get_rng_state(), before), (
        f"{subject.name}: its initial weights are drawn from torch's global generator by a function that "
        "tsbench.nn.generators.initialising_from does not know"
    )
    with drawing_from(torch.Generator().manual_seed(0), module):
        subject.run(module, *padded_series())
    assert torch.equal(torch.get_rng_state(), before), (
        f"{subject.name}: in training, numbers are drawn from torch's global generator; "
        "tsbench.nn.generators.Dropout draws from the trainer's"
    )


def check_padding(subject: Subject) -> None:
    """Further padding changes nothing, in training or in evaluation, and neither does a mask that hides nothing."""
    for training in (False, True):
        mode = "training" if training else "evaluation"
        given = subject.run(subject.built(training), *padded_series())
        further = subject.run(subject.built(training), *padded_series(max(LENGTHS) + 17))
        _assert_same(given, further, f"{subject.name}: in {mode}, padding the cases further changes the output")
        x = padded_series()[0][:1]
        whole = torch.ones(1, x.shape[2], dtype=torch.bool)
        plain, masked = (subject.run(subject.built(training), x, valid) for valid in (None, whole))
        _assert_same(plain, masked, f"{subject.name}: in {mode}, a mask that hides no step changes the output")


def check_cases_apart(subject: Subject) -> None:
    """In evaluation, the other cases of a batch change nothing."""
    module = subject.built()
    x, valid = padded_series()
    together = subject.run(module, x, valid)
    for case, length in enumerate(LENGTHS):
        alone = subject.run(module, x[case : case + 1, :, :length], None)
        _assert_same(
            alone,
            together[case : case + 1],
            f"{subject.name}: in evaluation, the case of {length} steps has another output alone than in a batch",
        )


def check_gradients(subject: Subject) -> None:
    """Every parameter gets a gradient that is finite and not 0."""
    module = subject.built(training=True)
    if not list(module.parameters()):
        return
    outputs = subject.run(module, *padded_series())
    total = torch.zeros((), dtype=torch.float64)
    for output in outputs:  # any weights that leave no direction out
        total = total + (output * torch.randn(output.shape, dtype=torch.float64)).sum()
    total.backward()  # type: ignore[no-untyped-call]
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, f"{subject.name}: {name} gets no gradient"
        assert torch.isfinite(parameter.grad).all(), f"{subject.name}: the gradient of {name} is not finite"
        assert parameter.grad.abs().sum() > 0, f"{subject.name}: the gradient of {name} is 0"


def _assert_same(ones: Sequence[Tensor], others: Sequence[Tensor], message: str) -> None:
    for tensor, other in zip(ones, others, strict=True):
        assert tensor.shape == other.shape, f"{message}, to shape {tuple(other.shape)} from {tuple(tensor.shape)}"
        off = (tensor - other).abs().max().item()
        assert off <= TOLERANCE, f"{message} by {off:.2g}"


def _equal(ones: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    return all(torch.equal(tensor, other) for tensor, other in zip(ones, others, strict=True))
