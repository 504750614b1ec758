import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from tsbench.recipe.schema import TrainingConfig
from tsbench.training.losses import class_weights, cross_entropy

TARGETS = torch.tensor([0, 0, 0, 1, 2, 0, 1, 0])


def logits(classes=3):
    return torch.randn(len(TARGETS), classes, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 3


def log_softmax(z):
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))


@pytest.mark.parametrize("classes", [3, 5])
def test_n18_loss_is_the_mean_cross_entropy_with_one_hot_targets(classes):
    loss = cross_entropy(TARGETS, classes, TrainingConfig(label_smoothing=0.0))
    y = np.eye(classes)[TARGETS]
    expected = np.mean([-(y[i] * log_softmax(logits(classes).numpy())[i]).sum() for i in range(len(y))])
    assert abs(loss(logits(classes), TARGETS).item() - expected) < 1e-6


@pytest.mark.parametrize("smoothing", [0.1, 0.5])
def test_n18_label_smoothing_mixes_the_one_hot_target_with_the_uniform_distribution(smoothing):
    loss = cross_entropy(TARGETS, 3, TrainingConfig(label_smoothing=smoothing))
    y = (1 - smoothing) * np.eye(3)[TARGETS] + smoothing / 3
    expected = -(y * log_softmax(logits().numpy())).sum(axis=1).mean()
    assert abs(loss(logits(), TARGETS).item() - expected) < 1e-6


def test_n18_balanced_weights_are_those_of_sklearn():
    expected = compute_class_weight("balanced", classes=np.arange(3), y=TARGETS.numpy())
    np.testing.assert_allclose(class_weights(TARGETS, 3).numpy(), expected, rtol=1e-6)


def test_n18_a_class_without_cases_weighs_nothing_and_leaves_the_others_alone():
    weights = class_weights(TARGETS, 5).numpy()
    np.testing.assert_allclose(weights[:3], class_weights(TARGETS, 3).numpy(), rtol=1e-6)
    assert weights[3:].tolist() == [0, 0]


def test_n18_balanced_loss_is_the_weighted_mean_in_which_every_class_counts_alike():
    loss = cross_entropy(TARGETS, 3, TrainingConfig(class_weights="balanced", label_smoothing=0.0))
    loss.weight = loss.weight.double()
    losses = -log_softmax(logits().numpy())[np.arange(len(TARGETS)), TARGETS]
    by_class = [losses[TARGETS.numpy() == target].mean() for target in range(3)]
    assert abs(loss(logits(), TARGETS).item() - np.mean(by_class)) < 1e-6


def test_n18_weights_come_from_all_training_targets_and_not_from_the_batch():
    loss = cross_entropy(TARGETS, 3, TrainingConfig(class_weights="balanced", label_smoothing=0.0))
    loss.weight = loss.weight.double()
    batch = [0, 1, 3]
    weights = class_weights(TARGETS, 3).double().numpy()[TARGETS[batch]]
    losses = -log_softmax(logits().numpy())[batch, TARGETS[batch]]
    expected = (weights * losses).sum() / weights.sum()
    assert abs(loss(logits()[batch], TARGETS[batch]).item() - expected) < 1e-6
