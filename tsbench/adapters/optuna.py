"""Private names of Optuna 5.0, and what it prints."""

from __future__ import annotations

from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.storages._heartbeat import get_heartbeat_thread  # `Study.optimize` alone uses it, for trials of its own
from optuna.storages.journal._storage import JournalOperation  # the codes in a journal's lines

from tsbench.quiet import quiet

__all__ = ["CACHE_CALLS", "JournalOperation", "backend_of", "create_study", "frozen", "get_heartbeat_thread", "id_of"]

CACHE_CALLS = (
    "_create_new_trial",
    "_get_trials",
    "_set_trial_param",
    "get_trial_id_from_study_id_trial_number",
    "get_trial_number_from_id",
    "record_heartbeat",
)
"""Methods of `RDBStorage`, besides those of any storage, that Optuna's cache in front of the database calls."""


def create_study(**options: Any) -> optuna.Study:
    """`optuna.create_study`, which says nothing of it."""
    with quiet("optuna"):
        return optuna.create_study(**options)


def id_of(trial: optuna.Trial | optuna.trial.FrozenTrial) -> int:
    """A trial's id, by which storages know it; its number counts within a study alone."""
    return int(trial._trial_id)


def frozen(study: optuna.Study, trial: optuna.Trial) -> optuna.trial.FrozenTrial:
    """A running trial as a pruner takes it."""
    found: optuna.trial.FrozenTrial = study._storage.get_trial(id_of(trial))
    return found


def backend_of(storage: BaseStorage) -> Any:
    """What a journal is written by; None if the storage is another."""
    return getattr(storage, "_backend", None)
