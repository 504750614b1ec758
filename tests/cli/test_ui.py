"""`tsbench ui` in a real browser: from the experiment to a parent run, its artifacts, and charts."""

import subprocess
from pathlib import Path

import pytest

from tests.browser import CHROMIUM, chromium_page, compare_address, picture, served_ui
from tsbench.tracking import names
from tsbench.tracking.store import Store

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; on Debian: apt-get install chromium"),
]


def test_a_person_can_browse_a_search(searched: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    from PIL import Image

    folder, _ = searched
    store = Store(f"sqlite:///{folder}/mlflow.db")
    runs = list(store.runs("tiny"))
    parent = next(run for run in runs if run.tags[names.ROLE] == "search")
    trials = [run.run_id for run in runs if run.tags[names.ROLE] == "trial"]
    with served_ui(folder, "tiny.yaml") as address, chromium_page() as (page, errors):
        assert address.endswith(f"/#/experiments/{parent.experiment}/runs?workflowType=machine_learning")
        page.goto(address)
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
