"""What earlier versions of tsbench wrote: this version opens it, or refuses it in one sentence."""

from __future__ import annotations

import re
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from tests.chaos.invariants import violations
from tests.cli.conftest import run
from tests.old_stores import unpack
from tests.processes import TSBENCH, finish, start
from tests.tracking.test_serving import post, served_model
from tsbench.classifiers.ensemble import NetworkEnsemble
from tsbench.data.archive import Archive
from tsbench.errors import ModelError
from tsbench.models.prediction import predict_file
from tsbench.studies.study import Study
from tsbench.tracking.models import fetch_model
from tsbench.tracking.store import RunRecord, Store

EARLY = "first"  # the experiment of the earliest format


def cases_file(dataset: str) -> Path:
    folder = Archive().locate(dataset)
    assert folder is not None
    return folder / f"{dataset}_TEST.ts"


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder of version 0.1.0; tests do not change it."""
    return unpack("store-0.1.0", tmp_path_factory.mktemp("old"))


@pytest.fixture(scope="module")
def early(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder of the first version that recorded models; tests do not change it."""
    return unpack("store-0.1.0-first", tmp_path_factory.mktemp("early"))


def uri_of(folder: Path) -> str:
    return f"sqlite:///{folder}/mlflow.db"


def runs_of(folder: Path, name: str) -> dict[str, RunRecord]:
    return {record.name: record for record in Store(uri_of(folder)).runs(name)}


def test_an_old_store_names_no_place_of_the_machine_that_made_it(old: Path, early: Path) -> None:
    for folder in (old, early):
        for path in (path for path in folder.rglob("*") if path.is_file()):
            strange = re.findall(rb"/(?:home|root|work|tmp)/[\w./-]*", path.read_bytes())
            assert [place for place in strange if str(folder).encode() not in place] == [], path


@pytest.mark.parametrize(("which", "name"), [("old", "shapes"), ("early", EARLY)])
def test_an_old_store_is_compared(request: pytest.FixtureRequest, which: str, name: str) -> None:
    folder: Path = request.getfixturevalue(which)
    result = run("compare", name, "--tracking-uri", uri_of(folder))
    assert result.exit_code == 0, result.output
    scores = {
        (record.tags["tsbench.dataset"], record.tags["tsbench.classifier"]): record.metrics["test_accuracy"]
        for record in Store(uri_of(folder)).runs(name)
        if "test_accuracy" in record.metrics
    }
    assert len(scores) == {"old": 5, "early": 2}[which]
    for accuracy in scores.values():
        assert f"{accuracy:.4f}" in result.output
    assert ("skipped: it takes cases of one length only" in result.output) is (which == "old")


def test_old_studies_are_listed(old: Path, early: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(old)
    lines = {tuple(re.findall(r"[\w./]+", line)[:4]) for line in run("studies").output.splitlines()}
    assert ("interrupted", "ItalyPowerDemand", "interrupted", "2/5") in lines
    assert ("shapes", "ItalyPowerDemand", "complete", "3/3") in lines
    assert ("shapes", "JapaneseVowels", "complete", "3/3") in lines
    monkeypatch.chdir(early)
    result = run("studies")
    assert (result.exit_code, "complete" in result.output) == (0, True)


@pytest.mark.parametrize("dataset", ["ItalyPowerDemand", "JapaneseVowels"])
def test_an_old_model_predicts_what_was_recorded(old: Path, dataset: str, tmp_path: Path) -> None:
    store, network = Store(uri_of(old)), runs_of(old, "shapes")[f"{dataset} network"]
    recorded = [
        line.split(",")[2]
        for line in store.artifacts.read_text(network.run_id, "test_predictions.csv").splitlines()[1:]
    ]
    for reference in (network.run_id, f"models:/shapes-{dataset}@best"):
        out = tmp_path / "out.csv"
        result = run("predict", reference, cases_file(dataset), "--out", out, "--tracking-uri", uri_of(old))
        assert result.exit_code == 0, result.output
        assert pd.read_csv(out, dtype=str)["label"].tolist() == recorded
        assert f"{network.metrics['test_accuracy']:.4f}" in result.output


def test_an_old_model_is_loaded_as_a_server_loads_it(old: Path) -> None:
    store, network = Store(uri_of(old)), runs_of(old, "shapes")["ItalyPowerDemand network"]
    folder = fetch_model(store, f"runs:/{network.run_id}/model", old / "fetched")
    served = mlflow.pyfunc.load_model(str(folder.parent.parent))
    cases = Archive().load("ItalyPowerDemand").test.subset(np.arange(5))
    answer = served.predict(cases.values.astype(np.float64))
    expected = predict_file(NetworkEnsemble.load(folder), cases_file("ItalyPowerDemand"), {}).table
    assert list(answer["label"]) == list(expected["label"][:5])


def test_a_model_of_the_first_format_is_refused_in_one_sentence(early: Path) -> None:
    network = runs_of(early, EARLY)["ItalyPowerDemand network"]
    sentence = (
        r"was saved by an earlier version of tsbench, whose networks this version .* cannot build, as model\.\S+ "
    )
    sentence += "was not recorded; run the search again with this version$"
    for verb in (["predict", network.run_id, cases_file("ItalyPowerDemand")], ["export", network.run_id]):
        result = run(*verb, "--tracking-uri", uri_of(early))
        assert result.exit_code == 2
        (line,) = [line for line in result.output.splitlines() if "earlier" in line]
        assert re.search(sentence, line)
    (description,) = (early / "mlartifacts").rglob("model.json")
    with pytest.raises(ModelError, match=sentence):
        NetworkEnsemble.load(description.parent)


def test_a_baseline_whose_seed_was_not_recorded_is_not_reproduced(early: Path) -> None:
    result = run("reproduce", runs_of(early, EARLY)["ItalyPowerDemand dummy"].run_id, "--tracking-uri", uri_of(early))
    assert result.exit_code == 2
    assert "did not record the seed of a baseline; run the baseline again with tsbench search" in result.output


def test_a_study_of_the_first_format_is_not_continued_and_stays_as_it_is(
    early: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(early)
    before = {path: path.read_bytes() for path in (early / ".tsbench").rglob("*.*") if path.is_file()}
    result = run("search", "first.yaml")
    assert result.exit_code == 2
    assert "so its trials cannot be continued; run it with --fresh to start a new search" in result.output
    assert "Traceback" not in result.output
    assert {path: path.read_bytes() for path in before} == before


def test_old_searches_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for archive, names in (("store-0.1.0", ("shapes", "interrupted")), ("store-0.1.0-first", (EARLY,))):
        folder = unpack(archive, tmp_path / archive)
        monkeypatch.chdir(folder)
        for name in names:
            result = run("rm", name, "--yes", "--tracking-uri", uri_of(folder))
            assert result.exit_code == 0, result.output
            assert not (folder / ".tsbench" / name).exists()
            assert list(Store(uri_of(folder)).runs(name)) == []


@pytest.mark.slow
@pytest.mark.parametrize("title", ["network", "trial 1", "minirocket"])
def test_old_runs_are_reproduced_to_the_bit(old: Path, title: str) -> None:
    record = runs_of(old, "shapes")[f"ItalyPowerDemand {title}"]
    code, output, errors = finish(start([TSBENCH, "reproduce", record.run_id, "--tracking-uri", uri_of(old)], old))
    figures = re.search(r"All (\d+) values agree to the bit", output)
    differences = re.search(r"^  (machine|hardware|numpy|torch|scikit-learn|aeon): ", output, re.MULTILINE)
    # Another processor, and other versions of the libraries, may round otherwise; the command says which they are.
    assert (code == 0 and figures and int(figures[1]) > 5) or (code == 1 and differences), output + errors


@pytest.mark.slow
def test_a_trial_with_settings_that_did_not_exist_then_says_so(early: Path) -> None:
    record = runs_of(early, EARLY)["ItalyPowerDemand trial 0"]
    result = run("reproduce", record.run_id, "--tracking-uri", uri_of(early))
    assert result.exit_code == 1
    assert "model.convolution.blocks: not recorded then, as there was no such setting, " in result.output


@pytest.mark.slow
def test_an_old_search_that_was_killed_is_continued_to_its_end(tmp_path: Path) -> None:
    folder = unpack("store-0.1.0", tmp_path)
    study = folder / ".tsbench" / "interrupted" / "ItalyPowerDemand"
    assert Study.open(study).trials().counts()["complete"] == 2
    code, output, errors = finish(start([TSBENCH, "search", "interrupted.yaml"], folder))
    assert code == 0, errors
    assert "Traceback" not in output + errors
    assert violations(Study.open(study), Store(uri_of(folder)), 5) == []


@pytest.mark.slow
def test_a_complete_old_search_is_given_more_trials(tmp_path: Path) -> None:
    folder = unpack("store-0.1.0", tmp_path)
    before = runs_of(folder, "shapes")
    command = [TSBENCH, "search", "shapes.yaml", "--set", "search.trials=4", "--set", "baselines=[dummy]"]
    code, _, errors = finish(start(command, folder))
    assert code == 0, errors
    for dataset in ("ItalyPowerDemand", "JapaneseVowels"):
        assert Study.open(folder / ".tsbench" / "shapes" / dataset).trials().counts()["complete"] == 4
    after = list(Store(uri_of(folder)).runs("shapes"))
    assert {record.run_id for record in before.values()} <= {record.run_id for record in after}
    assert len([record for record in after if record.tags["tsbench.role"] == "trial"]) == 8
    assert not [record for record in after if record.status == "RUNNING"]


@pytest.mark.slow
def test_an_old_model_is_served(old: Path) -> None:
    network = runs_of(old, "shapes")["ItalyPowerDemand network"]
    cases = Archive().load("ItalyPowerDemand").test.subset(np.arange(3))
    with served_model(f"runs:/{network.run_id}/model", uri_of(old)) as address:
        status, answer = post(address, {"inputs": cases.values.tolist()})
    assert status == 200
    recorded = Store(uri_of(old)).artifacts.read_text(network.run_id, "test_predictions.csv").splitlines()[1:4]
    assert [row["label"] for row in answer["predictions"]] == [line.split(",")[2] for line in recorded]
