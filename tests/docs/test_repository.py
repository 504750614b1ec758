"""Files of the repository that no other test reads: workflows, containers, citation."""

import re
import tomllib
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tsbench import __version__

ROOT = Path(__file__).parents[2]
FILES = [
    *sorted((ROOT / ".github").rglob("*.yml")),
    ROOT / ".pre-commit-config.yaml",
    ROOT / "CITATION.cff",
    ROOT / "docs" / "deploy" / "compose.yaml",
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_is_valid_yaml(path):
    assert isinstance(YAML(typ="safe").load(path), dict)


def test_workflows_run_sessions_that_exist_on_the_pythons_that_are_supported():
    sessions = set(re.findall(r"^def (\w+)\(", (ROOT / "noxfile.py").read_text(encoding="utf-8"), re.MULTILINE))
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        workflow = YAML(typ="safe").load(path)
        assert workflow["permissions"] == {"contents": "read"}, path.name
        for job in workflow["jobs"].values():
            for step in job["steps"]:
                for names in re.findall(r"nox -s ([\w ]+)", step.get("run", "")):
                    assert set(names.split()) <= sessions, path.name
    matrix = YAML(typ="safe").load(ROOT / ".github" / "workflows" / "tests.yml")["jobs"]["tests"]["strategy"]["matrix"]
    assert f">={matrix['python'][0]}" == project()["requires-python"]


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_version_is_the_same_everywhere():
    assert project()["version"] == __version__
    assert YAML(typ="safe").load(ROOT / "CITATION.cff")["version"] == __version__
    assert f"## {__version__} – " in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_image_copies_what_is_there_and_mlflows_is_of_the_version_that_is_tested():
    text = (ROOT / "docs" / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE):
        for source in line.split()[:-1]:
            assert list(ROOT.glob(source)), source
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    image = YAML(typ="safe").load(ROOT / "docs" / "deploy" / "compose.yaml")["services"]["mlflow"]["image"]
    assert f"\nmlflow=={image.rpartition(':v')[2]}\n" in constraints
