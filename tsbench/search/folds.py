"""The folds that trials and baselines are scored on, and the seeds that follow from a recipe's."""

from __future__ import annotations

import numpy as np

from tsbench.data.collection import TrainingSet
from tsbench.evaluation.resampling import Fold, fraction_of, held_out_fold, stratified_folds
from tsbench.recipe.schema import SearchConfig

__all__ = ["derive_seed", "folds_of", "study_seed"]


def derive_seed(*parts: int) -> int:
    """A seed for each tuple of numbers, spread evenly (NumPy's SeedSequence)."""
    # The count goes in too: SeedSequence takes (1,) and (1, 0) for the same.
    return int(np.random.SeedSequence([len(parts), *parts]).generate_state(1)[0])


def study_seed(search: SearchConfig, resample: int) -> int:
    """Seed of a study's folds and networks, another for each resample."""
    return derive_seed(search.seed, resample)


def folds_of(training: TrainingSet, search: SearchConfig, seed: int) -> list[Fold]:
    """The folds that every trial of a study, and every baseline beside it, is scored on.

    They index all training cases; with `search.fraction` they hold a share of them, and above `search.holdout_above`
    there is a single one.
    """
    labels, groups = training.cases.labels, training.cases.groups
    seed = derive_seed(seed, 0)
    chosen = fraction_of(labels, search.fraction, seed, groups)
    labels, groups = labels[chosen], None if groups is None else groups[chosen]
    if len(chosen) > search.holdout_above:
        folds = held_out_fold(labels, search.holdout_share, seed, groups)
    else:
        folds = stratified_folds(labels, search.folds, seed, groups)
    return [(chosen[train], chosen[validation]) for train, validation in folds]
