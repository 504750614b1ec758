import os
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.conftest import RECIPE
from tests.processes import TSBENCH
from tsbench.cli import app


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def tsbench(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The installed command, in its own process."""
    assert "MLFLOW_TRACKING_URI" not in os.environ
    command = [TSBENCH, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=240, check=False)


@pytest.fixture(scope="session")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The tiny recipe searched by the installed command, with the default store in its folder."""
    folder = tmp_path_factory.mktemp("searched")
    (folder / "tiny.yaml").write_text(RECIPE.replace(", keep_baselines: false", "").replace("confirm: 0", "confirm: 3"))
    return folder, tsbench("search", "tiny.yaml", cwd=folder)
