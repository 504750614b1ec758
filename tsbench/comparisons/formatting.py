"""Formats of numbers and metrics, the same in every table, plot and sentence."""

from __future__ import annotations

__all__ = ["METRIC_WORDS", "fixed", "format_p", "signed"]

METRIC_WORDS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "f1_macro": "macro F1",
    "log_loss": "log loss",
    "roc_auc": "ROC AUC",
}
"""The metrics' names in sentences."""


def fixed(value: float, decimals: int = 4) -> str:
    """A number with a fixed count of decimals; a rounded zero has no sign."""
    text = f"{value:.{decimals}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def signed(value: float, decimals: int = 4) -> str:
    """A difference with its sign, `+0.0120`; a rounded zero has none."""
    text = f"{value:+.{decimals}f}"
    return text[1:] if float(text) == 0 else text


def format_p(p: float) -> str:
    """`= 0.012`, `< 0.0001`."""
    if p < 1e-4:
        return "< 0.0001"
    return f"= {p:.4f}" if p < 0.001 else f"= {p:.3f}"
