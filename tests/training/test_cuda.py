"""What is trained on a GPU: run by `nox -s cuda`."""

import numpy as np
import pytest
import torch

from tests.training.test_trainer import VARIED, job, model, same_bits, state, train_with, training
from tsbench.classifiers.ensemble import NetworkEnsemble
from tsbench.data.collection import Collection
from tsbench.nn.network import build_network
from tsbench.recipe.schema import HyperparameterConfig
from tsbench.training import trainer
from tsbench.training.inference import DivergedError, predict_probabilities
from tsbench.training.jobs import Series

pytestmark = [pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")]

DEVICE = "cuda:0"
LENGTHS = [12, 3, 7, 12, 1, 5, 9, 12, 2, 12, 8, 10, 4, 12, 12, 6]


def trained(*jobs, encoder="lstm", features=(), **settings):
    settings = {"epochs": 6, "batch_size": 4, "learning_rate": 0.01, **settings}
    train_with(model(encoder, features=features), training(**settings), *jobs, device=DEVICE)
    return jobs if len(jobs) > 1 else jobs[0]


def on_cpu(one, encoder="lstm", features=(), classes=2):
    """A network on the CPU with the job's weights."""
    network = build_network(model(encoder, features=features), 2, classes, 12, seed=0)
    network.load_state_dict({name: value.cpu() for name, value in one.network.state_dict().items()})
    return network.eval()


def assert_predicts_alike_on_the_cpu(one, **settings):
    assert next(one.network.parameters()).device == torch.device(DEVICE)
    there = predict_probabilities(one.network, one.series)
    here = predict_probabilities(on_cpu(one, **settings), one.series)
    np.testing.assert_allclose(there, here, rtol=0, atol=1e-3)
    assert np.ptp(here[:, 0]) > 0.01


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "auto"])
@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize("encoder", ["lstm", "gru", "transformer", "none"])
def test_networks_are_trained_on_the_gpu_and_predict_the_same_on_the_cpu(encoder, lengths, precision):
    one = trained(job(cases=16, lengths=lengths), encoder=encoder, precision=precision)
    assert one.history[-1].train_loss < one.history[0].train_loss
    for value in state(one).values():
        assert torch.isfinite(value).all()
        assert value.dtype in (torch.float32, torch.int64)
    assert_predicts_alike_on_the_cpu(one, encoder=encoder)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_features_are_computed_and_learned_on_the_gpu(lengths, keep, precision, monkeypatch):
    if not keep:
        monkeypatch.setattr(trainer, "MAX_KEPT_FEATURES", 0)
    features = ("minirocket", "spectrum")
    one = trained(job(cases=16, lengths=lengths), encoder="none", features=features, precision=precision)
    assert one.network.feature_branch.linear.weight.abs().max() > 0
    assert_predicts_alike_on_the_cpu(one, encoder="none", features=features)


def test_features_are_those_of_the_cpu():
    values, _ = job(cases=16).series.tensors(torch.device("cpu"))
    found = []
    for device in ("cpu", DEVICE):
        network = build_network(model(features=("minirocket", "spectrum")), 2, 2, 12, seed=0).to(device)
        network.prepare(values.to(device), None, seed=3)
        found.append(network.fixed_features(values.to(device), None).cpu())
    # MiniROCKET counts responses above a bias, and a response that is the bias may fall on either side.
    assert ((found[0] - found[1]).abs() > 1e-3).double().mean() < 0.02


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_augmented_and_mixed_cases_are_learned_on_the_gpu(lengths, precision):
    one = trained(job(cases=16, lengths=lengths), augmentation=VARIED, precision=precision, features=("spectrum",))
    assert all(np.isfinite(record.train_loss) for record in one.history)
    assert_predicts_alike_on_the_cpu(one, features=("spectrum",))


@pytest.mark.parametrize("checkpoint", ["last", "train_loss", "average", "validation_loss"])
def test_every_checkpoint_is_kept_on_the_gpu(checkpoint):
    one = trained(job(cases=16, lengths=LENGTHS), checkpoint=checkpoint, class_weights="balanced")
    assert_predicts_alike_on_the_cpu(one)


def test_the_random_draws_are_the_jobs_own_whatever_both_global_generators_hold():
    settings = {"augmentation": VARIED, "epochs": 1, "batch_size": 16}
    losses = []
    for seed in (1, 2):
        torch.manual_seed(seed)  # of the CPU and of every GPU
        before = torch.get_rng_state(), torch.cuda.get_rng_state(DEVICE)
        losses.append(trained(job(cases=16), **settings).history[0].train_loss)
        assert torch.equal(torch.get_rng_state(), before[0])
        assert torch.equal(torch.cuda.get_rng_state(DEVICE), before[1])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_jobs_trained_together_get_what_each_gets_alone():
    together = trained(job(seed=1, cases=16), job(seed=2, cases=16), augmentation=VARIED, epochs=2)
    for one, seed in zip(together, (1, 2), strict=True):
        alone = trained(job(seed=seed, cases=16), augmentation=VARIED, epochs=2)
        for name, value in state(alone).items():
            torch.testing.assert_close(state(one)[name], value, rtol=1e-2, atol=1e-2)
    assert not same_bits(state(together[0]), state(together[1]))


def test_a_diverging_training_is_noticed_on_the_gpu():
    with pytest.raises(DivergedError, match="the training loss became"):
        trained(job(), learning_rate=1e30, max_gradient_norm=None)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("features", [[], ["minirocket"]])
def test_an_ensemble_trained_on_the_gpu_is_saved_and_loaded_on_the_cpu_and_back(tmp_path, precision, features):
    given: Series = job(cases=16, lengths=LENGTHS).series
    cases = Collection(given.values.astype(np.float64), given.lengths, np.array(["up", "down"] * 8))
    config = HyperparameterConfig.model_validate(
        {
            "model": {
                "convolution": {"kernels": [3, 5], "channels": 3, "blocks": 1},
                "encoder": {"type": "lstm", "layers": 1, "hidden_size": 4},
                "attention": {"type": "single"},
                "features": {"blocks": features, "size": 84},
            },
            "training": {"epochs": 5, "batch_size": 4, "learning_rate": 0.01, "precision": precision, "min_steps": 0},
        }
    )
    fitted = NetworkEnsemble.fit(cases, config, [1, 2], DEVICE)
    fitted.save(tmp_path)
    expected = fitted.predict_proba(cases)
    for device in ("cpu", DEVICE):
        loaded = NetworkEnsemble.load(tmp_path, device)
        assert next(loaded.members[0].parameters()).device == torch.device(device)
        np.testing.assert_allclose(loaded.predict_proba(cases), expected, rtol=0, atol=1e-3)
    np.testing.assert_allclose(
        NetworkEnsemble.load(tmp_path).explain(cases).attention, fitted.explain(cases).attention, rtol=0, atol=1e-3
    )
