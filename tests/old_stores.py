"""Working folders that earlier versions of tsbench wrote: recipes, MLflow store, models and studies, kept as assets.

`python -m tests.old_stores FOLDER ARCHIVE [OLD=NEW ...]` packs one; tests/assets/README.md says how they were made.
"""

from __future__ import annotations

import shutil
import sqlite3
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

ASSETS = Path(__file__).parent / "assets"
HOME = "/tmp/tsbench-old"  # the folder that packed files name instead of the one they were made in
UNUSED = ("*.png", "*.lock", "lock", "*.db-shm", "*.db-wal")
TEXTS = (".json", ".yaml", ".md", ".txt")


def unpack(name: str, folder: Path) -> Path:
    """Unpacks an archive of the assets into a folder, and lets its store and studies name their new place."""
    with tarfile.open(ASSETS / f"{name}.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    rename(folder, {HOME: str(folder)})
    return folder


def pack(folder: Path, file: Path, renamed: Mapping[str, str]) -> None:
    """Packs a working folder without pictures, with what is renamed in its database and its texts."""
    with tempfile.TemporaryDirectory() as text:
        copy = Path(text) / "copy"
        shutil.copytree(folder, copy)
        rename(copy, {str(folder): HOME, **renamed})  # which merges the write-ahead log too
        for path in [path for pattern in UNUSED for path in copy.rglob(pattern)]:
            path.unlink()
        with tarfile.open(file, "w:xz", preset=9) as archive:
            archive.add(copy, ".", filter=_anonymous)


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def rename(folder: Path, renamed: Mapping[str, str]) -> None:
    """Replaces texts in the MLflow database and in all text files of a folder."""
    with closing(sqlite3.connect(folder / "mlflow.db")) as database:
        for table, column in list(_columns(database)):
            for old, new in renamed.items():
                database.execute(
                    f'UPDATE "{table}" SET "{column}" = replace("{column}", ?, ?) WHERE instr("{column}", ?)',
                    (old, new, old),
                )
        database.commit()
        database.execute("VACUUM")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for path in folder.rglob("*"):
        if path.is_file() and (path.suffix in TEXTS or path.name == "MLmodel"):
            text = path.read_text(encoding="utf-8")
            for old, new in renamed.items():
                text = text.replace(old, new)
            path.write_text(text, encoding="utf-8")


def _columns(database: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    """Every column of text."""
    for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        for _, column, kind, *_ in database.execute(f'PRAGMA table_info("{table}")').fetchall():
            if "CHAR" in kind.upper() or "TEXT" in kind.upper():
                yield table, column


if __name__ == "__main__":
    given = [argument.split("=", 1) for argument in sys.argv[3:]]
    pack(Path(sys.argv[1]), Path(sys.argv[2]), dict(given))
