"""Baselines after `fit`: how they are fitted, what they predict, and their files."""

from __future__ import annotations

import random
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsbench.classifiers.baselines import Baseline
from tsbench.classifiers.contract import Facts, FittedClassifier, OutOfFold
from tsbench.classifiers.files import intact, kind_of, read_description, write_description
from tsbench.classifiers.ridge_families import ridge_on_features
from tsbench.classifiers.trusted import NotSavableError, read_object, write_object
from tsbench.data.adaptation import Adaptation
from tsbench.data.collection import Collection
from tsbench.errors import ModelError
from tsbench.quiet import environment
from tsbench.recipe.plain import plain
from tsbench.recipe.schema import BaselinePreprocessingConfig

__all__ = ["FittedBaseline", "fit", "packages_of", "warm_up"]

OBJECT, PROBE = "classifier.skops", "probe.npz"

PROBED = 8
"""Training cases whose probabilities are kept with a saved baseline."""


@dataclass
class FittedBaseline(FittedClassifier):
    """A classifier of aeon, sktime or another library after `fit`.

    Attributes:
        baseline: its specification.
        classifier: the fitted object.
        classes: shape (classes,), its labels.
        fit_seconds: of the fit, including the adaptation of the training cases.
        training: facts about the training cases.
        probe: a few training cases, by which a saved classifier is compared with this one.
        adaptation: applied to every case first; None if cases are used unchanged.
        out_of_fold: of a ridge classifier, see `RidgeHead`.
        package_versions: of the libraries that the object is of, by the name of their distribution.
    """

    baseline: Baseline
    classifier: Any
    classes: NDArray[np.str_]
    fit_seconds: float
    training: Facts
    probe: Collection
    adaptation: Adaptation | None = None
    out_of_fold: OutOfFold | None = None
    package_versions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.channels, self.columns = self.training.channels, self.training.columns
        self.shortest, self.longest = self.training.shortest, self.training.longest
        self.missing_values = self.training.missing_values

    @property
    def _takes_any_length(self) -> bool:
        return self.baseline.unequal_length or (self.adaptation is not None and self.adaptation.length > 0)

    @property
    def shortest_allowed(self) -> int:
        """As for any classifier if it takes several lengths; otherwise the length of the training cases."""
        if not self._takes_any_length:
            return self.shortest
        return max(super().shortest_allowed, self.baseline.min_length if self.adaptation is None else 1)

    @property
    def longest_allowed(self) -> int | None:
        """The length of the training cases, if it takes no other."""
        return None if self._takes_any_length else self.longest

    def predict_proba(self, cases: Collection) -> NDArray[np.float64]:
        """Class probabilities, shape (cases, classes); of a classifier without them, 1 for its prediction."""
        series = _series(self.baseline, self.adaptation.apply(cases) if self.adaptation else cases)
        # aeon warns about its own intermediate values, about which a user can do nothing.
        with _host_unchanged(), _offline(self.baseline), warnings.catch_warnings(action="ignore", category=UserWarning):
            if hasattr(self.classifier, "predict_proba"):
                return np.asarray(self.classifier.predict_proba(series), dtype=np.float64)
            predicted = np.asarray(self.classifier.predict(series))
        return np.asarray(predicted[:, None] == self.classes, dtype=np.float64)

    def summary(self) -> str:
        """The class and the version of its library."""
        library, name = self.baseline.path.partition(".")[0], self.baseline.path.rpartition(".")[2]
        distribution = {"sklearn": "scikit-learn"}.get(library, library)
        version_here = self.package_versions.get(distribution, "")
        return f"{name} of {distribution} {version_here}".rstrip()

    def save(self, folder: Path) -> None:
        """Writes the object by skops, its description, and a few cases with their probabilities; no code is pickled.

        Raises:
            ModelError: the object cannot be saved without pickling code, or differs after loading.
        """
        folder.mkdir(parents=True, exist_ok=True)
        probabilities = self.predict_proba(self.probe)
        try:
            write_object(self.classifier, folder / OBJECT)
        except NotSavableError as error:
            raise ModelError(f"{self.baseline.path} cannot be saved without pickling code: {error}") from None
        probe = self.probe
        np.savez(folder / PROBE, values=probe.values, lengths=probe.lengths, probabilities=probabilities)
        write_description(folder, "baseline", self._description(), [OBJECT, PROBE])
        again = FittedBaseline.load(folder).predict_proba(probe)
        if not np.array_equal(again, probabilities, equal_nan=True):
            raise ModelError(f"{self.baseline.path} cannot be saved: it predicts differently after it was loaded again")

    @classmethod
    def load(cls, folder: Path) -> FittedBaseline:
        """Reads what `save` wrote.

        If the libraries are of other versions than those that fitted the classifier, its probabilities of the cases
        kept with it are computed again and compared.

        Raises:
            ModelError: there is no baseline in the folder, its files are damaged or of a newer format, or it predicts
                otherwise with the versions that are installed.
        """
        about = read_description(folder)
        if kind_of(about) != "baseline":
            raise ModelError(f"{folder} holds a {kind_of(about)}, not a baseline")
        with intact(folder):
            fitted = cls._restored(about, folder)
            with np.load(folder / PROBE, allow_pickle=False) as kept:
                labels = np.full(len(kept["values"]), "")
                fitted.probe = Collection(kept["values"], kept["lengths"], labels)
                probabilities = kept["probabilities"]
        here = packages_of(fitted.baseline.path)
        if here != fitted.package_versions:
            _compare(fitted, probabilities, here, folder)
        return fitted

    @classmethod
    def _restored(cls, about: Mapping[str, Any], folder: Path) -> FittedBaseline:
        try:
            classifier = read_object(folder / OBJECT)
        except NotSavableError as error:
            raise ModelError(f"{folder} is not loaded: {error}") from None
        except ImportError as error:
            raise ModelError(f"{folder} needs a package that is not installed: {error}", exit_code=1) from None
        kept = about["adaptation"]
        return cls(
            Baseline(**about["baseline"]),
            classifier,
            np.array(about["classes"], dtype=np.str_),
            float(about["fit_seconds"]),
            Facts.from_json(about["facts"]),
            Collection(np.zeros((0, 1, 1)), np.zeros(0, dtype=np.int64), np.zeros(0, dtype="<U1")),
            None
            if kept is None
            else Adaptation(
                BaselinePreprocessingConfig.model_validate(kept["config"]), kept["length"], np.array(kept["mean"])
            ),
            package_versions=dict(about["packages"]),
        )

    def _description(self) -> dict[str, Any]:
        adaptation = self.adaptation
        return {
            "baseline": plain(asdict(self.baseline)),
            "classes": [str(name) for name in self.classes],
            "fit_seconds": self.fit_seconds,
            "facts": self.training.to_json(),
            "adaptation": None
            if adaptation is None
            else {
                "config": adaptation.config.model_dump(mode="json"),
                "length": adaptation.length,
                "mean": adaptation.mean.tolist(),
            },
            "packages": dict(self.package_versions),
        }


def _compare(fitted: FittedBaseline, probabilities: NDArray[np.float64], here: Mapping[str, str], folder: Path) -> None:
    """Refuses a classifier that predicts differently with other versions of its libraries."""
    try:
        again = fitted.predict_proba(fitted.probe)
        agrees = np.allclose(again, probabilities, rtol=1e-6, atol=1e-9, equal_nan=True)
    except Exception:  # another version of a library may lack any attribute
        agrees = False
    if not agrees:
        then = ", ".join(f"{name} {text}" for name, text in fitted.package_versions.items())
        now = ", ".join(f"{name} {text}" for name, text in here.items())
        raise ModelError(
            f"{folder}: the classifier was fitted with {then}, and does not predict the same with {now}; install the "
            "versions that it was fitted with"
        )


def packages_of(path: str, *others: str) -> dict[str, str]:
    """Versions of the distributions whose objects a classifier may consist of, by its import path, and of others."""
    package = path.partition(".")[0]
    # tsbench's own classifier consists of sktime's.
    own = {"aeon": "aeon", "sktime": "sktime", "tsbench": "sktime"}.get(package)
    found = {}
    for name in (own, "scikit-learn", *others):
        if name is not None:
            with suppress(PackageNotFoundError):
                found[name] = version(name)
    return found


def fit(
    baseline: Baseline, cases: Collection, seed: int, preprocessing: BaselinePreprocessingConfig | None
) -> FittedBaseline:
    """See `Baseline.fit`."""
    facts = Facts.of(cases)
    probe = cases.subset(np.sort(np.unique(cases.labels, return_index=True)[1][:PROBED]))
    adaptation = None
    started = time.perf_counter()
    if preprocessing is not None:
        adaptation = Adaptation.fit(cases, preprocessing)
        cases = adaptation.apply(cases)
    adapted = time.perf_counter() - started
    series, out_of_fold = _series(baseline, cases), None
    with _host_unchanged(), _offline(baseline):
        if not baseline.seeded:
            _seed_global_generators(seed)
        # aeon's classifiers refuse one class; sktime's networks seed torch's generator as soon as they are made.
        classifier: Any = baseline.make(seed) if len(cases.classes) > 1 else _OneClass()
        ridge = ridge_on_features(classifier)
        started = time.perf_counter()
        if ridge is None:
            classifier.fit(series, cases.labels)
        else:
            classifier, out_of_fold = ridge, ridge.fit(series, cases.labels, cases.groups)
        seconds = adapted + time.perf_counter() - started
    classes = np.asarray(classifier.classes_).astype(np.str_)
    versions = packages_of(baseline.path)
    return FittedBaseline(baseline, classifier, classes, seconds, facts, probe, adaptation, out_of_fold, versions)


@contextmanager
def _host_unchanged() -> Iterator[None]:
    """Restores the global generators of NumPy, Python and torch, and torch's number of threads.

    aeon's transformers set all of them, and sktime's networks draw from torch's generator even when they predict.
    """
    numpy_state, python_state = np.random.get_state(), random.getstate()
    torch = sys.modules.get("torch")
    torch_state = None if torch is None else (torch.get_rng_state(), torch.get_num_threads())
    try:
        yield
    finally:
        np.random.set_state(numpy_state)
        random.setstate(python_state)
        if torch is not None and torch_state is not None:
            torch.set_rng_state(torch_state[0])
            if torch.get_num_threads() != torch_state[1]:
                torch.set_num_threads(torch_state[1])


def _offline(baseline: Baseline) -> AbstractContextManager[None]:
    """A hub is not asked for weights, which are in its cache."""
    return environment(HF_HUB_OFFLINE="1") if baseline.weights else nullcontext()


def _seed_global_generators(seed: int) -> None:
    """A classifier without a seed of its own may draw from them."""
    np.random.seed(seed % 2**32)
    random.seed(seed)
    if (torch := sys.modules.get("torch")) is not None:
        torch.manual_seed(seed)


class _OneClass:
    """Was fitted on one class, and predicts it."""

    def fit(self, series: Any, labels: NDArray[np.str_]) -> None:
        self.classes_ = labels[:1]

    def predict_proba(self, series: Any) -> NDArray[np.float64]:
        return np.ones((len(series), 1))


def warm_up(baseline: Baseline, cases: Collection) -> None:
    """Lets numba compile a classifier's code for cases like these, on five synthetic cases of each of two classes."""
    if not baseline.compiled:
        return
    generator = np.random.default_rng(0)
    values = generator.normal(size=(10, cases.channels, cases.length))
    steps = np.full(10, cases.length, dtype=np.int64)
    if not cases.equal_length:
        steps[0] = int(cases.lengths.min())
        values[0, :, steps[0] :] = 0.0
    small = Collection(values, steps, np.array(["a", "b"] * 5))
    baseline.fit(small, seed=0).predict_proba(small)


def _series(baseline: Baseline, cases: Collection) -> Any:
    """One array if all lengths are equal; else a list of what the classifier's library takes, one for each case."""
    if cases.equal_length:
        return cases.values
    if not baseline.path.startswith("sktime."):
        return [np.ascontiguousarray(case) for case in cases.cases()]  # numba takes no list of several memory layouts
    return [pd.DataFrame(case.T) for case in cases.cases()]
