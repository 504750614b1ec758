import pytest

from tsbench.spreadsheet import as_cell, from_cell


@pytest.mark.parametrize(
    "text", ["=1+1", "@SUM(A1)", "+cmd|' /C calc'!A0", "-2+3", "\t=1", "\r=1", " =1", "-text", "'=1"]
)
def test_a_formula_is_text_with_an_apostrophe(text):
    assert as_cell(text) == f"'{text}"
    assert from_cell(as_cell(text)) == text


@pytest.mark.parametrize("value", ["-1.5", "+3", "-inf", "1e-4", "GunPoint", "a=b", "", "'quoted'", "'", -1.5, 3, None])
def test_numbers_and_plain_text_stay(value):
    assert as_cell(value) == value
    assert not isinstance(value, str) or from_cell(value) == value
