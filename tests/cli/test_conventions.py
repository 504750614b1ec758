"""What is the same for every verb: JSON, quietness, logs."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import run, tsbench
from tsbench.bench.run_log import FILE

Searched = tuple[Path, subprocess.CompletedProcess[str]]


@pytest.fixture
def folder(searched: Searched, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(searched[0])
    return searched[0]


def tree(*arguments: str | Path, exit_code: int = 0) -> object:
    result = run(*arguments, "--json")
    assert result.exit_code == exit_code, result.output
    return json.loads(result.stdout)


def test_listing_verbs_print_json(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (study,) = tree("studies")
    assert (study["recipe"], study["dataset"], study["state"], study["trials"]) == (
        "tiny",
        "ItalyPowerDemand",
        "complete",
        4,
    )
    assert tree("compare", "tiny")["classifiers"] == ["network", "dummy"]
    facts = tree("validate", "tiny.yaml")
    assert (facts["valid"], facts["datasets"], facts["baselines"]) == (True, ["ItalyPowerDemand"], ["dummy"])
    assert facts["searched"] == ["model.dropout", "training.learning_rate"]
    wrong = tree("validate", "tiny.yaml", "--set", "search.trials=x", exit_code=2)
    assert wrong["valid"] is False
    assert wrong["problems"] == ["--set search.trials=x search.trials: expected a whole number, got 'x'"]
    available = {entry["name"]: entry for entry in tree("datasets")}
    assert available["GunPoint"]["train"] == 50
    assert [entry["name"] for entry in tree("datasets", "list", "GunPoint")] == ["GunPoint"]
    known = tree("datasets", "info", "GunPoint")
    assert known["classes"]["train"] == {"1": 24, "2": 26}
    assert set(known["sha256"]) == {"GunPoint_TRAIN.ts", "GunPoint_TEST.ts"}
    absent = tree("datasets", "info", "Adiac")
    assert (absent["available"], absent["catalogue"]["classes"]) == (False, 37)
    checked = tree("datasets", "check", "GunPoint")
    assert checked["parts"]["test"]["cases"] == 150
    assert isinstance(checked["findings"], list)


def test_predictions_as_json(folder: Path, tmp_path: Path) -> None:
    from sktime.datasets import load_italy_power_demand

    import tsbench

    X, _ = load_italy_power_demand(split="test", return_type="numpy3d")
    cases = tmp_path / "cases.json"
    cases.write_text(json.dumps(X[:3].tolist()))
    id_ = tsbench.search("tiny.yaml", progress=False).leaderboard()["run_id"].iloc[0]
    found = tree("predict", id_, cases)
    assert [row["case"] for row in found["predictions"]] == [0, 1, 2]
    assert found["predictions"][0]["label"] in ("1", "2")
    assert found["accuracy"] is None
    assert run("predict", id_, cases, "--json", "--out", tmp_path / "x.csv").exit_code == 2


def test_a_search_is_logged_in_its_folder(folder: Path) -> None:
    lines = (folder / ".tsbench" / "tiny" / FILE).read_text().splitlines()
    assert any("INFO search of 'tiny'" in line for line in lines)
    assert any("INFO ItalyPowerDemand: done, 4/4 trials" in line for line in lines)
    assert any(line.endswith("INFO ended") for line in lines)


@pytest.mark.slow
def test_quiet_prints_nothing_and_verbose_logs_tasks(recipe_file: Callable[..., Path], tmp_path: Path) -> None:
    path = recipe_file(("trials: 4", "trials: 1"), ("epochs: 4", "epochs: 1"))
    quiet = tsbench("search", path, "--quiet", cwd=tmp_path)
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    verbose = tsbench("search", path, "-v", "--set", "search.trials=2", cwd=tmp_path)
    assert verbose.returncode == 0
    assert "DEBUG worker 1: ItalyPowerDemand: trial" in verbose.stderr
    assert "DEBUG worker 1: result" in verbose.stderr
    assert "Results: tiny" in verbose.stdout
    assert "searching" not in verbose.stdout
    both = tsbench("search", path, "-v", "-q", cwd=tmp_path)
    assert (both.returncode, both.stderr) == (2, "--verbose and --quiet contradict each other; leave one out\n")


def test_compare_and_predict_are_quiet_or_verbose_too(folder: Path, tmp_path: Path) -> None:
    from tsbench.api.searching import search

    np.save(tmp_path / "cases.npy", np.arange(48.0).reshape(2, 1, 24))
    id_ = search("tiny.yaml", progress=False).leaderboard()["run_id"].iloc[0]
    compare, predict = ("compare", "tiny"), ("predict", id_, tmp_path / "cases.npy")
    gate = ("--fail-if-worse-than", "dummy", "--margin", "0.9")
    for arguments in ((*compare, *gate, "--report", tmp_path / "r.html"), (*predict, "--out", tmp_path / "out.csv")):
        quiet = run(*arguments, "-q")
        assert (quiet.exit_code, quiet.output) == (0, "")
    assert (tmp_path / "r.html").exists()
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 3
    nowhere = run(*predict, "--quiet")
    assert (nowhere.exit_code, nowhere.output) == (2, "--quiet prints no predictions; name a file for them by --out\n")
    worse = run(*compare, "--control", "dummy", "--fail-if-worse-than", "network", "-q")
    assert (worse.exit_code, worse.stdout) == (1, "")
    assert "dummy is worse than network by more than 0: " in worse.stderr
    for arguments, line in ((compare, "DEBUG tiny: read 2 results from sqlite:"), (predict, "cases.npy: read 2 cases")):
        verbose = tsbench(*arguments, "-v", cwd=folder)
        assert line in verbose.stderr
        assert verbose.stdout == run(*arguments).stdout
        both = run(*arguments, "-v", "-q")
        assert (both.exit_code, both.output) == (2, "--verbose and --quiet contradict each other; leave one out\n")
