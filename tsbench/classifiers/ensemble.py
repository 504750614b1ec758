"""The fitted network classifier: an ensemble of networks that differ in their seed, and its files."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tsbench import __version__
from tsbench.classifiers.contract import Budget, Classifier, FittedClassifier
from tsbench.classifiers.explanation import Explanation, explain
from tsbench.classifiers.files import DAMAGE, intact, kind_of, read_description, write_description
from tsbench.data.collection import Collection
from tsbench.data.column_roles import Columns
from tsbench.data.preprocessing import Preprocessing
from tsbench.errors import ModelError
from tsbench.nn.network import Network, build_network
from tsbench.recipe.former import FORMER, with_former_values
from tsbench.recipe.messages import count_of
from tsbench.recipe.schema import HyperparameterConfig
from tsbench.recipe.space import leaves
from tsbench.training.inference import predict_probabilities
from tsbench.training.jobs import Job, Series
from tsbench.training.memory import train_within_memory
from tsbench.training.trainer import train

__all__ = ["NetworkEnsemble", "TunedNetwork", "encode"]


def encode(labels: NDArray[np.str_], classes: NDArray[np.str_]) -> NDArray[np.int64]:
    """Class numbers of labels that are all among `classes`, which are sorted."""
    return np.searchsorted(classes, labels).astype(np.int64)


@dataclass
class NetworkEnsemble(FittedClassifier):
    """Networks of one configuration whose probabilities are averaged.

    Attributes:
        hyperparameters: their configuration.
        classes: shape (classes,), sorted labels.
        preprocessing: fitted on the training cases.
        channels: channels of a case.
        length: longest training case in time steps, after resampling if there is such.
        members: the networks, in evaluation mode.
        shortest: shortest training case in time steps, as it was given.
        longest: longest training case in time steps, as it was given.
        missing_values: whether a training case had missing values.
        columns: of the table that the training cases were read from; None if it was not a table.
    """

    hyperparameters: HyperparameterConfig
    classes: NDArray[np.str_]
    preprocessing: Preprocessing
    channels: int
    length: int
    members: list[Network] = field(default_factory=list)
    shortest: int = 1
    longest: int = 0
    missing_values: bool = True
    columns: Columns | None = None

    @classmethod
    def fit(
        cls,
        cases: Collection,
        hyperparameters: HyperparameterConfig,
        seeds: Iterable[int],
        device: str = "cpu",
        on_epoch: Callable[[int], None] | None = None,
    ) -> NetworkEnsemble:
        """Trains a network for each seed on all of the cases; `on_epoch` is passed to the trainer."""
        return cls.fit_with_history(cases, hyperparameters, seeds, device, on_epoch)[0]

    @classmethod
    def fit_with_history(
        cls,
        cases: Collection,
        hyperparameters: HyperparameterConfig,
        seeds: Iterable[int],
        device: str = "cpu",
        on_epoch: Callable[[int], None] | None = None,
    ) -> tuple[NetworkEnsemble, list[Job]]:
        """As `fit`, with the jobs, whose histories are the learning curves."""
        ensemble = cls(
            hyperparameters,
            cases.classes,
            prepared := Preprocessing.fit(cases, hyperparameters.preprocessing),
            cases.channels,
            prepared.steps(cases),
            shortest=int(cases.lengths.min()),
            longest=int(cases.lengths.max()),
            missing_values=cases.missing_values,
            columns=cases.columns,
        )
        series = Series(prepared.series(cases), prepared.lengths(cases))
        targets = encode(cases.labels, ensemble.classes)
        seeds = [operator.index(seed) for seed in seeds]  # also NumPy's integers

        def attempt(accumulation_steps: int) -> list[Job]:
            settings, groups = (hyperparameters.model, hyperparameters.training), cases.group_numbers()
            jobs = [Job(series, targets, len(ensemble.classes), seed, *settings, groups) for seed in seeds]
            train(jobs, device, on_epoch, accumulation_steps)
            return jobs

        jobs = train_within_memory(attempt, device)
        ensemble.members = [job.network for job in jobs if job.network is not None]
        return ensemble, jobs

    def predict_proba(self, cases: Collection) -> NDArray[np.float64]:
        """Mean of the members' class probabilities, shape (cases, classes).

        Raises:
            ValueError: the cases have another number of channels than the training cases.
        """
        if cases.channels != self.channels:
            trained = count_of(self.channels, "channel")
            raise ValueError(f"the model was trained on {trained}, these cases have {cases.channels}")
        series = Series(self.preprocessing.series(cases), self.preprocessing.lengths(cases))
        mean: NDArray[np.float64] = np.mean(
            [predict_probabilities(member, series).astype(np.float64) for member in self.members], axis=0
        )
        return mean

    def summary(self) -> str:
        """The number of networks."""
        count = count_of(len(self.members), "neural network")
        return f"{count}, whose class probabilities are averaged" if len(self.members) > 1 else count

    def explain(self, cases: Collection) -> Explanation:
        """The steps that the members attend to when they predict these cases (row N22)."""
        return explain(self, cases)

    def save(self, folder: Path) -> None:
        """Writes `model.json`, one file of weights for each member, and their checksums; no code is pickled."""
        folder.mkdir(parents=True, exist_ok=True)
        files = [f"weights-{number}.pt" for number in range(len(self.members))]
        for name, member in zip(files, self.members, strict=True):
            torch.save({key: value.cpu() for key, value in member.state_dict().items()}, folder / name)
        write_description(folder, "network", self._description(), files)

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> NetworkEnsemble:
        """Reads what `save` wrote, onto any device.

        Raises:
            ModelError: there is no network in the folder, its files are damaged, or a newer or an earlier version of
                tsbench wrote what this one cannot read.
        """
        about = read_description(folder)
        if kind_of(about) != "network":
            raise ModelError(f"{folder} holds a {kind_of(about)}, not a network")
        with intact(folder):
            try:
                return cls._restored(about, folder, device)
            except DAMAGE:
                if missing := _settings_not_recorded(about):
                    raise ModelError(
                        f"{folder} was saved by an earlier version of tsbench, whose networks this version "
                        f"({__version__}) cannot build, as {missing[0]} was not recorded; run the search again with "
                        "this version"
                    ) from None
                raise

    @classmethod
    def _restored(cls, about: dict[str, Any], folder: Path, device: str) -> NetworkEnsemble:
        prepared = about["preprocessing"]
        ensemble = cls(
            HyperparameterConfig.model_validate_json(json.dumps(with_former_values(about["hyperparameters"]))),
            np.array(about["classes"]),
            Preprocessing(
                prepared["normalise"],
                np.array(prepared["mean"]),
                np.array(prepared["scale"]),
                prepared["missing"],
                np.array(prepared["marked"], dtype=np.int64),
                prepared.get("length", 0),
            ),
            about["channels"],
            about["length"],
            shortest=about.get("shortest", 1),
            longest=about.get("longest", about["length"]),
            missing_values=about.get("missing_values", True),
            columns=Columns.from_json(about["columns"]) if about.get("columns") else None,
        )
        for number in range(about["members"]):
            weights = torch.load(folder / f"weights-{number}.pt", map_location=device, weights_only=True)
            ensemble.members.append(ensemble.member(weights, device))
        return ensemble

    def member(self, weights: dict[str, torch.Tensor], device: str = "cpu") -> Network:
        """A network of this configuration with given weights, in evaluation mode."""
        channels = self.preprocessing.channels
        network = build_network(self.hyperparameters.model, channels, len(self.classes), self.length, seed=0)
        network.load_state_dict(weights)
        return network.to(device).eval()

    def _description(self) -> dict[str, Any]:
        return {
            "hyperparameters": self.hyperparameters.model_dump(mode="json"),
            "classes": [str(label) for label in self.classes],
            "preprocessing": {
                "normalise": self.preprocessing.normalise,
                "mean": self.preprocessing.mean.tolist(),
                "scale": self.preprocessing.scale.tolist(),
                "missing": self.preprocessing.missing,
                "marked": self.preprocessing.marked.tolist(),
                "length": self.preprocessing.length,
            },
            "channels": self.channels,
            "length": self.length,
            "shortest": self.shortest,
            "longest": self.longest,
            "missing_values": self.missing_values,
            "columns": None if self.columns is None else self.columns.to_json(),
            "members": len(self.members),
        }


@dataclass(frozen=True)
class TunedNetwork(Classifier):
    """Networks of one configuration, before they are trained.

    Attributes:
        hyperparameters: their configuration.
        networks: how many, which differ in their seed.
        device: to train on, such as `cpu` or `cuda:0`.
    """

    hyperparameters: HyperparameterConfig
    networks: int = 5
    device: str = "cpu"

    def refuses(self, *collections: Collection) -> str | None:
        """The network takes cases of any lengths, with missing values, of as many channels as in training."""
        channels = {cases.channels for cases in collections}
        if len(channels) > 1:
            return (
                f"it takes cases of one number of channels only, and these have {', '.join(map(str, sorted(channels)))}"
            )
        return None

    def fit(self, cases: Collection, seed: int, budget: Budget | None = None) -> NetworkEnsemble:
        """Trains the networks, and moves them to the CPU, so that they can be sent to a process without their device.

        The budget is checked after each epoch.
        """
        seeds = np.random.SeedSequence(seed).generate_state(self.networks).tolist()
        budget = budget or Budget()
        ensemble = NetworkEnsemble.fit(
            cases, self.hyperparameters, seeds, self.device, on_epoch=lambda epoch: budget.check()
        )
        ensemble.members = [member.cpu() for member in ensemble.members]
        return ensemble


def _settings_not_recorded(about: dict[str, Any]) -> list[str]:
    """Settings of this version that a saved model does not name, as the version that saved it had no such setting."""
    try:
        recorded = {name for name, _ in _leaves(about["hyperparameters"])}
    except (KeyError, AttributeError):
        return []
    return [name for name, _ in leaves(HyperparameterConfig) if name not in recorded and name not in FORMER]


def _leaves(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
