"""The final model as MLflow loads and serves it: accepted input, and the sentence that refuses anything else."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsbench.classifiers.contract import FittedClassifier
from tsbench.classifiers.saved import load_classifier
from tsbench.data.collection import Collection
from tsbench.data.column_roles import Columns
from tsbench.data.formats.long import cases_of, known_columns
from tsbench.data.formats.sizes import check_padding
from tsbench.data.formats.table import Table, listed
from tsbench.errors import DataError, ModelError
from tsbench.recipe.messages import count_of

__all__ = ["NamedCases", "ServedModel", "check", "named_cases", "predict_table", "read_input"]

CASE, TIME, LABEL = "case", "time", "label"
"""Columns of a long table for a model that was not trained on one; all others are channels, in their order."""

FORMS = (
    "an array of shape (cases, channels, time steps), a list of cases that may differ in length, or a long table with "
    f"the columns {CASE!r}, {TIME!r} and one for each channel"
)


@dataclass(frozen=True)
class NamedCases:
    """Cases with the sender's names, in the order in which they are predicted.

    Attributes:
        collection: the cases.
        names: one for each: the numbers from 0, or the values of a long table's case column.
        labels: shape (cases,), their true labels, empty for a case without one; None if nothing is known of them.
    """

    collection: Collection
    names: Sequence[Hashable]
    labels: NDArray[np.str_] | None = None

    @classmethod
    def numbered(cls, collection: Collection) -> NamedCases:
        """Cases named by their numbers from 0."""
        return cls(collection, range(len(collection)))

    def called(self, case: int) -> str:
        """A case's name in a message."""
        name = self.names[case]
        return f"case {name} (counted from 0)" if isinstance(self.names, range) else f"case {name!r}"


class ServedModel:
    """The model that `mlflow.pyfunc.load_model` returns."""

    def __init__(self, classifier: FittedClassifier) -> None:
        self.classifier = classifier

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Labels and probabilities.

        Args:
            model_input: see `read_input`.
            params: unused; MLflow passes it.

        Returns:
            See `predict_table`.

        Raises:
            MlflowException: the model cannot take it; a server answers with status 400 and the sentence.
        """
        try:
            return predict_table(
                self.classifier, read_input(model_input, self.classifier.channels, self.classifier.columns)
            )
        except ModelError as error:
            from tsbench.tracking.models import refusal

            raise refusal(str(error)) from None


def _load_pyfunc(path: str) -> ServedModel:
    """The name that MLflow looks for in a loader module."""
    return ServedModel(load_classifier(Path(path)))


def predict_table(classifier: FittedClassifier, cases: NamedCases) -> pd.DataFrame:
    """Predictions as a table.

    Returns:
        A row for each case, indexed by its name: `label`, and a `probability_<class>` column for each class.

    Raises:
        ModelError: a case is unlike the training cases; see `check`.
    """
    check(classifier, cases)
    probabilities = classifier.predict_proba(cases.collection)
    table = pd.DataFrame({LABEL: classifier.classes[probabilities.argmax(axis=1)]})
    for number, name in enumerate(classifier.classes):
        table[f"probability_{name}"] = probabilities[:, number]
    return table.set_index(pd.Index(list(cases.names), name=CASE))


def check(classifier: FittedClassifier, cases: NamedCases) -> None:
    """Refuses cases unlike the training cases.

    Raises:
        ModelError: another number of channels, a length that the classifier does not take, an infinite value, or a
            missing one if the training cases had none.
    """
    collection = cases.collection
    if not len(collection):
        raise ModelError("there are no cases to predict")
    if collection.channels != classifier.channels:
        raise ModelError(
            f"{cases.called(0)} has {count_of(collection.channels, 'channel')}; the model was trained on "
            f"{count_of(classifier.channels, 'channel')}"
        )
    unfit = classifier.unfit_lengths(collection)
    if len(unfit):
        case = int(unfit[0])
        raise ModelError(f"{cases.called(case)} {classifier.describe_length(int(collection.lengths[case]))}")
    _check_values(classifier, cases)


def _check_values(classifier: FittedClassifier, cases: NamedCases) -> None:
    values = cases.collection.values
    if classifier.missing_values:
        wrong, what = np.isinf(values), "infinite"
        advice = "replace it, or make it NaN, which marks a missing value"
    else:
        wrong, what = ~np.isfinite(values), "infinite"
        advice = "the model was trained on cases without such values; fill them in first"
    if wrong.any():
        case, channel, step = (int(number) for number in np.argwhere(wrong)[0])
        if np.isnan(values[case, channel, step]):
            what = "missing (NaN)"
        if cases.collection.columns is None:
            place, counted = f"channel {channel}", "channels and steps"
        else:
            place, counted = cases.collection.channel_name(channel), "steps"
        raise ModelError(
            f"{cases.called(case)}, {place}, time step {step}: the value is {what}; {advice} ({counted} counted from 0)"
        )


def read_input(model_input: Any, channels: int, columns: Columns | None = None) -> NamedCases:
    """Converts a caller's input to cases.

    Args:
        model_input: one of

            - an array of shape (cases, channels, time steps), or (cases, time steps) for a model of one channel;
            - a list of cases that may differ in length, each an array or nested lists of shape (channels, time steps),
              or a flat list for a model of one channel; null is a missing value;
            - a long data frame with the columns of the training table, in any order, or for a model that was not
              trained on a table `case`, `time` and one for each channel (a column of labels is ignored); or an index of
              case and time; also as a mapping of columns to lists, or as a list of rows, as JSON has it;
            - JSON text of one of these.
        channels: of the model.
        columns: of the table that the model was trained on; None if it was not trained on one.

    Raises:
        ModelError: it is none of these.
    """
    if isinstance(model_input, bytes | str):
        try:
            model_input = json.loads(model_input, object_pairs_hook=_mapping)
        except (ValueError, RecursionError) as error:
            raise ModelError(f"the text is not JSON: {error}; expected {FORMS}") from None
    if isinstance(model_input, dict):
        model_input = _frame(model_input)
    if isinstance(model_input, list) and model_input and all(isinstance(row, dict) for row in model_input):
        model_input = _frame(model_input)
    if isinstance(model_input, pd.DataFrame):
        return _of_frame(model_input, channels, columns)
    if isinstance(model_input, np.ndarray) and model_input.dtype != object:
        return NamedCases.numbered(_of_array(model_input, channels))
    if isinstance(model_input, list | tuple | np.ndarray):
        return NamedCases.numbered(_of_list(list(model_input), channels))
    raise ModelError(f"cases of type {type(model_input).__name__} are not supported; expected {FORMS}")


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Parses a JSON object; Python would use the last of several values of one name."""
    found = dict(pairs)
    if len(found) < len(pairs):
        repeated = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
        raise ModelError(f"columns named more than once: {listed(repeated)}; give each its own name")
    return found


def _frame(columns: Any) -> pd.DataFrame:
    if isinstance(columns, dict) and any(isinstance(column, dict) for column in columns.values()):
        raise ModelError(f"the table's columns must be lists of values, not mappings; expected {FORMS}")
    try:
        return pd.DataFrame(columns)
    except (ValueError, TypeError, OverflowError) as error:
        raise ModelError(f"the table's columns do not fit together ({error}); expected {FORMS}") from None


def _of_array(array: NDArray[Any], channels: int) -> Collection:
    if array.ndim == 2 and channels == 1:
        array = array[:, None, :]
    if array.ndim != 3:
        raise ModelError(f"the array has the shape {array.shape}; expected {FORMS}")
    if array.dtype.kind not in "fiub":  # NumPy would drop imaginary parts, and take dates for numbers
        raise ModelError(f"the array is of type {array.dtype}, which is not numbers")
    values = array.astype(np.float64)
    return Collection(values, np.full(len(values), values.shape[2], dtype=np.int64), np.full(len(values), ""))


def _of_list(cases: Sequence[Any], channels: int) -> Collection:
    series = [_series(number, case, channels) for number, case in enumerate(cases)]
    return _collected(series, [f"case {number} (counted from 0)" for number in range(len(series))])


def _series(number: int, case: Any, channels: int) -> NDArray[np.float64]:
    """One case of shape (channels, its steps)."""
    try:
        array = np.array(case, dtype=np.float64)  # None becomes NaN
    except OverflowError:
        raise ModelError(f"case {number} (counted from 0) holds a number that is too large") from None
    except (ValueError, TypeError):
        lengths = (
            {len(channel) for channel in case if isinstance(channel, list | tuple)}
            if isinstance(case, list | tuple)
            else ()
        )
        if len(lengths) > 1:
            raise ModelError(
                f"case {number} (counted from 0) has channels of different lengths: "
                f"{', '.join(map(str, sorted(lengths)))}"
            ) from None
        raise ModelError(f"case {number} (counted from 0) holds something that is not a number") from None
    if array.ndim == 1 and channels == 1:
        array = array[None, :]
    if array.ndim != 2:
        raise ModelError(f"case {number} (counted from 0) has the shape {array.shape}; expected {FORMS}")
    return array


def _collected(series: Sequence[NDArray[np.float64]], called: Sequence[str]) -> Collection:
    widths = [len(case) for case in series]
    for number, width in enumerate(widths):
        if width != widths[0]:
            raise ModelError(
                f"{called[number]} has {count_of(width, 'channel')}, {called[0]} has {widths[0]}; all must have the "
                "same number"
            )
    lengths = np.array([case.shape[1] for case in series], dtype=np.int64)
    try:
        check_padding("the cases", lengths, widths[0] if widths else 0)
    except DataError as error:
        raise ModelError(str(error)) from None
    values = np.zeros((len(series), widths[0] if widths else 0, int(lengths.max(initial=0))))
    for number, case in enumerate(series):
        values[number, :, : case.shape[1]] = case
    return Collection(values, lengths, np.full(len(series), ""))


def _of_frame(frame: pd.DataFrame, channels: int, columns: Columns | None) -> NamedCases:
    """The cases of a long table, read as the training table was."""
    if isinstance(frame.index, pd.MultiIndex) and frame.index.nlevels == 2:
        known = columns or Columns()
        usual = [known.case, known.time or TIME]
        names = [name or usual[level] for level, name in enumerate(frame.index.names)]
        if not set(names) & set(frame.columns):
            frame = frame.rename_axis(index=names).reset_index()
    if not len(frame):
        return NamedCases(_collected([], []), [])
    try:
        return named_cases(Table.of_frame(frame), channels, columns)
    except DataError as error:
        raise ModelError(str(error)) from None


def named_cases(
    table: Table, channels: int, columns: Columns | None, given: Mapping[str, str] | None = None
) -> NamedCases:
    """The cases of a table, by the training table's columns.

    Args:
        table: the table.
        channels: of the model.
        columns: of the training table; None if the model was not trained on one.
        given: the table's own columns by their role, if their names differ from those in training.

    Raises:
        DataError: a column is missing, unknown, or has invalid values.
    """
    known = columns or Columns(label=LABEL)
    if known.channels is None and (given or {}).get("case", known.case) not in table.columns:
        raise DataError(
            f"{table.name} has no column {known.case!r} (its columns: {listed(table.columns)}); expected {FORMS}"
        )
    read = cases_of(table, found := known_columns(table, known, given), labelled=False)
    cases = read.collection
    if known.channels is None and cases.channels != channels:
        raise DataError(
            f"{table.name} has {count_of(cases.channels, 'channel')} ({listed(found.channels or ())}); the model was "
            f"trained on {count_of(channels, 'channel')}"
        )
    return NamedCases(cases, read.names, None if found.label is None else cases.labels)
