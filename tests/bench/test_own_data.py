import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from tests.data.made import long_table
from tsbench.bench.plan import make_plan
from tsbench.bench.progress import PlainDisplay
from tsbench.bench.run import BenchmarkRun
from tsbench.classifiers.baselines import BASELINES
from tsbench.cli import app
from tsbench.comparisons.results import read_results
from tsbench.data.collection import Collection
from tsbench.data.stored import CHECKSUMS, VERIFIED
from tsbench.recipe.loading import load_recipe
from tsbench.tracking import names


def _pumps() -> Collection:
    """Two classes that differ in level, from 12 machines, of unequal length and with gaps."""
    random = np.random.default_rng(5)
    lengths = random.integers(12, 21, 96)
    labels = np.array(["fine", "worn"] * 48)
    values = random.normal(size=(96, 2, 20)) + 3 * (labels == "worn")[:, None, None]
    values[np.broadcast_to(np.arange(20) >= lengths[:, None, None], values.shape)] = 0
    values[4, 0, 3:6] = np.nan
    return Collection(values, lengths, labels, np.array([f"m{number % 12}" for number in range(96)]))


def test_a_search_of_which_nothing_can_be_begun_says_why_and_nothing_else(
    recipe_file: Callable[..., Path], tmp_path: Path
) -> None:
    long_table(_pumps()).to_parquet(tmp_path / "pumps.parquet", index=False)
    own = f"{{name: pumps, file: {tmp_path}/pumps.parquet, case: id, time: t, label: y, group: machine, "
    path = recipe_file(
        ("[ItalyPowerDemand]", f"[{own}split: {{test_size: 0.25}}}}]"),
        ("folds: 2", "folds: 9, metric: roc_auc"),  # a machine each, whose cases are all of one class
    )
    result = CliRunner().invoke(app, ["search", str(path)])
    assert result.exit_code == 1
    failure = "pumps: the recipe searches by roc_auc, which is not defined on fold 0: its validation cases are all of"
    assert failure in result.stderr.partition("What failed:")[2]
    assert "experiment" not in result.output
    assert "Browse" not in result.output


@pytest.mark.slow
def test_a_recipe_of_ones_own_data_runs_to_the_end(recipe_file: Callable[..., Path], tmp_path: Path) -> None:
    long_table(_pumps()).to_parquet(tmp_path / "pumps.parquet", index=False)
    own = (
        f"{{name: pumps, file: {tmp_path}/pumps.parquet, case: id, time: t, label: y, "
        "split: {test_size: 0.25, group: machine}}"
    )
    path = recipe_file(
        ("[ItalyPowerDemand]", f"[{own}]"),
        ("trials: 4, folds: 2", "trials: 2, folds: 2, fraction: 0.6"),
        (
            "  model.dropout: {float: [0.0, 0.5]}",
            "  preprocessing.length: {choice: [keep, median]}\n  preprocessing.missing: {choice: [linear, none]}",
        ),
    )
    plan = make_plan(load_recipe(path, ["evaluation.resamples=2"], BASELINES))
    assert [cell.title for cell in plan.cells] == ["pumps", "pumps resample 1"]
    for cell in plan.cells:
        dataset = plan.load(cell)
        assert dataset.train.groups is not None
        assert dataset.test.groups is not None
        assert not set(dataset.train.groups) & set(dataset.test.groups)
    run = BenchmarkRun(plan, PlainDisplay(Console(file=StringIO(), width=200)))
    assert run.run() == []
    results = read_results(plan.store, "tiny")
    rows = [row for row in results.rows if row.classifier == "network"]
    assert len(rows) == 2
    assert min(row.metrics[names.test("accuracy")] for row in rows) > 0.9


def test_a_study_of_ones_own_data_means_how_they_are_read_and_split(
    recipe_file: Callable[..., Path], tmp_path: Path
) -> None:
    long_table(_pumps()).to_csv(tmp_path / "pumps.csv", index=False)
    (tmp_path / "moved").mkdir()
    (tmp_path / "moved" / "pumps.csv").write_bytes((tmp_path / "pumps.csv").read_bytes())

    def settings(file: str = "pumps.csv", time: str = "t", **split: object) -> object:
        own = {"name": "pumps", "file": str(tmp_path / file), "case": "id", "time": time, "label": "y"}
        own |= {"channels": ["x0", "x1"], "split": split}
        plan = make_plan(load_recipe(recipe_file(("[ItalyPowerDemand]", f"[{json.dumps(own)}]")), (), BASELINES))
        return plan.fixed_settings(plan.cells[0], plan.load(plan.cells[0]).files)

    first = settings(seed=1)
    assert settings(seed=1) == first
    assert settings("moved/pumps.csv", seed=1) == first
    assert settings(seed=2) != first
    assert settings(seed=1, test_size=0.4) != first
    assert settings(seed=1, group="machine") != first


@pytest.mark.slow
def test_a_study_that_an_older_version_read_with_an_index_for_a_channel_is_not_continued(
    recipe_file: Callable[..., Path], tmp_path: Path
) -> None:
    long_table(_pumps()).to_csv(tmp_path / "pumps.csv")  # with pandas' index
    own = (
        f"{{name: pumps, file: {tmp_path}/pumps.csv, case: id, time: t, label: y, split: {{group: machine}}, "
        "channels: [x0, x1]}"
    )
    path = recipe_file(("[ItalyPowerDemand]", f"[{own}]"), ("trials: 4, folds: 2", "trials: 1, folds: 2"))
    first = CliRunner().invoke(app, ["search", str(path)])
    assert first.exit_code == 0, first.output
    assert first.stderr.splitlines()[0] == "pumps: 2 channels: x0, x1"
    (study,) = tmp_path.glob(".tsbench/*/pumps")
    values = np.load(study / "values.npy")
    np.save(study / "values.npy", np.concatenate([values, values[:, :1]], axis=1))
    for name in (CHECKSUMS, VERIFIED):  # version 0.1.0 wrote none
        (study / name).unlink()
    again = CliRunner().invoke(app, ["search", str(path)])
    assert again.exit_code == 2
    assert "or how tsbench reads them changed since the search of pumps was started" in again.stderr
