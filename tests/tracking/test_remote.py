"""Everything against a real MLflow server behind a password, which must be found nowhere else."""

import base64
import http.client
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import pytest

from tests.cli.conftest import run, tsbench
from tests.conftest import RECIPE
from tests.servers import MlflowServer, mlflow_server
from tsbench.errors import TrackingError
from tsbench.redaction import redacted
from tsbench.tracking.addresses import resolve_uri
from tsbench.tracking.store import Store

USER, PASSWORD = "someone", "sesame-opens-4711"


class Gate(BaseHTTPRequestHandler):
    """Hands requests on to MLflow where they carry the password, as a company's proxy does."""

    behind = 0
    protocol_version = "HTTP/1.1"

    def handle_any(self) -> None:
        expected = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Authorization") != expected:
            self.answer(401, [("Content-Type", "text/plain")], b"who are you?")
            return
        onward = http.client.HTTPConnection("127.0.0.1", self.behind, timeout=60)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in ("authorization", "host", "connection")}
        onward.request(self.command, self.path, body, headers)
        answer = onward.getresponse()
        self.answer(answer.status, answer.getheaders(), answer.read())

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815 - as http.server calls them

    def answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class LossyGate(Gate):
    """Loses the first answer to each request that creates something, as a server that is killed after its commit."""

    lost: ClassVar[set[str]] = set()

    def answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        if self.path.endswith("/create") and self.path not in self.lost:
            self.lost.add(self.path)
            self.close_connection = True
            return
        super().answer(status, headers, body)


@contextmanager
def gate_to(server: MlflowServer, kind: type[Gate]) -> Iterator[str]:
    """The address of a gate before the server."""
    gate = ThreadingHTTPServer(("127.0.0.1", 0), type("ThisGate", (kind,), {"behind": server.port, "lost": set()}))
    Thread(target=gate.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{gate.server_address[1]}"
    finally:
        gate.shutdown()


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    with mlflow_server(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(scope="module")
def server(mlflow: MlflowServer) -> Iterator[tuple[str, Path]]:
    """The address of the gate, and the folder that MLflow keeps everything in."""
    with gate_to(mlflow, Gate) as address:
        yield address, mlflow.folder


@pytest.mark.nightly
@pytest.mark.slow
def test_everything_goes_through_the_server_and_the_password_nowhere_else(
    server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, kept = server
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", USER)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(RECIPE.replace("trials: 4", "trials: 2") + f"tracking: {{uri: {address}, register: true}}\n")
    said = [tsbench("search", "tiny.yaml", cwd=tmp_path), tsbench("search", "tiny.yaml", "--dry-run", cwd=tmp_path)]
    assert [process.returncode for process in said] == [0, 0], said[0].stdout[-3000:] + said[0].stderr[-3000:]
    store = Store(address)
    runs = {run.name.removeprefix("ItalyPowerDemand "): run for run in store.runs("tiny")}
    assert set(runs) == {"ItalyPowerDemand", "trial 0", "trial 1", "network", "dummy"}
    assert {run.status for run in runs.values()} == {"FINISHED"}
    assert {"leaderboard.csv", "confusion_matrix.png", "accuracy.png"} <= set(
        store.artifacts.names(runs["ItalyPowerDemand"].run_id)
    )
    assert not (tmp_path / "mlartifacts").exists()
    assert not (tmp_path / "mlflow.db").exists()

    from tsbench.data.archive import Archive

    folder = Archive().locate("ItalyPowerDemand")
    assert folder is not None
    network, trial = runs["network"].run_id, runs["trial 1"].run_id
    commands: list[tuple[str | Path, ...]] = [
        ("predict", network, folder / "ItalyPowerDemand_TEST.ts", "--out", tmp_path / "out.csv"),
        ("predict", "models:/tiny-ItalyPowerDemand@best", folder / "ItalyPowerDemand_TEST.ts"),
        ("explain", network, "--case", "1", "--out", tmp_path / "pictures"),
        ("reproduce", trial),
        ("reproduce", network),
        ("compare", "tiny"),
        ("ui", "tiny"),
        ("rm", "tiny", "--yes"),
    ]
    monkeypatch.chdir(tmp_path)
    results = [run(*command, "--tracking-uri", address) for command in commands]
    for command, result in zip(commands, results, strict=True):
        assert result.exit_code == 0, (command, result.output)
    assert "agree to the bit" in results[3].output
    assert f"The store is already an MLflow server: {address}/#/experiments/" in results[6].output
    assert results[6].output.endswith("/runs?workflowType=machine_learning&viewStateShareKey=tsbench-leaderboard\n")
    assert list(store.runs("tiny")) == []

    texts = [process.stdout + process.stderr for process in said] + [result.output for result in results]
    assert not [text for text in texts if PASSWORD in text]
    written = [path for place in (tmp_path, kept) for path in place.rglob("*") if path.is_file()]
    assert len(written) > 20
    token = base64.b64encode(f"{USER}:{PASSWORD}".encode())
    for path in written:
        content = path.read_bytes()
        assert PASSWORD.encode() not in content, path
        assert token not in content, path


@pytest.mark.slow
def test_what_was_created_before_the_answer_was_lost_is_not_created_again(
    mlflow: MlflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", USER)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    with gate_to(mlflow, LossyGate) as address:
        store = Store(address)
        experiment = store.experiment("lossy")
        run = store.begin(experiment, "it's a run", {})
        store.end(run)
        assert [(found.run_id, found.status) for found in store.runs("lossy")] == [(run, "FINISHED")]


def test_a_server_that_never_answers_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TSBENCH_RETRY_TIMEOUT", "2")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connections are made, as by a server that is frozen
        store = Store(f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert store.client  # whose import takes long
        began = time.monotonic()
        with pytest.raises(TrackingError, match="Read timed out"):
            store.begin("0", "run", {})
        assert time.monotonic() - began < 6


@pytest.mark.slow
def test_without_the_password_it_is_one_sentence(
    server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD", raising=False)
    result = run("compare", "tiny", "--tracking-uri", server[0])
    assert result.exit_code == 1
    assert "refused: " in result.output
    assert "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN" in result.output
    assert len(result.output.splitlines()) == 1


def test_a_password_in_a_servers_address_is_refused_without_being_repeated(
    recipe_file: Callable[..., Path],
) -> None:
    address = f"https://{USER}:{PASSWORD}@mlflow.example.org"
    with pytest.raises(TrackingError) as raised:
        resolve_uri(address)
    assert PASSWORD not in str(raised.value)
    assert "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD" in str(raised.value)
    path = recipe_file()
    path.write_text(RECIPE + f'tracking: {{uri: "{address}"}}\n')
    for command in (("search", path), ("search", path, "--dry-run"), ("compare", path), ("ui", path)):
        result = run(*command)
        assert result.exit_code in (1, 2)
        assert PASSWORD not in result.output
        assert "https://someone:***@mlflow.example.org" in result.output
        assert len(result.stderr.splitlines()) == 1  # on standard output stands what was prepared


def test_what_may_be_shown_of_an_address() -> None:
    assert redacted("postgresql://me:secret@db:5432/x") == "postgresql://me:***@db:5432/x"
    assert redacted("http://host/path?token=secret") == "http://host/path?token=***"
    assert redacted("sqlite:///mlflow.db") == "sqlite:///mlflow.db"
