import codecs
import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sktime.datasets import load_UCR_UEA_dataset

from tsbench.data.archive import Archive
from tsbench.data.formats import is_labelled, read_ts
from tsbench.errors import DataError

SHIPPED = [
    "ACSF1",
    "ArrowHead",
    "BasicMotions",
    "GunPoint",
    "ItalyPowerDemand",
    "JapaneseVowels",
    "OSULeaf",
    "PLAID",
    "UnitTest",
]
GUNPOINT = Archive().locate("GunPoint") / "GunPoint_TRAIN.ts"
CUT = "is the file truncated?"


@pytest.fixture
def read(tmp_path):
    def of(content):
        path = tmp_path / "Small_TRAIN.ts"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_ts(path)

    return of


@pytest.fixture
def problem(read, tmp_path):
    """What is said of a broken file, its folder left out."""

    def of(content):
        with pytest.raises(DataError) as caught:
            read(content)
        assert str(caught.value).startswith(f"{tmp_path}/Small_TRAIN.ts:")
        return str(caught.value).removeprefix(f"{tmp_path}/")

    return of


# --- whole files


@pytest.mark.parametrize("split", ["TRAIN", "TEST"])
@pytest.mark.parametrize("name", SHIPPED)
def test_it_reads_what_sktimes_own_reader_reads(name, split):
    read = read_ts(Archive().locate(name) / f"{name}_{split}.ts").collection
    if read.equal_length:
        series, labels = load_UCR_UEA_dataset(name, split=split, return_type="numpy3D")
        assert series.dtype == read.values.dtype
        np.testing.assert_array_equal(read.values, series)
    else:
        frame, labels = load_UCR_UEA_dataset(name, split=split, return_type="nested_univ")
        for case, row in zip(read.cases(), frame.to_numpy(), strict=True):
            np.testing.assert_array_equal(case, np.stack([channel.to_numpy() for channel in row]))
    assert [label.lower() for label in read.labels] == list(labels)  # sktime makes labels lower case


def test_labels_keep_their_spelling():
    cases = read_ts(Archive().locate("BasicMotions") / "BasicMotions_TRAIN.ts").collection
    assert list(cases.classes) == ["Badminton", "Running", "Standing", "Walking"]


def test_shorter_cases_are_padded_with_0_and_keep_their_length(read):
    cases = read("@data\n1,2,3:4,5,6:a\n7:8:b\n").collection
    np.testing.assert_array_equal(cases.values, [[[1, 2, 3], [4, 5, 6]], [[7, 0, 0], [8, 0, 0]]])
    np.testing.assert_array_equal(cases.lengths, [3, 1])
    assert list(cases.labels) == ["a", "b"]
    assert not cases.equal_length


@pytest.mark.parametrize(
    "content",
    [
        b"1,2:a\r\n3,4:b\r\n",
        b"1,2:a\n3,4:b",
        b"\n1,2:a\n\n3,4:b\n\n",
        b" 1 , 2 : a \n\t3,4:b\t\n",
        b"1e0,2.0:a\n+3,4.:b\n",
        b"1,2:a\r3,4:b\r",
    ],
    ids=["windows", "no end of line", "blank lines", "spaces", "spellings", "old mac"],
)
def test_line_ends_blank_lines_and_spaces_do_not_matter(read, content):
    cases = read(b"# a comment\n@univariate true\n@seriesLength 2\n@classLabel true a b\n@data\n" + content).collection
    np.testing.assert_array_equal(cases.values, [[[1, 2]], [[3, 4]]])
    assert list(cases.labels) == ["a", "b"]


def test_a_whole_file_with_windows_line_ends_reads_the_same(read):
    whole, windows = read_ts(GUNPOINT), read(GUNPOINT.read_bytes().replace(b"\n", b"\r\n"))
    assert windows.collection.digest() == whole.collection.digest()
    assert list(windows.lines) == list(whole.lines)


def test_header_keys_are_taken_in_any_case(read):
    cases = read("@PROBLEMNAME x\n@Univariate true\n@SERIESLENGTH 2\n@classlabel true a\n@DATA\n1,2:a\n").collection
    assert cases.values.shape == (1, 1, 2)


@pytest.mark.parametrize("text", ["?", "NaN", "nan"])
def test_a_missing_value_is_nan(read, text):
    np.testing.assert_array_equal(read(f"@data\n1,{text},3:a\n").collection.values, [[[1, np.nan, 3]]])


def test_a_case_knows_its_line(read, tmp_path):
    file = read("# one\n@data\n\n1:a\n2:b\n\n3:a\n")
    assert list(file.lines) == [4, 5, 7]
    assert file.place(2) == f"{tmp_path}/Small_TRAIN.ts:7: case 3"


def test_labels_are_not_checked_where_the_header_names_none(read):
    assert list(read("@classLabel true\n@data\n1:a\n2:b\n").collection.classes) == ["a", "b"]


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (b"", "utf-16-le"),
        (b"", "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
    ],
)
def test_the_encoding_does_not_matter(read, mark, encoding):
    whole = read_ts(GUNPOINT)
    assert read(mark + GUNPOINT.read_text().encode(encoding)).collection.digest() == whole.collection.digest()


def test_a_compressed_file_reads_the_same_and_a_cut_one_is_refused(read, problem):
    whole, packed = read_ts(GUNPOINT), gzip.compress(GUNPOINT.read_bytes())
    assert read(packed).collection.digest() == whole.collection.digest()
    assert problem(packed[:-100]) == "Small_TRAIN.ts: the compressed file is truncated; download it again"
    assert problem(packed[:50] + b"xx" + packed[52:]).startswith("Small_TRAIN.ts: is not a complete gzip file: ")
    assert problem(packed + b"more") == "Small_TRAIN.ts: is not a complete gzip file: it has trailing bytes"


@pytest.mark.parametrize("character", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028"])
def test_a_line_ends_where_an_editor_ends_it(read, character):
    assert read(f"# one{character}comment\n@data\n1:a\n").lines == [3]


def test_true_is_taken_in_any_case(read):
    assert len(read("@classLabel True a b\n@data\n1:a\n").collection) == 1


# --- broken files, each a copy of GunPoint's with one thing wrong: 19 lines of header, the first case in line 20


def replaced(old, new):
    return lambda content: content.replace(old.encode(), new.encode(), 1)


HEADER = GUNPOINT.read_bytes().index(b"@data\n") + len(b"@data\n")

BROKEN = {
    "nothing": (lambda content: b"", " the file is empty; remove it, or download it again"),
    "whitespace": (lambda content: b" \n\n\t\r\n", " the file is empty; remove it, or download it again"),
    "no @data, no cases": (
        lambda content: content[: HEADER - len(b"@data\n")],
        " there is no @data line; is it a complete .ts file?",
    ),
    "no @data": (replaced("@data\n", ""), "19: expected a header line (@...) or a comment (#...) before @data"),
    "cut inside @data": (
        lambda content: content[: HEADER - 3],
        " there is no @data line; is it a complete .ts file?",
    ),
    "cut after @data": (lambda content: content[:HEADER], f"19: there are no cases after @data; {CUT}"),
    "cut inside the first line": (
        lambda content: content[: HEADER + 100],
        f"20: case 1 has no ':' before a class label; {CUT}",
    ),
    "cut inside the second line": (
        lambda content: content[: HEADER + 3000],
        f"21: case 2 has no ':' before a class label; {CUT}",
    ),
    "cut before the label": (
        lambda content: content[: content.index(b":2\n") + 1],
        f"20: case 1 has no class label; {CUT}",
    ),
    "label missing": (replaced(":2\n", ":\n"), f"20: case 1 has no class label; {CUT}"),
    "label missing, and its colon": (replaced(":2\n", "\n"), f"20: case 1 has no ':' before a class label; {CUT}"),
    "unknown label": (
        replaced(":1\n", ":9\n"),
        "22: case 3 has the label '9', which @classLabel does not name (1, 2)",
    ),
    "too few values": (
        replaced("-0.6478854,", ""),
        f"20: case 1 has 149 time steps, @seriesLength says 150; {CUT}",
    ),
    "too many values": (
        replaced("-0.6478854,", "0,-0.6478854,"),
        f"20: case 1 has 151 time steps, @seriesLength says 150; {CUT}",
    ),
    "wrong @seriesLength": (
        replaced("@seriesLength 150", "@seriesLength 151"),
        f"20: case 1 has 150 time steps, @seriesLength says 151; {CUT}",
    ),
    "not a number": (
        replaced("-0.64199155,", "abc,"),
        "20: case 1, channel 1, time step 2: 'abc' is not a number",
    ),
    "a long text": (
        replaced("-0.64199155,", "x" * 99 + ","),
        f"20: case 1, channel 1, time step 2: '{'x' * 30}' is not a number",
    ),
    "an empty value": (replaced("-0.64199155,", ","), "20: case 1, channel 1, time step 2: '' is not a number"),
    "a comma at the end": (
        replaced(":2\n", ",:2\n"),
        "20: case 1, channel 1, time step 151: '' is not a number",
    ),
    "a channel more": (
        replaced("-0.64199155,", "-0.64199155:"),
        "20: case 1 has 2 channels, the header or the first case has 1",
    ),
    "bad @seriesLength": (
        replaced("@seriesLength 150", "@seriesLength many"),
        "17: @seriesLength must be followed by a whole number of at least 1, got 'many'",
    ),
    "@seriesLength 0": (
        replaced("@seriesLength 150", "@seriesLength 0"),
        "17: @seriesLength must be followed by a whole number of at least 1, got '0'",
    ),
    "no number": (
        replaced("@seriesLength 150", "@seriesLength"),
        "17: @seriesLength must be followed by a whole number of at least 1, got ''",
    ),
    "regression": (
        replaced("@classLabel true 1 2", "@targetLabel true"),
        "18: holds targets for regression, not class labels",
    ),
    "no labels": (
        replaced("@classLabel true 1 2", "@classLabel false"),
        "18: the file has no class labels (@classLabel false)",
    ),
    "time stamps": (
        replaced("@timeStamps false", "@timeStamps true"),
        "13: series with time stamps are not supported",
    ),
    "text before @data": (
        replaced("@data\n", "hello\n@data\n"),
        "19: expected a header line (@...) or a comment (#...) before @data",
    ),
    "a comment after @data": (
        replaced("@data\n", "@data\n# a comment\n"),
        f"20: case 1 has no ':' before a class label; {CUT}",
    ),
    "garbage": (
        lambda content: bytes(range(256)) * 40,
        "2: byte 129 of the file (0x80) is not UTF-8; if it is in another encoding, such as Latin-1, "
        "convert it to UTF-8",
    ),
    "UTF-16 cut inside a letter": (
        lambda content: codecs.BOM_UTF16_LE + content.decode().encode("utf-16-le")[:-1],
        "69: byte 168377 of the file (0x0a) is not UTF-16",
    ),
}


@pytest.mark.parametrize(("mutate", "sentence"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_refused_with_line_and_case(problem, mutate, sentence):
    assert problem(mutate(GUNPOINT.read_bytes())) == f"Small_TRAIN.ts:{sentence}"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            "@univariate false\n@dimensions 2\n@data\n1,2:3,4:a\n1,2:a\n",
            "5: case 2 has 1 channels, the header or the first case has 2",
        ),
        ("@data\n1,2:3,4:a\n1,2:a\n", "3: case 2 has 1 channels, the header or the first case has 2"),
        ("@univariate true\n@data\n1,2:3,4:a\n", "3: case 1 has 2 channels, the header or the first case has 1"),
        ("@data\n1,2:3,4:a\n1,2:3,4,5:a\n", "3: case 2 has channels of different lengths: 2, 3"),
        ("@data\n1,2:3,4:a\n1,2:3,x:b\n", "3: case 2, channel 2, time step 2: 'x' is not a number"),
        (
            "@dimensions none\n@data\n1:a\n",
            "1: @dimensions must be followed by a whole number of at least 1, got 'none'",
        ),
        (
            "@classLabel true " + " ".join("abcdefghijkl") + "\n@data\n1:z\n",
            "3: case 1 has the label 'z', which @classLabel does not name (a, b, c, d, e, f, g, h, i, j, ...)",
        ),
    ],
)
def test_a_broken_file_of_several_channels_is_refused_with_line_and_case(problem, content, sentence):
    assert problem(content) == f"Small_TRAIN.ts:{sentence}"


def test_a_missing_file_is_named(tmp_path):
    path = tmp_path / "Absent_TRAIN.ts"
    with pytest.raises(DataError) as caught:
        read_ts(path)
    assert str(caught.value) == f"{path}: cannot be read: No such file or directory"
    assert caught.value.exit_code == 2


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(DataError) as caught:
        read_ts(tmp_path)
    assert str(caught.value) == f"{tmp_path}: cannot be read: Is a directory"


@pytest.mark.parametrize("text", ["1_0", "１２"])
def test_a_number_as_only_python_spells_it_is_refused(problem, text):
    assert problem(f"@data\n1,{text}:a\n")


@pytest.mark.parametrize(
    "content",
    [
        "@timeStamps True\n@data\n1:a\n",
        "@seriesLength\t3\n@data\n1,2:a\n",
        "@classLabel\ttrue a b\n@data\n1:c\n",
        "@equalLength true\n@data\n1,2:a\n1:b\n",
    ],
)
def test_a_header_spelt_otherwise_is_heeded(problem, content):
    assert problem(content)


def test_cases_of_different_lengths_are_refused_where_the_header_says_equal(problem):
    assert problem("@equalLength TRUE\n@data\n1,2:a\n1:b\n") == (
        f"Small_TRAIN.ts:4: case 2 has 1 time steps, @equalLength (by the first case) says 2; {CUT}"
    )


@pytest.mark.parametrize("text", ["1_0", "１２", "9" * 30])
def test_a_count_as_only_python_spells_it_is_refused(problem, text):
    assert problem(f"@seriesLength {text}\n@data\n1:a\n") == (
        f"Small_TRAIN.ts:1: @seriesLength must be followed by a whole number of at least 1, got {text!r}"
    )


# --- whatever is given

SMALL = (
    b"# small\n@problemName Small\n@univariate false\n@dimensions 2\n@equalLength true\n@seriesLength 3\n"
    b"@classLabel true a b\n@data\n1.5,-2,3e-1:4,5,6:a\n7,8,9:?,1,2:b\n"
)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz") / "Small_TRAIN.ts"


@settings(max_examples=400, deadline=None)
@given(
    flips=st.lists(st.tuples(st.integers(0, len(SMALL) - 1), st.integers(0, 255)), max_size=4),
    start=st.one_of(st.just(0), st.integers(0, len(SMALL))),
    end=st.one_of(st.just(len(SMALL)), st.integers(0, len(SMALL))),
    inserted=st.one_of(st.just(b""), st.binary(max_size=6), st.sampled_from([b"\n", b":", b",", b"@data\n", b"\x85"])),
    place=st.integers(0, len(SMALL)),
)
def test_a_file_with_bytes_changed_loads_or_is_refused(file, flips, start, end, inserted, place):
    content = bytearray(SMALL)
    for position, byte in flips:
        content[position] = byte
    file.write_bytes(bytes(content[:place] + inserted + content[place:])[start : end + len(inserted)])
    refused = None
    try:
        read = read_ts(file)
    except DataError as error:
        refused = str(error)
    if refused is not None:
        assert refused.startswith(f"{file}:")
        return
    cases = read.collection
    assert cases.values.shape == (len(read.lines), cases.channels, cases.lengths.max())
    assert cases.values.dtype == np.float64
    assert len(cases) == len(cases.lengths) == len(cases.labels) >= 1
    assert all(cases.labels)


@pytest.mark.parametrize(
    ("header", "labelled"),
    [
        ("@classLabel true 1 2\n@data\n", True),
        ("# @targetLabel true\n@CLASSLABEL TRUE 1 2\n@data\n", True),
        ("@classLabel false\n@data\n", False),
        ("@targetLabel true\n@data\n", False),
        ("@data\n1:a\n", False),
        ("nothing of the kind\n", True),
    ],
)
def test_a_header_says_whether_there_are_class_labels(tmp_path, header, labelled):
    path = tmp_path / "Small_TRAIN.ts"
    path.write_text(header)
    assert is_labelled(path) is labelled


@pytest.mark.parametrize(("name", "labelled"), [("Tecator", False), ("Covid3Month", False), ("GunPoint", True)])
def test_sets_for_regression_are_distinguished(name, labelled):
    assert is_labelled(Path(Archive().locate(name)) / f"{name}_TRAIN.ts") is labelled
