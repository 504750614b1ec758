"""tsbench: declarative AutoML and honest benchmarking for time series classification."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tsbench.api.comparing import compare
    from tsbench.api.fitting import fit
    from tsbench.api.loading import load_dataset, load_model
    from tsbench.api.searching import SearchResults, search
    from tsbench.auto.estimator import AutoClassifier
    from tsbench.classifiers.estimator import NetworkClassifier
    from tsbench.comparisons.comparison import Comparison
    from tsbench.recipe.schema import Recipe

__all__ = [
    "AutoClassifier",
    "Comparison",
    "NetworkClassifier",
    "Recipe",
    "SearchResults",
    "__version__",
    "compare",
    "fit",
    "load_dataset",
    "load_model",
    "search",
]

__version__ = "0.1.0"

_HOMES = {
    "AutoClassifier": "tsbench.auto.estimator",
    "Comparison": "tsbench.comparisons.comparison",
    "NetworkClassifier": "tsbench.classifiers.estimator",
    "Recipe": "tsbench.recipe.schema",
    "SearchResults": "tsbench.api.searching",
    "compare": "tsbench.api.comparing",
    "fit": "tsbench.api.fitting",
    "load_dataset": "tsbench.api.loading",
    "load_model": "tsbench.api.loading",
    "search": "tsbench.api.searching",
}


def __getattr__(name: str) -> Any:
    """Imports torch, sktime and MLflow only when a name needs them, so that commands start at once."""
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
