"""What a shell is offered at <TAB>, from a real store, by the installed command."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_cli import HEAVY
from tests.processes import TSBENCH
from tsbench.tracking import names
from tsbench.tracking.store import Store


def completed(folder: Path, line: str, **variables: str) -> list[str]:
    """The words that bash is offered for the last word of a command line."""
    words = line.split(" ")
    shell = {"_TSBENCH_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    environment = {**os.environ, **shell, **variables}
    done = subprocess.run([TSBENCH], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.fixture
def folder(store_uri: str, tmp_path: Path) -> Path:
    """A folder with a store of two experiments, one of them deleted, and recipes beside it."""
    store = Store(store_uri)
    store.client.delete_experiment(store.experiment("tidy"))
    experiment = store.experiment("tiny")
    for role in ("search", "model", "baseline", "trial"):
        store.begin(experiment, f"GunPoint {role}", {names.ROLE: role})
    (tmp_path / "tiny.yaml").touch()
    (tmp_path / "notes.txt").touch()
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "large.yml").touch()
    return tmp_path


def test_names_of_experiments_and_files_of_recipes_are_completed(folder: Path) -> None:
    assert completed(folder, "tsbench ui ") == ["tiny", "recipes/large.yml", "tiny.yaml"]
    assert completed(folder, "tsbench compare tiny ti") == ["tiny", "tiny.yaml"]
    assert completed(folder, "tsbench rm ti") == ["tiny", "tiny.yaml"]
    assert completed(folder, "tsbench search ") == ["recipes/large.yml", "tiny.yaml"]
    assert completed(folder, "tsbench search recipes/l") == ["recipes/large.yml"]


def test_runs_are_completed_by_what_the_verb_takes(folder: Path) -> None:
    runs = {run.tags[names.ROLE]: run.run_id for run in Store(f"sqlite:///{folder}/mlflow.db").runs("tiny")}
    assert set(completed(folder, "tsbench predict ")) == {runs["model"], runs["search"]}
    assert set(completed(folder, "tsbench reproduce ")) == set(runs.values())
    assert completed(folder, f"tsbench export {runs['model'][:9]}") == [runs["model"]]


def test_data_sets_are_completed_from_the_catalogue(folder: Path) -> None:
    assert completed(folder, "tsbench datasets info GunPointM") == ["GunPointMaleVersusFemale"]
    assert "uea-26" in completed(folder, "tsbench datasets download ue")


def test_classifiers_and_data_sets_of_lists_are_completed(folder: Path) -> None:
    store = Store(f"sqlite:///{folder}/mlflow.db")
    store.begin(store.experiment("tiny"), "own", {names.ROLE: "baseline", names.CLASSIFIER: "own.package.Net"})
    assert {"network", "auto", "minirocket", "own.package.Net"} <= set(
        completed(folder, "tsbench compare --classifiers ")
    )
    assert completed(folder, "tsbench compare tiny --classifiers network,own") == ["network,own.package.Net"]
    assert completed(folder, "tsbench compare --control HC") == []
    assert completed(folder, "tsbench compare --reference published --control HC") == ["HC2", "HC2@MambaSL"]
    assert completed(folder, "tsbench compare --datasets GunPoint,uea-2") == ["GunPoint,uea-26"]


def test_the_store_that_is_named_is_read(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / ".tsbench" / "remote").mkdir(parents=True)
    uri = f"sqlite:///{folder}/mlflow.db"
    assert completed(elsewhere, f"tsbench studies --tracking-uri {uri} ") == ["tiny"]
    assert completed(elsewhere, "tsbench studies ", MLFLOW_TRACKING_URI=uri) == ["tiny"]
    assert completed(elsewhere, "tsbench studies ", MLFLOW_TRACKING_URI="http://127.0.0.1:9") == ["remote"]


def test_nothing_is_completed_and_nothing_created_without_a_store(tmp_path: Path) -> None:
    assert completed(tmp_path, "tsbench ui ") == []
    assert completed(tmp_path, "tsbench predict ") == []
    assert completed(tmp_path, "tsbench ui ", MLFLOW_TRACKING_URI="some/folder") == []
    assert list(tmp_path.iterdir()) == []


def test_completion_imports_nothing_heavy(folder: Path) -> None:
    script = (
        "import sys, types\n"
        "from tsbench.cli import completion\n"
        "context = types.SimpleNamespace(params={})\n"
        "assert completion.experiments_and_recipes(context, 'ti') == ['tiny', 'tiny.yaml']\n"
        "assert completion.models(context, '') and completion.data_sets('Gun')\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & HEAVY
