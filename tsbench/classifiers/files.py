"""Files of all saved classifiers: a description with its format number, and the report of damage."""

from __future__ import annotations

import json
import pickle
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tsbench import __version__
from tsbench.data.stored import seal, verify
from tsbench.errors import ModelError

__all__ = ["DAMAGE", "NETWORK_FORMAT", "intact", "kind_of", "read_description", "write_description"]

NETWORK_FORMAT = 1
"""Of a network's files."""

FORMATS = {"network": NETWORK_FORMAT, "baseline": 2, "auto": 3, "bag": 3}
"""Format by the kind of classifier; versions of tsbench with format 1 only have only networks."""

NAME = "model.json"

DAMAGE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    IndexError,
    RuntimeError,
    EOFError,
    OverflowError,
    MemoryError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    zlib.error,
)
"""Errors of JSON, pydantic, NumPy, zipfile and torch on damaged files."""


def write_description(folder: Path, kind: str, facts: Mapping[str, Any], files: list[str]) -> None:
    """Writes `model.json`, and the checksums of all files; the last step of saving a classifier.

    Args:
        folder: of the other files.
        kind: of classifier, one of `FORMATS`.
        facts: plain values.
        files: names of the other files.
    """
    about = {"format": FORMATS[kind], "tsbench": __version__, "kind": kind, **facts}
    (folder / NAME).write_text(json.dumps(about, indent=2), encoding="utf-8")
    seal(folder, [NAME, *files], note=False)


def read_description(folder: Path) -> dict[str, Any]:
    """Reads what `write_description` wrote, without comparing checksums.

    Raises:
        ModelError: there is no model in the folder, or it is of a newer format than this version of tsbench reads.
    """
    try:
        about: dict[str, Any] = json.loads((folder / NAME).read_text(encoding="utf-8"))
        version, writer = int(about["format"]), str(about["tsbench"])
    except (OSError, ValueError, KeyError, TypeError):
        raise ModelError(f"{folder} holds no model of tsbench: there is no readable {NAME}") from None
    if version > FORMATS.get(kind_of(about), 0):
        raise ModelError(
            f"{folder} was written by tsbench {writer}, whose files this version ({__version__}) cannot read yet; "
            f"install tsbench {writer} or newer"
        )
    return about


def kind_of(about: Mapping[str, Any]) -> str:
    """The kind of classifier in a description."""
    return str(about.get("kind", "network"))


@contextmanager
def intact(folder: Path) -> Iterator[None]:
    """Compares the files of a folder with their checksums, then reports errors in the block as damage.

    Raises:
        ModelError: the files were changed, or cannot be read.
    """
    try:
        verify(folder, note=False)
        yield
    except ModelError:
        raise
    except DAMAGE as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ModelError(
            f"{folder}: the model's files are damaged ({reason}); fetch the model again, or save it again"
        ) from None
