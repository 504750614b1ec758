"""InceptionTime as its authors define it: five of sktime's networks of different seeds, averaged."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin

__all__ = ["InceptionTimeEnsemble"]


class InceptionTimeEnsemble(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """The mean of several InceptionTime networks (Ismail Fawaz et al. 2020), each by sktime on torch.

    Unlike in the paper, sktime's network keeps the last epoch's weights, and its learning rate is constant.

    Args:
        members: number of networks.
        num_epochs: passes over the training cases.
        batch_size: cases in a mini-batch.
        random_state: seed of the first network; the others take the next ones.
    """

    def __init__(
        self, members: int = 5, num_epochs: int = 1500, batch_size: int = 64, random_state: int | None = None
    ) -> None:
        self.members = members
        self.num_epochs = num_epochs
        self.batch_size = batch_size
        self.random_state = random_state

    def fit(self, X: NDArray[np.floating], y: NDArray[np.str_]) -> InceptionTimeEnsemble:
        """Trains the networks one after another; X has shape (cases, channels, time steps)."""
        from sktime.classification.deep_learning.inceptiontime import InceptionTimeClassifierTorch

        self.estimators_: list[Any] = []
        for number in range(self.members):
            seed = None if self.random_state is None else self.random_state + number
            network = InceptionTimeClassifierTorch(
                num_epochs=self.num_epochs, batch_size=self.batch_size, random_state=seed
            )
            self.estimators_.append(network.fit(X, y))
        self.classes_ = np.asarray(self.estimators_[0].classes_)
        return self

    def predict_proba(self, X: NDArray[np.floating]) -> NDArray[np.float64]:
        """Shape (cases, classes)."""
        probabilities = [member.predict_proba(X) for member in self.estimators_]
        mean: NDArray[np.float64] = np.mean(probabilities, axis=0, dtype=np.float64)
        return mean

    def predict(self, X: NDArray[np.floating]) -> NDArray[np.str_]:
        """Shape (cases,)."""
        predicted: NDArray[np.str_] = self.classes_[self.predict_proba(X).argmax(axis=1)]
        return predicted
