"""Tables as people have them: their columns, numbers, times and labels, read right or refused with the place."""

import gzip

import numpy as np
import pandas as pd
import pytest

from tests.data.made import long_table, make_cases
from tsbench.data.column_roles import Columns
from tsbench.data.custom_data import columns_of, load_own
from tsbench.data.formats import read_arff, read_long, read_long_alike, read_npz, read_ts, read_ucr
from tsbench.data.formats.labels import lookalikes, uniform_label
from tsbench.data.formats.table import read_table
from tsbench.errors import DataError
from tsbench.recipe.schema import OwnDataConfig

COLUMNS = Columns(case="id", label="y", time="t")
CASES = make_cases(cases=12, channels=2, steps=6)


def table(**more):
    return long_table(CASES).assign(**more)


def written(path, frame, **options):
    if path.suffix == ".parquet":
        frame.to_parquet(path, **options)
    else:
        frame.to_csv(path, **{"index": False, **options})
    return path


def refused(read, *arguments):
    with pytest.raises(DataError) as caught:
        read(*arguments)
    return str(caught.value)


def same(read, expected=CASES):
    np.testing.assert_array_equal(read.values, expected.values)
    assert list(read.labels) == list(expected.labels)


# --- which columns are channels


@pytest.mark.parametrize("name", ["x.csv", "x.parquet"])
def test_an_index_that_was_written_along_is_not_a_channel(tmp_path, name):
    # In a Parquet file an index has a name; without one it only counts rows, and pandas drops it.
    frame = table().rename_axis("row" if name.endswith("parquet") else None)
    cases = read_long(written(tmp_path / name, frame, index=True), COLUMNS).collection
    same(cases)
    assert cases.columns.channels == ("x0", "x1")
    assert len(cases.columns.ignored) == 1


ROWS = 12 * 6
NO_CHANNELS = {
    "a counter of rows": (np.arange(ROWS), "counts in steps of 1"),
    "a counter of steps": (np.tile(np.arange(6), 12) * 0.1, "counts in steps of 0.1"),
    "a counter that runs down": (ROWS - np.arange(ROWS), "counts in steps of -1"),
    "an identifier": (np.random.default_rng(0).permutation(ROWS), "has a different whole number in every row"),
    "a case's number": (np.repeat(np.random.default_rng(0).permutation(500)[:12], 6), "identifies the case"),
    "a counter with empty cells": (
        np.where(np.arange(ROWS) % 30 == 7, np.nan, np.arange(ROWS)),
        "counts in steps of 1",
    ),
    "an identifier with empty cells": (
        np.where(np.arange(ROWS) % 30 == 7, np.nan, np.random.default_rng(0).permutation(ROWS)),
        "has a different whole number in every row",
    ),
    "a case's number, not in every row": (
        np.where(np.arange(ROWS) % 7, np.repeat(np.random.default_rng(0).permutation(500)[:12], 6), np.nan),
        "identifies the case",
    ),
    "seconds since 1970": (1.7e9 + np.cumsum(np.random.default_rng(0).random(ROWS)), "holds times"),
    "dates": (pd.date_range("2026-01-01", periods=ROWS, freq="37min"), "holds dates"),
    "days": ([f"2026-01-{1 + step:02d}" for step in range(6)] * 12, "holds dates"),
}


@pytest.mark.parametrize(("column", "reason"), NO_CHANNELS.values(), ids=NO_CHANNELS)
@pytest.mark.parametrize("name", ["x.csv", "x.parquet"])
def test_what_counts_dates_or_identifies_rows_is_left_out_with_the_reason(tmp_path, name, column, reason):
    path = written(tmp_path / name, table(extra=column), index=False)
    cases = read_long(path, COLUMNS).collection
    same(cases)
    assert cases.columns.channels == ("x0", "x1")
    assert cases.columns.ignored["extra"].startswith(reason)
    said = load_own(OwnDataConfig(name="own", file=str(path), case="id", time="t", label="y")).remarks
    assert said[0] == "2 channels: x0, x1"
    assert said[1].startswith("column 'extra' is not a channel: it ")


def test_a_column_that_is_named_as_a_channel_is_one(tmp_path):
    path = written(tmp_path / "x.csv", table(extra=np.arange(ROWS)))
    chosen = Columns("id", "y", "t", None, ("extra", "x0"))
    cases = read_long(path, chosen).collection
    assert cases.columns.channels == ("extra", "x0")
    np.testing.assert_array_equal(cases.values[:, 0].ravel(), np.arange(ROWS))


def test_measured_values_stay_channels_though_they_are_whole_or_increase(tmp_path):
    random = np.random.default_rng(1)
    meter = np.cumsum(random.random(ROWS))  # an energy meter only ever increases
    more = {"level": random.integers(0, 9, ROWS), "meter": meter, "dead": np.zeros(ROWS), "switch": [True, False] * 36}
    cases = read_long(written(tmp_path / "x.parquet", table(**more)), COLUMNS).collection
    assert cases.columns.channels == ("x0", "x1", "level", "meter", "dead", "switch")


def test_a_wide_range_of_distinct_whole_numbers_needs_a_word(tmp_path):
    column = np.random.default_rng(0).choice(10**9, ROWS, replace=False)
    path = written(tmp_path / "x.csv", table(value=column))
    assert "column 'value' has a different whole number in every row: if it identifies" in refused(
        read_long, path, COLUMNS
    )
    assert read_long(written(path, table(sensor_id=column)), COLUMNS).collection.columns.channels == ("x0", "x1")


def test_a_channel_that_is_constant_in_each_case_is_remarked_on(tmp_path):
    path = written(tmp_path / "x.csv", table(setpoint=np.repeat([10, 20, 30] * 4, 6)))
    (remark,) = read_long(path, COLUMNS).remarks
    assert remark.startswith("channel 'setpoint' has one value in each case")


@pytest.mark.parametrize("order", [np.arange(ROWS), np.random.default_rng(0).permutation(ROWS)])
@pytest.mark.parametrize("missing", [False, True])
def test_a_channel_that_runs_on_from_case_to_case_is_remarked_on(tmp_path, order, missing):
    clock = np.cumsum(np.random.default_rng(1).random(ROWS))
    clock[5] = np.nan if missing else clock[5]
    frame = table(meter=clock, charge=np.tile(np.cumsum(np.random.default_rng(2).random(6)), 12))
    (remark,) = read_long(written(tmp_path / "x.csv", frame.iloc[order]), COLUMNS).remarks
    assert remark.startswith("channel 'meter' continues from case to case, as a clock or a meter does")
    renamed = frame.rename(columns={"meter": "elapsed"})
    columns = read_long(written(tmp_path / "x.csv", renamed.iloc[order]), COLUMNS).collection.columns
    assert columns.ignored == {"elapsed": "holds times"}


def test_dates_out_of_order_must_be_named(tmp_path):
    frame = table(when=pd.date_range("2026-01-01", periods=ROWS, freq="h")).drop(columns="t")
    path = written(tmp_path / "x.csv", frame.iloc[::-1])
    assert (
        "x.csv:3: the time in column 'when' is before that of the case's last row; name the column by `time`"
        in refused(read_long, path, Columns("id", "y"))
    )


# --- a further table of the same columns


def test_a_further_table_is_read_by_name_whatever_the_order(tmp_path):
    columns = read_long(
        written(tmp_path / "a.csv", table(machine="m")), Columns("id", "y", "t", "machine")
    ).collection.columns
    other = make_cases(seed=5)
    path = written(tmp_path / "b.csv", long_table(other)[["x1", "y", "t", "x0", "id"]])
    same(read_long_alike(path, columns).collection, other)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"x1": "vibration"}, "there is no column x1, which the training data had as a channel; available: id, t, x0"),
        ({"id": "number"}, "there is no column 'id' (case); available: number, t, x0, x1, y"),
        ({"t": "when"}, "there is no column 't' (time); available: id, when, x0, x1, y"),
        ({"y": "state"}, "unknown column state; the training data had the channels x0, x1. Remove columns that are"),
        ({"x1": "x0"}, "columns named more than once: x0; give each its own name"),
    ],
)
@pytest.mark.parametrize("name", ["b.csv", "b.parquet"])
def test_missing_unknown_and_doubled_names_are_refused_by_name(tmp_path, name, change, sentence):
    columns = read_long(written(tmp_path / "a.csv", table()), COLUMNS).collection.columns
    path = tmp_path / name
    frame = table().rename(columns=change)
    if name.endswith("parquet"):
        import pyarrow as pa
        from pyarrow import parquet

        arrays = [pa.array(frame.iloc[:, number]) for number in range(frame.shape[1])]
        parquet.write_table(pa.table(arrays, names=list(frame.columns)), path)
    else:
        written(path, frame)
    assert refused(read_long_alike, path, columns).removeprefix(str(path)).split(": ", 1)[1].startswith(sentence)


def test_train_and_test_files_may_order_their_columns_differently(tmp_path):
    train, test = make_cases(seed=1), make_cases(seed=2)
    written(tmp_path / "train.csv", long_table(train))
    written(tmp_path / "test.csv", long_table(test)[["y", "x1", "x0", "t", "id"]])
    files = {"train": str(tmp_path / "train.csv"), "test": str(tmp_path / "test.csv")}
    same(load_own(OwnDataConfig(name="own", **files, case="id", time="t", label="y")).test, test)


def test_the_columns_are_kept_with_the_cases(tmp_path):
    path = written(tmp_path / "x.csv", table(row=np.arange(ROWS)))
    config = OwnDataConfig(name="own", file=str(path), case="id", time="t", label="y")
    first, second = load_own(config), load_own(config)
    assert first.train.columns == second.train.columns
    assert second.train.stored is not None
    assert first.remarks == second.remarks
    assert columns_of(path, config) == ("id", "t", "x0", "x1", "y", "row")


# --- numbers


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_decimal_commas_are_read_if_something_else_separates_fields(tmp_path, separator):
    path = written(tmp_path / "x.csv", table(), sep=separator, decimal=",")
    same(read_long(path, COLUMNS).collection)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (["1,234"] * 3, "x.csv:2: column 'x': the comma may be a decimal comma or separate thousands; write a decimal"),
        (["1.5", "0,5", "2"], "x.csv:3: column 'x': this number has a comma and others of the file have a decimal"),
        (["0,5", "1,234,567", "2"], "x.csv:3: column 'x': '1,234,567' is not a number"),
    ],
)
def test_a_comma_of_two_meanings_is_refused_with_its_line(tmp_path, values, sentence):
    path = tmp_path / "x.csv"
    path.write_text("id;x;y\n" + "".join(f"a;{value};u\n" for value in values))
    assert refused(read_long, path, Columns("id", "y")).startswith(f"{tmp_path}/{sentence}")


@pytest.mark.parametrize("separator", ["\t", ";", " ", "  "])
@pytest.mark.parametrize("suffix", ["tsv", "txt"])
def test_decimal_commas_do_not_double_the_steps_of_a_ucr_file(tmp_path, separator, suffix):
    rows = [["1", "0,5", "-1,25", "3"], ["2", "2,5", "NaN", "4,75"]]
    (tmp_path / f"x.{suffix}").write_text("\n".join(separator.join(row) for row in rows) + "\n")
    read = read_ucr(tmp_path / f"x.{suffix}").collection
    np.testing.assert_array_equal(read.values, [[[0.5, -1.25, 3]], [[2.5, np.nan, 4.75]]])


def test_a_comma_of_two_meanings_in_a_ucr_file_is_refused_with_its_line(tmp_path):
    (tmp_path / "x.tsv").write_text("1\t1,250\t2\n2\t3\t4\n")
    assert "x.tsv:1: case 1, time step 1: the comma may be" in refused(read_ucr, tmp_path / "x.tsv")
    (tmp_path / "x.tsv").write_text("1\t1\t2\n2\t3.5\t4,25\n")
    assert "x.tsv:2: case 2, time step 2: this number has a comma" in refused(read_ucr, tmp_path / "x.tsv")


def test_a_line_that_is_cut_short_is_refused(tmp_path):
    text = table()[["id", "t", "y", "x0", "x1"]].to_csv(index=False).strip()
    (tmp_path / "x.csv").write_text(text[: text.rindex(",")])
    assert "x.csv:73: has 4 of the 5 fields that the column names announce" in refused(
        read_long, tmp_path / "x.csv", COLUMNS
    )


# --- times


NANOSECONDS = 1_700_000_000_000_000_000 + np.arange(6)[::-1]


@pytest.mark.parametrize("name", ["x.csv", "x.parquet"])
@pytest.mark.parametrize("kind", [np.int64, np.uint64, "datetime64[ns]"])
def test_times_a_nanosecond_apart_are_different_times(tmp_path, name, kind):
    frame = table(t=np.tile(NANOSECONDS, 12).astype(kind))
    same(
        read_long(written(tmp_path / name, frame), COLUMNS).collection,
        CASES.__class__(CASES.values[:, :, ::-1], CASES.lengths, CASES.labels),
    )


def test_times_of_more_digits_than_a_float_has_are_different_times(tmp_path):
    frame = table(t=[f"1700000000.{999_999_994 - step:09d}" for step in range(6)] * 12)
    read = read_long(written(tmp_path / "x.csv", frame), COLUMNS).collection
    np.testing.assert_array_equal(read.values, CASES.values[:, :, ::-1])
    twice = written(tmp_path / "x.csv", table(t=["1700000000.123456789"] * ROWS))
    assert "case 'c0' already has this time, in line 2" in refused(read_long, twice, COLUMNS)


# --- labels and encodings


@pytest.mark.parametrize(
    ("text", "label"),
    [
        (" a ", "a"),
        ("walk  slow", "walk slow"),
        ("1.0", "1"),
        ("1.0000000e+00", "1"),
        ("-2.0", "-2"),
        ("01", "01"),
        ("1.5", "1.5"),
        ("1e3", "1e3"),
        ("None", "None"),
        ("TRUE", "TRUE"),
        ("Gru\u0308n", "Grün"),
        ("\u00a0x", "x"),
    ],
)
def test_a_label_has_one_spelling(text, label):
    assert uniform_label(text) == label


FILES = {
    "x.ts": (read_ts, "@data\n1,2:{}\n3,4:{}\n"),
    "x.tsv": (read_ucr, "{}\t1\t2\n{}\t3\t4\n"),
    "x.arff": (
        read_arff,
        "@attribute a numeric\n@attribute b numeric\n@attribute c string\n@data\n1,2,'{}'\n3,4,'{}'\n",
    ),
    "x.csv": (lambda path: read_long(path, Columns("id", "y")), "id,y,v\nu,{0},1\nu,{0},2\nv,{1},3\nv,{1},4\n"),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("spellings", [("1", "1.0"), ("a", "a "), ("Grün", "Gru\u0308n")])
def test_every_format_gives_a_label_one_spelling(tmp_path, name, spellings):
    read, text = FILES[name]
    (tmp_path / name).write_text(text.format(*spellings), encoding="utf-8")
    assert list(read(tmp_path / name).collection.classes) == [spellings[0]]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("missing", ["NaN", "nan", "?", ""])
def test_a_missing_label_is_not_a_class(tmp_path, name, missing):
    read, text = FILES[name]
    (tmp_path / name).write_text(text.format("a", missing))
    assert str(tmp_path / name) in refused(read, tmp_path / name)


@pytest.mark.parametrize("labels", [np.array([1.0, np.nan]), np.array(["a", "nan"]), np.array(["a", None])])
def test_a_missing_label_of_an_array_is_not_a_class(tmp_path, labels):
    np.savez(tmp_path / "x.npz", X=np.ones((2, 3)), y=labels)
    assert (
        refused(read_npz, tmp_path / "x.npz") == f"{tmp_path}/x.npz: case 2 has no label; add one, or remove the case"
    )


def test_labels_that_look_alike_are_remarked_on(tmp_path):
    assert lookalikes(["Run", "run", "walk", "wa lk", "x"]) == [("Run", "run"), ("wa lk", "walk")]
    assert lookalikes(["ab", "a\u200bb", "b", "\ufeffb"]) == [("ab", "a\u200bb"), ("b", "\ufeffb")]
    assert lookalikes(["01", "1", "2.5", "2.50", "1e3", "1000", "1_0", "10"]) == [
        ("01", "1"),
        ("1000", "1e3"),
        ("2.5", "2.50"),
    ]
    assert lookalikes(["12345678901234567890123456789012", "12345678901234567890123456789013"]) == []
    frame = table(y=np.repeat(["Run", "run", "walk"] * 4, 6))
    path = written(tmp_path / "x.csv", frame)
    remarks = load_own(OwnDataConfig(name="own", file=str(path), case="id", time="t", label="y")).remarks
    assert remarks[-1].startswith("the labels 'Run', 'run' differ only in spelling")


@pytest.mark.parametrize(
    ("encoding", "sentence"), [("latin-1", "(0xfc) is not UTF-8"), ("cp1252", "(0xfc) is not UTF-8")]
)
@pytest.mark.parametrize("name", FILES)
def test_another_encoding_is_refused_with_line_and_byte(tmp_path, name, encoding, sentence):
    read, text = FILES[name]
    content = text.format("Grün", "Grän").encode(encoding)
    (tmp_path / name).write_bytes(content)
    byte = content.index(b"\xfc")
    place = f"{tmp_path / name}:{content[:byte].count(10) + 1}: byte {byte + 1} of the file {sentence}"
    assert refused(read, tmp_path / name).startswith(place)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_umlauts_in_every_encoding_with_a_mark(tmp_path, encoding):
    frame = table(y=np.repeat(["Grün", "Grän"] * 6, 6))
    path = written(tmp_path / "x.csv", frame, encoding=encoding)
    assert list(read_long(path, COLUMNS).collection.classes) == ["Grän", "Grün"]


@pytest.mark.parametrize("name", [*FILES, "x.txt"])
def test_every_text_format_may_be_compressed(tmp_path, name):
    _, text = FILES[name if name in FILES else "x.tsv"]
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress(text.format("a", "b").encode()))
    config = OwnDataConfig(
        name="own", train=str(tmp_path / f"{name}.gz"), test=str(tmp_path / f"{name}.gz"), case="id", label="y"
    )
    assert load_own(config).train.values.ravel().tolist() == [1, 2, 3, 4]


def test_excels_line_that_names_the_separator_is_not_data(tmp_path):
    (tmp_path / "x.csv").write_text("sep=;\r\nid;y;v\r\nu;a;0,5\r\nv;b;1,5\r\n")
    assert read_long(tmp_path / "x.csv", Columns("id", "y")).collection.values.ravel().tolist() == [0.5, 1.5]


# --- ARFF as Weka reads it


def arff(tmp_path, kind, *lines, attribute="@attribute a numeric"):
    text = f"@relation 'own data' % a comment\n{attribute}\n@attribute 'b c' REAL\n@attribute k {kind}\n@data\n"
    (tmp_path / "x.arff").write_text(text + "\n".join(lines) + "\n")
    return tmp_path / "x.arff"


@pytest.mark.parametrize(
    ("kind", "line", "label"),
    [
        ("{'low, dry','high, wet'}", "1,2,'high, wet'", "high, wet"),
        ('{"it\'s on",off}', '1,2,"it\'s on"', "it's on"),
        (r"{'don\'t know',yes}", r"1,2,'don\'t know'", "don't know"),
        ("{'100% sure',no} % classes", "1,2,'100% sure' % a case", "100% sure"),
        ("{a b}", "1,2,a b", "a b"),
        ("string", "1,2,anything", "anything"),
        ("{a,b}", "1 2 b", "b"),
        ("{a,b}", "{1 2, 0 1, 2 b}", "b"),
        ("{a,b}", "{0 1, 1 2}", "a"),
    ],
)
def test_quotes_escapes_comments_and_sparse_cases_are_read_as_weka_does(tmp_path, kind, line, label):
    read = read_arff(arff(tmp_path, kind, line, attribute="@attribute a real [-9,9] % a range")).collection
    assert read.values.tolist() == [[[1, 2]]]
    assert list(read.labels) == [label]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("1,2,'a", '6: case 1: expected fields separated by commas, quotes closed, got "\'a"'),
        ("{9 1, 2 a}", "6: case 1: there is no attribute 9; they are counted from 0 to 2"),
        ("{0 1", "6: case 1: expected a sparse case as {index value, ...}"),
        ("1,2,?", "6: case 1 has no class label; add one, or remove the case"),
        ("1,2,a, {5}", "6: case 1 has the weight {5}; weights are not taken into account, so remove them"),
        ("{0 1, 2 b}, {0.5}", "6: case 1 has the weight {0.5}; weights are not taken into account, so remove them"),
    ],
)
def test_a_case_that_cannot_be_read_is_refused(tmp_path, line, sentence):
    assert refused(read_arff, arff(tmp_path, "{a,b}", line)).startswith(f"{tmp_path}/x.arff:{sentence}")


def test_a_nominal_type_may_follow_the_name_without_a_space(tmp_path):
    path = arff(tmp_path, "{a,b}", "1,2,b")
    path.write_text(path.read_text().replace("k {a,b}", "k{a,b}"))
    assert list(read_arff(path).collection.labels) == ["b"]


# --- arrays


def test_object_labels_and_columns_of_labels_are_read(tmp_path):
    for labels in (
        np.array(["a", "b"], dtype=object),
        np.array([["a"], ["b"]]),
        np.array([b"a", b"b"]),
        np.array(["a ", "b"]),
    ):
        np.savez(tmp_path / "x.npz", X=np.ones((2, 3)), y=labels)
        assert list(read_npz(tmp_path / "x.npz").collection.labels) == ["a", "b"]
    np.savez(tmp_path / "x.npz", X=np.ones((2, 3)), y=np.array([7, "b"], dtype=object))
    assert list(read_npz(tmp_path / "x.npz").collection.labels) == ["7", "b"]


def test_one_hot_labels_are_refused_with_what_to_do(tmp_path):
    np.savez(tmp_path / "x.npz", X=np.ones((2, 3)), y=np.eye(2))
    assert "labels are of shape (2, 2), a column for each class; save one column" in refused(
        read_npz, tmp_path / "x.npz"
    )


class Evil:
    def __reduce__(self):
        return (print, ("code was run",))


@pytest.mark.parametrize("thing", [Evil(), object(), [1, 2], np.datetime64("2026-01-01")])
def test_objects_that_are_not_texts_or_numbers_are_refused_and_no_code_is_run(tmp_path, capfd, thing):
    labels = np.empty(2, dtype=object)
    labels[:] = ["a", thing]
    np.savez(tmp_path / "x.npz", X=np.ones((2, 3)), y=labels)
    assert refused(read_npz, tmp_path / "x.npz").startswith(f"{tmp_path}/x.npz: ")
    assert "code was run" not in "".join(capfd.readouterr())


def test_channels_last_is_remarked_on(tmp_path):
    np.savez(tmp_path / "x.npz", X=np.random.default_rng(0).normal(size=(8, 50, 1)), y=[0, 1] * 4)
    (remark,) = read_npz(tmp_path / "x.npz").remarks
    assert "50 channels of 1 time step" in remark
    assert "save values.transpose(0, 2, 1)" in remark
    assert remark in load_own(OwnDataConfig(name="own", file=str(tmp_path / "x.npz"))).remarks


# --- sizes


def test_a_small_file_that_expands_to_much_is_refused_before_it_is_read(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", X=np.zeros((40, 1, 2_000_000)), y=[0, 1] * 20)
    assert "x.npz: array 'X': expands from 1 MB to 0.6 GB or more, over 100 times its size" in refused(
        read_npz, tmp_path / "x.npz"
    ).replace("640 MB", "0.6 GB")
    (tmp_path / "x.tsv.gz").write_bytes(gzip.compress(b"1\t2\n" * 70_000_000, 9))
    assert "x.tsv.gz: expands from 1 MB to 268 MB or more" in refused(read_ucr, tmp_path / "x.tsv.gz")


def test_arrays_that_are_not_needed_are_not_read(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", X=np.ones((2, 3)), y=["a", "b"], notes=np.zeros(50_000_000))
    assert read_npz(tmp_path / "x.npz").collection.values.shape == (2, 1, 3)


def test_one_long_case_among_short_ones_is_refused_with_the_memory_that_it_would_take(tmp_path):
    long = ",".join(["0.5"] * 500_000)
    (tmp_path / "x.ts").write_text(f"@data\n{long}:a\n" + "1,2,3:b\n" * 2000)
    assert refused(read_ts, tmp_path / "x.ts") == (
        f"{tmp_path}/x.ts: case 1 has 500000 time steps, half of the cases at most 3; to pad all 2001 cases to it "
        "would take 8.0 GB. Cut or resample that case, or leave it out"
    )


def test_an_empty_line_in_the_place_of_the_column_names_is_refused(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("\ncase,time,x,label\nc0,0,0.5,a\n")
    with pytest.raises(DataError, match=r"x\.csv:1: the line is empty; write the names of the columns in it"):
        read_table(path)
