"""Private names of sktime 1.2."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

__all__ = ["FITTED", "METADATA", "OF_SCIKIT_LEARN", "downloader", "mark_fitted", "mirrors"]

FITTED = ("_is_vectorized", "_y_inner_mtype")
"""Attributes that sktime's `fit` sets beside those that end in an underscore; `predict` needs them."""

METADATA = ("_X_metadata", "_y_metadata")
"""sktime's metadata of the training data."""

OF_SCIKIT_LEARN = ("_parent_callback_ctx", "_skl_callbacks")
"""Attribute that scikit-learn's pipelines and searches (1.9 and later) set on an estimator during its `fit`."""


def mark_fitted(estimator: Any, classes: NDArray[Any]) -> None:
    """Marks a loaded estimator as fitted, as `BaseClassifier.fit` does at its end."""
    estimator.classes_ = classes
    estimator._class_dictionary = {label: number for number, label in enumerate(classes)}
    estimator._is_fitted = True


def converted(estimator: Any, X: Any) -> Any:
    """Checks series and converts them as `predict` does, for a method that sktime does not have."""
    return estimator._check_convert_X_for_predict(X)


def mirrors() -> list[str]:
    """Addresses that data sets are downloaded from; sktime's public loader stops at the first one's failure."""
    from sktime.datasets._data_io import CLASSIF_URLS

    return list(CLASSIF_URLS)


def downloader(url: str) -> Any:
    """The downloader of one zip file; its `download` takes a folder."""
    from sktime.datasets._dataset_downloader import URLDownloader

    return URLDownloader(url)
