"""A ridge classifier with probabilities: closed-form leave-one-out decision values, and a temperature fitted on them.

scikit-learn's RidgeClassifierCV has no probabilities, and one-hot predictions in their place make log loss, AUC,
calibration and weighted votes meaningless. For ridge regression with an intercept that is not penalised,

    K = X X' of centred features,  H = K (K + alpha I)^-1 + 1/n,
    leave-one-out residual_i = residual_i / (1 - H_ii)

holds exactly (Hastie, Tibshirani and Friedman, The Elements of Statistical Learning, 2nd edition, section 7.10), and
with a block of H in place of its diagonal, for all cases of one group left out together. The probabilities are the
softmax of the decision values divided by a temperature (Guo et al., On Calibration of Modern Neural Networks, 2017)
that minimises the log loss of the left-out decision values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from tsbench.classifiers.contract import OutOfFold

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["RidgeHead", "fit_temperature", "left_out_decisions", "softmax"]

CHUNK = 2**24
"""Values of the features that are converted to float64 at once."""

TEMPERATURES = (1e-3, 1e2)
"""Bounds of the temperature; decision values of ridge regression on targets of -1 and 1 are of the order of 1."""


class RidgeHead:
    """RidgeClassifierCV with probabilities; its predictions are those of scikit-learn, to the case.

    Args:
        alphas: the penalties to choose from by scikit-learn's leave-one-out error.
        class_weight: of RidgeClassifierCV.

    Attributes:
        classes_: shape (classes,), after `fit`.
        temperature_: divisor of the decision values, after `fit`.
    """

    def __init__(self, alphas: NDArray[np.float64], class_weight: Any = None) -> None:
        self.alphas = alphas
        self.class_weight = class_weight

    def fit(
        self, features: NDArray[np.floating] | csr_matrix, labels: NDArray[Any], groups: NDArray[Any] | None = None
    ) -> OutOfFold:
        """Fits on all cases, and returns the probabilities of each case by the fit without it.

        Args:
            features: shape (cases, features).
            labels: shape (cases,), of two classes or more.
            groups: shape (cases,); cases of one group are left out together.
        """
        from sklearn.linear_model import RidgeClassifierCV

        self.ridge_ = RidgeClassifierCV(alphas=self.alphas, class_weight=self.class_weight).fit(features, labels)
        self.classes_ = self.ridge_.classes_
        codes = np.searchsorted(self.classes_, labels)
        weights = _case_weights(self.class_weight, labels)
        targets = np.where(codes[:, None] == np.arange(len(self.classes_)), 1.0, -1.0)
        decisions = left_out_decisions(features, targets, float(self.ridge_.alpha_), groups, weights)
        self.temperature_ = fit_temperature(decisions, codes)
        folds = np.arange(len(labels)) if groups is None else np.unique(groups, return_inverse=True)[1]
        return OutOfFold(
            softmax(decisions / self.temperature_),
            np.asarray(self.classes_, dtype=np.str_),
            np.asarray(labels, dtype=np.str_),
            folds.astype(np.int64),
            "leave-one-out" if groups is None else "leave-one-group-out",
        )

    def predict_proba(self, features: NDArray[np.floating] | csr_matrix) -> NDArray[np.float64]:
        """Class probabilities, shape (cases, classes)."""
        decisions = np.asarray(self.ridge_.decision_function(features), dtype=np.float64)
        if decisions.ndim == 1:
            decisions = np.stack([-decisions, decisions], axis=1)
        return softmax(decisions / self.temperature_)


def left_out_decisions(
    features: NDArray[np.floating] | csr_matrix,
    targets: NDArray[np.float64],
    alpha: float,
    groups: NDArray[Any] | None = None,
    weights: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """The decision values that ridge regression without a case, or without its group, gives that case.

    Args:
        features: shape (cases, features), dense or sparse.
        targets: shape (cases, outputs).
        alpha: the penalty, above 0.
        groups: shape (cases,); cases of one group are left out together. A case left out of a group of all cases has
            decision values of 0.
        weights: shape (cases,), of the squared errors; None for 1 each.

    Returns:
        Shape (cases, outputs).
    """
    cases = len(targets)
    root = np.ones(cases) if weights is None else np.sqrt(weights)
    scaled = targets * root[:, None]
    # With weights, rows are scaled by their root, and the intercept multiplies the root itself, not a column of ones.
    # It is not penalised, so the targets are projected onto what is orthogonal to its column.
    unit = root / np.linalg.norm(root)
    centred = scaled - np.outer(unit, unit @ scaled)
    dual = features.shape[1] >= cases or issparse(features)
    annihilator = (_DualAnnihilator if dual else _PrimalAnnihilator)(features, root, unit, alpha)
    residuals = annihilator.apply(centred)
    if groups is None:
        left_out = residuals / np.maximum(annihilator.diagonal(), np.finfo(float).eps)[:, None]
        without: NDArray[np.float64] = targets - left_out / root[:, None]
        return without
    decisions = np.zeros_like(targets)
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        if len(members) < cases:
            left_out = np.linalg.solve(annihilator.block(members), residuals[members])
            decisions[members] = targets[members] - left_out / root[members, None]
    return decisions


class _DualAnnihilator:
    """I - H by the inner products of cases; for no more cases than features."""

    def __init__(self, features: Any, root: NDArray[np.float64], unit: NDArray[np.float64], alpha: float) -> None:
        from scipy.linalg import cho_factor, cho_solve

        identity = np.eye(len(root))
        factor = cho_factor(_gram(features, root) + alpha * identity, lower=True, overwrite_a=True, check_finite=False)
        self.scaled_inverse = alpha * cho_solve(factor, identity, overwrite_b=True, check_finite=False)
        self.unit = unit

    def apply(self, centred: NDArray[np.float64]) -> NDArray[np.float64]:
        """The product with values that are orthogonal to the intercept's column."""
        product: NDArray[np.float64] = self.scaled_inverse @ centred
        return product

    def diagonal(self) -> NDArray[np.float64]:
        diagonal: NDArray[np.float64] = np.diag(self.scaled_inverse) - self.unit**2
        return diagonal

    def block(self, members: NDArray[np.integer]) -> NDArray[np.float64]:
        block: NDArray[np.float64] = self.scaled_inverse[np.ix_(members, members)]
        return np.asarray(block - np.outer(self.unit[members], self.unit[members]))


class _PrimalAnnihilator:
    """I - H by the inner products of features; for more cases than features."""

    def __init__(self, features: Any, root: NDArray[np.float64], unit: NDArray[np.float64], alpha: float) -> None:
        from scipy.linalg import cholesky, solve_triangular

        rows = np.asarray(features, dtype=np.float64)
        rows = (rows - (root**2) @ rows / (root**2).sum()) * root[:, None]
        factor = cholesky(rows.T @ rows + alpha * np.eye(rows.shape[1]), lower=True, check_finite=False)
        self.whitened = solve_triangular(factor, rows.T, lower=True, check_finite=False).T  # its product is H
        self.unit = unit

    def apply(self, centred: NDArray[np.float64]) -> NDArray[np.float64]:
        """The product with values that are orthogonal to the intercept's column."""
        product: NDArray[np.float64] = centred - self.whitened @ (self.whitened.T @ centred)
        return product

    def diagonal(self) -> NDArray[np.float64]:
        diagonal: NDArray[np.float64] = 1 - (self.whitened**2).sum(axis=1) - self.unit**2
        return diagonal

    def block(self, members: NDArray[np.integer]) -> NDArray[np.float64]:
        part, unit = self.whitened[members], self.unit[members]
        return np.asarray(np.eye(len(members)) - part @ part.T - np.outer(unit, unit))


def _gram(features: NDArray[np.floating] | csr_matrix, root: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inner products of the cases' features, centred, each row scaled by its root weight; shape (cases, cases)."""
    total = float((root**2).sum())
    if issparse(features):
        sparse: Any = features.astype(np.float64)
        mean = np.asarray(sparse.T @ root**2).ravel() / total
        products = (sparse @ sparse.T).toarray()
        shift = sparse @ mean
        centred = products - shift[:, None] - shift + mean @ mean
        return np.asarray(centred * np.outer(root, root))
    gram = np.zeros((len(root), len(root)))
    step = max(1, CHUNK // len(root))
    for start in range(0, features.shape[1], step):
        part = np.asarray(features[:, start : start + step], dtype=np.float64)
        part = (part - (root**2) @ part / total) * root[:, None]
        gram += part @ part.T
    return gram


def _case_weights(class_weight: Any, labels: NDArray[Any]) -> NDArray[np.float64] | None:
    from sklearn.utils.class_weight import compute_sample_weight

    return None if class_weight is None else np.asarray(compute_sample_weight(class_weight, labels), dtype=np.float64)


def fit_temperature(decisions: NDArray[np.float64], codes: NDArray[np.integer]) -> float:
    """The temperature by which the softmax of decision values has the least log loss.

    The targets are smoothed as Platt did (Probabilistic Outputs for Support Vector Machines, 1999): were every case
    right, the unsmoothed optimum would be a temperature of 0, and so a certainty that so few cases do not show.

    Args:
        decisions: shape (cases, classes).
        codes: shape (cases,), numbers of the true classes.
    """
    from scipy.optimize import minimize_scalar

    cases, classes = decisions.shape
    targets = np.full((cases, classes), 1 / (cases + classes))
    targets[np.arange(cases), codes] = (cases + 1) / (cases + classes)

    def loss(log_temperature: float) -> float:
        scaled = decisions / np.exp(log_temperature)
        scaled -= scaled.max(axis=1, keepdims=True)
        return float(-(targets * (scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True)))).sum(axis=1).mean())

    found = minimize_scalar(loss, bounds=tuple(np.log(TEMPERATURES)), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


def softmax(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Along the last axis; the largest value of a row stays the largest."""
    exponentials = np.exp(values - values.max(axis=-1, keepdims=True))
    result: NDArray[np.float64] = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return result
