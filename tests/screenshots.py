"""Takes README's pictures of MLflow's page, of the quickstart, which it searches first if that is not done."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.browser import CHROMIUM, chromium_page, compare_address, picture, served_ui
from tests.processes import TSBENCH
from tsbench.tracking import names
from tsbench.tracking.store import Store

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
WITHOUT_PATH = """
for (const one of document.querySelectorAll("*"))
  if (!one.children.length && one.textContent.includes("file:///")) one.style.visibility = "hidden";
for (const one of document.querySelectorAll("*"))
  if (one.textContent.startsWith("Path:") && one.textContent.length < 400) one.style.visibility = "hidden";
"""
"""Hides where on this machine the artifact lies."""


def main(folder: Path, name: str, dataset: str) -> int:
    """Writes the pictures into docs/images; 1 if there is no Chromium.

    Args:
        folder: with the store, where the search was or is to be run.
        name: of the recipe, `recipes/<name>.yaml` where it is to be searched first.
        dataset: whose search is shown.
    """
    if CHROMIUM is None:
        print("no Chromium here; on Debian: apt-get install chromium", file=sys.stderr)
        return 1
    store = Store(f"sqlite:///{folder}/mlflow.db")
    if folder == ROOT:
        command = [TSBENCH, "search", f"recipes/{name}.yaml"]
        subprocess.run(command, cwd=ROOT, check=True)
    IMAGES.mkdir(parents=True, exist_ok=True)
    runs = [run for run in store.runs(name) if run.tags.get(names.DATASET) == dataset]
    parent = [run for run in runs if run.tags[names.ROLE] == "search"][-1]
    trials = [
        run.run_id
        for run in runs
        if run.tags.get("mlflow.parentRunId") == parent.run_id
        and run.tags[names.ROLE] == "trial"
        and run.tags.get(names.STATE) == "complete"
    ]
    with served_ui(folder, name) as address, chromium_page(1180, 640) as (page, _):
        page.goto(address)
        page.get_by_role("link", name=f"{dataset} network", exact=True).first.wait_for()
        picture(page, IMAGES / "leaderboard.png")
        server = address.partition("#")[0]
        page.goto(f"{server}#/experiments/{parent.experiment}/runs/{parent.run_id}/artifacts")
        page.get_by_text("misclassified_cases.png").click()
        page.wait_for_function("[...document.images].some(one => one.src.startsWith('blob:') && one.naturalWidth > 99)")
        page.evaluate(WITHOUT_PATH)
        picture(page, IMAGES / "misclassified_cases.png")
        page.goto(compare_address(address, parent.experiment, trials))
        page.locator(".js-plotly-plot .parcoords").first.wait_for(state="attached")
        picture(page, IMAGES / "parallel_coordinates.png")
    for path in sorted(IMAGES.iterdir()):
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size // 1000} kB")
    return 0


if __name__ == "__main__":
    where, *which = sys.argv[1:] or (str(ROOT), "quickstart", "ItalyPowerDemand")
    raise SystemExit(main(Path(where), *which))
