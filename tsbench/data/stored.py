"""Checksums of arrays in a folder, so that a changed byte on the disk is noticed before use.

<folder>/checksums.json      SHA-256 of each file when it was written
<folder>/verified.json       size, times and inode of each file when it was last verified

Files whose size, times and inode are those of the last verification are not hashed again: a memory map of a large array
is opened in a moment, and any write to a file changes its time of change, which no program can set back.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path

__all__ = ["CHECKSUMS", "VERIFIED", "seal", "sha256_of", "verify"]

CHECKSUMS, VERIFIED = "checksums.json", "verified.json"


def seal(folder: Path, names: list[str], note: bool = True) -> None:
    """Writes the checksums of files that were just written, and with `note` records them as verified."""
    state = {name: _state(folder / name) for name in names}
    sums = {name: sha256_of(folder / name) for name in names}
    _write(folder / CHECKSUMS, json.dumps(sums))
    if note:
        _write(folder / VERIFIED, json.dumps(state))


def verify(folder: Path, note: bool = True) -> None:
    """Compares the files of a folder with their checksums; a folder of an older version has none.

    Files are hashed again only if their size, times or inode differ from the last recorded verification.

    Args:
        folder: the folder.
        note: record the verification.

    Raises:
        OSError: a file cannot be read.
        ValueError: a file differs from what was written.
    """
    if not (folder / CHECKSUMS).exists():
        return
    sums: dict[str, str] = json.loads((folder / CHECKSUMS).read_text(encoding="utf-8"))
    state = {name: _state(folder / name) for name in sums}
    with suppress(OSError, ValueError):
        if json.loads((folder / VERIFIED).read_text(encoding="utf-8")) == state:
            return
    for name, sha256 in sums.items():
        if sha256_of(folder / name) != sha256:
            raise ValueError(f"{folder / name} differs from what was written")
    if note:
        with suppress(OSError):  # a folder that cannot be written is verified each time
            _write(folder / VERIFIED, json.dumps(state))


def sha256_of(path: Path) -> str:
    """SHA-256 of a file as it is now, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _state(path: Path) -> list[int]:
    about = path.stat()
    return [about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino]


def _write(path: Path, text: str) -> None:
    scratch = path.with_name(f".{path.name}-{os.getpid()}-{os.urandom(4).hex()}")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(path)
