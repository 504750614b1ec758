"""Silence for a library that has advice nobody asked for."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

__all__ = ["quiet"]

VARIABLES: Mapping[str, Mapping[str, str]] = {"mlflow": {"MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}}
"""Variables of the environment by which a library, by its logger's name, is silent too."""


@contextmanager
def quiet(logger: str) -> Iterator[None]:
    """Without Python's warnings and progress bars, and with nothing but errors from a logger by its name.

    After the block, the logger and the environment are as they were; a variable that the user has set is kept.
    """
    log = logging.getLogger(logger)
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore"), _variables(VARIABLES.get(logger, {})):
            yield
    finally:
        log.setLevel(before)


@contextmanager
def _variables(values: Mapping[str, str]) -> Iterator[None]:
    """Sets variables of the environment that are not set, as long as the block runs."""
    added = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
