"""The tags, metrics and roles of tsbench's MLflow runs; each name stands here once."""

from __future__ import annotations

__all__ = [
    "CLASSIFIER",
    "DATASET",
    "NETWORK",
    "REASON",
    "RECIPE",
    "RESAMPLE",
    "ROLE",
    "STATE",
    "STUDY",
    "TRIAL",
    "cv",
    "test",
]

ROLE = "tsbench.role"  # search (the parent of the others), trial, model or baseline
DATASET = "tsbench.dataset"
RESAMPLE = "tsbench.resample"
CLASSIFIER = "tsbench.classifier"
RECIPE = "tsbench.recipe"
STUDY = "tsbench.study"  # one value for every run of a study, its model and its baselines
TRIAL = "tsbench.trial"  # number of a trial in its study
STATE = "tsbench.state"  # complete, pruned, failed, skipped
REASON = "tsbench.reason"  # why a run was pruned, failed or skipped

NETWORK = "network"
"""The tuned network's name among the classifiers."""


def cv(metric: str) -> str:
    """Name of a metric's mean over the validation folds."""
    return f"cv_{metric}"


def test(metric: str) -> str:
    """Name of a metric on the test cases."""
    return f"test_{metric}"
