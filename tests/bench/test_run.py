import json
import os
import signal
import sys
import time
from collections.abc import Callable
from io import StringIO
from multiprocessing import Pipe
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from optuna.trial import TrialState
from rich.console import Console

from tests.processes import workers_of
from tsbench.bench.baseline import score_baseline
from tsbench.bench.opening import check_compatible
from tsbench.bench.plan import Plan, describe_plan, make_plan
from tsbench.bench.progress import PlainDisplay
from tsbench.bench.run import BenchmarkRun
from tsbench.bench.search_report import FILES
from tsbench.classifiers.baselines import BASELINES
from tsbench.classifiers.contract import OutOfFold
from tsbench.comparisons.comparison import Comparison
from tsbench.comparisons.results import Results, read_results
from tsbench.data.archive import Archive
from tsbench.errors import RecipeError, SearchError
from tsbench.evaluation.metrics import error_name
from tsbench.recipe.loading import load_recipe
from tsbench.studies.specification import fingerprint_of, stored_fingerprint
from tsbench.studies.study import Study
from tsbench.tracking import names
from tsbench.tracking.connection import current_uri
from tsbench.tracking.store import RunRecord
from tsbench.workers.protocol import WorkerContext

Write = Callable[..., Path]


def plan_of(path: Path, *overrides: str) -> Plan:
    return make_plan(load_recipe(path, overrides, BASELINES))


def run_plan(plan: Plan, **options: Any) -> tuple[list[str], str]:
    output = StringIO()
    run = BenchmarkRun(plan, PlainDisplay(Console(file=output, width=200)), **options)
    return run.run(), output.getvalue()


def runs_by_role(plan: Plan, role: str) -> list[RunRecord]:
    return [run for run in plan.store.runs(plan.loaded.recipe.name) if run.tags.get(names.ROLE) == role]


def figures(plan: Plan) -> dict[str, Any]:
    """All that must be the same when a recipe is run again."""
    found: dict[str, Any] = {}
    for run in plan.store.runs(plan.loaded.recipe.name):
        unfair = [k for k in run.metrics if k.endswith("seconds") or k.startswith("system/")]
        kept = {k: v for k, v in run.metrics.items() if k not in unfair}
        found[f"{run.tags[names.ROLE]} {run.name}"] = (kept, run.params)
    return found


CONFIRMED = ("search.concurrency=4", "search.confirm=2")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, migrated_database: Path) -> Plan:
    """The tiny recipe, run once for the tests that only look."""
    import shutil

    from tests.conftest import RECIPE

    folder = tmp_path_factory.mktemp("finished")
    shutil.copy(migrated_database, folder / "mlflow.db")
    path = folder / "tiny.yaml"
    path.write_text(
        RECIPE.replace(", keep_baselines: false", "") + f'tracking: {{uri: "sqlite:///{folder}/mlflow.db"}}\n'
    )
    plan = plan_of(path, *CONFIRMED, "execution.workers=2")
    failures, _ = run_plan(plan)
    assert failures == []
    return plan


def test_every_run_is_recorded_with_its_tags(finished: Plan) -> None:
    (parent,) = runs_by_role(finished, "search")
    children = [run for role in ("trial", "model", "baseline") for run in runs_by_role(finished, role)]
    assert len(runs_by_role(finished, "trial")) == 4
    assert [run.tags[names.CLASSIFIER] for run in children[4:]] == ["network", "dummy"]
    assert {run.tags["mlflow.parentRunId"] for run in children} == {parent.run_id}
    for run in [parent, *children]:
        assert run.status == "FINISHED"
        assert run.tags[names.DATASET] == "ItalyPowerDemand"
        assert run.tags[names.RESAMPLE] == "0"
        assert run.tags[names.RECIPE] == "tiny"
        assert run.tags[names.STUDY] == parent.tags[names.STUDY]


def test_the_model_and_the_baselines_carry_every_metric(finished: Plan) -> None:
    scores = ("accuracy", "balanced_accuracy", "f1_macro", "log_loss", "roc_auc")
    for run in runs_by_role(finished, "model") + runs_by_role(finished, "baseline"):
        expected = {names.test(score) for score in scores} | {names.cv(score) for score in scores}
        expected |= {error_name(names.cv(score)) for score in scores}
        assert expected | {"fit_seconds", "predict_seconds"} <= set(run.metrics)


def test_the_parent_run_shows_all_that_a_person_browses_for(finished: Plan) -> None:
    (parent,) = runs_by_role(finished, "search")
    files = finished.store.artifacts.names(parent.run_id)
    assert set(files) == set(FILES) - {"pareto_front.csv"}  # which a search by one metric has none of
    text = parent.tags[names.DESCRIPTION]
    assert "4 trials completed, 0 pruned, 0 failed" in text
    assert "| network | " in text
    assert all(f"`{file}`" in text for file in files)
    rows = finished.store.artifacts.read_text(parent.run_id, "leaderboard.csv").splitlines()
    assert rows[0].startswith("classifier,cross-validated accuracy,its standard error,test accuracy,")
    assert " ± " in next(line for line in text.splitlines() if " was refitted, with accuracy " in line)
    assert [row.partition(",")[0] for row in rows[1:]] == ["network", "dummy"]
    study = Study.open(finished.cells[0].folder)
    best = study.trials().chosen(study.notes.chosen)
    assert best is not None
    assert f"learning_rate: {best.hyperparameters.training.learning_rate}" in finished.store.artifacts.read_text(
        parent.run_id, "best_configuration.yaml"
    )
    (model,) = runs_by_role(finished, "model")
    predictions = finished.store.artifacts.read_text(model.run_id, "test_predictions.csv").splitlines()
    assert predictions[0] == "case,label,predicted,probability_1,probability_2"
    assert len(predictions) == 1030
    assert model.tags[names.DESCRIPTION].startswith("# Network for ItalyPowerDemand")


def test_every_run_says_what_it_ran_on_and_used_and_what_it_is(finished: Plan) -> None:
    for run in runs_by_role(finished, "trial") + runs_by_role(finished, "model"):
        assert run.tags[names.DEVICE]
        assert run.tags[names.DESCRIPTION]
        used = {name for name in run.metrics if name.startswith("system/")}
        assert used == {"system/process_cpu_percent", "system/process_memory_megabytes"}
        assert run.metrics["system/process_memory_megabytes"] > 100


def test_trials_carry_their_settings_curves_and_scores(finished: Plan) -> None:
    client = finished.store.client
    for run in runs_by_role(finished, "trial"):
        assert 0 <= float(run.params["model.dropout"]) <= 0.5
        assert run.params["model.convolution.kernels"] == "[3, 5, 9]"
        assert run.params["training.epochs"] == "4"
        assert [p.step for p in client.get_metric_history(run.run_id, "train_loss")] == [1, 2, 3, 4]
        assert [p.step for p in client.get_metric_history(run.run_id, "cv_accuracy")] == [2, 4]  # nobody prunes by it
        assert {"cv_log_loss", "fit_seconds", "learning_rate"} <= set(run.metrics)


def test_the_best_trials_were_scored_again_and_the_choice_is_recorded(finished: Plan) -> None:
    again = [run for run in runs_by_role(finished, "trial") if names.confirmed("accuracy") in run.metrics]
    assert len(again) == 3
    (network,), (parent,) = runs_by_role(finished, "model"), runs_by_role(finished, "search")
    (trial,) = [run for run in again if run.tags[names.TRIAL] == network.tags[names.TRIAL]]
    for run in (network, parent):
        assert run.metrics[names.cv("accuracy")] == trial.metrics[names.cv("accuracy")]
    assert network.metrics[names.confirmed("accuracy")] == trial.metrics[names.confirmed("accuracy")]
    sentence = network.tags[names.CHOICE]
    assert "the default" in sentence
    assert sentence[1:] in parent.tags[names.DESCRIPTION]


def test_no_trial_and_no_search_has_a_test_score(finished: Plan) -> None:
    for run in runs_by_role(finished, "trial") + runs_by_role(finished, "search"):
        assert not [name for name in run.metrics if name.startswith("test_")]


def test_the_first_trial_is_the_recipes_own_configuration(finished: Plan) -> None:
    first = next(run for run in runs_by_role(finished, "trial") if run.tags[names.TRIAL] == "0")
    assert (first.params["model.dropout"], first.params["training.learning_rate"]) == ("0.1", "0.001")


def test_the_parent_carries_recipe_versions_and_data(finished: Plan) -> None:
    (parent,) = runs_by_role(finished, "search")
    folder = finished.store.database.parent / "mlartifacts" / "tiny" / parent.run_id / "artifacts"  # type: ignore[union-attr]
    resolved = (folder / "recipe.yaml").read_text()
    assert "hidden_size: 4" in resolved
    assert "label_smoothing: 0.1" in resolved
    versions = json.loads((folder / "versions.json").read_text())
    assert versions["torch"].startswith("2.")
    assert len(parent.tags["tsbench.sha256.ItalyPowerDemand_TRAIN.ts"]) == 64
    inputs = finished.store.client.get_run(parent.run_id).inputs.dataset_inputs
    assert sorted(entry.tags[0].value for entry in inputs) == ["test", "train"]
    assert parent.metrics["trials"] == 4


def test_the_resolved_recipe_gives_the_same_plan_again(finished: Plan, tmp_path: Path) -> None:
    (parent,) = runs_by_role(finished, "search")
    folder = finished.store.database.parent / "mlartifacts" / "tiny" / parent.run_id / "artifacts"  # type: ignore[union-attr]
    copy = tmp_path / "again.yaml"
    copy.write_text((folder / "recipe.yaml").read_text())
    again = plan_of(copy)
    assert again.resolved() == finished.resolved()
    assert again.fixed_settings(again.cells[0], {}) == finished.fixed_settings(finished.cells[0], {})


def test_the_final_model_is_logged_and_predicts(finished: Plan) -> None:
    import mlflow

    from tsbench.data.archive import Archive

    (run,) = runs_by_role(finished, "model")
    client = finished.store.client
    experiment = client.get_experiment_by_name("tiny").experiment_id
    (model,) = [found for found in client.search_logged_models([experiment]) if found.source_run_id == run.run_id]
    with current_uri(finished.store.uri):
        loaded = mlflow.pyfunc.load_model(model.model_uri)
        by_run = mlflow.pyfunc.load_model(f"runs:/{run.run_id}/model")  # as docs/mlflow.md has it
    assert by_run.metadata.model_uuid == loaded.metadata.model_uuid
    data = Archive().load("ItalyPowerDemand")
    labels = loaded.predict(data.test.values)["label"]
    assert (labels == data.test.labels).mean() == pytest.approx(run.metrics["test_accuracy"], abs=1e-12)


def test_models_are_ranked_by_the_scores_of_a_data_set(finished: Plan) -> None:
    client = finished.store.client
    experiment = client.get_experiment_by_name("tiny").experiment_id
    of_test = {"field_name": "metrics.test_accuracy", "dataset_name": "ItalyPowerDemand test", "ascending": False}
    ranked = client.search_logged_models([experiment], order_by=[of_test])
    assert [model.tags[names.CLASSIFIER] for model in ranked] == ["network", "dummy"]
    runs = {run.tags[names.CLASSIFIER]: run for role in ("model", "baseline") for run in runs_by_role(finished, role)}
    (parent,) = runs_by_role(finished, "search")
    digests = {data.dataset.name: data.dataset.digest for data in client.get_run(parent.run_id).inputs.dataset_inputs}
    for model in ranked:
        assert model.tags[names.DATASET] == "ItalyPowerDemand"
        linked = {(metric.key, metric.dataset_name): metric for metric in model.metrics}
        for name, dataset in (("test_accuracy", "ItalyPowerDemand test"), ("cv_accuracy", "ItalyPowerDemand train")):
            found = linked[name, dataset]
            assert found.value == runs[model.tags[names.CLASSIFIER]].metrics[name]
            assert found.dataset_digest == digests[dataset]


def test_mlflow_evaluates_what_a_model_predicts_of_a_long_table(finished: Plan) -> None:
    import mlflow
    import pandas as pd

    from tsbench.data.archive import Archive

    (run,) = runs_by_role(finished, "model")
    test = Archive().load("ItalyPowerDemand").test
    cases, _, steps = test.values.shape
    table = pd.DataFrame(
        {
            "case": np.repeat(np.arange(cases), steps),
            "time": np.tile(np.arange(steps), cases),
            "x": test.values.ravel(),
            "label": np.repeat(test.labels, steps),
        }
    )
    truth = table.groupby("case")["label"].first()
    with current_uri(finished.store.uri), mlflow.start_run(experiment_id="0"):  # as docs/mlflow.md has it
        predicted = mlflow.pyfunc.load_model(f"runs:/{run.run_id}/model").predict(table)
        found = mlflow.models.evaluate(
            data=predicted.assign(true_label=truth),
            predictions="label",
            targets="true_label",
            model_type="classifier",
        )
    assert found.metrics["accuracy_score"] == pytest.approx(run.metrics["test_accuracy"], abs=1e-12)


def test_out_of_fold_probabilities_are_recorded_of_the_baselines_the_best_trials_and_the_network(
    finished: Plan, tmp_path: Path
) -> None:
    store = finished.store
    trials = runs_by_role(finished, "trial")
    kept = [trial for trial in trials if names.OUT_OF_FOLD in store.artifacts.names(trial.run_id)]
    best = max(trials, key=lambda trial: (trial.metrics["cv_accuracy"], -trial.metrics["cv_log_loss"]))
    assert best in kept
    (network,), (baseline,) = runs_by_role(finished, "model"), runs_by_role(finished, "baseline")
    best = next(trial for trial in trials if trial.tags[names.TRIAL] == network.tags[names.TRIAL])
    found = []
    for number, record in enumerate((best, network, baseline)):
        store.client.download_artifacts(record.run_id, names.OUT_OF_FOLD, str(tmp_path))
        path = (tmp_path / names.OUT_OF_FOLD).rename(tmp_path / f"{number}.npz")
        found.append(OutOfFold.load(path))
    np.testing.assert_array_equal(found[0].probabilities, found[1].probabilities)
    for record, out_of_fold in zip((best, baseline), (found[0], found[2]), strict=True):
        right = out_of_fold.classes[out_of_fold.probabilities.argmax(axis=1)] == out_of_fold.labels
        scores = [right[out_of_fold.folds == fold].mean() for fold in (0, 1)]
        assert np.mean(scores) == pytest.approx(record.metrics["cv_accuracy"], abs=1e-12)


def test_a_baseline_is_logged_as_a_model_that_mlflow_loads(finished: Plan) -> None:
    import mlflow

    from tsbench.data.archive import Archive

    (run,) = runs_by_role(finished, "baseline")
    assert run.tags[names.MODEL] == "logged"
    with current_uri(finished.store.uri):
        loaded = mlflow.pyfunc.load_model(f"runs:/{run.run_id}/model")
        needed = Path(mlflow.artifacts.download_artifacts(f"runs:/{run.run_id}/model/requirements.txt")).read_text()
    assert {line.partition("==")[0] for line in needed.split()} >= {"tsbench", "aeon", "scikit-learn", "skops"}
    data = Archive().load("ItalyPowerDemand")
    labels = loaded.predict(data.test.values)["label"]
    assert (labels == data.test.labels).mean() == pytest.approx(run.metrics["test_accuracy"], abs=1e-12)


def test_the_same_command_again_runs_nothing(finished: Plan) -> None:
    before = [run.run_id for run in finished.store.runs("tiny")]
    failures, output = run_plan(plan_of(finished.loaded.path, *CONFIRMED))
    assert failures == []
    assert "searching" not in output
    assert [run.run_id for run in finished.store.runs("tiny")] == before
    (parent,) = runs_by_role(finished, "search")
    assert parent.status == "FINISHED"


def test_the_same_recipe_gives_the_same_bits_whatever_the_number_of_workers(finished: Plan, recipe_file: Write) -> None:
    alone = plan_of(recipe_file(), *CONFIRMED, "execution.workers=1")
    failures, _ = run_plan(alone)
    assert failures == []
    assert figures(alone) == figures(finished)


@pytest.mark.slow
def test_another_seed_gives_other_figures(finished: Plan, recipe_file: Write) -> None:
    other = plan_of(recipe_file(("seed: 3", "seed: 4")))
    run_plan(other)
    assert figures(other)["trial ItalyPowerDemand trial 0"] != figures(finished)["trial ItalyPowerDemand trial 0"]


def test_more_trials_continue_the_study_and_refit_the_network(recipe_file: Write) -> None:
    path = recipe_file()
    run_plan(plan_of(path, "search.trials=2"))
    plan = plan_of(path, "search.trials=5")
    check_compatible(plan)
    run_plan(plan)
    assert sorted(run.tags[names.TRIAL] for run in runs_by_role(plan, "trial")) == list("01234")
    assert len(runs_by_role(plan, "search")) == 1
    assert len(runs_by_role(plan, "baseline")) == 1
    best = Study.open(plan.cells[0].folder).trials().best()
    assert best is not None
    newest = runs_by_role(plan, "model")[-1]
    assert newest.tags[names.TRIAL] == str(best.number)


@pytest.mark.slow
def test_another_meaning_is_refused_and_fresh_starts_anew(recipe_file: Write) -> None:
    path = recipe_file()
    run_plan(plan_of(path, "search.trials=1"))
    changed = plan_of(path, "search.trials=1", "training.epochs=5")
    with pytest.raises(RecipeError, match=r"changed since the search of ItalyPowerDemand was started.*`fresh=True`"):
        check_compatible(changed)
    run_plan(changed, fresh=True)
    assert len(runs_by_role(changed, "search")) == 2
    results = read_results(changed.store, "tiny")
    assert len([row for row in results.rows if row.classifier == "network"]) == 1


def test_a_study_of_an_earlier_version_is_continued_as_it_was_begun(recipe_file: Write) -> None:
    """It names no repeats, no confirmation, and another default of holdout_above."""
    path = recipe_file((", confirm: 0", ""))
    plan = plan_of(path, "search.trials=1")
    (cell,) = plan.cells
    run_plan(plan)
    file = cell.folder / "study.json"
    written = json.loads(file.read_text())
    del written["portfolio"]
    for key in ("confirm", "repeats", "holdout_redrawn", "portfolio", "constraints"):
        del written["search"][key]
    written["search"]["holdout_above"] = 5000
    *_, oldest, _ = plan.earlier_settings(cell, plan.load(cell).files)
    earlier = fingerprint_of(**oldest)
    assert earlier != written["meaning"]
    file.write_text(json.dumps(written | {"meaning": earlier, "format": 1}))
    more = plan_of(path, "search.trials=2")
    check_compatible(more)
    search = Study.open(cell.folder).spec.search
    assert (search.confirm, search.repeats, search.holdout_redrawn, search.holdout_above) == (0, 1, False, 5000)
    assert search.portfolio == "none"
    assert run_plan(more)[0] == []
    assert not [run for run in runs_by_role(more, "trial") if names.confirmed("accuracy") in run.metrics]
    check_compatible(plan_of(path, "search.repeats=1", "search.confirm=2"))
    for other in (
        "search.repeats=2",
        "search.holdout_redrawn=true",
        "search.holdout_above=1000",
        "search.portfolio=default",
        "search.constraints.parameters=9",
    ):
        with pytest.raises(RecipeError, match="cannot be continued"):
            check_compatible(plan_of(path, other))


def test_a_trial_that_exceeds_a_constraint_is_not_chosen(recipe_file: Write) -> None:
    """The default has more parameters than any other: its dense layer is the largest."""
    path = recipe_file(
        ("  head: {hidden_sizes: [8]}\n", ""),
        ("  model.dropout: {float: [0.0, 0.5]}", "  model.head.hidden_sizes: {choice: [[8], [128]]}"),
        (", confirm: 0", ", confirm: 2"),
    )
    free = plan_of(path)
    run_plan(free)
    trials = Study.open(free.cells[0].folder).trials()
    counts = {trial.number: trial.user_attrs["result"]["parameters"] for trial in trials}
    few, most = min(counts.values()), max(counts.values())
    assert counts[0] == most > few
    plan = plan_of(path, "name=limited", f"search.constraints.parameters={int(few)}")
    assert run_plan(plan)[0] == []
    study = Study.open(plan.cells[0].folder)
    chosen = study.trials().chosen(study.notes.chosen)
    assert chosen is not None
    assert chosen.hyperparameters.model.head.hidden_sizes == (8,)
    first = next(run for run in runs_by_role(plan, "trial") if run.tags[names.TRIAL] == "0")
    assert first.tags[names.STATE] == "pruned"
    assert first.tags[names.REASON].endswith(f"parameters, more than search.constraints.parameters, {int(few):,}")
    assert first.metrics["parameters"] == most


def test_a_search_whose_trials_all_exceed_a_constraint_fails_with_the_reason(recipe_file: Write) -> None:
    failures, _ = run_plan(plan_of(recipe_file(), "search.constraints.parameters=9"))
    (failure,) = failures
    assert "more than search.constraints.parameters, 9" in failure


@pytest.mark.slow
def test_a_study_from_before_the_portfolio_goes_on_without_one(recipe_file: Write) -> None:
    path = recipe_file()
    without = plan_of(path, "search.portfolio=none", "search.trials=3")
    run_plan(without)
    (cell,) = without.cells
    parameters = [trial.params for trial in Study.open(cell.folder).trials()]
    run_plan(plan_of(path, "search.portfolio=none", "search.trials=1"), fresh=True)
    file = cell.folder / "study.json"
    written = json.loads(file.read_text())
    del written["portfolio"], written["search"]["portfolio"], written["search"]["constraints"]
    _, before, *_ = without.earlier_settings(cell, without.load(cell).files)
    file.write_text(json.dumps(written | {"meaning": fingerprint_of(**before)}))
    more = plan_of(path, "search.trials=3")
    check_compatible(more)
    assert run_plan(more)[0] == []
    study = Study.open(cell.folder)
    assert [trial.params for trial in study.trials()] == parameters
    origins = [study.trials().origin_of(number) for number in range(3)]
    assert origins == ["recipe", "tpe", "tpe"]


@pytest.mark.slow
def test_a_trial_says_that_it_is_of_the_portfolio_and_an_interrupted_search_goes_on_with_it(recipe_file: Write) -> None:
    path = recipe_file()
    path.write_text(
        "name: wide\ndatasets: [ItalyPowerDemand]\nmodel: {features: {size: 84}}\ntraining: {epochs: 1}\n"
        "space: default\nsearch: {folds: 2, confirm: 0}\nevaluation: {ensemble: 1}\nbaselines: []\n"
        "execution: {workers: 1, device: cpu}\n"
    )
    run_plan(plan_of(path, "search.trials=2"))
    plan = plan_of(path, "search.trials=3")
    assert run_plan(plan)[0] == []
    trials = Study.open(plan.cells[0].folder).trials()
    assert [trial.params for trial in trials][1:] == list(plan.portfolio[:2])
    origins = {run.tags[names.TRIAL]: run.tags[names.ORIGIN] for run in runs_by_role(plan, "trial")}
    assert origins == {"0": "recipe", "1": "portfolio", "2": "portfolio"}


def test_bound_ends_trials_in_mid_fold_and_leads_to_the_same_choice(recipe_file: Write) -> None:
    """By a rate of a billionth nothing is learned, so one fold shows that the trial cannot reach the first one."""
    path = recipe_file(
        ("training.learning_rate: {float: [1e-3, 1e-1], log: true}", "training.learning_rate: {choice: [0.01, 1e-9]}"),
        (
            "search: {trials: 4",
            "search: {enqueue: [{training.learning_rate: 0.01}, {training.learning_rate: 1e-9, model.dropout: 0.0}, "
            "{training.learning_rate: 1e-9}], portfolio: none, concurrency: 1, trials: 3",
        ),
        ("[dummy]", "[]"),
        ("features: {size: 84}", "features: {size: 84, head: gradient}"),
    )
    found = []
    for pruner in ("bound", "none"):
        plan = plan_of(path, f"search.pruner={pruner}")
        assert run_plan(plan, fresh=True)[0] == []
        study = Study.open(plan.cells[0].folder)
        assert study.notes.chosen == 0
        found.append(study.trials())
    bound, whole = found
    assert [trial.state.name for trial in bound] == ["COMPLETE", "PRUNED", "PRUNED"]
    assert bound[0].values == whole[0].values
    for number in (1, 2):
        (first, _), best = (curve[-1][1] for _, curve in whole.fold_curves(number)), whole[0].values[0]
        assert (first + 1) / 2 < best  # though its second fold were perfect
        assert bound[number].intermediate_values == {1: pytest.approx(first, abs=1e-4)}
        assert bound.reason_of(number).endswith(
            "in fold 1 leaves it no way among the best, whatever its other folds' scores"
        )
        assert whole[number].values[0] < best


def test_budgets_places_and_workers_are_not_part_of_the_meaning(recipe_file: Write) -> None:
    path = recipe_file()
    run_plan(plan_of(path, "search.trials=1"))
    for override in (
        "search.timeout=1 h",
        "execution.workers=2",
        "baselines=[]",
        "search.trials=9",
        "search.confirm=3",
    ):
        check_compatible(plan_of(path, override))


@pytest.mark.slow
def test_resamples_are_units_of_their_own_and_are_averaged(recipe_file: Write) -> None:
    path = recipe_file(("trials: 4", "trials: 1"), ("ensemble: 2", "ensemble: 1, resamples: 2"))
    plan = plan_of(path)
    assert [cell.title for cell in plan.cells] == ["ItalyPowerDemand", "ItalyPowerDemand resample 1"]
    assert run_plan(plan)[0] == []
    results = read_results(plan.store, "tiny")
    assert results.scored("ItalyPowerDemand") == (0, 1)
    each = [row.metrics["test_accuracy"] for row in results.rows if row.classifier == "dummy"]
    assert len(each) == 2
    assert results.mean("test_accuracy", "ItalyPowerDemand", "dummy") == sum(each) / 2


@pytest.mark.slow
def test_nothing_searched_means_one_trial(recipe_file: Write) -> None:
    plan = plan_of(recipe_file(), "space={}")
    assert plan.trials == 1
    said = "note: the space is empty: only the recipe's own values are tried, in 1 trial instead of 4"
    assert f"# {said}" in describe_plan(plan)
    assert said in run_plan(plan)[1]
    assert len(runs_by_role(plan, "trial")) == 1


SPACE = (
    "space:\n  model.dropout: {float: [0.0, 0.5]}\n  training.learning_rate: {float: [1e-3, 1e-1], log: true}\n",
    "",
)


def test_a_recipe_without_a_space_searches_the_default_one(recipe_file: Write) -> None:
    plan = plan_of(recipe_file(SPACE))
    assert plan.trials == 4
    assert "model.pooling" in plan.loaded.space
    assert "on other folds" not in describe_plan(plan)
    again = "# 2 best trials and the default again, on other folds, to choose between them;"
    assert again in describe_plan(plan_of(recipe_file(SPACE), "search.confirm=2"))
    assert "model.encoder.type" not in plan.loaded.space  # which the recipe fixes
    assert f"# note: the recipe has no space, so the default space is searched ({len(plan.loaded.space)} settings)" in (
        describe_plan(plan)
    )


def test_a_study_of_the_recipes_own_values_is_continued_where_that_is_said(recipe_file: Write) -> None:
    """Earlier versions searched nothing where a recipe had no space."""
    own = ("space={}", "evaluation.ensemble=1", "baselines=[]")
    assert run_plan(plan_of(recipe_file(SPACE), *own))[0] == []
    with pytest.raises(RecipeError, match=r"write `space: \{\}` to continue it with only the recipe's own values"):
        check_compatible(plan_of(recipe_file(SPACE)))
    with pytest.raises(RecipeError) as error:
        check_compatible(plan_of(recipe_file(SPACE), "training.epochs=3"))
    assert "write `space" not in str(error.value)
    check_compatible(plan_of(recipe_file(SPACE), *own))


def test_what_a_baseline_cannot_take_is_a_gap_with_its_reason(recipe_file: Write) -> None:
    path = recipe_file(
        ("[ItalyPowerDemand]", "[JapaneseVowels]"),
        ("[dummy]", "[dummy, minirocket]"),
        ("trials: 4", "trials: 1"),
        ("epochs: 4", "epochs: 1"),
        ("ensemble: 2", "ensemble: 1"),
    )
    plan = plan_of(path, "evaluation.baseline_preprocessing.unequal_length=none")
    failures, output = run_plan(plan)
    assert failures == []
    assert "minirocket skipped: it takes cases of one length only" in output
    (gap,) = Comparison(read_results(plan.store, "tiny")).missing()
    assert gap["classifier"] == "minirocket"
    assert gap["reason"].startswith("skipped: it takes cases of one length only")


def test_a_configuration_that_cannot_be_trained_fails_alone(recipe_file: Write) -> None:
    """A learning rate of 1e30 diverges: such trials are pruned with the reason, the others go on."""
    path = recipe_file(("float: [1e-3, 1e-1], log: true", "choice: [0.001, 1.0e+30]"))
    plan = plan_of(path, "training.max_gradient_norm=null")
    failures, _ = run_plan(plan)
    assert failures == []
    pruned = [run for run in runs_by_role(plan, "trial") if run.tags[names.STATE] == "pruned"]
    assert pruned
    assert all("training loss became nan" in run.tags[names.REASON] for run in pruned)


def test_a_search_without_a_complete_trial_says_so(recipe_file: Write) -> None:
    path = recipe_file(("float: [1e-3, 1e-1], log: true", "choice: [1.0e+30]"))
    plan = plan_of(path, "training.max_gradient_norm=null")
    failures, _ = run_plan(plan)
    assert len(failures) == 1
    assert failures[0].startswith("ItalyPowerDemand: no trial was completed: every trial failed or was pruned")
    (parent,) = runs_by_role(plan, "search")
    assert parent.status == "FAILED"
    assert len(runs_by_role(plan, "baseline")) == 1  # the baselines were run all the same


@pytest.mark.slow
def test_a_time_budget_ends_the_search_and_keeps_its_best(recipe_file: Write) -> None:
    path = recipe_file(("epochs: 4", "epochs: 40"), ("trials: 4", "trials: 1000, timeout: 12 s"))
    plan = plan_of(path)
    started = time.monotonic()
    failures, _ = run_plan(plan)
    assert failures == []
    assert time.monotonic() - started < 60
    assert len(runs_by_role(plan, "model")) == 1
    states = {run.tags[names.STATE] for run in runs_by_role(plan, "trial")}
    assert "complete" in states
    assert not [run for run in plan.store.runs("tiny") if run.status == "RUNNING"]
    again, output = run_plan(plan_of(path))
    assert again == []
    assert "searching" not in output  # its time is spent


def kill_first(plan: Plan, find: Callable[[], int | None]) -> Thread:
    """Kills the process that `find` gives, once it gives one."""

    def watch() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if (pid := find()) is not None:
                os.kill(pid, signal.SIGKILL)
                return
            time.sleep(0.02)

    thread = Thread(target=watch)
    thread.start()
    return thread


def test_a_killed_worker_loses_its_trial_which_is_run_again(recipe_file: Write) -> None:
    plan = plan_of(recipe_file(("epochs: 4", "epochs: 30")))
    folder = plan.cells[0].folder
    before = workers_of(os.getpid())  # of earlier tests, which may be about to end

    def worker_at_a_trial() -> int | None:
        if stored_fingerprint(folder) is None or not Study.open(folder).trials().running():
            return None
        return next((process.pid for process in workers_of(os.getpid()) if process not in before), None)

    thread = kill_first(plan, worker_at_a_trial)
    failures, output = run_plan(plan)
    thread.join()
    assert failures == []
    assert "was ended by SIGKILL" in output
    study = Study.open(folder)
    counts = study.trials().counts()
    assert counts["complete"] == 4
    assert counts["lost"] == 1
    assert counts["running"] == counts["waiting"] == 0
    lost = next(trial for trial in study.trials() if trial.state is TrialState.FAIL)
    again = next(trial for trial in study.trials() if trial.user_attrs.get("retry_of") == lost.number)
    assert again.params == lost.system_attrs["fixed_params"]
    failed = [run for run in runs_by_role(plan, "trial") if run.status == "FAILED"]
    assert len(failed) <= 1  # none where it was killed before it had begun its run
    assert not [run for run in plan.store.runs("tiny") if run.status == "RUNNING"]
    undisturbed = plan_of(recipe_file(("epochs: 4", "epochs: 30"), ("name: tiny", "name: other"), file="other.yaml"))
    assert run_plan(undisturbed)[0] == []
    assert told_in_order(study) == told_in_order(Study.open(undisturbed.cells[0].folder))


def told_in_order(study: Study) -> list[tuple[dict[str, Any], list[float]]]:
    """Parameters and scores of the trials, each that repeats a lost one in its place."""
    complete = [trial for trial in study.trials() if trial.state is TrialState.COMPLETE]
    ordered = sorted(complete, key=lambda trial: study.trials().visible_to(trial.number)[0])
    return [(trial.params, trial.values) for trial in ordered]


def test_the_plan_is_yaml_that_loads_again(recipe_file: Write, tmp_path: Path) -> None:
    plan = plan_of(recipe_file(), "model.dropout=0.2")
    text = describe_plan(plan)
    assert "# 1 study of 4 trials on 1 worker (cpu), 2 folds each (drawn twice below 60 training cases);" in text
    assert "# fixed by --set, so not searched: model.dropout" in text
    copy = tmp_path / "copy.yaml"
    copy.write_text(text)
    assert plan_of(copy).resolved() == plan.resolved()


def test_results_keep_the_networks_name_first(finished: Plan) -> None:
    results: Results = read_results(finished.store, "tiny")
    assert results.classifiers == ("network", "dummy")


def test_a_second_search_of_the_same_recipe_is_refused_while_one_runs(recipe_file: Write) -> None:
    from filelock import FileLock

    plan = plan_of(recipe_file())
    home = plan.cells[0].folder.parent
    home.mkdir(parents=True)
    with FileLock(home / "lock"), pytest.raises(SearchError, match="another `tsbench search` of 'tiny' is running"):
        run_plan(plan)


def test_cases_that_cannot_be_cross_validated_get_the_recipes_own_configuration(
    recipe_file: Write, tmp_path: Path
) -> None:
    folder = tmp_path / "archive" / "Lonely"
    folder.mkdir(parents=True)
    for part in ("TRAIN", "TEST"):
        (folder / f"Lonely_{part}.ts").write_text("@classLabel true a b\n@data\n1,2,3:a\n3,2,1:b\n")
    path = recipe_file(
        ("name: tiny", f"name: tiny\narchive: {tmp_path}/archive"),
        ("[ItalyPowerDemand]", "[Lonely, ItalyPowerDemand]"),
        ("trials: 4", "trials: 1"),
    )
    plan = plan_of(path, "tracking.register=true")
    failures, output = run_plan(plan)
    assert failures == []
    said = "there are no CV scores: every class has a single training case: validation is not possible; "
    said += "the network has the recipe's own values, without a search"
    assert f"Lonely: {said}" in output
    results = read_results(plan.store, "tiny")
    assert results.datasets == ("ItalyPowerDemand", "Lonely")
    scored = {row.classifier: row.metrics for row in results.rows if row.dataset == "Lonely"}
    assert {"network", "dummy"} == {name for name, metrics in scored.items() if "test_accuracy" in metrics}
    assert not [name for metrics in scored.values() for name in metrics if name.startswith("cv_")]
    runs = list(plan.store.runs("tiny"))
    assert not [run for run in runs if run.status == "RUNNING"]
    lonely = [run for run in runs if run.tags.get(names.DATASET) == "Lonely"]
    assert sorted(run.tags[names.ROLE] for run in lonely) == ["baseline", "model", "search"]
    descriptions = {run.tags[names.ROLE]: run.tags.get(names.DESCRIPTION, "") for run in lonely}
    assert said.replace("there", "There") in descriptions["search"]
    assert "the recipe's own values, fitted on all" in descriptions["model"]
    assert names.TRIAL not in next(run for run in lonely if run.tags[names.ROLE] == "model").tags
    before = figures(plan)
    assert run_plan(plan_of(path, "tracking.register=true"))[0] == []  # runs nothing
    assert figures(plan) == before
    assert len(list(plan.store.runs("tiny"))) == len(runs)


BROKEN = """\
import os
import time

import numpy as np


class Base:
    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])


class Slow(Base):
    def predict(self, X):
        time.sleep(60)


class Crashing(Base):
    def fit(self, X, y):
        os._exit(9)


class Choosy(Base):
    def fit(self, X, y):
        if len(X) < 20:
            raise ValueError("too few cases")
        return super().fit(X, y)
"""


@pytest.mark.slow
def test_a_baseline_that_fails_crashes_or_overruns_is_a_row_with_its_reason(
    recipe_file: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "brittle.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    path = recipe_file(
        (
            "[dummy]",
            "[brittle.Slow, brittle.Crashing, {aeon.classification.dummy.DummyClassifier: {strategy: wrong}}, "
            "brittle.Choosy, dummy]",
        ),
        ("trials: 4", "trials: 1"),
        ("ensemble: 2", "ensemble: 1, baseline_timeout: 10 s, cross_validate_baselines: false"),
    )
    plan = plan_of(path)
    failures, _ = run_plan(plan)
    assert len(failures) == 3
    gaps = {cell["classifier"]: cell["reason"] for cell in Comparison(read_results(plan.store, "tiny")).missing()}
    assert gaps["brittle.Slow"] == "failed: it took longer than 10 s (evaluation.baseline_timeout) and was ended"
    assert gaps["brittle.Crashing"] == "failed: its process ended with exit code 9"
    assert gaps["aeon.DummyClassifier(strategy='wrong')"].startswith("failed: ")
    runs = {run.tags[names.CLASSIFIER]: run for run in runs_by_role(plan, "baseline")}
    assert {name: run.status for name, run in runs.items() if run.status != "FAILED"} == {
        "brittle.Choosy": "FINISHED",
        "dummy": "FINISHED",
    }
    assert runs["brittle.Choosy"].tags[names.REASON] == (
        "fit_seconds may include compile time: the warm-up failed (ValueError: too few cases)"
    )
    assert runs["dummy"].params["baseline.classifier"] == "aeon.classification.dummy.DummyClassifier"


def test_a_module_that_ends_the_process_at_import_is_a_failure_of_its_baseline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "brittle_exit.py").write_text("raise SystemExit('no licence')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    dataset = Archive().load("ItalyPowerDemand")
    with pytest.raises(
        ImportError, match=r"importing brittle_exit.Forest exits the process \(SystemExit: no licence\)"
    ):
        score_baseline(WorkerContext("cpu", Pipe()[0]), "brittle_exit.Forest", {}, dataset, (), seed=0)
