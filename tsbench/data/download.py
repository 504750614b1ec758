"""Downloads data sets with sktime's downloader into a temporary folder, and moves them when they are complete."""

from __future__ import annotations

import hashlib
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from filelock import FileLock

from tsbench.adapters.sktime import downloader, mirrors
from tsbench.data.cache import user_cache
from tsbench.data.folders import ts_files
from tsbench.data.formats import read_ts
from tsbench.errors import DataError

__all__ = ["TIMEOUT", "Progress", "cause_of", "download"]

TIMEOUT = 30.0
"""Seconds without data after which a download fails."""

EVERY = 0.2  # seconds between two reports of progress

Progress = Callable[[str, int], None]
"""Called with a data set's name and the number of bytes received."""


def download(name: str, home: Path, progress: Progress | None = None) -> Path:
    """Fetches a data set into `home/name` from the first of sktime's mirrors that has it.

    Another process that needs the same data set waits for it.

    Args:
        name: a data set's name, checked by the caller.
        home: the archive's folder.
        progress: called with the number of bytes received.

    Raises:
        DataError: no mirror has it; gives each mirror's reason.
        OSError: nothing can be written there.
    """
    target = home / name
    with _only_one(target):
        if all(file.is_file() for file in ts_files(target)):
            return target
        return _download(name, target, progress)


@contextmanager
def _only_one(target: Path) -> Iterator[None]:
    locks = user_cache() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with FileLock(locks / f"{hashlib.sha256(str(target).encode()).hexdigest()[:32]}.lock"):
        yield


def _download(name: str, target: Path, progress: Progress | None) -> Path:
    home = target.parent
    place = next(folder for folder in (home, *home.parents) if folder.is_dir())
    reasons = {}
    with tempfile.TemporaryDirectory(dir=place, prefix=".download-") as text, _sktime_within(Path(text)):
        folder = Path(text)
        for mirror in mirrors():
            try:
                with _reported(name, folder, progress):
                    arrived = _fetch(f"{mirror}/{name}.zip", folder / name)
            except Exception as error:  # a mirror may fail in any way
                reasons[urlsplit(mirror).hostname] = cause_of(error).replace(f"{folder}/{name}/", "")
                continue
            home.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                whole = folder / "whole"  # only the two files, whatever else is in the zip file
                whole.mkdir()
                for file in ts_files(arrived):
                    shutil.move(file, whole / file.name)
                whole.rename(target)
            return target
    raise DataError("; ".join(f"{host}: {reason}" for host, reason in reasons.items()))


def _fetch(url: str, folder: Path) -> Path:
    """Unpacks one mirror's zip file and reads its files; sktime's loaders would stop at the first mirror's failure.

    Raises:
        DataError: it is not a data set that can be read.
        Exception: any error of sktime's downloader.
    """
    downloader(url).download(folder.parent, force_download=True)
    for file in ts_files(folder):
        if not file.is_file() or file.is_symlink():
            raise DataError(f"the download holds no {file.name}")
        read_ts(file)
    return folder


def cause_of(error: BaseException) -> str:
    """The cause of an error in a few words, such as `Connection refused` or `File is not a zip file`."""
    while inner := error.__cause__ or (None if error.__suppress_context__ else error.__context__):
        error = inner
    text = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else text[:157] + "..."


@contextmanager
def _sktime_within(folder: Path) -> Iterator[None]:
    """Sktime's download sets no time-out, and leaves its zip file in the system's temporary folder when it fails."""
    timeout, temporary = socket.getdefaulttimeout(), tempfile.tempdir
    socket.setdefaulttimeout(TIMEOUT)
    tempfile.tempdir = str(folder)
    try:
        yield
    finally:
        socket.setdefaulttimeout(timeout)
        tempfile.tempdir = temporary


@contextmanager
def _reported(name: str, folder: Path, progress: Progress | None) -> Iterator[None]:
    """Reports progress while sktime, which reports none, downloads into a folder."""
    if progress is None:
        yield
        return
    ended = threading.Event()

    def watch(tell: Progress) -> None:
        while not ended.wait(EVERY):
            tell(name, _bytes_in(folder))

    watcher = threading.Thread(target=watch, args=(progress,), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
        progress(name, _bytes_in(folder))


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:  # moved in the meantime
            continue
    return total
