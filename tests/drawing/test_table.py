from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artylyze.drawing.table import write_csv


def written(rows: list[dict[str, Any]], columns: list[str]) -> list[list[str]]:
    file = io.StringIO(newline="")
    write_csv(file, columns, rows)
    file.seek(0)
    return list(csv.reader(file))


def test_the_columns_are_those_asked_for_in_their_order() -> None:
    assert written([{"a": 1, "b": 2, "c": 3}], ["c", "a"]) == [["c", "a"], ["3", "1"]]


def test_null_is_an_empty_cell() -> None:
    assert written([{"a": None, "b": "x"}], ["a", "b"])[1] == ["", "x"]


@pytest.mark.parametrize(
    "cell", ["=1+1", "+1", "-1+cmd|' /C calc'!A0", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("http://x")']
)
def test_a_formula_is_text(cell: str) -> None:
    assert written([{"a": cell}], ["a"])[1] == [f"'{cell}"]


@pytest.mark.parametrize("cell", ["a=1", "<script>", "it's", 'a "b"', "two\nlines", "a,b", "caf\u00e9", "😀", " x"])
def test_other_text_is_as_it_was(cell: str) -> None:
    assert written([{"a": cell}], ["a"])[1] == [cell]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1, max_size=4))
def test_no_cell_begins_a_formula_and_none_is_lost(cells: list[str]) -> None:
    (_, row) = written([{str(n): cell for n, cell in enumerate(cells)}], [str(n) for n in range(len(cells))])
    assert [cell.removeprefix("'") for cell in row] == [cell.removeprefix("'") for cell in cells]
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row)


def test_a_number_is_a_number() -> None:
    out = io.StringIO()
    write_csv(out, ["a", "b"], [{"a": -1.5, "b": "-1.5"}])
    assert out.getvalue().splitlines()[1] == "-1.5,'-1.5"
