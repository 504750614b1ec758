"""As a library, tsbench changes nothing of the process that uses it: neither when it is imported nor by its calls."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

LINES = """
import importlib, pkgutil, sys
from pathlib import Path

import numpy as np

folder = Path(sys.argv[1])

import tsbench
for module in pkgutil.walk_packages(tsbench.__path__, "tsbench."):
    # Commands have a process of their own, and the last is for the server that workers are forked from.
    if not module.name.startswith("tsbench.cli") and module.name not in ("tsbench.__main__", "tsbench.workers.frozen"):
        importlib.import_module(module.name)
        check(f"importing {module.name}")

from tests.studies.test_study import finish, make
from tsbench.classifiers.estimator import NetworkClassifier
from tsbench.tracking.store import Store

study = make(folder / "study")
study.queue.refill()
finish(study, 0, 0.5)
check("a study")

store = Store(f"sqlite:///{folder}/mlflow.db")
run = store.begin(store.experiment("tiny"), "a run", {})
store.log(run, {"accuracy": 0.5})
store.end(run)
assert len(list(store.runs("tiny"))) == 1
check("a store")

series, labels = np.random.default_rng(0).normal(size=(8, 1, 12)), np.array(["a", "b"] * 4)
classifier = NetworkClassifier({"training.epochs": 1}, ensemble=1, random_state=0).fit(series, labels)
classifier.predict(series)
check("a classifier")
"""
MODULES = f"""
def check(what):
    pass

{LINES}
print(*(name for name in sys.modules if not name.startswith(("tsbench", "tests"))))
"""
"""Prints which modules of others the lines import."""

CHANGES = """
import gc, importlib, logging, os, random, signal, sys, warnings
from contextlib import suppress
from pathlib import Path


def state():
    engine = sqlalchemy.create_engine(f"sqlite:///{sys.argv[1]}/users.db")
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode = WAL")
        synchronous = connection.exec_driver_sql("PRAGMA synchronous").scalar()
    engine.dispose()
    loggers = {
        name: str((logger.level, logger.handlers, logger.propagate))
        for name, logger in logging.root.manager.loggerDict.items()
        if isinstance(logger, logging.Logger) and (logger.level or logger.handlers or not logger.propagate)
    }
    return {
        **{f"variable {name}": value for name, value in os.environ.items()},
        **{f"logger {name}": value for name, value in loggers.items()},
        **{f"filter {number} of warnings": entry for number, entry in enumerate(warnings.filters)},
        "root logger": (logging.root.level, str(logging.root.handlers)),
        "collector": (gc.isenabled(), gc.get_threshold(), gc.get_freeze_count()),
        "synchronous writes of SQLite": synchronous,
        "Optuna's verbosity": optuna.logging.get_verbosity(),
        "matplotlib": (matplotlib.get_backend(), str(dict(matplotlib.rcParams))),
        "signals": [signal.getsignal(number) for number in signal.valid_signals()],
        "torch": (torch.get_num_threads(), torch.get_default_dtype(), torch.are_deterministic_algorithms_enabled()),
        "generators": str((random.getstate(), numpy.random.get_state(), torch.get_rng_state().numpy().tobytes())),
        "hooks": (sys.excepthook, sys.displayhook, sys.stdout, sys.stderr),
        "numpy": numpy.geterr(),
        "path": list(sys.path),
        "folder": os.getcwd(),
    }


def check(what):
    global before
    after = state()
    for name in {**before, **after}:
        if before.get(name) != after.get(name):
            print(f"{what} changes {name}: {before.get(name)} -> {after.get(name)}")
    before = after


for name in Path(sys.argv[2]).read_text().split():
    with suppress(Exception):  # some can be imported by their packages alone
        importlib.import_module(name)
import matplotlib, mlflow, numpy, optuna, sqlalchemy, torch

mlflow.MlflowClient(f"sqlite:///{sys.argv[1]}/others.db").search_experiments()
optuna.create_study()
before = state()
"""


def output_of(lines: str, folder: Path, *arguments: str) -> str:
    folder.mkdir()
    environment = {**os.environ, "MPLBACKEND": "agg"}
    command = [sys.executable, "-c", lines, str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_host_process_stays_as_it_was(tmp_path: Path) -> None:
    modules = tmp_path / "modules.txt"
    modules.write_text(output_of(MODULES, tmp_path / "first"))
    assert output_of(CHANGES + LINES, tmp_path / "second", str(modules)) == ""
