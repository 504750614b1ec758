"""A status line on a terminal while a verb imports a library or fetches a model."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["working"]


@contextmanager
def working(text: str) -> Iterator[None]:
    """Shows a status on standard error while the block runs, and removes it; nothing unless that is a terminal.

    The block must not print: what it prints would go to standard error too.
    """
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.markup import escape

    with Console(stderr=True).status(escape(text)):
        yield
