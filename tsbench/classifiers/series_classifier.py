"""The base of the estimators: sktime's interface to a `FittedClassifier`, and its file."""

from __future__ import annotations

import io
import json
import operator
import pickle
import re
import tempfile
import warnings
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self
from zipfile import ZIP_STORED, ZipFile

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags
from sktime.classification.base import BaseClassifier

from tsbench.adapters.sktime import FITTED, METADATA, OF_SCIKIT_LEARN, mark_fitted
from tsbench.classifiers.contract import FittedClassifier
from tsbench.classifiers.estimator_state import (
    describe_generator,
    describe_labels,
    read_generator,
    read_labels,
    savable,
)
from tsbench.classifiers.files import DAMAGE
from tsbench.classifiers.saved import load_classifier
from tsbench.data.collection import Collection
from tsbench.data.column_roles import Columns
from tsbench.data.formats.sizes import check_expansion, check_padding
from tsbench.data.formats.table import listed
from tsbench.errors import DataError, ModelError
from tsbench.recipe.plain import plain

__all__ = ["SeriesClassifier", "collection_of", "device_of", "whole_number"]

_STATE = ("n_classes_", "fit_time_", *FITTED)
_CLASSES = {"ensemble": "NetworkClassifier", "auto": "AutoClassifier"}  # by the folder in a saved file


class SeriesClassifier(BaseClassifier):  # type: ignore[misc]
    """An sktime classifier around a `FittedClassifier` whose labels are the numbers of the classes, as texts.

    A subclass implements `_fit_classifier` and sets ATTRIBUTE to the name of the attribute that holds the result.
    """

    ATTRIBUTE: ClassVar[str]
    """The attribute that holds the fitted classifier."""

    FOLDER: ClassVar[str]
    """Its folder in the saved file."""

    _tags = {  # noqa: RUF012 - as sktime declares them
        "authors": ["tsbench"],
        "maintainers": ["tsbench"],
        "python_dependencies": ["torch"],
        "X_inner_mtype": ["df-list", "numpy3D"],
        "y_inner_mtype": "numpy1D",
        "capability:multivariate": True,
        "capability:unequal_length": True,
        "capability:missing_values": True,
        "capability:predict_proba": True,
        "capability:random_state": True,
        "property:randomness": "derandomized",
        "capability:categorical_in_X": False,
        "capability:multithreading": True,
    }

    def fit(self, X: Any, y: Any) -> Self:
        """Fits on all of the cases.

        Args:
            X: the series, of any kind that sktime knows as a panel.
            y: shape (cases,), their labels.

        Raises:
            ValueError: a label is missing, which sktime would treat as a class, or the series cannot be trained on.
        """
        missing = pd.isna(np.asarray(y, dtype=object))
        if missing.any():
            raise ValueError(
                f"{int(missing.sum())} of {missing.size} labels are missing (NaN or None), the first of case "
                f"{int(np.argwhere(missing)[0][0])} (counted from 0); remove these cases"
            )
        if isinstance(y, list | tuple) and not any(isinstance(label, dict) for label in y):
            y = np.asarray(y)  # as scikit-learn takes them; sktime knows only lists of its tables' rows
        fitted: Self = super().fit(X, y)
        return fitted

    @abstractmethod
    def _fit_classifier(self, cases: Collection) -> FittedClassifier:
        """Fits on cases whose labels are the numbers of the classes, as texts that sort as the classes do."""

    def _fit(self, X: Any, y: NDArray[Any]) -> Self:
        if savable(self.classes_) is None:
            describe_labels(self.classes_)  # labels that no file can hold are refused before a long training
        codes = np.array([f"{code:09d}" for code in np.searchsorted(self.classes_, y)])  # sorted as the labels are
        setattr(self, self.ATTRIBUTE, self._fit_classifier(collection_of(X, codes)))
        return self

    @property
    def _classifier(self) -> FittedClassifier:
        fitted: FittedClassifier = getattr(self, self.ATTRIBUTE)
        return fitted

    def _predict_proba(self, X: Any) -> NDArray[np.float64]:
        cases = collection_of(X, known=self._classifier.columns)
        self._warn_of_short(cases)
        return self._classifier.predict_proba(cases)

    def _predict(self, X: Any) -> NDArray[Any]:
        labels: NDArray[Any] = self.classes_[self._predict_proba(X).argmax(axis=1)]
        return labels

    def _warn_of_short(self, cases: Collection) -> None:
        """Warns of cases that `tsbench predict` and a served model refuse.

        No error: sktime's contract is that unequal lengths are taken, and cross-validation over series of very unequal
        lengths would end in one.
        """
        short = self._classifier.unfit_lengths(cases)
        if len(short):
            others = f" ({len(short)} of {len(cases)} cases are too short)" if len(short) > 1 else ""
            problem = self._classifier.describe_length(int(cases.lengths[short[0]]))
            warnings.warn(
                f"case {short[0]} (counted from 0) {problem}{others}; its prediction is likely wrong",
                UserWarning,
                stacklevel=4,
            )

    def reset(self) -> Self:
        """As sktime's, but keeps attributes of scikit-learn.

        sktime's `fit` begins with this and deletes every attribute that is no parameter. Scikit-learn 1.9 sets one
        before a pipeline, a search or any other of its estimators calls `fit`, and deletes it behind, which ends in
        `AttributeError: _parent_callback_ctx` with any estimator of sktime up to 1.2 (sktime issue 11173). Older
        versions of scikit-learn set none of them, so that nothing is kept there.
        """
        kept = {name: vars(self)[name] for name in OF_SCIKIT_LEARN if name in vars(self)}
        super().reset()
        for name, value in kept.items():
            setattr(self, name, value)
        return self

    def __sklearn_tags__(self) -> Tags:
        """Tags that scikit-learn's searches need and sktime's base class lacks."""
        return Tags(
            estimator_type="classifier",
            target_tags=TargetTags(required=True),
            classifier_tags=ClassifierTags(),
            input_tags=InputTags(two_d_array=False, three_d_array=True, allow_nan=True),
        )

    def save(self, path: str | Path | None = None, serialization_format: str = "pickle") -> Any:
        """Saves the parameters as JSON and the fitted classifier without pickled code.

        NumPy's scalars are kept as numbers, arrays as lists, and a `RandomState` as its state.

        Args:
            path: of the zip file, `.zip` is added; None to return it in memory.
            serialization_format: unused, as there is one format; sktime passes it.

        Returns:
            The ZipFile, or for no path a tuple of the class and the file's bytes, which `sktime.base.load` reads.

        Raises:
            ValueError: it was fitted to labels of several columns, for which sktime fits a classifier each; or
                parameters that it was not yet fitted with, or the one label of all cases, are of a kind that JSON and
                NumPy's own format cannot hold.
        """
        if hasattr(self, "classifiers_"):
            raise ValueError(
                "a classifier of several label columns cannot be saved as one; save each of `classifiers_` instead, "
                "such as `classifier.classifiers_.iloc[0, 0].save(path)`"
            )
        buffer = io.BytesIO()
        with ZipFile(buffer, "w", ZIP_STORED) as file:
            # sktime's `load` asks for this: the name of the class. `load_from_path` and `load_from_serial` do not.
            file.writestr("_metadata", pickle.dumps(type(self)))
            file.writestr("estimator.json", self._described())
            if self.is_fitted:
                if (labels := savable(self.classes_)) is not None:
                    classes = io.BytesIO()
                    np.save(classes, labels, allow_pickle=False)
                    file.writestr("classes.npy", classes.getvalue())
                if hasattr(self, self.ATTRIBUTE):
                    with tempfile.TemporaryDirectory() as folder:
                        self._classifier.save(Path(folder))
                        for entry in sorted(path for path in Path(folder).rglob("*") if path.is_file()):
                            file.write(entry, f"{self.FOLDER}/{entry.relative_to(folder).as_posix()}")
        if path is None:
            return type(self), buffer.getvalue()
        path = Path(path)
        target = path if path.suffix == ".zip" else path.with_name(f"{path.name}.zip")
        target.write_bytes(buffer.getvalue())
        return ZipFile(target)

    @classmethod
    def load_from_serial(cls, serial: bytes) -> Self:
        """Loads the result of `save()` onto the CPU.

        Raises:
            ModelError: it is not what `save` gave, or damaged.
        """
        return cls._load(io.BytesIO(serial), "the saved classifier")

    @classmethod
    def load_from_path(cls, serial: str | Path) -> Self:
        """Loads the file of `save(path)` onto the CPU, whatever device it was trained on.

        Raises:
            ModelError: the file does not exist, or is not what `save` wrote, or damaged.
        """
        path = Path(serial)
        if not path.exists() and path.suffix != ".zip":
            path = path.with_name(f"{path.name}.zip")
        return cls._load(path, str(path))

    @classmethod
    def _load(cls, source: Any, name: str) -> Self:
        try:
            with ZipFile(source) as file:
                for entry in file.infolist():
                    check_expansion(name, entry.compress_size, entry.file_size)
                return cls._restored(file)
        except (DataError, ModelError) as error:
            raise ModelError(str(error)) from None
        except FileNotFoundError:
            raise ModelError(f"{name}: file not found") from None
        except DAMAGE as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise ModelError(f"{name}: is not a classifier that tsbench saved, or is damaged ({reason})") from None

    @classmethod
    def _restored(cls, file: ZipFile) -> Self:
        about = json.loads(file.read("estimator.json"))
        folders = {name.partition("/")[0] for name in file.namelist()}
        if others := [other for folder, other in _CLASSES.items() if folder in folders and folder != cls.FOLDER]:
            raise ModelError(f"{file.filename or 'the saved classifier'} holds a {others[0]}; load it by that class")
        loaded = cls(**about["parameters"])
        if about.get("random_state") is not None:
            loaded.random_state = read_generator(about["random_state"])
        if about["state"] is None:
            return loaded
        if about.get("classes") is not None:
            classes = read_labels(about["classes"])
        else:
            classes = np.load(io.BytesIO(file.read("classes.npy")), allow_pickle=False)
            classes = classes.astype(object) if about["labels"] == "object" else classes
        for name in (*_STATE, *METADATA):  # no other class, whatever the file names
            if name in about["state"]:
                setattr(loaded, name, about["state"][name])
        names = [name for name in file.namelist() if name.startswith(f"{cls.FOLDER}/")]
        if names:
            with tempfile.TemporaryDirectory() as folder:
                file.extractall(folder, names)
                setattr(loaded, cls.ATTRIBUTE, load_classifier(Path(folder) / cls.FOLDER))
        mark_fitted(loaded, classes)
        return loaded

    def _described(self) -> str:
        parameters = plain(self.get_params(deep=False))
        if "device" in parameters:
            parameters["device"] = str(parameters["device"])  # a torch.device too
        given = parameters["random_state"]
        generator = describe_generator(given) if isinstance(given, np.random.RandomState) else None
        if generator is not None or given is np.random:  # the module is scikit-learn's other name of None
            parameters["random_state"] = None
        fitted = self.is_fitted
        state = {name: getattr(self, name) for name in _STATE if hasattr(self, name)} if fitted else None
        if state is not None:
            for name in METADATA:
                noted = getattr(self, name)
                state[name] = {key: value for key, value in noted.items() if isinstance(value, str | bool | int)}
        about = {
            "parameters": parameters,
            "random_state": generator,  # its state; apart from the parameters, which older versions pass on unchanged
            "labels": str(self.classes_.dtype) if fitted else None,
            "classes": describe_labels(self.classes_) if fitted and savable(self.classes_) is None else None,
            "state": plain(state),
        }
        try:
            return json.dumps(about, indent=2)
        except TypeError as error:
            raise ValueError(f"the classifier's parameters cannot be saved as JSON: {error}") from None


def whole_number(name: str, value: Any) -> int:
    """A parameter that must be a whole number, of Python's or NumPy's type.

    Raises:
        ValueError: it is not.
    """
    try:
        return operator.index(plain(value))
    except TypeError:
        raise ValueError(f"{name} must be a whole number, got {value!r}") from None


def device_of(device: Any) -> str:
    """The torch device of a name; `auto` is a GPU if there is one.

    Raises:
        ValueError: it is not available.
    """
    name = str(device)  # a torch.device too
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name != "cpu" and not torch.cuda.is_available():
        raise ValueError(f"device {name!r} is not available: torch {torch.__version__} finds no CUDA GPU")
    return name


def collection_of(
    X: NDArray[Any] | Sequence[pd.DataFrame],
    labels: NDArray[np.str_] | None = None,
    known: Columns | None = None,
) -> Collection:
    """A collection of sktime's `numpy3D` or `df-list`; any float or integer type, byte order and stride will do.

    Args:
        X: the series; channels of data frames that have names are taken by name.
        labels: shape (cases,), if they are known.
        known: the channels' names in training, if they had any.

    Raises:
        ValueError: a value is infinite, a case has no time step, or its channels are not those of the training cases.
    """
    columns = known
    if isinstance(X, np.ndarray):
        values = X.astype(np.float64)
        lengths = np.full(len(values), values.shape[2], dtype=np.int64)
    else:
        columns = known or _named(X[0])
        series = [_series(number, case, columns) for number, case in enumerate(X)]
        lengths = np.array([case.shape[1] for case in series], dtype=np.int64)
        try:
            check_padding("X", lengths, len(series[0]))
        except DataError as error:
            raise ValueError(str(error)) from None
        values = np.zeros((len(series), series[0].shape[0], int(lengths.max())))
        for number, case in enumerate(series):
            values[number, :, : case.shape[1]] = case
    if len(lengths) and lengths.min() < 1:
        raise ValueError(f"case {int(lengths.argmin())} has no time step")
    if np.isinf(values).any():
        place, channel, step = (int(index) for index in np.argwhere(np.isinf(values))[0])
        raise ValueError(
            f"case {place}, channel {channel}, time step {step} (all counted from 0): the value is infinite; "
            "replace it, or make it NaN, which marks a missing value"
        )
    return Collection(values, lengths, np.full(len(values), "") if labels is None else labels, columns=columns)


_UNNAMED = re.compile(r"(dim|var)_\d+")
"""Names that sktime gives to channels without names."""


def _named(case: pd.DataFrame) -> Columns | None:
    """The names of a data frame's channels; None if they only count."""
    names = list(case.columns)
    if not all(isinstance(name, str) and not _UNNAMED.fullmatch(name) for name in names):
        return None
    return Columns(label=None, channels=tuple(names))


def _series(number: int, case: pd.DataFrame, columns: Columns | None) -> NDArray[np.float64]:
    """One case of shape (channels, steps), its channels in the order of training."""
    if columns is not None and columns.channels is not None and _named(case) is not None:
        missing = [name for name in columns.channels if name not in case.columns]
        unknown = [name for name in case.columns if name not in columns.channels]
        if missing or unknown or len(case.columns) != len(columns.channels):
            raise ValueError(
                f"case {number} (counted from 0) has the channels {listed(list(case.columns))}; expected "
                f"{listed(columns.channels)}, as in the training cases, in any order"
            )
        case = case[list(columns.channels)]
    values: NDArray[np.float64] = case.to_numpy(dtype=np.float64).T
    return values
