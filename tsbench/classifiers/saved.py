"""Loads a saved classifier of any kind."""

from __future__ import annotations

from pathlib import Path

from tsbench.classifiers.contract import FittedClassifier
from tsbench.classifiers.files import kind_of, read_description

__all__ = ["load_classifier"]


def load_classifier(folder: Path) -> FittedClassifier:
    """Reads what `FittedClassifier.save` wrote, on the CPU; imports only what the kind of classifier needs.

    Raises:
        ModelError: there is no model in the folder, its files are damaged, or this version of tsbench, or of a library
            that fitted it, cannot read them.
    """
    match kind_of(read_description(folder)):
        case "baseline":
            from tsbench.classifiers.fitted_baseline import FittedBaseline

            return FittedBaseline.load(folder)
        case "auto":
            from tsbench.classifiers.vote import FittedVote

            return FittedVote.load(folder)
        case "bag":
            from tsbench.classifiers.vote import FoldBag

            return FoldBag.load(folder)
    from tsbench.classifiers.ensemble import NetworkEnsemble

    return NetworkEnsemble.load(folder)
