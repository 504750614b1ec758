import atexit
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

# One thread a process, as tsbench's own workers have: set before torch and numba are imported.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[variable] = "1"
REAL_ARCHIVE = os.environ.pop("TSBENCH_ARCHIVE", None)  # tests that need more than sktime ships ask for it
os.environ["TSBENCH_CACHE"] = tempfile.mkdtemp(prefix="tsbench-cache-")  # no test reads or writes the user's own
atexit.register(shutil.rmtree, os.environ["TSBENCH_CACHE"], ignore_errors=True)
os.environ.pop("MLFLOW_TRACKING_URI", None)
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["COLUMNS"] = "120"

RECIPE = """\
name: tiny
datasets: [ItalyPowerDemand]
model:
  convolution: {channels: 4, blocks: 1}
  encoder: {type: lstm, hidden_size: 4, layers: 1}
  features: {size: 84}
  head: {hidden_sizes: [8]}
training: {epochs: 4, batch_size: 32}
space:
  model.dropout: {float: [0.0, 0.5]}
  training.learning_rate: {float: [1e-3, 1e-1], log: true}
search: {trials: 4, folds: 2, pruner: none, seed: 3, confirm: 0}
evaluation: {ensemble: 2, keep_baselines: false}
baselines: [dummy]
execution: {workers: 1, device: cpu}
"""


@pytest.fixture(scope="session", autouse=True)
def _one_torch_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _no_downloads() -> None:
    """Nobody listens where data sets would be downloaded from; tests of downloads name a server of their own."""
    from sktime.datasets import _data_io

    _data_io.CLASSIF_URLS = ["http://127.0.0.1:9"]


@pytest.fixture(scope="session")
def migrated_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow store, whose migrations take over a second; tests copy it."""
    from tsbench.tracking.store import Store

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    Store(f"sqlite:///{path}").connection.prepare()
    return path


@pytest.fixture
def store_uri(migrated_database: Path, tmp_path: Path) -> str:
    """A fresh SQLite store of the test's own."""
    target = tmp_path / "mlflow.db"
    shutil.copy(migrated_database, target)
    return f"sqlite:///{target}"


@pytest.fixture
def recipe_file(tmp_path: Path, store_uri: str) -> Callable[..., Path]:
    """Writes the tiny recipe, with replacements of its text, into the test's folder."""

    def write(*replacements: tuple[str, str], file: str = "tiny.yaml") -> Path:
        text = RECIPE + f'tracking: {{uri: "{store_uri}"}}\n'
        for old, new in replacements:
            assert old in text, old
            text = text.replace(old, new)
        path = tmp_path / file
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture(autouse=True)
def _no_numba_advice() -> None:
    warnings.filterwarnings("ignore", category=UserWarning, module="numba")
