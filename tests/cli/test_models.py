"""The verbs that use what a search left: predict, export, explain, reproduce and rm."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.cli.conftest import run
from tsbench.data.archive import Archive
from tsbench.models.prediction import as_csv
from tsbench.tracking import names
from tsbench.tracking.store import RunRecord, Store

Searched = tuple[Path, subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def uri(searched: Searched) -> str:
    return f"sqlite:///{searched[0]}/mlflow.db"


@pytest.fixture(scope="module")
def runs(uri: str) -> dict[str, RunRecord]:
    """The runs of the tiny search by name."""
    return {record.name.removeprefix("ItalyPowerDemand "): record for record in Store(uri).runs("tiny")}


@pytest.fixture(scope="module")
def cases_file() -> Path:
    folder = Archive().locate("ItalyPowerDemand")
    assert folder is not None
    return folder / "ItalyPowerDemand_TEST.ts"


def test_predict_gives_the_labels_that_the_search_scored(
    uri: str, runs: dict[str, RunRecord], cases_file: Path, tmp_path: Path
) -> None:
    recorded = Store(uri).artifacts.read_text(runs["network"].run_id, "test_predictions.csv").splitlines()
    for reference in (runs["network"].run_id, runs["ItalyPowerDemand"].run_id, f"runs:/{runs['network'].run_id}/model"):
        for name in ("out.csv", "out.parquet"):
            result = run("predict", reference, cases_file, "--out", tmp_path / name, "--tracking-uri", uri)
            assert result.exit_code == 0, result.output
        table = pd.read_csv(tmp_path / "out.csv", index_col="case", dtype={"label": str, "true_label": str})
        assert list(table.columns) == ["label", "true_label", "probability_1", "probability_2"]
        assert table["label"].tolist() == [line.split(",")[2] for line in recorded[1:]]
        assert pd.read_parquet(tmp_path / "out.parquet")["label"].tolist() == table["label"].tolist()
    accuracy = runs["network"].metrics["test_accuracy"]
    assert f"Accuracy against the file's own labels: {accuracy:.4f}" in result.output


def test_predict_reads_tables_json_and_arrays_and_prints_csv(
    uri: str, runs: dict[str, RunRecord], tmp_path: Path
) -> None:
    cases = Archive().load("ItalyPowerDemand").test.subset(np.arange(3))
    steps = np.tile(np.arange(24), 3)
    ids = np.repeat(["x", "y", "z"], 24)
    table = pd.DataFrame({"id": ids, "t": steps, "power": cases.values.reshape(-1)})
    table.to_csv(tmp_path / "long.csv", index=False)
    (tmp_path / "cases.json").write_text(json.dumps(cases.values.tolist()))
    np.save(tmp_path / "cases.npy", cases.values)
    network = runs["network"].run_id
    outputs = [
        run("predict", network, tmp_path / "long.csv", "--case", "id", "--time", "t", "--tracking-uri", uri).output,
        run("predict", network, tmp_path / "cases.json", "--tracking-uri", uri).output,
        run("predict", network, tmp_path / "cases.npy", "--tracking-uri", uri).output,
    ]
    rows = [[line.split(",")[1:] for line in output.splitlines()] for output in outputs]
    assert rows[0] == rows[1] == rows[2]
    assert rows[0][0] == ["label", "probability_1", "probability_2"]
    assert [line.split(",")[0] for line in outputs[0].splitlines()] == ["case", "x", "y", "z"]


def test_what_cannot_be_predicted_ends_in_a_sentence(
    uri: str, runs: dict[str, RunRecord], cases_file: Path, tmp_path: Path
) -> None:
    vowels = str(cases_file).replace("ItalyPowerDemand", "JapaneseVowels")
    (tmp_path / "cases.xml").write_text("<cases/>")
    network, trial = runs["network"].run_id, runs["trial 0"].run_id
    for reference, file, sentence in (
        (
            network,
            vowels,
            "JapaneseVowels_TEST.ts: case 0 (counted from 0) has 12 channels; the model was trained on 1",
        ),
        (network, tmp_path / "none.ts", "none.ts: file not found"),
        (network, tmp_path / "cases.xml", "no format has the suffix '.xml'"),
        (trial, cases_file, f"is a trial, which has no model; its search's final network is run {network}"),
        ("0" * 32, cases_file, f"has no run '{'0' * 32}'"),
        ("models:/nobody@best", cases_file, "has no model models:/nobody@best"),
        (str(tmp_path), cases_file, f"{tmp_path} holds no model of tsbench"),
    ):
        result = run("predict", reference, file, "--tracking-uri", uri)
        assert result.exit_code in (1, 2)
        assert sentence in result.output
        assert len(result.output.splitlines()) == 1


def test_a_baseline_predicts_as_it_was_scored(
    uri: str, runs: dict[str, RunRecord], cases_file: Path, tmp_path: Path
) -> None:
    baseline = runs["dummy"]
    result = run("predict", baseline.run_id, cases_file, "--out", tmp_path / "out.csv", "--tracking-uri", uri)
    assert result.exit_code == 0, result.output
    assert f"Accuracy against the file's own labels: {baseline.metrics['test_accuracy']:.4f}" in result.output
    drawn = run("explain", baseline.run_id, "--case", 7, "--out", tmp_path / "drawn", "--tracking-uri", uri)
    assert drawn.exit_code == 0, drawn.output
    assert (tmp_path / "drawn" / "test_case_7.png").read_bytes().startswith(b"\x89PNG")
    refused = run("export", baseline.run_id, "--tracking-uri", uri)
    assert refused.exit_code == 2
    assert refused.output.splitlines() == [
        "DummyClassifier of aeon 1.6.0 cannot be exported as ONNX; only tsbench's networks can"
    ]


def test_a_baseline_that_was_not_kept_says_why(store_uri: str, cases_file: Path) -> None:
    store = Store(store_uri)
    experiment = store.experiment("tiny")
    for tags, reason in (
        ({}, "older versions of tsbench kept no fitted baselines"),
        ({names.MODEL: "evaluation.keep_baselines is off"}, "evaluation.keep_baselines is off"),
    ):
        known = {names.ROLE: "baseline", names.DATASET: "ItalyPowerDemand", names.STUDY: "s", **tags}
        result = run("predict", store.begin(experiment, "dummy", known), cases_file, "--tracking-uri", store_uri)
        assert result.exit_code == 2
        assert f"is a baseline without a model: {reason}" in result.output


def test_a_run_of_another_project_is_reported(store_uri: str, cases_file: Path) -> None:
    store = Store(store_uri)
    other = store.begin(store.experiment("others"), "my run", {})
    for verb in (["predict", other, cases_file], ["reproduce", other], ["explain", other]):
        result = run(*verb, "--tracking-uri", store_uri)
        assert result.exit_code == 2
        assert f"the run {other} (my run) is not a tsbench run: it has no tag {names.ROLE}" in result.output


def test_a_model_of_a_newer_tsbench_is_reported(
    uri: str, runs: dict[str, RunRecord], cases_file: Path, tmp_path: Path
) -> None:
    from tsbench.tracking.models import fetch_model

    folder = fetch_model(Store(uri), f"runs:/{runs['network'].run_id}/model", tmp_path)
    about = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(about | {"format": 99, "tsbench": "9.9"}))
    result = run("predict", folder, cases_file)
    assert result.exit_code == 2
    assert "was written by tsbench 9.9, whose files this version" in result.output


def test_reproduce_agrees_to_the_bit_for_a_trial_and_for_the_network(uri: str, runs: dict[str, RunRecord]) -> None:
    assert names.confirmed("accuracy") in runs["trial 1"].metrics
    for name in ("trial 1", "network"):
        result = run("reproduce", runs[name].run_id, "--tracking-uri", uri)
        assert result.exit_code == 0, result.output
        found = re.search(r"All (\d+) values agree to the bit\.", result.output)
        assert found is not None
        assert int(found[1]) > 12
        assert "Different" not in result.output


def test_reproduce_says_what_differs(uri: str, searched: Searched, tmp_path: Path) -> None:
    shutil.copytree(searched[0], tmp_path / "copy")
    store = Store(f"sqlite:///{tmp_path}/copy/mlflow.db")
    trial = next(record for record in store.runs("tiny") if record.name.endswith("trial 2"))
    parent = trial.tags["mlflow.parentRunId"]
    then = json.loads(store.artifacts.read_text(parent, "versions.json")) | {"torch": "1.0.0"}
    store.client.log_text(parent, json.dumps(then), "versions.json")
    store.log(trial.run_id, {"cv_roc_auc": 0.123}, tags={names.DEVICE: "Abacus 3000"})
    result = run("reproduce", trial.run_id, "--tracking-uri", store.uri)
    assert result.exit_code == 1
    assert re.search(r"\n1 of \d+ values differ:\n  cv_roc_auc: 0\.123 recorded, ", result.output)
    assert "\n  torch: 1.0.0 then, " in result.output
    assert "hardware: Abacus 3000 then, " in result.output
    store.log(parent, tags={"tsbench.sha256.ItalyPowerDemand_TRAIN.ts": "0" * 64})
    result = run("reproduce", trial.run_id, "--tracking-uri", store.uri)
    assert result.exit_code == 2
    assert "ItalyPowerDemand_TRAIN.ts differ; values cannot agree" in result.output


def test_reproduce_agrees_to_the_bit_for_a_baseline(uri: str, runs: dict[str, RunRecord]) -> None:
    result = run("reproduce", runs["dummy"].run_id, "--tracking-uri", uri)
    assert result.exit_code == 0, result.output
    assert "All 15 values agree to the bit." in result.output


def test_explain_draws_the_named_cases_or_one_of_each_class(
    uri: str, runs: dict[str, RunRecord], tmp_path: Path
) -> None:
    from PIL import Image

    network, out = runs["network"].run_id, tmp_path / "pictures"
    result = run("explain", network, "--case", 7, "--case", 4, "--out", out, "--tracking-uri", uri)
    assert result.output == f"Wrote {out}/test_case_7.png\nWrote {out}/test_case_4.png\n"
    with Image.open(out / "test_case_7.png") as image:
        assert np.asarray(image.convert("L")).std() > 10
    result = run("explain", network, "--out", tmp_path / "more", "--tracking-uri", uri)
    assert len(list((tmp_path / "more").glob("test_case_*.png"))) == 2
    result = run("explain", network, "--case", 5000, "--tracking-uri", uri)
    assert (result.exit_code, result.output) == (2, "there is no test case 5000: there are 1029, counted from 0\n")


@pytest.mark.slow
def test_export_writes_a_graph_that_was_compared_with_torch(
    uri: str, runs: dict[str, RunRecord], tmp_path: Path
) -> None:
    import onnxruntime

    path = tmp_path / "italy.onnx"
    result = run("export", runs["network"].run_id, "--out", path, "--tracking-uri", uri)
    assert result.exit_code == 0, result.output
    assert "Compared with PyTorch on 200 test cases: probabilities differ by at most " in result.output
    session = onnxruntime.InferenceSession(path)
    kept = session.get_modelmeta().custom_metadata_map
    assert json.loads(kept["classes"]) == ["1", "2"]
    assert kept["run"] == runs["network"].run_id
    assert [node.name for node in session.get_inputs()] == ["x", "lengths"]


def test_rm_asks_and_leaves_no_child_without_its_parent(searched: Searched, tmp_path: Path) -> None:
    shutil.copytree(searched[0], tmp_path / "copy")
    uri = f"sqlite:///{tmp_path}/copy/mlflow.db"
    studies = tmp_path / "copy" / ".tsbench" / "tiny"
    from typer.testing import CliRunner

    from tsbench.cli import app

    refused = CliRunner().invoke(app, ["rm", "tiny", "--tracking-uri", uri], input="n\n")
    assert f"tiny: 1 parent run, 4 trials, 1 final network, 1 baseline, studies in {studies}" in refused.output
    assert "Nothing was removed." in refused.output
    assert len(list(Store(uri).runs("tiny"))) == 7
    removed = CliRunner().invoke(app, ["rm", "tiny", "--tracking-uri", uri], input="y\n")
    assert removed.exit_code == 0
    assert "Removed." in removed.output
    assert list(Store(uri).runs("tiny")) == []
    assert Store(uri).client.search_logged_models([Store(uri).experiment_id("tiny")]) == []
    assert not studies.exists()
    again = run("rm", "tiny", "--yes", "--tracking-uri", uri)
    assert (again.exit_code, again.output) == (2, "'tiny' has no runs, models or studies to remove\n")
    assert run("rm", "nobody", "--yes", "--tracking-uri", uri).exit_code == 2


def test_rm_does_not_touch_a_search_under_way(searched: Searched, tmp_path: Path) -> None:
    from filelock import FileLock

    shutil.copytree(searched[0], tmp_path / "copy")
    uri = f"sqlite:///{tmp_path}/copy/mlflow.db"
    with FileLock(tmp_path / "copy" / ".tsbench" / "tiny" / "lock"):
        result = run("rm", "tiny", "--yes", "--tracking-uri", uri)
    assert result.exit_code == 1
    assert "a search of 'tiny' is running; stop it first" in result.output
    assert len(list(Store(uri).runs("tiny"))) == 7


def test_predictions_as_csv_hold_no_formulas_and_their_numbers_stay() -> None:
    index = pd.Index(["=1", "b"], name="@unit")
    table = pd.DataFrame({"label": ["+x", "-0.5"], "probability_+x": [-0.5, 1.0]}, index=index)
    assert as_csv(table) == "'@unit,label,probability_+x\n'=1,'+x,-0.5\nb,-0.5,1.0\n"
