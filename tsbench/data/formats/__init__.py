"""Reads files of labelled cases; each format is a module, and `READERS` says which suffix it is known by."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tsbench.data.formats.arff import read_arff
from tsbench.data.formats.case_file import CaseFile
from tsbench.data.formats.long import read_long, read_long_alike
from tsbench.data.formats.npz import read_npz
from tsbench.data.formats.table import column_names
from tsbench.data.formats.text import suffix_of
from tsbench.data.formats.ts import is_labelled, read_ts
from tsbench.data.formats.ucr import read_ucr
from tsbench.errors import DataError

__all__ = [
    "READERS",
    "SUFFIXES",
    "CaseFile",
    "column_names",
    "format_of",
    "is_labelled",
    "read_arff",
    "read_long",
    "read_long_alike",
    "read_npz",
    "read_ts",
    "read_ucr",
]

READERS: dict[str, Callable[..., CaseFile]] = {
    "ts": read_ts,
    "arff": read_arff,
    "ucr": read_ucr,
    "npz": read_npz,
}
"""Formats that say of themselves what their parts are; the long format needs the names of its columns."""

SUFFIXES = {
    ".ts": "ts",
    ".arff": "arff",
    ".tsv": "ucr",
    ".txt": "ucr",
    ".npz": "npz",
    ".csv": "long",
    ".parquet": "long",
    ".pq": "long",
}


def format_of(path: Path) -> str:
    """The format that a file's suffix names; `.gz` after it means that a text file is compressed.

    Raises:
        DataError: no format is known by this suffix.
    """
    suffix = suffix_of(path)
    known = SUFFIXES.get(suffix)
    if known is None or (path.suffix.lower() == ".gz" and suffix in (".npz", ".parquet", ".pq")):
        raise DataError(
            f"{path}: no format is known by the suffix {path.suffix!r}; known: {', '.join(SUFFIXES)}, and text files "
            "with .gz behind, or say which it is with `format:`"
        )
    return known
