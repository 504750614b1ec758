"""aeon's ridge classifiers, built from its public transformers and a ridge head with probabilities.

aeon's own classes end in RidgeClassifierCV and have one-hot probabilities. These have the same transformers,
scalers and penalties, and so the same predictions; `tests/classifiers/test_ridge.py` compares them case by case.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsbench.classifiers.contract import OutOfFold
from tsbench.classifiers.ridge import RidgeHead

__all__ = ["RidgeOnFeatures", "SparseScaler", "ridge_on_features"]


class SparseScaler:
    """Hydra's scaler of counts, most of which may be 0 (Dempster, Schmidt and Webb, Hydra, 2023).

    Square roots of the counts are standardised, but for zeros, which stay; features that are often 0 are shrunk.
    """

    EXPONENT = 4

    def fit_transform(self, counts: NDArray[np.floating]) -> NDArray[np.floating]:
        """Fits on training features of shape (cases, features), and scales them."""
        import torch

        roots = torch.as_tensor(counts).clamp(0).sqrt()
        epsilon = (roots == 0).float().mean(0) ** self.EXPONENT + 1e-8
        self.mean_ = roots.mean(0).numpy()
        self.scale_ = (roots.std(0) + epsilon).numpy()
        return self.transform(counts)

    def transform(self, counts: NDArray[np.floating]) -> NDArray[np.floating]:
        """Scales features."""
        import torch

        roots = torch.as_tensor(counts).clamp(0).sqrt()
        mean, scale = torch.from_numpy(self.mean_), torch.from_numpy(self.scale_)
        return (((roots - mean) * (roots != 0)) / scale).numpy()


@dataclass
class Branch:
    """A transformer of series to features, and the scaler of these; None for no scaler."""

    transformer: Any
    scaler: Any = None

    def fit_transform(self, series: Any, labels: NDArray[np.str_]) -> Any:
        features = _as_array(self.transformer.fit_transform(series, labels))
        return features if self.scaler is None else self.scaler.fit_transform(features)

    def transform(self, series: Any) -> Any:
        features = _as_array(self.transformer.transform(series))
        return features if self.scaler is None else self.scaler.transform(features)


def _as_array(features: Any) -> Any:
    """Tensors of torch as arrays, and WEASEL's counts of words in single precision, as it does itself."""
    if hasattr(features, "detach"):
        return features.detach().numpy()
    return features.astype(np.float32, copy=False) if hasattr(features, "tocsr") else features


class RidgeOnFeatures:
    """Features of one or several transformers, side by side, and a ridge head.

    Args:
        branches: the transformers with their scalers.
        head: the ridge head.

    Attributes:
        classes_: shape (classes,), after `fit`.
    """

    def __init__(self, branches: list[Branch], head: RidgeHead) -> None:
        self.branches = branches
        self.head = head

    def fit(self, series: Any, labels: NDArray[np.str_], groups: NDArray[np.str_] | None = None) -> OutOfFold:
        """Fits on all cases, and returns the probabilities of each case by a ridge without it or its group.

        Args:
            series: shape (cases, channels, time steps), or a list of cases.
            labels: shape (cases,), of two classes or more.
            groups: shape (cases,); cases of one group are left out together.
        """
        features = _side_by_side([branch.fit_transform(series, labels) for branch in self.branches])
        out_of_fold = self.head.fit(features, labels, groups)
        self.classes_ = self.head.classes_
        return out_of_fold

    def predict_proba(self, series: Any) -> NDArray[np.float64]:
        """Class probabilities, shape (cases, classes)."""
        return self.head.predict_proba(_side_by_side([branch.transform(series) for branch in self.branches]))


def _side_by_side(features: list[Any]) -> Any:
    return features[0] if len(features) == 1 else np.concatenate(features, axis=1)


def ridge_on_features(classifier: Any) -> RidgeOnFeatures | None:
    """The parts of an unfitted classifier of aeon; None if it does not end in aeon's own ridge classifier.

    Args:
        classifier: an instance of any class.
    """
    kind = type(classifier)
    make = _FAMILIES.get(kind.__name__) if kind.__module__.startswith("aeon.classification.") else None
    if make is None:
        return None
    given = classifier.get_params(deep=False)
    if given.get("estimator") is not None:
        return None  # the user's own head
    return make(given)


def _rocket(given: Mapping[str, Any]) -> RidgeOnFeatures:
    from aeon.transformations.collection.convolution_based import Rocket

    names = ("n_kernels", "n_jobs", "random_state")
    return _standardised(Rocket(**_chosen(given, names)), given, with_mean=False)


def _minirocket(given: Mapping[str, Any]) -> RidgeOnFeatures:
    from aeon.transformations.collection.convolution_based import MiniRocket

    names = ("n_kernels", "max_dilations_per_kernel", "n_jobs", "random_state")
    return _standardised(MiniRocket(**_chosen(given, names)), given, with_mean=False)


def _multirocket(given: Mapping[str, Any]) -> RidgeOnFeatures:
    from aeon.transformations.collection.convolution_based import MultiRocket

    names = ("n_kernels", "max_dilations_per_kernel", "n_features_per_kernel", "n_jobs", "random_state")
    return _standardised(MultiRocket(**_chosen(given, names)), given, with_mean=False)


def _hydra(given: Mapping[str, Any]) -> RidgeOnFeatures:
    return RidgeOnFeatures([_hydra_branch(given)], _head(given, -3, 3, 10))


def _multirocket_hydra(given: Mapping[str, Any]) -> RidgeOnFeatures:
    from aeon.transformations.collection.convolution_based import MultiRocket
    from sklearn.preprocessing import StandardScaler

    multirocket = Branch(MultiRocket(**_chosen(given, ("n_jobs", "random_state"))), StandardScaler())
    return RidgeOnFeatures([_hydra_branch(given), multirocket], _head(given, -3, 3, 10))


def _rdst(given: Mapping[str, Any]) -> RidgeOnFeatures:
    from aeon.transformations.collection.shapelet_based import RandomDilatedShapeletTransform
    from sklearn.preprocessing import StandardScaler

    head = ("estimator", "class_weight", "save_transformed_data")
    transformer = RandomDilatedShapeletTransform(**{name: value for name, value in given.items() if name not in head})
    return RidgeOnFeatures([Branch(transformer, StandardScaler())], _head(given, -4, 4, 20))


def _weasel(given: Mapping[str, Any]) -> RidgeOnFeatures:
    from tsbench.adapters.aeon import WEASELTransformerV2

    transformer = WEASELTransformerV2(**{name: value for name, value in given.items() if name != "class_weight"})
    return RidgeOnFeatures([Branch(transformer)], _head(given, -1, 5, 10))


_FAMILIES: dict[str, Callable[[Mapping[str, Any]], RidgeOnFeatures]] = {
    "RocketClassifier": _rocket,
    "MiniRocketClassifier": _minirocket,
    "MultiRocketClassifier": _multirocket,
    "HydraClassifier": _hydra,
    "MultiRocketHydraClassifier": _multirocket_hydra,
    "RDSTClassifier": _rdst,
    "WEASEL_V2": _weasel,
}


def _standardised(transformer: Any, given: Mapping[str, Any], with_mean: bool) -> RidgeOnFeatures:
    from sklearn.preprocessing import StandardScaler

    return RidgeOnFeatures([Branch(transformer, StandardScaler(with_mean=with_mean))], _head(given, -3, 3, 10))


def _hydra_branch(given: Mapping[str, Any]) -> Branch:
    from aeon.transformations.collection.convolution_based import HydraTransformer

    return Branch(
        HydraTransformer(**_chosen(given, ("n_kernels", "n_groups", "n_jobs", "random_state"))), SparseScaler()
    )


def _head(given: Mapping[str, Any], low: int, high: int, count: int) -> RidgeHead:
    """The head with aeon's penalties: `count` of them from 10^low to 10^high."""
    return RidgeHead(np.logspace(low, high, count), given["class_weight"])


def _chosen(given: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: given[name] for name in names}
