import copy
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from tsbench.nn.features.ridge import fit_ridge
from tsbench.nn.generators import Dropout, drawing_from
from tsbench.nn.network import build_network
from tsbench.recipe.schema import (
    AttentionConfig,
    AugmentationConfig,
    ConvolutionConfig,
    EncoderConfig,
    FeaturesConfig,
    HeadConfig,
    ModelConfig,
    TrainingConfig,
)
from tsbench.training import inference, trainer
from tsbench.training.inference import DivergedError, predict_probabilities
from tsbench.training.jobs import Job, Series
from tsbench.training.trainer import _Fit, _held_out, train

STEPS = 12
PLAIN = AugmentationConfig(scaling=0, window_warping=0, jitter=0, mixup=0)


def model(encoder="lstm", dropout=0.2, features=(), head="gradient"):
    return ModelConfig(
        convolution=ConvolutionConfig(kernels=(3, 5), channels=3, blocks=1),
        encoder=EncoderConfig(type=encoder, layers=1, hidden_size=4, heads=2),
        attention=AttentionConfig(type="single"),
        features=FeaturesConfig(blocks=features, size=84, head=head),
        head=HeadConfig(hidden_sizes=(8,)),
        dropout=dropout,
    )


def training(**settings):
    plain = {"scheduler": "cosine", "checkpoint": "last", "min_steps": 0, "label_smoothing": 0.0, "augmentation": PLAIN}
    return TrainingConfig(**plain | settings)


def series(cases=9, lengths=None, seed=0):
    """Ramps up for even cases and down for odd ones, with noise."""
    slope = np.where(np.arange(cases) % 2 == 0, 1, -1)[:, None, None]
    noise = np.random.default_rng(seed).normal(size=(cases, 2, STEPS))
    values = (slope * np.linspace(-1, 1, STEPS) + 0.3 * noise).astype(np.float32)
    lengths = np.full(cases, STEPS) if lengths is None else np.array(lengths)
    values *= (np.arange(STEPS) < lengths[:, None])[:, None]
    return Series(values, lengths)


def job(seed=0, cases=9, data=0, classes=2, lengths=None):
    return Job(series(cases, lengths, data), np.arange(cases) % classes, classes, seed, model(), training())


def train_with(model, training, *jobs, **arguments):
    for job in jobs:
        job.model, job.training = model, training
    train(jobs, **arguments)


def fit_of(model, training, job):
    job.model, job.training = model, training
    return _Fit(job, torch.device("cpu"))


def trained(*jobs, encoder="lstm", dropout=0.2, features=(), **settings):
    settings = {"epochs": 3, "batch_size": 4, "learning_rate": 0.01, **settings}
    train_with(model(encoder, dropout, features), training(**settings), *jobs)
    return jobs if len(jobs) > 1 else jobs[0]


def state(one):
    return {name: value.clone() for name, value in one.network.state_dict().items()}


def same_bits(first, second):
    return all(torch.equal(first[name], second[name]) for name in first | second)


def epoch_states(one, **settings):
    """The job's weights after each epoch."""
    states, features = [], settings.pop("features", ())
    train_with(model(features=features), training(**settings), one, on_epoch=lambda epoch: states.append(state(one)))
    return states


VARIED = AugmentationConfig(scaling=0.1, window_warping=0.5, jitter=0.1, mixup=0.4)


@pytest.mark.parametrize(
    ("encoder", "settings"),
    [
        ("lstm", {}),
        ("transformer", {}),
        ("none", {"features": ("minirocket", "spectrum")}),
        ("lstm", {"features": ("minirocket",), "augmentation": VARIED, "checkpoint": "average"}),
        ("lstm", {"checkpoint": "validation_loss", "validation_share": 0.3, "min_steps": 20}),
    ],
)
def test_jobs_trained_together_get_to_the_bit_what_each_gets_alone(encoder, settings):
    def jobs():
        return [
            job(seed=1),
            job(seed=2),
            job(seed=1, cases=11, data=5, lengths=[12, 3, 7, 12, 12, 5, 9, 12, 2, 12, 12]),
        ]

    together = trained(*jobs(), encoder=encoder, **settings)
    for one, alone in zip(together, jobs(), strict=True):
        trained(alone, encoder=encoder, **settings)
        assert same_bits(state(one), state(alone))
        assert one.history == alone.history


def test_the_same_seed_gives_the_same_bits_and_another_seed_others():
    first, second, other = (trained(job(seed)) for seed in (3, 3, 4))
    assert same_bits(state(first), state(second))
    assert first.history == second.history
    assert not same_bits(state(first), state(other))
    assert first.history != other.history


def test_what_the_global_generator_holds_changes_nothing():
    torch.manual_seed(1)
    first = trained(job())
    torch.manual_seed(2)
    torch.rand(5)
    assert same_bits(state(first), state(trained(job())))


def test_training_and_predicting_leave_the_global_generator_as_it_was():
    torch.manual_seed(11)
    before = torch.get_rng_state()
    one = trained(job())
    predict_probabilities(one.network, one.series)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_training_that_ends_in_an_error_leaves_the_global_generator_as_it_was():
    torch.manual_seed(11)
    before = torch.get_rng_state()
    with pytest.raises(DivergedError):
        trained(job(), learning_rate=1e30, max_gradient_norm=None)
    assert torch.equal(torch.get_rng_state(), before)


def test_trained_in_threads_jobs_get_to_the_bit_what_each_gets_alone_and_others_draw_what_they_would():
    def fit(one):
        trained(one, epochs=8, features=("minirocket",), dropout=0.5, augmentation=VARIED)
        return one

    expected = [state(fit(job(seed))) for seed in (1, 2)]
    stream = torch.Generator().manual_seed(11)
    jobs = [job(1), job(2)]
    threads = [threading.Thread(target=fit, args=(job,)) for job in jobs]
    with torch.random.fork_rng():
        torch.manual_seed(11)
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):  # this thread draws from the global generator meanwhile
            assert torch.equal(torch.rand(3), torch.rand(3, generator=stream))
    for thread, one, alone in zip(threads, jobs, expected, strict=True):
        thread.join()
        assert same_bits(state(one), alone)


def test_a_trained_network_holds_no_generator():
    one = trained(job(), dropout=0.5)
    layers = [layer for layer in one.network.modules() if isinstance(layer, Dropout)]
    assert layers
    assert all(layer.generator is None for layer in layers)


def test_the_history_has_the_loss_and_the_rate_of_each_epoch():
    one = trained(job(), epochs=4, scheduler="constant")
    assert len(one.history) == 4
    assert [record.learning_rate for record in one.history] == [0.01] * 4
    assert all(0 < record.train_loss < 2 for record in one.history)
    assert not one.network.training


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_the_loss_of_an_epoch_is_the_mean_over_all_cases_each_seen_once_in_a_new_order(dropout):
    # A rate this small leaves every weight as it was, so each epoch's loss can be computed from the first weights.
    one = trained(job(seed=5, cases=11), dropout=dropout, epochs=3, learning_rate=1e-30)
    network = build_network(model(dropout=dropout), 2, 2, STEPS, seed=5)
    values, targets = torch.from_numpy(one.series.values), torch.from_numpy(one.targets)
    order = torch.Generator().manual_seed(5)
    stream = torch.Generator().manual_seed(5)  # of dropout; it runs on from epoch to epoch
    with drawing_from(stream, network):
        for record in one.history:
            losses = []
            for batch in torch.randperm(11, generator=order).split([4, 4, 3]):
                p = network(values[batch]).softmax(dim=1)[range(len(batch)), targets[batch]]
                losses += (-torch.log(p)).tolist()
            assert record.train_loss == pytest.approx(np.mean(losses), abs=1e-6)
    assert len({record.train_loss for record in one.history}) == 3


@pytest.mark.parametrize(
    ("cases", "batch_size", "steps"),
    [(8, 4, 2), (9, 4, 2), (10, 4, 3), (13, 4, 3), (3, 16, 1), (1, 16, 1), (2, 1, 2), (17, 16, 1)],
)
def test_a_last_batch_of_one_case_is_joined_to_the_one_before(cases, batch_size, steps):
    one = trained(job(cases=cases), epochs=2, batch_size=batch_size)
    assert one.network.convolution.blocks[0].norm.num_batches_tracked == 2 * steps


SWINGING = {"epochs": 12, "batch_size": 4, "learning_rate": 0.5, "scheduler": "constant"}


def test_the_train_loss_checkpoint_keeps_the_weights_of_the_epoch_with_the_lowest_loss():
    one = job(seed=4)
    states = epoch_states(one, checkpoint="train_loss", **SWINGING)
    lowest = int(np.argmin([record.train_loss for record in one.history]))
    assert lowest < 11  # else it would be no different from the last
    assert same_bits(state(one), states[lowest])
    assert not same_bits(state(one), states[-1])


def test_the_last_checkpoint_keeps_the_last_epochs_weights():
    one = job(seed=1)
    states = epoch_states(one, checkpoint="last", **SWINGING)
    assert same_bits(state(one), states[-1])


def test_on_epoch_is_called_once_after_each_epoch_of_all_jobs():
    jobs, seen = [job(1), job(2)], []
    train_with(
        model(),
        training(epochs=3),
        *jobs,
        on_epoch=lambda epoch: seen.append((epoch, [len(job.history) for job in jobs])),
    )
    assert seen == [(1, [1, 1]), (2, [2, 2]), (3, [3, 3])]


def test_jobs_of_different_settings_train_together_as_each_does_alone():
    def jobs():
        settings = [(0.2, training(epochs=2)), (0.0, training(epochs=4, batch_size=3))]
        return [replace(job(), model=model(dropout=dropout), training=chosen) for dropout, chosen in settings]

    together, alone = jobs(), jobs()
    train(together)
    for one in alone:
        train([one])
    assert [len(one.history) for one in together] == [2, 4]
    assert all(same_bits(state(first), state(second)) for first, second in zip(together, alone, strict=True))


def test_on_epoch_may_raise_to_end_the_training():
    jobs = [job(1), job(2)]

    def stop(epoch):
        if epoch == 2:
            raise TimeoutError("out of time")

    with pytest.raises(TimeoutError, match="out of time"):
        train_with(model(), training(epochs=50), *jobs, on_epoch=stop)
    assert [len(job.history) for job in jobs] == [2, 2]


def test_a_diverging_training_names_the_epoch():
    one = job()
    with pytest.raises(DivergedError, match=r"the training loss became (nan|inf) in epoch \d+") as raised:
        trained(one, learning_rate=1e30, max_gradient_norm=None)
    assert f"in epoch {len(one.history) + 1}" in str(raised.value)
    assert all(np.isfinite(record.train_loss) for record in one.history)


def test_n16_dropout_drops_in_training_and_not_in_prediction():
    dropping, keeping = trained(job(), dropout=0.5), trained(job(), dropout=0.0)
    assert dropping.history != keeping.history
    values, lengths = dropping.series.tensors(torch.device("cpu"))
    dropping.network.train()
    assert not torch.equal(dropping.network(values, lengths), dropping.network(values, lengths))
    first, second = (predict_probabilities(dropping.network, dropping.series) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_n16_a_unit_is_dropped_with_probability_p_while_training(p):
    dropout = trained(job(), dropout=p).network.dropout.train()
    torch.manual_seed(0)
    out = dropout(torch.ones(40000))
    assert abs((out == 0).float().mean().item() - p) < 4 * np.sqrt(p * (1 - p) / 40000)
    assert out.max().item() == pytest.approx(1 / (1 - p))
    assert torch.equal(dropout.eval()(torch.ones(9)), torch.ones(9))


def written_out(theta, gradients, rates, decay):
    """Row N19 in NumPy: Adam's two moments with decoupled weight decay, over the steps of one parameter."""
    beta1, beta2, eps = 0.9, 0.999, 1e-8
    m = v = np.zeros_like(theta)
    for t, (g, eta) in enumerate(zip(gradients, rates, strict=True), 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
        theta = theta - eta * m_hat / (np.sqrt(v_hat) + eps) - eta * decay * theta
    return theta


@pytest.mark.parametrize("limit", [None, 0.01])
@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("scheduler", ["constant", "cosine"])
def test_n19_weights_move_as_adamw_is_written(scheduler, decay, limit):
    settings = training(epochs=6, learning_rate=0.02, weight_decay=decay, scheduler=scheduler, max_gradient_norm=limit)
    fit = fit_of(model(dropout=0.0), settings, job(cases=8))
    fit.network.double()
    fit.values = fit.values.double()
    cases = torch.arange(8)
    start = [parameter.detach().numpy().copy() for parameter in fit.parameters]
    gradients, rates = [], []
    for _ in range(6):
        twin = copy.deepcopy(fit.network)
        fit.loss(twin(fit.values), fit.targets).backward()
        of_step = [parameter.grad.numpy() for parameter in twin.parameters()]
        norm = np.sqrt(sum((gradient**2).sum() for gradient in of_step))
        shrink = 1.0 if limit is None else min(1.0, limit / (norm + 1e-6))
        gradients.append([gradient * shrink for gradient in of_step])
        rates.append(fit.schedule.rate)
        fit.run_step(cases)
    for number, parameter in enumerate(fit.parameters):
        expected = written_out(start[number], [step[number] for step in gradients], rates, decay)
        np.testing.assert_allclose(parameter.detach().numpy(), expected, rtol=0, atol=1e-6)
        assert np.abs(expected - start[number]).max() > 1e-3
    assert len(set(rates)) == (1 if scheduler == "constant" else 6)


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("lengths", [None, [12, 3, 7, 12, 1, 5, 9, 12, 2]])
def test_n17_probabilities_have_rows_that_sum_to_one(classes, lengths):
    one = trained(job(classes=classes, lengths=lengths), epochs=1)
    p = predict_probabilities(one.network, one.series)
    assert p.shape == (9, classes)
    assert p.dtype == np.float32
    assert (p >= 0).all()
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=0, atol=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_predicting_leaves_the_networks_mode_and_statistics(training):
    one = trained(job(), epochs=1)
    one.network.train(training)
    before = state(one)
    predict_probabilities(one.network, one.series)
    assert one.network.training is training
    assert all(module.training is training for module in one.network.modules())
    assert same_bits(state(one), before)


@pytest.mark.parametrize("lengths", [None, [12, 3, 7, 12, 1, 5, 9, 12, 2]])
@pytest.mark.parametrize("batch_size", [1, 2, 4, 8])
def test_batch_size_changes_no_prediction(batch_size, lengths):
    one = trained(job(lengths=lengths), epochs=1)
    whole = predict_probabilities(one.network, one.series)
    in_parts = predict_probabilities(one.network, one.series, batch_size=batch_size)
    np.testing.assert_allclose(in_parts, whole, rtol=0, atol=1e-6)


@pytest.mark.parametrize("encoder", ["lstm", "gru", "transformer", "none"])
def test_a_tiny_separable_problem_is_learned(encoder):
    one = trained(job(cases=16), encoder=encoder, epochs=25, batch_size=8, learning_rate=0.02)
    assert (predict_probabilities(one.network, one.series).argmax(axis=1) == one.targets).all()
    fresh = series(cases=40, seed=9)
    assert (predict_probabilities(one.network, fresh).argmax(axis=1) == np.arange(40) % 2).mean() > 0.9


def test_cases_of_unequal_lengths_are_learned():
    lengths = [12, 7, 12, 8, 10, 9, 6, 12, 12, 6, 7, 12, 12, 12, 9, 11]
    one = trained(job(cases=16, lengths=lengths), epochs=40, batch_size=8, learning_rate=0.02)
    assert (predict_probabilities(one.network, one.series).argmax(axis=1) == one.targets).all()


def test_padding_the_cases_further_changes_neither_training_nor_prediction():
    lengths = [12, 3, 7, 12, 1, 5, 9, 12, 2]
    one, longer = job(lengths=lengths), job(lengths=lengths)
    longer.series = Series(np.pad(longer.series.values, ((0, 0), (0, 0), (0, 10))), longer.series.lengths)
    trained(one, dropout=0.0), trained(longer, dropout=0.0)
    for here, there in zip(one.history, longer.history, strict=True):
        assert here.train_loss == pytest.approx(there.train_loss, abs=1e-4)
    expected = predict_probabilities(one.network, one.series)
    # Of a bias in front of batch normalisation the gradient is rounding alone, which AdamW scales up to whole steps.
    np.testing.assert_allclose(predict_probabilities(longer.network, longer.series), expected, rtol=0, atol=1e-2)


@pytest.mark.parametrize("checkpoint", ["last", "train_loss"])
def test_a_step_that_diverges_in_the_last_epoch_is_noticed(checkpoint):
    with pytest.raises(DivergedError, match="the weights are not finite after the last epoch"):
        trained(job(cases=4), epochs=1, batch_size=4, learning_rate=1e38, max_gradient_norm=None, checkpoint=checkpoint)


def test_outputs_that_are_not_finite_are_refused():
    one = trained(job())
    with torch.no_grad():
        one.network.head.layers[-1].bias.fill_(float("nan"))
    with pytest.raises(DivergedError, match="the network's outputs are not finite"):
        predict_probabilities(one.network, one.series)


def test_no_cases_give_no_probabilities():
    one = trained(job(classes=3))
    nothing = Series(one.series.values[:0], one.series.lengths[:0])
    assert predict_probabilities(one.network, nothing).shape == (0, 3)


def test_the_loss_of_an_epoch_weighs_cases_as_their_classes_are_weighed():
    one = Job(series(7), np.array([0, 0, 0, 0, 0, 1, 1]), 2, 5, model(), training())
    trained(one, epochs=1, learning_rate=1e-30, dropout=0.0, class_weights="balanced")
    network = build_network(model(dropout=0.0), 2, 2, STEPS, seed=5)
    values, targets = torch.from_numpy(one.series.values), torch.from_numpy(one.targets)
    weights = torch.tensor([7 / (2 * 5), 7 / (2 * 2)])[targets]
    order, total = torch.Generator().manual_seed(5), 0.0
    for batch in torch.randperm(7, generator=order).split([4, 3]):
        p = network(values[batch]).softmax(dim=1)[range(len(batch)), targets[batch]]
        total += (-torch.log(p) * weights[batch]).sum().item()
    assert one.history[0].train_loss == pytest.approx(total / float(weights.sum()), abs=1e-6)


@pytest.mark.parametrize(
    ("cases", "epochs", "min_steps", "passes"),
    [(8, 3, 0, 1), (8, 3, 6, 1), (8, 3, 7, 2), (8, 3, 100, 17), (5, 4, 9, 3), (1, 2, 3, 2)],
)
@pytest.mark.parametrize("warmup_epochs", [0, 1])
def test_an_epoch_passes_over_few_cases_until_there_are_min_steps_in_all(
    cases, epochs, min_steps, passes, warmup_epochs
):
    one = trained(job(cases=cases), epochs=epochs, min_steps=min_steps, warmup_epochs=warmup_epochs)
    of_epoch = passes * (2 if cases == 8 else 1)
    steps = epochs * of_epoch
    assert one.network.convolution.blocks[0].norm.num_batches_tracked == steps >= min_steps
    assert len(one.history) == epochs
    # The cosine of row N20 ends with the training: its last step is one before the end of the half wave.
    waves = steps - warmup_epochs * of_epoch
    expected = 0.01 / 2 * (1 + np.cos(np.pi * (waves - 1) / waves))
    assert one.history[-1].learning_rate == pytest.approx(expected, rel=1e-9)


def test_the_loss_of_an_epoch_of_several_passes_is_the_mean_over_all_of_them():
    one = trained(job(seed=5, cases=6), dropout=0.0, epochs=2, min_steps=12, learning_rate=1e-30)
    network = build_network(model(dropout=0.0), 2, 2, STEPS, seed=5)
    values, targets = torch.from_numpy(one.series.values), torch.from_numpy(one.targets)
    order = torch.Generator().manual_seed(5)
    for record in one.history:
        losses = []
        for _ in range(3):
            for batch in torch.randperm(6, generator=order).split([4, 2]):
                p = network(values[batch]).softmax(dim=1)[range(len(batch)), targets[batch]]
                losses += (-torch.log(p)).tolist()
        assert record.train_loss == pytest.approx(np.mean(losses), abs=1e-6)


@pytest.mark.parametrize(("epochs", "averaged"), [(12, 3), (5, 2), (2, 1), (1, 1)])
def test_the_average_checkpoint_is_the_mean_of_the_states_after_the_last_quarters_epochs(epochs, averaged):
    one = job(seed=1)
    states = epoch_states(one, checkpoint="average", features=("spectrum",), **SWINGING | {"epochs": epochs})
    last = states[-averaged:]
    for name, value in state(one).items():
        if value.is_floating_point():
            expected = torch.stack([each[name].double() for each in last]).mean(0).float()
            torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-5)
    if averaged > 1:
        assert not same_bits(state(one), states[-1])


HOLDING = {"checkpoint": "validation_loss", "validation_share": 0.3}


def held_out(one):
    """The cases that the job's trainer holds out."""
    return _held_out(one.targets, 0.3, torch.Generator().manual_seed(one.seed))[1]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("share", [0.01, 0.1, 0.3, 0.5, 0.99])
def test_cases_are_held_out_by_class_and_each_class_keeps_one_at_least(share, seed):
    targets = np.repeat([0, 1, 2, 4], [10, 1, 2, 7])  # no case is of class 3
    kept, apart = _held_out(targets, share, torch.Generator().manual_seed(seed))
    assert sorted(torch.cat([kept, apart]).tolist()) == list(range(20))
    for label, count in [(0, 10), (1, 1), (2, 2), (4, 7)]:
        assert (targets[apart] == label).sum() == min(round(share * count), count - 1)
        assert (targets[kept] == label).sum() >= 1


@pytest.mark.parametrize("seed", range(4))
def test_groups_are_held_out_whole(seed):
    random = np.random.default_rng(seed)
    targets, groups = random.integers(3, size=120), random.integers(15, size=120)
    kept, apart = _held_out(targets, 0.3, torch.Generator().manual_seed(seed), groups)
    assert sorted([*kept.tolist(), *apart.tolist()]) == list(range(120))
    assert not set(groups[kept]) & set(groups[apart])
    assert 12 <= len(apart) <= 36
    assert set(targets[kept]) == {0, 1, 2}


def test_other_cases_are_held_out_for_another_seed():
    chosen = [frozenset(held_out(job(seed, cases=30)).tolist()) for seed in range(4)]
    assert len(set(chosen)) > 1


@pytest.mark.parametrize("features", [(), ("minirocket", "spectrum")])
@pytest.mark.parametrize("lengths", [None, [12, 3, 7, 12, 1, 5, 9, 12, 2, 12, 8, 10]])
def test_held_out_cases_are_never_trained_on(features, lengths):
    settings = {"epochs": 4, "batch_size": 4, "learning_rate": 0.01, "features": features, **HOLDING}
    one, other = (job(seed=2, cases=12, lengths=lengths) for _ in range(2))
    apart = held_out(one)
    assert len(apart) == 4
    other.series.values[apart] *= 100
    first, second = epoch_states(one, **settings), epoch_states(other, **settings)
    assert all(same_bits(*states) for states in zip(first, second, strict=True))
    assert one.history == other.history
    third = job(seed=2, cases=12, lengths=lengths)
    third.series.values[~np.isin(np.arange(12), apart)] *= 2  # while the others are
    assert not same_bits(epoch_states(third, **settings)[-1], first[-1])


@pytest.mark.parametrize("features", [(), ("spectrum",)])
def test_the_validation_checkpoint_keeps_the_weights_of_the_epoch_with_the_lowest_held_out_loss(features):
    one = job(seed=1, cases=20)
    states = epoch_states(one, features=features, **SWINGING, **HOLDING)
    apart = held_out(one)
    targets, losses = one.targets[apart], []
    for each in states:
        network = build_network(model(features=features), 2, 2, STEPS, seed=0)
        network.load_state_dict(each)
        p = predict_probabilities(network, Series(one.series.values[apart], one.series.lengths[apart]))
        losses.append(-np.log(p.astype(np.float64)[range(len(apart)), targets]).mean())
    lowest = int(np.argmin(losses))
    assert lowest not in (11, int(np.argmin([record.train_loss for record in one.history])))
    assert same_bits(state(one), states[lowest])


def test_where_no_class_has_a_case_to_spare_the_lowest_training_loss_decides():
    one = Job(series(3), np.array([0, 1, 2]), 3, 4, model(), training())
    states = epoch_states(one, **SWINGING, **HOLDING)
    lowest = int(np.argmin([record.train_loss for record in one.history]))
    assert same_bits(state(one), states[lowest])


@pytest.mark.parametrize("lengths", [None, [12, 3, 7, 12, 1, 5, 9, 12, 2]])
@pytest.mark.parametrize("settings", [{}, HOLDING, {"augmentation": PLAIN.model_copy(update={"jitter": 1e-12})}])
def test_features_kept_and_features_computed_anew_give_the_same_network(settings, lengths, monkeypatch):
    settings = {"features": ("minirocket", "spectrum"), "checkpoint": "last", **settings}
    kept, anew = job(lengths=lengths), job(lengths=lengths)
    trained(kept, **settings)
    monkeypatch.setattr(inference, "MAX_KEPT_FEATURES", 0)
    trained(anew, **settings)
    for name, value in state(kept).items():
        torch.testing.assert_close(state(anew)[name], value, rtol=1e-4, atol=1e-4)
    assert kept.network.feature_branch.linear.weight.abs().max() > 0


@pytest.mark.parametrize("many", [0, inference.MAX_KEPT_FEATURES])
def test_features_are_computed_in_full_precision_whatever_that_of_the_training(many, monkeypatch):
    monkeypatch.setattr(inference, "MAX_KEPT_FEATURES", many)
    fit = fit_of(model(features=("minirocket",)), training(precision="bfloat16"), job())
    given = []
    fit.network.feature_branch.register_forward_pre_hook(lambda module, args: given.append(args[0]))
    fit.loss_of(torch.arange(9))
    expected = fit.network.feature_branch.features(fit.values)
    torch.testing.assert_close(given[0], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("lengths", [None, [12, 3, 7, 12, 1, 5, 9, 12, 2]])
@pytest.mark.parametrize("encoder", ["lstm", "gru", "transformer", "none"])
def test_bfloat16_trains_finite_weights_that_are_float32(encoder, lengths):
    half, full = job(lengths=lengths), job(lengths=lengths)
    trained(half, encoder=encoder, precision="bfloat16", features=("spectrum",))
    trained(full, encoder=encoder, precision="float32", features=("spectrum",))
    for value in state(half).values():
        assert torch.isfinite(value).all()
        assert value.dtype in (torch.float32, torch.int64)
    assert not same_bits(state(half), state(full))
    for epoch, other in zip(half.history, full.history, strict=True):
        assert epoch.train_loss == pytest.approx(other.train_loss, rel=0.1)


def test_auto_precision_on_a_cpu_is_float32():
    auto, full = trained(job(), precision="auto"), trained(job(), precision="float32")
    assert same_bits(state(auto), state(full))


# --- cases that are drawn from where they lie


class _Lying:
    """Series as a memory map gives them: those that are asked for, and a note of how many were."""

    def __init__(self, values):
        self.values, self.most = values, 0

    @property
    def shape(self):
        return self.values.shape

    def __len__(self):
        return len(self.values)

    def __getitem__(self, which):
        drawn = self.values[which].copy()
        self.most = max(self.most, len(drawn))
        return drawn


@pytest.mark.parametrize("features", [[], ["minirocket"]])
@pytest.mark.parametrize("checkpoint", ["last", "validation_loss"])
def test_drawn_cases_train_the_network_that_cases_in_memory_train(features, checkpoint):
    random = np.random.default_rng(2)
    values = random.normal(size=(40, 2, 12)).astype(np.float32)
    lengths = random.integers(9, 13, 40)
    values *= np.arange(12) < lengths[:, None, None]
    targets = np.arange(40) % 3
    model = ModelConfig.model_validate(
        {"features": {"blocks": features, "size": 84}, "convolution": {"channels": 4, "blocks": 1}}
    )
    training = TrainingConfig(epochs=2, batch_size=8, checkpoint=checkpoint)
    resident, lying = Series(values, lengths), Series(source := _Lying(values), lengths)
    probabilities = []
    for series in (resident, lying):
        job = Job(series, targets, 3, 4, model, training)
        train([job])
        probabilities.append(predict_probabilities(job.network, series, batch_size=16))
    np.testing.assert_array_equal(probabilities[0], probabilities[1])
    assert source.most <= 40


# --- features whose classifier is solved for


def solving(*jobs, **settings):
    settings = {"epochs": 2, "batch_size": 4, "learning_rate": 0.01, **settings}
    train_with(model(features=("minirocket", "hydra"), head="ridge"), training(**settings), *jobs)
    return jobs if len(jobs) > 1 else jobs[0]


def test_a_solved_feature_branch_is_that_of_the_ridge_and_training_leaves_it_alone():
    one = solving(job())
    branch, (values, lengths) = one.network.feature_branch, one.series.tensors(torch.device("cpu"))
    fitted = fit_ridge(branch._standardised(branch.features(values, lengths)), torch.from_numpy(one.targets), 2)
    found = branch(branch.features(values, lengths)).softmax(1)
    expected = branch._standardised(branch.features(values, lengths)) @ fitted.weight.T + fitted.bias
    torch.testing.assert_close(found, expected.softmax(1), rtol=0, atol=1e-5)
    assert branch.linear.weight.grad is None
    learned = one.network.learned(values, lengths)
    assert one.history[-1].train_loss < np.log(2)
    assert (learned.argmax(1).numpy() == one.targets).mean() > 0.5


def test_with_too_many_cases_for_the_closed_form_the_features_are_trained_along(monkeypatch):
    monkeypatch.setattr(trainer, "MAX_CASES", 8)
    one = solving(job())
    assert not one.network.feature_branch.solved
    assert one.network.feature_branch.linear.weight.abs().max() > 0


def test_balanced_classes_and_groups_reach_the_closed_form():
    plain, balanced, grouped = job(), job(), job()
    plain.targets = balanced.targets = grouped.targets = np.array([0, 0, 0, 0, 0, 0, 0, 1, 1])
    grouped.groups = np.array([0, 0, 0, 1, 1, 1, 2, 3, 4])
    solving(plain), solving(balanced, class_weights="balanced"), solving(grouped)
    weights = [one.network.feature_branch.linear.weight for one in (plain, balanced, grouped)]
    assert not torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
