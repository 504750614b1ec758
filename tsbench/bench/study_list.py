"""Lists studies with their state, and finds the address at which workers can join a search."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tsbench.bench.plan import folder_of
from tsbench.bench.preflight import is_held
from tsbench.errors import SearchError
from tsbench.evaluation.metrics import error_name
from tsbench.studies.study import Study
from tsbench.tracking import names
from tsbench.workers.joining import ADDRESS, Address

__all__ = ["ON_OTHER_MACHINES", "StudySummary", "find_search", "find_studies", "list_studies"]

ON_OTHER_MACHINES = (
    "a worker can join on the search's own machine only; add other machines to a Ray cluster, and search with "
    "execution.launcher: ray"
)


@dataclass(frozen=True)
class StudySummary:
    """A study as a line of a table.

    Attributes:
        recipe: name of the recipe.
        dataset: name of the data set.
        resample: number of the resample.
        state: running, complete, out of time, interrupted, no search (a recipe with `trials: 0`), or archived by
            `--fresh` or a changed recipe.
        trials: ended so far, not counting lost trials that were run again.
        budget: trials in all.
        pruned: of those ended.
        failed: of those ended.
        lost: trials whose worker died.
        metric: of the search.
        best: best CV score, None before the first complete trial.
        error: its standard error; None if it is not known.
        folder: its folder.
    """

    recipe: str
    dataset: str
    resample: int
    state: str
    trials: int
    budget: int
    pruned: int
    failed: int
    lost: int
    metric: str
    best: float | None
    error: float | None
    folder: Path


def list_studies(
    root: Path, recipe: str | None = None, report: Callable[[str], None] | None = None
) -> Iterator[StudySummary]:
    """The studies in a folder `.tsbench`, by recipe and data set.

    Args:
        root: the folder.
        recipe: only those of this recipe.
        report: called with a sentence for each study that cannot be read, and the others are listed; by default the
            first one raises.

    Raises:
        SearchError: there are none, or one cannot be read.
    """
    return _summaries(find_studies(root, recipe), report)


def find_studies(root: Path, recipe: str | None = None) -> list[Path]:
    """The folders of the studies in a folder `.tsbench`, by recipe and data set.

    Args:
        root: the folder.
        recipe: only those of this recipe.

    Raises:
        SearchError: there are none.
    """
    files = sorted(root.glob("*/*/study.json"))
    found = [file for file in files if recipe in (None, "", file.parent.parent.name)]  # a name may be a path or pattern
    if not found:
        known = sorted({file.parent.parent.name for file in files})
        hint = f"; there are studies of: {', '.join(known)}" if known else "; `tsbench search RECIPE` creates one"
        of = f" of {recipe!r}" if recipe else ""
        raise SearchError(f"{root} holds no studies{of}{hint}", exit_code=2)
    return [file.parent for file in found]


def _summaries(folders: Sequence[Path], report: Callable[[str], None] | None) -> Iterator[StudySummary]:
    for folder in folders:
        try:
            summary = _summary(folder)
        except SearchError as error:
            if report is None:
                raise
            report(str(error))
        else:
            yield summary


def _summary(folder: Path) -> StudySummary:
    study = Study.open(folder)
    study.check_trials()
    trials, budget = study.trials(), study.notes.budget
    counts, best = trials.counts(), trials.best()
    spec, ended = study.spec, counts["complete"] + counts["pruned"] + counts["fail"]
    if folder.name != folder_of(folder.parent, spec.dataset, spec.resample).name:
        state = "archived"
    elif budget and ended >= budget:
        state = "complete"
    elif is_held(folder.parent):
        state = "running"
    elif not budget:  # of its other classifiers the study knows nothing
        state = "no search"
    else:
        state = "out of time" if study.notes.timed_out is not None else "interrupted"
    return StudySummary(
        spec.recipe,
        spec.dataset,
        spec.resample,
        state,
        ended,
        budget,
        counts["pruned"],
        counts["fail"],
        counts["lost"],
        spec.search.metric,
        best.value if best else None,
        best.scores.get(error_name(names.cv(spec.search.metric))) if best else None,
        folder,
    )


def find_search(name: str, root: Path) -> Address:
    """The address at which a worker can join the search of a recipe.

    Args:
        name: of the recipe.
        root: the folder `.tsbench`.

    Raises:
        SearchError: no such search runs on this machine.
    """
    file = root / name / ADDRESS
    try:
        address = Address.read(file)
    except (ValueError, TypeError):
        raise SearchError(f"{file} is damaged; end the search of {name!r}, and start it again") from None
    except OSError:  # also of a name that is too long for a file
        raise SearchError(
            f"no search of {name!r} is running ({file.parent} has no {ADDRESS}); start it with `tsbench search`; "
            + ON_OTHER_MACHINES
        ) from None
    if address.host != socket.gethostname():
        raise SearchError(f"the search of {name!r} runs on {address.host}: {ON_OTHER_MACHINES}")
    return address
