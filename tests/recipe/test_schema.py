import math
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from tsbench.recipe import schema
from tsbench.recipe.messages import sentence
from tsbench.recipe.presets import Preset
from tsbench.recipe.schema import (
    ConvolutionConfig,
    Duration,
    HyperparameterConfig,
    ModelConfig,
    Recipe,
    SearchConfig,
    Settings,
    format_duration,
    parse_duration,
)
from tsbench.recipe.space import assign, leaves

DEFAULTS = dict(leaves(HyperparameterConfig()))
GROUPS = [
    getattr(schema, name)
    for name in schema.__all__
    if name not in ("BaselineConfig", "OwnDataConfig", "SelectionConfig")
]
RECIPE = {"name": "small", "datasets": ["GunPoint"]}


# --- durations


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ("90 s", 90.0),
        ("90s", 90.0),
        ("90 sec", 90.0),
        ("3 min", 180.0),
        ("3 m", 180.0),
        ("1.5 h", 5400.0),
        (".5 h", 1800.0),
        ("2 d", 172800.0),
        (" 2  H ", 7200.0),
        (45, 45.0),
        (0.5, 0.5),
    ],
)
def test_a_duration_is_read_in_seconds(given, seconds):
    assert parse_duration(given) == seconds
    assert type(parse_duration(given)) is float
    assert SearchConfig(timeout=given).timeout == seconds


@pytest.mark.parametrize(
    "given", ["", "s", "3", "3 weeks", "-3 s", "1,5 h", "3 min 2 s", "inf", True, None, [3], "٣ s"]
)
def test_what_is_no_duration_is_refused(given):
    with pytest.raises(ValidationError, match="expected a duration such as '90 s', '3 min' or '2 h', got "):
        TypeAdapter(Duration).validate_python(given)


@pytest.mark.parametrize("given", [0, -1, 0.0, "0 s", "0.0 h", math.nan, math.inf])
def test_a_duration_is_longer_than_nothing_and_ends(given):
    with pytest.raises(ValidationError, match="must be longer than 0 s, got "):
        TypeAdapter(Duration).validate_python(given)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (180.0, "3 min"),
        (3600.0, "1 h"),
        (5400.0, "90 min"),
        (90.0, "90 s"),
        (0.5, "0.5 s"),
        (86400.0, "24 h"),
        (100.0, "100 s"),
    ],
)
def test_a_duration_is_spelt_in_its_largest_whole_unit(seconds, text):
    assert format_duration(seconds) == text


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(
        st.floats(1e-3, 5e7), st.integers(1, 50_000_000).map(float), st.integers(1, 10_000).map(lambda n: n * 60.0)
    )
)
def test_a_spelt_duration_reads_back_to_the_same_number(seconds):
    assert parse_duration(format_duration(seconds)) == seconds


def test_a_duration_is_written_as_a_person_would():
    assert SearchConfig(timeout=5400).model_dump(mode="json")["timeout"] == "90 min"
    assert SearchConfig().model_dump(mode="json")["timeout"] is None


@pytest.mark.parametrize("seconds", [5e-324, 1e-5, 60.0 * 1_234_567, 1e17 + 16, 1.7e308])
def test_a_duration_of_any_length_reads_back_to_the_same_number(seconds):
    assert parse_duration(format_duration(seconds)) == seconds


# --- the tree


@pytest.mark.parametrize("cls", GROUPS, ids=lambda cls: cls.__name__)
def test_every_key_has_a_description_of_one_line(cls):
    for name, info in cls.model_fields.items():
        assert info.description, name
        assert "\n" not in info.description
        assert info.description == info.description.strip()
    assert cls.__doc__


@pytest.mark.parametrize("cls", [group for group in GROUPS if group is not Recipe], ids=lambda cls: cls.__name__)
def test_the_defaults_are_valid(cls):
    assert cls.model_validate(cls().model_dump()) == cls()
    assert cls.model_validate_json(cls().model_dump_json()) == cls()


def test_the_defaults_of_a_recipe_are_valid():
    recipe = Recipe.model_validate(RECIPE)
    assert Recipe.model_validate(recipe.model_dump()) == recipe
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe
    assert recipe.hyperparameters == HyperparameterConfig()


def test_no_two_settings_share_a_dotted_name():
    names = [name for name, _ in leaves(Recipe)]
    assert len(names) == len(set(names))
    assert {name for name, _ in leaves(HyperparameterConfig)} < set(names)


def test_the_hyperparameters_of_a_recipe_are_its_own():
    recipe = Recipe.model_validate({**RECIPE, "model": {"dropout": 0.3}, "training": {"epochs": 5}})
    expected = {"model.dropout": 0.3, "training.epochs": 5, "training.min_steps": 0}
    assert recipe.hyperparameters == assign(HyperparameterConfig(), expected)


@pytest.mark.parametrize(
    "cls", [schema for schema in GROUPS if schema not in (Recipe, Settings)], ids=lambda cls: cls.__name__
)
def test_settings_are_frozen(cls):
    group = cls()
    name = next(iter(cls.model_fields))
    with pytest.raises(ValidationError, match="frozen"):
        setattr(group, name, getattr(group, name))
    assert hash(group) == hash(cls())


def test_lists_among_the_settings_cannot_be_changed():
    recipe = Recipe.model_validate({**RECIPE, "model": {"convolution": {"kernels": [3, 9]}}, "baselines": ["dummy"]})
    assert recipe.model.convolution.kernels == (3, 9)
    assert recipe.datasets == ("GunPoint",)
    assert isinstance(recipe.baselines, tuple)
    assert [baseline.name for baseline in recipe.baselines] == ["dummy"]


# --- strictness


def _wrong_values():
    by_type = {
        bool: [1, 0, "true", None],
        int: ["3", 3.0, True, None, [3]],
        float: ["0.1", True, None, math.nan, math.inf],
        str: [3, True, None, "no such value"],
        tuple: ["3", 3, None, ["3"], [3.0], [True], [0]],
    }
    by_type[type(None)] = [3, True, "no such value"]
    for name, default in DEFAULTS.items():
        wrong = ["3", 3.0, True, None, 0] if name.endswith((".stride", ".length")) else by_type[type(default)]
        for value in wrong:
            if not (name == "training.max_gradient_norm" and value is None):
                yield name, value


def _refused_at(name, value):
    """The key that a wrong value is refused at; empty if it is taken."""
    try:
        assign(HyperparameterConfig(), {name: value})
    except ValidationError as error:
        return ".".join(map(str, error.errors()[0]["loc"]))
    return ""


def test_a_value_of_another_type_is_refused_and_not_converted():
    taken = [(name, value) for name, value in _wrong_values() if not _refused_at(name, value).startswith(name)]
    assert taken == []


@pytest.mark.parametrize(
    "name", [name for name, value in DEFAULTS.items() if type(value) is float and "share" not in name]
)
def test_a_whole_number_will_do_for_a_real_one(name):
    value = dict(leaves(assign(HyperparameterConfig(), {name: 1 if name.endswith(("rate", "norm", "decay")) else 0})))[
        name
    ]
    assert type(value) is float


@pytest.mark.parametrize("cls", GROUPS, ids=lambda cls: cls.__name__)
def test_an_unknown_key_is_refused(cls):
    given = RECIPE if cls is Recipe else {}
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        cls.model_validate({**given, "no_such_key": 1})


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:0", "cuda:12"])
def test_a_device_is_taken(device):
    assert Recipe.model_validate({**RECIPE, "execution": {"device": device}}).execution.device == device


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "cpu:0", "CPU", "cpu\n", "", " cpu"])
def test_a_device_that_is_none_is_refused(device):
    with pytest.raises(ValidationError):
        Recipe.model_validate({**RECIPE, "execution": {"device": device}})


# --- presets


@pytest.mark.parametrize("preset", get_args(Preset))
def test_every_preset_is_a_valid_model(preset):
    model = ModelConfig(preset=preset)
    assert model.preset == preset
    assert model != ModelConfig()


def test_the_classic_preset_is_the_documents_own_form():
    model = ModelConfig(preset="classic")
    assert model.convolution.kernels == (3, 5, 7)
    assert (model.convolution.blocks, model.convolution.dilation) == (1, 1)
    assert (model.encoder.type, model.encoder.layers, model.encoder.bidirectional) == ("lstm", 2, True)
    assert (model.attention.type, model.pooling, model.skip) == ("single", "both", False)
    assert model.features.blocks == ()
    assert model.head.hidden_sizes == (128,)


def test_what_a_recipe_gives_overrides_the_preset():
    recipe = Recipe.model_validate(
        {**RECIPE, "model": {"preset": "classic", "encoder": {"hidden_size": 8}, "convolution": None, "pooling": "max"}}
    )
    assert recipe.model.encoder.hidden_size == 8
    assert recipe.model.encoder.type == "lstm"
    assert recipe.model.convolution.kernels == (3, 5, 7)
    assert recipe.model.pooling == "max"


@pytest.mark.parametrize("preset", get_args(Preset))
def test_a_dumped_preset_is_read_back_to_the_same_model(preset):
    model = ModelConfig(preset=preset, dropout=0.4)
    assert ModelConfig.model_validate_json(model.model_dump_json()) == model


def test_an_unknown_preset_is_refused():
    with pytest.raises(ValidationError, match="preset"):
        ModelConfig.model_validate({"preset": "clasic"})


# --- feature blocks and kernels


def test_an_unknown_feature_block_is_refused_with_a_hint():
    with pytest.raises(ValidationError) as caught:
        ModelConfig.model_validate({"features": {"blocks": ["minirockt"]}})
    assert sentence(caught.value.errors()[0]) == "unknown feature block 'minirockt'; did you mean 'minirocket'?"


@pytest.mark.parametrize("kernels", [[3, 0.25], [0.1], [1]])
def test_kernels_are_time_steps_or_shares(kernels):
    assert ConvolutionConfig(kernels=kernels).kernels == tuple(kernels)


@pytest.mark.parametrize("kernels", [[0], [1.0], [1.5], [-0.1], [True], ["3"], []])
def test_other_kernels_are_refused(kernels):
    with pytest.raises(ValidationError):
        ConvolutionConfig(kernels=kernels)


# --- epochs and steps


@pytest.mark.parametrize(
    ("given", "steps"),
    [({}, 800), ({"epochs": 30}, 0), ({"epochs": 30, "min_steps": 50}, 50), ({"min_steps": 7}, 7)],
)
def test_epochs_fix_the_length_unless_steps_are_given_too(given, steps):
    assert HyperparameterConfig.model_validate({"training": given}).training.min_steps == steps


@pytest.mark.parametrize("preset", [["classic"], {"a": 1}, 3, True])
def test_a_preset_that_is_no_text_is_refused(preset):
    with pytest.raises(ValidationError, match="preset"):
        ModelConfig.model_validate({"preset": preset})
