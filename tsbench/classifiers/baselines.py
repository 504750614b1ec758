"""The baselines by name: aeon's and sktime's classifiers, imported when they are made.

Importing this module costs nothing, so that a recipe's names can be checked without importing aeon.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tsbench.data.collection import Collection

__all__ = ["BASELINES", "Baseline", "FittedBaseline", "fit_baseline", "warm_up"]


@dataclass(frozen=True)
class Baseline:
    """A registered classifier.

    Attributes:
        path: import path of its class, which follows scikit-learn's conventions.
        parameters: of its constructor.
        seeded: whether the constructor takes a `random_state`.
        unequal_length: whether it takes cases of different lengths.
        missing_values: whether it takes cases with missing values.
        compiled: whether numba compiles it at its first fit, which `warm_up` keeps out of the measured seconds.
    """

    path: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    seeded: bool = True
    unequal_length: bool = False
    missing_values: bool = False
    compiled: bool = True

    def make(self, seed: int) -> Any:
        """An unfitted classifier."""
        module, _, name = self.path.rpartition(".")
        parameters = {**self.parameters, **({"random_state": seed} if self.seeded else {})}
        return getattr(import_module(module), name)(**parameters)

    def refuses(self, *collections: Collection) -> str | None:
        """Why the classifier cannot be fitted and scored on these collections; None where it can."""
        lengths = {int(length) for cases in collections for length in cases.lengths}
        if not self.unequal_length and len(lengths) > 1:
            return "it takes cases of one length only, and these have several"
        if not self.missing_values and any(cases.missing_values for cases in collections):
            return "it takes no missing values, and these have some"
        return None


BASELINES: dict[str, Baseline] = {
    "dummy": Baseline(
        "aeon.classification.dummy.DummyClassifier", unequal_length=True, missing_values=True, compiled=False
    ),
    "1nn-dtw": Baseline(
        "aeon.classification.distance_based.KNeighborsTimeSeriesClassifier",
        {"distance": "dtw", "n_neighbors": 1},
        seeded=False,
        unequal_length=True,
    ),
    "minirocket": Baseline("aeon.classification.convolution_based.MiniRocketClassifier"),
}


@dataclass(frozen=True)
class FittedBaseline:
    """A fitted classifier, with its labels and the seconds that fitting took."""

    classifier: Any
    classes: NDArray[np.str_]
    fit_seconds: float

    def predict_proba(self, cases: Collection) -> NDArray[np.float64]:
        """Class probabilities, shape (cases, classes); of a classifier without them, 1 for its prediction."""
        import numpy as np

        return np.asarray(self.classifier.predict_proba(_series(cases)), dtype=np.float64)


def fit_baseline(name: str, cases: Collection, seed: int) -> FittedBaseline:
    """Fits a registered classifier on all of the cases; NumPy's global generator is left as it was."""
    import numpy as np

    classifier = BASELINES[name].make(seed)
    series, state = _series(cases), np.random.get_state()
    started = time.perf_counter()
    classifier.fit(series, cases.labels)
    seconds = time.perf_counter() - started
    np.random.set_state(state)  # aeon's MiniROCKET seeds it
    return FittedBaseline(classifier, np.asarray(classifier.classes_), seconds)


def warm_up(name: str, cases: Collection) -> None:
    """Lets numba compile a classifier's code for cases like these, on two made-up cases of each of two classes."""
    import numpy as np

    from tsbench.data.collection import Collection

    baseline = BASELINES[name]
    if not baseline.compiled:
        return
    values = np.random.default_rng(0).normal(size=(4, cases.channels, cases.length))
    steps = np.full(4, cases.length, dtype=np.int64)
    if not cases.equal_length:
        steps[0] -= 1
    small = Collection(values, steps, np.array(["a", "a", "b", "b"]))
    fit_baseline(name, small, seed=0).predict_proba(small)


def _series(cases: Collection) -> Any:
    """What aeon takes: one array where all lengths are equal, else a list of arrays of shape (channels, steps)."""
    return cases.values if cases.equal_length else cases.cases()
