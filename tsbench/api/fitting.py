"""`tsbench.fit`: fits the best classifier for a data set or a file, without a recipe."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tsbench.errors import RecipeError, argument

if TYPE_CHECKING:
    from tsbench.api.searching import SearchResults

__all__ = ["by_argument", "fit", "recipe_of"]

_ARGUMENTS = {
    "name": "name",
    "auto.preset": "preset",
    "auto.time_limit": "time_limit",
    "datasets.0.test": "test",
    "datasets.0.label": "label",
    "datasets.0.case": "case",
    "datasets.0.time": "time",
    "datasets.0.channels": "channels",
    "datasets.0.group": "group",
    "datasets.0.split.group": "group",
    "tracking.uri": "tracking_uri",
}
"""The arguments of `fit` that are known by other names in a recipe."""


def fit(
    data: str | Path,
    *,
    test: str | Path | None = None,
    label: str | None = None,
    case: str | None = None,
    time: str | None = None,
    group: str | None = None,
    channels: Sequence[str] | None = None,
    time_limit: float | str | None = "5m",
    preset: str = "good",
    name: str | None = None,
    tracking_uri: str | None = None,
    fresh: bool = False,
    progress: bool = True,
) -> SearchResults:
    """Fits the best classifier for some data within a time limit and records it in MLflow, as `tsbench fit` does.

    Several families of classifiers are fitted and vote. `tsbench.AutoClassifier` does so for arrays, without MLflow.

    Args:
        data: a data set's name, or a file of labelled cases: .ts, .arff, .tsv, .npz, .csv or .parquet.
        test: a file of test cases; by default part of the cases are held out.
        label: a table's column of labels; by default `label`.
        case: a table's column of cases; by default `case`.
        time: a table's column of times; by default rows are in order.
        group: a table's column of groups that are never split.
        channels: a table's columns of values; by default all others that hold numbers.
        time_limit: of the fit, in seconds or as a text such as `90s`; None for no limit.
        preset: `quick`, `good` or `best`.
        name: of the MLflow experiment; by default `fit-` and the data's name.
        tracking_uri: the MLflow store; by default sqlite:///mlflow.db.
        fresh: fit again if the same call was made before.
        progress: see `tsbench.search`.

    Returns:
        The results: `model()` is the fitted vote, and `tsbench.search` with `recipe` does the same as this call.

    Raises:
        RecipeError, DataError, SearchError, TrackingError: see `tsbench.search`.

    Examples:
        >>> import tsbench
        >>> fitted = tsbench.fit("ItalyPowerDemand", preset="quick", time_limit=None, progress=False)
        >>> test = tsbench.load_dataset("ItalyPowerDemand").test
        >>> fitted.model().predict_proba(test.X).shape
        (1029, 2)
        >>> fitted.recipe.auto.preset
        'quick'
    """
    from tsbench.api.searching import search

    columns = {"label": label, "case": case, "time": time, "channels": channels}
    tree = recipe_of(
        str(data), None if test is None else str(test), columns, group, time_limit=time_limit, preset=preset, name=name
    )
    if tracking_uri is not None:
        tree["tracking"] = {"uri": tracking_uri}
    try:
        return search(tree, fresh=fresh, progress=progress)
    except RecipeError as error:
        raise RecipeError([by_argument(problem) for problem in error.problems]) from None


def by_argument(problem: str) -> str:
    """A problem of a recipe of `recipe_of`, with the name of the argument of `fit` instead of a place in the recipe."""
    found = re.fullmatch(r"(?:recipe:|.*:\d+:\d+) ([\w.]+): (.*)", problem, re.DOTALL)
    if found is None:
        return problem
    key, text = found.groups()
    if key in ("datasets.0", "datasets.0.file", "datasets.0.train"):
        return text  # which names the data
    if (keyword := _ARGUMENTS.get(re.sub(r"\.\d+$", "", key))) is None:  # of a list, the argument is the whole of it
        return problem
    option = "--" + keyword.replace("_", "-")
    return f"{argument(option, keyword)}: {text}"


def recipe_of(
    data: str,
    test: str | None,
    columns: Mapping[str, str | Sequence[str] | None],
    group: str | None,
    *,
    time_limit: float | str | None,
    preset: str,
    name: str | None,
) -> dict[str, Any]:
    """The recipe that fits `auto` to some data, as plain data; for arguments see `fit`.

    Raises:
        RecipeError: the file does not exist, or columns are given for a named data set.
    """
    given = {key: column if isinstance(column, str) else list(column) for key, column in columns.items() if column}
    entry, title = _entry(data, test, given, group)
    return {
        "name": name or f"fit-{title}",
        "datasets": [entry],
        "auto": {"preset": preset, "time_limit": time_limit},
        "baselines": [],
    }


def _entry(data: str, test: str | None, columns: Mapping[str, str | list[str]], group: str | None) -> tuple[Any, str]:
    """The entry under `datasets`, and the data set's name."""
    from tsbench.data.folders import is_file

    if not Path(data).suffix and not is_file(data):
        given = [*columns, *["group"] * bool(group), *["test"] * bool(test)]
        if given:
            given = [argument(f"--{name}", name) for name in given]
            raise RecipeError([f"{', '.join(given)}: only for files, and {data} is a data set's name"])
        return data, data
    if not is_file(data):
        raise RecipeError([f"{data}: file not found"])
    title = re.sub(r"[^A-Za-z0-9_.-]+", "-", Path(data).name.split(".")[0]).strip("-.") or "data"
    entry: dict[str, Any] = {"name": title, **columns}
    if test is not None:
        entry |= {"train": data, "test": test} | ({"group": group} if group else {})
    else:
        entry |= {"file": data} | ({"split": {"group": group}} if group else {})
    return entry, title
