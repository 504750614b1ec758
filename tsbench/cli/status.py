"""Says on a terminal what a verb is at while it is silent, such as importing a library or fetching a model."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["working"]


@contextmanager
def working(text: str) -> Iterator[None]:
    """Shows a status on standard error while the block runs, and removes it; nothing if that is no terminal.

    The block must not print: what it prints would go to standard error too.
    """
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.markup import escape

    with Console(stderr=True).status(escape(text)):
        yield
