"""The views that MLflow's page opens with."""

import json

from tsbench.tracking import names
from tsbench.tracking.store import Store
from tsbench.tracking.views import LEADERBOARD, TRIALS, VIEWS, page_address


def test_a_new_experiment_has_the_views(store_uri: str) -> None:
    store = Store(store_uri)
    tags = store.client.get_experiment(store.experiment("tiny")).tags
    for view in VIEWS:
        key, value = view.tag
        assert tags[key] == value
        named = json.loads(value)
        assert named["name"] == view.title
        state = json.loads(named["state"])
        assert state["searchFilter"] == view.where
        assert state["columnOrder"] == list(view.widths)
        assert {key: named[key] for key in state} == state  # what MLflow before 3.17 reads


def test_mlflow_takes_the_conditions_of_the_views(store_uri: str) -> None:
    store = Store(store_uri)
    experiment = store.experiment("tiny")
    parent = store.begin(experiment, "GunPoint", {names.ROLE: "search"})
    trial = store.begin(experiment, "GunPoint trial 0", {names.ROLE: "trial"}, parent)
    best, worse = (store.begin(experiment, name, {names.ROLE: "model"}, parent) for name in ("best", "worse"))
    store.log(trial, metrics={names.cv("accuracy"): 0.7})
    store.log(best, metrics={names.test("accuracy"): 0.9})
    store.log(worse, metrics={names.test("accuracy"): 0.0})
    listed = store.client.search_runs([experiment], LEADERBOARD.where, order_by=[f"{LEADERBOARD.order_by} DESC"])
    assert [run.info.run_id for run in listed] == [best, worse]
    assert [run.info.run_id for run in store.client.search_runs([experiment], TRIALS.where)] == [trial]


def test_addresses_open_the_view_of_one_who_trains_models() -> None:
    assert page_address("http://host:5000", None) == "http://host:5000/#/experiments?workflowType=machine_learning"
    assert page_address("http://host:5000", "7", LEADERBOARD) == (
        "http://host:5000/#/experiments/7/runs?workflowType=machine_learning&viewStateShareKey=tsbench-leaderboard"
    )
