"""From a search space to Optuna's suggestions, and from these to hyperparameters."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from tsbench.recipe.schema import HyperparameterConfig, SearchConfig
from tsbench.recipe.space import Choice, FloatRange, IntRange, Range, Space, assign, label, leaves

__all__ = ["Suggester", "default_parameters", "hyperparameters", "make_sampler"]


def hyperparameters(trial: Trial, space: Space, base: HyperparameterConfig) -> HyperparameterConfig:
    """Suggests a value for every range whose condition holds; all else stays as the recipe has it."""
    values: dict[str, Any] = {name: label(value) for name, value in leaves(base)}
    chosen: dict[str, Any] = {}
    for name, entry in space.items():
        if all(values[key] in wanted for key, wanted in entry.when.items()):
            chosen[name] = _suggest(trial, name, entry)
            values[name] = label(chosen[name])
    return assign(base, chosen)


def default_parameters(space: Space, base: HyperparameterConfig) -> dict[str, Any]:
    """The recipe's own values as Optuna's parameters, where the space offers them: the first trial."""
    values = dict(leaves(base))
    return {name: label(values[name]) for name, entry in space.items() if _offers(entry, values[name])}


def make_sampler(config: SearchConfig, space: Space, seed: int) -> optuna.samplers.BaseSampler:
    """Optuna's sampler of the configured name."""
    if config.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
        return optuna.samplers.TPESampler(
            seed=seed,
            n_startup_trials=min(10, max(5, config.trials // 4)),
            multivariate=True,
            constant_liar=True,
            group=any(entry.when for entry in space.values()),
        )


class Suggester:
    """Chooses each trial's parameters by the results of the trials at least `concurrency` before it.

    Trials nearer than that count as running, whether or not they have ended; and the sampler is seeded anew for each
    trial. So what trial n is given depends on the recipe alone, and not on which worker was faster, nor on
    interruptions.

    Args:
        space: the search space.
        base: the recipe's own values.
        config: sampler, metric and seed.
        maximise: whether more of the metric is better.
        concurrency: see above.
    """

    def __init__(
        self, space: Space, base: HyperparameterConfig, config: SearchConfig, maximise: bool, concurrency: int
    ) -> None:
        self._space = space
        self._base = base
        self._config = config
        self._concurrency = concurrency
        self._mirror = optuna.create_study(direction="maximize" if maximise else "minimize")
        self._asked: list[Trial] = []
        self._told: set[int] = set()

    def ready(self, finished: Sequence[bool]) -> bool:
        """Whether the trial after those whose states are given may be chosen now."""
        return all(finished[: max(0, len(finished) + 1 - self._concurrency)])

    def suggest(self, trials: Sequence[FrozenTrial], retry: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Parameters for the trial that follows the given ones.

        Args:
            trials: all trials of the study by number, with parameters.
            retry: parameters to give out again, of a trial that was lost.
        """
        for trial in trials[len(self._asked) :]:
            self._ask(trial.params)
        for trial in trials[: max(0, len(trials) + 1 - self._concurrency)]:
            self._tell(trial)
        number = len(trials)
        given = retry if retry is not None else default_parameters(self._space, self._base) if number == 0 else None
        seed = np.random.SeedSequence([self._config.seed, number]).generate_state(1)[0]
        self._mirror.sampler = make_sampler(self._config, self._space, int(seed))
        return self._ask(given).params

    def _ask(self, parameters: Mapping[str, Any] | None) -> Trial:
        if parameters is not None:
            self._mirror.enqueue_trial(dict(parameters))
        trial = self._mirror.ask()
        hyperparameters(trial, self._space, self._base)
        self._asked.append(trial)
        return trial

    def _tell(self, trial: FrozenTrial) -> None:
        if trial.number in self._told:
            return
        self._told.add(trial.number)
        asked = self._asked[trial.number]
        if trial.state is TrialState.COMPLETE:
            self._mirror.tell(asked, trial.value)
            return
        for step, value in sorted(trial.intermediate_values.items()):
            asked.report(value, step)
        self._mirror.tell(asked, state=trial.state)


def _suggest(trial: Trial, name: str, entry: Range) -> Any:
    if isinstance(entry, Choice):
        return entry.labels[trial.suggest_categorical(name, list(entry.labels))]
    if isinstance(entry, IntRange):
        return trial.suggest_int(name, entry.low, entry.high, log=entry.log, step=entry.step)
    return trial.suggest_float(name, entry.low, entry.high, log=entry.log, step=entry.step)


def _offers(entry: Range, value: Any) -> bool:
    if isinstance(entry, Choice):
        return label(value) in entry.labels
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    inside = entry.low <= value <= entry.high
    on_grid = not entry.step or isinstance(entry, FloatRange) or (value - entry.low) % entry.step == 0
    return inside and on_grid
