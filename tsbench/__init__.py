"""tsbench: declarative AutoML and honest benchmarking for time series classification."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tsbench.auto.estimator import AutoClassifier
    from tsbench.classifiers.estimator import NetworkClassifier

__all__ = ["AutoClassifier", "NetworkClassifier", "__version__"]

__version__ = "0.1.0"

_HOMES = {"AutoClassifier": "tsbench.auto.estimator", "NetworkClassifier": "tsbench.classifiers.estimator"}


def __getattr__(name: str) -> Any:
    """Imports torch and sktime only for whoever asks for a classifier: the commands must start at once."""
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
