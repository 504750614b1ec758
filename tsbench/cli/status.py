"""What a verb reports while it works: nothing, a status line, or every step."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tsbench.errors import RecipeError

__all__ = ["set_verbosity", "working"]


def set_verbosity(verbose: bool, quiet: bool) -> None:
    """Logs to standard error, down to each step, if a verb is to be verbose; the package's own loggers alone.

    Raises:
        RecipeError: it is to be quiet too.
    """
    if verbose and quiet:
        raise RecipeError(["--verbose and --quiet contradict each other; leave one out"])
    if not verbose:
        return
    import logging

    logger = logging.getLogger("tsbench")
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)


@contextmanager
def working(text: str, shown: bool = True) -> Iterator[None]:
    """Shows a status on standard error while the block runs, and removes it; nothing unless that is a terminal.

    The block must not print: what it prints would go to standard error too.
    """
    if not shown or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.markup import escape

    with Console(stderr=True).status(escape(text)):
        yield
