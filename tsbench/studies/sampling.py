"""From a search space to Optuna's suggestions, and from these to hyperparameters."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.samplers import BaseSampler
from optuna.trial import BaseTrial, FrozenTrial, Trial, TrialState

from tsbench.adapters.optuna import create_study
from tsbench.recipe.registries import SAMPLERS, registered
from tsbench.recipe.schema import HyperparameterConfig, SearchConfig
from tsbench.recipe.space import Choice, IntRange, Range, Space, assign, grid, label, leaves, offers
from tsbench.studies.pruning import Direction

__all__ = [
    "STARTUP",
    "Suggester",
    "default_parameters",
    "first_parameters",
    "former_startup",
    "hyperparameters",
    "make_sampler",
    "suggest",
]

STARTUP = 3
"""Trials with results from which `tpe` and `gp` draw by their model; before these, at random (docs/search.md)."""


def hyperparameters(trial: BaseTrial, space: Space, base: HyperparameterConfig) -> HyperparameterConfig:
    """Suggests a value for every range whose condition holds; everything else keeps the recipe's value."""
    return assign(base, suggest(trial, space, base))


def suggest(trial: BaseTrial, space: Space, base: HyperparameterConfig) -> dict[str, Any]:
    """A value for every range whose condition holds, by dotted name."""
    values: dict[str, Any] = {name: label(value) for name, value in leaves(base)}
    chosen: dict[str, Any] = {}
    for name, entry in space.items():
        if all(values[key] in wanted for key, wanted in entry.when.items()):
            chosen[name] = _suggest(trial, name, entry)
            values[name] = label(chosen[name])
    return chosen


def default_parameters(space: Space, base: HyperparameterConfig) -> dict[str, Any]:
    """The recipe's own values as Optuna's parameters, if the space offers them: the first trial."""
    values = dict(leaves(base))
    return {name: label(values[name]) for name, entry in space.items() if offers(entry, values[name])}


def first_parameters(space: Space, base: HyperparameterConfig, search: SearchConfig) -> list[dict[str, Any]]:
    """Parameters tried before the sampler draws: the recipe's `enqueue`, then its own values; or the whole grid."""
    if search.sampler == "grid":
        combinations = grid(space)
        order = np.random.default_rng(search.seed).permutation(len(combinations))
        return [combinations[index] for index in order]
    own = default_parameters(space, base)
    queued = [own | {name: label(value) for name, value in settings.items()} for settings in search.enqueue]
    return [*queued, own]


def former_startup(trials: int) -> int:
    """What `STARTUP` was in earlier versions, for a study of so many trials."""
    return min(10, max(5, trials // 4))


def make_sampler(config: SearchConfig, space: Space, seed: int, startup: int) -> BaseSampler:
    """Optuna's sampler of the configured name; see `STARTUP`."""
    with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
        sampler: BaseSampler = registered(SAMPLERS, config.sampler)(config, space, seed, startup)
    return sampler


def tpe(config: SearchConfig, space: Space, seed: int, startup: int) -> BaseSampler:
    """Tree-structured Parzen estimators of all ranges at once, conditional ones by groups."""
    return optuna.samplers.TPESampler(
        seed=seed,
        n_startup_trials=startup,
        multivariate=True,
        constant_liar=True,
        group=any(entry.when for entry in space.values()),
    )


def gaussian_process(config: SearchConfig, space: Space, seed: int, startup: int) -> BaseSampler:
    """A Gaussian process of noisy scores."""
    return optuna.samplers.GPSampler(seed=seed, n_startup_trials=startup, deterministic_objective=False)


def cma_es(config: SearchConfig, space: Space, seed: int, startup: int) -> BaseSampler:
    """CMA-ES; choices and conditional ranges, which it does not support, are drawn at random."""
    return optuna.samplers.CmaEsSampler(seed=seed, n_startup_trials=1, warn_independent_sampling=False)


def nsga_2(config: SearchConfig, space: Space, seed: int, startup: int) -> BaseSampler:
    """NSGA-II, with at least four generations."""
    return optuna.samplers.NSGAIISampler(seed=seed, population_size=max(4, min(50, config.trials // 4)))


def uniform(config: SearchConfig, space: Space, seed: int, startup: int) -> BaseSampler:
    """Uniform draws."""
    return optuna.samplers.RandomSampler(seed=seed)


STATEFUL = ("cmaes", "nsga2")
"""Samplers with state: such a study is continued by repeating all of its steps."""


class Suggester:
    """Chooses each trial's parameters by the results of the trials at least `concurrency` before it.

    Trials nearer than that count as running, whether or not they have ended; and the sampler is seeded again for each
    trial. So what trial n is given depends on the recipe alone, and not on which worker was faster, nor on
    interruptions.

    Args:
        space: the search space.
        base: the recipe's own values.
        config: sampler, metric and seed.
        directions: Optuna's word for each of the metrics.
        concurrency: see above.
        portfolio: parameters to be tried before the sampler draws.
        startup: see `STARTUP`.
    """

    def __init__(
        self,
        space: Space,
        base: HyperparameterConfig,
        config: SearchConfig,
        directions: Sequence[Direction],
        concurrency: int,
        portfolio: Sequence[dict[str, Any]] = (),
        startup: int = STARTUP,
    ) -> None:
        self._space = space
        self._base = base
        self._config = config
        self._concurrency = concurrency
        self._startup = startup
        self._mirror = create_study(directions=directions)
        self._first = [*first_parameters(space, base, config), *portfolio]
        self._asked: list[Trial] = []
        self._told: set[int] = set()

    def ready(self, finished: Sequence[bool]) -> bool:
        """Whether the next trial may be chosen now, given the states of the earlier ones."""
        return all(finished[: max(0, len(finished) + 1 - self._concurrency)])

    def suggest(self, trials: Sequence[FrozenTrial]) -> dict[str, Any]:
        """Parameters for the trial that follows the given ones.

        Args:
            trials: all trials of the study by number, with parameters; for a lost trial, its retry.
        """
        while (number := len(self._asked)) < len(trials):
            if self._config.sampler in STATEFUL:
                self._record_known(trials, number)
                # Optuna does not call the sampler for a trial with given parameters, so its state would not change.
                self._ask(trials[number].params if number < len(self._first) else None)
            else:
                self._ask(trials[number].params)
        self._record_known(trials, len(trials))
        return self._ask(self._first[len(trials)] if len(trials) < len(self._first) else None).params

    def _record_known(self, trials: Sequence[FrozenTrial], number: int) -> None:
        """Advances the mirror to the choice of trial `number`."""
        for trial in trials[: max(0, number + 1 - self._concurrency)]:
            self._tell(trial)
        seed = np.random.SeedSequence([self._config.seed, number]).generate_state(1)[0]
        self._mirror.sampler = make_sampler(self._config, self._space, int(seed), self._startup)

    def _ask(self, parameters: Mapping[str, Any] | None) -> Trial:
        if parameters is not None:
            self._mirror.enqueue_trial(dict(parameters))
        trial = self._mirror.ask()
        suggest(trial, self._space, self._base)
        self._asked.append(trial)
        return trial

    def _tell(self, trial: FrozenTrial) -> None:
        if trial.number in self._told:
            return
        self._told.add(trial.number)
        asked = self._asked[trial.number]
        if trial.state is TrialState.COMPLETE:
            self._mirror.tell(asked, trial.values)
            return
        if not self._config.trade_off:
            for step, value in sorted(trial.intermediate_values.items()):
                asked.report(value, step)
        self._mirror.tell(asked, state=trial.state)


def _suggest(trial: BaseTrial, name: str, entry: Range) -> Any:
    if isinstance(entry, Choice):
        return entry.labels[trial.suggest_categorical(name, list(entry.labels))]
    if isinstance(entry, IntRange):
        return trial.suggest_int(name, entry.low, entry.high, log=entry.log, step=entry.step)
    return trial.suggest_float(name, entry.low, entry.high, log=entry.log, step=entry.step)
