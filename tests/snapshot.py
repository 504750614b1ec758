"""What a folder holds, to compare it with what it held before."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path


def snapshot(folder: Path) -> dict[str, str]:
    """A digest of everything below a folder by its path: of a file's bytes, of a database's content."""
    return {
        str(path.relative_to(folder)): _digest(path)
        for path in sorted(folder.rglob("*"))
        if not path.name.endswith((".db-wal", ".db-shm"))  # of connections that are open; the content counts
    }


def _digest(path: Path) -> str:
    if path.is_dir():
        return "folder"
    content = path.read_bytes()
    if content.startswith(b"SQLite format 3"):
        with closing(sqlite3.connect(path)) as database:
            content = "\n".join(database.iterdump()).encode()
    return hashlib.sha256(content).hexdigest()
