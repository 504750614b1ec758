from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from tsbench.auto.fitting import FoldFit, WholeFit
from tsbench.auto.portfolio import CANDIDATES, Candidate, Size, candidates_of
from tsbench.auto.schedule import Schedule
from tsbench.auto.training import AutoTraining, TimeLimitError
from tsbench.bench.tasks import process_apart
from tsbench.classifiers.saved import load_classifier
from tsbench.classifiers.vote import FittedVote, FoldBag
from tsbench.data.archive import Archive
from tsbench.data.collection import Collection
from tsbench.errors import TsbenchError
from tsbench.recipe.registries import AUTO_PRESETS
from tsbench.workers.isolated import IsolatedProcess

QUANT = CANDIDATES["quant"]
NEAREST = Candidate("1nn-ed", "1nn-ed")
DUMMY = Candidate("dummy", "dummy")


@pytest.fixture(scope="module")
def power() -> Any:
    return Archive().load("ItalyPowerDemand")


@pytest.fixture(scope="module")
def vote(power: Any) -> FittedVote:
    return AutoTraining(power.train, [QUANT, NEAREST, DUMMY], seed=3, jobs=2).run()


def custom(name: str, **parameters: Any) -> Candidate:
    return Candidate(name, f"tests.auto.misbehaving.{name}", parameters)


@pytest.fixture(scope="module", autouse=True)
def _no_process_is_left() -> None:
    """Other tests run workers' tasks in this process, which keeps one for baselines."""
    process_apart().end()


def fitting_processes() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())]


def test_a_vote_is_better_than_chance_and_a_member_that_is_not_is_left_out(power: Any, vote: FittedVote) -> None:
    assert [member.name for member in vote.members] == ["quant", "1nn-ed"]
    rows = {row.member: row for row in vote.leaderboard}
    assert list(rows) == ["auto", "quant", "1nn-ed", "dummy"]
    assert rows["dummy"].weight == 0
    assert rows["dummy"].note == "it is no better than chance out of fold"
    assert rows["quant"].weight + rows["1nn-ed"].weight == pytest.approx(1)
    accuracy = (vote.predict(power.test) == power.test.labels).mean()
    assert accuracy > 0.93
    assert rows["auto"].accuracy == pytest.approx(accuracy, abs=3 * (rows["auto"].standard_error or 0))
    assert vote.out_of_fold is not None
    assert vote.out_of_fold.accuracy == rows["auto"].accuracy


def test_the_same_seed_gives_the_same_bits_in_any_number_of_processes(power: Any, vote: FittedVote) -> None:
    again = AutoTraining(power.train, [QUANT, NEAREST, DUMMY], seed=3, jobs=1).run()
    assert np.array_equal(again.predict_proba(power.test), vote.predict_proba(power.test))
    assert again.combination == vote.combination


def test_a_process_that_is_given_is_used_and_kept(power: Any, vote: FittedVote) -> None:
    process = IsolatedProcess()
    try:
        again = AutoTraining(power.train, [QUANT, NEAREST, DUMMY], seed=3, jobs=2, process=process).run()
        (kept,) = fitting_processes()
        assert again.combination == vote.combination
        assert process.call("tests.workers.test_isolated:pid", ()) == kept.pid
    finally:
        process.end()
    assert not fitting_processes()


def test_a_saved_vote_predicts_the_same_in_a_fresh_process(power: Any, vote: FittedVote, tmp_path: Path) -> None:
    vote.save(tmp_path / "model")
    assert not [file for file in (tmp_path / "model").rglob("*") if file.suffix in (".pkl", ".pickle")]
    code = (
        "import sys, pathlib, numpy as np; from tsbench.classifiers.saved import load_classifier;"
        "from tsbench.data.archive import Archive; test = Archive().load('ItalyPowerDemand').test;"
        "np.save(sys.argv[2], load_classifier(pathlib.Path(sys.argv[1])).predict_proba(test))"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "model", tmp_path / "p.npy"], check=True)
    assert np.array_equal(np.load(tmp_path / "p.npy"), vote.predict_proba(power.test))
    loaded = load_classifier(tmp_path / "model")
    assert isinstance(loaded, FittedVote)
    assert loaded.leaderboard == vote.leaderboard
    assert loaded.facts == vote.facts
    assert np.array_equal(loaded.predict_set(power.test), vote.predict_set(power.test))


def noisy(cases: int, seed: int) -> Collection:
    """Levels that differ by class, in noise: nobody can be right about each case."""
    chance = np.random.default_rng(seed)
    codes = chance.integers(0, 3, size=cases)
    values = 0.25 * codes[:, None, None] + chance.normal(size=(cases, 1, 30))
    return Collection(values, np.full(cases, 30), codes.astype(str))


def test_sets_cover_the_true_label_as_often_as_asked() -> None:
    test = noisy(1000, 1)
    vote = AutoTraining(noisy(200, 0), [QUANT], jobs=1).run()
    assert vote.out_of_fold is not None
    assert 0.5 < vote.out_of_fold.accuracy < 0.85
    true = test.labels.astype(int)
    for coverage in (0.5, 0.8, 0.9):  # the threshold has a standard error of 0.02 to 0.035 by its 200 cases
        sets = vote.predict_set(test, coverage)
        assert sets.shape == (1000, 3)
        assert sets[np.arange(1000), true].mean() == pytest.approx(coverage, abs=0.1)
    assert vote.predict_set(test, 0.999).all()  # too few cases were held out to exclude anything
    with pytest.raises(ValueError, match="coverage must be between 0 and 1, got 90"):
        vote.predict_set(test, 90)


def test_a_member_that_crashes_hangs_or_predicts_nan_is_left_out_with_its_reason(power: Any) -> None:
    candidates = [custom("Crashing"), custom("Hanging"), custom("NotANumber"), custom("Raising"), QUANT]
    training = AutoTraining(power.train, candidates, time_limit=25, jobs=2)
    began = time.monotonic()
    vote = training.run()
    assert time.monotonic() - began < 30
    assert [member.name for member in vote.members] == ["quant"]
    notes = {row.member: row.note for row in vote.leaderboard}
    assert "SIGKILL" in notes["Crashing"]
    assert notes["Hanging"] == "it was not fitted within the time limit"
    assert "not all finite" in notes["NotANumber"]
    assert notes["Raising"] == "ValueError: it does not like these cases"
    assert not fitting_processes()


def test_a_member_whose_folds_are_missing_is_left_out_with_what_happened(power: Any) -> None:
    cases = len(power.train)
    candidates = [custom("CrashingInFolds", cases=cases), NEAREST, custom("HangingInFolds", cases=cases), DUMMY]

    def stopping() -> str | None:
        return "the search was interrupted" if training.members[2].usable else None

    training = AutoTraining(power.train, candidates, time_limit=600, stopping=stopping)
    vote = training.run()
    assert [member.name for member in vote.members] == ["1nn-ed"]
    notes = {row.member: row.note for row in vote.leaderboard}
    assert (
        notes["CrashingInFolds"]
        == "0 of 10 folds, as its process was ended by SIGKILL; the machine may be out of memory"
    )
    assert notes["HangingInFolds"] == "0 of 10 folds, as the search was interrupted"
    assert notes["dummy"] == "the search was interrupted before it was fitted"


def test_a_stop_before_a_member_is_fitted_is_no_fault_of_the_time_limit(power: Any) -> None:
    training = AutoTraining(power.train, [QUANT], time_limit=600, stopping=lambda: "the search was interrupted")
    with pytest.raises(TsbenchError, match=r"^the search was interrupted before a member was fitted$") as raised:
        training.run()
    assert not isinstance(raised.value, TimeLimitError)


def test_ctrl_c_ends_the_fits_too(power: Any) -> None:
    def interrupt() -> None:
        while len(fitting_processes()) < 2:
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)

    candidates = [custom("Hanging"), replace(custom("Hanging"), name="other")]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores the signal
    threading.Thread(target=interrupt, daemon=True).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            AutoTraining(power.train, candidates, time_limit=120, jobs=2).run()
    finally:
        signal.signal(signal.SIGINT, before)
    assert not fitting_processes()


def test_a_member_whose_library_is_missing_is_left_out(power: Any) -> None:
    vote = AutoTraining(power.train, candidates_of("quick", ["1nn-ed", "no_such_package.Classifier"])).run()
    notes = {row.member: row.note for row in vote.leaderboard}
    assert (
        notes["no_such_package.Classifier"]
        == "it cannot be made: ModuleNotFoundError: No module named 'no_such_package'"
    )


def test_a_time_limit_that_no_member_can_keep_names_one_that_would_do(power: Any) -> None:
    with pytest.raises(TimeLimitError, match=r"no member was fitted within 0.1 s; the quickest, quant, needs about"):
        AutoTraining(power.train, [QUANT], time_limit=0.1).run()


def test_without_a_member_that_can_be_fitted_every_reason_is_given(power: Any) -> None:
    with pytest.raises(TsbenchError, match="no member could be fitted: Raising: ValueError: it does not like these"):
        AutoTraining(power.train, [custom("Raising")]).run()


def test_a_member_that_needs_more_memory_than_there_is_is_left_out(power: Any) -> None:
    greedy = replace(QUANT, name="greedy", features=10**12)
    vote = AutoTraining(power.train, [greedy, NEAREST]).run()
    (note,) = [row.note for row in vote.leaderboard if row.member == "greedy"]
    assert note.startswith("it needs about ")
    assert "GB are available" in note


def test_cases_of_several_lengths_are_padded_or_resampled_whichever_is_better() -> None:
    vowels = Archive().load("JapaneseVowels").train.subset(np.arange(0, 270, 3))
    vote = AutoTraining(vowels, [NEAREST, QUANT, replace(QUANT, name="other")], jobs=2).run()
    names = [member.name for member in vote.members]
    assert len(names) == 3
    tried = {row.member: row.note for row in vote.leaderboard}
    assert {"1nn-ed (padded)", "1nn-ed (resampled)"} < set(tried)
    (loser,) = [name for name in tried if name.startswith("1nn-ed") and name not in names]
    assert tried[loser].startswith("its log loss is ")
    kept = "padded" if "1nn-ed (padded)" in names else "resampled"
    assert all(kept in tried[name] for name in ("quant", "other"))


def test_bags_of_padded_and_of_resampled_cases_are_compared_once_both_have_all_folds() -> None:
    vowels = Archive().load("JapaneseVowels").train.subset(np.arange(0, 270, 6))
    vote = AutoTraining(vowels, [replace(NEAREST, name="bag", bagged=True)], jobs=2).run()
    assert len(vote.members) == 1
    (loser,) = [row for row in vote.leaderboard if row.weight == 0]
    assert loser.note.startswith("its log loss is ")


def test_a_vote_depends_on_the_machine_if_one_way_to_adapt_the_cases_was_not_tried() -> None:
    vowels = Archive().load("JapaneseVowels").train.subset(np.arange(0, 270, 9))
    training = AutoTraining(vowels, [replace(NEAREST, cost=(1000.0, 0.0, 0.0, 0.0))], time_limit=600)
    vote = training.run()
    assert [member.name for member in vote.members] == ["1nn-ed (padded)"]
    assert training.cut_short == ["1nn-ed (resampled)"]


def test_networks_are_trained_on_the_given_device(power: Any) -> None:
    few = {"training.epochs": 1, "training.min_steps": 0, "model.convolution.channels": 4}
    vote = AutoTraining(power.train, candidates_of("good", ["1nn-ed", ("network", few)]), device="cuda:99").run()
    (row,) = [row for row in vote.leaderboard if row.member.startswith("network")]
    assert row.weight == 0
    assert "CUDA" in row.note


def test_the_others_go_on_if_the_member_by_which_the_adaptation_is_chosen_does_not_fit_into_memory() -> None:
    vowels = Archive().load("JapaneseVowels").train.subset(np.arange(0, 270, 9))
    vote = AutoTraining(vowels, [replace(QUANT, name="greedy", features=10**12), NEAREST]).run()
    assert [member.name for member in vote.members] == ["1nn-ed"]
    notes = {row.member: row.note for row in vote.leaderboard}
    assert all("GB of memory" in notes[f"greedy ({way})"] for way in ("padded", "resampled"))


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["a"] * 6, ["a"] * 6),  # one class
        (list("abcdef"), list("abcdef")),  # as many classes as cases
        (list("aabbbc"), list("aabbbc")),  # a class of one case
    ],
)
def test_few_cases_of_a_class_still_give_a_vote(labels: list[str], expected: list[str]) -> None:
    values = (
        np.random.default_rng(0).normal(size=(6, 1, 20)) + np.array([ord(label) for label in labels])[:, None, None]
    )
    cases = Collection(values, np.full(6, 20), np.array(labels))
    vote = AutoTraining(cases, [NEAREST, QUANT]).run()
    assert list(vote.predict(cases)) == expected
    np.testing.assert_allclose(vote.predict_proba(cases).sum(axis=1), 1)
    assert vote.predict_set(cases, 0.99).all()


def test_a_text_is_no_list_of_members() -> None:
    with pytest.raises(ValueError, match=r"members must be a list of names, got the text 'quant'; use \['quant'\]"):
        candidates_of("good", "quant")


def test_presets_name_known_members_and_a_member_is_named_once() -> None:
    for preset in AUTO_PRESETS:
        assert [candidate.name for candidate in candidates_of(preset)] == list(AUTO_PRESETS[preset])
    assert [candidate.classifier for candidate in candidates_of("quick", ["hydra", "1nn-dtw"])] == ["hydra", "1nn-dtw"]
    with pytest.raises(ValueError, match="unknown preset 'fast'; known: quick, good, best"):
        candidates_of("fast")
    with pytest.raises(ValueError, match=r"unknown member 'quantt'; did you mean 'quant'\?"):
        candidates_of("good", ["quantt"])
    with pytest.raises(ValueError, match="a member is named twice: quant"):
        candidates_of("good", ["quant", "quant"])


@pytest.mark.parametrize(("left", "begun"), [(69.0, False), (71.0, True)])
def test_a_member_is_begun_if_enough_of_its_folds_fit_into_the_time(power: Any, left: float, begun: bool) -> None:
    slow = replace(QUANT, name="slow", cost=(10.0, 0.0, 0.0, 0.0))  # 1 fit on all cases, and 6 of 10 folds
    schedule = Schedule(power.train, [NEAREST, slow], seed=0, device="cpu", left=lambda: left)
    first = schedule.next()
    assert first is not None
    first.member.receive(WholeFit(NEAREST.make("cpu").fit(power.train, 0), seconds=1.0, predict_seconds=0.1))
    second = schedule.next()
    assert (second is not None) == begun
    assert schedule.members[1].reason == ("" if begun else "it would need about 70 s, and 69 s were left")


@pytest.mark.parametrize(("jobs", "begun"), [(1, False), (3, True)])
def test_folds_of_a_bag_side_by_side_take_less_time(power: Any, jobs: int, begun: bool) -> None:
    bag = replace(QUANT, name="bag", bagged=True, cost=(10.0, 0.0, 0.0, 0.0))  # 3 of 5 folds
    schedule = Schedule(power.train, [NEAREST, bag], seed=0, device="cpu", left=lambda: 15.0, jobs=jobs)
    first = schedule.next()
    assert first is not None
    first.member.receive(WholeFit(NEAREST.make("cpu").fit(power.train, 0), seconds=1.0, predict_seconds=0.1))
    assert (schedule.next() is not None) == begun


def test_a_rare_class_does_not_lower_the_number_of_folds(power: Any) -> None:
    labels = power.train.labels.astype("<U4")
    labels[np.flatnonzero(labels == labels[0])[:2]] = "rare"
    cases = replace(power.train, labels=labels)
    bag = replace(QUANT, name="bag", bagged=True)
    schedule = Schedule(cases, [NEAREST, bag], seed=0, device="cpu", left=lambda: 100.0)
    assert [len(member.splits) for member in schedule.members] == [10, 5]
    for member in schedule.members:
        held_out = np.concatenate([validation for _, validation in member.splits])
        assert sorted(held_out) == list(range(len(cases)))
        assert all("rare" in cases.labels[training] for training, _ in member.splits)


def test_fits_on_all_cases_vote_beside_a_bag_if_there_are_few_cases_of_each_class(power: Any, tmp_path: Path) -> None:
    few = power.train.subset(np.r_[0:6, len(power.train) - 6 : len(power.train)])
    training = AutoTraining(few, [replace(NEAREST, name="bag", bagged=True)], seed=3, jobs=2)
    vote = training.run()
    bag = vote.members[0].classifier
    assert isinstance(bag, FoldBag)
    assert (len(bag.members), bag.whole) == (8, 3)
    assert bag.summary().endswith("fitted without each of 5 folds and 3 times on all cases, and averaged")
    found = training.members[0].out_of_fold
    assert found is not None
    assert sorted(set(found.folds)) == [0, 1, 2, 3, 4]
    assert training.members[0].lacking == 0
    bag.save(tmp_path / "bag")
    assert load_classifier(tmp_path / "bag").summary() == bag.summary()
    again = AutoTraining(few, [replace(NEAREST, name="bag", bagged=True)], seed=3).run()
    np.testing.assert_array_equal(again.predict_proba(power.test), vote.predict_proba(power.test))


@pytest.mark.parametrize("scarce", ["time", "memory"])
def test_a_bag_votes_without_fits_on_all_cases_if_there_is_no_time_or_memory_for_them(power: Any, scarce: str) -> None:
    few = power.train.subset(np.r_[0:6, len(power.train) - 6 : len(power.train)])
    left = [100.0]
    schedule = Schedule(few, [replace(QUANT, name="bag", bagged=True)], seed=0, device="cpu", left=lambda: left[0])
    (member,) = schedule.members
    for _ in range(5):
        call = schedule.next()
        assert call is not None
        assert not call.is_refit
        classifier = QUANT.make("cpu").fit(few, 0)
        held_out = len(member.splits[call.folds[0]][1])
        member.receive(FoldFit(call.folds[0], np.full((held_out, 2), 0.5), few.classes, 1.0, 0.1, classifier))
        member.state, member.ended = "fitting", member.ended + 1
    if scarce == "time":
        left[0] = 0.01
    else:
        member.candidate = replace(member.candidate, features=10**12)
    assert schedule.next() is None
    assert member.cut_short
    assert member.lacking == 0
    assert member.state == "done"
    assert isinstance(member.result().classifier, FoldBag)
    assert member.result().note == ""


def test_a_bag_without_folds_is_left_out_with_the_reason_why_there_are_none(power: Any) -> None:
    cases = replace(power.train, groups=np.full(len(power.train), "ward"))
    schedule = Schedule(cases, [replace(NEAREST, bagged=True)], seed=0, device="cpu", left=lambda: 100.0)
    expected = "there are no folds to bag, as all training cases are of one group, 'ward'"
    assert schedule.members[0].reason.startswith(expected)
    assert schedule.next() is None


def test_estimates_grow_with_the_data() -> None:
    small, large = Size(50, 1, 100, 2), Size(5000, 3, 500, 2)
    for candidate in CANDIDATES.values():
        assert candidate.seconds(large) > 2 * candidate.seconds(small), candidate.name
        assert candidate.bytes(large) > 50 * candidate.bytes(small), candidate.name


def test_the_processes_end_with_their_caller(tmp_path: Path) -> None:
    code = (
        "from tsbench.auto.training import AutoTraining; from tests.auto.test_training import custom;"
        "from tsbench.data.archive import Archive;"
        "AutoTraining(Archive().load('ItalyPowerDemand').train, [custom('Hanging')]).run()"
    )
    caller = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 60
    while not (children := psutil.Process(caller.pid).children()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert children
    os.kill(caller.pid, signal.SIGKILL)
    caller.wait()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert alive == []
