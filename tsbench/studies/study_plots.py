"""Optuna's own plots of a study."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState

from tsbench.adapters.optuna import create_study
from tsbench.studies.study import Study

__all__ = ["draw_study"]


def draw_study(study: Study, folder: Path) -> list[str]:
    """Writes Optuna's plots of a study's trials as PNGs, and returns their names.

    They are the optimisation history, and if at least two trials with different settings were completed, also
    the importance of the settings (PED-ANOVA, Watanabe et al. 2023) and their parallel coordinates.

    Args:
        study: the study.
        folder: for the plots.
    """
    from optuna.visualization import matplotlib as plots

    metric = f"cv {study.spec.search.metric.replace('_', ' ')}"
    shown = _finished(study)
    complete = [trial for trial in shown.get_trials(deepcopy=False) if trial.state is TrialState.COMPLETE]
    if not complete:
        return []
    pictures: dict[str, Callable[[], Any]] = {
        "optimisation_history": lambda: plots.plot_optimization_history(shown, target_name=metric)
    }
    varied = {name for trial in complete for name in trial.params if len({t.params.get(name) for t in complete}) > 1}
    if varied:
        pictures["hyperparameter_importances"] = lambda: plots.plot_param_importances(shown, target_name=metric)
        pictures["parallel_coordinates"] = lambda: plots.plot_parallel_coordinate(
            shown, sorted(varied), target_name=metric
        )
    for name, plot in pictures.items():
        with _style():
            figure = plot().get_figure()
            if name == "parallel_coordinates":
                figure.set_size_inches(max(6.4, 1.9 * (1 + len(varied))), 4.8)
            figure.savefig(folder / f"{name}.png", dpi=110, bbox_inches="tight")
    return [f"{name}.png" for name in pictures]


def _finished(study: Study) -> optuna.Study:
    """A copy of the study in memory, with its first metric only and without lost and running trials."""
    copy = create_study(direction=study.spec.directions[0])
    for trial in study.trials():
        if trial.state in (TrialState.COMPLETE, TrialState.PRUNED):
            copy.add_trial(
                optuna.trial.create_trial(
                    state=trial.state,
                    value=trial.values[0] if trial.values else None,
                    params=trial.params,
                    distributions=trial.distributions,
                    user_attrs=trial.user_attrs,
                    intermediate_values=trial.intermediate_values,
                )
            )
    return copy


@contextmanager
def _style() -> Iterator[None]:
    """Restores the style: Optuna draws on pyplot's current figure and sets a style for the whole process."""
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    with mpl.rc_context(), warnings.catch_warnings(action="ignore"):
        try:
            yield
        finally:
            plt.close("all")
