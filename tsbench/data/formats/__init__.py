"""Reads files of labelled cases; each format is a module, registered in `tsbench.recipe.registries.FORMATS`."""

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
from tsbench.recipe.registries import FORMATS, registered

__all__ = [
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
    "reader_of",
]

SUFFIXES = {suffix: name for name, known in FORMATS.items() for suffix in known.suffixes}
"""Formats by the suffixes of their files."""


def reader_of(name: str) -> Callable[..., CaseFile]:
    """The reader of a format; a reader of tables also takes the roles of the columns."""
    reader: Callable[..., CaseFile] = registered({}, FORMATS[name].read)
    return reader


def format_of(path: Path) -> str:
    """The format of a file by its suffix; `.gz` after it means that a text file is compressed.

    Raises:
        DataError: no format is known by this suffix.
    """
    suffix = suffix_of(path)
    known = SUFFIXES.get(suffix)
    if known is None or (path.suffix.lower() == ".gz" and suffix in FORMATS[known].binary):
        raise DataError(
            f"{path}: no format has the suffix {path.suffix!r}; known: {', '.join(SUFFIXES)}, and text files "
            "with .gz behind, or say which it is with `format:`"
        )
    return known
