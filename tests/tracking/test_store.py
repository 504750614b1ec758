import ast
import json
import re
import subprocess
from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient

from tsbench.errors import TrackingError
from tsbench.tracking import names
from tsbench.tracking.addresses import resolve_uri
from tsbench.tracking.store import DataInput, Store


def test_a_run_comes_back_with_everything_that_was_logged(store_uri: str) -> None:
    store = Store(store_uri)
    experiment = store.experiment("one")
    parent = store.begin(experiment, "GunPoint", {names.ROLE: "search"})
    child = store.begin(experiment, "GunPoint trial 0", {names.ROLE: "trial", names.TRIAL: 0}, parent, started=123.5)
    store.log(child, {"a": 0.5}, {"model.dropout": 0.1}, {"loss": [(1, 3.0), (2, 2.0)]}, {"state": "complete"})
    store.end(child)

    record = next(store.runs("one", "tags.`tsbench.role` = 'trial'"))
    assert record.name == "GunPoint trial 0"
    assert record.status == "FINISHED"
    assert record.started == 123.5
    assert record.metrics == {"a": 0.5, "loss": 2.0}
    assert record.params == {"model.dropout": "0.1"}
    assert record.tags["mlflow.parentRunId"] == parent
    assert record.tags["state"] == "complete"
    history = store.client.get_metric_history(child, "loss")
    assert [(point.step, point.value) for point in history] == [(1, 3.0), (2, 2.0)]


def test_more_than_one_call_takes_is_logged_in_several(store_uri: str) -> None:
    store = Store(store_uri)
    run = store.begin(store.experiment("many"), "run", {})
    metrics = {f"m{i}": float(i) for i in range(1900)}
    params = {f"p{i}": i for i in range(250)}
    store.log(run, metrics, params)
    data = store.client.get_run(run).data
    assert data.metrics == metrics
    assert len(data.params) == 250


def test_long_curves_are_thinned_and_keep_their_last_point(store_uri: str) -> None:
    store = Store(store_uri)
    run = store.begin(store.experiment("long"), "run", {})
    store.log(run, curves={"loss": [(step, 1 / step) for step in range(1, 1502)]})
    steps = [point.step for point in store.client.get_metric_history(run, "loss")]
    assert 32 < len(steps) <= 64
    assert max(steps) == 1501
    assert store.client.get_run(run).data.metrics["loss"] == pytest.approx(1 / 1501)


def test_runs_are_read_past_the_first_page(store_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tsbench.tracking.store.PAGE", 3)
    store = Store(store_uri)
    experiment = store.experiment("pages")
    made = [store.begin(experiment, f"run {i}", {}, started=1000.0 + i) for i in range(8)]
    assert [record.run_id for record in store.runs("pages")] == made


def test_runs_are_found_by_their_tags_and_status(store_uri: str) -> None:
    store = Store(store_uri)
    experiment = store.experiment("found")
    trial, model = (store.begin(experiment, role, {names.ROLE: role, names.STUDY: "s"}) for role in ("trial", "model"))
    store.end(model)
    store.begin(experiment, "neither", {names.STUDY: "another"})

    def found(where: str) -> list[str]:
        return [run.run_id for run in store.runs("found", where)]

    assert found(names.where({names.STUDY: "s"})) == [trial, model]
    assert found(names.where({names.STUDY: "s", names.ROLE: "trial"})) == [trial]
    assert found(names.where({}, unlike={names.ROLE: "trial"})) == [model]
    assert found(names.where({names.STUDY: "s"}, unlike={names.ROLE: "model"}, status="RUNNING")) == [trial]
    assert found(names.where({}, status="FINISHED")) == [model]


def test_artifacts_of_a_sqlite_store_lie_beside_it(store_uri: str, tmp_path: Path) -> None:
    store = Store(store_uri)
    run = store.begin(store.experiment("files"), "run", {})
    store.artifacts.write_text(run, "hello", "note.txt")
    assert (tmp_path / "mlartifacts" / "files" / run / "artifacts" / "note.txt").read_text() == "hello"


def test_data_inputs_show_digest_source_shape_and_context(store_uri: str) -> None:
    store = Store(store_uri)
    run = store.begin(store.experiment("inputs"), "run", {})
    values, labels = np.zeros((50, 1, 150)), np.array(["a"] * 50)
    store.log_inputs(run, [DataInput("GunPoint train", "train", "f" * 64, "/data/GunPoint", values, labels)])
    (logged,) = store.client.get_run(run).inputs.dataset_inputs
    assert logged.dataset.name == "GunPoint train"
    assert logged.dataset.digest == "f" * 36
    assert logged.dataset.source_type == "local"
    assert json.loads(logged.dataset.source) == {"uri": "/data/GunPoint"}
    assert json.loads(logged.dataset.profile)["features_shape"] == [50, 1, 150]
    assert logged.tags[0].value == "train"


def test_an_unknown_experiment_is_named_with_those_there(store_uri: str) -> None:
    store = Store(store_uri)
    store.experiment("here")
    with pytest.raises(TrackingError, match="has no experiment 'there'; existing experiments: here"):
        list(store.runs("there"))


def test_a_deleted_experiment_is_refused_with_what_to_do(store_uri: str) -> None:
    store = Store(store_uri)
    store.client.delete_experiment(store.experiment("gone"))
    with pytest.raises(TrackingError, match=r"'gone' was deleted; restore it in the MLflow UI, or rename the recipe"):
        store.experiment("gone")


def test_only_a_run_that_has_not_ended_is_ended_where_that_is_wanted(store_uri: str) -> None:
    store = Store(store_uri)
    experiment = store.experiment("ends")
    done, open_ = (store.begin(experiment, name, {names.ROLE: "search"}) for name in ("done", "open"))
    store.end(done)
    for run in (done, open_):
        store.end(run, "KILLED", only_running=True)
    assert {run.name: run.status for run in store.runs("ends")} == {"done": "FINISHED", "open": "KILLED"}


def test_resume_finds_only_runs_that_are_there(store_uri: str) -> None:
    store = Store(store_uri)
    run = store.begin(store.experiment("again"), "run", {})
    store.end(run)
    assert store.resume(run) == "FINISHED"
    assert store.client.get_run(run).info.status == "RUNNING"
    assert store.resume(run) == "RUNNING"
    assert store.resume("0" * 32) is None
    store.client.delete_run(run)
    assert store.resume(run) is None


def test_a_folder_is_refused_as_a_store() -> None:
    for uri in ("./mlruns", "file:///tmp/mlruns"):
        with pytest.raises(TrackingError, match="is a folder, which MLflow no longer accepts"):
            resolve_uri(uri)


def test_a_relative_sqlite_path_means_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve_uri("sqlite:///mlflow.db") == f"sqlite:///{tmp_path}/mlflow.db"
    assert Store("sqlite:///mlflow.db").database == tmp_path / "mlflow.db"


def test_a_prepared_store_logs_ahead_and_its_file_is_whole(tmp_path: Path) -> None:
    import shutil
    import sqlite3

    Store(f"sqlite:///{tmp_path}/mlflow.db").connection.prepare()
    shutil.copy(tmp_path / "mlflow.db", tmp_path / "copy.db")  # without what was logged ahead
    with sqlite3.connect(tmp_path / "copy.db") as copy:
        assert copy.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert copy.execute("SELECT count(*) FROM experiments").fetchone() == (1,)
    assert Store(f"sqlite:///{tmp_path}/copy.db").experiment("one") == "1"


def test_a_locked_store_ends_in_a_sentence(store_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sqlite3

    monkeypatch.setenv("TSBENCH_RETRY_TIMEOUT", "0")
    other = sqlite3.connect(tmp_path / "mlflow.db")
    other.execute("PRAGMA journal_mode = DELETE")  # without a log ahead, readers are locked out at once
    experiment = Store(store_uri).experiment("one")
    with other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(
            TrackingError, match="is locked by another process that writes to it; stop that process, or"
        ):
            Store(f"{store_uri}?timeout=0.1").begin(experiment, "run", {})
        other.rollback()


def test_what_sqlite_says_of_a_read_only_file_becomes_a_sentence(store_uri: str, tmp_path: Path) -> None:
    import sqlite3

    readable = sqlite3.connect(f"file:{tmp_path}/mlflow.db?mode=ro", uri=True)
    with pytest.raises(sqlite3.OperationalError) as raised:
        readable.execute("DELETE FROM runs")
    readable.close()
    expected = "is read-only: its file or folder cannot be written; change its permissions"
    with pytest.raises(TrackingError, match=expected), Store(store_uri).explained():
        raise OSError(f"(sqlite3.OperationalError) {raised.value} [SQL: INSERT INTO runs ...]")


def test_a_store_that_cannot_be_written_ends_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("this is not a database, and too long to be taken for an empty one" * 20)
    with pytest.raises(TrackingError, match=r"the MLflow store sqlite:.* failed: .*not a database"):
        Store(f"sqlite:///{tmp_path}/mlflow.db").connection.prepare()


def test_git_commit_is_none_outside_git_and_marks_changes(tmp_path: Path) -> None:
    from tsbench.tracking.provenance import git_commit

    assert git_commit(tmp_path) is None
    run = ["git", "-c", "user.name=t", "-c", "user.email=t@t"]
    subprocess.run([*run, "init", "-q", "."], cwd=tmp_path, check=True)
    (tmp_path / "a").write_text("1")
    subprocess.run([*run, "add", "a"], cwd=tmp_path, check=True)
    subprocess.run([*run, "commit", "-qm", "a"], cwd=tmp_path, check=True)
    clean = git_commit(tmp_path)
    assert clean is not None
    assert len(clean) == 40
    (tmp_path / "a").write_text("2")
    assert git_commit(tmp_path) == f"{clean}-dirty"


def test_no_call_or_parameter_of_mlflow_is_one_that_it_deprecates() -> None:
    """Warnings would not show it, as MLflow's are silenced; it says so in its docstrings."""
    called = {
        (node.func.attr, keyword.arg)
        for path in (Path(__file__).parents[2] / "tsbench").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        for keyword in (*node.keywords, ast.keyword(None))
    }
    assert ("log", "name") in called
    assert [call for call in sorted(called, key=str) if is_deprecated(*call)] == []
    assert is_deprecated("log_model", "artifact_path")
    assert is_deprecated("transition_model_version_stage", None)


def is_deprecated(function: str, parameter: str | None) -> bool:
    """Whether a function of MLflow of this name, or its parameter, is deprecated."""
    places = (mlflow, mlflow.pyfunc, mlflow.artifacts, mlflow.models, MlflowClient)
    texts = [getattr(place, function).__doc__ or "" for place in places if hasattr(place, function)]
    if parameter is None:
        pattern = rf"``[\w.]*\b{function}`` is deprecated"
    else:
        pattern = rf"(?m)(^\s*{parameter}: \(?Deprecated|``{parameter}`` is deprecated)"
    return any(re.search(pattern, text) for text in texts)
