"""Errors that a user can fix: each says what is wrong, where, and what to do, without a traceback."""

from __future__ import annotations

import os
from collections.abc import Sequence

from tsbench.redaction import redacted

__all__ = [
    "ON_COMMAND_LINE",
    "DataError",
    "ModelError",
    "RecipeError",
    "SearchError",
    "TrackingError",
    "TsbenchError",
    "argument",
]

ON_COMMAND_LINE = "TSBENCH_ON_COMMAND_LINE"
"""Variable of the environment that is set while a command runs, in its workers too."""


def argument(option: str, keyword: str) -> str:
    """What a sentence calls an argument: by its option if a command runs, else by Python's keyword."""
    return option if ON_COMMAND_LINE in os.environ else f"`{keyword}`"


class TsbenchError(Exception):
    """Base of the errors that the command line prints as a sentence, and that are recorded; without credentials.

    Args:
        message: the sentence; passwords and tokens in it are hidden.
        exit_code: another one than that of the class.

    Attributes:
        exit_code: the exit code of the process: 2 if the recipe, its data or the arguments are wrong, 1 if a run failed
            or the circumstances do not allow it.
    """

    exit_code = 1

    def __init__(self, message: str = "", *further: object, exit_code: int | None = None) -> None:
        super().__init__(redacted(str(message)), *further)
        if exit_code is not None:
            self.exit_code = exit_code


class RecipeError(TsbenchError):
    """A recipe that cannot be run; holds every problem found, not only the first.

    Args:
        problems: one sentence each, beginning with the place (`recipe.yaml:12:5 search.trails: ...`).
    """

    exit_code = 2

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(redacted(problem) for problem in problems)
        super().__init__("\n".join(self.problems))


class DataError(TsbenchError):
    """A data set that is absent or whose files are invalid; names the file, line and case."""

    exit_code = 2


class SearchError(TsbenchError):
    """A search that cannot continue, such as one in which no trial finished."""


class TrackingError(TsbenchError):
    """An MLflow store that cannot be reached, read or written."""


class ModelError(TsbenchError, ValueError):
    """A model that cannot be loaded, or cases that a model cannot take; names the case and what is expected."""

    exit_code = 2
