"""Detects that a SQLite store in use was deleted: open connections would continue to write to the deleted file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tsbench.errors import TrackingError, argument

__all__ = ["FileWatch"]


@dataclass(frozen=True)
class FileWatch:
    """A file as it was when the search began; None for a store that is not a file."""

    path: Path | None
    identity: tuple[int, int] | None

    @classmethod
    def of(cls, path: Path | None) -> FileWatch:
        """The file as it is now."""
        return cls(path, None if path is None else _identity(path))

    def check(self) -> None:
        """Raises an error if the file was deleted or replaced.

        Raises:
            TrackingError: with what was lost and what to do.
        """
        if self.path is not None and _identity(self.path) != self.identity:
            raise TrackingError(
                f"the MLflow store {self.path} was deleted, moved or replaced during the search, so nothing can be "
                "recorded in it; put the file back and run the same command again, or run it with "
                f"{argument('--fresh', 'fresh=True')}, which starts a new search"
            )


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of a file, which stay the same however it is written."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
