"""The recipes of the repository run as they stand; only the amount of work is cut down."""

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import run, tsbench
from tests.servers import mlflow_server, postgresql
from tsbench.recipe.loading import load_recipe
from tsbench.recipe.template import SCHEMA_FILE, json_schema

RECIPES = Path(__file__).parents[2] / "recipes"
NAMES = sorted(path.name for path in RECIPES.glob("*.yaml"))
LITTLE = ["training.epochs=2", "evaluation.ensemble=1", "model.features.size=84", "execution.workers=2"]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder that has the repository's recipes."""
    shutil.copytree(RECIPES, tmp_path / "recipes")
    return tmp_path


def searched(clone: Path, name: str, *settings: str) -> dict[str, dict[str, float]]:
    """Test accuracies by data set and classifier, after a search with these settings replaced."""
    changes = [argument for setting in (*LITTLE, *settings) for argument in ("--set", setting)]
    done = tsbench("search", f"recipes/{name}", *changes, cwd=clone)
    assert done.returncode == 0, done.stdout + done.stderr
    uri = next((setting.partition("=")[2] for setting in settings if setting.startswith("tracking.uri")), "")
    experiment = re.search(r"^name: (\S+)", (clone / "recipes" / name).read_text(encoding="utf-8"), re.MULTILINE)
    assert experiment
    options = ["--tracking-uri", uri] if uri else []
    printed = tsbench("compare", experiment[1], "--format", "json", *options, cwd=clone).stdout
    accuracy: dict[str, dict[str, float]] = json.loads(printed)["accuracy"]
    return accuracy


def test_there_are_five() -> None:
    assert NAMES == ["multivariate.yaml", "own_data.yaml", "paper.yaml", "quickstart.yaml", "ray.yaml"]


@pytest.mark.parametrize("name", NAMES)
def test_each_is_valid_and_names_the_schema(name: str, clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(clone)
    assert (RECIPES / name).read_text(encoding="utf-8").startswith(f"# yaml-language-server: $schema={SCHEMA_FILE}\n")
    result = run("validate", f"recipes/{name}")
    assert result.exit_code == 0, result.output
    assert "will be downloaded" not in result.output


def test_the_schema_beside_them_is_that_of_the_code() -> None:
    written = (RECIPES / SCHEMA_FILE).read_text(encoding="utf-8")
    assert written == json_schema(), "run `tsbench schema > recipes/recipe.schema.json`"


@pytest.mark.slow
@pytest.mark.nightly
def test_own_data_is_split_by_pump(clone: Path) -> None:
    accuracy = searched(clone, "own_data.yaml", "search.trials=2")
    assert set(accuracy["pumps"]) == {"network", "dummy", "minirocket", "quant"}
    assert accuracy["pumps"]["quant"] > accuracy["pumps"]["dummy"]


@pytest.mark.slow
@pytest.mark.nightly
def test_multivariate(clone: Path) -> None:
    accuracy = searched(clone, "multivariate.yaml", "search.trials=2", "baselines=[dummy, quant]")
    assert set(accuracy) == {"BasicMotions", "JapaneseVowels"}
    assert all(set(row) == {"network", "dummy", "quant"} for row in accuracy.values())


@pytest.mark.slow
@pytest.mark.nightly
def test_paper_is_compared_with_published_scores_over_resamples(clone: Path) -> None:
    little = ("datasets=[ItalyPowerDemand]", "evaluation.resamples=2", "baselines=[minirocket]")
    assert set(searched(clone, "paper.yaml", *little)["ItalyPowerDemand"]) == {"network", "minirocket"}
    beside = tsbench(
        *("compare", "paper", "--reference", "published", "--resamples", "1"),
        *("--classifiers", "minirocket,MiniROCKET,HC2", "--format", "json"),
        cwd=clone,
    )
    row = json.loads(beside.stdout)["accuracy"]["ItalyPowerDemand"]
    assert row["minirocket"] == row["MiniROCKET (published)"] == 0.963071


@pytest.mark.slow
@pytest.mark.nightly
def test_ray(clone: Path) -> None:
    accuracy = searched(clone, "ray.yaml", "search.trials=2", "datasets=[ItalyPowerDemand]")
    assert set(accuracy["ItalyPowerDemand"]) == {"network", "dummy", "minirocket"}


@pytest.mark.slow
@pytest.mark.nightly
def test_ray_with_the_stores_of_a_cluster(clone: Path) -> None:
    recipe = clone / "recipes" / "ray.yaml"
    text = recipe.read_text(encoding="utf-8")
    recipe.write_text(text.replace("# storage: ", "storage: ").replace("# tracking: ", "tracking: "), encoding="utf-8")
    loaded = load_recipe(recipe).recipe
    assert loaded.search.storage == "postgresql://tsbench@127.0.0.1:5432/tsbench"
    assert loaded.tracking.uri == "http://127.0.0.1:5000"
    with postgresql() as database, mlflow_server(clone / "server") as server:
        stores = (f"search.storage={database.uri}", f"tracking.uri={server.uri}")
        accuracy = searched(clone, "ray.yaml", "search.trials=2", "datasets=[ItalyPowerDemand]", *stores)
    assert set(accuracy["ItalyPowerDemand"]) == {"network", "dummy", "minirocket"}
