"""The views with which MLflow's page opens an experiment, saved in the form of MLflow's page.

Without a view, the page lists only the parent runs, without scores. A view is a tag of the experiment; MLflow's menu
"Views" lists it by name, and an address can open it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from tsbench.tracking import names

__all__ = ["LEADERBOARD", "TRIALS", "VIEWS", "View", "page_address"]

TAG_PREFIX = "mlflow.sharedViewState."
CREATED_AT = (
    1_764_000_000_000  # milliseconds since the epoch; the menu sorts by it, and one value keeps the tag the same
)
TRAINING = ("workflowType", "machine_learning")  # without it the page opens on tools for language models

UNCHANGED = {
    "runsExpanded": {},
    "runsPinned": [],
    "runsHidden": [],
    "runsVisibilityMap": {},
    "runsHiddenMode": "FIRST_10_RUNS",
    "viewMaximized": False,
    "runListHidden": False,
    "isAccordionReordered": False,
    "useGroupedValuesInCharts": True,
    "hideEmptyCharts": True,
    "groupBy": None,
    "groupsExpanded": {},
    "autoRefreshEnabled": True,
}
"""The default values of a view's state, which some versions do not fill in."""


@dataclass(frozen=True)
class View:
    """A saved view of the table of runs.

    Attributes:
        key: in addresses.
        title: in MLflow's menu.
        where: filter of the runs, in MLflow's search syntax.
        order_by: the column by which they are sorted, the largest value first.
        widths: the columns in their order, with pixels.
    """

    key: str
    title: str
    where: str
    order_by: str
    widths: Mapping[str, int]

    @property
    def tag(self) -> tuple[str, str]:
        """Key and value of the experiment's tag."""
        state = {
            "searchFilter": self.where,
            "orderByKey": self.order_by,
            "orderByAsc": False,
            "startTime": "ALL",
            "lifecycleFilter": "Active",
            "modelVersionFilter": "All Runs",
            "datasetsFilter": [],
            "selectedColumns": [name for name in self.widths if not name.startswith("attributes.")],
            "columnOrder": list(self.widths),
            "columnWidths": dict(self.widths),
            **UNCHANGED,
        }
        # MLflow before 3.17 reads the state from the tag itself, later versions from its field `state`.
        named = {"name": self.title, "createdAt": CREATED_AT, "state": json.dumps(state), **state}
        return f"{TAG_PREFIX}{self.key}", json.dumps(named)


def _tag(name: str) -> str:
    return f"tags.`{name}`"


def _metric(name: str) -> str:
    return f"metrics.`{name}`"


LEADERBOARD = View(
    "tsbench-leaderboard",
    "Leaderboard",
    f"{_metric(names.test('accuracy'))} >= 0",
    _metric(names.test("accuracy")),
    {
        _tag(names.DATASET): 150,
        _tag(names.CLASSIFIER): 120,
        _metric(names.test("accuracy")): 130,
        _metric(names.cv("accuracy")): 130,
        _metric("fit_seconds"): 110,
    },
)
"""Every classifier that was scored on the test cases, the most accurate first."""

TRIALS = View(
    "tsbench-trials",
    "Trials",
    f"{_tag(names.ROLE)} = 'trial'",
    _metric(names.cv("accuracy")),
    {
        _tag(names.DATASET): 150,
        _tag(names.TRIAL): 110,
        _tag(names.ORIGIN): 110,
        _metric(names.cv("accuracy")): 130,
        _tag(names.STATE): 120,
        _metric("fit_seconds"): 110,
    },
)
"""Every trial with its score, the best first."""

VIEWS = (LEADERBOARD, TRIALS)


def page_address(server: str, experiment: str | None, view: View | None = None) -> str:
    """The address of an experiment's runs on MLflow's page, or of all experiments, in the view for model training.

    Args:
        server: address of the server.
        experiment: its id.
        view: to show; the experiment must have its tag.
    """
    place = "" if experiment is None else f"/{experiment}/runs"
    query = [TRAINING, *([("viewStateShareKey", view.key)] if view is not None else [])]
    return f"{server}/#/experiments{place}?{urlencode(query)}"
