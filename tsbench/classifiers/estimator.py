"""The network as an sktime classifier."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.utils import check_random_state

from tsbench.adapters.sktime import converted
from tsbench.classifiers.ensemble import NetworkEnsemble
from tsbench.classifiers.explanation import Explanation, draw, explain
from tsbench.classifiers.series_classifier import SeriesClassifier, collection_of, device_of, whole_number
from tsbench.data.collection import Collection
from tsbench.recipe.dotted import hyperparameters_of
from tsbench.recipe.plain import plain

__all__ = ["NetworkClassifier"]


class NetworkClassifier(SeriesClassifier):
    """An ensemble of networks that differ in their seed, their class probabilities averaged.

    Takes series of one or several channels, of equal or unequal length, with or without missing values (NaN). Channels
    of data frames are taken by name, in any order; those of arrays by their position.

    Args:
        config: settings by the dotted names of a recipe, such as `{"model.encoder.type": "lstm",
            "training.epochs": 50}`, or nested groups of them; `tsbench schema` prints all, and docs/network.md says
            what they do. None for the defaults. NumPy's numbers count as Python's, here and below.
        ensemble: number of networks.
        device: `auto` (a GPU if there is one), `cpu`, `cuda` or `cuda:N`.
        n_jobs: processes of one torch thread each, in which networks are trained side by side on the CPU; None trains
            them one after the other in this process.
        random_state: of the networks' seeds; the same number gives the same bits on the same CPU, also beside other
            threads. As in scikit-learn, a `RandomState` is drawn from, and None draws from NumPy's global generator;
            nothing else reads or changes NumPy's, Python's or torch's global generators.

    Attributes:
        ensemble_: the fitted `NetworkEnsemble`.

    Examples:
        >>> from sktime.datasets import load_unit_test
        >>> from tsbench import NetworkClassifier
        >>> X, y = load_unit_test(split="train")
        >>> classifier = NetworkClassifier({"training.epochs": 10}, ensemble=2).fit(X, y)
        >>> classifier.predict_proba(X).shape
        (20, 2)
    """

    ATTRIBUTE: ClassVar[str] = "ensemble_"
    FOLDER: ClassVar[str] = "ensemble"

    def __init__(
        self,
        config: Mapping[str, Any] | None = None,
        ensemble: int = 3,
        device: str = "auto",
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.config = config
        self.ensemble = ensemble
        self.device = device
        self.n_jobs = n_jobs
        self.random_state = random_state
        super().__init__()

    def _fit_classifier(self, cases: Collection) -> NetworkEnsemble:
        hyperparameters = hyperparameters_of(self.config)
        members = whole_number("ensemble", self.ensemble)
        if members < 1:
            raise ValueError(f"ensemble must be at least 1, got {members}")
        device = device_of(self.device)
        seeds = check_random_state(plain(self.random_state)).randint(2**31 - 1, size=members).tolist()
        if self.n_jobs is None or device != "cpu":
            fitted = [NetworkEnsemble.fit(cases, hyperparameters, [seed], device) for seed in seeds]
        else:
            from joblib import Parallel, delayed

            alone, home = delayed(_fit_alone), os.getpid()
            fitted = Parallel(whole_number("n_jobs", self.n_jobs))(
                alone(cases, hyperparameters, seed, home) for seed in seeds
            )
        fitted[0].members = [network.members[0] for network in fitted]
        ensemble: NetworkEnsemble = fitted[0]
        return ensemble

    def explain(self, X: Any) -> Explanation:
        """The networks' attention and the positions of the pooled maxima, on time steps.

        Args:
            X: as for `predict`; a few chosen cases, as attention weights are of steps by steps.

        Raises:
            ValueError: there are no networks, as the training cases were all of one class.
        """
        cases = self._explained_cases(X)
        explanation = explain(self.ensemble_, cases)
        return replace(explanation, predictions=self.classes_[explanation.predictions.astype(int)])

    def draw_explanation(self, X: Any, case: int, path: str | Path) -> None:
        """Writes a PNG of one case: the series over its attention, and below it the positions of the pooled maxima.

        Args:
            X: as for `predict`.
            case: number of the case, from 0.
            path: the file.
        """
        cases = self._explained_cases(X).subset(np.array([case]))
        explanation = explain(self.ensemble_, cases)
        predictions = self.classes_[explanation.predictions.astype(int)]
        draw(replace(explanation, predictions=predictions), cases, 0, path, f"case {case}")

    def _explained_cases(self, X: Any) -> Collection:
        self.check_is_fitted()
        if not hasattr(self, "ensemble_"):
            raise ValueError(
                "there is nothing to explain: all training cases were of one class, so no network was trained"
            )
        cases = collection_of(converted(self, X), known=self.ensemble_.columns)
        self._warn_of_short(cases)
        return cases

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        """Settings with which sktime's tests are quick."""
        small = {
            "model.convolution.channels": 4,
            "model.features.size": 84,
            "training.epochs": 3,
            "training.min_steps": 0,
        }
        recurrent = {**small, "model.preset": "classic", "model.encoder.hidden_size": 4, "model.head.hidden_sizes": [8]}
        return [{"config": small, "ensemble": 2}, {"config": recurrent, "ensemble": 1, "random_state": 7}]


def _fit_alone(cases: Collection, hyperparameters: Any, seed: int, home: int) -> NetworkEnsemble:
    """One network: on one thread in a worker process, with the threads that torch has in the process `home` itself.

    joblib runs tasks in the calling process if there is one job, below another task, and if the user asks for threads.
    """
    if os.getpid() == home:
        return NetworkEnsemble.fit(cases, hyperparameters, [seed], "cpu")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return NetworkEnsemble.fit(cases, hyperparameters, [seed], "cpu")
    finally:
        torch.set_num_threads(before)  # joblib reuses the process for other tasks
