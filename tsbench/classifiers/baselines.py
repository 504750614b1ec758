"""The baselines: aeon's and sktime's classifiers by name, any other by its import path, imported when they are made.

Importing this module costs nothing, so that a recipe's names can be checked without importing aeon.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from tsbench.recipe.sentences import suggestion

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tsbench.data.collection import Collection

__all__ = ["BASELINES", "Baseline", "FittedBaseline", "find_baseline", "fit_baseline", "problem_with", "warm_up"]

Cost = Literal["instant", "seconds", "minutes", "hours", "unknown"]
"""What fitting costs on one core on a data set of a few hundred cases and time steps."""


@dataclass(frozen=True)
class Baseline:
    """A classifier to compare with, and what it can take.

    Attributes:
        path: import path of its class, which follows scikit-learn's conventions.
        parameters: of its constructor.
        seeded: whether the constructor takes a `random_state`.
        multivariate: whether it takes cases of several channels.
        unequal_length: whether it takes cases of different lengths.
        missing_values: whether it takes cases with missing values.
        gpu: whether it uses a GPU where there is one.
        cost: of fitting.
        compiled: whether numba compiles it at its first fit, which `warm_up` keeps out of the measured seconds.
    """

    path: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    seeded: bool = True
    multivariate: bool = True
    unequal_length: bool = False
    missing_values: bool = False
    gpu: bool = False
    cost: Cost = "seconds"
    compiled: bool = True

    def make(self, seed: int) -> Any:
        """An unfitted classifier."""
        return _load(self.path)(**{**({"random_state": seed} if self.seeded else {}), **self.parameters})

    def refuses(self, *collections: Collection) -> str | None:
        """Why the classifier cannot be fitted and scored on these collections; None where it can."""
        lengths = {int(length) for cases in collections for length in cases.lengths}
        channels = max(cases.channels for cases in collections)
        if not self.multivariate and channels > 1:
            return f"it takes series of one channel only, and these have {channels}"
        if not self.unequal_length and len(lengths) > 1:
            return "it takes cases of one length only, and these have several"
        if not self.missing_values and any(cases.missing_values for cases in collections):
            return "it takes no missing values, and these have some"
        return None


_CONVOLUTION = "aeon.classification.convolution_based"
_NEIGHBOURS = "aeon.classification.distance_based.KNeighborsTimeSeriesClassifier"

BASELINES: dict[str, Baseline] = {
    "dummy": Baseline(
        "aeon.classification.dummy.DummyClassifier",
        unequal_length=True,
        missing_values=True,
        cost="instant",
        compiled=False,
    ),
    "1nn-ed": Baseline(
        _NEIGHBOURS, {"distance": "euclidean", "n_neighbors": 1}, seeded=False, unequal_length=False, cost="instant"
    ),
    "1nn-dtw": Baseline(_NEIGHBOURS, {"distance": "dtw", "n_neighbors": 1}, seeded=False, unequal_length=True),
    "rocket": Baseline(f"{_CONVOLUTION}.RocketClassifier"),
    "minirocket": Baseline(f"{_CONVOLUTION}.MiniRocketClassifier"),
    "multirocket": Baseline(f"{_CONVOLUTION}.MultiRocketClassifier"),
    "hydra": Baseline(f"{_CONVOLUTION}.HydraClassifier", compiled=False),
    "multirocket-hydra": Baseline(f"{_CONVOLUTION}.MultiRocketHydraClassifier"),
    "quant": Baseline("aeon.classification.interval_based.QUANTClassifier", compiled=False),
    "rdst": Baseline("aeon.classification.shapelet_based.RDSTClassifier", unequal_length=True),
    "weasel2": Baseline("aeon.classification.dictionary_based.WEASEL_V2", multivariate=False),
    "inceptiontime": Baseline("tsbench.classifiers.deep.InceptionTimeEnsemble", cost="hours", compiled=False),
    "lstm-fcn": Baseline(
        "sktime.classification.deep_learning.lstmfcn.LSTMFCNClassifierTorch", cost="hours", compiled=False
    ),
}


def find_baseline(classifier: str, parameters: Mapping[str, Any] | None = None) -> Baseline:
    """A registered baseline by its name, or any classifier by its import path, with parameters over its defaults.

    What a classifier of sktime or aeon can take is read from its tags, which may depend on its parameters; another is
    taken to take anything.

    Raises:
        KeyError: neither a registered name nor an import path.
        ImportError: the module is not there, or lacks what it imports.
        AttributeError: the module has no such class.
        TypeError: the class does not take the parameters.
    """
    if classifier in BASELINES:
        known = BASELINES[classifier]
        return replace(known, parameters={**known.parameters, **(parameters or {})})
    if "." not in classifier:
        raise KeyError(classifier)
    made = _load(classifier)
    tag = getattr(made(**(parameters or {})), "get_tag", None)

    def can(capability: str) -> bool:
        return (
            True if tag is None else bool(tag(f"capability:{capability}", tag_value_default=False, raise_error=False))
        )

    return Baseline(
        classifier,
        dict(parameters or {}),
        "random_state" in _parameters(made),
        can("multivariate"),
        can("unequal_length"),
        can("missing_values"),
        cost="unknown",
    )


def problem_with(classifier: str, parameters: Mapping[str, Any]) -> str | None:
    """What is wrong with a recipe's baseline, in words; None where it can be made.

    A registered name without parameters is not imported.
    """
    if classifier in BASELINES and not parameters:
        return None
    if classifier not in BASELINES and "." not in classifier:
        hint = suggestion(classifier, BASELINES) or f"; known: {', '.join(sorted(BASELINES))}"
        return f"unknown baseline {classifier!r}{hint}, or an import path such as sktime.classification...."
    try:
        made = _load(BASELINES[classifier].path if classifier in BASELINES else classifier)
    except (ImportError, AttributeError) as error:
        return f"cannot be imported: {error}"
    if not (isinstance(made, type) and hasattr(made, "fit") and hasattr(made, "predict")):
        return f"{classifier} is no classifier: it has no fit and predict"
    known = _parameters(made)
    unknown = [name for name in parameters if name not in known]
    if unknown:
        hint = suggestion(unknown[0], known) or f"; known: {', '.join(known)}"
        return f"{made.__name__} has no parameter {unknown[0]!r}{hint}"
    return None


def _load(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


def _parameters(made: Any) -> list[str]:
    return [name for name in inspect.signature(made).parameters if name != "self"]


@dataclass(frozen=True)
class FittedBaseline:
    """A fitted classifier, with its labels and the seconds that fitting took."""

    baseline: Baseline
    classifier: Any
    classes: NDArray[np.str_]
    fit_seconds: float

    def predict_proba(self, cases: Collection) -> NDArray[np.float64]:
        """Class probabilities, shape (cases, classes); of a classifier without them, 1 for its prediction."""
        import numpy as np

        series = _series(self.baseline, cases)
        if hasattr(self.classifier, "predict_proba"):
            return np.asarray(self.classifier.predict_proba(series), dtype=np.float64)
        return np.asarray(np.asarray(self.classifier.predict(series))[:, None] == self.classes, dtype=np.float64)


def fit_baseline(baseline: Baseline, cases: Collection, seed: int) -> FittedBaseline:
    """Fits a classifier on all of the cases; NumPy's global generator is left as it was."""
    import numpy as np

    classifier = baseline.make(seed)
    series, state = _series(baseline, cases), np.random.get_state()
    started = time.perf_counter()
    classifier.fit(series, cases.labels)
    seconds = time.perf_counter() - started
    np.random.set_state(state)  # aeon's MiniROCKET seeds it
    return FittedBaseline(baseline, classifier, np.asarray(classifier.classes_), seconds)


def warm_up(baseline: Baseline, cases: Collection) -> None:
    """Lets numba compile a classifier's code for cases like these, on five made-up cases of each of two classes."""
    import numpy as np

    from tsbench.data.collection import Collection

    if not baseline.compiled:
        return
    generator = np.random.default_rng(0)
    values = generator.normal(size=(10, cases.channels, cases.length))
    steps = np.full(10, cases.length, dtype=np.int64)
    if not cases.equal_length:
        steps[0] = int(cases.lengths.min())
        values[0, :, steps[0] :] = 0.0
    small = Collection(values, steps, np.array(["a", "b"] * 5))
    fit_baseline(baseline, small, seed=0).predict_proba(small)


def _series(baseline: Baseline, cases: Collection) -> Any:
    """One array where all lengths are equal; else a list of what the classifier's library takes, one for each case."""
    if cases.equal_length:
        return cases.values
    if not baseline.path.startswith("sktime."):
        import numpy as np

        return [np.ascontiguousarray(case) for case in cases.cases()]  # numba takes no list of several memory layouts
    import pandas as pd

    return [pd.DataFrame(case.T) for case in cases.cases()]
