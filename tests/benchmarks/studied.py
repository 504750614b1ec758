"""A search in this process alone: its queue of trials and its confirmation; and the judge of what it chose."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.benchmarks.parallel import archive
from tsbench.recipe.loading import LoadedRecipe
from tsbench.recipe.schema import HyperparameterConfig, SearchConfig
from tsbench.studies.confirming import Confirmation
from tsbench.studies.objective import CrossValidation
from tsbench.studies.portfolio import portfolio_of
from tsbench.studies.specification import EARLIER, StudySpec, study_seed
from tsbench.studies.study import Study
from tsbench.studies.trial_runner import confirm_trial
from tsbench.tracking.store import Store

__all__ = ["confirm", "cross_validations", "named_settings", "new_study"]

CONCURRENCY = 4  # `search.concurrency: auto` with one worker


@cache
def _store(uri: str) -> Store:
    return Store(uri)


def named_settings(search: SearchConfig) -> dict[str, Any]:
    """The search settings on which a record depends, without those that are as before they existed.

    So a record stands if a later version has one more setting that changes nothing unless it is given.
    """
    return {key: value for key, value in search.model_dump(mode="json").items() if EARLIER.get(key, ...) != value}


def new_study(loaded: LoadedRecipe, dataset: str, folder: Path) -> Study:
    """A study of a recipe on one data set, with an MLflow run of its own."""
    recipe = loaded.recipe
    store = _store(recipe.tracking.uri)
    experiment, identity = store.experiment(recipe.name), uuid4().hex
    spec = StudySpec(
        identity=identity,
        recipe=recipe.name,
        dataset=dataset,
        resample=0,
        base=recipe.hyperparameters,
        space=loaded.space,
        search=recipe.search,
        concurrency=CONCURRENCY,
        tracking_uri=recipe.tracking.uri,
        experiment=experiment,
        parent_run=store.begin(experiment, identity, {}),
        portfolio=portfolio_of(loaded.space, recipe.hyperparameters, recipe.search),
    )
    return Study.create(folder / identity, spec, archive().load(dataset).training_set(), identity)


def confirm(study: Study, number: int) -> tuple[float, Confirmation]:
    """CPU seconds that scoring a trial again on other folds took, and the result."""
    began = time.process_time()
    confirmation = confirm_trial(study.folder, number, "cpu")
    assert confirmation is not None
    return time.process_time() - began, confirmation


def cross_validations(
    dataset: str, settings: HyperparameterConfig, search: SearchConfig, seeds: range
) -> Iterator[CrossValidation]:
    """A configuration's cross-validation, ended, on the folds of each seed, all of them with other initial weights.

    Nothing is pruned, and folds are drawn once.
    """
    training = archive().load(dataset).training_set()
    for seed in seeds:
        plain = search.model_copy(update={"pruner": "none", "repeats": 1, "seed": seed})
        validation = CrossValidation(training, settings, plain, study_seed(plain, 0))
        validation.run()
        yield validation
