"""Takes README's pictures of MLflow's page, of the quickstart, which it searches first where that is not done."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.browser import CHROMIUM, chromium_page, compare_address, picture, served_ui
from tsbench.tracking import names
from tsbench.tracking.store import Store

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
NAME, DATASET = "quickstart", "ItalyPowerDemand"


def main() -> int:
    """Writes the pictures into docs/images; 1 where there is no Chromium."""
    if CHROMIUM is None:
        print("no Chromium here; on Debian: apt-get install chromium", file=sys.stderr)
        return 1
    command = [str(Path(sys.executable).with_name("tsbench")), "search", f"recipes/{NAME}.yaml"]
    subprocess.run(command, cwd=ROOT, check=True)
    IMAGES.mkdir(parents=True, exist_ok=True)
    runs = [run for run in Store(f"sqlite:///{ROOT}/mlflow.db").runs(NAME) if run.tags.get(names.DATASET) == DATASET]
    parent = [run for run in runs if run.tags[names.ROLE] == "search"][-1]
    trials = [
        run.run_id
        for run in runs
        if run.tags.get("mlflow.parentRunId") == parent.run_id
        and run.tags[names.ROLE] == "trial"
        and run.tags.get(names.STATE) == "complete"
    ]
    with served_ui(ROOT, f"recipes/{NAME}.yaml") as address, chromium_page(1180, 640) as (page, _):
        page.goto(address)
        page.get_by_role("link", name=DATASET, exact=True).first.wait_for()
        for expander in page.locator("[data-testid='expander-icon'], .ag-row button").all()[:1]:
            expander.click()
        picture(page, IMAGES / "runs.png")
        server = address.partition("#")[0]
        page.goto(f"{server}#/experiments/{parent.experiment}/runs/{parent.run_id}/artifacts")
        page.get_by_text("misclassified_cases.png").click()
        page.wait_for_function("[...document.images].some(one => one.src.startsWith('blob:') && one.naturalWidth > 99)")
        picture(page, IMAGES / "misclassified_cases.png")
        page.goto(compare_address(address, parent.experiment, trials))
        page.locator(".js-plotly-plot .parcoords").first.wait_for(state="attached")
        picture(page, IMAGES / "parallel_coordinates.png")
    for path in sorted(IMAGES.iterdir()):
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size // 1000} kB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
