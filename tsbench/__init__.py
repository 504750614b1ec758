"""tsbench: declarative AutoML and honest benchmarking for time series classification."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tsbench.classifiers.estimator import NetworkClassifier

__all__ = ["NetworkClassifier", "__version__"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Imports torch and sktime only for whoever asks for the classifier: the commands must start at once."""
    if name == "NetworkClassifier":
        from importlib import import_module

        return import_module("tsbench.classifiers.estimator").NetworkClassifier
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
