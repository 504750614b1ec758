"""The log of a search: a file in the folder of its studies, and Python's logger `tsbench.search`."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from rich.console import Console

from tsbench.bench.progress import Display, PlainDisplay, RunState
from tsbench.redaction import redacted
from tsbench.signals import describe_interrupt

__all__ = ["FILE", "LOGGER", "LoggedDisplay", "RunLog", "log_of"]

FILE = "search.log"
LOGGER = logging.getLogger("tsbench.search")
FORMAT = "%(asctime)s %(levelname)s %(message)s"


class RunLog(PlainDisplay):
    """Logs a run's lines to its file, independent of Python's logging settings, and to `LOGGER`."""

    def __init__(self, file: logging.Handler) -> None:
        super().__init__(Console(quiet=True))
        self._file = logging.Logger(LOGGER.name)  # outside the hierarchy, so that none of it is printed
        self._file.addHandler(file)

    def say(self, text: str) -> None:
        """Logs a line."""
        self._log(logging.INFO, text)

    def detail(self, text: str) -> None:
        """Logs details that only matter after a failure."""
        self._log(logging.DEBUG, text)

    def fail(self, text: str) -> None:
        """Logs the error that ended the run."""
        self._log(logging.ERROR, text)

    def _log(self, level: int, text: str) -> None:
        text = redacted(text)  # also of errors that are not tsbench's own
        self._file.log(level, "%s", text)
        if LOGGER.hasHandlers():  # otherwise Python would print errors itself
            LOGGER.log(level, "%s", text)


class LoggedDisplay:
    """A display that also logs.

    Args:
        display: the display.
        log: the log.
    """

    def __init__(self, display: Display, log: RunLog) -> None:
        self._display = display
        self.log = log

    def __enter__(self) -> Self:
        self._display.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._display.__exit__(*error)

    def prepare(self, text: str) -> None:
        """Shows and logs what is being prepared."""
        self._display.prepare(text)
        self.log.prepare(text)

    def update(self, state: RunState) -> None:
        """Shows the state, and logs its changes."""
        self._display.update(state)
        self.log.update(state)

    def say(self, text: str) -> None:
        """Shows and logs a line."""
        self._display.say(text)
        self.log.say(text)


@contextmanager
def log_of(folder: Path, name: str) -> Iterator[RunLog]:
    """Appends to a search's log while the block runs; the last line reports how it ended.

    Args:
        folder: of its studies.
        name: the recipe's.
    """
    file = logging.FileHandler(folder / FILE, encoding="utf-8", delay=True)
    file.setFormatter(logging.Formatter(FORMAT))
    file.handleError = lambda record: None  # type: ignore[method-assign]  # a full disk must not end a search
    log = RunLog(file)
    log.say(f"search of {name!r}")
    try:
        yield log
    except KeyboardInterrupt as interrupt:
        log.fail(describe_interrupt(interrupt))
        raise
    except Exception as error:
        log.fail(f"{type(error).__name__}: {error}")
        raise
    else:
        log.say("ended")
    finally:
        file.close()
