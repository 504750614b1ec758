"""Writes a comparison to files and to an MLflow run."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from tsbench.comparisons.comparison import Comparison
from tsbench.comparisons.page import as_html
from tsbench.comparisons.plots import save_pictures
from tsbench.comparisons.report import FORMATS
from tsbench.comparisons.versions import Provenance
from tsbench.comparisons.wording import protocol
from tsbench.errors import RecipeError
from tsbench.recipe.messages import count_of
from tsbench.tracking import names
from tsbench.tracking.store import Store

__all__ = ["check_name", "log_comparison", "write_report"]

FILES = {"csv": "{metric}.csv", "json": "comparison.json", "markdown": "comparison.md", "latex": "comparison.tex"}


def check_name(path: Path) -> None:
    """Refuses a file name that is not that of an HTML page.

    Raises:
        RecipeError: with a valid name.
    """
    if path.suffix.lower() not in (".html", ".htm") and not path.is_dir():
        raise RecipeError([f"{path}: a report is one HTML page; name it {path.with_suffix('.html').name}"])


def write_report(comparison: Comparison, provenance: Provenance, path: Path) -> None:
    """Writes the page; missing folders are created.

    Raises:
        RecipeError: the file cannot be written, or its name is not that of an HTML page.
    """
    check_name(path)
    page = as_html(comparison, provenance)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise RecipeError([f"{path}: cannot be written: {error.strerror}"]) from None


def log_comparison(comparison: Comparison, provenance: Provenance, store: Store, experiment: str) -> str:
    """Records the comparison as a run of the experiment: scores as metrics; tables, plots and page as artifacts.

    Returns:
        The run's id.
    """
    tags = {names.ROLE: "comparison", names.RECIPE: experiment}
    title = f"comparison of {count_of(len(comparison.classifiers), 'classifier')}"
    run = store.begin(store.experiment(experiment), title, tags)
    params = {
        "metric": comparison.metric,
        "protocol": protocol(comparison),
        "control": comparison.control,
        "alpha": comparison.alpha,
        "rope": comparison.rope,
        "datasets": len(comparison.datasets),
        "complete_datasets": int(comparison.complete.sum()),
        "classifiers": ", ".join(comparison.classifiers),
        "references": ", ".join(reference.name for reference in comparison.references),
    }
    metrics: dict[str, float] = {}
    for standing in comparison.standings:
        name = re.sub(r"[^\w.\- ]", "", standing.classifier)  # characters that MLflow accepts
        metrics |= {f"average_rank/{name}": standing.rank, f"mean_{comparison.metric}/{name}": standing.mean}
        if standing.wins is not None:
            metrics |= {
                f"difference_from_control/{name}": standing.difference,
                f"p_holm_against_control/{name}": standing.p,
            }
    store.log(run, metrics, params)
    with tempfile.TemporaryDirectory() as folder:
        for form, file in FILES.items():
            (Path(folder) / file.format(metric=comparison.metric)).write_text(
                FORMATS[form](comparison), encoding="utf-8"
            )
        (Path(folder) / "report.html").write_text(as_html(comparison, provenance), encoding="utf-8")
        save_pictures(comparison, Path(folder) / "pictures")
        store.artifacts.add(run, Path(folder))
    store.end(run)
    return run
