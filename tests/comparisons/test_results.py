import pytest

from tsbench.comparisons.results import read_results
from tsbench.errors import TrackingError
from tsbench.tracking import names

ACCURACY = names.test("accuracy")


@pytest.fixture
def read(store):
    return lambda: read_results(store, "small")


def missing(results):
    return {
        (dataset, classifier): results.reason(dataset, classifier)
        for dataset in results.datasets
        for classifier in results.classifiers
        if results.mean("test_accuracy", dataset, classifier) is None
    }


def test_a_result_holds_what_its_run_was_given(log, read):
    run = log("GunPoint", "dummy", 0.5, resample=2, metrics={"fit_seconds": 1.5})
    (row,) = read().rows
    assert (row.dataset, row.classifier, row.resample, row.state) == ("GunPoint", "dummy", 2, "complete")
    assert row.metrics == {ACCURACY: 0.5, "fit_seconds": 1.5}
    assert (row.reason, row.run_id) == ("", run)


def test_figures_come_back_to_the_last_bit(log, read):
    log("A", "network", 1 / 3)
    assert read().mean(ACCURACY, "A", "network") == 1 / 3


def test_the_network_stands_first_among_the_classifiers(log, read):
    for classifier in ("dummy", "minirocket", "network"):
        log("A", classifier, 0.5)
    assert read().classifiers == ("network", "dummy", "minirocket")


def test_data_sets_and_classifiers_are_named_once(log, read):
    for dataset in ("A", "B", "A"):
        for classifier in ("network", "dummy"):
            log(dataset, classifier, 0.5)
    results = read()
    assert sorted(results.datasets) == ["A", "B"]
    assert results.classifiers == ("network", "dummy")
    assert len(results.rows) == 4


def test_of_two_finished_runs_the_newest_counts(log, read):
    log("A", "network", 0.5)
    log("A", "network", 0.75)
    log("A", "network", 0.25, begun=900_000_000)  # written last, but of long ago
    assert read().mean(ACCURACY, "A", "network") == 0.75


@pytest.mark.parametrize(("state", "status"), [("failed", "FAILED"), ("skipped", "FINISHED"), (None, "RUNNING")])
def test_a_newer_run_that_gave_no_figure_does_not_hide_one(log, read, state, status):
    log("A", "network", 0.5)
    log("A", "network", state=state, status=status, reason="out of memory")
    assert read().mean(ACCURACY, "A", "network") == 0.5
    assert missing(read()) == {}


def test_a_figure_replaces_an_older_failure(log, read):
    log("A", "network", state="failed", status="FAILED", reason="out of memory")
    log("A", "network", 0.5)
    assert read().mean(ACCURACY, "A", "network") == 0.5


def test_of_two_runs_without_a_figure_the_newest_is_spoken_of(log, read):
    log("A", "network", state="failed", status="FAILED", reason="first")
    log("A", "network", state="failed", status="FAILED", reason="second")
    assert missing(read()) == {("A", "network"): "failed: second"}


def test_cells_without_a_figure_are_missing_with_their_reason(log, read):
    log("A", "network", 0.5)
    log("A", "dummy", state="failed", status="FAILED", reason="ValueError: no")
    log("B", "network", state=None, status="RUNNING")
    log("B", "dummy", state="skipped", reason="it takes cases of one length only")
    log("C", "network", state=None, status="KILLED")
    log("C", "dummy", state="failed", status="FAILED")
    log("D", "network", 0.5)
    assert missing(read()) == {
        ("A", "dummy"): "failed: ValueError: no",
        ("B", "network"): "running",
        ("B", "dummy"): "skipped: it takes cases of one length only",
        ("C", "network"): "interrupted",
        ("C", "dummy"): "failed",
        ("D", "dummy"): "never run",
    }


def test_resamples_are_averaged(log, read):
    for resample, accuracy in enumerate([0.5, 0.75, 1.0]):
        log("A", "network", accuracy, resample=resample, metrics={"fit_seconds": resample})
    results = read()
    assert results.scored("A") == (0, 1, 2)
    assert results.mean(ACCURACY, "A", "network") == 0.75
    assert results.mean("fit_seconds", "A", "network") == 1.0


def test_a_classifier_that_lacks_a_resample_of_the_others_has_no_figure(log, read):
    for resample in range(4):
        log("A", "network", 0.5, resample=resample)
    log("A", "dummy", 0.5, resample=0)
    log("A", "dummy", 0.5, resample=2)
    results = read()
    assert results.mean(ACCURACY, "A", "network") == 0.5
    assert results.mean(ACCURACY, "A", "dummy") is None
    assert missing(results) == {("A", "dummy"): "resamples 1, 3 are missing"}


def test_a_resample_that_failed_is_the_reason(log, read):
    for resample in range(2):
        log("A", "network", 0.5, resample=resample)
    log("A", "dummy", 0.5, resample=0)
    log("A", "dummy", resample=1, state="failed", status="FAILED", reason="no memory")
    assert missing(read()) == {("A", "dummy"): "failed: no memory"}


def test_resamples_of_one_data_set_say_nothing_of_another(log, read):
    log("A", "network", 0.5, resample=0)
    log("A", "network", 0.5, resample=1)
    log("B", "network", 0.25, resample=0)
    assert missing(read()) == {("B", "network"): "resample 1 is missing"}
    assert missing(read().under((0,))) == {}
    assert read().scored("B") == (0,)


def test_metrics_of_one_hot_probabilities_are_left_out(log, read, store):
    """Before ridge classifiers had probabilities, theirs were 0 or 1; a run of then has no tag of its model."""
    metrics = {names.test("log_loss"): 5.1, names.test("roc_auc"): 0.5, names.cv("log_loss"): 5.0}
    path = "aeon.classification.convolution_based.MiniRocketClassifier"
    for dataset, tags, known in (("A", {}, False), ("B", {names.MODEL: "logged"}, True)):
        run = log(dataset, "minirocket", 0.9, metrics=metrics)
        store.log(run, params={"baseline.classifier": path}, tags=tags)
        assert read().mean(ACCURACY, dataset, "minirocket") == 0.9
        assert (read().mean(names.test("log_loss"), dataset, "minirocket") == 5.1) is known
        assert (read().mean(names.test("roc_auc"), dataset, "minirocket") == 0.5) is known


def test_trials_and_searches_are_no_results(log, read):
    log("A", "network", 0.5)
    log("A", "network", 0.9, role="trial")
    log("A", "network", 0.9, role="search")
    (row,) = read().rows
    assert row.metrics[ACCURACY] == 0.5


def test_runs_of_others_in_the_same_experiment_are_left_alone(log, read, store):
    store.end(store.begin(log.experiment, "somebody else's", {"their": "tag"}))
    log("A", "network", 0.5)
    assert len(read().rows) == 1


def test_a_deleted_run_does_not_count(log, read, store):
    log("A", "network", 0.5)
    store.client.delete_run(log("A", "network", 0.9))
    assert read().mean(ACCURACY, "A", "network") == 0.5


def test_a_metric_that_was_not_logged_has_no_mean(log, read):
    log("A", "network", 0.5)
    assert read().mean("test_roc_auc", "A", "network") is None
    assert read().mean(ACCURACY, "B", "network") is None
    assert read().mean(ACCURACY, "A", "dummy") is None


def test_some_of_the_data_sets_can_be_looked_at_in_the_order_given(log, read):
    for dataset in ("A", "B", "C"):
        log(dataset, "network", 0.5)
    log("B", "dummy", 0.5)
    part = read().of(["C", "A", "Z"])
    assert part.datasets == ("C", "A")
    assert part.classifiers == ("network",)
    assert part.name == "small"
    assert read().of(["Z"]).datasets == ()


def test_an_experiment_without_runs_has_no_results(log, read):
    results = read()
    assert (results.rows, results.datasets, results.classifiers, missing(results)) == ((), (), (), {})


def test_an_unknown_experiment_is_refused_with_the_known_ones(store):
    store.experiment("first")
    store.experiment("second")
    with pytest.raises(TrackingError) as caught:
        read_results(store, "third")
    text = str(caught.value)
    assert text.startswith(f"{store.uri} has no experiment 'third'; existing experiments: ")
    assert sorted(text.rpartition(": ")[2].split(", ")) == ["first", "second"]


def test_an_unknown_experiment_of_an_empty_store_is_refused(store):
    with pytest.raises(TrackingError) as caught:
        read_results(store, "third")
    assert str(caught.value) == f"{store.uri} has no experiment 'third'; existing experiments: none"


def test_a_finished_run_without_an_accuracy_is_missing_for_that_reason(log, read):
    log("A", "network")
    assert "resamples " not in missing(read())["A", "network"]


def test_an_accuracy_that_is_not_a_number_is_missing(log, read):
    log("A", "network", float("nan"))
    assert list(missing(read())) == [("A", "network")]


def test_a_deleted_experiment_is_not_taken_for_an_empty_one(log, read, store):
    log("A", "network", 0.5)
    store.client.delete_experiment(log.experiment)
    with pytest.raises(TrackingError, match="the MLflow experiment 'small' was deleted; restore it in the MLflow UI"):
        read()


def test_a_data_set_asked_for_twice_is_shown_once(log, read):
    log("A", "network", 0.5)
    assert read().of(["A", "A"]).datasets == ("A",)


def test_the_reasons_name_missing_resamples_and_missing_scores(log, read):
    for resample in range(3):
        log("A", "network", 0.5, resample=resample)
        log("A", "minirocket", 0.5 if resample else float("nan"), resample=resample)
    log("A", "dummy", 0.5, resample=0)
    log("A", "1nn-dtw", 0.5, resample=0)
    log("A", "1nn-dtw", 0.5, resample=1)
    assert missing(read()) == {
        ("A", "minirocket"): "complete, but without a test accuracy",
        ("A", "dummy"): "resamples 1, 2 are missing",
        ("A", "1nn-dtw"): "resample 2 is missing",
    }
