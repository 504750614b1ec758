"""Reads NumPy's .npz files of arrays; pickled objects, which could run code, are refused."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsbench.data.collection import Collection
from tsbench.data.formats.case_file import CaseFile, as_texts
from tsbench.errors import DataError

__all__ = ["read_npz"]

VALUES, LABELS = ("values", "X"), ("labels", "y")
AT_ONCE = 2**22  # values


def read_npz(path: Path) -> CaseFile:
    """Reads a file of arrays.

    `values` (or `X`) of shape (cases, channels, steps) or (cases, steps), `labels` (or `y`) of shape (cases,), and
    where there are such `lengths` and `groups` of shape (cases,). Without `lengths`, missing values (NaN) at a case's
    end mean that it ends there. Numbers keep their precision: float32 stays float32, all else becomes float64.

    Raises:
        DataError: names the file and array at fault.
    """
    arrays = _arrays(path)
    values = _array(path, arrays, VALUES)
    labels = _array(path, arrays, LABELS)
    if values.ndim == 2:
        values = values[:, None, :]
    if values.ndim != 3 or values.dtype.kind not in "fiub" or 0 in values.shape:
        raise DataError(
            f"{path}: values must be numbers of shape (cases, channels, steps) or (cases, steps), none of them 0; "
            f"got {values.dtype} of shape {values.shape}"
        )
    if values.dtype != np.float32:
        values = values.astype(np.float64)
    texts = _per_case(path, "labels", labels, len(values))
    if (texts == "").any():
        raise DataError(f"{path}: case {int(np.argmax(texts == '')) + 1} has an empty label")
    groups = _per_case(path, "groups", arrays["groups"], len(values)) if "groups" in arrays else None
    lengths = _given_lengths(path, arrays["lengths"], values) if "lengths" in arrays else _own_lengths(path, values)
    if (lengths < values.shape[2]).any():
        values = values[:, :, : int(lengths.max())].copy()
        for case in np.flatnonzero(lengths < values.shape[2]):
            values[case, :, lengths[case] :] = 0
    return CaseFile(path, Collection(values, lengths, texts, groups), np.zeros(0, dtype=np.int64), True)


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise DataError(f"{path}: holds a single array; expected an .npz file of values and labels")
            return {name: file[name] for name in file.files}
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (
        ValueError,
        KeyError,
        EOFError,
        SyntaxError,
        TypeError,
        OverflowError,
        NotImplementedError,
        RuntimeError,
    ) as e:
        raise DataError(f"{path}: is not a whole .npz file: {_first_line(e)}") from None
    except (zipfile.BadZipFile, zlib.error, MemoryError) as error:
        raise DataError(f"{path}: is not a whole .npz file: {_first_line(error)}") from None


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:160]


def _array(path: Path, arrays: dict[str, NDArray[Any]], names: tuple[str, ...]) -> NDArray[Any]:
    for name in names:
        if name in arrays:
            return arrays[name]
    raise DataError(f"{path}: there is no array {' or '.join(names)}; there are: {', '.join(arrays) or 'none'}")


def _per_case(path: Path, name: str, array: NDArray[Any], cases: int) -> NDArray[np.str_]:
    if array.shape != (cases,) or array.dtype.kind not in "iubUSf":
        raise DataError(
            f"{path}: {name} must be numbers or texts of shape ({cases},), as there are {cases} cases; "
            f"got {array.dtype} of shape {array.shape}"
        )
    if array.dtype.kind == "f":
        if not (np.isfinite(array) & (array == np.round(array))).all():
            raise DataError(f"{path}: {name} must be whole numbers or texts; is it a regression target?")
        array = array.astype(np.int64)
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8", "replace")
    return as_texts(array)


def _given_lengths(path: Path, lengths: NDArray[Any], values: NDArray[np.floating]) -> NDArray[np.int64]:
    right = lengths.shape == (len(values),) and lengths.dtype.kind in "iu"
    if not right or lengths.min() < 1 or lengths.max() > values.shape[2]:
        raise DataError(
            f"{path}: lengths must be {len(values)} whole numbers from 1 to {values.shape[2]}, the number of steps"
        )
    return lengths.astype(np.int64)


def _own_lengths(path: Path, values: NDArray[np.floating]) -> NDArray[np.int64]:
    """Up to the last step at which a channel has a value."""
    lengths = np.full(len(values), values.shape[2], dtype=np.int64)
    for case in np.flatnonzero(np.isnan(values[:, :, -1]).all(axis=1)):
        present = np.flatnonzero(~np.isnan(values[case]).all(axis=0))
        if not len(present):
            raise DataError(f"{path}: case {case + 1} has no value at all; leave the case out")
        lengths[case] = present[-1] + 1
    return lengths
