import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from tsbench.errors import TrackingError
from tsbench.redaction import redacted
from tsbench.tracking.addresses import database_of, resolve_uri
from tsbench.tracking.store import Store

NAMES = [
    "plain",
    "a b",
    "a?b",
    "c%20d",
    "e#f",
    "g&h=i",
    "j'k\"l",
    "ü\u65e5",
    "x?timeout=5",
    "100%",
    "n\nl",
    "a%2Fb",
    "$HOME",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_of_any_name_is_meant_as_it_is_called(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    monkeypatch.chdir(folder)
    for written in ("sqlite:///mlflow.db", f"sqlite:///{folder}/mlflow.db"):
        uri = resolve_uri(written)
        assert database_of(uri) == folder / "mlflow.db"
        assert resolve_uri(uri) == uri


@pytest.mark.parametrize("name", ["plain", "a b", "ü"])
def test_an_address_that_needs_no_quoting_stays_as_earlier_studies_recorded_it(name: str, tmp_path: Path) -> None:
    assert resolve_uri(f"sqlite:///{tmp_path}/{name}/x.db") == f"sqlite:///{tmp_path}/{name}/x.db"


def test_mlflow_writes_into_a_folder_of_any_name_and_nowhere_else(
    migrated_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    folder = tmp_path / "a b?c%20d#e&f'ü"
    folder.mkdir()
    monkeypatch.chdir(folder)
    shutil.copy(migrated_database, folder / "mlflow.db")
    store = Store("sqlite:///mlflow.db")
    store.connection.prepare()
    run = store.begin(store.experiment("one"), "run", {})
    store.artifacts.write_text(run, "hello", "note.txt")
    assert store.artifacts.read_text(run, "note.txt") == "hello"
    assert (folder / "mlartifacts" / "one" / run / "artifacts" / "note.txt").read_text() == "hello"
    with closing(sqlite3.connect(folder / "mlflow.db")) as database:
        assert database.execute("SELECT run_uuid FROM runs").fetchall() == [(run,)]
    assert list(tmp_path.iterdir()) == [folder]
    assert {path.name for path in folder.iterdir()} <= {"mlflow.db", "mlflow.db-wal", "mlflow.db-shm", "mlartifacts"}


def test_percent_signs_are_decoded_only_if_nothing_has_the_name_as_written(tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    written = f"sqlite:///{tmp_path}/a%20b/x.db"
    assert database_of(resolve_uri(written)) == tmp_path / "a b" / "x.db"
    (tmp_path / "a%20b").mkdir()
    assert database_of(resolve_uri(written)) == tmp_path / "a%20b" / "x.db"
    (tmp_path / "a b" / "x.db").touch()  # which an earlier version made there
    assert database_of(resolve_uri(written)) == tmp_path / "a b" / "x.db"


def test_options_of_sqlite_are_kept_and_are_no_part_of_the_path(tmp_path: Path) -> None:
    uri = resolve_uri(f"sqlite:///{tmp_path}/a?b.db?timeout=5")
    assert database_of(uri) == tmp_path / "a?b.db"
    assert "?timeout=5" in uri
    assert database_of(resolve_uri(f"sqlite:///{tmp_path}/x.db?nonsense=1")) == tmp_path / "x.db?nonsense=1"


@pytest.mark.parametrize("uri", ["sqlite://", "sqlite:///:memory:", "sqlite:///"])
def test_a_database_in_memory_is_refused(uri: str) -> None:
    with pytest.raises(TrackingError, match="names no file, and other processes cannot see a database in memory"):
        resolve_uri(uri)


def test_what_is_no_address_is_refused_in_a_sentence() -> None:
    with pytest.raises(TrackingError, match="is not an address: Invalid IPv6 URL"):
        resolve_uri("http://[1:5000")
    assert redacted("http://[1:5000") == "http://[1:5000"


def test_a_folder_whose_name_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match=r"has a name that is not UTF-8.*rename the folder"):
        resolve_uri(f"sqlite:///{tmp_path}/\udcff/x.db")


def test_a_database_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "places.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE bookmarks (title TEXT)")
    before = path.read_bytes()
    store = Store(f"sqlite:///{path}")
    for call in (store.connection.prepare, store.experiments, lambda: store.connection.check("one")):
        with pytest.raises(TrackingError, match="is a database of another program: it has the tables bookmarks"):
            call()
    assert path.read_bytes() == before


def test_a_store_that_cannot_be_created_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(f"sqlite:///{tmp_path}/new/mlflow.db")

    def fail(*arguments: object, **named: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setenv("TSBENCH_RETRY_TIMEOUT", "0")
    monkeypatch.setattr("mlflow.MlflowClient.search_experiments", fail)
    with pytest.raises(TrackingError):
        store.connection.prepare()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("host", ["127.0.0.1:9", "a" * 80 + ".example"])
def test_a_server_that_cannot_be_reached_is_refused_at_once(host: str) -> None:
    began = time.monotonic()
    with pytest.raises(TrackingError, match=f"^tracking.uri 'http://{host}' cannot be reached") as caught:
        Store(f"http://{host}").connection.check("tiny")
    assert time.monotonic() - began < 20  # of the 90 s for which a server that goes away later is waited for
    assert "mlflow server" in str(caught.value)
