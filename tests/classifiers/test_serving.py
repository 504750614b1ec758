import json

import numpy as np
import pandas as pd
import pytest

from tsbench.classifiers.card import CardFacts, model_card
from tsbench.classifiers.network import NetworkEnsemble
from tsbench.classifiers.serving import NamedCases, predict_table, read_input
from tsbench.data.collection import Collection
from tsbench.errors import ModelError
from tsbench.recipe.dotted import hyperparameters_of

SETTINGS = {
    "model.convolution.channels": 3,
    "model.convolution.blocks": 1,
    "model.features.blocks": (),
    "model.head.hidden_sizes": (6,),
    "training.epochs": 1,
}
LENGTHS = np.array([9, 6, 12, 9])


def cases(channels, lengths=LENGTHS, missing=False):
    rng = np.random.default_rng(0)
    steps = int(lengths.max())
    values = rng.normal(size=(len(lengths), channels, steps))
    values *= (np.arange(steps) < lengths[:, None])[:, None]
    if missing:
        values[0, 0, 3] = np.nan
    return Collection(values, lengths, np.array(["a", "b"])[np.arange(len(lengths)) % 2])


def ensemble_of(channels, **kind):
    return NetworkEnsemble.fit(cases(channels, **kind), hyperparameters_of(SETTINGS), seeds=[0])


@pytest.fixture(scope="module")
def two_channels():
    return ensemble_of(2)


@pytest.fixture(scope="module")
def one_channel():
    return ensemble_of(1)


def series(found):
    return [case.tolist() for case in found.collection.cases()]


def test_arrays_lists_and_json_of_equal_length_are_the_same_cases():
    array = np.arange(12.0).reshape(2, 2, 3)
    forms = [array, array.astype(np.int32), array.tolist(), list(array), json.dumps(array.tolist())]
    for form in forms:
        found = read_input(form, 2)
        np.testing.assert_array_equal(found.collection.values, array)
        assert list(found.names) == [0, 1]


def test_cases_of_one_channel_need_no_axis_for_it():
    for form in (np.arange(6.0).reshape(2, 3), [[0, 1, 2], [3, 4, 5]], np.arange(6.0).reshape(2, 1, 3)):
        assert read_input(form, 1).collection.values.shape == (2, 1, 3)
    assert series(read_input([[0, 1], [3, 4, 5]], 1)) == [[[0, 1]], [[3, 4, 5]]]


def test_cases_of_unequal_length_are_padded_and_null_is_missing():
    given = [[[1, 2, 3], [4, 5, None]], [[6], [7]]]
    ragged = np.empty(2, dtype=object)
    ragged[:] = [np.array(one, dtype=float) for one in given]
    for form in (given, json.dumps(given), ragged):
        found = read_input(form, 2).collection
        assert found.lengths.tolist() == [3, 1]
        np.testing.assert_array_equal(found.values, [[[1, 2, 3], [4, 5, np.nan]], [[6, 0, 0], [7, 0, 0]]])


def test_a_long_table_in_any_spelling_is_sorted_by_time_and_keeps_the_order_of_cases():
    table = pd.DataFrame(
        {"label": "?", "time": [2, 1, 5, 1], "case": ["z", "z", "a", "a"], "y": [2.0, 1, 4, 3], "x": [20.0, 10, 40, 30]}
    )
    indexed = table.drop(columns="label").set_index(["case", "time"])
    for form in (table, indexed, table.to_dict("list"), table.to_dict("records"), table.to_json(orient="records")):
        found = read_input(form, 2)
        assert found.names == ["z", "a"]
        assert series(found) == [[[1, 2], [10, 20]], [[3, 4], [30, 40]]]
    assert series(read_input(table.drop(columns="time"), 2)) == [[[2, 1], [20, 10]], [[4, 3], [40, 30]]]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("{", "the text is not JSON: .*; expected an array of shape"),
        (3, "cases of type int are not understood; expected an array"),
        (np.zeros((2, 3)), r"the array has the shape \(2, 3\); expected an array"),
        (np.array([["a"]]).reshape(1, 1, 1), "the array is of type <U1, which is not numbers"),
        ([[[1, 2], [3]]], r"case 0 \(counted from 0\) has channels of different lengths: 1, 2"),
        ([[[1, 2], [3, "x"]]], r"case 0 \(counted from 0\) holds something that is not a number"),
        ([[[1], [2]], [[1], [2], [3]]], r"case 1 .* has 3 channels, case 0 .* has 2; all must have the same"),
        ([1.0, 2.0], r"case 0 .* has the shape \(\); expected"),
        ({"id": [1], "x": [2]}, r"the table has no column 'case' \(its columns: id, x\); expected"),
        ({"case": [1, 1], "x": [2]}, "the table's columns do not fit together"),
        ({"case": [1, 1], "time": [0, 0], "x": [2, 3], "y": [1, 1]}, "case 1 has the time 0 twice"),
        ({"case": [1, None], "x": [2, 3]}, "row 1 of the table .* names no case"),
        ({"case": [1, 1], "time": [0, None], "x": [2, 3]}, "row 1 of the table .* has no time"),
        ({"case": [1, 1], "x": [2, "u"], "y": [1, 1]}, "a channel's column holds something that is not a number"),
    ],
)
def test_what_is_no_cases_is_refused_in_a_sentence(given, sentence):
    with pytest.raises(ModelError, match=sentence):
        read_input(given, 2)


def test_another_number_of_channels_is_refused_with_both(two_channels, one_channel):
    with pytest.raises(ModelError, match=r"case 0 .* has 1 channel; the model was trained on 2 channels"):
        predict_table(two_channels, read_input(np.zeros((1, 1, 9)), 2))
    with pytest.raises(ModelError, match="case 'k' has 2 channels; the model was trained on 1 channel"):
        predict_table(one_channel, read_input({"case": ["k"] * 9, "x": range(9), "y": range(9)}, 1))


def test_a_series_of_less_than_half_the_shortest_training_case_is_too_short(two_channels):
    three, two = np.zeros((1, 2, 3)), np.zeros((1, 2, 2))
    assert len(predict_table(two_channels, read_input(three, 2))) == 1
    with pytest.raises(
        ModelError,
        match=r"case 0 .* has 2 time steps, which is too short; the model was trained on 6 to 12 time steps",
    ):
        predict_table(two_channels, read_input(two, 2))
    with pytest.raises(ModelError, match="has 0 time steps, which is too short"):
        predict_table(two_channels, read_input([[[], []]], 2))


def test_missing_values_are_refused_unless_the_training_cases_had_some(two_channels):
    values = np.ones((2, 2, 9))
    values[1, 0, 4] = np.nan
    with pytest.raises(ModelError, match=r"case 1 .*, channel 0, time step 4: the value is missing \(NaN\); the model"):
        predict_table(two_channels, read_input(values, 2))
    used_to_them = ensemble_of(2, missing=True)
    assert len(predict_table(used_to_them, read_input(values, 2))) == 2
    values[1, 0, 4] = np.inf
    with pytest.raises(ModelError, match="the value is infinite; replace it, or make it NaN"):
        predict_table(used_to_them, read_input(values, 2))


def test_nothing_at_all_is_refused(two_channels):
    for nothing in ([], np.zeros((0, 2, 9)), pd.DataFrame({"case": [], "x": [], "y": []})):
        with pytest.raises(ModelError, match="there are no cases to predict"):
            predict_table(two_channels, read_input(nothing, 2))


def test_the_table_has_a_row_for_each_case_with_probabilities_that_sum_to_one(two_channels):
    table = predict_table(two_channels, NamedCases(cases(2), ["p", "q", "r", "s"]))
    assert list(table.columns) == ["label", "probability_a", "probability_b"]
    assert list(table.index) == ["p", "q", "r", "s"]
    assert table.index.name == "case"
    np.testing.assert_allclose(table.iloc[:, 1:].sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(table["label"], two_channels.predict(cases(2)))


def test_what_was_trained_on_survives_saving(tmp_path):
    ensemble = ensemble_of(2, missing=True)
    ensemble.save(tmp_path)
    loaded = NetworkEnsemble.load(tmp_path)
    assert (loaded.shortest, loaded.longest, loaded.missing_values) == (6, 12, True)


def test_the_card_says_what_the_model_is_and_takes(two_channels, one_channel):
    metrics = {"cv_accuracy": 0.75, "test_accuracy": 0.5, "test_roc_auc": 0.625, "fit_seconds": 3.0}
    facts = CardFacts("Pumps resample 2", "mine", 7, 40, 60, metrics, ["tsbench==1", "torch==2"])
    card = model_card(two_channels, facts)
    for text in (
        "# Network for Pumps resample 2",
        "Time series of 2 channels",
        "trained on cases of 6 to 12 time steps; it takes 3 time steps or more",
        "the training cases had no missing values, and NaN is refused",
        "one of 2 classes: `a`, `b`",
        "| accuracy | 0.7500 | 0.5000 |",
        "| roc auc |  | 0.6250 |",
        "Recipe `mine`, trial 7",
        "40 training cases; scored once on 60 test cases",
        "`tsbench==1`, `torch==2`",
    ):
        assert text in card
    assert "fit" not in card.partition("## Where")[0].partition("## How")[2]
    assert "Time series of 1 channel." in model_card(one_channel, facts)
