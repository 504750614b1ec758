"""The installed package carries what the repository has beside it."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_wheel_carries_the_catalogue_and_finds_it(tmp_path: Path) -> None:
    source = tmp_path / "source"
    ignored = shutil.ignore_patterns("__pycache__", "archive")
    for name in ("tsbench", "datasets"):
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    (source / "datasets" / "archive" / "Big").mkdir(parents=True)
    (source / "datasets" / "archive" / "Big" / "Big_TRAIN.ts").write_text("not to be shipped")
    build = "import setuptools.build_meta as b, sys; print(b.build_wheel(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", build, str(tmp_path)], cwd=source, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        names = set(packed.namelist())
        packed.extractall(tmp_path / "installed")
    tables = {f"tsbench/datasets/{name}.csv" for name in ("archives", "catalogue", "collections")}
    assert {*tables, "tsbench/py.typed"} <= names
    assert {
        "tsbench/compare/references/published.csv",
        "tsbench/compare/references/mambasl.csv",
        "tsbench/compare/templates/report.html",
    } <= names
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tsbench").rglob("*.py")}
    assert modules <= names
    assert not any("Big" in name or name.startswith("datasets/") for name in names)
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
