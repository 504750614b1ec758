import numpy as np
import pytest
import torch

from tsbench.nn.network import build_network
from tsbench.recipe.schema import (
    AugmentationConfig,
    ConvolutionConfig,
    EncoderConfig,
    FeaturesConfig,
    HeadConfig,
    ModelConfig,
    TrainingConfig,
)
from tsbench.training.augmentation import AUGMENTATIONS, augment, jitter, mixing, scaling, window_warping
from tsbench.training.jobs import Job, Series
from tsbench.training.trainer import train

OFF = AugmentationConfig(scaling=0, window_warping=0, jitter=0, mixup=0)
LENGTHS = [50, 1, 2, 9, 10, 37, 25, 50]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def padded_cases(lengths=LENGTHS, channels=2, steps=50):
    x = torch.randn(len(lengths), channels, steps, dtype=torch.float64, generator=seeded(11))
    lengths = torch.tensor(lengths)
    return x * (torch.arange(steps) < lengths[:, None])[:, None], lengths


def written_out(series, start, stretch):
    """One channel of one case of any length, a tenth of it played `stretch` times as long, the rest to fit."""
    length = len(series)
    window = length // 10
    warped = length + window * (stretch - 1)
    knots = [0, start, start + window * stretch, warped]
    time = np.linspace(0, warped - 1, length)
    source = np.interp(time, knots, [0, start, start + window, length])
    return np.interp(source, np.arange(length), series)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("lengths", [LENGTHS, [50] * 8])
def test_window_warping_plays_a_tenth_of_a_case_at_half_or_double_speed(lengths, seed):
    x, lengths = padded_cases(lengths)
    warped = window_warping(x, lengths, 1.0, seeded(seed))
    place, speed, _ = torch.rand(3, len(x), dtype=torch.float64, generator=seeded(seed)).numpy()
    for case, length in enumerate(lengths.tolist()):
        start = place[case] * (length - length // 10)
        for channel in range(2):
            expected = written_out(x[case, channel, :length].numpy(), start, 0.5 if speed[case] < 0.5 else 2.0)
            np.testing.assert_allclose(warped[case, channel, :length], expected, rtol=0, atol=1e-9)
        assert (warped[case, :, length:] == 0).all()


@pytest.mark.parametrize("length", [1, 2, 9])
def test_a_case_too_short_for_a_window_is_not_warped(length):
    x, lengths = padded_cases([length] * 4)
    torch.testing.assert_close(window_warping(x, lengths, 1.0, seeded()), x, rtol=0, atol=1e-12)


def test_window_warping_keeps_the_first_step_and_the_range_of_values():
    x, lengths = padded_cases([50] * 200)
    warped = window_warping(x, lengths, 1.0, seeded())
    torch.testing.assert_close(warped[:, :, 0], x[:, :, 0], rtol=0, atol=1e-9)
    assert (warped.amax(2) <= x.amax(2) + 1e-9).all()
    assert (warped.amin(2) >= x.amin(2) - 1e-9).all()


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_window_warping_changes_this_share_of_the_cases(share):
    x, lengths = padded_cases([50] * 4000, channels=1)
    changed = ((window_warping(x, lengths, share, seeded()) - x).abs() > 1e-9).any(dim=2).double().mean().item()
    assert abs(changed - share) <= 4 * np.sqrt(share * (1 - share) / 4000)


def test_half_and_double_speed_are_equally_frequent():
    # Of a ramp, the slope in the window tells its speed.
    ramp = torch.arange(50, dtype=torch.float64).expand(4000, 1, 50)
    step = window_warping(ramp, torch.full((4000,), 50), 1.0, seeded()).diff(dim=2)
    slowed = (step.amin(2) < 0.7).double().mean().item()
    assert abs(slowed - 0.5) < 4 * 0.5 / np.sqrt(4000)


@pytest.mark.parametrize("strength", [0.1, 0.5])
def test_scaling_multiplies_each_channel_by_a_factor_around_one(strength):
    x = torch.ones(3000, 2, 4, dtype=torch.float64)
    factor = scaling(x, torch.full((3000,), 4), strength, seeded())
    assert (factor == factor[:, :, :1]).all()
    assert not torch.equal(factor[:, 0], factor[:, 1])
    assert abs(factor[:, :, 0].mean().item() - 1) < 4 * strength / np.sqrt(6000)
    assert abs(factor[:, :, 0].std().item() / strength - 1) < 4 / np.sqrt(2 * 6000)


@pytest.mark.parametrize("strength", [0.1, 0.5])
def test_jitter_adds_independent_normal_noise_to_every_valid_step(strength):
    x, lengths = padded_cases(LENGTHS * 40)
    valid = (torch.arange(50) < lengths[:, None])[:, None].expand_as(x)
    noise = (jitter(x, lengths, strength, seeded()) - x)[valid]
    assert abs(noise.mean().item()) < 4 * strength / np.sqrt(len(noise))
    assert abs(noise.std().item() / strength - 1) < 4 / np.sqrt(2 * len(noise))
    assert abs(np.corrcoef(noise[1:], noise[:-1])[0, 1]) < 4 / np.sqrt(len(noise))
    assert (jitter(x, lengths, strength, seeded())[~valid] == 0).all()


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_every_augmentation_keeps_shape_type_and_the_zeros_of_padding(name):
    x, lengths = padded_cases()
    for values in (x, x.float()):
        before = values.clone()
        changed = AUGMENTATIONS[name](values, lengths, 0.9, seeded())
        assert changed.shape == x.shape
        assert changed.dtype == values.dtype
        assert torch.isfinite(changed).all()
        assert all((changed[case, :, length:] == 0).all() for case, length in enumerate(LENGTHS))
        assert torch.equal(values, before)
        assert not torch.equal(changed, values)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_a_strength_of_zero_changes_nothing_and_draws_nothing(name):
    x, lengths = padded_cases()
    generator = seeded()
    torch.testing.assert_close(AUGMENTATIONS[name](x, lengths, 0.0, generator), x, rtol=0, atol=1e-12)
    before = generator.get_state()
    assert torch.equal(augment(x, lengths, OFF, generator), x)
    assert torch.equal(generator.get_state(), before)


def test_augmentations_are_applied_in_the_order_of_the_registry():
    x, lengths = padded_cases([50] * 8)
    config = AugmentationConfig(jitter=0.3, scaling=0.2, window_warping=0.5)
    stream = seeded(4)
    expected = jitter(window_warping(scaling(x, lengths, 0.2, stream), lengths, 0.5, stream), lengths, 0.3, stream)
    for given in (lengths, None):  # None: no case is padded
        assert torch.equal(augment(x, given, config, seeded(4)), expected)


def test_what_the_global_generator_holds_changes_no_augmentation_and_no_augmentation_changes_it():
    x, lengths = padded_cases()
    config = AugmentationConfig(jitter=0.3, scaling=0.2, window_warping=0.5)
    before = torch.get_rng_state()
    first = augment(x, lengths, config, seeded()), mixing(8, 0.4, seeded())[1]
    assert torch.equal(torch.get_rng_state(), before)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        second = augment(x, lengths, config, seeded()), mixing(8, 0.4, seeded())[1]
    assert all(torch.equal(tensor, other) for tensor, other in zip(first, second, strict=True))


def test_every_augmentation_is_a_setting():
    assert set(AUGMENTATIONS) | {"mixup"} == set(AugmentationConfig.model_fields)


@pytest.mark.parametrize("alpha", [0.1, 0.4, 1.0, 5.0])
def test_mixups_share_is_beta_distributed(alpha):
    draws = 4000
    generator = seeded()
    shares = np.array([mixing(1, alpha, generator)[0] for _ in range(draws)])
    variance = 1 / (4 * (2 * alpha + 1))
    assert ((shares >= 0) & (shares <= 1)).all()
    assert abs(shares.mean() - 0.5) < 4 * np.sqrt(variance / draws)
    fourth = variance**2 * (3 - 6 / (2 * alpha + 3))  # of a symmetric Beta: its kurtosis
    assert abs(shares.var() - variance) < 4 * np.sqrt((fourth - variance**2) / draws)


@pytest.mark.parametrize("alpha", [1e-3, 1e-6, 1e3])
def test_mixups_share_is_a_share_at_extreme_settings(alpha):
    generator = seeded()
    shares = [mixing(1, alpha, generator)[0] for _ in range(200)]
    assert all(0 <= share <= 1 for share in shares)


def test_mixups_partners_are_a_permutation():
    _, partner = mixing(20, 0.4, seeded())
    assert sorted(partner.tolist()) == list(range(20))
    assert partner.tolist() != list(range(20))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("lengths", [None, [12, 3, 7, 12, 12, 5, 9, 1]])
def test_with_mixup_the_trainer_learns_by_the_mixed_series_and_both_labels(lengths, smoothing):
    rng = np.random.default_rng(0)
    lengths = np.full(8, 12) if lengths is None else np.array(lengths)
    values = rng.normal(size=(8, 2, 12)).astype(np.float32) * (np.arange(12) < lengths[:, None])[:, None]
    model = ModelConfig(
        convolution=ConvolutionConfig(kernels=(3, 5), channels=3, blocks=1),
        encoder=EncoderConfig(type="lstm", layers=1, hidden_size=4),
        features=FeaturesConfig(blocks=()),
        head=HeadConfig(hidden_sizes=(8,)),
        dropout=0.0,
    )
    # A rate this small leaves every weight as it was, so that the loss can be computed from the first weights.
    settings = TrainingConfig(
        epochs=1,
        batch_size=8,
        learning_rate=1e-30,
        label_smoothing=smoothing,
        min_steps=0,
        augmentation=OFF.model_copy(update={"mixup": 0.4}),
    )
    one = Job(Series(values.astype(np.float32), lengths), np.arange(8) % 3, 3, 5, model, settings)
    train([one])

    order = torch.randperm(8, generator=torch.Generator().manual_seed(5))
    share, partner = mixing(8, 0.4, seeded(5))  # the job's own stream
    x, y = values[order], np.arange(8)[order] % 3
    mixed = torch.from_numpy(share * x + (1 - share) * x[partner]).float()
    longer = torch.from_numpy(np.maximum(lengths[order], lengths[order][partner]))
    network = build_network(model, 2, 3, 12, seed=5)
    log_p = network(mixed, None if (lengths == 12).all() else longer).log_softmax(dim=1).detach().numpy()
    one_hot = np.eye(3) * (1 - smoothing) + smoothing / 3
    target = share * one_hot[y] + (1 - share) * one_hot[y[partner]]
    assert 0.01 < share < 0.99
    assert one.history[0].train_loss == pytest.approx(-(target * log_p).sum(axis=1).mean(), abs=1e-6)
