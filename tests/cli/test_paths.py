"""A folder may have any name: nothing of a search is written outside, whatever its name means in an address."""

import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import tsbench
from tests.conftest import RECIPE
from tsbench.data.archive import Archive
from tsbench.tracking.store import Store


@pytest.mark.slow
def test_search_compare_and_predict_in_a_folder_of_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "a b?c%20d#e&f'ü"
    folder.mkdir()
    recipe = folder / "my recipe.yaml"
    recipe.write_text(RECIPE.replace("trials: 4", "trials: 1") + "tracking: {register: true}\n")
    source = Archive().locate("ItalyPowerDemand")
    assert source is not None
    shutil.copy(source / "ItalyPowerDemand_TEST.ts", folder / "te#st.ts")
    done = tsbench("search", recipe.name, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "Browse it in MLflow: tsbench ui 'my recipe.yaml'\n" in done.stdout
    for arguments in (
        ("compare", recipe.name, "--log", "--report", "re?port.html"),
        ("predict", "models:/tiny-ItalyPowerDemand@best", "te#st.ts", "--out", "o%20ut.csv"),
        ("studies",),
        ("search", recipe.name),
    ):
        done = tsbench(*arguments, cwd=folder)
        assert done.returncode == 0, done.stderr
    assert "searching" not in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]
    assert {path.name for path in folder.iterdir()} == {
        *(".tsbench", "mlartifacts", "mlflow.db", "my recipe.yaml", "te#st.ts", "re?port.html", "o%20ut.csv"),
    }
    store = Store(f"sqlite:///{folder}/mlflow.db")
    assert store.database == folder / "mlflow.db"
    assert {run.status for run in store.runs("tiny")} == {"FINISHED"}
    assert [path.name for path in (folder / "mlartifacts").iterdir()] == ["tiny"]
    removed = tsbench("rm", "tiny", "--yes", cwd=folder)
    assert removed.returncode == 0, removed.stderr
    assert not (folder / ".tsbench" / "tiny").exists()
