import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tsbench.errors import RecipeError
from tsbench.recipe.loading import load_recipe
from tsbench.recipe.schema import HyperparameterConfig, Recipe
from tsbench.recipe.space import (
    DEFAULT_SPACE,
    Choice,
    FloatRange,
    IntRange,
    assign,
    describe,
    grid,
    label,
    leaves,
    offers,
)
from tsbench.recipe.space_parsing import SpaceProblem, parse_space

LEAVES = dict(leaves(HyperparameterConfig))
FORM = "{choice: [...]}, {float: [low, high]} or {int: [low, high]}"


def parsed(raw, *fixed):
    space, problems = parse_space(raw, set(fixed))
    assert problems == []
    return space


def problems(name, entry, **others):
    """Paths below the entry, and sentences."""
    raw = {name: entry, **{key.replace("__", "."): value for key, value in others.items()}}
    found = parse_space(raw, set())[1]
    assert all(problem.path[0] == name for problem in found)
    return [(problem.path[1:], problem.message) for problem in found]


# --- the three kinds


@pytest.mark.parametrize(
    ("name", "entry", "expected"),
    [
        ("model.encoder.type", {"choice": ["lstm", "gru"]}, Choice(("lstm", "gru"))),
        ("model.skip", {"choice": [True]}, Choice((True,))),
        ("model.convolution.kernels", {"choice": [[3, 5], [9]]}, Choice(((3, 5), (9,)))),
        ("model.head.hidden_sizes", {"choice": [[], [64]]}, Choice(((), (64,)))),
        ("model.encoder.stride", {"choice": ["auto", 1]}, Choice(("auto", 1))),
        ("training.max_gradient_norm", {"choice": [None, 1.0]}, Choice((None, 1.0))),
        ("model.dropout", {"float": [0, 0.5]}, FloatRange(0.0, 0.5)),
        ("training.learning_rate", {"float": [1e-4, 1], "log": True}, FloatRange(1e-4, 1.0, log=True)),
        ("model.dropout", {"float": [0.0, 0.5], "step": 0.1}, FloatRange(0.0, 0.5, step=0.1)),
        ("model.encoder.layers", {"int": [1, 3]}, IntRange(1, 3)),
        ("model.encoder.hidden_size", {"int": [16, 128], "log": True}, IntRange(16, 128, log=True)),
        ("model.encoder.hidden_size", {"int": [16, 128], "step": 16}, IntRange(16, 128, step=16)),
        ("model.encoder.stride", {"int": [1, 4]}, IntRange(1, 4)),
    ],
)
def test_an_entry_is_read(name, entry, expected):
    assert parsed({name: entry}) == {name: expected}


def test_the_bounds_of_a_float_range_become_floats():
    entry = parsed({"training.weight_decay": {"float": [0, 1], "step": 1}})["training.weight_decay"]
    assert [type(bound) for bound in (entry.low, entry.high, entry.step)] == [float, float, float]


# --- choices


@pytest.mark.parametrize("values", [[], {}, 3, None, "lstm"])
def test_a_choice_is_a_list_of_at_least_one_value(values):
    assert problems("model.encoder.type", {"choice": values}) == [
        (("choice",), f"expected a list of at least one value, got {values!r}")
    ]


def test_each_choice_of_the_wrong_type_or_out_of_bounds_is_reported_at_its_position():
    assert problems("model.dropout", {"choice": [0.1, "x", 2.0, None]}) == [
        (("choice", 1), "not a value of model.dropout: expected a number, got 'x'"),
        (("choice", 2), "not a value of model.dropout: must be less than 1.0, got 2.0"),
        (("choice", 3), "not a value of model.dropout: expected a number, got None"),
    ]
    assert problems("model.encoder.type", {"choice": ["gru", "lsmt"]}) == [
        (
            ("choice", 1),
            "not a value of model.encoder.type: expected one of lstm, gru, transformer, none, got 'lsmt'; "
            "did you mean 'lstm'?",
        )
    ]
    assert problems("model.convolution.kernels", {"choice": [[3], [5, 0], 3, [], [2, 1.5]]}) == [
        (
            ("choice", 1),
            "not a value of model.convolution.kernels: expected time steps, or a share between 0 and 1, got 0",
        ),
        (("choice", 2), "not a value of model.convolution.kernels: expected a list, got 3"),
        (("choice", 3), "not a value of model.convolution.kernels: expected at least one value, got []"),
        (
            ("choice", 4),
            "not a value of model.convolution.kernels: expected time steps, or a share between 0 and 1, got 1.5",
        ),
    ]


@pytest.mark.parametrize(("name", "values"), [("model.dropout", [0.1, 0.1]), ("model.head.hidden_sizes", [[1], [1]])])
def test_a_choice_named_twice_is_a_problem(name, values):
    assert problems(name, {"choice": values}) == [(("choice",), "holds a value more than once")]


@pytest.mark.parametrize("key", ["log", "step"])
def test_log_and_step_have_no_meaning_for_a_choice(key):
    assert problems("model.dropout", {"choice": [0.1], key: True}) == [((key,), "has no meaning for a choice")]


# --- ranges


@pytest.mark.parametrize(("low", "high"), [(0.5, 0.1), (0.1, 0.1)])
def test_a_range_upside_down_or_empty_is_a_problem(low, high):
    expected = f"the range is empty: low {low} must be less than high {high}"
    assert problems("model.dropout", {"float": [low, high]}) == [(("float",), expected)]


def test_a_log_range_begins_above_0():
    assert problems("model.dropout", {"float": [0, 0.5], "log": True}) == [
        (("float",), "a log range must begin above 0, got 0")
    ]
    assert problems("training.warmup_epochs", {"int": [0, 5], "log": True}) == [
        (("int",), "a log range must begin above 0, got 0")
    ]


def test_log_and_step_do_not_go_together():
    assert problems("model.dropout", {"float": [0.1, 0.5], "log": True, "step": 0.1}) == [
        (("step",), "cannot be given together with log")
    ]


@pytest.mark.parametrize("step", [0, -0.1, "x", True, [1]])
def test_a_step_is_a_number_greater_than_0(step):
    assert problems("model.dropout", {"float": [0.1, 0.5], "step": step}) == [
        (("step",), f"expected a number greater than 0, got {step!r}")
    ]


@pytest.mark.parametrize("log", ["yes", 1, None])
def test_log_is_true_or_false(log):
    assert problems("model.dropout", {"float": [0.1, 0.5], "log": log}) == [
        (("log",), f"expected true or false, got {log!r}")
    ]


@pytest.mark.parametrize("bounds", [["a", 1], [True, 1], [1], [1, 2, 3], 3, None, "ab", {"low": 1}, [None, 1]])
def test_a_float_range_takes_two_numbers(bounds):
    assert problems("model.dropout", {"float": bounds}) == [
        (("float",), f"expected two numbers [low, high], got {bounds!r}")
    ]


@pytest.mark.parametrize("bounds", [[1.0, 3], ["1", 3], [True, 3], [1], 3])
def test_an_int_range_takes_two_whole_numbers(bounds):
    assert problems("model.encoder.layers", {"int": bounds}) == [
        (("int",), f"expected two whole numbers [low, high], got {bounds!r}")
    ]


def test_bounds_out_of_the_settings_own_are_reported_by_position():
    assert problems("model.dropout", {"float": [0.0, 1.5]}) == [
        (("float", 1), "not a value of model.dropout: must be less than 1.0, got 1.5")
    ]
    assert problems("model.encoder.layers", {"int": [0, 3]}) == [
        (("int", 0), "not a value of model.encoder.layers: must be at least 1, got 0")
    ]
    assert problems("training.max_gradient_norm", {"float": [0.0, 1.0]}) == [
        (
            ("float", 0),
            "not a value of training.max_gradient_norm: expected a number greater than 0, or null for none, got 0.0",
        )
    ]


@pytest.mark.parametrize("name", ["model.skip", "model.pooling", "model.convolution.kernels"])
def test_a_setting_that_is_no_number_has_no_range(name):
    assert [path for path, _ in problems(name, {"int": [1, 3]})] == [("int", 0), ("int", 1)]


def test_a_bound_too_large_for_a_float_is_a_problem_not_a_crash():
    assert problems("training.weight_decay", {"float": [1, 10**400]})


@pytest.mark.parametrize("name", ["model.encoder.layers", "model.encoder.stride", "training.epochs"])
def test_a_setting_of_whole_numbers_has_no_float_range(name):
    assert problems(name, {"float": [1, 3]})


@pytest.mark.parametrize("entry", [{"float": [0, math.inf]}, {"choice": [0.0, math.inf]}])
def test_infinity_is_not_searched(entry):
    assert problems("training.weight_decay", entry)


def test_a_step_of_an_int_range_that_is_not_a_whole_number_is_refused():
    ((path, message),) = problems("model.encoder.layers", {"int": [1, 3], "step": 0.5})
    assert path == ("step",)
    assert "whole number" in message


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("training.weight_decay", {"float": [0, 1], "step": 2}),
        ("training.weight_decay", {"float": [0, 1], "step": 10**50}),
        ("model.encoder.layers", {"int": [1, 3], "step": 3}),
    ],
)
def test_a_step_is_no_wider_than_its_range(name, entry):
    ((path, message),) = problems(name, entry)
    assert (path, message) == (("step",), f"is wider than the range, got {entry['step']}")


@pytest.mark.parametrize(("value", "offered"), [(0.1, True), (0.3, True), (0.7, True), (0.2, False), (0.9, False)])
def test_a_stepped_range_offers_its_steps_alone(value, offered):
    assert offers(FloatRange(0.1, 0.8, step=0.2), value) == offered


def test_a_grid_has_the_values_of_a_stepped_range_as_they_are_written():
    values = [combination["model.dropout"] for combination in grid({"model.dropout": FloatRange(0.0, 0.7, step=0.1)})]
    assert values == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]  # and not 0.30000000000000004


@pytest.mark.parametrize("step", [math.nan, math.inf])
def test_a_step_is_finite(step):
    assert problems("model.dropout", {"float": [0, 0.5], "step": step}) == [
        (("step",), f"expected a number greater than 0, got {step}")
    ]


# --- entries


def test_an_unknown_setting_is_a_problem():
    assert problems("model.encoder.typ", {"choice": ["gru"]}) == [
        ((), "there is no such setting; did you mean 'model.encoder.type'?")
    ]
    assert problems("search.trials", {"int": [1, 3]}) == [((), "there is no such setting")]


def test_a_setting_cannot_be_both_fixed_and_searched():
    _, found = parse_space({"model.dropout": {"float": [0, 0.5]}}, {"model.dropout", "model.skip"})
    assert found == [SpaceProblem(("model.dropout",), "is both fixed and searched; remove one of the two")]


@pytest.mark.parametrize("entry", [{}, {"log": True}, {"choice": [0.1], "float": [0, 0.1]}])
def test_an_entry_has_exactly_one_kind(entry):
    assert problems("model.dropout", entry) == [((), f"expected exactly one of {FORM}")]


@pytest.mark.parametrize("entry", [[0.1, 0.2], 3, None, "float"])
def test_an_entry_is_a_mapping(entry):
    assert problems("model.dropout", entry) == [((), f"expected {FORM}, got {entry!r}")]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"chioce": [0.1]}, [(("chioce",), "unknown key; did you mean 'choice'?")]),
        ({"choice": [0.1], "wen": {}}, [(("wen",), "unknown key; did you mean 'when'?")]),
        ({"float": [0, 0.1], "zzz": 1}, [(("zzz",), "unknown key")]),
    ],
)
def test_an_unknown_key_of_an_entry_is_a_problem(entry, expected):
    assert problems("model.dropout", entry) == expected


def test_every_problem_is_found_in_the_order_of_the_entries():
    raw = {"model.drpout": {}, "model.skip": {"choice": []}, "model.encoder.layers": {"int": [3, 1], "log": 3}}
    assert [problem.path for problem in parse_space(raw, set())[1]] == [
        ("model.drpout",),
        ("model.skip", "choice"),
        ("model.encoder.layers", "int"),
        ("model.encoder.layers", "log"),
    ]


# --- conditions


def test_a_condition_takes_one_value_or_several():
    raw = {
        "model.encoder.heads": {"choice": [2, 4], "when": {"model.encoder.type": "transformer"}},
        "model.encoder.bidirectional": {"choice": [True, False], "when": {"model.encoder.type": ["lstm", "gru"]}},
        "model.encoder.type": {"choice": ["lstm", "gru", "transformer"]},
    }
    space = parsed(raw)
    assert space["model.encoder.heads"].when == {"model.encoder.type": ("transformer",)}
    assert space["model.encoder.bidirectional"].when == {"model.encoder.type": ("lstm", "gru")}


def test_a_condition_may_name_a_setting_that_is_not_searched():
    raw = {"model.encoder.heads": {"choice": [2, 4], "when": {"model.encoder.type": "transformer"}}}
    assert list(parsed(raw, "model.encoder.type")) == ["model.encoder.heads"]


@pytest.mark.parametrize(
    ("when", "path", "message"),
    [
        ({"model.skp": True}, ("model.skp",), "there is no such setting; did you mean 'model.skip'?"),
        ({"model.skip": 3}, ("model.skip",), "not a value of model.skip: expected true or false, got 3"),
        ({"model.pooling": "min"}, ("model.pooling",), "'min' is not among the choices of model.pooling"),
        (
            {"model.pooling": ["max", "average"]},
            ("model.pooling",),
            "'average' is not among the choices of model.pooling",
        ),
        (3, (), "expected {name: value} or {name: [values]}, got 3"),
        (None, (), "expected {name: value} or {name: [values]}, got None"),
    ],
)
def test_a_condition_that_can_never_hold_is_a_problem(when, path, message):
    entry = {"choice": [0.1, 0.2], "when": when}
    assert problems("model.dropout", entry, model__pooling={"choice": ["max", "both"]}) == [(("when", *path), message)]


def test_a_condition_can_name_a_list():
    raw = {
        "model.dropout": {"float": [0, 0.5], "when": {"model.convolution.kernels": [[3, 5], [9]]}},
        "model.convolution.kernels": {"choice": [[3, 5], [9], [7]]},
    }
    assert parsed(raw)["model.dropout"].when == {"model.convolution.kernels": ("[3, 5]", "[9]")}


def test_conditions_that_go_round_in_a_circle_are_a_problem():
    raw = {
        "model.dropout": {"choice": [0.1, 0.2], "when": {"model.skip": True}},
        "model.skip": {"choice": [True, False], "when": {"model.dropout": 0.1}},
        "model.pooling": {"choice": ["max", "both"]},
    }
    space, found = parse_space(raw, set())
    assert list(space) == ["model.pooling"]
    assert found == [SpaceProblem(("model.dropout", "when"), "the conditions form a cycle: model.dropout, model.skip")]


def test_a_condition_on_itself_is_a_circle():
    assert problems("model.dropout", {"choice": [0.1, 0.2], "when": {"model.dropout": 0.1}}) == [
        (("when",), "the conditions form a cycle: model.dropout")
    ]


@pytest.mark.parametrize("raw", [DEFAULT_SPACE, dict(reversed(DEFAULT_SPACE.items()))], ids=["given", "reversed"])
def test_every_condition_follows_the_names_it_depends_on(raw):
    order = list(parsed(raw))
    assert sorted(order) == sorted(raw)
    for name, entry in raw.items():
        assert all(order.index(key) < order.index(name) for key in entry.get("when", {}))


def test_a_condition_can_name_a_list_that_is_not_searched():
    raw = {"model.dropout": {"float": [0, 0.5], "when": {"model.convolution.kernels": [[3, 5, 7]]}}}
    assert parsed(raw)["model.dropout"].when == {"model.convolution.kernels": ("[3, 5, 7]",)}


def test_a_condition_outside_the_range_of_its_setting_is_a_problem():
    entry = {"choice": [0.1, 0.2], "when": {"model.encoder.layers": 20}}
    assert problems("model.dropout", entry, model__encoder__layers={"int": [1, 3]})


def test_a_condition_without_values_is_a_problem():
    assert problems("model.dropout", {"choice": [0.1, 0.2], "when": {"model.skip": []}})


def test_a_condition_on_a_range_is_checked_as_a_value_of_its_setting_too():
    entry = {"choice": [0.1, 0.2], "when": {"model.encoder.layers": [True, 2]}}
    assert problems("model.dropout", entry, model__encoder__layers={"int": [1, 3]}) == [
        (
            ("when", "model.encoder.layers"),
            "not a value of model.encoder.layers: expected a whole number, got True",
        )
    ]


# --- the default space


def test_the_default_space_parses_and_names_settings_alone():
    space = parsed("default")
    assert set(space) == set(DEFAULT_SPACE)
    assert set(space) <= set(LEAVES)


def test_the_default_space_is_what_it_says_in_full():
    assert parsed("default") == parsed(DEFAULT_SPACE)


def test_a_fixed_value_leaves_the_default_space():
    for name in DEFAULT_SPACE:
        rest = {key: entry for key, entry in parsed("default").items() if key != name}
        assert parsed("default", name) == rest, name


def test_every_value_of_the_default_space_is_valid():
    for name, entry in parsed("default").items():
        for value in entry.values if isinstance(entry, Choice) else (entry.low, entry.high):
            assert dict(leaves(assign(HyperparameterConfig(), {name: value})))[name] == value, name


def test_the_default_value_lies_in_the_default_space():
    defaults = dict(leaves(HyperparameterConfig()))
    for name, entry in parsed("default").items():
        if isinstance(entry, Choice):
            assert defaults[name] in entry.values, name
        else:
            assert entry.low <= defaults[name] <= entry.high, name


# --- describe, label, assign, leaves


@pytest.mark.parametrize(
    "raw",
    [
        DEFAULT_SPACE,
        {"model.dropout": {"float": [0.0, 0.5], "step": 0.1}},
        {"training.learning_rate": {"float": [1e-5, 1e-1], "log": True}},
        {"model.encoder.hidden_size": {"int": [16, 128], "step": 16}},
        {"model.encoder.hidden_size": {"int": [16, 128], "log": True}},
        {"model.head.hidden_sizes": {"choice": [[], [64], [64, 32]]}},
        {"training.max_gradient_norm": {"choice": [None, 1.0]}},
        {"model.encoder.heads": {"choice": [2], "when": {"model.encoder.type": ["transformer"], "model.skip": [True]}}},
    ],
)
def test_a_description_parses_to_the_same_space(raw):
    space = parsed(raw)
    assert parsed({name: describe(entry) for name, entry in space.items()}) == space


def test_a_description_spells_an_entry_as_a_recipe_does():
    for name, entry in parsed("default").items():
        spelt = dict(DEFAULT_SPACE[name])
        if "when" in spelt:
            spelt["when"] = {key: value if isinstance(value, list) else [value] for key, value in spelt["when"].items()}
        assert describe(entry) == spelt


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("gru", "gru"),
        (3, 3),
        (0.5, 0.5),
        (True, True),
        (None, None),
        ([3, 5], "[3, 5]"),
        ((3, 5), "[3, 5]"),
        ((), "[]"),
        ({"a": 1}, '{"a": 1}'),
    ],
)
def test_a_label_is_the_scalar_itself_or_the_text_of_a_list(value, expected):
    assert label(value) == expected
    assert type(label(value)) is type(expected)


def test_a_choice_finds_its_values_by_their_labels():
    assert Choice(((3, 5), (9,))).labels == {"[3, 5]": (3, 5), "[9]": (9,)}
    assert Choice(("auto", 1, None)).labels == {"auto": "auto", 1: 1, None: None}


def test_values_are_assigned_by_their_dotted_names_and_the_given_settings_stay():
    base = HyperparameterConfig()
    changed = assign(base, {"model.encoder.hidden_size": 32, "training.epochs": 3, "model.convolution.kernels": [9]})
    assert (changed.model.encoder.hidden_size, changed.training.epochs) == (32, 3)
    assert changed.model.convolution.kernels == (9,)
    assert changed.model.encoder.layers == base.model.encoder.layers
    assert base == HyperparameterConfig()
    assert assign(base, {}) == base


@pytest.mark.parametrize(
    ("name", "value"),
    [("model.dropout", 2.0), ("model.dropout", "0.1"), ("model.dropot", 0.1), ("model.encoder", 3), ("epochs", 3)],
)
def test_assigned_values_are_validated(name, value):
    with pytest.raises(ValidationError):
        assign(HyperparameterConfig(), {name: value})


def test_leaves_of_a_class_and_of_an_instance_have_the_same_names():
    assert [name for name, _ in leaves(HyperparameterConfig())] == list(LEAVES)
    assert dict(leaves(HyperparameterConfig()))["model.encoder.type"] == "lstm"
    assert {"model.convolution.kernels", "training.epochs", "preprocessing.normalise"} <= set(LEAVES)


def test_a_float_range_in_steps_of_1_is_described_with_its_step():
    space = parsed({"training.weight_decay": {"float": [0, 4], "step": 1}})
    assert describe(space["training.weight_decay"]) == {"float": [0.0, 4.0], "step": 1.0}


# --- whatever is given

WORDS = st.sampled_from([*LEAVES, "choice", "float", "int", "log", "step", "when", "model", "lstm", "max", "auto"])
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), WORDS, st.text(max_size=5))
GARBAGE = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(WORDS, inner, max_size=4)),
    max_leaves=12,
)
ENTRIES = st.fixed_dictionaries(
    {},
    optional={
        "choice": st.lists(GARBAGE, max_size=3),
        "float": st.lists(SCALARS, min_size=2, max_size=2),
        "int": st.lists(st.integers(-5, 5), min_size=2, max_size=2),
        "log": SCALARS,
        "step": SCALARS,
        "when": st.dictionaries(WORDS, GARBAGE, max_size=2),
    },
)
SPACES = st.dictionaries(st.one_of(WORDS, st.text(max_size=5)), st.one_of(GARBAGE, ENTRIES), max_size=5)


@settings(max_examples=300, deadline=None)
@given(raw=SPACES, fixed=st.sets(WORDS))
def test_garbage_in_a_space_gives_problems_and_never_an_exception(raw, fixed):
    space, found = parse_space(raw, fixed)
    assert set(space) <= set(raw)
    assert all(problem.message and problem.path[0] in raw for problem in found)
    if not found:
        assert set(space) == set(raw)


WORDS_OF_YAML = "name datasets space model search trials model.dropout choice float when default null true no ~"
VALUES_OF_YAML = "1e-4 0x1f .inf .nan 2020-01-01 2020-13-01 -1 1_000 0o9 é"
SIGNS = [
    ": ",
    ":",
    "\n",
    "\n  ",
    "  ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    ", ",
    "?",
    "&a ",
    "*a",
    "*",
    "<<: ",
    "|\n",
    ">\n",
    "!x ",
]
RARE = ["'", '"', "#", "%YAML 1.1\n", "---\n", "...\n", "@", "`", "\t", "\x00", "\ufeff", "\u2028", "=", "\r"]
TOKENS = st.sampled_from([*WORDS_OF_YAML.split(), *VALUES_OF_YAML.split(), *SIGNS, *RARE])
TEXTS = st.one_of(
    st.lists(TOKENS, max_size=25).map("".join),
    st.text(max_size=60),
    st.lists(st.one_of(TOKENS, st.text(max_size=4)), max_size=20).map("".join),
)
KEYS = st.sampled_from([*Recipe.model_fields, "encoder", "trials", "type", "kernels", "stride", "timeout"])
TREES = st.dictionaries(KEYS, st.recursive(SCALARS, lambda inner: st.dictionaries(KEYS, inner)), max_size=5)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz") / "recipe.yaml"


def check(path, overrides=()):
    try:
        problems = load_recipe(path, overrides) and ()
    except RecipeError as error:
        problems = error.problems or ("",)
    assert all(problem.startswith((str(path), "`overrides` ")) for problem in problems)


@settings(max_examples=250, deadline=None)
@given(text=TEXTS)
def test_any_text_loads_or_is_refused_with_its_problems(file, text):
    file.write_bytes(text.encode())
    check(file)


@settings(max_examples=150, deadline=None)
@given(
    tree=TREES, override=st.one_of(st.just("name=a"), st.tuples(WORDS, SCALARS).map(lambda two: f"{two[0]}={two[1]}"))
)
def test_any_tree_with_any_override_loads_or_is_refused_with_its_problems(file, tree, override):
    lines = ["name: a", "datasets: [A]"] + [f"{key}: {_flow(value)}" for key, value in tree.items()]
    file.write_bytes("\n".join(lines).encode())
    check(file, [override])


def _flow(value):
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(below)}" for key, below in value.items()) + "}"
    return ascii(value)


def test_a_preset_cannot_be_searched():
    _, found = parse_space({"model.preset": {"choice": ["classic", "lite"]}}, set())
    assert [(problem.path, problem.message) for problem in found] == [
        (("model.preset",), "a preset stands for many settings and cannot be searched; search those themselves")
    ]


def test_every_default_is_among_what_the_default_space_offers():
    """So that the first trial is the default configuration."""
    defaults = dict(leaves(HyperparameterConfig()))
    space, found = parse_space("default", set())
    assert found == []
    for name, entry in space.items():
        if isinstance(entry, Choice):
            assert label(defaults[name]) in entry.labels, name
        else:
            assert entry.low <= defaults[name] <= entry.high, name
