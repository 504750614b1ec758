"""The closed-form classifier over computed features: ridge regression whose leave-one-out errors are exact.

With centred features, `K = X X'`, `H = K (K + alpha I)^-1 + 1/n` and residuals `r = y - H y`, the residual of a case by
the fit without it is `r_i / (1 - H_ii)` (Hastie, Tibshirani and Friedman, The Elements of Statistical Learning, 2nd
edition, section 7.10). One eigendecomposition of K gives it for every penalty. The decision values are divided by the
temperature at which their leave-one-out log loss is least (Guo et al. 2017), so that their softmax is a probability.

`tsbench.classifiers.ridge` has the same formulas for scikit-learn's classifier, whose predictions the baselines must
keep. This module uses only torch, so that it runs on the network's device and on a machine without scikit-learn.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["MAX_CASES", "Ridge", "fit_ridge"]

MAX_CASES = 4096
"""Training cases up to which the closed form is computed; its time grows with the cube of their number."""

PART_WIDTH = 2048
"""Features that are converted to float64 at once."""

PENALTIES = torch.logspace(-3, 5, 17, dtype=torch.float64)
"""To choose from, for features of variance 1."""

TEMPERATURES = torch.logspace(-3, 1, 161, dtype=torch.float64)
"""To choose from; decision values of ridge regression on targets of -1 and 1 are of the order of 1."""


@dataclass(frozen=True)
class Ridge:
    """A fitted linear classifier.

    Attributes:
        weight: shape (classes, features), over the temperature, so that the softmax of its values is a probability.
        bias: shape (classes,), likewise.
        left_out: logits of each case by the fit without it, shape (cases, classes).
        penalty: the chosen one.
        temperature: the chosen one.
    """

    weight: Tensor
    bias: Tensor
    left_out: Tensor
    penalty: float
    temperature: float


def fit_ridge(
    features: Tensor,
    targets: Tensor,
    classes: int,
    case_weights: Tensor | None = None,
    groups: Tensor | None = None,
) -> Ridge:
    """Fits on all cases, with the penalty of the least leave-one-out squared error.

    Args:
        features: shape (cases, features).
        targets: shape (cases,), class numbers.
        classes: their number; of those that do not occur the probability is small.
        case_weights: shape (cases,), of the squared errors; None for 1 each.
        groups: shape (cases,), numbers of groups; cases of one group are left out together. None if there are none.
    """
    signs = torch.where(targets[:, None] == torch.arange(classes, device=features.device), 1.0, -1.0).double()
    root = torch.ones_like(signs[:, 0]) if case_weights is None else case_weights.double().sqrt()
    share = root**2 / (root**2).sum()
    centre = share @ signs
    y = (signs - centre) * root[:, None]
    gram = torch.zeros(len(y), len(y), dtype=y.dtype, device=y.device)
    for x, _ in _centred_parts(features, share, root):
        gram.addmm_(x, x.T)
    values, vectors = torch.linalg.eigh(gram)
    values = values.clamp(min=0)
    rotated, unit = vectors.T @ y, share.sqrt()
    best: tuple[float, Tensor, float] | None = None
    for penalty in PENALTIES.tolist():
        kept = penalty / (values + penalty)
        residuals = vectors @ (kept[:, None] * rotated)
        errors = _left_out_errors(vectors, kept, unit, residuals, groups)
        loss = float((errors**2).sum())
        if best is None or loss < best[0]:
            best = loss, signs - errors / root[:, None], penalty
    assert best is not None
    _, left_out, penalty = best
    dual = vectors @ (rotated / (values + penalty)[:, None])
    weights, bias = [], centre
    for x, mean in _centred_parts(features, share, root):
        weights.append(dual.T @ x)
        bias = bias - weights[-1] @ mean
    weight = torch.cat(weights, dim=1)
    temperature = _temperature(left_out, targets, classes)
    scaled = [(part / temperature).to(features.dtype) for part in (weight, bias, left_out)]
    return Ridge(scaled[0], scaled[1], scaled[2], penalty, temperature)


def _centred_parts(features: Tensor, share: Tensor, root: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Some features at a time in float64, centred and scaled by the roots of the cases' weights, and their means."""
    for part in torch.split(features, PART_WIDTH, dim=1):
        x = part.double()
        mean = share @ x
        yield (x - mean) * root[:, None], mean


def _left_out_errors(vectors: Tensor, kept: Tensor, unit: Tensor, residuals: Tensor, groups: Tensor | None) -> Tensor:
    """The residuals of each case by the fit without it, or without its group, shape (cases, classes)."""
    if groups is None or bool((groups == groups[0]).all()):
        # The intercept is not penalised: its projection, 1/n without weights, is part of H.
        diagonal = ((vectors**2) @ kept - unit**2).clamp(min=1e-12)
        return residuals / diagonal[:, None]
    errors = torch.empty_like(residuals)
    for group in range(int(groups.max()) + 1):
        members = groups == group
        if not members.any():
            continue
        rows = vectors[members]
        block = (rows * kept) @ rows.T - torch.outer(unit[members], unit[members])
        errors[members] = torch.linalg.solve(block, residuals[members])
    return errors


def _temperature(decisions: Tensor, targets: Tensor, classes: int) -> float:
    """That of the least log loss; targets are smoothed as Platt did (1999), since few cases show no certainty."""
    cases = len(targets)
    smooth = torch.full_like(decisions, 1 / (cases + classes))
    smooth[torch.arange(cases, device=targets.device), targets] = (cases + 1) / (cases + classes)
    losses = [
        float(-(smooth * (decisions / temperature).log_softmax(1)).sum(1).mean())
        for temperature in TEMPERATURES.tolist()
    ]
    return float(TEMPERATURES[min(range(len(losses)), key=losses.__getitem__)])
