"""The year of a work, however a catalogue writes it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artylyze.exploring.years import UNKNOWN, year_in


@pytest.mark.parametrize(
    ("text", "year"),
    [
        ("1889", 1889),
        ("c. 1665-1667", 1665),
        ("1434/35", 1434),
        ("1890s", 1890),
        ("2021-06-01", 2021),
        ("17th century", 1650),
        ("17. Jahrhundert", 1650),
        ("XVIIe siècle", 1650),
        ("early 18th century", 1725),
        ("late 15th century", 1475),
        ("500 BC", -500),
        ("4th century B.C.", -350),
        ("um 300 v. Chr.", -300),
        ("847", 847),
        ("24 x 36 cm", UNKNOWN),
        ("undated", UNKNOWN),
        ("", UNKNOWN),
    ],
)
def test_dates_of_catalogues(text: str, year: int) -> None:
    assert year_in(text) == year


@given(st.text())
def test_any_text_has_a_year_that_fits_int16_or_none(text: str) -> None:
    assert -32_768 <= year_in(text) <= 32_767
