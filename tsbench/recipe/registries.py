"""Registries: the names that recipes choose from, each with the place of its code.

They do not import torch, so that a recipe is checked without importing what it names. What the schema, the command
line and the code know of these names is derived from them: a new one is a line here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from keyword import iskeyword
from typing import TYPE_CHECKING, Any, Literal

from tsbench.recipe.messages import shown

__all__ = [
    "AUTO_PRESETS",
    "COLLECTIONS",
    "COSTS",
    "ENCODERS",
    "FEATURES",
    "FORMATS",
    "LAUNCHERS",
    "METRICS",
    "POOLINGS",
    "PRUNERS",
    "SAMPLERS",
    "SCHEDULERS",
    "AutoPreset",
    "Encoder",
    "Format",
    "FormatName",
    "Launcher",
    "Metric",
    "Objective",
    "Pooling",
    "Pruner",
    "Sampler",
    "Scheduler",
    "import_path_problem",
    "registered",
]

FEATURES: dict[str, Any] = {
    "minirocket": "tsbench.nn.features.minirocket:MiniRocket",
    "hydra": "tsbench.nn.features.hydra:Hydra",
    "spectrum": "tsbench.nn.features.spectrum:Spectrum",
    "statistics": "tsbench.nn.features.statistics:Statistics",
}
"""Feature blocks (row N21): a new one is a file in `tsbench/nn/features` and a line here."""

ENCODERS: dict[str, Any] = {
    "lstm": "tsbench.nn.network:recurrent_encoder",
    "gru": "tsbench.nn.network:recurrent_encoder",
    "transformer": "tsbench.nn.network:transformer_encoder",
    "none": "tsbench.nn.network:no_encoder",
}

POOLINGS = {"max": ("max",), "average": ("average",), "both": ("max", "average")}
"""Poolings over time, each with the pools that it puts side by side."""

SCHEDULERS: dict[str, Any] = {
    "cosine": "tsbench.training.schedules:cosine",
    "cosine_restarts": "tsbench.training.schedules:cosine_restarts",
    "one_cycle": "tsbench.training.schedules:one_cycle",
    "plateau": "tsbench.training.schedules:plateau",
    "constant": "tsbench.training.schedules:constant",
}

SAMPLERS: dict[str, Any] = {
    "tpe": "tsbench.studies.sampling:tpe",
    "gp": "tsbench.studies.sampling:gaussian_process",
    "cmaes": "tsbench.studies.sampling:cma_es",
    "nsga2": "tsbench.studies.sampling:nsga_2",
    "random": "tsbench.studies.sampling:uniform",
    "grid": "tsbench.studies.sampling:uniform",  # every combination is enqueued, so the sampler draws none
}

PRUNERS: dict[str, Any] = {
    "median": "tsbench.studies.pruning:MEDIAN",
    "hyperband": "tsbench.studies.pruning:HYPERBAND",
    "successive_halving": "tsbench.studies.pruning:SUCCESSIVE_HALVING",
    "wilcoxon": "tsbench.studies.pruning:WILCOXON",
    "bound": "tsbench.studies.pruning:BOUND",
    "none": "tsbench.studies.pruning:NONE",
}

METRICS: dict[str, Any] = {
    "accuracy": "tsbench.evaluation.metrics:accuracy",
    "balanced_accuracy": "tsbench.evaluation.metrics:balanced_accuracy",
    "f1_macro": "tsbench.evaluation.metrics:f1_macro",
    "log_loss": "tsbench.evaluation.metrics:log_loss",
    "roc_auc": "tsbench.evaluation.metrics:roc_auc",
}

COSTS = ("predict_seconds", "parameters")
"""Objectives of a search besides metrics."""

LAUNCHERS: dict[str, Any] = {
    "local": None,  # the pool itself starts child processes
    "ray": "tsbench.workers.ray:RayLauncher",
}


@dataclass(frozen=True)
class Format:
    """A format of files of labelled cases.

    Attributes:
        suffixes: of its files.
        read: place of its reader, which takes the path.
        columns: whether the reader needs the roles of the columns, too.
        binary: suffixes of binary files, which are not read with `.gz` appended.
    """

    suffixes: tuple[str, ...]
    read: str
    columns: bool = False
    binary: tuple[str, ...] = ()


FORMATS = {
    "ts": Format((".ts",), "tsbench.data.formats.ts:read_ts"),
    "arff": Format((".arff",), "tsbench.data.formats.arff:read_arff"),
    "ucr": Format((".tsv", ".txt"), "tsbench.data.formats.ucr:read_ucr"),
    "npz": Format((".npz",), "tsbench.data.formats.npz:read_npz", binary=(".npz",)),
    "long": Format(
        (".csv", ".parquet", ".pq"), "tsbench.data.formats.long:read_long", columns=True, binary=(".parquet", ".pq")
    ),
}

COLLECTIONS: dict[str, dict[str, str | bool]] = {
    "ucr": {"archive": "ucr"},
    "ucr-128": {"archive": "ucr"},
    "ucr-112": {"archive": "ucr", "regular": True},
    "ucr-85": {"archive": "ucr", "ucr_2015": True},
    "uea": {"archive": "uea"},
    "uea-30": {"archive": "uea"},
    "uea-26": {"archive": "uea", "regular": True},
    "ucr-142": {"listed": True},
    "multiverse-133": {"listed": True},
    "multiverse-66": {"listed": True},
    "monster-29": {"listed": True},
}
"""Collections of data sets, as the literature counts them; regular ones have equal lengths and no missing values.

The names of listed ones are in `datasets/collections.csv`; the catalogue does not know the sizes of all of them.
"""

_QUICK = ("minirocket", "quant", "multirocket-hydra", "rdst")

AUTO_PRESETS: dict[str, tuple[str, ...]] = {
    "quick": _QUICK,
    "good": (*_QUICK, "network"),
    "best": (*_QUICK, "network", "rist", "weasel2", "drcif", "rocket"),
}
"""Members of `auto` by preset, in the order in which they are tried; see docs/auto.md."""

if TYPE_CHECKING:
    AutoPreset = str
    Encoder = str
    FormatName = str
    Launcher = str
    Metric = str
    Objective = str
    Pooling = str
    Pruner = str
    Sampler = str
    Scheduler = str
else:
    AutoPreset = Literal[tuple(AUTO_PRESETS)]
    Encoder = Literal[tuple(ENCODERS)]
    FormatName = Literal["auto", *FORMATS]
    Launcher = Literal[tuple(LAUNCHERS)]
    Metric = Literal[tuple(METRICS)]
    Objective = Literal[(*METRICS, *COSTS)]
    Pooling = Literal[tuple(POOLINGS)]
    Pruner = Literal[tuple(PRUNERS)]
    Sampler = Literal[tuple(SAMPLERS)]
    Scheduler = Literal[tuple(SCHEDULERS)]

MAX_PATH = 500  # characters of an import path


def registered(registry: Mapping[str, Any], name: str) -> Any:
    """The object of a name; a name that is not in the registry is an import path, `package.module.Class`.

    Raises:
        ImportError, AttributeError: its place does not exist.
    """
    place = registry.get(name, name)
    if not isinstance(place, str):
        return place
    module, _, attribute = place.partition(":") if ":" in place else place.rpartition(".")
    return getattr(import_module(module), attribute)


def import_path_problem(path: str) -> str | None:
    """The problem with an import path, found without importing anything; None if there is none."""
    parts = path.split(".")
    if len(path) > MAX_PATH or not all(part.isidentifier() and not iskeyword(part) for part in parts):
        return f"{shown(path)} is not an import path, such as sktime.classification.kernel_based.RocketClassifier"
    # For a name without dots, find_spec imports nothing. Workers have another __main__.
    installed = parts[0] != "__main__" and find_spec(parts[0]) is not None
    return None if installed else f"{shown(path)} cannot be imported: there is no package {shown(parts[0])}"
