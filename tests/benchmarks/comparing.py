"""What a large comparison costs: reading 10,000 runs out of MLflow, and comparing 115,200 scores."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

from tests.benchmarks.table import Row
from tsbench.comparisons.results import read_results
from tsbench.tracking import names
from tsbench.tracking.store import Store

CLASSIFIERS, DATASETS, RESAMPLES = 30, 128, 30
RUNS = 10_000
TABLES = ("runs", "tags", "latest_metrics", "metrics", "params")

COMPARE = f"""
import json, resource, time
from tests.comparisons.made_up import made_up
from tsbench.comparisons.comparison import Comparison
from tsbench.comparisons.page import as_html
from tsbench.comparisons.report import as_json, as_markdown

results = made_up(
    tuple(f"classifier {{n}}" for n in range({CLASSIFIERS})), tuple(f"Set{{n}}" for n in range({DATASETS})), {RESAMPLES}
)
began = time.perf_counter()
comparison = Comparison(results)
as_json(comparison), as_markdown(comparison)
compared, memory = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
began = time.perf_counter()
as_html(comparison)
print(json.dumps([len(results.rows), compared, memory, time.perf_counter() - began]))
"""


def measure() -> list[Row]:
    """Seconds and memory of comparing, and seconds of reading."""
    script = [sys.executable, "-c", COMPARE]
    done = subprocess.run(script, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    scores, compared, memory, page = json.loads(done.stdout)
    what = f"{CLASSIFIERS} classifiers, {DATASETS} data sets, {RESAMPLES} resamples ({scores:,} scores)"
    return [
        Row(f"comparing {what}", compared, "s", 5, "table, every statistic of every pair, JSON and Markdown"),
        Row("its process's peak memory", memory, "MB", 500, "imports and the made-up scores among it"),
        Row("its report of five pictures", page, "s", None, "HTML, beside the above"),
        _reading(),
    ]


def _reading() -> Row:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(f"sqlite:///{folder}/mlflow.db")
        store.connection.prepare()
        _fill(store, Path(folder) / "mlflow.db")
        began = time.process_time()
        results = read_results(store, "large")
        seconds = time.process_time() - began
    assert len(results.rows) == RUNS, len(results.rows)
    return Row(
        f"reading {RUNS:,} scored MLflow runs, CPU time", seconds, "s", 20, "SQLite; 12 metrics, 4 parameters each"
    )


def _fill(store: Store, database: Path) -> None:
    """One run by MLflow itself, and copies of its rows: 10,000 by MLflow would take five minutes."""
    metrics = ("accuracy", "balanced_accuracy", "f1_macro", "log_loss", "roc_auc")
    tags = {names.ROLE: "baseline", names.STATE: "complete", names.RECIPE: "large", names.STUDY: "0123456789ab"}
    tags |= {names.DATASET: "Set0", names.RESAMPLE: 0, names.CLASSIFIER: "c0", "mlflow.source.name": "large.yaml"}
    run = store.begin(store.experiment("large"), "Set0 c0", tags, parent="0" * 32)
    scores = {name: 0.5 for metric in metrics for name in (names.test(metric), names.cv(metric))}
    params = {f"baseline.{name}": 0 for name in ("classifier", "seed", "n_kernels", "n_groups")}
    store.log(run, {**scores, "fit_seconds": 1.0, "predict_seconds": 1.0}, params)
    store.end(run)
    with sqlite3.connect(database) as connection:
        copies = {}
        for table in TABLES:
            cursor = connection.execute(f"SELECT * FROM {table} WHERE run_uuid = ?", (run,))
            copies[table] = ([column[0] for column in cursor.description], cursor.fetchall())
        for number in range(1, RUNS):
            identity, changed = uuid.uuid4().hex, _place(number)
            for table, (columns, rows) in copies.items():
                connection.executemany(
                    f"INSERT INTO {table} VALUES ({', '.join('?' * len(columns))})",
                    [_copied(columns, row, identity, changed) for row in rows],
                )


def _place(number: int) -> dict[str, str]:
    classifier, rest = number % 20, number // 20
    return {names.CLASSIFIER: f"c{classifier}", names.DATASET: f"Set{rest % 50}", names.RESAMPLE: str(rest // 50)}


def _copied(columns: list[str], row: tuple[object, ...], identity: str, changed: dict[str, str]) -> list[object]:
    values = dict(zip(columns, row, strict=True)) | {"run_uuid": identity}
    if values.get("key") in changed:
        values["value"] = changed[str(values["key"])]
    return list(values.values())
