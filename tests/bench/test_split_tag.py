"""Every run of a search says whose split its scores are of."""

import json
from collections.abc import Callable
from pathlib import Path

from tests.bench.test_own_data import _pumps
from tests.data.made import long_table
from tsbench.bench.opening import cell_tags
from tsbench.bench.plan import make_plan
from tsbench.classifiers.baselines import BASELINES
from tsbench.recipe.loading import load_recipe
from tsbench.recipe.schema import SplitConfig
from tsbench.tracking import names
from tsbench.tracking.split import ARCHIVE, Split


def test_the_tags_of_a_search_hold_the_split_of_each_data_set(recipe_file: Callable[..., Path], tmp_path: Path) -> None:
    long_table(_pumps()).to_parquet(tmp_path / "pumps.parquet", index=False)
    own = {"name": "GunPoint", "file": f"{tmp_path}/pumps.parquet", "case": "id", "time": "t", "label": "y"}
    own["split"] = {"test_size": 0.25, "group": "machine", "seed": 7}
    path = recipe_file(("[ItalyPowerDemand]", f"[ItalyPowerDemand, {json.dumps(own)}]"))
    plan = make_plan(load_recipe(path, (), BASELINES))
    tags = {cell.dataset: cell_tags(plan, cell, "a study")[names.SPLIT] for cell in plan.cells}
    assert {dataset: Split.parse(tag) for dataset, tag in tags.items()} == {
        "ItalyPowerDemand": ARCHIVE,
        "GunPoint": Split("drawn", SplitConfig(test_size=0.25, group="machine", seed=7)),
    }
