import warnings

import numpy as np
import pytest
from sklearn import metrics

from tsbench.evaluation.metrics import MAXIMISED, format_score, mean_scores, score, score_all, standard_error
from tsbench.recipe.registries import METRICS


def table(classes, cases=60, seed=0):
    """Random labels, probabilities that lean towards them, and the classes."""
    rng = np.random.default_rng(seed)
    names = np.array([f"class {k}" for k in range(classes)])
    truth = rng.integers(0, classes, cases)
    truth[:classes] = np.arange(classes)
    logits = rng.normal(size=(cases, classes)) + np.eye(classes)[truth]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return names[truth], probabilities, names


def by_sklearn(metric, labels, probabilities, classes):
    predicted = classes[probabilities.argmax(axis=1)]
    match metric:
        case "accuracy":
            return metrics.accuracy_score(labels, predicted)
        case "balanced_accuracy":
            return metrics.balanced_accuracy_score(labels, predicted)
        case "f1_macro":
            return metrics.f1_score(labels, predicted, average="macro")
        case "log_loss":
            return metrics.log_loss(labels, probabilities, labels=classes)
        case "roc_auc":
            if len(classes) == 2:
                return metrics.roc_auc_score(labels == classes[1], probabilities[:, 1])
            return metrics.roc_auc_score(labels, probabilities, multi_class="ovr", average="macro", labels=classes)


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_equals_that_of_sklearn(metric, classes):
    for seed in range(5):
        data = table(classes, seed=seed)
        assert score(metric, *data) == pytest.approx(by_sklearn(metric, *data), abs=1e-9), seed


@pytest.mark.parametrize("classes", [2, 4])
def test_score_all_has_every_metric_and_the_same_figures(classes):
    data = table(classes)
    scores = score_all(*data)
    assert list(scores) == list(METRICS)
    for metric, value in scores.items():
        assert type(value) is float
        assert value == pytest.approx(by_sklearn(metric, *data), abs=1e-9)


def test_only_log_loss_is_minimised():
    assert set(MAXIMISED) == set(METRICS)
    assert [metric for metric, maximised in MAXIMISED.items() if not maximised] == ["log_loss"]


@pytest.mark.parametrize("classes", [2, 3])
def test_perfect_predictions_get_the_best_scores(classes):
    labels, _, names = table(classes)
    scores = score_all(labels, (labels[:, None] == names).astype(np.float64), names)
    assert f"{scores['log_loss']:.4f}" == "0.0000"  # and not -0.0000
    assert scores.pop("log_loss") == pytest.approx(0, abs=1e-12)
    assert scores == dict.fromkeys(scores, 1.0)


def test_a_certain_error_costs_a_finite_log_loss():
    labels, names = np.array(["a", "b"]), np.array(["a", "b"])
    wrong = np.array([[0.0, 1.0], [0.0, 1.0]])
    expected = metrics.log_loss(labels, wrong, labels=names)
    assert score("log_loss", labels, wrong, names) == pytest.approx(expected, rel=1e-9)
    assert 15 < expected < 40


def test_probabilities_in_single_precision_score_as_their_double_values():
    labels, probabilities, names = table(3)
    single = probabilities.astype(np.float32)
    for metric, value in score_all(labels, single, names).items():
        assert value == pytest.approx(score(metric, labels, probabilities, names), abs=1e-6)


def test_a_label_outside_the_classes_counts_as_predicted_wrongly_with_probability_0():
    labels, probabilities, names = table(3, cases=20)
    strange = labels.copy()
    strange[:5] = "unheard of"
    right = names[probabilities.argmax(axis=1)] == labels
    predicted = names[probabilities.argmax(axis=1)]
    scores = score_all(strange, probabilities, names)
    assert scores["accuracy"] == pytest.approx(right[5:].sum() / 20)
    recalls = [(predicted[strange == label] == label).mean() for label in np.unique(strange)]
    assert len(recalls) == 4
    assert scores["balanced_accuracy"] == pytest.approx(np.mean(recalls))
    assert scores["f1_macro"] == pytest.approx(metrics.f1_score(strange, predicted, average="macro", zero_division=0))
    column = {label: k for k, label in enumerate(names)}
    known = [-np.log(probabilities[i, column[strange[i]]]) for i in range(5, 20)]
    unknown = -np.log(np.finfo(np.float64).eps)
    assert scores["log_loss"] == pytest.approx((sum(known) + 5 * unknown) / 20)
    areas = [metrics.roc_auc_score(strange == label, probabilities[:, column[label]]) for label in names]
    assert scores["roc_auc"] == pytest.approx(np.mean(areas))


def test_a_class_that_no_case_has_is_left_out_of_the_means():
    labels, probabilities, names = table(4)
    kept = labels != names[2]
    labels, probabilities = labels[kept], probabilities[kept]
    areas = [metrics.roc_auc_score(labels == names[k], probabilities[:, k]) for k in (0, 1, 3)]
    assert score("roc_auc", labels, probabilities, names) == pytest.approx(np.mean(areas))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sklearn's, on predicted classes that no case has
        expected = metrics.balanced_accuracy_score(labels, names[probabilities.argmax(axis=1)])
    assert score("balanced_accuracy", labels, probabilities, names) == pytest.approx(expected)


def test_labels_of_one_class_leave_roc_auc_out():
    labels, probabilities, names = table(3)
    labels[:] = names[1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = score_all(labels, probabilities, names)
        assert np.isnan(score("roc_auc", labels, probabilities, names))
    assert set(scores) == set(METRICS) - {"roc_auc"}
    assert scores["accuracy"] == scores["balanced_accuracy"]


def test_scoring_warns_of_nothing():
    labels, probabilities, names = table(5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        score_all(labels[labels != names[0]], probabilities[labels != names[0]], names)


def test_an_unknown_metric_is_named():
    with pytest.raises(ValueError, match="unknown metric 'kappa'"):
        score("kappa", *table(2))


def test_probabilities_that_are_not_finite_are_refused():
    labels = np.array(["a", "b"])
    with pytest.raises(ValueError, match="not all finite"):
        score("accuracy", labels, np.array([[0.5, 0.5], [np.nan, np.nan]]), labels)


def test_the_standard_error_of_folds_is_that_of_their_mean():
    scores = [0.9, 0.95, 1.0, 0.85]
    assert standard_error(scores) == pytest.approx(np.std(scores, ddof=1) / 2)
    assert np.isnan(standard_error([0.9]))


def test_repeats_do_not_make_the_standard_error_smaller():
    """They validate on the same cases: as many folds count as are in one repeat."""
    once = [0.8, 0.9, 1.0]
    assert standard_error(once * 200, repeats=200) == pytest.approx(standard_error(once) * np.sqrt(2 / 3), rel=1e-2)


def test_means_over_folds_leave_out_what_a_fold_does_not_define():
    found = mean_scores([{"accuracy": 0.5, "roc_auc": 0.5}, {"accuracy": 0.7}])
    assert found == {"accuracy": pytest.approx(0.6), "accuracy_se": pytest.approx(0.1)}
    assert mean_scores([{"accuracy": 0.5}]) == {"accuracy": 0.5}


def test_scores_are_shown_with_their_standard_error():
    assert format_score(0.95123, 0.0105) == "0.9512 ± 0.0105"
    assert format_score(-0.00001) == "0.0000"
