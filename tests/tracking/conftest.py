from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tsbench.classifiers.ensemble import NetworkEnsemble
from tsbench.data.archive import Archive
from tsbench.data.collection import Collection, DataSet
from tsbench.recipe.dotted import hyperparameters_of
from tsbench.tracking import provenance
from tsbench.tracking.models import LoggedModel

SETTINGS = {
    "model.convolution.channels": 4,
    "model.convolution.blocks": 1,
    "model.encoder.type": "gru",
    "model.encoder.layers": 1,
    "model.encoder.hidden_size": 8,
    "model.features.size": 84,
    "training.epochs": 3,
}


@dataclass(frozen=True)
class Fitted:
    """A small ensemble and the data set that it was fitted on."""

    data: DataSet
    ensemble: NetworkEnsemble

    @property
    def some_test_cases(self) -> Collection:
        return self.data.test.subset(np.arange(0, len(self.data.test), 10))

    def to_log(self, folder: Path) -> LoggedModel:
        self.ensemble.save(folder)
        train = self.data.train
        np.savez(folder / "examples.npz", values=train.values[:2], lengths=train.lengths[:2], labels=train.labels[:2])
        return LoggedModel(
            folder,
            "tsbench.classifiers.serving",
            train.values[:1, :, : train.lengths[0]],
            [str(label) for label in self.ensemble.classes],
            provenance.requirements(),
            {"recipe": "none"},
        )


def fitted(name: str) -> Fitted:
    data = Archive().load(name)
    return Fitted(data, NetworkEnsemble.fit(data.train, hyperparameters_of(SETTINGS), seeds=[0, 1]))


@pytest.fixture(scope="session")
def vowels() -> Fitted:
    """Unequal length, 12 channels, 9 classes."""
    return fitted("JapaneseVowels")


@pytest.fixture(scope="session")
def gun_point() -> Fitted:
    """Equal length, one channel, two classes."""
    return fitted("GunPoint")
