"""The installed package carries what the repository has beside it."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def built(tmp_path: Path) -> Path:
    """A wheel, built from a copy of the repository."""
    source = tmp_path / "source"
    ignored = shutil.ignore_patterns("__pycache__", "archive")
    for name in ("tsbench", "datasets", "recipes"):
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    (source / "datasets" / "archive" / "Big").mkdir(parents=True)
    (source / "datasets" / "archive" / "Big" / "Big_TRAIN.ts").write_text("not to be shipped")
    build = "import setuptools.build_meta as b, sys; print(b.build_wheel(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", build, str(tmp_path)], cwd=source, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    return wheel


@pytest.mark.slow
def test_a_wheel_carries_the_catalogue_and_finds_it(tmp_path: Path) -> None:
    wheel = built(tmp_path)
    with zipfile.ZipFile(wheel) as packed:
        names = set(packed.namelist())
        packed.extractall(tmp_path / "installed")
    tables = {f"tsbench/datasets/{name}.csv" for name in ("archives", "catalogue", "collections")}
    assert {*tables, "tsbench/py.typed"} <= names
    assert {
        "tsbench/comparisons/references/published.csv",
        "tsbench/comparisons/references/mambasl.csv",
        "tsbench/comparisons/templates/report.html",
    } <= names
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tsbench").rglob("*.py")}
    assert modules <= names
    assert "tsbench/recipes/quickstart.yaml" in names
    assert not any("Big" in name or name.startswith(("datasets/", "recipes/")) for name in names)
    look = (
        "import tsbench.data.catalogue as c; print(c.__file__); "
        "print(len(c.catalogue()), len(c.collection('ucr-112')), c.archives()['uea'].name)"
    )
    command = [sys.executable, "-c", look]
    installed = tmp_path / "installed"
    found = subprocess.run(command, cwd=installed, env={"PYTHONPATH": "."}, capture_output=True, check=True)
    place, facts = found.stdout.decode().splitlines()
    assert Path(place).resolve().is_relative_to(tmp_path)
    assert facts == "158 112 uea"


@pytest.mark.nightly
@pytest.mark.slow
def test_an_installed_wheel_searches_in_an_empty_folder(tmp_path: Path) -> None:
    """What a new user does, in a fresh environment of pinned versions, from an index or pip's own cache."""
    wheel, environment, empty = built(tmp_path), tmp_path / "venv", tmp_path / "empty"
    empty.mkdir()
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    install = [environment / "bin" / "pip", "install", "-q", "-c", ROOT / "constraints.txt", wheel]
    subprocess.run(install, check=True, cwd=empty)
    variables = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    def tsbench(*arguments: str) -> str:
        command = [environment / "bin" / "tsbench", *arguments]
        done = subprocess.run(command, cwd=empty, env=variables, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert tsbench("init") == "Wrote recipe.yaml. Name your data sets in it, then: tsbench search recipe.yaml\n"
    assert tsbench("init", "--quickstart") == "Wrote quickstart.yaml. Run it: tsbench search quickstart.yaml\n"
    assert "fine; 2 data sets" in tsbench("validate", "recipe.yaml")
    small = [
        "search.trials=1",
        "training.epochs=1",
        "evaluation.ensemble=1",
        "baselines=[dummy]",
        "execution.workers=1",
    ]
    found = tsbench("search", "quickstart.yaml", *(part for text in small for part in ("--set", text)))
    assert "Results: quickstart" in found
    assert "GunPoint" in tsbench(
        "compare", "--reference", "published", "--classifiers", "network,HC2", "--report", "report.html"
    )
    assert (empty / "report.html").is_file()
    assert {path.name for path in empty.iterdir()} >= {"quickstart.yaml", "mlflow.db", ".tsbench"}
