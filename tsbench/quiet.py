"""Silences a library's warnings, progress bars and advice."""

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
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # a `Store` retries by itself, calls that may be repeated
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",  # seconds, so that a dead connection is retried in time
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "GIT_PYTHON_REFRESH": "quiet",  # a package that MLflow imports
    }
}
"""Environment variables that switch off a library's extra output; some take effect only at its import."""

LEVELS: Mapping[str, Mapping[str, int]] = {
    "mlflow": {"mlflow.store": logging.CRITICAL, "alembic": logging.WARNING}  # MLflow also prints errors that it raises
}
"""Levels of further loggers; the library's own prints errors only."""

_lock = threading.Lock()
_silenced: list[str] = []  # the library of each block that runs now, in any thread
_changes = ExitStack()  # undone when the last block ends: threads that undid their own would undo others'


@contextmanager
def quiet(library: str) -> Iterator[None]:
    """Suppresses Python's warnings, progress bars, and messages below errors from a library's logger.

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
    """The variables that silence a library and that the user has not set.

    Commands and workers set them until they exit.
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
    """Sets environment variables while the block runs."""
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
