"""Whatever is fed in is read, or refused in a sentence: recipes, every data format, prediction inputs, saved models.

3,600 examples of hypothesis, each of which must end within five seconds, without a traceback, in bounded memory.
"""

import json
import resource
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.data.made import long_table, make_cases, write_arff, write_csv, write_npz, write_parquet, write_ts, write_ucr
from tsbench.classifiers.baselines import BASELINES, problem_with
from tsbench.classifiers.ensemble import NetworkEnsemble
from tsbench.classifiers.serving import predict_table, read_input
from tsbench.data.column_roles import Columns
from tsbench.data.formats import read_arff, read_long, read_npz, read_ts, read_ucr
from tsbench.errors import DataError, ModelError, RecipeError
from tsbench.recipe.dotted import hyperparameters_of
from tsbench.recipe.loading import load_recipe

pytestmark = pytest.mark.slow

SECONDS = 5
MEMORY = 2**30  # bytes that a test may add to the process
QUICK = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]


def examples(count):
    return settings(max_examples=count, deadline=SECONDS * 1000, suppress_health_check=QUICK)


@pytest.fixture(autouse=True)
def bounded_memory():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < MEMORY


def attempt(error, function, *arguments):
    """What a function returned, or the sentence that it refused with; any other error ends the test."""
    try:
        return function(*arguments), ""
    except error as refusal:
        return None, str(refusal)


def check_sentence(sentence, start=""):
    assert sentence.startswith(start)
    assert "\n" not in sentence
    assert 0 < len(sentence) < 3000


@st.composite
def changed(draw, content):
    """A file's bytes with some changed, cut out, doubled or put in."""
    data = bytearray(content)
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, max(0, len(data) - 1)))
        kind = draw(st.sampled_from(["byte", "cut", "double", "insert", "end"]))
        length = draw(st.integers(1, 40))
        if kind == "byte" and data:
            data[place] = draw(st.integers(0, 255))
        elif kind == "cut":
            del data[place : place + length]
        elif kind == "double":
            data[place:place] = data[place : place + length]
        elif kind == "insert":
            tokens = [
                b",",
                b";",
                b"\t",
                b":",
                b"\n",
                b"'",
                b'"',
                b"{",
                b"}",
                b"%",
                b"?",
                b"NaN",
                b"1e999",
                b"0,5",
                b"\\",
            ]
            data[place:place] = draw(st.sampled_from([*tokens, b"\xff", b"\0", "ü".encode(), b"9" * 400, b"[" * 400]))
        else:
            del data[place:]
    return bytes(data)


COLUMNS = Columns("id", "y", "t")
FORMATS = {
    "x.ts": (write_ts, read_ts),
    "x.tsv": (write_ucr, read_ucr),
    "x.arff": (write_arff, read_arff),
    "x.npz": (write_npz, read_npz),
    "x.csv": (write_csv, lambda path: read_long(path, COLUMNS)),
    "x.parquet": (write_parquet, lambda path: read_long(path, COLUMNS)),
}


@pytest.mark.parametrize("name", FORMATS)
@examples(250)
@given(data=st.data())
def test_any_data_file_is_read_or_refused_in_a_sentence(tmp_path, name, data):
    write, read = FORMATS[name]
    path = tmp_path / name
    if not (tmp_path / "whole").exists():
        write(path, make_cases(cases=6, channels=1 if name == "x.tsv" else 2, steps=5))
        (tmp_path / "whole").write_bytes(path.read_bytes())
    path.write_bytes(data.draw(changed((tmp_path / "whole").read_bytes())))
    file, sentence = attempt(DataError, read, path)
    if file is None:
        check_sentence(sentence, str(path))
        return
    cases = file.collection
    assert len(cases) == len(cases.lengths) == len(cases.labels) > 0
    assert all(cases.labels)
    assert cases.values.shape == (len(cases), cases.channels, cases.lengths.max())


# --- recipes

RECIPE = Path(__file__).parents[1] / "recipes" / "quickstart.yaml"
KEYS = ["name", "datasets", "search", "space", "model", "training", "baselines", "trials", "timeout", "choice", "float"]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(
        ["GunPoint", "ucr-112", "3 min", "model.dropout", "1e400", "../x", "sqlite:///x", "a.b.C", "*", "~x"]
    ),
)
TREES = st.recursive(
    SCALARS,
    lambda below: st.one_of(
        st.lists(below, max_size=4),
        st.dictionaries(st.one_of(st.sampled_from(KEYS), st.text(max_size=8)), below, max_size=4),
    ),
    max_leaves=20,
)


def loaded_or_refused(path):
    try:
        load_recipe(path, (), BASELINES, problem_with)
    except RecipeError as error:
        for problem in error.problems:
            assert problem.startswith(str(path))
            assert len(problem) < 3000


@examples(400)
@given(data=st.data())
def test_any_change_of_a_recipe_is_read_or_refused_in_sentences(tmp_path, data):
    path = tmp_path / "recipe.yaml"
    path.write_bytes(data.draw(changed(RECIPE.read_bytes())))
    loaded_or_refused(path)


@examples(600)
@given(tree=st.dictionaries(st.one_of(st.sampled_from(KEYS), st.text(max_size=8)), TREES, max_size=6))
def test_any_tree_is_a_recipe_or_refused_in_sentences(tmp_path, tree):
    path = tmp_path / "recipe.yaml"
    path.write_text(json.dumps(tree), encoding="utf-8", errors="replace")  # JSON is YAML
    loaded_or_refused(path)


# --- prediction inputs and saved models


SETTINGS = {
    "model.convolution.channels": 3,
    "model.convolution.blocks": 1,
    "model.features.blocks": (),
    "model.head.hidden_sizes": (6,),
    "training.epochs": 1,
}


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory):
    """A model that was trained on a table of the channels `x0` and `x1`."""
    path = write_csv(tmp_path_factory.mktemp("fuzz") / "x.csv", make_cases(steps=8))
    return NetworkEnsemble.fit(read_long(path, COLUMNS).collection, hyperparameters_of(SETTINGS), seeds=[0])


NUMBERS = st.one_of(st.floats(), st.integers(), st.none(), st.text(max_size=3), st.booleans())
CELLS = st.one_of(
    NUMBERS, st.just(10**400), st.lists(NUMBERS, max_size=2), st.dictionaries(st.text(max_size=2), NUMBERS)
)
NAMES = st.sampled_from(["id", "t", "x0", "x1", "y", "case", "time", "label", "other", ""])
INPUTS = st.one_of(
    st.lists(st.lists(st.lists(NUMBERS, max_size=10), max_size=3), max_size=4),
    st.lists(st.dictionaries(NAMES, CELLS, max_size=6), max_size=6),
    st.dictionaries(NAMES, st.one_of(CELLS, st.lists(CELLS, min_size=8, max_size=8)), max_size=6),
    TREES,
    st.text(max_size=40),
    st.binary(max_size=40),
)


def predict(ensemble, given):
    return predict_table(ensemble, read_input(given, ensemble.channels, ensemble.columns))


@examples(500)
@given(given=INPUTS)
def test_any_prediction_input_is_answered_or_refused_in_a_sentence(ensemble, given):
    table, sentence = attempt(ModelError, predict, ensemble, given)
    if table is None:
        check_sentence(sentence)
        return
    np.testing.assert_allclose(table.iloc[:, 1:].to_numpy().sum(axis=1), 1, atol=1e-5)


@examples(300)
@given(
    values=st.lists(st.one_of(st.floats(-10, 10), st.just(float("nan"))), min_size=16, max_size=16),
    order=st.permutations(["id", "t", "x0", "x1", "y"]),
)
def test_a_table_of_any_order_gives_the_same_prediction(ensemble, values, order):
    table = long_table(make_cases(cases=1, steps=8)).assign(x0=values[:8], x1=values[8:])
    expected, sentence = attempt(ModelError, predict, ensemble, table)
    if expected is None:
        assert "missing (NaN)" in sentence
        return
    pd.testing.assert_frame_equal(predict(ensemble, table[order]), expected)


@pytest.mark.parametrize("sealed", [True, False], ids=["with checksums", "as version 0.1.0 saved it"])
@pytest.mark.parametrize("name", ["model.json", "weights-0.pt"])
@examples(75)
@given(data=st.data())
def test_any_damage_of_a_saved_model_is_refused_in_a_sentence(ensemble, tmp_path, name, sealed, data):
    ensemble.save(tmp_path)
    if not sealed:
        (tmp_path / "checksums.json").unlink()
    whole = (tmp_path / name).read_bytes()
    damaged = data.draw(changed(whole))
    (tmp_path / name).write_bytes(damaged)
    loaded, sentence = attempt(ModelError, NetworkEnsemble.load, tmp_path)
    if loaded is None:
        check_sentence(sentence, str(tmp_path))
        return
    assert damaged == whole or not sealed
