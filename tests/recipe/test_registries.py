"""Each name that recipes choose from is written once: in its registry."""

from typing import get_args

import pytest

from tsbench.recipe import registries
from tsbench.recipe.registries import registered
from tsbench.recipe.schema import (
    EncoderConfig,
    ExecutionConfig,
    ModelConfig,
    OwnDataConfig,
    Recipe,
    SearchConfig,
    Settings,
    TrainingConfig,
)

PLACES = ("ENCODERS", "FEATURES", "LAUNCHERS", "METRICS", "PRUNERS", "SAMPLERS", "SCHEDULERS")


@pytest.mark.parametrize(
    ("registry", "name"), [(registry, name) for registry in PLACES for name in getattr(registries, registry)]
)
def test_every_registered_name_has_code(registry: str, name: str) -> None:
    assert registered(getattr(registries, registry), name) is not None or name == "local"


@pytest.mark.parametrize("name", registries.FORMATS)
def test_every_format_has_a_reader_and_suffixes(name: str) -> None:
    known = registries.FORMATS[name]
    assert callable(registered({}, known.read))
    assert set(known.binary) <= set(known.suffixes)


@pytest.mark.parametrize(
    ("group", "key", "registry"),
    [
        (EncoderConfig, "type", registries.ENCODERS),
        (ExecutionConfig, "launcher", registries.LAUNCHERS),
        (ModelConfig, "pooling", registries.POOLINGS),
        (OwnDataConfig, "format", ["auto", *registries.FORMATS]),
        (SearchConfig, "metric", registries.METRICS),
        (SearchConfig, "pruner", registries.PRUNERS),
        (SearchConfig, "sampler", registries.SAMPLERS),
        (TrainingConfig, "scheduler", registries.SCHEDULERS),
    ],
)
def test_the_schema_takes_the_names_of_the_registry(group: type[Settings], key: str, registry: list[str]) -> None:
    assert get_args(group.model_fields[key].annotation) == tuple(registry)
    assert Recipe.model_json_schema()["$defs"][group.__name__]["properties"][key]["enum"] == list(registry)
