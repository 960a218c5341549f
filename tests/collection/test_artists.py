from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artylyze.collection.artists import Facts, period, read_artists
from artylyze.errors import InputError
from tests.catalogues import table

years = st.integers(1000, 2020)


class TestPeriod:
    @pytest.mark.parametrize(
        ("birth", "death", "expected"),
        [
            (1840, 1926, "1850-1899"),  # Monet worked from 1860 to 1926
            (1475, 1564, "1500-1549"),
            (1912, 1956, "1900-1949"),
            (1930, None, "1950-1999"),
            (None, 1600, "1550-1599"),
            (1990, 2005, "2000-2049"),  # died before the age at which artists are taken to begin
            (None, None, None),
        ],
    )
    def test_it_holds_the_middle_of_the_activity(
        self, birth: int | None, death: int | None, expected: str | None
    ) -> None:
        assert period(birth, death) == expected

    @given(years, st.integers(0, 100))
    def test_it_lies_within_life(self, birth: int, age: int) -> None:
        found = period(birth, birth + age)
        assert found is not None
        first, last = map(int, found.split("-"))
        assert last - first == 49
        assert first <= birth + age
        assert last >= birth


def test_columns_are_known_by_their_names(tmp_path: Path) -> None:
    file = table(tmp_path / "a.csv", [{"Name": "Claude Monet", "Nationality": "French", "Years": "1840 - 1926"}])
    found = read_artists(file)
    assert found.by_key == {"claude monet": Facts("Claude Monet", "French", "1850-1899")}
    assert (found.rows, found.has, found.name) == (1, ("nationality", "period"), "a.csv")


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"yearOfBirth": "1840", "yearOfDeath": "1926"}, "1850-1899"),
        ({"birth": "1840-11-14", "death": "1926-12-05"}, "1850-1899"),
        ({"dates": "born 1930"}, "1950-1999"),
        ({"dates": "died 1600"}, "1550-1599"),
        ({"dates": "active 1610-1630"}, "1600-1649"),
        ({"dates": "c.1525\u20131569"}, "1550-1599"),
        ({"dates": "unknown"}, None),
        ({"birth": "1926", "death": "1840"}, None),
        ({"birth": "", "death": "", "dates": "1840\u20131926"}, "1850-1899"),
    ],
)
def test_years_are_read_as_catalogues_write_them(columns: dict[str, str], expected: str | None, tmp_path: Path) -> None:
    found = read_artists(table(tmp_path / "a.csv", [{"name": "X", **columns}]))
    assert found.by_key["x"].period == expected
    assert found.has == ("period",)


def test_the_first_of_several_nationalities_counts(tmp_path: Path) -> None:
    found = read_artists(table(tmp_path / "a.csv", [{"name": "El Greco", "nationality": "Spanish,Greek"}]))
    assert found.by_key["el greco"].nationality == "Spanish"


def test_two_artists_of_one_name_lose_the_facts_in_which_they_differ(tmp_path: Path) -> None:
    rows = [
        {"name": "Wilson, Richard", "nationality": "British", "years": "1712-1782"},
        {"name": "Richard Wilson", "nationality": "British", "years": "born 1953"},
        {"name": "Nobody Else", "nationality": "", "years": ""},
    ]
    found = read_artists(table(tmp_path / "a.csv", rows))
    assert found.by_key["richard wilson"] == Facts("Richard Wilson", "British", None)
    assert found.ambiguous == ("Richard Wilson",)
    assert found.rows == 3


def test_the_order_of_rows_does_not_matter(tmp_path: Path) -> None:
    rows = [{"name": name, "years": years} for name, years in (("A B", "1800-1850"), ("B A", "1900-1950"), ("C", ""))]
    one, other = (read_artists(table(tmp_path / "a.csv", order)) for order in (rows, rows[::-1]))
    assert one == other


def test_a_table_without_names_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no column of artists' names.*it has: id, years"):
        read_artists(table(tmp_path / "a.csv", [{"id": "1", "years": "1840"}]))


def test_a_table_that_names_nobody_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="names no artist"):
        read_artists(table(tmp_path / "a.csv", [{"name": "unknown"}]))
