import dataclasses
import json
import multiprocessing
import socket
import sqlite3
import sys
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.request import Request, urlopen

import numpy as np
import optuna
import pytest
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from tsbench.data.archive import Archive
from tsbench.data.collection import Collection, TrainingSet
from tsbench.errors import SearchError
from tsbench.evaluation.resampling import repeats_of
from tsbench.recipe.schema import HyperparameterConfig, SearchConfig
from tsbench.recipe.space_parsing import parse_space
from tsbench.studies.dashboard import dashboard_server
from tsbench.studies.specification import (
    StudySpec,
    derive_seed,
    fingerprint_of,
    folds_of,
    is_held_out,
    stored_fingerprint,
)
from tsbench.studies.storage import together
from tsbench.studies.study import Study
from tsbench.studies.study_plots import draw_study
from tsbench.studies.trials import LOST, RESULT

SPACE, _ = parse_space({"model.dropout": {"float": [0.0, 0.5]}}, set())


def make(folder: Path, trials: int = 6, concurrency: int = 3, metric: str = "accuracy", sampler: str = "tpe") -> Study:
    spec = StudySpec(
        identity="abc",
        recipe="tiny",
        dataset="UnitTest",
        resample=0,
        base=HyperparameterConfig(),
        space=SPACE,
        search=SearchConfig(trials=trials, metric=metric, sampler=sampler),
        concurrency=concurrency,
        tracking_uri="sqlite:////nowhere/mlflow.db",
        experiment="1",
        parent_run="p",
    )
    return Study.create(folder, spec, Archive().load("UnitTest").training_set(), "meaning")


def finish(study: Study, number: int, value: float, log_loss: float = 1.0) -> None:
    trial = study.queue.claim(number)
    assert trial is not None
    trial.suggest_float("model.dropout", 0.0, 0.5)
    trial.set_user_attr("hyperparameters", HyperparameterConfig().model_dump(mode="json"))
    trial.set_user_attr(RESULT, {"cv_accuracy": value, "cv_log_loss": log_loss, "seconds": 2.0, "reason": ""})
    study.optuna.tell(trial, value)


def test_a_study_opens_as_it_was_created(tmp_path: Path) -> None:
    made = make(tmp_path / "s")
    opened = Study.open(tmp_path / "s")
    assert opened.spec == made.spec
    cases = Archive().load("UnitTest").train
    np.testing.assert_array_equal(opened.training.cases.values, cases.values)
    np.testing.assert_array_equal(opened.training.cases.labels, cases.labels)
    np.testing.assert_array_equal(opened.training.cases.lengths, cases.lengths)
    assert stored_fingerprint(tmp_path / "s") == "meaning"


def test_a_study_holds_no_test_cases(tmp_path: Path) -> None:
    make(tmp_path / "s")
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == [
        "checksums.json",
        "journal.log",
        "journal.log.lock",
        "labels.npy",
        "lengths.npy",
        "study.json",
        "values.npy",
        "verified.json",
    ]
    assert {field.name for field in dataclasses.fields(TrainingSet)} == {"name", "cases"}
    assert len(np.load(tmp_path / "s" / "labels.npy")) == len(Archive().load("UnitTest").train)


def test_a_folder_without_a_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match="holds no study"):
        Study.open(tmp_path)
    assert stored_fingerprint(tmp_path) is None


def test_an_old_study_is_set_aside_and_kept(tmp_path: Path) -> None:
    make(tmp_path / "s")
    Study.archive(tmp_path / "s")
    assert not (tmp_path / "s").exists()
    (kept,) = tmp_path.iterdir()
    assert kept.name.startswith("s.")
    assert stored_fingerprint(kept) == "meaning"


def test_as_many_trials_are_queued_as_may_be_in_flight(tmp_path: Path) -> None:
    study = make(tmp_path / "s", trials=6, concurrency=3)
    assert study.queue.refill() == [0, 1, 2]
    assert study.queue.refill() == [0, 1, 2]
    finish(study, 0, 0.5)
    assert study.queue.refill() == [1, 2, 3]
    finish(study, 2, 0.5)
    assert study.queue.refill() == [1, 3]  # trial 4 waits for the result of trial 1
    finish(study, 1, 0.5)
    assert study.queue.refill() == [3, 4, 5]
    for number in (3, 4, 5):
        finish(study, number, 0.5)
    assert study.queue.refill() == []
    assert study.queue.is_complete()


def test_the_total_counts_trials_of_earlier_calls(tmp_path: Path) -> None:
    study = make(tmp_path / "s", trials=3)
    for number in (0, 1):
        study.queue.refill()
        finish(study, number, 0.5)
    again = Study.open(tmp_path / "s")
    assert again.queue.refill() == [2]
    finish(again, 2, 0.5)
    assert again.queue.is_complete()
    assert again.queue.refill() == []


def test_a_trial_is_claimed_once(tmp_path: Path) -> None:
    study = make(tmp_path / "s")
    study.queue.refill()
    assert study.queue.claim(1) is not None
    assert study.queue.claim(1) is None
    assert Study.open(tmp_path / "s").queue.claim(1) is None
    finish(study, 0, 0.5)
    assert study.queue.claim(0) is None
    assert study.trials().running() == [1]


def claim_all(folder: str, count: int, queue: "multiprocessing.Queue[list[int]]") -> None:
    study = Study.open(Path(folder))
    queue.put([number for number in range(count) if study.queue.claim(number) is not None])


def test_processes_that_race_for_trials_get_each_once(tmp_path: Path) -> None:
    study = make(tmp_path / "s", trials=12, concurrency=12)
    assert len(study.queue.refill()) == 12
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    processes = [context.Process(target=claim_all, args=(str(tmp_path / "s"), 12, queue)) for _ in range(3)]
    for process in processes:
        process.start()
    claimed = sorted(number for _ in processes for number in queue.get(timeout=60))
    for process in processes:
        process.join(30)
    assert claimed == list(range(12))


def test_a_lost_trial_does_not_count_and_its_parameters_are_tried_again(tmp_path: Path) -> None:
    study = make(tmp_path / "s", trials=2, concurrency=2)
    study.queue.refill()
    lost = study.queue.claim(1)
    assert lost is not None
    dropout = study.trials().parameters_of(1)["model.dropout"]  # Optuna knows of no parameters yet
    assert study.queue.fail_lost(1, "its worker was killed")
    assert not study.queue.fail_lost(1, "its worker was killed")
    assert study.trials().counts() == {"complete": 0, "pruned": 0, "fail": 0, "lost": 1, "running": 0, "waiting": 1}
    finish(study, 0, 0.5)
    assert study.queue.refill() == [2]
    assert not study.queue.is_complete()
    again = study.queue.claim(2)
    assert again is not None
    assert again.suggest_float("model.dropout", 0.0, 0.5) == dropout
    study.optuna.tell(again, 0.7)
    assert study.queue.is_complete()


def test_a_trial_lost_again_and_again_gives_way_to_another(tmp_path: Path) -> None:
    study = make(tmp_path / "s", trials=1, concurrency=4)
    seen = []
    for number in range(4):
        assert study.queue.refill() == [number]
        trial = study.queue.claim(number)
        assert trial is not None
        seen.append(trial.suggest_float("model.dropout", 0.0, 0.5))
        study.queue.fail_lost(number, "killed")
    assert seen[0] == seen[1] == seen[2] != seen[3]


def search_all(study: Study, lose: frozenset[int] = frozenset()) -> list[dict[str, object]]:
    """Runs every trial, the given numbers in vain; the parameters of the others in the search's order."""
    while waiting := study.queue.refill():
        for number in waiting:
            if number in lose:
                study.queue.claim(number)
                study.queue.fail_lost(number, "killed")
            else:
                dropout = study.trials().parameters_of(number)["model.dropout"]
                finish(study, number, 1 - abs(dropout - 0.3))
    kept = [trial for trial in study.trials() if trial.state is TrialState.COMPLETE]
    order = {trial.number: study.trials().visible_to(trial.number)[0] for trial in kept}
    return [trial.params for trial in sorted(kept, key=lambda one: order[one.number])]


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_what_was_lost_changes_nothing_that_is_tried(tmp_path: Path, sampler: str) -> None:
    undisturbed = make(tmp_path / "a", trials=14, sampler=sampler)
    disturbed = make(tmp_path / "b", trials=14, sampler=sampler)
    expected = search_all(undisturbed)
    assert search_all(disturbed, frozenset({3, 4, 9, 12})) == expected
    assert disturbed.trials().counts()["lost"] == 4
    best, other = undisturbed.trials().best(), disturbed.trials().best()
    assert best is not None
    assert other is not None
    assert (best.value, best.scores) == (other.value, other.scores)


def test_what_a_worker_ended_and_reported_is_tried_again_however_often(tmp_path: Path) -> None:
    study = make(tmp_path / "s", trials=1)
    for number in range(5):  # the search was interrupted, which is no fault of the trial's
        assert study.queue.refill() == [number]
        trial = study.queue.claim(number)
        assert trial is not None
        trial.set_user_attr(RESULT, {"reason": "the search was interrupted"})
        study.queue.fail_lost(number, "the search was interrupted")
    assert study.queue.refill() == [5]
    assert study.trials().parameters_of(5) == study.trials().parameters_of(0)


def test_a_total_that_is_lowered_holds_for_what_waits_too(tmp_path: Path) -> None:
    study = make(tmp_path / "s", trials=6, concurrency=4)
    assert study.queue.refill() == [0, 1, 2, 3]
    finish(study, 0, 0.5)
    finish(study, 1, 0.5)
    study.notes.set_budget(3)
    assert study.queue.waiting() == [2]
    study.queue.claim(2)
    assert study.queue.waiting() == []
    study.notes.set_budget(2)
    assert study.queue.is_complete()
    study.notes.set_budget(6)
    assert study.queue.waiting() == [3]
    assert study.queue.refill() == [3, 4, 5]


def test_a_raised_total_leaves_the_samplers_settings(tmp_path: Path) -> None:
    """NSGA-II's population and the random beginning of TPE follow from the total that a study was started with."""
    twenty = make(tmp_path / "a", trials=20, sampler="nsga2")
    search_all(twenty)
    again = Study.open(tmp_path / "a")
    again.notes.set_budget(60)
    assert again.spec.search.trials == 20
    search_all(again)
    through = make(tmp_path / "b", trials=20, sampler="nsga2")
    through.notes.set_budget(60)
    assert search_all(through) == [trial.params for trial in again.trials()]


def test_the_best_trial_breaks_ties_by_log_loss_then_by_number(tmp_path: Path) -> None:
    study = make(tmp_path / "s")
    assert study.trials().best() is None
    for number, (value, loss) in enumerate([(0.8, 0.1), (0.9, 0.5), (0.9, 0.4), (0.9, 0.4)]):
        study.queue.refill()
        finish(study, number, value, loss)
    best = study.trials().best()
    assert best is not None
    assert (best.number, best.value) == (2, 0.9)
    assert best.scores == {"cv_accuracy": 0.9, "cv_log_loss": 0.4}


def test_log_loss_is_minimised(tmp_path: Path) -> None:
    study = make(tmp_path / "s", metric="log_loss")
    assert study.spec.directions == ["minimize"]
    for number, value in enumerate([0.8, 0.2, 0.5]):
        study.queue.refill()
        finish(study, number, value, value)
    best = study.trials().best()
    assert best is not None
    assert best.number == 1


def test_a_pruner_sees_only_trials_far_enough_back(tmp_path: Path) -> None:
    study = make(tmp_path / "s", trials=6, concurrency=2)
    for number in range(4):
        study.queue.refill()
        finish(study, number, number / 10)
    study.queue.refill()
    place, earlier = study.trials().visible_to(4)
    assert place == 4
    assert [trial.value for trial in earlier] == [0.0, 0.1, 0.2]
    assert all(trial.state is TrialState.COMPLETE for trial in earlier)
    assert study.trials().visible_to(1) == (1, [])


def test_meaning_depends_on_every_part() -> None:
    assert fingerprint_of(a=1, b={"c": 2}) == fingerprint_of(b={"c": 2}, a=1)
    assert fingerprint_of(a=1) != fingerprint_of(a=2)


def test_seeds_differ_by_every_part() -> None:
    seeds = {derive_seed(*parts) for parts in [(0,), (1,), (0, 0), (0, 1), (1, 0), (0, 1, 2), (0, 2, 1)]}
    assert len(seeds) == 7
    assert derive_seed(5, 1) == derive_seed(5, 1)


# --- what trials are scored on


def _training(cases: int, groups: int = 0) -> TrainingSet:
    random = np.random.default_rng(3)
    named = np.array([f"g{number}" for number in random.integers(groups, size=cases)]) if groups else None
    labels = np.array(["a", "b", "c"])[random.integers(3, size=cases)]
    return TrainingSet("made", Collection(np.zeros((cases, 1, 4)), np.full(cases, 4), labels, named))


def test_a_fraction_of_the_training_cases_is_what_trials_see() -> None:
    training = _training(200)
    folds = folds_of(training, SearchConfig(fraction=0.4), seed=1)
    seen = {int(case) for fold in folds for part in fold for case in part}
    assert len(folds) == 3
    assert len(seen) == pytest.approx(80, abs=2)
    whole = folds_of(training, SearchConfig(), seed=1)
    assert {int(case) for fold in whole for part in fold for case in part} == set(range(200))


def test_a_large_set_is_validated_on_one_held_out_part() -> None:
    training = _training(200)
    ((train, validation),) = folds_of(training, SearchConfig(holdout_above=199, holdout_share=0.1), seed=1)
    assert (len(train), len(validation)) == (180, 20)
    assert len(folds_of(training, SearchConfig(holdout_above=200), seed=1)) == 3
    assert len(folds_of(training, SearchConfig(holdout_above=199, fraction=0.5), seed=1)) == 3
    assert is_held_out(training, SearchConfig(holdout_above=199), seed=1)
    assert not is_held_out(training, SearchConfig(holdout_above=200), seed=1)
    assert not is_held_out(training, SearchConfig(holdout_above=199, fraction=0.5), seed=1)


def test_above_a_thousand_cases_each_number_has_a_held_out_part_of_its_own() -> None:
    training, search = _training(1001), SearchConfig()
    (first,), (again,), (other,) = (folds_of(training, search, 1, part) for part in (0, 0, 1))
    np.testing.assert_array_equal(first[1], again[1])
    assert len(set(first[1]) & set(other[1])) < len(first[1]) / 2
    several = folds_of(training, search, 1, parts=3)
    assert len(several) == 3
    np.testing.assert_array_equal(several[1][1], other[1])
    assert len(folds_of(_training(1000), search, 1, part=7)) == 3


@pytest.mark.parametrize(("cases", "repeats", "folds"), [(59, "auto", 6), (60, "auto", 3), (59, 1, 3), (200, 3, 9)])
def test_the_folds_of_few_cases_are_drawn_twice(cases: int, repeats: int | str, folds: int) -> None:
    training = _training(cases)
    found = folds_of(training, SearchConfig.model_validate({"repeats": repeats}), seed=1)
    assert len(found) == folds
    assert repeats_of(found) == folds // 3
    for number in range(0, folds, 3):  # each draw holds each case out once
        held_out = np.concatenate([validation for _, validation in found[number : number + 3]])
        assert sorted(held_out) == list(range(cases))
    once = folds_of(training, SearchConfig(repeats=1), seed=1)
    for (_, expected), (_, validation) in zip(once, found[:3], strict=True):
        np.testing.assert_array_equal(expected, validation)
    drawn = {tuple(validation) for _, validation in found}
    assert len(drawn) == folds


def test_what_is_to_be_said_of_folds_is_said_once() -> None:
    labels = np.array(["a"] * 20 + ["b"] * 2)
    training = TrainingSet("made", Collection(np.zeros((22, 1, 4)), np.full(22, 4), labels))
    with pytest.warns(UserWarning, match="2 folds instead of 3") as caught:
        assert len(folds_of(training, SearchConfig(), seed=1)) == 4
    assert len(caught) == 1


@pytest.mark.parametrize("search", [{}, {"fraction": 0.5}, {"holdout_above": 50}])
def test_groups_are_on_one_side_of_every_fold(search: dict[str, float]) -> None:
    training = _training(200, groups=20)
    groups = training.cases.groups
    assert groups is not None
    for train, validation in folds_of(training, SearchConfig.model_validate(search), seed=1):
        assert len(train) > len(validation) > 0
        assert not set(groups[train]) & set(groups[validation])


def test_notes_of_a_trial_that_had_ended_meanwhile_change_nothing_and_disturb_no_other_trial(tmp_path: Path) -> None:
    study = make(tmp_path / "s")
    study.queue.refill()
    trial = study.queue.claim(0)
    assert trial is not None
    Study.open(tmp_path / "s").queue.fail_lost(0, "its worker was taken for dead")

    def tell() -> None:
        with together(study.storage):
            for name in ("one", "two"):
                study.storage.set_trial_user_attr(trial._trial_id, name, 1)
            study.storage.set_trial_state_values(trial._trial_id, TrialState.COMPLETE, [0.5])

    with pytest.raises(UpdateFinishedTrialError):
        tell()
    assert study.queue.claim(1) is not None
    assert study.trials()[0].state is TrialState.FAIL
    assert set(study.trials()[0].user_attrs) == {LOST}


# --- Optuna's dashboard


def test_the_dashboard_shows_copies_that_it_may_change(tmp_path: Path) -> None:
    pytest.importorskip("optuna_dashboard")
    study = make(tmp_path / "UnitTest")
    for value in (0.5, 0.75):
        finish(study, study.queue.refill()[0], value)
    before = {path.name: path.read_bytes() for path in study.folder.iterdir()}
    with dashboard_server([study.folder], 0) as server:
        address = f"http://127.0.0.1:{server.server_port}/api/studies"
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            (shown,) = json.load(urlopen(address, timeout=10))["study_summaries"]
            assert shown["study_name"] == "tiny/UnitTest"
            trials = json.load(urlopen(f"{address}/{shown['study_id']}", timeout=10))["trials"]
            assert [trial["values"] for trial in trials[:2]] == [[0.5], [0.75]]
            urlopen(Request(f"{address}/{shown['study_id']}", method="DELETE", data=b"{}"), timeout=10)
            assert json.load(urlopen(address, timeout=10))["study_summaries"] == []
        finally:
            server.shutdown()
            thread.join()
    assert {path.name: path.read_bytes() for path in study.folder.iterdir()} == before


def test_without_its_package_or_port_the_dashboard_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = make(tmp_path / "UnitTest")
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "optuna_dashboard", None)
        with pytest.raises(SearchError, match=r'pip install "tsbench\[dashboard\]"'):
            dashboard_server([study.folder], 0)
    pytest.importorskip("optuna_dashboard")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(SearchError, match=f"port {port} on 127.0.0.1 cannot be used: address already in use"):
            dashboard_server([study.folder], port)


def test_the_pictures_of_a_study_are_those_that_its_trials_allow(tmp_path: Path) -> None:
    study = make(tmp_path / "s")
    study.queue.refill()
    assert draw_study(study, tmp_path) == []
    finish(study, 0, 0.5)
    assert draw_study(study, tmp_path) == ["optimisation_history.png"]
    for number in range(1, 4):
        study.queue.refill()
        finish(study, number, 0.5 + number / 10)
    names = draw_study(study, tmp_path)
    assert names == ["optimisation_history.png", "hyperparameter_importances.png", "parallel_coordinates.png"]
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in names)


def test_a_trial_that_a_broken_connection_added_twice_is_tried_once(tmp_path: Path) -> None:
    database = RDBStorage(f"sqlite:///{tmp_path / 'trials.db'}")
    study = make(tmp_path / "s")
    study.__dict__["storage"] = database
    optuna.create_study(storage=database, study_name=study.spec.optuna_name, directions=study.spec.directions)
    dialect = database.engine.dialect
    commit, broken = dialect.do_commit, []

    def breaks_once(connection: Any) -> None:
        commit(connection)
        if not broken and connection.cursor().execute("SELECT COUNT(*) FROM trials").fetchone() == (1,):
            broken.append(connection)
            raise sqlite3.OperationalError("server closed the connection unexpectedly")

    alone = make(tmp_path / "alone").queue
    expected = [alone.study.trials().parameters_of(number) for number in alone.refill()]
    dialect.do_commit = breaks_once
    waiting = study.queue.refill()
    dialect.do_commit = commit
    trials = study.trials()
    assert [trials.parameters_of(number) for number in waiting] == expected
    assert trials.counts() == alone.study.trials().counts() | {"lost": 1}
    assert list(trials.lost().values()) == ["it was added twice, as the connection to the database broke"]
    assert len(trials.latest()) == len(expected)
