from collections.abc import Callable
from pathlib import Path

import pytest

from tests.snapshot import snapshot
from tsbench.bench.opening import archive_studies, open_study
from tsbench.bench.plan import Plan, make_plan
from tsbench.bench.preflight import check_ready
from tsbench.classifiers.baselines import BASELINES
from tsbench.errors import RecipeError, TrackingError
from tsbench.recipe.loading import load_recipe
from tsbench.studies.specification import stored_fingerprint
from tsbench.studies.study import Study

Write = Callable[..., Path]


def begun(path: Path, *overrides: str) -> Plan:
    """A plan with a study of each of its cells."""
    plan = make_plan(load_recipe(path, overrides, BASELINES))
    plan.store.connection.prepare()
    for cell in plan.cells:
        open_study(plan, cell, plan.load(cell))
    return plan


def test_fresh_archives_no_study_whose_data_do_not_let_a_new_one_be_begun(recipe_file: Write, tmp_path: Path) -> None:
    folder = tmp_path / "archive" / "Small"
    folder.mkdir(parents=True)
    for part in ("TRAIN", "TEST"):
        (folder / f"Small_{part}.ts").write_text("@classLabel true a b\n@data\n1,2,3:a\n3,2,1:b\n")
    path = recipe_file(
        ("name: tiny", f"name: tiny\narchive: {tmp_path}/archive"),
        ("[ItalyPowerDemand]", "[Small, ItalyPowerDemand]"),
    )
    begun(path)
    plan = make_plan(load_recipe(path, (), BASELINES))
    (folder / "Small_TRAIN.ts").write_text("@classLabel true a b\n@data\n1,2,3:a\n")  # a value of another class is gone
    (folder / "Small_TEST.ts").unlink()
    archive_studies(plan)
    small, italy = (cell.folder for cell in plan.cells)
    assert stored_fingerprint(small) is not None  # it cannot be read: its cell will fail
    assert not italy.exists()
    assert len(list(italy.parent.glob("ItalyPowerDemand.*/study.json"))) == 1


def test_a_resample_whose_parent_run_was_deleted_is_named(recipe_file: Write, tmp_path: Path) -> None:
    plan = begun(recipe_file(("ensemble: 2", "ensemble: 1, resamples: 2")))
    check_ready(plan.loaded.recipe, fresh=False)
    spec = Study.open(plan.cells[1].folder).spec
    plan.store.client.delete_run(spec.parent_run)
    before = snapshot(tmp_path)
    with pytest.raises(TrackingError) as caught:
        check_ready(plan.loaded.recipe, fresh=False)
    assert str(caught.value) == (
        f"the MLflow run {spec.parent_run}, in which the search of ItalyPowerDemand resample 1 is recorded, was "
        "deleted; restore it in the MLflow UI, or run the search with `fresh=True`, which archives the study and "
        "starts a new one"
    )
    with pytest.raises(TrackingError, match="was deleted; restore it"):
        open_study(plan, plan.cells[1], plan.load(plan.cells[1]))
    assert snapshot(tmp_path) == before
    check_ready(plan.loaded.recipe, fresh=True)
    plan.store.client.restore_run(spec.parent_run)
    check_ready(plan.loaded.recipe, fresh=False)


def test_a_study_of_another_meaning_is_never_archived_by_itself(recipe_file: Write, tmp_path: Path) -> None:
    path = recipe_file()
    begun(path)
    changed = make_plan(load_recipe(path, ["training.epochs=5"], BASELINES))
    before = snapshot(tmp_path)
    with pytest.raises(RecipeError, match="changed since the search of ItalyPowerDemand was started"):
        open_study(changed, changed.cells[0], changed.load(changed.cells[0]))
    assert snapshot(tmp_path) == before


def test_a_study_whose_run_mlflow_has_forgotten_can_be_begun_anew(recipe_file: Write) -> None:
    from tsbench.tracking.store import Store

    plan = begun(recipe_file())
    folder = plan.cells[0].folder
    text = (folder / "study.json").read_text()
    spec = Study.open(folder).spec
    forgotten = text.replace(spec.parent_run, "0" * 32).replace(
        f'"experiment": "{spec.experiment}"', '"experiment": "9"'
    )
    (folder / "study.json").write_text(forgotten)
    with pytest.raises(TrackingError, match=f"is recorded in the MLflow run {'0' * 32}, which .* does not have"):
        check_ready(plan.loaded.recipe, fresh=False)
    archive_studies(plan)
    study, ended = open_study(plan, plan.cells[0], plan.load(plan.cells[0]))
    assert (study.trials().counts()["complete"], ended) == (0, False)
    assert Store(plan.store.uri).searches(spec.experiment).keys() >= {study.spec.parent_run}
