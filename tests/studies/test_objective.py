import numpy as np
import pytest

from tsbench.classifiers.ensemble import NetworkEnsemble
from tsbench.data.archive import Archive
from tsbench.data.collection import Collection, TrainingSet
from tsbench.evaluation.metrics import score
from tsbench.recipe.schema import (
    ConvolutionConfig,
    EncoderConfig,
    HyperparameterConfig,
    ModelConfig,
    SearchConfig,
    TrainingConfig,
)
from tsbench.studies.objective import CrossValidation, InfeasibleError, Rung, confirmation_of, rungs
from tsbench.studies.specification import derive_seed, folds_of

SETTINGS = HyperparameterConfig(
    model=ModelConfig(convolution=ConvolutionConfig(channels=4), encoder=EncoderConfig(hidden_size=4, layers=1)),
    training=TrainingConfig(epochs=12),
)


def training_set(name: str = "ItalyPowerDemand") -> TrainingSet:
    return Archive().load(name).training_set()


def test_rungs_are_about_ten_and_end_with_the_last_epoch() -> None:
    assert sorted(rungs(100)) == [10, 20, 30, 40, 50, 60, 70, 80, 90, 100]
    assert sorted(rungs(3)) == [1, 2, 3]
    assert max(rungs(37)) == 37
    assert len(rungs(37)) == 10


def test_scores_are_the_means_over_the_folds_of_networks_trained_on_the_other_folds() -> None:
    data, search = training_set(), SearchConfig(folds=3)
    validation = CrossValidation(data, SETTINGS, search, seed=5)
    validation.run()
    expected = []
    for number, (train, held_out) in enumerate(folds_of(data, search, 5)):
        one = NetworkEnsemble.fit(data.cases.subset(train), SETTINGS, [derive_seed(5, 1, number)])
        cases, expected_network = data.cases.subset(held_out), one.members[0]
        expected.append(score("accuracy", cases.labels, one.predict_proba(cases), one.classes))
    assert validation.scores["accuracy"] == pytest.approx(np.mean(expected), abs=1e-12)
    metrics = {"accuracy", "balanced_accuracy", "f1_macro", "log_loss", "roc_auc"}
    errors = {f"{metric}_se" for metric in metrics}
    assert set(validation.scores) == metrics | errors | {"predict_seconds", "parameters"}
    assert validation.scores["accuracy_se"] == pytest.approx(np.std(expected, ddof=1) / np.sqrt(3), abs=1e-12)
    assert validation.scores["parameters"] == sum(parameter.numel() for parameter in expected_network.parameters())
    assert 0 < validation.scores["predict_seconds"] < validation.seconds


def test_out_of_fold_probabilities_of_repeated_folds_are_of_the_first_draw() -> None:
    data = training_set()
    once, twice = (CrossValidation(data, SETTINGS, SearchConfig(folds=2, repeats=n), seed=5) for n in (1, 2))
    for validation in (once, twice):
        validation.run()
    assert once.out_of_fold is not None
    assert twice.out_of_fold is not None
    np.testing.assert_array_equal(once.out_of_fold.probabilities, twice.out_of_fold.probabilities)
    scores = [curve[-1][1] for curve in twice.fold_scores]
    assert len(scores) == 4
    assert scores[:2] == [curve[-1][1] for curve in once.fold_scores]
    assert twice.scores["accuracy"] == pytest.approx(np.mean(scores), abs=1e-12)
    assert twice.scores["accuracy_se"] == pytest.approx(np.std(scores, ddof=1) / np.sqrt(2), abs=1e-12)


def test_a_network_with_too_many_parameters_is_not_trained() -> None:
    whole = CrossValidation(training_set(), SETTINGS, SearchConfig(folds=2), seed=5)
    whole.run()
    count = int(whole.scores["parameters"])
    search = SearchConfig.model_validate({"folds": 2, "constraints": {"parameters": count - 1}})
    ended = CrossValidation(training_set(), SETTINGS, search, seed=5)
    sentence = f"the network has {count:,} parameters, more than search.constraints.parameters, {count - 1:,}"
    with pytest.raises(InfeasibleError, match=sentence):
        ended.run()
    assert (ended.scores, ended.curves) == ({"parameters": count}, {})
    allowed = SearchConfig.model_validate({"folds": 2, "constraints": {"parameters": count}})
    same = CrossValidation(training_set(), SETTINGS, allowed, seed=5)
    same.run()
    assert same.fold_scores == whole.fold_scores
    confirmation_of(training_set(), SETTINGS, search, seed=6).run()  # only trials are judged


def test_a_prediction_that_takes_too_long_is_noticed_with_the_scores() -> None:
    search = SearchConfig.model_validate({"folds": 2, "constraints": {"predict_seconds": 1e-6}})
    slow = CrossValidation(training_set(), SETTINGS, search, seed=5)
    with pytest.raises(
        InfeasibleError, match=r"predicting took .* s, more than search.constraints.predict_seconds, 1e-06"
    ):
        slow.run()
    assert slow.scores["accuracy"] > 0


def test_a_fold_that_does_not_define_the_searched_metric_ends_the_trial_with_a_reason() -> None:
    """One group has cases of one class only, and there are as many groups as folds."""
    chance = np.random.default_rng(0)
    labels, groups = np.array(["a"] * 6 + ["a", "b"] * 3), np.array(["1"] * 6 + ["2"] * 6)
    cases = Collection(chance.normal(size=(12, 1, 20)), np.full(12, 20), labels, groups=groups)
    validation = CrossValidation(
        TrainingSet("groups", cases), SETTINGS, SearchConfig(folds=2, metric="roc_auc"), seed=5
    )
    with pytest.raises(ValueError, match="a fold does not define roc_auc, which is searched"):
        validation.run()


def test_a_confirmation_has_as_many_held_out_parts_as_folds() -> None:
    search = SearchConfig(holdout_above=20, folds=3)
    trial = CrossValidation(training_set(), SETTINGS, search, seed=5, part=4)
    again = confirmation_of(training_set(), SETTINGS, search, seed=6)
    for validation, parts in ((trial, 1), (again, 3)):
        validation.run()
        assert len(validation.fold_scores) == parts
        assert ("accuracy_se" in validation.scores) == (parts > 1)


def test_the_same_seed_gives_the_same_bits_and_another_seed_others() -> None:
    def scores(seed: int) -> list[tuple[int, float]]:
        validation = CrossValidation(training_set(), SETTINGS, SearchConfig(folds=2), seed)
        validation.run()
        return validation.curves["train_loss"]

    assert scores(1) == scores(1)
    assert scores(1) != scores(2)


def test_the_searched_metric_is_reported_at_rungs_and_its_curve_ends_with_the_score() -> None:
    reported: list[Rung] = []
    epochs: list[int] = []
    validation = CrossValidation(training_set(), SETTINGS, SearchConfig(folds=2, metric="f1_macro"), seed=0)
    validation.run(reported.append, epochs.append)
    assert epochs == list(range(1, 13))
    assert [rung.step for rung in reported] == list(range(1, 10))
    assert all(rung.mean == rung.score for rung in reported)
    on_the_way = list(zip(sorted(set(rungs(12)) - {12}), [rung.score for rung in reported], strict=True))
    assert validation.curves["cv_f1_macro"] == [*on_the_way, (12, validation.scores["f1_macro"])]
    assert len(validation.curves["learning_rate"]) == 12


def test_rungs_count_to_ten_whatever_the_epochs() -> None:
    assert rungs(100) == {10 * rung: rung for rung in range(1, 11)}
    assert rungs(4) == {1: 2, 2: 5, 3: 8, 4: 10}
    assert rungs(1) == {1: 10}


def test_folds_are_scored_less_often_where_nobody_prunes() -> None:
    assert rungs(100, 4) == rungs(100)
    assert rungs(20, 4) == {4: 2, 8: 4, 12: 6, 16: 8, 20: 10}
    assert rungs(4, 4) == {2: 5, 4: 10}
    assert rungs(1, 4) == {1: 10}
    scores = []
    for pruner in ("median", "none"):
        validation = CrossValidation(training_set(), SETTINGS, SearchConfig(folds=2, pruner=pruner), seed=0)
        validation.run()
        scores.append(validation.curves["cv_accuracy"])
    often, seldom = scores
    assert [epoch for epoch, _ in seldom] == [4, 8, 12]
    assert seldom == [point for point in often if point[0] in (4, 8, 12)]


@pytest.mark.parametrize("pruner", ["wilcoxon", "bound"])
def test_for_pruners_of_folds_these_are_trained_one_after_another(pruner: str) -> None:
    data, reported = training_set(), []
    in_turn = CrossValidation(data, SETTINGS, SearchConfig(folds=5, pruner=pruner), seed=0)
    in_turn.run(reported.append)
    lockstep = CrossValidation(data, SETTINGS, SearchConfig(folds=5), seed=0)
    lockstep.run()
    assert [rung.step for rung in reported] == [1, 2, 3, 4, 5]
    assert np.mean([rung.score for rung in reported]) == in_turn.scores["accuracy"] == lockstep.scores["accuracy"]
    assert reported[-1].mean == in_turn.scores["accuracy"]
    assert in_turn.curves["train_loss"] == lockstep.curves["train_loss"]


def test_a_trial_ended_early_keeps_the_curves_so_far() -> None:
    class EnoughError(Exception):
        pass

    def stop(epoch: int) -> None:
        if epoch == 5:
            raise EnoughError

    validation = CrossValidation(training_set(), SETTINGS, SearchConfig(folds=2), seed=0)
    with pytest.raises(EnoughError):
        validation.run(on_epoch=stop)
    assert len(validation.curves["train_loss"]) == 5
    assert validation.scores == {}
    assert validation.seconds > 0


def test_normalisation_and_labels_come_from_the_training_part_of_a_fold() -> None:
    """A validation case with huge values must not change what the network is trained on."""
    data, search = training_set(), SearchConfig(folds=2)
    (train, held_out), _ = folds_of(data, search, 0)
    values = data.cases.values.copy()
    values[held_out] *= 1000.0
    spoiled = TrainingSet("spoiled", Collection(values, data.cases.lengths, data.cases.labels))

    from tsbench.studies.objective import _FoldJob

    clean_job = _FoldJob.make(data, (train, held_out), SETTINGS, 0)
    spoiled_job = _FoldJob.make(spoiled, (train, held_out), SETTINGS, 0)
    np.testing.assert_array_equal(clean_job.job.series.values, spoiled_job.job.series.values)
    assert np.abs(spoiled_job.series.values).max() > 100 * np.abs(clean_job.series.values).max()


def test_unequal_lengths_are_cross_validated() -> None:
    data = training_set("JapaneseVowels")
    keep = np.concatenate([np.flatnonzero(data.cases.labels == label)[:6] for label in data.cases.classes])
    small = TrainingSet("small", data.cases.subset(keep))
    settings = SETTINGS.model_copy(update={"training": TrainingConfig(epochs=2)})
    validation = CrossValidation(small, settings, SearchConfig(folds=2), seed=0)
    validation.run()
    assert 0 <= validation.scores["accuracy"] <= 1
