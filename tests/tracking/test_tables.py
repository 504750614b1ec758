"""What is read from MLflow's SQLite tables is what MLflow itself wrote."""

import shutil
from pathlib import Path

import pytest

from tsbench.errors import TrackingError
from tsbench.tracking import names, tables
from tsbench.tracking.store import Store


@pytest.fixture
def store(store_uri: str) -> Store:
    return Store(store_uri)


def database(store: Store) -> Path:
    assert store.database is not None
    return store.database


def test_experiments_are_listed_newest_first_and_deleted_ones_are_marked(store: Store) -> None:
    first, second = store.experiment("first"), store.experiment("second")
    store.client.delete_experiment(first)
    assert tables.experiments(database(store)) == [
        tables.ExperimentRow(second, "second", True),
        tables.ExperimentRow(first, "first", False),
    ]


def test_only_active_runs_of_the_roles_are_listed(store: Store) -> None:
    experiment = store.experiment("tiny")
    kept = store.begin(experiment, "GunPoint network", {names.ROLE: "model"})
    deleted = store.begin(experiment, "old network", {names.ROLE: "model"})
    store.begin(experiment, "GunPoint trial 0", {names.ROLE: "trial"})
    store.delete(deleted)
    assert tables.newest_runs(database(store), ["model", "search"]) == [
        tables.RunRow(kept, "GunPoint network", "model")
    ]


def test_an_experiment_has_test_scores_as_soon_as_one_active_run_has(store: Store) -> None:
    experiment, other = store.experiment("tiny"), store.experiment("other")
    run = store.begin(experiment, "GunPoint network", {names.ROLE: "model"})
    store.log(run, metrics={names.cv("accuracy"): 0.5})
    assert not tables.with_test_scores(database(store), experiment)
    store.log(run, metrics={names.test("accuracy"): 0.0})
    assert tables.with_test_scores(database(store), experiment)
    assert not tables.with_test_scores(database(store), other)
    store.delete(run)
    assert not tables.with_test_scores(database(store), experiment)


def test_a_path_with_special_characters_is_read_as_it_is(migrated_database: Path, tmp_path: Path) -> None:
    folder = tmp_path / "50% of #1?"
    folder.mkdir()
    shutil.copy(migrated_database, folder / "mlflow.db")
    assert tables.experiments(folder / "mlflow.db") == []
    assert tables.registered_models(folder / "mlflow.db") == []


def test_a_file_that_is_no_store_is_refused_and_none_is_created(tmp_path: Path) -> None:
    text = tmp_path / "notes.db"
    text.write_text("no database, but long enough to be taken for one by its name" * 20)
    for path in (text, tmp_path / "absent.db"):
        with pytest.raises(TrackingError, match=f"the MLflow store {path} cannot be read"):
            tables.experiments(path)
    assert not (tmp_path / "absent.db").exists()
