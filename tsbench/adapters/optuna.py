"""Private names of Optuna 5.0, and its log output."""

from __future__ import annotations

from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.storages._heartbeat import get_heartbeat_thread  # used only by `Study.optimize`
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
    """`optuna.create_study` without its log message."""
    with quiet("optuna"):
        return optuna.create_study(**options)


def id_of(trial: optuna.Trial | optuna.trial.FrozenTrial) -> int:
    """A trial's id in the storage; its number counts within a study only."""
    return int(trial._trial_id)


def frozen(study: optuna.Study, trial: optuna.Trial) -> optuna.trial.FrozenTrial:
    """A running trial in the form that a pruner takes."""
    found: optuna.trial.FrozenTrial = study._storage.get_trial(id_of(trial))
    return found


def backend_of(storage: BaseStorage) -> Any:
    """The backend of a journal; None for another kind of storage."""
    return getattr(storage, "_backend", None)
