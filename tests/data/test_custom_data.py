import numpy as np
import pandas as pd
import pytest

from tests.data.made import (
    long_table,
    make_cases,
    write_arff,
    write_csv,
    write_npz,
    write_parquet,
    write_ts,
    write_ucr,
)
from tsbench.data.column_roles import Columns
from tsbench.data.custom_data import load_own
from tsbench.data.formats import read_arff, read_long, read_npz, read_ucr
from tsbench.errors import DataError
from tsbench.recipe.schema import OwnDataConfig

LONG = {"case": "id", "time": "t", "label": "y"}
COLUMNS = Columns(case="id", time="t", label="y")
WRITERS = {
    "data.ts": write_ts,
    "data.arff": write_arff,
    "data.npz": write_npz,
    "data.csv": write_csv,
    "data.parquet": write_parquet,
}


def own(**given):
    return OwnDataConfig.model_validate({"name": "pumps", **given})


def same(read, cases):
    np.testing.assert_array_equal(read.values, cases.values)
    np.testing.assert_array_equal(read.lengths, cases.lengths)
    assert list(read.labels) == list(cases.labels)


# --- whole files of every format


@pytest.mark.parametrize("unequal", [False, True], ids=["equal", "unequal"])
@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_cases_that_were_written(tmp_path, name, unequal):
    train, test = make_cases(seed=1, unequal=unequal), make_cases(seed=2, cases=5, unequal=unequal)
    (tmp_path / "train").mkdir()
    files = {"train": tmp_path / "train" / name, "test": tmp_path / name}
    WRITERS[name](files["train"], train)
    WRITERS[name](files["test"], test)
    loaded = load_own(own(**{key: str(path) for key, path in files.items()}, **LONG))
    same(loaded.train, train)
    same(loaded.test, test)
    assert loaded.name == "pumps"
    assert sorted(loaded.files) == [f"test {name}", f"train {name}"]
    assert loaded.source == str(files["train"])


@pytest.mark.parametrize("suffix", ["tsv", "txt"])
@pytest.mark.parametrize("unequal", [False, True], ids=["equal", "unequal"])
def test_the_ucr_archives_own_text_files_are_read(tmp_path, suffix, unequal):
    cases = make_cases(channels=1, unequal=unequal)
    same(read_ucr(write_ucr(tmp_path / f"x.{suffix}", cases)).collection, cases)


@pytest.mark.parametrize("text", ["1,0.5,1.5\n2,2.5,3.5\n", "  1.0000e+00  0.5  1.5\n  2.0000e+00  2.5  3.5\n"])
def test_commas_and_blanks_part_fields_too_and_whole_labels_are_spelt_as_such(tmp_path, text):
    (tmp_path / "x.txt").write_text(text)
    read = read_ucr(tmp_path / "x.txt").collection
    np.testing.assert_array_equal(read.values, [[[0.5, 1.5]], [[2.5, 3.5]]])
    assert list(read.labels) == ["1", "2"]


def test_missing_values_inside_a_case_stay_missing(tmp_path):
    (tmp_path / "x.tsv").write_text("1\t0.5\tNaN\t1.5\tNaN\n2\t1\t2\t3\t4\n")
    read = read_ucr(tmp_path / "x.tsv").collection
    np.testing.assert_array_equal(read.values, [[[0.5, np.nan, 1.5, 0]], [[1, 2, 3, 4]]])
    assert list(read.lengths) == [3, 4]


def test_a_univariate_arff_file_is_read(tmp_path):
    cases = make_cases(channels=1, unequal=True)
    same(read_arff(write_arff(tmp_path / "x.arff", cases)).collection, cases)


def test_an_npz_file_may_hold_flat_values_and_numbers_for_labels(tmp_path):
    np.savez(tmp_path / "x.npz", X=np.arange(6, dtype=np.float32).reshape(2, 3), y=np.array([1.0, 0.0]))
    read = read_npz(tmp_path / "x.npz").collection
    assert read.values.dtype == np.float32
    assert read.values.shape == (2, 1, 3)
    assert list(read.labels) == ["1", "0"]


def test_rows_of_a_long_table_are_put_in_order(tmp_path):
    cases = make_cases(unequal=True)
    table = long_table(cases).sample(frac=1, random_state=0)
    table.sort_values("id", key=lambda ids: ids.str[1:].astype(int), kind="stable").to_csv(
        tmp_path / "x.csv", index=False
    )
    same(read_long(tmp_path / "x.csv", COLUMNS).collection, cases)


@pytest.mark.parametrize("dates", [True, False])
def test_dates_order_rows_too(tmp_path, dates):
    cases = make_cases(cases=3)
    table = long_table(cases)
    table["t"] = pd.Timestamp("2026-01-31") + pd.to_timedelta(table["t"], unit="h")
    table = table if dates else table.assign(t=table["t"].dt.strftime("%Y-%m-%dT%H:%M:%S"))
    table.iloc[::-1].to_parquet(tmp_path / "x.parquet", index=False)
    read = read_long(tmp_path / "x.parquet", COLUMNS).collection
    np.testing.assert_array_equal(read.values, cases.values[::-1])


@pytest.mark.parametrize("separator", [";", "\t"])
def test_semicolons_and_tabs_part_fields_too(tmp_path, separator):
    cases = make_cases()
    long_table(cases).to_csv(tmp_path / "x.csv", index=False, sep=separator)
    same(read_long(tmp_path / "x.csv", COLUMNS).collection, cases)


def test_channels_may_be_chosen_and_ordered(tmp_path):
    cases = make_cases(channels=3)
    path = write_csv(tmp_path / "x.csv", cases)
    read = read_long(path, Columns("id", "y", "t", None, ("x2", "x0"))).collection
    np.testing.assert_array_equal(read.values, cases.values[:, [2, 0]])


def test_float32_stays_float32_in_parquet(tmp_path):
    table = long_table(make_cases()).astype({"x0": np.float32, "x1": np.float32})
    table.to_parquet(tmp_path / "x.parquet", index=False)
    assert read_long(tmp_path / "x.parquet", COLUMNS).collection.values.dtype == np.float32


# --- broken files


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("x.tsv", "1\t2\t3\n1\t2\n", "x.tsv:2: case 2 has 1 time steps, the first case has 2; is the file truncated?"),
        ("x.tsv", "1\t2\t3\n1\t2\tx\n", "x.tsv:2: case 2, time step 2: 'x' is not a number"),
        ("x.tsv", "1\t2\n2\tNaN\n", "x.tsv:2: case 2 has no value at all; remove the case"),
        ("x.tsv", "1\n", "x.tsv:1: case 1 has no label followed by values; is the file truncated?"),
        ("x.tsv", "", "x.tsv: the file is empty; remove it, or download it again"),
        ("x.arff", "@relation x\n", "x.arff: there is no @data line; is it a complete .arff file?"),
        ("x.arff", "hello\n", "x.arff:1: expected @relation, @attribute, @data or a comment (%...)"),
        ("x.arff", "@attribute a numeric\n@data\n1,a\n", "x.arff:2: there is no nominal attribute"),
        (
            "x.arff",
            "@attribute a date\n",
            "x.arff:1: the type 'date' is neither numeric, relational, string nor nominal",
        ),
        (
            "x.arff",
            "@attribute a numeric\n@attribute c {a,b}\n@data\n1,a\n2,c\n",
            "x.arff:5: case 2 has the label 'c', which the header does not name (a, b)",
        ),
        (
            "x.arff",
            "@attribute a numeric\n@attribute c {a,b}\n@data\n1,2,a\n",
            "x.arff:4: case 1, channel 1 has 2 time steps, the header has 1 numeric attributes; is the file truncated?",
        ),
        ("x.csv", "id,t,x,y\n", "x.csv: there are no rows below the column names; is the file truncated?"),
        ("x.csv", "id,t,x\n1,0,2\n", "x.csv: there is no column 'y' (label); available: id, t, x"),
        ("x.csv", "id,t,y\n1,0,2\n", "x.csv: there is no column of values beside id, y, t"),
        (
            "x.csv",
            "id,t,x,y\n1,0,2,a\n1,1,oops,a\n",
            "x.csv:3: 'oops' in column 'x' is not a number; if it is not a column",
        ),
        ("x.csv", "id,t,x,y\n1,0,2,a\n\n1,1,oops,a\n", "x.csv:4: 'oops' in column 'x' is not a number"),
        ("x.csv", "id,t,x,y\n1,0,2,a\n,1,3,a\n", "x.csv:3: no value in column 'id'"),
        ("x.csv", "id,t,x,y\n1,0,2,a\n2,0,3,nan\n", "x.csv:3: 'nan' in column 'y' means that it is missing"),
        (
            "x.csv",
            "id,t,x,y\n1,0,2,a\n1,1,3,b\n",
            "x.csv:3: case '1' has the label 'b' here and 'a' in an earlier row; a case has one label",
        ),
        ("x.csv", "id,t,x,y\n1,0,2,a\n1,0,3,a\n", "x.csv:3: case '1' already has this time, in line 2;"),
        ("x.csv", "id,t,x,y\n1,then,2,a\n", "x.csv:2: 'then' in column 't' is neither a number nor a date like"),
        ("x.csv", "id,t,x,y\n1,0,2,a\n1,1,2,a,9,9\n", "x.csv:3: has 6 fields, the column names announce 4; if"),
        ("x.csv", "id,t,x,y\n1,0,2,5,a\n1,1,3,5,a\n", "x.csv:2: has 5 fields, the column names announce 4; if"),
        ("x.txt", "1,-0,53,2,10\n2,-0,25,1,35\n", "x.txt:1: case 1: the field '-0' looks like a part of a number"),
        ("x.txt", "1, 3,05, 2,10\n2, 1,25, 1,35\n", "x.txt:1: case 1: the field '05' looks like a part of a number"),
        ("x.ts", "@classLabel true a\n@data\n1,5,-0,25:a\n", "x.ts:3: case 1: the field '-0' looks like a part of"),
        ("x.npz", "no zip", "x.npz: is not a complete .npz file: "),
        ("x.parquet", "no parquet", "x.parquet: is not a whole Parquet file: "),
        ("x.xls", "", "x.xls: no format has the suffix '.xls'; known: .ts, .arff, .tsv, .txt, .npz, .csv,"),
    ],
)
def test_a_broken_file_is_reported_with_its_place(tmp_path, name, text, sentence):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError) as caught:
        load_own(own(file=str(tmp_path / name), **LONG))
    assert str(caught.value).startswith(f"{tmp_path}/{sentence}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"y": [1]}, "there is no array values or X; available: y"),
        ({"X": np.ones((2, 3)), "y": [1]}, "labels must be numbers or texts of shape (2,), as there are 2 cases"),
        ({"X": np.ones(3), "y": [1, 2, 3]}, "values must be numbers of shape (cases, channels, steps)"),
        ({"X": np.ones((2, 3)), "y": [0.5, 1.5]}, "labels must be whole numbers or texts; is it a regression target?"),
        ({"X": np.ones((2, 3)), "y": [1, 2], "lengths": [3, 4]}, "lengths must be 2 whole numbers from 1 to 3"),
        ({"X": np.full((2, 3), np.nan), "y": [1, 2]}, "case 1 has no value at all; remove the case"),
    ],
)
def test_arrays_that_do_not_fit_are_reported_by_name(tmp_path, arrays, sentence):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(DataError) as caught:
        read_npz(tmp_path / "x.npz")
    assert str(caught.value).startswith(f"{tmp_path}/x.npz: {sentence}")


@pytest.mark.parametrize("values", [np.array([[object()]]), np.ones((1, 3)).astype(object)])
def test_objects_are_refused_as_values(tmp_path, values):
    np.savez(tmp_path / "x.npz", values=values, labels=["a"])
    with pytest.raises(DataError, match=r"array 'values' holds Python objects; save numbers"):
        read_npz(tmp_path / "x.npz")


def test_a_file_that_does_not_exist_is_reported_with_its_whole_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="file not found; paths of own data are relative to the current folder") as e:
        load_own(own(file="data/x.csv"))
    assert str(e.value).startswith(f"{tmp_path}/data/x.csv: ")


def test_groups_that_a_format_has_not_are_asked_for_in_vain(tmp_path):
    write_ts(tmp_path / "x.ts", make_cases())
    with pytest.raises(DataError, match="has no groups; `group` names a column of a long table"):
        load_own(own(file=str(tmp_path / "x.ts"), split={"group": "machine"}))


def test_a_group_in_both_files_is_refused(tmp_path):
    write_csv(tmp_path / "train.csv", make_cases(groups=4))
    write_csv(tmp_path / "test.csv", make_cases(groups=2, seed=1))
    files = {"train": str(tmp_path / "train.csv"), "test": str(tmp_path / "test.csv")}
    with pytest.raises(DataError, match=r"test\.csv:2: case 1 is of group 'g0', which also has training cases"):
        load_own(own(**files, **LONG, group="machine"))


# --- one file that is split


@pytest.mark.parametrize("name", ["data.csv", "data.parquet", "data.npz"])
def test_one_file_is_split_by_class(tmp_path, name):
    cases = make_cases(cases=40)
    WRITERS[name](tmp_path / name, cases)
    loaded = load_own(own(file=str(tmp_path / name), **LONG, split={"test_size": 0.25, "seed": 3}))
    assert (len(loaded.train), len(loaded.test)) == (30, 10)
    assert sorted(loaded.test.labels) == ["a"] * 5 + ["b"] * 5
    again = load_own(own(file=str(tmp_path / name), **LONG, split={"test_size": 0.25, "seed": 3}))
    assert again.test.digest() == loaded.test.digest()
    other = load_own(own(file=str(tmp_path / name), **LONG, split={"test_size": 0.25, "seed": 4}))
    assert other.test.digest() != loaded.test.digest()


@pytest.mark.parametrize("stratify", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_groups_are_never_parted_by_the_split(tmp_path, stratify, seed):
    cases = make_cases(cases=60, groups=11)
    write_csv(tmp_path / "data.csv", cases)
    split = {"test_size": 0.3, "group": "machine", "stratify": stratify, "seed": seed}
    loaded = load_own(own(file=str(tmp_path / "data.csv"), **LONG, split=split))
    assert not set(loaded.train.groups) & set(loaded.test.groups)
    assert len(loaded.train) + len(loaded.test) == 60
    assert 0.2 < len(loaded.test) / 60 < 0.4


def test_digests_are_named_in_letters_that_mlflow_takes(tmp_path):
    path = write_csv(tmp_path / "pumps (1) ü#.csv", make_cases())
    assert list(load_own(own(file=str(path), **LONG)).files) == ["pumps _1_ ü_.csv"]


def test_an_edited_file_is_read_anew(tmp_path):
    path = write_csv(tmp_path / "data.csv", make_cases(seed=1))
    before = load_own(own(file=str(path), **LONG))
    write_csv(path, make_cases(seed=2))
    after = load_own(own(file=str(path), **LONG))
    assert before.files != after.files
    assert before.train.digest() != after.train.digest()
