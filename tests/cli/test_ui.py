"""`tsbench ui`: what it starts and ends, what it refuses, and what a person sees in a real browser."""

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import urllib.request
from pathlib import Path

import psutil
import pytest

from tests.browser import CHROMIUM, chromium_page, compare_address, picture, served_ui
from tests.cli.conftest import run, tsbench
from tests.processes import TSBENCH, finish, free_port, served, start, wait_for
from tsbench.tracking import names
from tsbench.tracking.store import Store
from tsbench.tracking.views import VIEWS

Searched = tuple[Path, subprocess.CompletedProcess[str]]

in_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; on Debian: apt-get install chromium")


def test_a_port_in_use_is_one_sentence(store_uri: str) -> None:
    Store(store_uri).experiment("tiny")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        result = run("ui", "tiny", "--tracking-uri", store_uri, "--port", port)
    assert result.exit_code == 1
    assert result.output == (
        f"port {port} on 127.0.0.1 cannot be used: address already in use; choose another with --port\n"
    )


def test_an_experiment_that_is_absent_or_deleted_is_refused_before_anything_is_started(store_uri: str) -> None:
    store = Store(store_uri)
    store.client.delete_experiment(store.experiment("gone"))
    store.experiment("tiny")
    absent = run("ui", "tni", "--tracking-uri", store_uri)
    assert absent.exit_code == 2
    assert absent.output.endswith("has no experiment 'tni'; existing experiments: tiny\n")
    deleted = run("ui", "gone", "--tracking-uri", store_uri)
    assert deleted.exit_code == 1
    assert "the MLflow experiment 'gone' was deleted; restore it" in deleted.output


@pytest.mark.slow
def test_the_only_experiment_is_served_by_one_process_and_the_address_answers(store_uri: str, tmp_path: Path) -> None:
    experiment = Store(store_uri).experiment("tiny")
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with served([TSBENCH, "ui", "--port", str(port)], f"{address}/health", tmp_path) as server:
        wait_for(lambda: "Ctrl-C" in server.log.read_text())
        first, *others = server.log.read_text().splitlines()
        assert first.endswith(
            f": {address}/tsbench/#/experiments/{experiment}/runs?workflowType=machine_learning"
            "&viewStateShareKey=tsbench-trials"  # nothing is scored yet
        )
        assert others == ["Press Ctrl-C to stop."]  # MLflow's log is hidden
        assert len(psutil.Process(server.process.pid).children(recursive=True)) == 1
        with urllib.request.urlopen(f"{address}/tsbench/", timeout=10) as page:
            assert b'location.replace("/" + location.hash)' in page.read()
        with urllib.request.urlopen(f"{address}/ajax-api/3.0/mlflow/ui-telemetry", timeout=10) as answer:
            assert json.load(answer)["disable_ui_telemetry"] is True
        taken = tsbench("ui", "tiny", "--port", str(port), cwd=tmp_path)
        assert taken.returncode == 1
        assert f"port {port} on 127.0.0.1 cannot be used" in taken.stderr
    assert server.process.returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_when_the_command_is_ended(how: signal.Signals, store_uri: str, tmp_path: Path) -> None:
    Store(store_uri).experiment("tiny")
    port = free_port()
    process = start([TSBENCH, "ui", "--port", str(port)], tmp_path)
    wait_for(lambda: psutil.Process(process.pid).children(), process)
    (server,) = psutil.Process(process.pid).children()
    if how is signal.SIGKILL:  # a server that is up hears of it too, and is harder to end
        assert process.stdout is not None
        assert process.stdout.readline().startswith("MLflow on ")
    os.kill(process.pid, how)
    code, output, _ = finish(process, 30)
    assert code == (143 if how is signal.SIGTERM else -signal.SIGKILL)
    assert "MLflow on " not in output
    wait_for(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE, seconds=20)


@pytest.mark.slow
def test_a_store_that_mlflow_refuses_is_shown_with_the_servers_last_lines(store_uri: str, tmp_path: Path) -> None:
    Store(store_uri).experiment("tiny")
    with sqlite3.connect(tmp_path / "mlflow.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'feed5eed'")  # as a later MLflow would leave it
    connection.close()
    done = tsbench("ui", "tiny", "--port", str(free_port()), cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "MLflow's server ended with exit code 1; the last lines of its log:\n" in done.stderr
    assert "feed5eed" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Ctrl-C" not in done.stderr


@pytest.mark.slow
@in_a_browser
def test_the_first_view_is_the_leaderboard_also_of_an_older_store(searched: Searched, tmp_path: Path) -> None:
    folder, _ = searched
    shutil.copytree(folder, tmp_path / "old")
    store = Store(f"sqlite:///{tmp_path}/old/mlflow.db")
    experiment = store.experiment_id("tiny")
    for key, _ in (view.tag for view in VIEWS):
        store.client.delete_experiment_tag(experiment, key)  # as versions before left it
    with served_ui(tmp_path / "old", "tiny.yaml") as address, chromium_page() as (page, errors):
        foreign: list[str] = []
        page.on("request", lambda request: foreign.append(request.url))
        page.goto(address)
        rows = page.locator(".ag-center-cols-container .ag-row")
        rows.nth(1).wait_for()
        assert rows.count() == 2
        cells = {
            column: [text.strip() for text in page.locator(f'.ag-cell[col-id="{column}"]').all_inner_texts()]
            for column in ("tags.`tsbench.dataset`", "tags.`tsbench.classifier`", "metrics.`test_accuracy`")
        }
        assert cells["tags.`tsbench.dataset`"] == ["ItalyPowerDemand"] * 2
        assert cells["tags.`tsbench.classifier`"] == ["network", "dummy"]
        assert float(cells["metrics.`test_accuracy`"][1]) == pytest.approx(0.49854227405247814)
        for column in cells:  # without scrolling
            box = page.locator(f'.ag-header-cell[col-id="{column}"]').bounding_box()
            assert box is not None
            assert box["x"] + box["width"] <= 1280
        assert page.get_by_role("button", name="Leaderboard").is_visible()
        assert not page.get_by_text("Ask questions about your").is_visible()  # the panel of the assistant
        assert all(url.startswith((address.partition("/tsbench/")[0], "data:", "blob:")) for url in foreign)
    assert errors == []


@pytest.mark.slow
@in_a_browser
def test_a_person_can_browse_a_search(searched: Searched, tmp_path: Path) -> None:
    from PIL import Image

    folder, _ = searched
    store = Store(f"sqlite:///{folder}/mlflow.db")
    runs = list(store.runs("tiny"))
    parent = next(run for run in runs if run.tags[names.ROLE] == "search")
    trials = [run.run_id for run in runs if run.tags[names.ROLE] == "trial"]
    with served_ui(folder, "tiny.yaml") as address, chromium_page() as (page, errors):
        page.goto(address)
        page.get_by_role("link", name="ItalyPowerDemand network").click()
        page.get_by_role("link", name="ItalyPowerDemand", exact=True).click()
        page.get_by_text("by cross-validated accuracy on 2 folds of the training cases").wait_for()
        page.get_by_role("link", name="ItalyPowerDemand network").wait_for()

        page.get_by_role("tab", name="Artifacts").click()
        page.get_by_text("leaderboard.csv").click()
        page.get_by_text("cross-validated accuracy").last.wait_for()
        page.get_by_text("confusion_matrix.png").click()
        page.wait_for_function("[...document.images].some(one => one.src.startsWith('blob:') && one.naturalWidth > 99)")
        picture(page, tmp_path / "artifacts.png")
        with Image.open(tmp_path / "artifacts.png") as taken:
            assert taken.size == (1280, 800)

        page.goto(compare_address(address, parent.experiment, trials))
        page.get_by_text("Comparing 4 Runs from 1 Experiment").wait_for()
        page.locator(".js-plotly-plot .parcoords").first.wait_for(state="attached")
        page.get_by_text("model.dropout", exact=True).first.wait_for()
        server = address.partition("#")[0]
        page.goto(f"{server}#/experiments/{parent.experiment}/runs/{trials[0]}/model-metrics")
        page.get_by_text("cv_accuracy").first.wait_for()
        page.locator(".js-plotly-plot").first.wait_for()
    assert errors == []
