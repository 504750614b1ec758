"""`tsbench.load_dataset` and `tsbench.load_model`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tsbench.api.sources import store_for

if TYPE_CHECKING:
    from tsbench.data.collection import DataSet
    from tsbench.models.reopening import SavedModel

__all__ = ["load_dataset", "load_model"]


def load_dataset(
    name: str | Path,
    resample: int = 0,
    *,
    test: str | Path | None = None,
    archive: str | Path | None = None,
    **reading: Any,
) -> DataSet:
    """Reads a data set of the UCR and UEA archives, downloaded if it is not available, or the user's own files.

    Args:
        name: a data set's name, or a file of labelled cases: .ts, .arff, .tsv, .npz, .csv or .parquet.
        resample: number of the resample; 0 for the archive's own split.
        test: a file of test cases; without it part of the cases of a file are held out.
        archive: a folder of data sets, searched first.
        reading: settings of a file, as in a recipe: `case`, `time`, `label`, `group`, `channels`, `split`, ...

    Returns:
        The data set; `train` and `test` have `X` and `y` for classifiers of sktime, aeon and tsbench.

    Raises:
        DataError: it is not available, or broken.
        RecipeError: the settings of a file are wrong.

    Examples:
        >>> import tsbench
        >>> data = tsbench.load_dataset("GunPoint")
        >>> data.train
        Collection(50 cases of 2 classes, 1 channel, 150 time steps)
        >>> data.train.X.shape, data.train.y.shape
        ((50, 1, 150), (50,))
    """
    from tsbench.data.archive import Archive
    from tsbench.data.custom_data import load_own, own_data
    from tsbench.data.folders import is_file
    from tsbench.evaluation.resampling import resample as resampled

    folder = None if archive is None else Path(archive)
    if is_file(str(name)) or Path(name).suffix or test is not None or reading:
        loaded = load_own(own_data(name, test, reading))
    else:
        loaded = Archive(folder).load(str(name))
    return resampled(loaded, resample)


def load_model(reference: str | Path, tracking_uri: str | None = None) -> SavedModel:
    """Loads a fitted network, baseline or `auto` that a search recorded.

    Args:
        reference: id of its MLflow run, or of a search's parent run for its final network, `models:/NAME@best` or
            another of MLflow's addresses of models, or a folder with a model's files.
        tracking_uri: the MLflow store; by default MLFLOW_TRACKING_URI, else sqlite:///mlflow.db.

    Returns:
        The model: `predict`, `predict_proba` and `predict_table` take arrays, long tables and files.

    Raises:
        ModelError: there is no such model, or it is of a newer version or of another project.
        TrackingError: the store failed, or there is no such run.
    """
    from tsbench.models.reopening import open_model

    return open_model(store_for(tracking_uri), str(reference))
