from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from artylyze.tables.delimited import BadRow, Delimited, read_delimited


def read(text: str) -> Delimited:
    found = read_delimited(lambda: io.StringIO(text, newline=""))
    assert found is not None
    return found


def rows(text: str) -> list[list[str]]:
    found = read(text)
    table = [found.header, *found.rows()]
    assert found.bad == []
    return table


class TestQuotes:
    @pytest.mark.parametrize(
        ("line", "cells"),
        [
            ('1,24" x 36",b', ["1", '24" x 36"', "b"]),
            ('1,"Portrait of "Bob" sitting",b', ["1", 'Portrait of "Bob" sitting', "b"]),
            ('1,"Portrait of "Bob", sitting",b', ["1", 'Portrait of "Bob", sitting', "b"]),
            ('1,"Tall" jar,7"', ["1", '"Tall" jar', '7"']),
            ('1,"Tall" and "small",b', ["1", '"Tall" and "small"', "b"]),
            ('1, "a, b", c', ["1", "a, b", " c"]),
            ('1,"said ""yes"", left",b', ["1", 'said "yes", left', "b"]),
            ('1,"two\nlines, "quoted" within",b', ["1", 'two\nlines, "quoted" within', "b"]),
            ('1,"",b', ["1", "", "b"]),
            ('"1","a","b"', ["1", "a", "b"]),
            ("1,a,b,,", ["1", "a", "b"]),
        ],
    )
    @pytest.mark.parametrize("end", ["\n", "\r\n", ""])
    def test_what_can_be_read_in_one_way_is_read(self, line: str, cells: list[str], end: str) -> None:
        assert rows(f"id,title,size\n0,x,y\n{line}{end}")[2] == cells

    def test_a_quote_that_is_never_closed_costs_its_row_alone(self) -> None:
        found = read('id,title\n1,a\n2,"open\n3,c\n')
        assert list(found.rows()) == [["1", "a"], ["3", "c"]]
        assert found.bad == [BadRow(3, 'has a quotation mark (") that opens a cell and is never closed')]

    def test_a_quote_that_opens_nothing_does_not_swallow_the_rows_below(self) -> None:
        assert rows('id,title,size\n1,"Tall jar,7\n2,Boat,8"\n3,"x",y\n')[1:] == [
            ["1", '"Tall jar', "7"],
            ["2", "Boat", '8"'],
            ["3", "x", "y"],
        ]


class TestRowsOfAnotherLength:
    def test_a_separator_too_many_is_named_with_its_line(self) -> None:
        found = read("id,file,alt\n1,a.jpg,A man\n2,b.jpg,Shown, a woman, facing us\n3,c.jpg,x\n")
        assert len(list(found.rows())) == 2
        (bad,) = found.bad
        assert bad.line == 3
        assert "has 5 cells where the header has 3, perhaps a comma within a cell that is not quoted" in bad.why

    def test_lines_are_counted_as_an_editor_counts_them(self) -> None:
        found = read('id,alt\n\n1,"two\r\nlines"\r2,x\n3,y,z\n')
        assert list(found.rows()) == [["1", "two\r\nlines"], ["2", "x"]]
        assert found.bad[0].line == 6

    def test_cells_that_lack_at_the_end_are_empty_and_counted(self) -> None:
        found = read("a,b,c\n1,2,3\n4,5\n6,7,8\n")
        assert list(found.rows())[1] == ["4", "5", ""]
        assert (found.short, found.bad) == ([3], [])

    def test_a_single_cell_is_no_row(self) -> None:
        found = read("a,b,c\n1,2,3\nrest of a cell\n6,7,8\n")
        assert len(list(found.rows())) == 2
        assert "perhaps a line break within a cell" in found.bad[0].why

    def test_a_message_holds_no_huge_cell(self) -> None:
        found = read(f"a,b\n1,2\n1,{'x' * 3_000_000},3\n4,5\n")
        list(found.rows())
        assert len(found.bad[0].why) < 200

    def test_rows_of_empty_cells_are_passed_over(self) -> None:
        assert rows("a,b,c\n\n1,2,3\n,,\n , \n\n") == [["a", "b", "c"], ["1", "2", "3"]]


class TestLines:
    def test_ends_may_be_mixed(self) -> None:
        assert rows("id,title\r\n1,A\r\n2,B\n3,C\r") == [["id", "title"], ["1", "A"], ["2", "B"], ["3", "C"]]

    def test_zero_bytes_are_left_out_and_said(self) -> None:
        found = read("id,title\n1,a\0b\n2,c\n")
        assert list(found.rows()) == [["1", "ab"], ["2", "c"]]
        assert found.zero_bytes == [2]

    @pytest.mark.parametrize("text", ["", "\n", " \r\n\n"])
    def test_nothing_is_no_table(self, text: str) -> None:
        assert read_delimited(lambda: io.StringIO(text, newline="")) is None


class TestHeaders:
    @pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
    def test_the_separator_is_recognised(self, separator: str) -> None:
        text = separator.join(["id", "a title", "note"]) + "\n" + separator.join(["1", '"a, b; c|d"', "x"]) + "\n"
        assert rows(text) == [["id", "a title", "note"], ["1", "a, b; c|d", "x"]]

    @pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "SEP=;"])
    def test_a_first_line_may_name_it(self, first: str) -> None:
        found = read(f"{first}\r\nid;a, b, c, d\r\n1;x, y\r\n")
        assert (found.header, found.titles, list(found.rows())) == (["id", "a, b, c, d"], 0, [["1", "x, y"]])

    @pytest.mark.parametrize(
        "above",
        ["Collection export, 28 Feb 2026 11:42\n", "Museum of X\nExport of 2026\n\n", "Objects;;;\n", '"A, ""B"""\n'],
    )
    def test_titles_above_the_header_are_passed_over(self, above: str) -> None:
        found = read(above + "id,title,note\n0,A,x\n1,B,y\n")
        assert found.header == ["id", "title", "note"]
        assert found.titles == len([line for line in above.splitlines() if line])
        assert len(list(found.rows())) == 2

    def test_a_title_that_a_spreadsheet_filled_up_is_one(self) -> None:
        found = read("Objects;;\n;;\nid;title;note\n0;A;x\n1;B;\n")
        assert (found.header, found.titles) == (["id", "title", "note"], 2)

    @pytest.mark.parametrize(
        ("text", "header"),
        [
            ("id,tags\n0,a;b;c;d;e\n1,b;c\n2,d\n", ["id", "tags"]),
            ("id,subject (main; other; more),x\n0,a,1\n1,b,2\n", ["id", "subject (main; other; more)", "x"]),
            ("uri\na;b.jpg\nc;d.jpg\n", ["uri"]),
            ("uri\n/x/a|b\n/x/c|d\n", ["uri"]),
            ("id\na\nb;c\n", ["id"]),
            ("id,title\n1,A, b\n2,C, d\n3,E, f\n", ["id", "title"]),
            ('id,"Size\n(cm)",note\n1,2,3\n', ["id", "Size\n(cm)", "note"]),
            ("id,title,title,,\n0,a,b,c,d\n", ["id", "title", "title", "", ""]),
        ],
    )
    def test_a_header_is_not_taken_for_something_else(self, text: str, header: list[str]) -> None:
        assert read(text).header == header


cells = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters='\n",;"'), max_size=12)


@given(
    st.integers(1, 5).flatmap(lambda wide: st.lists(st.lists(cells, min_size=wide, max_size=wide), max_size=6)),
    st.sampled_from(",;\t|"),
    st.sampled_from(["\n", "\r\n"]),
)
def test_what_a_program_writes_is_read_as_it_was(table: Sequence[list[str]], separator: str, end: str) -> None:
    wide = len(table[0]) if table else 2
    header = [f"column {number}" for number in range(wide)]
    assume(all(any(cell.strip() for cell in row) for row in table))
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=separator, lineterminator=end, quoting=csv.QUOTE_ALL).writerows([header, *table])
    found = read(text.getvalue())
    assert (found.header, list(found.rows()), found.bad) == (header, list(table), [])
