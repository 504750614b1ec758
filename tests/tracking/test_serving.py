"""The final model everywhere that it can be used: one process, another, a server, ONNX, the command line."""

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

from tests.data.made import long_table, make_cases
from tests.processes import free_port, served
from tests.tracking.conftest import SETTINGS, Fitted
from tests.tracking.test_models import logged, long_frame, nested
from tsbench.bench.model_files import first_case
from tsbench.classifiers.ensemble import NetworkEnsemble
from tsbench.classifiers.onnx import compare_onnx, export_onnx, onnx_probabilities
from tsbench.data.collection import Collection
from tsbench.data.column_roles import Columns
from tsbench.data.formats import read_long
from tsbench.models.prediction import predict_file
from tsbench.recipe.dotted import hyperparameters_of
from tsbench.tracking.connection import current_uri
from tsbench.tracking.models import LoggedModel, fetch_model, log_model
from tsbench.tracking.store import Store

pytestmark = pytest.mark.slow


@contextmanager
def served_model(model_uri: str, store_uri: str) -> Iterator[str]:
    """`mlflow models serve` on a free port; gives the address of its predictions."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", model_uri, "--env-manager", "local"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    environment = {
        "MLFLOW_TRACKING_URI": store_uri,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",  # it calls uvicorn
        "OMP_NUM_THREADS": "1",
    }
    address = f"http://127.0.0.1:{port}"
    with served(command, f"{address}/ping", Path.cwd(), environment):
        yield f"{address}/invocations"


def post(address: str, body: Any, kind: str = "application/json") -> tuple[int, Any]:
    """Status and answer."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(address, data, {"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["vowels", "gun_point"])
def test_the_same_labels_everywhere(name: str, store_uri: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    fitted: Fitted = request.getfixturevalue(name)
    store, cases = Store(store_uri), fitted.some_test_cases
    _, uri = logged(store, fitted, tmp_path / "saved")
    expected = fitted.ensemble.predict_proba(cases)
    labels = [str(label) for label in fitted.ensemble.predict(cases)]

    with current_uri(store_uri):
        table = mlflow.pyfunc.load_model(uri).predict(long_frame(cases))
    assert table["label"].tolist() == labels

    loaded = NetworkEnsemble.load(fetch_model(store, uri, tmp_path / "fetched"))
    long_frame(cases).to_csv(tmp_path / "cases.csv", index=False)
    assert predict_file(loaded, tmp_path / "cases.csv", {}).table["label"].tolist() == labels

    export_onnx(loaded, fitted.data.train.subset(np.arange(3)), tmp_path / "model.onnx", {})
    assert compare_onnx(loaded, tmp_path / "model.onnx", cases) <= 1e-5
    probabilities = onnx_probabilities(tmp_path / "model.onnx", cases)
    assert [str(label) for label in loaded.classes[probabilities.argmax(axis=1)]] == labels

    with served_model(uri, store_uri) as address:
        status, answer = post(address, {"inputs": nested(cases)})
        assert status == 200
        found = pd.DataFrame(answer["predictions"])
        assert found["label"].tolist() == labels
        np.testing.assert_allclose(found.iloc[:, 1:].to_numpy(float), expected, rtol=0, atol=1e-6)
        records = long_frame(cases).to_dict("records")
        assert [row["label"] for row in post(address, {"inputs": records})[1]["predictions"]] == labels
        long_frame(cases).to_parquet(tmp_path / "cases.parquet")
        parquet = (tmp_path / "cases.parquet").read_bytes()
        status, answer = post(address, parquet, "application/vnd.apache.parquet")
        assert [row["label"] for row in answer["predictions"]] == labels
        _refuses_in_sentences(address, fitted.data.test)


def _refuses_in_sentences(address: str, cases: Collection) -> None:
    first = nested(cases.subset(np.array([0])))[0]
    short = [channel[:1] for channel in first]
    absent = [[None, *channel[1:]] for channel in first]
    for inputs, sentence in (
        ([[*first, first[0]]], "has 2 channels" if len(first) == 1 else "has 13 channels"),
        ([short], "has 1 time step, which is too short; the model was trained on"),
        ([absent], "channel 0, time step 0: the value is missing (NaN)"),
        ([first, "nonsense"], "case 1 (counted from 0) holds something that is not a number"),
        ({"what": [1]}, "the table has no column 'case'"),
        ([], "there are no cases to predict"),
    ):
        status, answer = post(address, {"inputs": inputs})
        assert status == 400
        assert set(answer) == {"error_code", "message"}
        assert sentence in answer["message"]
    for body, words in ((b"{", "valid JSON"), (b'{"cases": []}', "'inputs' key")):
        status, answer = post(address, body)
        assert status == 400
        assert words in answer["message"]


def test_a_model_trained_on_a_table_is_served_by_the_names_of_its_columns(store_uri: str, tmp_path: Path) -> None:
    train, test = make_cases(cases=24, steps=8, seed=1), make_cases(cases=6, steps=8, seed=2)
    long_table(train).to_csv(tmp_path / "train.csv", index=False)
    cases = read_long(tmp_path / "train.csv", Columns("id", "y", "t")).collection
    ensemble = NetworkEnsemble.fit(cases, hyperparameters_of(SETTINGS), seeds=[0])
    ensemble.save(tmp_path / "saved")
    store = Store(store_uri)
    run = store.begin(store.experiment("models"), "run", {})
    classes = [str(name) for name in ensemble.classes]
    model = LoggedModel(tmp_path / "saved", "tsbench.classifiers.serving", first_case(cases), classes, ["tsbench"], {})
    with pytest.MonkeyPatch.context() as patch:  # a worker must not import what the model needs
        patch.setattr("tsbench.classifiers.serving.load_classifier", lambda path: pytest.fail("the model was loaded"))
        uri = log_model(store, run, model)
    with current_uri(store_uri):
        signature = mlflow.models.get_model_info(uri).signature.inputs.to_dict()
        example = mlflow.models.Model.load(uri).load_input_example(uri)
        assert len(mlflow.pyfunc.load_model(uri).predict(example)) == 1
    assert {column["name"]: column["type"] for column in signature} == {
        "id": "string",
        "t": "long",
        "x0": "double",
        "x1": "double",
    }
    table = long_table(test)
    expected = [str(label) for label in ensemble.predict(test)]
    with served_model(uri, store_uri) as address:
        for order in (["id", "t", "x0", "x1"], ["x1", "x0", "t", "id"], ["y", "x1", "id", "t", "x0"]):
            bodies = [
                ({"inputs": table[order].to_dict("records")}, "application/json"),
                ({"inputs": table[order].to_dict("list")}, "application/json"),
                (table[order].to_csv(index=False).encode(), "text/csv"),
            ]
            for body, kind in bodies:
                status, answer = post(address, body, kind)
                assert status == 200, answer
                assert [row["label"] for row in answer["predictions"]] == expected
        renamed = table.rename(columns={"x1": "other"})
        for body, kind in (
            ({"inputs": renamed.to_dict("records")}, "application/json"),
            (renamed.to_csv(index=False).encode(), "text/csv"),
        ):
            status, answer = post(address, body, kind)
            assert status == 400
            assert "there is no column x1, which the training data had as a channel" in answer["message"]
        status, answer = post(address, {"inputs": test.values.tolist()})
        assert [row["label"] for row in answer["predictions"]] == expected
