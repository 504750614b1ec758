"""Recipes made to take long are refused at once, with the number and the place."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tsbench.errors import RecipeError
from tsbench.recipe.loading import load_recipe
from tsbench.recipe.reading import MAX_BYTES

BASE = "name: a\ndatasets: [GunPoint]\n"

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
GRID = "search: {sampler: grid}\nspace:\n  model.encoder.hidden_size: {int: [1, 9000000]}\n"


@pytest.fixture
def problems(tmp_path: Path) -> Callable[..., list[str]]:
    def of(text: str, *overrides: str) -> list[str]:
        path = tmp_path / "r.yaml"
        path.write_text(text)
        started = time.perf_counter()
        with pytest.raises(RecipeError) as raised:
            load_recipe(path, overrides)
        assert time.perf_counter() - started < 15  # alone, each takes less than 3 s
        return [problem.replace(f"{tmp_path}/", "") for problem in raised.value.problems]

    return of


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (BOMB, "r.yaml:4:"),
        (f"datasets: [{','.join(['x'] * 30000)}]\n", "r.yaml:1:1000"),
        (f"{BASE}search: {'[' * 50000}\n", "r.yaml:3:58 nested more than 50 deep"),
        (f"{BASE}search: {{trials: {'9' * 5000}}}\n", "r.yaml:3:18 a number of 5000 digits, which may have at"),
        (f"{BASE}search: {{timeout: {'9' * 20000} min}}\n", "r.yaml:3:19 a number of 20000 digits"),
        (f"{BASE}search: {{trials: 0x{'f' * 5000}}}\n", "r.yaml:3:18 a number of 5001 digits"),
        (f"{BASE}search: &a {{trials: *a}}\n", "r.yaml:3:21 *a refers to a node that contains it"),
        (f"{BASE}# {'x' * MAX_BYTES}\n", f"r.yaml:1:1 {MAX_BYTES + 32} bytes, of which a recipe may have at most"),
        (f"{BASE}search: {{trials: !!int many}}\n", "r.yaml:3:18 not valid YAML: a value cannot be read (ValueError"),
        (f"{BASE}archive: a\x07b\n", "r.yaml:3:11 not valid YAML: the character U+0007 is not allowed"),
        (
            BASE + GRID,
            "r.yaml:3:10 search.sampler: the grid of the space has 9000000 combinations, and may have at most",
        ),
    ],
)
def test_what_is_too_much_is_refused_with_the_number_and_the_place(problems, text, sentence):
    (problem,) = problems(text)
    assert problem.startswith(sentence)


def test_texts_that_are_quoted_are_bounded_too(problems):
    (timeout,) = problems(f'{BASE}search: {{timeout: "{"9" * 20000}"}}\n')
    assert "expected a duration" in timeout
    (device,) = problems(f"{BASE}execution: {{device: 'cuda:{'1' * 5000}'}}\n")
    assert "expected auto, cpu, cuda or cuda:N" in device
    (override,) = problems(BASE, f"search.trials={'9' * 5000}")
    assert override.startswith("`overrides` search.trials=999")
    assert "a number of 5000 digits" in override


def test_a_grid_beyond_all_bounds_is_not_counted_to_its_end(problems):
    space = "".join(f"  training.{key}: {{float: [0.1, 0.9], step: 1.0e-300}}\n" for key in ("learning_rate", "jitter"))
    (problem,) = problems(
        f"{BASE}search: {{sampler: grid}}\nspace:\n{space.replace('training.jitter', 'training.augmentation.jitter')}"
    )
    assert "the grid of the space has more than 1e+15 combinations" in problem


def test_very_many_problems_are_cut_and_said_to_be(problems):
    found = problems(BASE + "".join(f"key{number}: 1\n" for number in range(2000)))
    assert len(found) == 101
    assert found[-1] == "r.yaml: these are the first 100 problems; there may be more"
    many = problems(f"{BASE}space:\n" + "".join(f"  key{number}: {{int: [1, 2]}}\n" for number in range(700)))
    assert len(many) == 101


def test_a_key_with_a_line_end_or_an_escape_code_is_shown_escaped(problems):
    (problem,) = problems(BASE + '"a\\nb\\e[31m": 1\n')
    assert "a\\nb\\x1b[31m: unknown key" in problem
    assert problem.isprintable()
