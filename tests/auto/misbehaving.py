"""Classifiers that do not behave, for the tests of `auto`."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin


class _Base(ClassifierMixin, BaseEstimator):
    def fit(self, X: Any, y: Any) -> _Base:
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X: Any) -> Any:
        return np.full((len(X), len(self.classes_)), 1 / len(self.classes_))

    def predict(self, X: Any) -> Any:
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


class Crashing(_Base):
    def fit(self, X: Any, y: Any) -> _Base:
        os.kill(os.getpid(), signal.SIGKILL)
        return self


class Hanging(_Base):
    def fit(self, X: Any, y: Any) -> _Base:
        time.sleep(3600)
        return self


class HangingInFolds(_Base):
    """Hangs if it is fitted on fewer cases than `cases`."""

    def __init__(self, cases: int) -> None:
        self.cases = cases

    def fit(self, X: Any, y: Any) -> _Base:
        if len(X) < self.cases:
            time.sleep(3600)
        return super().fit(X, y)


class CrashingInFolds(HangingInFolds):
    """Crashes if it is fitted on fewer cases than `cases`."""

    def fit(self, X: Any, y: Any) -> _Base:
        if len(X) < self.cases:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().fit(X, y)


class NotANumber(_Base):
    def predict_proba(self, X: Any) -> Any:
        return super().predict_proba(X) * np.nan


class Raising(_Base):
    def fit(self, X: Any, y: Any) -> _Base:
        raise ValueError("it does not like these cases")
