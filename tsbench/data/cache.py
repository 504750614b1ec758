"""Caches files that have been read: their SHA-256 by size and time, and their cases as memory-mapped arrays.

<root>/seen/<name>.json      SHA-256, size and time of change of a file when it was last read whole
<root>/parsed/<key>/         the cases of a file by its digest: *.npy, and about.json
<root>/checked/<key>         a train and a test file have passed their checks together

All of it may be removed at any time, except that `seen` then forgets which files were ever changed. Any number of
processes may write at once: everything is written to a temporary place and then moved.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from platformdirs import user_cache_path

from tsbench.data.collection import Collection
from tsbench.data.folders import expanded, is_writable
from tsbench.data.formats import CaseFile
from tsbench.data.stored import sha256_of
from tsbench.errors import DataError

__all__ = ["Cache", "Seen", "nothing_kept", "place_for", "user_cache"]

FORMAT = 3
"""Version of the parsed arrays; a change of any reader's results raises it."""

RECENT = 2 * 10**9
"""Nanoseconds for which a file counts as just written."""


_KEEPS: ContextVar[bool] = ContextVar("tsbench_cache_keeps", default=True)


@contextmanager
def nothing_kept() -> Iterator[None]:
    """Within the context nothing is written to any cache; existing entries are used."""
    token = _KEEPS.set(False)
    try:
        yield
    finally:
        _KEEPS.reset(token)


def user_cache() -> Path:
    """The folder that TSBENCH_CACHE names, else the user's cache folder."""
    given = os.environ.get("TSBENCH_CACHE")
    return expanded(given, "TSBENCH_CACHE: ") if given else user_cache_path("tsbench")


def place_for(archive: Path) -> Path:
    """The cache folder of an archive: `.tsbench` in it, or the user's cache if it cannot be written."""
    if os.environ.get("TSBENCH_CACHE") or not is_writable(archive):
        return user_cache()
    return archive / ".tsbench"


@dataclass(frozen=True)
class Seen:
    """A file as it was when it was last read whole."""

    path: str
    sha256: str
    size: int
    modified: int
    inode: int
    changed: int = 0  # change time of the inode; records of older versions lack it

    @classmethod
    def of(cls, path: Path, sha256: str = "") -> Seen:
        """The file as it is now."""
        about = path.stat()
        return cls(str(path), sha256, about.st_size, about.st_mtime_ns, about.st_ino, about.st_ctime_ns)


class Cache:
    """A cache in one folder; see the module.

    Args:
        root: the folder, created on the first write.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(
        self,
        path: Path,
        how: str,
        reader: Callable[[Path], CaseFile],
        changed: Callable[[Seen, str], None] | None = None,
    ) -> tuple[CaseFile, str]:
        """The cases of a file, as memory-mapped arrays if the cache can be written, and its SHA-256.

        Args:
            path: of the file.
            how: what else the result depends on: the reader's name and its options.
            reader: reads the file if its cases are not cached.
            changed: called with the last record and the new SHA-256 if the content is another than when it was last
                read; may raise, and then the record stays.

        Raises:
            DataError: the reader's; or the file cannot be read, or changes while it is read.
        """
        now, digest = self.digest(path, changed)
        folder = self._folder(how, digest)
        if (kept := _load(folder, path)) is not None:
            return kept, digest
        file = reader(path)
        self._refuse_change(path, now, digest)
        return self._kept(folder, file), digest

    def derive(self, path: Path, digest: str, how: str, make: Callable[[], CaseFile]) -> CaseFile:
        """Cases that are made from those of a file, such as a part of them, as memory-mapped arrays.

        Args:
            path: of the file.
            digest: its SHA-256.
            how: what else the result depends on.
            make: makes them if they are not cached.
        """
        folder = self._folder(how, digest)
        return _load(folder, path) or self._kept(folder, make())

    def digest(self, path: Path, changed: Callable[[Seen, str], None] | None = None) -> tuple[Seen, str]:
        """The file as it is now, and its SHA-256, hashed only if size, times or inode are not those on record."""
        try:
            now, before = Seen.of(path), self.seen(path)
            if before is not None and before == replace(now, sha256=before.sha256):
                return before, before.sha256
            sha256 = self.sha256(path)
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}") from None
        if before is not None and before.sha256 != sha256 and changed is not None:
            changed(before, sha256)
        now = replace(now, sha256=sha256)
        self.record(path, now)
        return now, sha256

    def _refuse_change(self, path: Path, before: Seen, digest: str) -> None:
        """Refuses a file that was written to while it was read: its cases may not match its digest.

        Times of change are as coarse as a tick of the system's clock, so a file that is that young is hashed again.
        """
        try:
            recent = time.time_ns() - before.changed < RECENT
            if not recent and Seen.of(path, digest) == before:
                return
            if self.sha256(path) == digest:
                return
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}") from None
        raise DataError(f"{path}: the file was changed while it was read; run the same command again")

    @staticmethod
    def sha256(path: Path) -> str:
        """SHA-256 of a file as it is now."""
        return sha256_of(path)

    def seen(self, path: Path) -> Seen | None:
        """The record of a file; None if there is none that can be read."""
        with suppress(OSError, ValueError, TypeError):
            return Seen(**{**json.loads(self._seen(path).read_text(encoding="utf-8")), "path": str(path)})
        return None

    def record(self, path: Path, seen: Seen) -> None:
        """Records a file as it was when it was read."""
        with suppress(OSError):  # a cache that cannot be written saves no work and does no harm
            self._write(self._seen(path), json.dumps(asdict(seen)))

    def _seen(self, path: Path) -> Path:
        # An archive may be moved with its records, so files in it are identified by their relative path.
        beside = self.root.parent
        name = path.relative_to(beside).as_posix() if path.is_relative_to(beside) else str(path)
        return self.root / "seen" / f"{hashlib.sha256(os.fsencode(name)).hexdigest()[:32]}.json"

    def _folder(self, how: str, digest: str) -> Path:
        return self.root / "parsed" / _key(str(FORMAT), how, digest)

    def _kept(self, folder: Path, file: CaseFile) -> CaseFile:
        """Writes the cases to the cache and returns them from there."""
        if not _KEEPS.get():
            return file
        try:
            self._keep(folder, file)
        except OSError:  # the cache cannot be written; the cases stay in memory
            return file
        return _load(folder, file.path) or file

    def _keep(self, folder: Path, file: CaseFile) -> None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".new-"))
        try:
            file.collection.save(scratch)
            np.save(scratch / "lines.npy", file.lines)
            about = {"missing": file.missing, "remarks": file.remarks}
            (scratch / "about.json").write_text(json.dumps(about), encoding="utf-8")
            scratch.chmod(0o755)
            try:
                scratch.rename(folder)
            except OSError:  # another process was faster, or the entry is damaged
                if _load(folder, file.path) is None:
                    shutil.rmtree(folder, ignore_errors=True)
                    scratch.rename(folder)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def passed(self, *digests: str) -> bool:
        """Whether `note_passed` was called with these digests."""
        return (self.root / "checked" / _key(str(FORMAT), *digests)).exists()

    def note_passed(self, *digests: str) -> None:
        """Records that files with these digests have passed their checks together."""
        with suppress(OSError):
            self._write(self.root / "checked" / _key(str(FORMAT), *digests), "")

    @staticmethod
    def _write(path: Path, text: str) -> None:
        if not _KEEPS.get():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f".{path.name}-{os.getpid()}-{os.urandom(4).hex()}")
        scratch.write_text(text, encoding="utf-8")
        scratch.replace(path)


def _key(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:40]


def _load(folder: Path, path: Path) -> CaseFile | None:
    """Loads an entry; None if it does not exist or is damaged."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
        lines = np.load(folder / "lines.npy", allow_pickle=False)
        return CaseFile(path, Collection.load(folder, note=True), lines, about["missing"], tuple(about["remarks"]))
    return None
