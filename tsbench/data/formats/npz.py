"""Reads NumPy's .npz files of arrays; pickled objects that could run code are refused."""

from __future__ import annotations

import pickle
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from tsbench.data.collection import Collection
from tsbench.data.formats.case_file import CaseFile
from tsbench.data.formats.labels import label_text, name_text
from tsbench.data.formats.sizes import check_expansion
from tsbench.errors import DataError

__all__ = ["read_npz"]

VALUES, LABELS = ("values", "X"), ("labels", "y")


def read_npz(path: Path, labelled: bool = True) -> CaseFile:
    """Reads a file of arrays.

    `values` (or `X`) of shape (cases, channels, steps) or (cases, steps), `labels` (or `y`) of shape (cases,) or
    (cases, 1), and if there are any `lengths` and `groups` of shape (cases,). Labels and groups may be numbers, texts,
    or objects that are texts or numbers. Without `lengths`, missing values (NaN) at a case's end mean that it ends
    there. Numbers keep their precision: float32 stays float32, all else becomes float64. Other arrays are not read.

    Args:
        path: the file.
        labelled: whether there must be labels; otherwise a missing one is empty.

    Raises:
        DataError: names the file and array at fault.
    """
    with _opened(path) as file:
        values = file.array(VALUES)
        labels = file.texts(LABELS, len(values) if values.ndim else 0, labelled)
        groups = file.texts(("groups",), len(values)) if file.has("groups") else None
        lengths = file.array(("lengths",)) if file.has("lengths") else None
    if values.ndim == 2:
        values = values[:, None, :]
    if values.ndim != 3 or values.dtype.kind not in "fiub" or 0 in values.shape:
        raise DataError(
            f"{path}: values must be numbers of shape (cases, channels, steps) or (cases, steps), none of them 0; "
            f"got {values.dtype} of shape {values.shape}"
        )
    if values.dtype != np.float32:
        values = values.astype(np.float64)
    remarks = _remarks(path, values)
    steps = _own_lengths(path, values) if lengths is None else _given_lengths(path, lengths, values)
    if (steps < values.shape[2]).any():
        values = values[:, :, : int(steps.max())].copy()
        for case in np.flatnonzero(steps < values.shape[2]):
            values[case, :, steps[case] :] = 0
    return CaseFile(path, Collection(values, steps, labels, groups), np.zeros(0, dtype=np.int64), True, remarks)


def _remarks(path: Path, values: NDArray[np.floating]) -> tuple[str, ...]:
    channels, steps = values.shape[1:]
    if channels <= steps:
        return ()
    of = "time step" if steps == 1 else "time steps"
    return (
        f"{path}: {channels} channels of {steps} {of}, as the values are of shape (cases, channels, steps); if they "
        "are of shape (cases, steps, channels), as Keras has them, save values.transpose(0, 2, 1)",
    )


class _Arrays:
    """The arrays of an open file, each read on first use."""

    def __init__(self, path: Path, file: np.lib.npyio.NpzFile) -> None:
        self._path, self._file = path, file

    def has(self, name: str) -> bool:
        return name in self._file.files

    def array(self, names: tuple[str, ...]) -> NDArray[Any]:
        """The first array of one of the names."""
        name = self._name(names)
        with self._file.zip.open(f"{name}.npy") as content:
            if _header(content)[1] == np.dtype(object):
                raise DataError(f"{self._path}: array {name!r} holds Python objects; save numbers, as by astype(float)")
        return self._read(name)

    def texts(self, names: tuple[str, ...], cases: int, required: bool = True) -> NDArray[np.str_]:
        """What the cases are called in an array of one of the names, shape (cases,)."""
        if not required and not any(map(self.has, names)):
            return np.full(cases, "")
        name = self._name(names)
        array = self._objects(name)
        if array.shape == (cases, 1):
            array = array[:, 0]
        what = "labels" if names is LABELS else name
        self._check(what, array, cases)
        spelled = label_text if names is LABELS else name_text
        try:
            texts = [spelled(value) for value in array.tolist()]
        except UnicodeDecodeError as error:
            raise DataError(
                f"{self._path}: {what} hold a byte (0x{error.object[error.start]:02x}) that is not UTF-8"
            ) from None
        if required and "" in texts:
            raise DataError(
                f"{self._path}: case {texts.index('') + 1} has no {what.removesuffix('s')}; add one, or remove the case"
            )
        return np.array(texts, dtype=np.str_)

    def _read(self, name: str) -> NDArray[Any]:
        """Reads an array, unless it expands far beyond its compressed size."""
        about = self._file.zip.getinfo(f"{name}.npy")
        check_expansion(f"{self._path}: array {name!r}", about.compress_size, about.file_size)
        array: NDArray[Any] = self._file[name]
        return array

    def _name(self, names: tuple[str, ...]) -> str:
        for name in names:
            if self.has(name):
                return name
        found = ", ".join(self._file.files) or "none"
        raise DataError(f"{self._path}: there is no array {' or '.join(names)}; available: {found}")

    def _objects(self, name: str) -> NDArray[Any]:
        """Reads an array of objects, which NumPy pickles; only plain texts and numbers are unpickled."""
        with self._file.zip.open(f"{name}.npy") as content:
            shape, dtype = _header(content)
            if dtype != np.dtype(object):
                return self._read(name)
            loaded = _PlainUnpickler(content).load()
        if not isinstance(loaded, np.ndarray) or loaded.shape != shape:
            raise ValueError(f"the array {name!r} does not match its header")
        return loaded

    def _check(self, what: str, array: NDArray[Any], cases: int) -> None:
        """Refuses an array that does not name each case."""
        if array.ndim == 2 and array.shape[0] == cases and array.dtype.kind in "iufb":
            raise DataError(
                f"{self._path}: {what} are of shape {array.shape}, a column for each class; save one column of class "
                f"numbers, such as {what}.argmax(axis=1)"
            )
        if array.shape != (cases,) or array.dtype.kind not in "iubUSfO":
            raise DataError(
                f"{self._path}: {what} must be numbers or texts of shape ({cases},), as there are {cases} cases; "
                f"got {array.dtype} of shape {array.shape}"
            )
        if array.dtype.kind == "f" and not (np.isnan(array) | (np.isfinite(array) & (array == np.round(array)))).all():
            raise DataError(f"{self._path}: {what} must be whole numbers or texts; is it a regression target?")
        if array.dtype.kind == "O" and (odd := [label for label in array.tolist() if not isinstance(label, _PLAIN)]):
            raise DataError(f"{self._path}: {what} must be numbers or texts; got one of type {type(odd[0]).__name__}")


def _header(content: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """An array's shape and type; the rest of the content is its values."""
    npy: Any = np.lib.format
    read = npy.read_array_header_1_0 if npy.read_magic(content) == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(content)
    return shape, dtype


_PLAIN = (str, bytes, int, float, type(None))
_ALLOWED = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    *((f"numpy.{package}.multiarray", "_reconstruct") for package in ("core", "_core")),
}


_NDARRAY = object()
"""Replaces the class, so that a pickle can name it but not call it."""


class _PlainUnpickler(pickle.Unpickler):
    """Unpickles an array of texts and numbers; any other class or function is refused before it is looked up."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise ValueError(
                f"objects of {module}.{name} are not loaded, as they could run code; save texts or numbers"
            )
        return {"_reconstruct": _empty_array, "ndarray": _NDARRAY, "dtype": np.dtype}[name]

    def persistent_load(self, pid: Any) -> NoReturn:
        raise ValueError("references to other objects are not loaded")


def _empty_array(kind: Any, shape: Any, code: Any) -> NDArray[Any]:
    """What NumPy begins a pickled array with; its content and shape follow in the pickle."""
    if kind is not _NDARRAY or shape != (0,):
        raise ValueError("is not a pickled array")
    return np.empty(0, dtype=object)


@contextmanager
def _opened(path: Path) -> Iterator[_Arrays]:
    """The arrays of a file. Raises a `DataError` if the file is damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise DataError(f"{path}: holds a single array; expected an .npz file of values and labels")
            yield _Arrays(path, file)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    except _DAMAGE as error:
        raise DataError(f"{path}: is not a complete .npz file: {_first_line(error)}") from None


_DAMAGE = (
    ValueError,
    KeyError,
    EOFError,
    SyntaxError,
    TypeError,
    AttributeError,
    IndexError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
    MemoryError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What NumPy, zipfile and pickle raise on a damaged file."""


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:160]


def _given_lengths(path: Path, lengths: NDArray[Any], values: NDArray[np.floating]) -> NDArray[np.int64]:
    right = lengths.shape == (len(values),) and lengths.dtype.kind in "iu"
    if not right or lengths.min() < 1 or lengths.max() > values.shape[2]:
        raise DataError(
            f"{path}: lengths must be {len(values)} whole numbers from 1 to {values.shape[2]}, the number of steps"
        )
    return lengths.astype(np.int64)


def _own_lengths(path: Path, values: NDArray[np.floating]) -> NDArray[np.int64]:
    """Lengths up to the last step at which a channel has a value."""
    lengths = np.full(len(values), values.shape[2], dtype=np.int64)
    for case in np.flatnonzero(np.isnan(values[:, :, -1]).all(axis=1)):
        present = np.flatnonzero(~np.isnan(values[case]).all(axis=0))
        if not len(present):
            raise DataError(f"{path}: case {case + 1} has no value at all; remove the case")
        lengths[case] = present[-1] + 1
    return lengths
