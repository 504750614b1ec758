"""Every command that refuses leaves everything as it was, and says why."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from filelock import FileLock

from tests.cli.conftest import run
from tests.snapshot import snapshot
from tsbench.data.archive import Archive
from tsbench.tracking import names
from tsbench.tracking.store import RunRecord, Store

Searched = tuple[Path, subprocess.CompletedProcess[str]]


class Place:
    """The folder of a finished search, and the states that a test can bring about in it; each is undone at its end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store(f"sqlite:///{folder}/mlflow.db")
        self.study = folder / ".tsbench" / "tiny" / "ItalyPowerDemand"
        self.runs: dict[str, RunRecord] = {run.tags[names.ROLE]: run for run in self.store.runs("tiny")}

    @contextmanager
    def as_it_is(self) -> Iterator[None]:
        yield

    @contextmanager
    def experiment_deleted(self) -> Iterator[None]:
        experiment = self.store.experiment_id("tiny")
        self.store.client.delete_experiment(experiment)
        yield
        self.store.client.restore_experiment(experiment)

    @contextmanager
    def parent_run_deleted(self) -> Iterator[None]:
        self.store.client.delete_run(self.runs["search"].run_id)
        yield
        self.store.client.restore_run(self.runs["search"].run_id)

    @contextmanager
    def search_under_way(self) -> Iterator[None]:
        with FileLock(self.folder / ".tsbench" / "tiny" / "lock"):
            yield

    @contextmanager
    def trials_gone(self) -> Iterator[None]:
        journal = self.study / "journal.log"
        aside = journal.rename(journal.with_name("aside"))
        yield
        aside.rename(journal)

    @contextmanager
    def study_damaged(self) -> Iterator[None]:
        file = self.study / "study.json"
        text = file.read_text()
        file.write_text(text[: len(text) // 2])
        yield
        file.write_text(text)

    @contextmanager
    def study_of_another_version(self) -> Iterator[None]:
        file = self.study / "study.json"
        text = file.read_text()
        file.write_text(text.replace('"parent_run"', '"parents"'))
        yield
        file.write_text(text)

    @contextmanager
    def address_damaged(self) -> Iterator[None]:
        file = self.folder / ".tsbench" / "tiny" / "listener.json"
        file.write_text("{")
        yield
        file.unlink()


@pytest.fixture
def place(searched: Searched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.chdir(searched[0])
    monkeypatch.setenv("TSBENCH_RETRY_TIMEOUT", "0")
    return Place(searched[0])


Refused = tuple[Callable[[Place], object], list[str], int, str]

REFUSED: dict[str, Refused] = {
    "search, experiment deleted": (
        Place.experiment_deleted,
        ["search", "tiny.yaml"],
        1,
        "the MLflow experiment 'tiny' was deleted; restore it in the MLflow UI, or rename the recipe",
    ),
    "search --fresh, experiment deleted": (
        Place.experiment_deleted,
        ["search", "tiny.yaml", "--fresh"],
        1,
        "the MLflow experiment 'tiny' was deleted",
    ),
    "search, parent run deleted": (
        Place.parent_run_deleted,
        ["search", "tiny.yaml"],
        1,
        "in which the search of ItalyPowerDemand is recorded, was deleted; restore it in the MLflow UI, or run the",
    ),
    "search, another store": (
        Place.as_it_is,
        ["search", "tiny.yaml", "--set", "tracking.uri='sqlite:///other.db'"],
        1,
        "other.db; set tracking.uri to the former, or move its folder back, or run the search with --fresh",
    ),
    "search, under way": (
        Place.search_under_way,
        ["search", "tiny.yaml", "--set", "search.trials=9"],
        1,
        "another `tsbench search` of 'tiny' is running",
    ),
    "search --fresh, under way": (
        Place.search_under_way,
        ["search", "tiny.yaml", "--fresh"],
        1,
        "another `tsbench search` of 'tiny' is running",
    ),
    "search, trials gone": (Place.trials_gone, ["search", "tiny.yaml"], 1, "has lost its trials"),
    "search, study damaged": (Place.study_damaged, ["search", "tiny.yaml"], 1, "study.json cannot be read: it is dam"),
    "search, study of another version": (
        Place.study_of_another_version,
        ["search", "tiny.yaml"],
        1,
        "study.json cannot be read",
    ),
    "search, recipe changed": (
        Place.as_it_is,
        ["search", "tiny.yaml", "--set", "training.epochs=5"],
        2,
        "the recipe, its data, or how tsbench reads them changed since the search of ItalyPowerDemand was started",
    ),
    "search --fresh, unknown data": (
        Place.as_it_is,
        ["search", "tiny.yaml", "--fresh", "--set", "datasets=[Nowhere]"],
        2,
        "no data set in the catalogue or the folders is called 'Nowhere'",
    ),
    "search --fresh, no such device": (
        Place.as_it_is,
        ["search", "tiny.yaml", "--fresh", "--set", "execution.device=cuda:63"],
        1,
        "execution.device is 'cuda:63'",
    ),
    "search --fresh, out of reach": (
        Place.as_it_is,
        ["search", "tiny.yaml", "--fresh", "--set", "execution.launcher=ray"],
        2,
        "execution.launcher 'ray' needs search.storage",
    ),
    "search --fresh, database away": (
        Place.as_it_is,
        ["search", "tiny.yaml", "--fresh", "--set", "search.storage='postgresql://nobody@127.0.0.1:9/studies'"],
        1,
        "search.storage ",
    ),
    "search --fresh, server away": (
        Place.as_it_is,
        ["search", "tiny.yaml", "--fresh", "--set", "tracking.uri='http://127.0.0.1:9'"],
        1,
        "tracking.uri 'http://127.0.0.1:9' cannot be reached (Connection refused)",
    ),
    "search, store is a folder": (
        Place.as_it_is,
        ["search", "tiny.yaml", "--set", "tracking.uri='sqlite:///mlartifacts'"],
        1,
        "mlartifacts is a folder; name a file in it",
    ),
    "search --dry-run, unknown data": (
        Place.as_it_is,
        ["search", "tiny.yaml", "--dry-run", "--set", "datasets=[Nowhere]"],
        2,
        "no data set in the catalogue or the folders is called 'Nowhere'",
    ),
    "rm, unknown name": (Place.as_it_is, ["rm", "nobody", "--yes"], 2, "has no experiment 'nobody'"),
    "rm, under way": (Place.search_under_way, ["rm", "tiny", "--yes"], 1, "a search of 'tiny' is running"),
    "rm, experiment deleted": (Place.experiment_deleted, ["rm", "tiny", "--yes"], 1, "'tiny' was deleted"),
    "compare --log, unknown name": (Place.as_it_is, ["compare", "nobody", "--log"], 2, "has no experiment 'nobody'"),
    "compare --log, experiment deleted": (
        Place.experiment_deleted,
        ["compare", "tiny", "--log"],
        1,
        "'tiny' was deleted",
    ),
    "compare --log, unknown classifier": (
        Place.as_it_is,
        ["compare", "tiny", "--log", "--report", "r.html", "--fail-if-worse-than", "nobody"],
        2,
        "nobody",
    ),
    "compare --log, figures in a file": (
        Place.as_it_is,
        ["compare", "tiny", "--log", "--report", "r.html", "--plots", "tiny.yaml"],
        2,
        "--plots tiny.yaml: cannot be written",
    ),
    "predict, unknown run": (Place.as_it_is, ["predict", "0" * 32, "tiny.yaml"], 2, "has no run"),
    "predict, no such file": (
        Place.as_it_is,
        ["predict", "{model}", "none.csv", "--out", "o.csv"],
        2,
        "file not found",
    ),
    "predict --out, another suffix": (
        Place.as_it_is,
        ["predict", "{model}", "{cases}", "--out", "tiny.yaml"],
        2,
        "predictions are written as .csv or .parquet, not as .yaml",
    ),
    "predict --out, no such folder": (
        Place.as_it_is,
        ["predict", "{model}", "{cases}", "--out", "none/o.csv"],
        2,
        "none/o.csv: cannot be written",
    ),
    "export, unknown run": (Place.as_it_is, ["export", "0" * 32], 2, "has no run"),
    "export, a trial": (Place.as_it_is, ["export", "{trial}"], 2, "which has no model"),
    "export --out, a folder": (
        Place.as_it_is,
        ["export", "{model}", "--out", "mlartifacts"],
        2,
        "mlartifacts: cannot be written",
    ),
    "explain, no such case": (Place.as_it_is, ["explain", "{model}", "--case", "0", "--case", "99999"], 2, "99999"),
    "explain --out, a file": (Place.as_it_is, ["explain", "{model}", "--out", "tiny.yaml"], 2, "cannot be created"),
    "reproduce, unknown run": (Place.as_it_is, ["reproduce", "0" * 32], 2, "has no run"),
    "init, the file exists": (Place.as_it_is, ["init", "tiny"], 2, "tiny.yaml: this file already exists"),
    "datasets verify --accept, one unknown": (
        Place.as_it_is,
        ["datasets", "verify", "--accept", "GunPoint", "Nowhere"],
        2,
        "'Nowhere' is not available",
    ),
    "datasets download, no name": (
        Place.as_it_is,
        ["datasets", "download", "GunPoint", "../x"],
        2,
        "is not a valid data set name",
    ),
    "datasets download, no server": (Place.as_it_is, ["datasets", "download", "FordA"], 1, "could not be downloaded"),
    "studies, unknown name": (Place.as_it_is, ["studies", "nobody"], 2, "holds no studies of 'nobody'"),
    "studies, trials gone": (Place.trials_gone, ["studies"], 1, "has lost its trials"),
    "worker, nothing under way": (Place.as_it_is, ["worker", "tiny"], 1, "no search of 'tiny' is running"),
    "worker, address damaged": (Place.address_damaged, ["worker", "tiny"], 1, "listener.json is damaged"),
    "ui, unknown name": (Place.as_it_is, ["ui", "nobody"], 2, "has no experiment 'nobody'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_command_that_refuses_says_why_and_changes_nothing(
    case: str, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, arguments, code, sentence = REFUSED[case]
    cases = Archive().locate("ItalyPowerDemand")
    known = {f"{{{role}}}": run.run_id for role, run in place.runs.items()}
    known["{cases}"] = str(cases and cases / "ItalyPowerDemand_TEST.ts")
    with state(place):  # type: ignore[attr-defined]
        before = snapshot(place.folder)
        result = run(*(known.get(argument, argument) for argument in arguments))
        after = snapshot(place.folder)
    assert isinstance(result.exception, SystemExit), result.exception
    assert (result.exit_code, sentence in result.output) == (code, True), result.output
    assert after == before


def test_studies_without_their_store_are_refused(
    searched: Searched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database was removed, and the studies beside it were not."""
    folder = tmp_path / "work"
    shutil.copytree(searched[0] / ".tsbench", folder / ".tsbench")
    shutil.copy(searched[0] / "tiny.yaml", folder)
    monkeypatch.chdir(folder)
    before = snapshot(folder)
    moved = run("search", "tiny.yaml")
    assert moved.exit_code == 1
    assert "or move its folder back, or run the search with --fresh" in moved.output
    assert snapshot(folder) == before
    study = folder / ".tsbench" / "tiny" / "ItalyPowerDemand" / "study.json"
    study.write_text(study.read_text().replace(f"sqlite:///{searched[0]}/", f"sqlite:///{folder}/"))
    before = snapshot(folder)
    result = run("search", "tiny.yaml")
    assert result.exit_code == 1
    assert (
        f"which sqlite:///{folder}/mlflow.db does not have; set tracking.uri to the store that has it" in result.output
    )
    assert snapshot(folder) == before


def test_after_a_refusal_nothing_is_run_again_once_the_experiment_is_restored(place: Place) -> None:
    before = [(run.run_id, run.status) for run in place.store.runs("tiny")]
    with place.experiment_deleted():
        for options in ([], ["--fresh"]):
            assert run("search", "tiny.yaml", *options).exit_code == 1
    result = run("search", "tiny.yaml")
    assert result.exit_code == 0, result.output
    assert "searching" not in result.output
    assert [(run.run_id, run.status) for run in place.store.runs("tiny")] == before
    assert [path.name for path in place.study.parent.iterdir() if path.is_dir()] == ["ItalyPowerDemand"]


def test_a_first_search_that_is_refused_creates_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.conftest import RECIPE

    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    with closing(sqlite3.connect(tmp_path / "other.db")) as database:
        database.execute("CREATE TABLE t (x)")
    before = snapshot(tmp_path)
    for setting, sentence in {
        "tracking.uri='sqlite:///other.db'": "is a database of another program",
        "tracking.uri='sqlite:///tiny.yaml/x.db'": "tiny.yaml is a file, not a folder",
        "execution.device=cuda:63": "execution.device is 'cuda:63'",
        "tracking.uri='sqlite:///:memory:'": "names no file",
    }.items():
        result = run("search", "tiny.yaml", "--set", setting)
        assert result.exit_code in (1, 2)  # 2 if the address alone shows it
        assert sentence in result.output
        assert snapshot(tmp_path) == before


def test_a_changed_file_that_is_broken_is_not_accepted(tmp_path: Path) -> None:
    source = Archive().locate("ItalyPowerDemand")
    assert source is not None
    shutil.copytree(source, tmp_path / "sets" / "ItalyPowerDemand")
    file = tmp_path / "sets" / "ItalyPowerDemand" / "ItalyPowerDemand_TRAIN.ts"
    assert run("datasets", "verify", "--archive", tmp_path / "sets").exit_code == 0
    whole = file.read_text()
    file.write_text(whole[: len(whole) // 2] + "\nbroken")
    assert run("datasets", "verify", "--accept", "--archive", tmp_path / "sets").exit_code == 1
    file.write_text(whole)
    again = run("datasets", "verify", "--archive", tmp_path / "sets")
    assert (again.exit_code, "0 files recorded" in again.output) == (0, True), again.output
