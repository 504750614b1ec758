"""The tags, metrics and roles of tsbench's MLflow runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tsbench.recipe.registries import COSTS

__all__ = [
    "AUTO",
    "CANDIDATES",
    "CHOICE",
    "CLASSIFIER",
    "COSTS",
    "DATASET",
    "DESCRIPTION",
    "DEVICE",
    "HELD_OUT_PART",
    "LEADERBOARD",
    "MODEL",
    "NETWORK",
    "ORIGIN",
    "OUT_OF_FOLD",
    "PARETO",
    "PREPROCESSING",
    "PROBABILISTIC",
    "REASON",
    "RECIPE",
    "REGISTERED",
    "RESAMPLE",
    "ROLE",
    "SPLIT",
    "STATE",
    "STUDY",
    "TRIAL",
    "confirmed",
    "cv",
    "is_one_hot",
    "test",
    "title",
    "where",
]

ROLE = "tsbench.role"  # search (the parent of the others), trial, model, baseline, member (of auto) or comparison
DATASET = "tsbench.dataset"
RESAMPLE = "tsbench.resample"
CLASSIFIER = "tsbench.classifier"
SPLIT = "tsbench.split"  # the split of the scores; see tsbench.tracking.split
RECIPE = "tsbench.recipe"
STUDY = "tsbench.study"  # one value for every run of a study, its model and its baselines
TRIAL = "tsbench.trial"  # number of a trial in its study
ORIGIN = "tsbench.origin"  # of a trial's parameters: enqueue, recipe, portfolio, or the sampler's name
HELD_OUT_PART = "tsbench.held_out_part"  # number of a trial's own held-out part, which replaces the folds
STATE = "tsbench.state"  # complete, pruned, failed, skipped
CHOICE = "tsbench.choice"  # why a network has the settings of its trial
PARETO = "tsbench.pareto"  # true on trials of the Pareto front
PREPROCESSING = "tsbench.preprocessing"  # preprocessing of cases that a baseline could not take unchanged
REASON = "tsbench.reason"  # why a run was pruned, failed or skipped
DEVICE = "tsbench.device"  # the processor or GPU in words
MODEL = "tsbench.model"  # of a baseline: logged, or the reason why not
REGISTERED = "tsbench.registered_model"  # name and version in MLflow's registry
DESCRIPTION = "mlflow.note.content"  # Markdown that MLflow's page shows on top of a run

LEADERBOARD = "leaderboard.csv"
CANDIDATES = "candidates.json"
"""Artifact: of a search, its classifiers; of `auto`, the ensemble and every member that was tried."""

OUT_OF_FOLD = "out_of_fold.npz"
"""Artifact of a run: the probabilities of the training cases by fits without them."""

NETWORK, AUTO = "network", "auto"
"""The tuned network's name among the classifiers, and that of the ensemble over families."""


def title(tags: Mapping[str, Any]) -> str:
    """The name of a run's data set and resample."""
    dataset, resample = str(tags[DATASET]), int(tags[RESAMPLE])
    return dataset if resample == 0 else f"{dataset} resample {resample}"


_RIDGE_CLASSIFIERS = frozenset(
    f"{name}Classifier" for name in ("Rocket", "MiniRocket", "MultiRocket", "Hydra", "MultiRocketHydra", "RDST")
) | {"WEASEL_V2"}


def is_one_hot(tags: Mapping[str, str], params: Mapping[str, str]) -> bool:
    """Whether a run is of a ridge classifier by a version of tsbench with one-hot probabilities.

    Metrics of such probabilities (`log_loss`, `roc_auc`) are meaningless.
    """
    path = params.get("baseline.classifier", "")
    ours = path.startswith("aeon.") and path.rpartition(".")[2] in _RIDGE_CLASSIFIERS
    return tags.get(ROLE) == "baseline" and tags.get(STATE) == "complete" and MODEL not in tags and ours


PROBABILISTIC = ("log_loss", "roc_auc")
"""Metrics of probabilities, not of predicted labels."""


def where(tags: Mapping[str, Any], unlike: Mapping[str, Any] | None = None, status: str = "") -> str:
    """A condition on runs in MLflow's search syntax.

    Args:
        tags: what the tags must be.
        unlike: what tags must not be; a run without the tag is not found either.
        status: what the run's status must be, such as `FINISHED`; empty for any.
    """
    clauses = [f"tags.`{name}` = '{value}'" for name, value in tags.items()]
    clauses += [f"tags.`{name}` != '{value}'" for name, value in (unlike or {}).items()]
    return " and ".join(clauses + ([f"attributes.status = '{status}'"] if status else []))


def cv(metric: str) -> str:
    """Name of a metric's mean over the validation folds."""
    return metric if metric in COSTS else f"cv_{metric}"


def confirmed(metric: str) -> str:
    """Name of a metric's mean over the other folds on which the best trials are scored again."""
    return f"other_folds_{metric}"


def test(metric: str) -> str:
    """Name of a metric on the test cases."""
    return f"test_{metric}"
