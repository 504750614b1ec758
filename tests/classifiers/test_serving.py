import json

import numpy as np
import pandas as pd
import pytest

from tsbench.classifiers.card import CardFacts, model_card
from tsbench.classifiers.ensemble import NetworkEnsemble
from tsbench.classifiers.serving import NamedCases, predict_table, read_input
from tsbench.data.collection import Collection
from tsbench.data.column_roles import Columns
from tsbench.data.formats import read_long
from tsbench.errors import DataError, ModelError
from tsbench.models.prediction import predict_file
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
    ragged[:] = [np.array(case, dtype=float) for case in given]
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
        (3, "cases of type int are not supported; expected an array"),
        (np.zeros((2, 3)), r"the array has the shape \(2, 3\); expected an array"),
        (np.array([["a"]]).reshape(1, 1, 1), "the array is of type <U1, which is not numbers"),
        ([[[1, 2], [3]]], r"case 0 \(counted from 0\) has channels of different lengths: 1, 2"),
        ([[[1, 2], [3, "x"]]], r"case 0 \(counted from 0\) holds something that is not a number"),
        ([[[1], [2]], [[1], [2], [3]]], r"case 1 .* has 3 channels, case 0 .* has 2; all must have the same"),
        ([1.0, 2.0], r"case 0 .* has the shape \(\); expected"),
        ({"id": [1], "x": [2]}, r"the table has no column 'case' \(its columns: id, x\); expected"),
        ({"case": [1, 1], "x": [2]}, "the table's columns do not fit together"),
        (
            {"case": [1, 1], "time": [0, 0], "x": [2, 3], "y": [1, 1]},
            r"row 1 \(counted from 0\): case '1' already has this time, in row 0",
        ),
        ({"case": [1, None], "x": [2, 3]}, "the table, row 1 .* no value in column 'case'"),
        (
            {"case": [1, 1], "time": [0, None], "x": [2, 3]},
            "the table, row 1 .*: 'nan' in column 'time' is neither a number nor a date",
        ),
        ({"case": [1, 1], "x": [2, "u"], "y": [1, 1]}, "the table, row 1 .*: 'u' in column 'x' is not a number$"),
    ],
)
def test_what_is_no_cases_is_refused_in_a_sentence(given, sentence):
    with pytest.raises(ModelError, match=sentence):
        read_input(given, 2)


def test_another_number_of_channels_is_refused_with_both(two_channels, one_channel):
    with pytest.raises(ModelError, match=r"case 0 .* has 1 channel; the model was trained on 2 channels"):
        predict_table(two_channels, read_input(np.zeros((1, 1, 9)), 2))
    with pytest.raises(ModelError, match=r"the table has 2 channels \(x, y\); the model was trained on 1 channel"):
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
    metrics = {
        "cv_accuracy": 0.75,
        "cv_accuracy_se": 0.0125,
        "test_accuracy": 0.5,
        "test_roc_auc": 0.625,
        "fit_seconds": 3.0,
    }
    facts = CardFacts("Pumps resample 2", "mine", 7, 40, 60, metrics, ["tsbench==1", "torch==2"])
    card = model_card(two_channels, facts)
    for text in (
        "# Network for Pumps resample 2",
        "Time series of 2 channels",
        "trained on cases of 6 to 12 time steps; it takes 3 time steps or more",
        "the training cases had no missing values, and NaN is refused",
        "one of 2 classes: `a`, `b`",
        "| accuracy | 0.7500 ± 0.0125 | 0.5000 |",
        "| roc auc |  | 0.6250 |",
        "Recipe `mine`, trial 7",
        "40 training cases (± standard error); scored once on 60 test cases",
        "`tsbench==1`, `torch==2`",
    ):
        assert text in card
    assert "accuracy se" not in card
    assert "fit" not in card.partition("## Origin")[0].partition("## Scores")[2]
    assert "Time series of 1 channel." in model_card(one_channel, facts)


# --- models that were trained on a table


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model of the channels `vib` and `temp`, and the table that it was trained on, with a group and an index."""
    random = np.random.default_rng(3)
    rows = [(case, step, machine) for case, machine in enumerate(["m0", "m1"] * 10) for step in range(8)]
    table = pd.DataFrame(rows, columns=["unit", "t", "machine"])
    worn = table["unit"] % 4 < 2
    table["vib"] = random.normal(size=len(table)) + 4 * worn
    table["temp"] = random.normal(size=len(table))
    table["state"] = np.where(worn, "01", "None")
    path = tmp_path_factory.mktemp("trained") / "pumps.csv"
    table.to_csv(path)  # with pandas' index, which counts the rows
    cases = read_long(path, Columns("unit", "state", "t", "machine")).collection
    settings = {**SETTINGS, "training.epochs": 40}
    return NetworkEnsemble.fit(cases, hyperparameters_of(settings), seeds=[0]), table, path


def test_the_file_trained_on_is_predicted_and_scored_without_any_option(trained):
    model, _, path = trained
    found = predict_file(model, path, {})
    assert found.accuracy == 1.0
    assert list(found.table["true_label"].unique()) == ["01", "None"]
    assert found.notes == ()


@pytest.mark.parametrize("suffix", ["csv", "parquet", "json"])
@pytest.mark.parametrize("order", [["temp", "t", "vib", "unit"], ["unit", "t", "vib", "temp"]])
def test_columns_are_taken_by_name_whatever_their_order(trained, tmp_path, suffix, order):
    model, table, path = trained
    file = tmp_path / f"x.{suffix}"
    if suffix == "json":
        table[order].to_json(file, orient="records")
    elif suffix == "csv":
        table[order].to_csv(file, index=False, sep=";", decimal=",")
    else:
        table[order].to_parquet(file)
    expected = predict_file(model, path, {}).table["label"].tolist()
    assert predict_file(model, file, {}).table["label"].tolist() == expected
    assert predict_table(model, read_input(table[order], 2, model.columns))["label"].tolist() == expected
    as_lists = table[order].to_dict("list")
    assert (
        predict_table(model, read_input({"inputs": as_lists}["inputs"], 2, model.columns))["label"].tolist() == expected
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"vib": "vibration"}, "there is no column vib, which the training data had as a channel"),
        ({"t": "when"}, "there is no column 't' \\(time\\)"),
        ({"unit": "pump"}, "there is no column 'unit' \\(case\\)"),
        ({"machine": "site"}, "unknown column site; the training data had the channels vib, temp"),
        ({"temp": "vib"}, "columns named more than once: vib"),
    ],
)
def test_columns_that_are_missing_unknown_or_doubled_are_refused_by_name(trained, change, sentence):
    model, table, _ = trained
    with pytest.raises(ModelError, match=sentence):
        read_input(table.rename(columns=change), 2, model.columns)


def test_columns_that_are_called_otherwise_can_be_named(trained, tmp_path):
    model, table, path = trained
    renamed = table.rename(columns={"unit": "pump", "t": "when", "state": "truth"})
    renamed.to_csv(tmp_path / "x.csv", index=False)
    named = {"case": "pump", "time": "when", "label": "truth"}
    assert predict_file(model, tmp_path / "x.csv", named).accuracy == 1.0
    usual = table.rename(columns={"unit": "case", "t": "time", "state": "label"})
    usual.to_csv(tmp_path / "x.csv", index=False)
    assert predict_file(model, tmp_path / "x.csv", {}).accuracy == 1.0
    with pytest.raises(DataError, match="column 'vib' cannot be the time, as it was a channel in training"):
        predict_file(model, path, {"time": "vib"})


def test_cases_without_a_label_are_left_out_of_the_score_and_unknown_labels_are_named(trained, tmp_path):
    model, table, _ = trained
    some = table.assign(state=table["state"].where(table["unit"] != 4, "").where(table["unit"] != 5, "broken"))
    some.to_csv(tmp_path / "x.csv", index=False)
    found = predict_file(model, tmp_path / "x.csv", {})
    assert found.accuracy == 18 / 19
    assert found.table["true_label"].tolist()[4:6] == ["", "broken"]
    assert found.notes == (
        "1 case has no label and is left out of the score",
        "1 case has a label that the model does not know and cannot predict (broken); it knows 01, None",
    )


def test_the_columns_survive_saving_and_stand_in_the_card(trained, tmp_path):
    model, _, _ = trained
    model.save(tmp_path)
    assert NetworkEnsemble.load(tmp_path).columns == model.columns
    card = model_card(model, CardFacts("Pumps", "mine", 7, 40, 60, {}, []))
    assert "2 channels: `vib`, `temp`" in card
    assert "the columns `unit` (case), `t` (time) and the channels by name, in any order" in card


def test_a_missing_value_is_reported_by_the_name_of_its_channel(trained):
    model, table, _ = trained
    table = table.assign(temp=table["temp"].where(table.index != 9))
    with pytest.raises(ModelError, match=r"case 1, channel 'temp', time step 1: the value is missing"):
        predict_table(model, read_input(table, 2, model.columns))


def test_a_model_of_an_older_version_scores_labels_in_the_spelling_of_today(one_channel, tmp_path):
    from dataclasses import replace

    older = replace(one_channel, classes=np.array(["1.0", "2.0"]))
    cases_ = cases(1)
    lines = [f"{','.join(map(str, case[0]))}:{label}" for case, label in zip(cases_.cases(), "1212", strict=True)]
    (tmp_path / "x.ts").write_text("@data\n" + "\n".join(lines) + "\n")
    found = predict_file(older, tmp_path / "x.ts", {})
    assert found.table["true_label"].tolist() == ["1.0", "2.0", "1.0", "2.0"]
    assert found.notes == ()


# --- hostile and damaged inputs


DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize(
    "given",
    [
        [[[10**400, 1.0], [1.0, 2.0]]],
        [[[1.0, "x"], [1.0, 2.0]]],
        [[[1.0, None], {"a": 1}]],
        [{"case": [1], "x": 1.0, "y": 2.0}],
        {"case": {"a": 1}, "x": {"a": 2}, "y": {"a": 3}},
        {"case": [{"a": 1}], "x": [1], "y": [1]},
        {"case": ["a"], "x": [10**400], "y": [1]},
        {"case": ["a"], "x": [[1, 2]], "y": [1]},
        {"case": ["a", "a"], "time": [[1], [2]], "x": [1, 2], "y": [1, 2]},
        {"case": ["a", "a"], "time": ["soon", 2], "x": [1, 2], "y": [1, 2]},
        {"case": ["a", "a"], "time": [10**400, 1], "x": [1, 2], "y": [1, 2]},
        {"case": 1, "x": 2, "y": 3},
        np.array([[[{"a": 1}]]], dtype=object),
        np.zeros((1, 2, 9), dtype=complex),
        DEEP,
        '{"case": [1], "x": [1], "x": [2], "y": [1]}',
        '[{"case": 1, "x": 1, "x": 2, "y": 3}]',
        b"\xff\xfe\x00",
        "1e400",
        True,
        [[]],
        [[[1.0] * 2_000_000, [1.0] * 2_000_000], *[[[1.0], [1.0]]] * 40],
    ],
    ids=lambda given: repr(given)[:40],
)
def test_hostile_input_ends_in_one_sentence(two_channels, given):
    with pytest.raises(ModelError) as caught:
        predict_table(two_channels, read_input(given, 2))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize(
    "content", [b"", b"\x93NUMPY", b"\x93NUMPY\x01\x00\x10\x00{'descr': '<f8', (", b"not an array"]
)
def test_a_damaged_array_is_refused_in_one_sentence(two_channels, tmp_path, content):
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(DataError, match="is not a whole array that NumPy saved"):
        predict_file(two_channels, tmp_path / "x.npy", {})
    np.savez(tmp_path / "y", a=np.zeros(3))
    (tmp_path / "y.npz").rename(tmp_path / "x.npy")
    with pytest.raises(DataError, match="holds several arrays"):
        predict_file(two_channels, tmp_path / "x.npy", {})


DAMAGE = {
    "no json": ("model.json", lambda content: b"{"),
    "a list": ("model.json", lambda content: b"[]"),
    "a key less": ("model.json", lambda content: content.replace(b'"classes"', b'"klasses"')),
    "another mean": ("model.json", lambda content: content.replace(b'"length": 12', b'"length": 13')),
    "empty weights": ("weights-0.pt", lambda content: b""),
    "cut weights": ("weights-0.pt", lambda content: content[: len(content) // 2]),
    "a flipped bit": ("weights-0.pt", lambda content: content[:2000] + bytes([content[2000] ^ 1]) + content[2001:]),
}


@pytest.mark.parametrize("sealed", [True, False], ids=["with checksums", "as version 0.1.0 saved it"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_model_is_refused_in_one_sentence(two_channels, tmp_path, damage, sealed):
    name, change = DAMAGE[damage]
    two_channels.save(tmp_path)
    if not sealed:
        (tmp_path / "checksums.json").unlink()
    NetworkEnsemble.load(tmp_path)
    content = (tmp_path / name).read_bytes()
    assert change(content) != content
    (tmp_path / name).write_bytes(change(content))
    if not sealed and damage in ("a flipped bit", "another mean"):
        return  # without checksums nobody can tell
    with pytest.raises(ModelError) as caught:
        NetworkEnsemble.load(tmp_path)
    assert str(caught.value).startswith(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_the_weights_of_a_model_that_are_gone_are_named(two_channels, tmp_path):
    two_channels.save(tmp_path)
    (tmp_path / "weights-0.pt").unlink()
    with pytest.raises(ModelError, match=r"the model's files are damaged \(.*No such file.*weights-0\.pt"):
        NetworkEnsemble.load(tmp_path)
