import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock
from typer.testing import CliRunner

from tests.bench.test_preflight import begun
from tests.bench.test_run import plan_of, run_plan, runs_by_role
from tsbench.bench.study_list import find_search, list_studies
from tsbench.cli import app
from tsbench.errors import RecipeError, SearchError
from tsbench.recipe.loading import load_recipe
from tsbench.studies.study import Study

Write = Callable[..., Path]


def test_studies_are_listed_with_how_far_they_are(recipe_file: Write, tmp_path: Path) -> None:
    plan = plan_of(recipe_file())
    run_plan(plan)
    (one,) = list_studies(tmp_path / ".tsbench")
    best = Study.open(plan.cells[0].folder).trials().best()
    assert best is not None
    assert (one.recipe, one.dataset, one.state, one.trials, one.budget) == (
        "tiny",
        "ItalyPowerDemand",
        "complete",
        4,
        4,
    )
    assert (one.metric, one.best) == ("accuracy", best.value)
    Study.open(plan.cells[0].folder).notes.set_budget(6)
    assert next(list_studies(tmp_path / ".tsbench", "tiny")).state == "interrupted"
    with FileLock(plan.home / "lock"):
        assert next(list_studies(tmp_path / ".tsbench", "tiny")).state == "running"
    shown = CliRunner().invoke(app, ["studies", str(tmp_path / "tiny.yaml")])
    assert shown.exit_code == 0, shown.output
    for text in ("tiny", "ItalyPowerDemand", "interrupted", "4/6", f"accuracy {best.value:.4f}"):
        assert text in shown.output
    assert "lost" not in shown.output  # no column for what happened nowhere


def test_a_study_without_a_search_is_not_listed_as_a_complete_one(recipe_file: Write, tmp_path: Path) -> None:
    """Its other classifiers may have failed."""
    begun(recipe_file(("trials: 4", "trials: 0")))
    assert [(one.state, one.trials, one.best) for one in list_studies(tmp_path / ".tsbench")] == [
        ("no search", 0, None)
    ]
    shown = CliRunner().invoke(app, ["studies", str(tmp_path / "tiny.yaml")])
    assert "no search" in shown.output
    assert "0/0" not in shown.output


def test_no_studies_are_a_sentence_that_names_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match=r"holds no studies; `tsbench search RECIPE` creates one"):
        list(list_studies(tmp_path / ".tsbench"))
    folder = tmp_path / ".tsbench" / "tiny" / "GunPoint"
    folder.mkdir(parents=True)
    (folder / "study.json").touch()
    with pytest.raises(SearchError, match=r"holds no studies of 'other'; there are studies of: tiny"):
        list(list_studies(tmp_path / ".tsbench", "other"))


def test_a_study_that_cannot_be_read_is_reported_beside_the_others_and_removed_with_them(
    recipe_file: Write, tmp_path: Path
) -> None:
    plan = begun(recipe_file(("ensemble: 2", "ensemble: 1, resamples: 4")))
    whole, damaged, cut, newer = (cell.folder for cell in plan.cells)
    (damaged / "study.json").write_text('{"meaning": ')
    (cut / "journal.log").write_text('{"op_code":0\n' + (cut / "journal.log").read_text())
    plain = json.loads((newer / "study.json").read_text())
    (newer / "study.json").write_text(json.dumps(plain | {"format": 9}))
    shown = CliRunner().invoke(app, ["studies", str(tmp_path / "tiny.yaml"), "--format", "json"])
    assert shown.exit_code == 1
    assert [study["folder"] for study in json.loads(shown.stdout)] == [str(whole)]
    problems = shown.stderr.splitlines()
    assert len(problems) == 3
    for folder, sentence in (
        (damaged, "study.json cannot be read: it is damaged"),
        (cut, "journal.log:1: the trials of this study are damaged"),
        (newer, "study.json has format 9, which a newer version of tsbench wrote"),
    ):
        assert any(problem.startswith(f"{folder}/{sentence}") for problem in problems)
    gone = CliRunner().invoke(app, ["rm", str(tmp_path / "tiny.yaml"), "--yes"])
    assert gone.exit_code == 0, gone.output
    assert f"note: {damaged}/study.json cannot be read" in gone.stderr
    assert not plan.home.exists()
    assert not list(plan.store.runs("tiny"))


def test_a_worker_without_a_search_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SearchError, match=r"no search of 'tiny' is running .* own machine only; .* Ray cluster"):
        find_search("tiny", tmp_path)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["worker", "tiny"])
    assert done.exit_code == 1
    assert "no search of 'tiny' is running" in done.output
    for device in ("gpu", "cuda:one"):
        done = CliRunner().invoke(app, ["worker", "tiny", "--device", device])
        assert done.exit_code == 2
        assert f"--device is '{device}'; expected auto, cpu, cuda or a GPU's number as in cuda:1" in done.output


def test_several_metrics_lead_to_a_front_that_is_recorded(recipe_file: Write) -> None:
    plan = plan_of(
        recipe_file(
            ("channels: 4, blocks: 1", "blocks: 1"),
            ("model.dropout: {float: [0.0, 0.5]}", "model.convolution.channels: {choice: [4, 8, 16]}"),
            (
                "training.learning_rate: {float: [1e-3, 1e-1], log: true}",
                "model.convolution.kernels: {choice: [[3, 5, 7], [3, 5]]}",
            ),
        ),
        "search.trade_off=[parameters]",
        "search.sampler=nsga2",
        "search.trials=6",
    )
    assert plan.loaded.recipe.search.pruner == "none"
    assert run_plan(plan)[0] == []
    study = Study.open(plan.cells[0].folder)
    study.check()
    trials = study.trials()
    assert all(len(trial.values) == 2 for trial in trials)
    front = {trial.number for trial in study.pareto_front()}

    def surpassed(one: int) -> bool:
        accuracy, size = trials[one].values
        return any(
            (a >= accuracy and s <= size) and (a > accuracy or s < size) for a, s in (other.values for other in trials)
        )

    assert front == {trial.number for trial in trials if not surpassed(trial.number)}
    marked = {
        int(r.tags["tsbench.trial"]) for r in runs_by_role(plan, "trial") if r.tags.get("tsbench.pareto") == "true"
    }
    assert marked == front
    best = study.trials().best()
    assert best is not None
    assert best.value == max(trial.values[0] for trial in trials)
    (parent,) = runs_by_role(plan, "search")
    table = Path(plan.store.client.download_artifacts(parent.run_id, "pareto_front.csv"))
    with table.open() as file:
        rows = list(csv.DictReader(file))
    assert {int(row["trial"]) for row in rows} == front
    assert {row["model.convolution.kernels"] for row in rows} <= {"[3, 5, 7]", "[3, 5]"}
    for row in rows:
        assert [float(row["cv_accuracy"]), float(row["parameters"])] == trials[int(row["trial"])].values


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["search.trade_off=[accuracy]"], "already search.metric"),
        (["search.trade_off=[parameters]", "search.pruner=median"], "a trial with several goals cannot be pruned"),
        (
            ["search.trade_off=[parameters]", "search.sampler=cmaes", "search.pruner=none"],
            "the cmaes sampler has one goal",
        ),
        (["search.pruner=wilcoxon"], "search.folds: the wilcoxon pruner needs at least 5"),
        (["search.sampler=grid"], "space.model.dropout: a grid needs a finite number of values"),
        (["search.enqueue=[{model.dropuot: 0.1}]"], "is not searched; did you mean 'model.dropout'?"),
        (["search.enqueue=[{model.dropout: 0.9}]"], "the space does not offer 0.9"),
    ],
)
def test_search_settings_that_do_not_fit_are_refused(recipe_file: Write, overrides: list[str], sentence: str) -> None:
    text = (
        recipe_file(("pruner: none, ", ""))
        if "pruner" in overrides[0] or "trade_off" in overrides[0]
        else recipe_file()
    )
    with pytest.raises(RecipeError) as caught:
        load_recipe(text, overrides)
    assert sentence in str(caught.value)


def test_a_grid_ends_when_every_combination_was_tried(recipe_file: Write) -> None:
    plan = plan_of(
        recipe_file(
            ("  model.dropout: {float: [0.0, 0.5]}\n", "  model.dropout: {choice: [0.0, 0.5]}\n"),
            ("training.learning_rate: {float: [1e-3, 1e-1], log: true}", "model.skip: {choice: [true, false]}"),
        ),
        "search.sampler=grid",
        "search.trials=50",
        "search.enqueue=[{model.dropout: 0.5}]",
    )
    assert plan.trials == 4
    assert plan.notes == ["search.enqueue is not used: a grid tries every combination of the space"]
    assert run_plan(plan)[0] == []
    params = [tuple(sorted(trial.params.items())) for trial in Study.open(plan.cells[0].folder).trials()]
    assert len(params) == len(set(params)) == 4


@pytest.mark.slow
@pytest.mark.parametrize("pruner", ["successive_halving", "hyperband", "median"])
def test_pruners_end_trials_and_give_the_same_whatever_the_number_of_workers(recipe_file: Write, pruner: str) -> None:
    def outcome(workers: int) -> list[tuple[str, object]]:
        plan = plan_of(
            recipe_file(("epochs: 4", "epochs: 10"), file=f"{workers}.yaml"),
            f"name=tiny-{workers}",
            f"execution.workers={workers}",
            f"search.pruner={pruner}",
            "search.trials=12",
            "search.concurrency=2",
            "model.features.blocks=[]",
            "evaluation.ensemble=1",
        )
        assert run_plan(plan)[0] == []
        return [(trial.state.name, trial.values) for trial in Study.open(plan.cells[0].folder).trials()]

    once, twice = outcome(1), outcome(2)
    assert once == twice
    assert {state for state, _ in once} == {"COMPLETE", "PRUNED"}
