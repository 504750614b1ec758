import json
import os
import pickletools
import subprocess
import sys
import zipfile
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from tests.tracking.conftest import Fitted
from tsbench.classifiers.ensemble import NetworkEnsemble
from tsbench.data.collection import Collection
from tsbench.errors import ModelError, TrackingError
from tsbench.tracking.connection import current_uri
from tsbench.tracking.models import fetch_model, log_model, register_model
from tsbench.tracking.store import Store


def logged(store: Store, model: Fitted, folder: Path) -> tuple[str, str]:
    """Run id and model URI."""
    run = store.begin(store.experiment("models"), "run", {})
    return run, log_model(store, run, model.to_log(folder))


def nested(cases: Collection) -> list[list[list[float]]]:
    """The cases as JSON has them, each of its own length."""
    return [case.tolist() for case in cases.cases()]


def long_frame(cases: Collection) -> pd.DataFrame:
    frames = []
    for number, case in enumerate(cases.cases()):
        frame = pd.DataFrame(case.T, columns=[f"c{channel}" for channel in range(len(case))])
        frames.append(frame.assign(case=f"id{number}", time=np.arange(case.shape[1])))
    return pd.concat(frames, ignore_index=True)


def test_a_logged_model_predicts_alike_in_a_fresh_process_from_lists_frames_and_json(
    store_uri: str, tmp_path: Path, vowels: Fitted
) -> None:
    _, uri = logged(Store(store_uri), vowels, tmp_path / "saved")
    cases = vowels.some_test_cases
    (tmp_path / "cases.json").write_text(json.dumps(nested(cases)))
    long_frame(cases).to_parquet(tmp_path / "cases.parquet")
    script = f"""
import json, sys, mlflow, numpy as np, pandas as pd
mlflow.set_tracking_uri({store_uri!r})
model = mlflow.pyfunc.load_model({uri!r})
text = open({str(tmp_path / "cases.json")!r}).read()
cases = json.loads(text)
frame = pd.read_parquet({str(tmp_path / "cases.parquet")!r})
tables = [model.predict(one) for one in (cases, text, frame, np.array(cases[:1]))]
json.dump([table.reset_index().to_dict("list") for table in tables], open({str(tmp_path / "tables.json")!r}, "w"))
"""
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, timeout=120)
    of_list, of_text, of_frame, of_array = json.loads((tmp_path / "tables.json").read_text())
    expected = vowels.ensemble.predict_proba(cases)
    assert list(of_list) == ["case", "label", *(f"probability_{label}" for label in vowels.ensemble.classes)]
    assert of_list["label"] == of_text["label"] == of_frame["label"] == list(vowels.ensemble.predict(cases))
    for table in (of_list, of_text, of_frame):
        np.testing.assert_allclose(np.array(list(table.values())[2:], dtype=float).T, expected, rtol=0, atol=1e-6)
    assert of_list["case"] == list(range(len(cases)))
    assert of_frame["case"] == [f"id{number}" for number in range(len(cases))]
    assert of_array["label"] == of_list["label"][:1]


def test_the_model_says_what_it_takes_and_needs_and_holds_no_code(
    store_uri: str, tmp_path: Path, vowels: Fitted
) -> None:
    store = Store(store_uri)
    run, uri = logged(store, vowels, tmp_path / "saved")
    with current_uri(store_uri):
        about = mlflow.models.get_model_info(uri)
        assert about.signature.inputs.to_dict() == [
            {"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": (-1, 12, -1)}}
        ]
        assert about.signature.outputs.input_names()[:2] == ["label", "probability_1"]
        example = mlflow.models.Model.load(uri).load_input_example(uri)
        assert mlflow.pyfunc.load_model(uri).predict(example)["label"][0] in vowels.ensemble.classes
    first = vowels.data.train
    np.testing.assert_array_equal(example, first.values[:1, :, : first.lengths[0]])
    folder = fetch_model(store, f"runs:/{run}/model", tmp_path / "fetched").parents[1]
    needs = (folder / "requirements.txt").read_text().split()
    assert {requirement.partition("==")[0] for requirement in needs} >= {
        "tsbench",
        "torch",
        "numpy",
        "pandas",
        "mlflow",
    }
    assert "python_function" in (folder / "MLmodel").read_text()
    for path in folder.rglob("*"):
        assert path.suffix not in (".pkl", ".pickle", ".py")
        if path.suffix == ".pt":  # torch's files are pickles; these only name tensors
            with zipfile.ZipFile(path) as archive:
                (pickled,) = [name for name in archive.namelist() if name.endswith("data.pkl")]
                codes = list(pickletools.genops(archive.read(pickled)))
            named = {text.split()[0] for code, text, _ in codes if code.name == "GLOBAL"}
            assert named <= {"collections", "torch", "torch._utils"}


def test_a_loaded_model_refuses_in_one_sentence(store_uri: str, tmp_path: Path, vowels: Fitted) -> None:
    _, uri = logged(Store(store_uri), vowels, tmp_path / "saved")
    with current_uri(store_uri):
        model = mlflow.pyfunc.load_model(uri)
    with pytest.raises(MlflowException) as raised:
        model.predict(np.zeros((2, 11, 20)))
    assert raised.value.get_http_status_code() == 400
    assert json.loads(raised.value.serialize_as_json()) == {
        "error_code": "INVALID_PARAMETER_VALUE",
        "message": "case 0 (counted from 0) has 11 channels; the model was trained on 12 channels",
    }


def test_the_alias_best_goes_to_the_best_score_of_the_folds(store_uri: str, tmp_path: Path, gun_point: Fitted) -> None:
    store = Store(store_uri)
    run, uri = logged(store, gun_point, tmp_path / "saved")
    versions = [
        register_model(store, run, uri, "guns", "a card", "cv_accuracy", score, maximise=True)
        for score in (0.8, 0.9, 0.85, 0.9)
    ]
    assert versions == ["1", "2", "3", "4"]
    best = store.client.get_model_version_by_alias("guns", "best")
    assert (str(best.version), best.tags, best.description) == ("4", {"cv_accuracy": "0.9"}, "a card")
    for score in (0.5, 0.4, 0.6):
        register_model(store, run, uri, "losses", "a card", "cv_log_loss", score, maximise=False)
    assert store.client.get_model_version_by_alias("losses", "best").version in (2, "2")
    loaded = NetworkEnsemble.load(fetch_model(store, "models:/guns@best", tmp_path / "fetched"))
    cases = gun_point.some_test_cases
    np.testing.assert_array_equal(loaded.predict_proba(cases), gun_point.ensemble.predict_proba(cases))


def test_a_model_that_does_not_exist_and_one_of_another_project_are_reported(store_uri: str, tmp_path: Path) -> None:
    store = Store(store_uri)
    with pytest.raises(ModelError, match=r"has no model models:/nobody@best: Registered Model .* not found"):
        fetch_model(store, "models:/nobody@best", tmp_path)
    run = store.begin(store.experiment("others"), "run", {})
    with current_uri(store_uri), mlflow.start_run(run_id=run):
        mlflow.pyfunc.log_model(name="model", loader_module="json", data_path=__file__, pip_requirements=["pandas"])
    with pytest.raises(ModelError, match=f"runs:/{run}/model is a model of another project"):
        fetch_model(store, f"runs:/{run}/model", tmp_path)


def test_a_server_that_is_away_is_not_taken_for_one_without_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TSBENCH_RETRY_TIMEOUT", "0")
    with pytest.raises(TrackingError, match=r"the MLflow store http://127.0.0.1:1 failed: .*Max retries exceeded"):
        fetch_model(Store("http://127.0.0.1:1"), "models:/guns@best", tmp_path)


def test_logging_a_model_leaves_mlflows_own_uri_and_the_environment_as_they_were(
    store_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in (None, "http://127.0.0.1:9"):
        if variable is None:
            monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        else:
            monkeypatch.setenv("MLFLOW_TRACKING_URI", variable)
        before = mlflow.get_tracking_uri()
        with current_uri(store_uri):
            assert mlflow.get_tracking_uri() == store_uri
        assert mlflow.get_tracking_uri() == before
        assert os.environ.get("MLFLOW_TRACKING_URI") == variable


def test_a_model_is_fetched_without_a_progress_bar_and_the_environment_is_as_before(
    store_uri: str,
    tmp_path: Path,
    gun_point: Fitted,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    variable = "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"
    _, uri = logged(Store(store_uri), gun_point, tmp_path / "saved")
    capfd.readouterr()
    # As in a process whose first call fetches a model, so that nothing has opened the store before.
    monkeypatch.delenv(variable, raising=False)
    fetch_model(Store(store_uri), uri, tmp_path / "fetched")
    assert capfd.readouterr().err == ""
    assert variable not in os.environ
    monkeypatch.setenv(variable, "true")  # who wants one has it
    fetch_model(Store(store_uri), uri, tmp_path / "again")
    assert "Downloading artifacts" in capfd.readouterr().err
