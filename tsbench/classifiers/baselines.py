"""The baselines: aeon's and sktime's classifiers by name, any other by its import path, imported on use.

Importing this module costs nothing, so that a recipe's names can be checked without importing aeon.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tsbench.classifiers.contract import Classifier
from tsbench.recipe.messages import shown, suggestion
from tsbench.recipe.registries import import_path_problem, registered

if TYPE_CHECKING:
    from tsbench.classifiers.contract import Budget
    from tsbench.classifiers.fitted_baseline import FittedBaseline
    from tsbench.data.collection import Collection
    from tsbench.recipe.schema import BaselinePreprocessingConfig

__all__ = ["BASELINES", "Baseline", "find_baseline", "problem_with"]

CHECKED_PACKAGES = ("aeon", "sklearn", "sktime", "tsbench")
"""Packages whose classes are imported when a recipe is checked."""


@dataclass(frozen=True)
class Baseline(Classifier):
    """A classifier to compare with, and the cases that it can take.

    Attributes:
        path: import path of its class, which follows scikit-learn's conventions.
        parameters: of its constructor.
        seeded: whether the constructor takes a `random_state`.
        multivariate: whether it takes cases of several channels.
        unequal_length: whether it takes cases of different lengths.
        missing_values: whether it takes cases with missing values.
        min_length: minimum number of time steps of a case.
        compiled: whether numba compiles it at its first fit, which `warm_up` excludes from the measured seconds.
        package: a further distribution that it needs.
        weights: the parameter that names a repository of pretrained weights, which must be in the local cache of
            Hugging Face: nothing is downloaded.
    """

    path: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    seeded: bool = True
    multivariate: bool = True
    unequal_length: bool = False
    missing_values: bool = False
    min_length: int = 1
    compiled: bool = True
    package: str = ""
    weights: str = ""

    def make(self, seed: int) -> Any:
        """Creates the library's classifier, unfitted."""
        return registered({}, self.path)(**{**({"random_state": seed} if self.seeded else {}), **self.parameters})

    def refuses(self, *collections: Collection, preprocessing: BaselinePreprocessingConfig | None = None) -> str | None:
        """Why the classifier cannot be fitted and scored on these collections; None if it can.

        Args:
            collections: the training cases, then the test cases.
            preprocessing: for cases that the classifier cannot take; None for none.
        """
        if (lacking := self._lacking()) is not None:
            return lacking
        channels = max(cases.channels for cases in collections)
        if not self.multivariate and channels > 1:
            return f"it takes series of one channel only, and these have {channels}"
        unequal, missing = self._obstacles(collections)
        if unequal and (preprocessing is None or preprocessing.unequal_length == "none"):
            return "it takes cases of one length only, and these have several" + _hint(preprocessing, "unequal_length")
        if missing and (preprocessing is None or preprocessing.missing_values == "none"):
            return "it takes no missing values, and these have some" + _hint(preprocessing, "missing_values")
        shortest = min(int(cases.lengths.min()) for cases in collections)
        if preprocessing is not None and unequal:
            from tsbench.data.preprocessing import common_length

            shortest = common_length(collections[0].lengths, preprocessing.length)
            if shortest < self.min_length:
                return (
                    f"it needs at least {self.min_length} time steps, and preprocessing gives cases of {shortest} "
                    "(evaluation.baseline_preprocessing.length)"
                )
        if shortest < self.min_length:
            return f"it needs at least {self.min_length} time steps, and the shortest case has {shortest}"
        return None

    def fit(
        self,
        cases: Collection,
        seed: int,
        budget: Budget | None = None,
        preprocessing: BaselinePreprocessingConfig | None = None,
    ) -> FittedBaseline:
        """Fits on all of the cases; global generators and torch's number of threads are left as they were.

        If all cases are of one class, as in a fold of groups, the classifier always predicts it.

        Args:
            cases: the training cases.
            seed: of the classifier.
            budget: checked before the fit, as no library's fit can be interrupted from within.
            preprocessing: applied to all cases first, fitted on the training cases; None for none.

        Raises:
            BudgetSpentError: the budget was spent before the fit.
        """
        from tsbench.classifiers.fitted_baseline import fit

        if budget is not None:
            budget.check()
        return fit(self, cases, seed, preprocessing)

    def narrowed(
        self, preprocessing: BaselinePreprocessingConfig, *collections: Collection
    ) -> BaselinePreprocessingConfig | None:
        """The part of the preprocessing that these collections need for this classifier; None if they need none."""
        unequal, missing = self._obstacles(collections)
        if not (unequal or missing):
            return None
        left_out = {} if unequal else {"unequal_length": "none"}
        return preprocessing.model_copy(update=left_out if missing else {**left_out, "missing_values": "none"})

    def _lacking(self) -> str | None:
        """What the classifier needs and this machine does not have, found without the network."""
        from importlib.metadata import PackageNotFoundError, distribution

        if not self.package:
            return None
        try:
            distribution(self.package)
        except PackageNotFoundError:
            return f"it needs the package {self.package}, which is not installed: pip install {self.package}"
        repository = self.parameters.get(self.weights)
        if repository is None or any((_hub_cache() / f"models--{repository.replace('/', '--')}").glob("snapshots/*/*")):
            return None
        return (
            f"its weights {repository} are not in {_hub_cache()}, and none are downloaded during a search: "
            f"hf download {repository}"
        )

    def _obstacles(self, collections: Sequence[Collection]) -> tuple[bool, bool]:
        """Whether the classifier cannot take the collections' lengths, and their missing values."""
        lengths = {int(length) for cases in collections for length in cases.lengths}
        missing = not self.missing_values and any(cases.missing_values for cases in collections)
        return not self.unequal_length and len(lengths) > 1, missing


def _hub_cache() -> Path:
    """Where Hugging Face keeps what it has downloaded."""
    home = os.environ.get("HF_HOME") or "~/.cache/huggingface"
    return Path(os.environ.get("HF_HUB_CACHE") or f"{home}/hub").expanduser()


def _hint(preprocessing: BaselinePreprocessingConfig | None, key: str) -> str:
    return "" if preprocessing is None else f" (evaluation.baseline_preprocessing.{key} is none)"


_CONVOLUTION = "aeon.classification.convolution_based"
_NEIGHBOURS = "aeon.classification.distance_based.KNeighborsTimeSeriesClassifier"

BASELINES: dict[str, Baseline] = {
    "dummy": Baseline(
        "aeon.classification.dummy.DummyClassifier",
        unequal_length=True,
        missing_values=True,
        compiled=False,
    ),
    "1nn-ed": Baseline(_NEIGHBOURS, {"distance": "euclidean", "n_neighbors": 1}, seeded=False, unequal_length=False),
    "1nn-dtw": Baseline(_NEIGHBOURS, {"distance": "dtw", "n_neighbors": 1}, seeded=False, unequal_length=True),
    "rocket": Baseline(f"{_CONVOLUTION}.RocketClassifier"),
    "minirocket": Baseline(f"{_CONVOLUTION}.MiniRocketClassifier", min_length=9),
    "multirocket": Baseline(f"{_CONVOLUTION}.MultiRocketClassifier", min_length=10),
    "hydra": Baseline(f"{_CONVOLUTION}.HydraClassifier", min_length=6, compiled=False),
    "multirocket-hydra": Baseline(f"{_CONVOLUTION}.MultiRocketHydraClassifier", min_length=10),
    "quant": Baseline("aeon.classification.interval_based.QUANTClassifier", min_length=3, compiled=False),
    "rdst": Baseline("aeon.classification.shapelet_based.RDSTClassifier", unequal_length=True, min_length=2),
    "weasel2": Baseline("aeon.classification.dictionary_based.WEASEL_V2", multivariate=False, min_length=4),
    "rist": Baseline("aeon.classification.hybrid.RISTClassifier", min_length=10),
    "drcif": Baseline("aeon.classification.interval_based.DrCIFClassifier", min_length=10),
    "tde": Baseline("aeon.classification.dictionary_based.TemporalDictionaryEnsemble", min_length=10),
    "hc2": Baseline("aeon.classification.hybrid.HIVECOTEV2", min_length=10),
    "inceptiontime": Baseline("tsbench.classifiers.deep.InceptionTimeEnsemble", compiled=False),
    "mantis": Baseline(
        "sktime.classification.foundation_models.mantis.MantisClassifier",
        {"checkpoint": "paris-noah/MantisV2"},
        seeded=False,
        compiled=False,
        package="mantis-tsfm",
        weights="checkpoint",
    ),
    "lstm-fcn": Baseline("sktime.classification.deep_learning.lstmfcn.LSTMFCNClassifierTorch", compiled=False),
}


def find_baseline(classifier: str, parameters: Mapping[str, Any] | None = None) -> Baseline:
    """A registered baseline by its name, or any classifier by its import path, with parameters over its defaults.

    What a classifier of sktime or aeon can take is read from its tags, which may depend on its parameters; others are
    assumed to take any cases.

    Raises:
        KeyError: neither a registered name nor an import path.
        ImportError: the module does not exist, or one of its imports does not.
        AttributeError: the module has no such class.
        TypeError: the class does not accept the parameters.
    """
    if classifier in BASELINES:
        known = BASELINES[classifier]
        return replace(known, parameters={**known.parameters, **(parameters or {})})
    if "." not in classifier:
        raise KeyError(classifier)
    made = registered({}, classifier)
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
    )


def problem_with(classifier: str, parameters: Mapping[str, Any]) -> str | None:
    """The problem with a recipe's baseline in words; None if it can be created.

    An import path is only imported if its package is one of CHECKED_PACKAGES, as importing a module runs it; for any
    other path, only its spelling is checked and that its package is installed. A registered name without
    parameters is not imported.
    """
    if classifier in BASELINES and not parameters:
        return None
    if classifier not in BASELINES and "." not in classifier:
        hint = suggestion(classifier, BASELINES) or f"; known: {', '.join(sorted(BASELINES))}"
        return f"unknown baseline {shown(classifier)}{hint}, or an import path such as sktime.classification...."
    if classifier not in BASELINES and (problem := import_path_problem(classifier)):
        return problem
    if classifier not in BASELINES and classifier.partition(".")[0] not in CHECKED_PACKAGES:
        return None  # checking must not run arbitrary modules; this one is imported when it is fitted
    try:
        made = registered({}, BASELINES[classifier].path if classifier in BASELINES else classifier)
    except (Exception, SystemExit) as error:  # a module may raise any error on import
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        return f"cannot be imported: {reason}"
    if not (isinstance(made, type) and hasattr(made, "fit") and hasattr(made, "predict")):
        return f"{classifier} is not a classifier: it has no fit and predict"
    known = _parameters(made)
    unknown = [name for name in parameters if name not in known]
    if unknown:
        hint = suggestion(unknown[0], known) or f"; known: {', '.join(known)}"
        return f"{made.__name__} has no parameter {unknown[0]!r}{hint}"
    return None


def _parameters(made: Any) -> list[str]:
    return [name for name in inspect.signature(made).parameters if name != "self"]
