"""Standard output and error streams that may close: a closed terminal, a pipe whose reader has exited."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

__all__ = ["lasting_output", "print_json"]

GONE = (errno.EIO, errno.EPIPE, errno.ENXIO, errno.EBADF)


class _LastingStream:
    """A text stream whose writes never fail; text that cannot be written is dropped."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Writes text if the stream is still open."""
        with self._without_errors():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flushes the stream if it is still open."""
        with self._without_errors():
            self._stream.flush()

    @contextmanager
    def _without_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            # After a full disk the next line may succeed. Without a reader, Python's own flush at exit
            # would fail too, and change the exit code.
            if error.errno in GONE:
                self._discard()

    def _discard(self) -> None:
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


@contextmanager
def lasting_output() -> Iterator[None]:
    """Within the context, printing never raises an OSError, so that work and its records continue without a reader."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (_LastingStream(stream) for stream in before)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = before


def print_json(tree: Any) -> None:
    """Prints plain data, with paths and NumPy's numbers in it, as JSON."""
    import json

    from tsbench.recipe.plain import plain

    print(json.dumps(plain(tree), indent=2, allow_nan=False, default=str))
