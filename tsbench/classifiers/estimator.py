"""The network as an sktime classifier."""

from __future__ import annotations

import io
import json
import operator
import os
import pickle
import re
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, ZipFile

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags, check_random_state
from sktime.classification.base import BaseClassifier

from tsbench.adapters.sktime import FITTED, METADATA, OF_SCIKIT_LEARN, converted, mark_fitted
from tsbench.classifiers.ensemble import NetworkEnsemble
from tsbench.classifiers.estimator_state import (
    describe_generator,
    describe_labels,
    read_generator,
    read_labels,
    savable,
)
from tsbench.classifiers.explanation import Explanation, draw, explain
from tsbench.classifiers.files import DAMAGE
from tsbench.data.collection import Collection
from tsbench.data.column_roles import Columns
from tsbench.data.formats.sizes import check_expansion, check_padding
from tsbench.data.formats.table import listed
from tsbench.errors import DataError, ModelError
from tsbench.recipe.dotted import hyperparameters_of
from tsbench.recipe.plain import plain

__all__ = ["NetworkClassifier"]

_STATE = ("n_classes_", "fit_time_", *FITTED)


class NetworkClassifier(BaseClassifier):  # type: ignore[misc]
    """An ensemble of networks that differ in their seed, their class probabilities averaged.

    Takes series of one or several channels, of equal or unequal length, with or without missing values (NaN). Channels
    of data frames are taken by name, in any order; those of arrays by their position.

    Args:
        config: settings by the dotted names of a recipe, such as `{"model.encoder.type": "lstm",
            "training.epochs": 50}`, or nested groups of them; `tsbench schema` prints all, and docs/network.md tells
            what they do. None for the defaults. NumPy's numbers count as Python's, here and below.
        ensemble: number of networks.
        device: `auto` (a GPU where there is one), `cpu`, `cuda` or `cuda:N`.
        n_jobs: processes of one torch thread each, in which networks are trained side by side on the CPU; None trains
            them one after the other in this process.
        random_state: of the networks' seeds; the same number gives the same bits on the same CPU, also beside other
            threads. As in scikit-learn, a `RandomState` is drawn from, and None draws from NumPy's global generator;
            nothing else reads or changes NumPy's, Python's or torch's global generators.

    Attributes:
        ensemble_: the fitted `NetworkEnsemble`.

    Example:
        >>> from sktime.datasets import load_unit_test
        >>> from tsbench import NetworkClassifier
        >>> X, y = load_unit_test(split="train")
        >>> classifier = NetworkClassifier({"training.epochs": 10}, ensemble=2).fit(X, y)
        >>> classifier.predict_proba(X).shape
        (20, 2)
    """

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

    def __init__(
        self,
        config: Mapping[str, Any] | None = None,
        ensemble: int = 5,
        device: str = "auto",
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.config = config
        self.ensemble = ensemble
        self.device = device
        self.n_jobs = n_jobs
        self.random_state = random_state
        super().__init__()

    def fit(self, X: Any, y: Any) -> NetworkClassifier:
        """Trains the networks.

        Args:
            X: the series, of any kind that sktime knows as a panel.
            y: shape (cases,), their labels.

        Raises:
            ValueError: a label is missing, which sktime would take for a class, or the series cannot be trained on.
        """
        missing = pd.isna(np.asarray(y, dtype=object))
        if missing.any():
            raise ValueError(
                f"{int(missing.sum())} of {missing.size} labels are missing (NaN or None), the first of case "
                f"{int(np.argwhere(missing)[0][0])} (counted from 0); leave these cases out"
            )
        fitted: NetworkClassifier = super().fit(X, y)
        return fitted

    def _fit(self, X: Any, y: NDArray[Any]) -> NetworkClassifier:
        hyperparameters = hyperparameters_of(self.config)
        members = _whole("ensemble", self.ensemble)
        if members < 1:
            raise ValueError(f"ensemble must be at least 1, got {members}")
        if savable(self.classes_) is None:
            describe_labels(self.classes_)  # labels that no file can hold are refused before hours of training
        device = _device(self.device)
        codes = np.array([f"{code:09d}" for code in np.searchsorted(self.classes_, y)])  # sorted as the labels are
        cases = _collection(X, codes)
        seeds = check_random_state(plain(self.random_state)).randint(2**31 - 1, size=members).tolist()
        if self.n_jobs is None or device != "cpu":
            fitted = [NetworkEnsemble.fit(cases, hyperparameters, [seed], device) for seed in seeds]
        else:
            from joblib import Parallel, delayed

            alone, home = delayed(_fit_alone), os.getpid()
            fitted = Parallel(_whole("n_jobs", self.n_jobs))(
                alone(cases, hyperparameters, seed, home) for seed in seeds
            )
        self.ensemble_ = fitted[0]
        self.ensemble_.members = [network.members[0] for network in fitted]
        return self

    def _predict_proba(self, X: Any) -> NDArray[np.float64]:
        cases = _collection(X, known=self.ensemble_.columns)
        self._warn_of_short(cases)
        return self.ensemble_.predict_proba(cases)

    def _predict(self, X: Any) -> NDArray[Any]:
        labels: NDArray[Any] = self.classes_[self._predict_proba(X).argmax(axis=1)]
        return labels

    def explain(self, X: Any) -> Explanation:
        """What the networks looked at in some cases: attention, and where the pooled maxima lie, on time steps.

        Args:
            X: as for `predict`; a few chosen cases, as attention weights are of steps by steps.

        Raises:
            ValueError: there are no networks, as the training cases were all of one class.
        """
        cases = self._explained_cases(X)
        explanation = explain(self.ensemble_, cases)
        return replace(explanation, predictions=self.classes_[explanation.predictions.astype(int)])

    def draw_explanation(self, X: Any, case: int, path: str | Path) -> None:
        """Writes a PNG of one case: the series over its attention, and below it where the pooled maxima lie.

        Args:
            X: as for `predict`.
            case: number of the case, from 0.
            path: the file.
        """
        cases = self._explained_cases(X).subset(np.array([case]))
        explanation = explain(self.ensemble_, cases)
        predictions = self.classes_[explanation.predictions.astype(int)]
        draw(replace(explanation, predictions=predictions), cases, 0, path, f"case {case}")

    def _explained_cases(self, X: Any) -> Collection:
        self.check_is_fitted()
        if not hasattr(self, "ensemble_"):
            raise ValueError(
                "there is nothing to explain: all training cases were of one class, so no network was trained"
            )
        cases = _collection(converted(self, X), known=self.ensemble_.columns)
        self._warn_of_short(cases)
        return cases

    def _warn_of_short(self, cases: Collection) -> None:
        """Warns of cases that `tsbench predict` and a served model refuse.

        No error: sktime's contract is that unequal lengths are taken, and cross-validation over series of very unequal
        lengths would end in one.
        """
        short = self.ensemble_.unfit_lengths(cases)
        if len(short):
            others = f" ({len(short)} of {len(cases)} cases are too short)" if len(short) > 1 else ""
            problem = self.ensemble_.describe_length(int(cases.lengths[short[0]]))
            warnings.warn(
                f"case {short[0]} (counted from 0) {problem}{others}; its prediction is likely wrong",
                UserWarning,
                stacklevel=4,
            )

    def reset(self) -> NetworkClassifier:
        """As sktime's, but what belongs to scikit-learn stays.

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
        """What scikit-learn's searches ask; sktime's base class does not say it."""
        return Tags(
            estimator_type="classifier",
            target_tags=TargetTags(required=True),
            classifier_tags=ClassifierTags(),
            input_tags=InputTags(two_d_array=False, three_d_array=True, allow_nan=True),
        )

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        """Settings with which sktime's tests are quick."""
        small = {
            "model.convolution.channels": 4,
            "model.features.size": 84,
            "training.epochs": 3,
            "training.min_steps": 0,
        }
        recurrent = {**small, "model.preset": "classic", "model.encoder.hidden_size": 4, "model.head.hidden_sizes": [8]}
        return [{"config": small, "ensemble": 2}, {"config": recurrent, "ensemble": 1, "random_state": 7}]

    def save(self, path: str | Path | None = None, serialization_format: str = "pickle") -> Any:
        """Saves the parameters as JSON, the fitted networks as weights; nothing in it is code.

        NumPy's scalars are kept as numbers, arrays as lists, and a `RandomState` as its state.

        Args:
            path: of the zip file, `.zip` is added; None to return it in memory.
            serialization_format: for sktime's sake; there is one format.

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
                if hasattr(self, "ensemble_"):
                    with tempfile.TemporaryDirectory() as folder:
                        self.ensemble_.save(Path(folder))
                        for entry in sorted(Path(folder).iterdir()):
                            file.write(entry, f"ensemble/{entry.name}")
        if path is None:
            return type(self), buffer.getvalue()
        path = Path(path)
        target = path if path.suffix == ".zip" else path.with_name(f"{path.name}.zip")
        target.write_bytes(buffer.getvalue())
        return ZipFile(target)

    @classmethod
    def load_from_serial(cls, serial: bytes) -> NetworkClassifier:
        """Loads what `save()` gave, onto the CPU.

        Raises:
            ModelError: it is not what `save` gave, or damaged.
        """
        return cls._load(io.BytesIO(serial), "the saved classifier")

    @classmethod
    def load_from_path(cls, serial: str | Path) -> NetworkClassifier:
        """Loads what `save(path)` wrote, onto the CPU, whatever it was trained on.

        Raises:
            ModelError: there is no such file, or it is not what `save` wrote, or damaged.
        """
        path = Path(serial)
        path = path if path.exists() else path.with_name(f"{path.name}.zip")
        return cls._load(path, str(path))

    @classmethod
    def _load(cls, source: Any, name: str) -> NetworkClassifier:
        try:
            with ZipFile(source) as file:
                for entry in file.infolist():
                    check_expansion(name, entry.compress_size, entry.file_size)
                return cls._restored(file)
        except (DataError, ModelError) as error:
            raise ModelError(str(error)) from None
        except FileNotFoundError:
            raise ModelError(f"{name}: there is no such file") from None
        except DAMAGE as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise ModelError(f"{name}: is not a classifier that tsbench saved, or is damaged ({reason})") from None

    @classmethod
    def _restored(cls, file: ZipFile) -> NetworkClassifier:
        about = json.loads(file.read("estimator.json"))
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
        for name in (*_STATE, *METADATA):  # nothing else, whatever the file says
            if name in about["state"]:
                setattr(loaded, name, about["state"][name])
        names = [name for name in file.namelist() if name.startswith("ensemble/")]
        if names:
            with tempfile.TemporaryDirectory() as folder:
                file.extractall(folder, names)
                loaded.ensemble_ = NetworkEnsemble.load(Path(folder) / "ensemble")
        mark_fitted(loaded, classes)
        return loaded

    def _described(self) -> str:
        parameters = plain(self.get_params(deep=False))
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
            "random_state": generator,  # its state; apart from the parameters, which older versions hand on as they are
            "labels": str(self.classes_.dtype) if fitted else None,
            "classes": describe_labels(self.classes_) if fitted and savable(self.classes_) is None else None,
            "state": plain(state),
        }
        try:
            return json.dumps(about, indent=2)
        except TypeError as error:
            raise ValueError(f"the classifier's parameters cannot be saved as JSON: {error}") from None


def _fit_alone(cases: Collection, hyperparameters: Any, seed: int, home: int) -> NetworkEnsemble:
    """One network: on one thread in a worker process, with the threads that torch has in the process `home` itself.

    joblib runs tasks in the calling process if there is one job, below another task, and if the user asks for threads.
    """
    if os.getpid() == home:
        return NetworkEnsemble.fit(cases, hyperparameters, [seed], "cpu")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return NetworkEnsemble.fit(cases, hyperparameters, [seed], "cpu")
    finally:
        torch.set_num_threads(before)  # joblib keeps the process for tasks of others


def _whole(name: str, value: Any) -> int:
    """A parameter that is a whole number, of Python's or NumPy's type."""
    try:
        return operator.index(plain(value))
    except TypeError:
        raise ValueError(f"{name} must be a whole number, got {value!r}") from None


def _device(device: Any) -> str:
    name = str(device)  # a torch.device too
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name != "cpu" and not torch.cuda.is_available():
        raise ValueError(f"device {name!r} is not there: torch {torch.__version__} sees no CUDA GPU")
    return name


def _collection(
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
            "replace it, or make it NaN, which is taken for missing"
        )
    return Collection(values, lengths, np.full(len(values), "") if labels is None else labels, columns=columns)


_UNNAMED = re.compile(r"(dim|var)_\d+")
"""What sktime calls channels that have no names."""


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
