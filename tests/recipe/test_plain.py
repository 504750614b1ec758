from collections import OrderedDict, deque
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType

import numpy as np
import pytest
import torch

from tsbench.recipe.dotted import hyperparameters_of
from tsbench.recipe.plain import plain
from tsbench.recipe.schema import HyperparameterConfig, Recipe, TrainingConfig
from tsbench.recipe.space import assign
from tsbench.recipe.space_parsing import parse_space


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.int8(-3), -3),
        (np.uint64(2**64 - 1), 2**64 - 1),
        (np.float32(0.1), float(np.float32(0.1))),
        (np.float64(0.1), 0.1),
        (np.longdouble("0.5"), 0.5),
        (Decimal("0.1"), 0.1),
        (Fraction(1, 4), 0.25),
        (np.True_, True),
        (np.str_("lstm"), "lstm"),
        (np.array(2), 2),
        (np.array([[1, 2]]), [[1, 2]]),
        (torch.tensor(0.5), 0.5),
        (torch.tensor([1, 2]), [1, 2]),
        ((np.int64(1), [np.float16(0.5)]), (1, [0.5])),
        (MappingProxyType({np.str_("a"): {"b": np.int64(1)}}), {"a": {"b": 1}}),
        (OrderedDict(a=range(2)), {"a": [0, 1]}),
        ({"b", "a"}, ["a", "b"]),
        ({10, 9}, [9, 10]),
        (deque([1]), [1]),
        ("text", "text"),
        (None, None),
        (b"bytes", b"bytes"),
    ],
)
def test_values_become_pythons_own_types(value, expected):
    found = plain(value)
    assert found == expected
    assert repr(found) == repr(expected)  # 1 == 1.0 == True == np.int64(1)


def test_what_it_does_not_know_stays():
    given = object()
    assert plain(given) is given
    assert plain([given]) == [given]


def test_every_setting_takes_numpys_numbers():
    assert TrainingConfig(epochs=np.int64(3), learning_rate=np.float64(0.5)).epochs == 3
    config = hyperparameters_of(
        {"model": {"convolution": {"kernels": np.array([3, 5])}}, "training.epochs": np.array(4)}
    )
    assert config == hyperparameters_of({"model.convolution.kernels": [3, 5], "training.epochs": 4})
    assert type(config.training.epochs) is int
    assert all(type(kernel) is int for kernel in config.model.convolution.kernels)
    assert "np." not in str(config.model_dump())


def test_a_recipe_given_as_a_dictionary_takes_them_too():
    tree = {"name": "mine", "datasets": ["GunPoint"], "search": {"trials": 3, "timeout": 60.0, "seed": 1}}
    numpys = {"name": np.str_("mine"), "datasets": np.array(["GunPoint"])}
    numpys["search"] = {"trials": np.int64(3), "timeout": np.float64(60), "seed": np.uint8(1)}
    assert Recipe.model_validate(numpys) == Recipe.model_validate(tree)


def test_a_trials_values_and_a_space_take_them_too():
    changed = assign(HyperparameterConfig(), {"model.dropout": np.float64(0.5), "training.epochs": np.int64(7)})
    assert (changed.model.dropout, changed.training.epochs) == (0.5, 7)
    numpys = {"model.dropout": {"choice": np.array([0.1, 0.5])}, "training.epochs": {"int": [np.int64(2), np.int64(9)]}}
    plains = {"model.dropout": {"choice": [0.1, 0.5]}, "training.epochs": {"int": [2, 9]}}
    assert parse_space(numpys, set()) == parse_space(plains, set())


def test_what_is_wrong_is_said_of_the_number():
    with pytest.raises(ValueError, match=r"^training\.epochs: must be at least 1, got 0$"):
        hyperparameters_of({"training.epochs": np.int64(0)})
