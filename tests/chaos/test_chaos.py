"""A short run of the chaos benchmark, and what it is made of."""

from __future__ import annotations

import json
import random
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.chaos.__main__ import main, table
from tests.chaos.campaign import Campaign, Injection, as_record, from_record, run_campaign, schedule
from tests.chaos.faults import FAULTS, Fault
from tests.chaos.invariants import violations
from tests.chaos.stores import Search, Stores, opened_stores
from tests.old_stores import unpack
from tests.processes import start
from tsbench.studies.study import Study
from tsbench.tracking.store import Store


def test_every_fault_comes_once_before_one_comes_again() -> None:
    campaigns = schedule(5, 2 * len(FAULTS), ("files", "servers"))
    counts = Counter(name for _, names in campaigns for name in names)
    assert counts == dict.fromkeys(FAULTS, 2)
    assert all(FAULTS[name].stores in ("any", kind) for kind, names in campaigns for name in names)
    assert campaigns == schedule(5, 2 * len(FAULTS), ("files", "servers"))
    alone = {name for _, names in schedule(5, 40, ("files",)) for name in names}
    assert alone == {name for name, fault in FAULTS.items() if fault.stores != "servers"}


def test_a_campaign_is_read_as_it_was_written() -> None:
    campaign = Campaign([Injection("a full disk", True, 1)], 1, 2, 12, 11, 3, ["11 trials are complete"], 60.5)
    record = json.loads(json.dumps({"seed": 1, **as_record(campaign)}))
    assert from_record(record) == campaign
    assert "| a full disk | 1 | 1 | 0 |" in table([record])
    assert "Violations: 11 trials are complete." in table([record])


def test_the_end_of_a_search_is_ascribed_to_the_outage_that_it_waited_for() -> None:
    before = [Injection("a full disk", True), Injection("a full disk", True), Injection("SIGTERM of a worker", True)]
    campaign = Campaign(list(before))
    campaign.note_end(1)
    assert campaign.injections == [before[0], Injection("a full disk", True, 1), before[2]]


def test_violations_are_found(tmp_path: Path) -> None:
    """The store of a search that was killed has a trial and two runs that seem to run, and too few trials."""
    folder = unpack("store-0.1.0", tmp_path)
    store = Store(f"sqlite:///{folder}/mlflow.db")
    study = Study.open(folder / ".tsbench" / "interrupted" / "ItalyPowerDemand")
    assert violations(study, store, 5) == [
        "2 trials have ended, and 5 were requested",
        "trial 2 is RUNNING in Optuna",
        "trial 3 is WAITING in Optuna",
        "trial 4 is WAITING in Optuna",
        "the run ItalyPowerDemand is RUNNING in MLflow",
        "the run ItalyPowerDemand trial 2 is RUNNING in MLflow",
        "trial 2 is RUNNING in Optuna and RUNNING in MLflow",
    ]
    whole = Study.open(folder / ".tsbench" / "shapes" / "ItalyPowerDemand")
    assert violations(whole, store, 3) == []


def test_a_search_hears_signals_that_the_benchmark_ignores(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        process = start([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path)
    finally:
        signal.signal(signal.SIGHUP, before)
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGHUP


@pytest.mark.slow
def test_a_trial_that_a_killed_call_left_running_is_not_at_work(tmp_path: Path) -> None:
    search = Search(Stores(tmp_path), unpack("store-0.1.0", tmp_path), "interrupted", 5)
    assert search.at_work()
    search.start()  # which ends at once, as there is no recipe
    assert not search.at_work()
    assert search.finish(60)[0] == 2


@pytest.mark.nightly
@pytest.mark.slow
def test_a_search_that_hangs_is_a_violation_and_its_stacks_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    def freeze(search: Search, _: random.Random) -> bool:
        search.kill(signal.SIGSTOP)
        return True

    monkeypatch.setattr("tests.chaos.campaign.STALLED", 60.0)
    monkeypatch.setitem(FAULTS, "a freeze", Fault("any", freeze))
    said: list[str] = []
    with opened_stores("files") as stores:
        campaign = run_campaign(stores, ["a freeze"], "0", said.append)
    assert len(campaign.problems) == 1
    assert "timed out after 60" in campaign.problems[0]
    assert any("Current thread" in text and "tsbench/bench/run.py" in text for text in said)


@pytest.mark.nightly
@pytest.mark.slow
def test_no_trial_is_lost_by_six_random_faults(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "results.jsonl"
    assert main(["--faults", "6", "--seed", "11", "--out", str(out)]) == 0
    records = [json.loads(line) for line in out.read_text().splitlines()]
    assert sum(len(record["injections"]) for record in records) == 6
    assert "Violations: none." in out.with_suffix(".md").read_text()
    assert main(["--faults", "6", "--seed", "11", "--out", str(out)]) == 0  # which has nothing left to do
    assert [json.loads(line) for line in out.read_text().splitlines()] == records


@pytest.mark.nightly
@pytest.mark.slow
def test_the_moments_between_two_records_are_met() -> None:
    names = [name for name in FAULTS if "record" in name]
    with opened_stores("files") as stores:
        campaign = run_campaign(stores, names, "0", print)
    assert campaign.problems == []
    assert [injection.fault for injection in campaign.injections if injection.brought] == names
