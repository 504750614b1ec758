"""Preprocessing for baselines, from the recipe to MLflow, tables and `reproduce`."""

import csv
import io
import json

import pytest

from tests.bench.test_run import Write, plan_of, run_plan, runs_by_role
from tsbench.bench.plan import Plan
from tsbench.comparisons.comparison import Comparison
from tsbench.comparisons.latex import as_latex
from tsbench.comparisons.report import as_json, as_markdown
from tsbench.comparisons.results import read_results
from tsbench.comparisons.wording import notes, run_notes
from tsbench.errors import ModelError
from tsbench.models.reproduction import reproduce
from tsbench.tracking import names
from tsbench.tracking.store import RunRecord

PADDED = "cases padded at the end with zeros to 26 time steps; 1 longer test case cut at the end"
NONE = "evaluation.baseline_preprocessing.unequal_length=none"


def vowels(recipe_file: Write, *overrides: str) -> Plan:
    path = recipe_file(
        ("[ItalyPowerDemand]", "[JapaneseVowels]"),
        ("[dummy]", "[dummy, minirocket]"),
        ("trials: 4", "trials: 1"),
        ("epochs: 4", "epochs: 1"),
        ("ensemble: 2", "ensemble: 1"),
    )
    return plan_of(path, *overrides)


def newest(plan: Plan, classifier: str) -> RunRecord:
    return [run for run in runs_by_role(plan, "baseline") if run.tags[names.CLASSIFIER] == classifier][-1]


@pytest.mark.slow
def test_a_figure_of_preprocessed_cases_says_so_everywhere_and_is_reproduced(recipe_file: Write) -> None:
    plan = vowels(recipe_file)
    failures, output = run_plan(plan)
    assert failures == []
    assert f"JapaneseVowels: minirocket was given preprocessed cases: {PADDED}" in output
    run = newest(plan, "minirocket")
    assert run.tags[names.PREPROCESSING] == PADDED
    assert run.params["baseline.time_steps"] == "26"
    assert run.params["evaluation.baseline_preprocessing.unequal_length"] == "pad"
    assert {names.cv("accuracy"), names.test("accuracy")} <= set(run.metrics)
    assert names.PREPROCESSING not in newest(plan, "dummy").tags

    (parent,) = runs_by_role(plan, "search")
    assert f"- minirocket was given preprocessed cases: {PADDED}" in parent.tags[names.DESCRIPTION]
    rows = csv.DictReader(io.StringIO(plan.store.artifacts.read_text(parent.run_id, "leaderboard.csv")))
    assert {row["classifier"]: row["preprocessing"] for row in rows} == {
        "network": "",
        "dummy": "",
        "minirocket": PADDED,
    }

    results = read_results(plan.store, "tiny")
    assert {row.classifier: row.preprocessing for row in results.rows}["minirocket"] == PADDED
    comparison, note = Comparison(results), f"On preprocessed cases of JapaneseVowels: minirocket ({PADDED})."
    assert note in notes(comparison)
    assert note in run_notes(comparison)
    assert note in as_markdown(comparison)
    assert note in as_latex(comparison)
    assert json.loads(as_json(comparison))["preprocessed"] == [
        {"dataset": "JapaneseVowels", "classifier": "minirocket", "preprocessing": PADDED}
    ]

    done = reproduce(plan.store, run.run_id)
    assert done.agrees
    assert {value.name for value in done.values} == {name for name in run.metrics if not name.endswith("_seconds")} | {
        "preprocessing"
    }


@pytest.mark.nightly
@pytest.mark.slow
def test_what_was_skipped_is_run_when_the_recipe_allows_it_and_the_other_way_round(recipe_file: Write) -> None:
    plan = vowels(recipe_file, NONE)
    _, output = run_plan(plan)
    assert "minirocket skipped: it takes cases of one length only" in output
    skipped = newest(plan, "minirocket")
    with pytest.raises(ModelError, match=r"has no values to reproduce: skipped \(it takes cases of one length only"):
        reproduce(plan.store, skipped.run_id)
    _, output = run_plan(plan)  # nothing to do
    assert newest(plan, "minirocket").run_id == skipped.run_id

    plan = vowels(recipe_file)
    assert run_plan(plan)[0] == []
    assert len(runs_by_role(plan, "baseline")) == 3  # dummy's and the network's figures stay
    assert len(runs_by_role(plan, "model")) == 1
    scored = newest(plan, "minirocket")
    assert scored.tags[names.STATE] == "complete"
    (parent,) = runs_by_role(plan, "search")
    assert "minirocket was given preprocessed cases" in parent.tags[names.DESCRIPTION]
    resampled = vowels(recipe_file, "evaluation.baseline_preprocessing.unequal_length=resample")
    assert run_plan(resampled)[0] == []
    assert newest(plan, "minirocket").tags[names.PREPROCESSING].startswith("cases resampled to 26 time steps")
    assert newest(plan, "minirocket").run_id != scored.run_id

    run_plan(vowels(recipe_file, NONE))
    (gap,) = Comparison(read_results(plan.store, "tiny")).missing()
    assert gap["reason"].startswith("skipped: it takes cases of one length only")
    (parent,) = runs_by_role(plan, "search")
    assert "minirocket" not in parent.tags[names.DESCRIPTION]


@pytest.mark.slow
def test_what_an_older_version_skipped_is_run_by_the_same_command(recipe_file: Write) -> None:
    """Its run says nothing of preprocessing, and its parent's recipe has no such key."""
    plan = vowels(recipe_file, NONE)
    run_plan(plan)
    old = newest(plan, "minirocket")
    for name in [name for name in old.params if name.startswith(("evaluation.", "baseline.recipe"))]:
        _forget(plan, old.run_id, name)
    assert "evaluation.baseline_preprocessing.unequal_length" not in newest(plan, "minirocket").params
    assert run_plan(plan)[0] == []
    assert newest(plan, "minirocket").run_id != old.run_id  # once more, and now it is recorded why
    assert newest(plan, "minirocket").tags[names.STATE] == "skipped"
    plan = vowels(recipe_file)
    assert run_plan(plan)[0] == []
    assert newest(plan, "minirocket").tags[names.PREPROCESSING] == PADDED


@pytest.mark.slow
def test_a_baseline_of_an_older_version_is_reproduced_from_its_searchs_recipe(recipe_file: Write) -> None:
    plan = plan_of(recipe_file(("[dummy]", "[{1nn-ed: {n_neighbors: 3}}]"), ("trials: 4", "trials: 1")))
    run_plan(plan)
    (recorded,) = runs_by_role(plan, "baseline")
    for name in [name for name in recorded.params if name.startswith(("evaluation.", "baseline.recipe"))]:
        _forget(plan, recorded.run_id, name)
    assert reproduce(plan.store, recorded.run_id).agrees


def _forget(plan: Plan, run_id: str, param: str) -> None:
    """Takes a parameter out of the store's database, as no version of MLflow's client can."""
    import sqlite3

    assert plan.store.database is not None
    with sqlite3.connect(plan.store.database) as database:
        database.execute("delete from params where run_uuid = ? and key = ?", (run_id, param))
