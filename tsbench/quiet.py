"""Silence for a library that has advice nobody asked for."""

from __future__ import annotations

import logging
import os
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

__all__ = ["environment", "quiet", "quiet_variables"]

VARIABLES: Mapping[str, Mapping[str, str]] = {
    "mlflow": {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_RECORD_ENV_VARS_IN_MODEL_LOGGING": "false",  # names of variables that hold credentials
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # a `Store` retries by itself, and knows what must not be done twice
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",  # seconds, so that a connection that died in silence is retried in time
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "GIT_PYTHON_REFRESH": "quiet",  # of a package that MLflow imports
    }
}
"""Variables of the environment by which a library does without what nobody asked for; some count at its import."""

LEVELS: Mapping[str, Mapping[str, int]] = {
    "mlflow": {"mlflow.store": logging.CRITICAL, "alembic": logging.WARNING}  # MLflow prints errors that it raises too
}
"""Levels of loggers beside the library's own, from which errors alone are printed."""

_lock = threading.Lock()
_silenced: list[str] = []  # a library for each block that runs now, in any thread
_changes = ExitStack()  # undone when the last block ends: threads that undid their own would undo others'


@contextmanager
def quiet(library: str) -> Iterator[None]:
    """Without Python's warnings and progress bars, and with nothing but errors from a library's logger.

    After the block, filters, loggers and the environment are as they were; a variable that the user has set is kept.
    """
    with _lock:
        if not _silenced:
            _changes.enter_context(warnings.catch_warnings(action="ignore"))
        if library not in _silenced:
            _changes.enter_context(_levels({library: logging.ERROR, **LEVELS.get(library, {})}))
            _changes.enter_context(environment(**quiet_variables(library)))
        _silenced.append(library)
    try:
        yield
    finally:
        with _lock:
            _silenced.remove(library)
            if not _silenced:
                _changes.close()


def quiet_variables(library: str) -> dict[str, str]:
    """The variables by which a library is silent that the user has not set.

    Commands and workers have them as long as they live.
    """
    return {name: value for name, value in VARIABLES.get(library, {}).items() if name not in os.environ}


@contextmanager
def _levels(levels: Mapping[str, int]) -> Iterator[None]:
    before = {name: logging.getLogger(name).level for name in levels}
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Sets variables of the environment as long as the block runs."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
