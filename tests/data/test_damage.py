"""Files with bytes flipped, cut out or doubled, or lines shuffled: each is read as it stands, or refused."""

import re

import numpy as np
import pytest

from tests.data.made import make_cases, write_arff, write_csv, write_npz, write_parquet, write_ts, write_ucr
from tsbench.data.column_roles import Columns
from tsbench.data.formats import read_arff, read_long, read_npz, read_ts, read_ucr
from tsbench.errors import DataError

COLUMNS = Columns(case="id", time="t", label="y")
FORMATS = {
    "x.ts": (write_ts, read_ts),
    "x.tsv": (write_ucr, read_ucr),
    "x.arff": (write_arff, read_arff),
    "x.npz": (write_npz, read_npz),
    "x.csv": (write_csv, lambda path: read_long(path, COLUMNS)),
    "x.parquet": (write_parquet, lambda path: read_long(path, COLUMNS)),
}
COUNTS = {"x.ts": 800, "x.tsv": 300, "x.arff": 300, "x.npz": 250, "x.csv": 250, "x.parquet": 100}
"""2,000 in all, of which the default suite takes a sixteenth."""


def damaged(content: bytes, random: np.random.Generator) -> bytes:
    kind = random.integers(6)
    place = int(random.integers(len(content)))
    data = bytearray(content)
    if kind == 0:  # bytes become others
        for _ in range(int(random.integers(1, 5))):
            data[int(random.integers(len(data)))] = int(random.integers(256))
    elif kind == 1:  # one bit flips
        data[place] ^= 1 << int(random.integers(8))
    elif kind == 2:  # the end is cut off
        del data[place:]
    elif kind == 3:  # a piece is cut out
        del data[place : place + int(random.integers(1, 60))]
    elif kind == 4:  # a piece stands twice
        data[place:place] = data[place : place + int(random.integers(1, 60))]
    else:  # lines change places
        lines = content.split(b"\n")
        random.shuffle(lines)
        return b"\n".join(lines)
    return bytes(data)


def by_hand(text: str) -> list[tuple[list[list[float]], str]]:
    """The cases of a .ts file, number by number; the plainest reading there is."""
    body = text.split("@data", 1)[1].split("\n")[1:]
    cases = []
    for line in filter(None, map(str.strip, body)):
        *channels, label = line.split(":")
        numbers = [
            [float("nan") if value.strip() == "?" else float(value) for value in part.split(",")] for part in channels
        ]
        cases.append((numbers, label.strip()))
    return cases


@pytest.mark.parametrize("share", [pytest.param(1, marks=pytest.mark.slow), 16])
@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_file_is_read_as_it_stands_or_refused_in_one_sentence(tmp_path, name, share):
    write, read = FORMATS[name]
    count = COUNTS[name] // share
    channels = 1 if name == "x.tsv" else 2
    random = np.random.default_rng(11)
    path = tmp_path / name
    accepted = 0
    for number in range(count):
        write(path, make_cases(cases=8, channels=channels, steps=7, seed=number, unequal=number % 2 == 0))
        path.write_bytes(damaged(path.read_bytes(), random))
        file, sentence = attempt(read, path)
        if file is None:
            assert re.match(re.escape(str(path)) + r":(\d+:| row \d+:)? \S", sentence), sentence
            assert "\n" not in sentence
            assert len(sentence) < 600
            continue
        accepted += 1
        check(file.collection)
        if name == "x.ts":
            same(file.collection, by_hand(path.read_text(encoding="utf-8-sig", errors="replace")))
    assert accepted < count
    assert share > 1 or accepted  # some damage hits what does not matter, or makes another right file


def attempt(read, path):
    """What was read, or what was said of it; any other error ends the test."""
    try:
        return read(path), ""
    except DataError as error:
        return None, str(error)


def check(cases):
    assert cases.values.ndim == 3
    assert len(cases.values) == len(cases.lengths) == len(cases.labels) > 0
    assert 1 <= cases.lengths.min() <= cases.lengths.max() == cases.length
    assert all(label.strip() for label in cases.labels)
    assert cases.values.dtype.kind == "f"


def same(cases, expected):
    assert list(cases.labels) == [label for _, label in expected]
    for case, (numbers, _) in zip(cases.cases(), expected, strict=True):
        np.testing.assert_array_equal(case, numbers)
