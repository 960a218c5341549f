"""Which of a museum's columns sort its works into kinds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest

from artylyze.collection.artists import ArtistsFile, Facts
from artylyze.errors import UsageError
from artylyze.profiling.columns import Column, Described, chosen, describe


def described(artists: ArtistsFile | None = None, **columns: Sequence[str | None]) -> Described:
    works = len(next(iter(columns.values())))
    return describe(
        [pa.table({name: pa.array(said, pa.string()) for name, said in columns.items()})], works, {}, artists
    )


def named(found: Described) -> dict[str, Column]:
    return {column.name: column for column in found.columns}


def said(column: Column) -> list[str | None]:
    return [column.terms[code] if code >= 0 else None for code in column.codes]


def test_what_repeats_is_a_kind_and_what_does_not_is_left_out() -> None:
    many = [f"{number}" for number in range(40)]
    found = described(
        technique=["oil", "pastel"] * 20,
        number=many,
        height=[f"{n % 25}.5" for n in range(40)],
        empty=[None] * 40,
        owner=["the museum"] * 40,
        text=["a long story about a picture, " * 4, "another long story about a picture, " * 4] * 20,
    )
    assert list(named(found)) == ["technique"]
    assert found.left_out == {
        "number": "its values are measures",
        "height": "its values are measures",
        "empty": "it is empty",
        "owner": "every work has the same value",
        "text": "its values are prose",
    }


def test_a_title_is_no_kind_but_names_the_works() -> None:
    found = described(Title=[f"Work {n}" for n in range(6)], genre=["portrait"] * 3 + ["landscape"] * 3)
    assert found.left_out["Title"] == "it names the works"
    assert found.titles[2] == "Work 2"


def test_known_columns_count_however_seldom_they_repeat() -> None:
    found = described(artist=["Anna Ancher", "Ancher, Anna (1859-1935)", "Šime Vulas", None])
    assert said(named(found)["artist"]) == ["Ancher, Anna (1859-1935)", "Ancher, Anna (1859-1935)", "Šime Vulas", None]
    assert found.artists[0] == found.artists[1]


def test_terms_are_those_of_the_taxonomy() -> None:
    found = described(genre=["Portraits", "portrait", "Landschaft", "unknown"])
    assert said(named(found)["genre"]) == ["portrait", "portrait", "landscape", None]


def test_dates_become_half_centuries() -> None:
    found = described(date=["1864", "c. 1901-1903", "undated", "1899", "1512"])
    column = named(found)["date (half-century)"]
    assert said(column) == ["1850-1899", "1900-1949", None, "1850-1899", "1500-1549"]
    odd = described(
        date=["500 BC", "480 B.C.", "323 BCE", "um 100 v. Chr.", "1503 (300 x 400 mm)", "843", "1881", "1882"]
    )
    assert said(named(odd)["date (half-century)"])[:6] == [None, None, None, None, "1500-1549", "800-849"]
    assert described(date=["spring", "autumn"]).left_out == {"date": "no year is found in most of its values"}


def test_the_artists_file_tells_what_the_works_do_not() -> None:
    facts = {
        "ancher anna": Facts("Anna Ancher", "Danish", "1850-1899"),
        "sime vulas": Facts("Šime Vulas", "Croatian", None),
    }
    file = ArtistsFile("artists.csv", 2, facts, (), ("nationality", "period"))
    found = named(
        described(file, artist=["Anna Ancher", "Šime Vulas", "Anna Ancher"], nationality=[None, "Yugoslav", None])
    )
    assert said(found["nationality"]) == ["Danish", "Yugoslav", "Danish"]
    assert "period" not in found, "one term says nothing"


def test_what_a_model_predicts_is_named_so() -> None:
    given = pa.table({"genre": ["portrait", "landscape"]})
    predicted = {"genre": pa.chunked_array([["landscape", None]]), "style": pa.chunked_array([["Cubism", "Rococo"]])}
    found = named(describe([given], 2, predicted, None))
    assert {name: column.kind for name, column in found.items()} == {"genre": "given", "style (predicted)": "predicted"}


def test_ten_thousand_artists_are_one_column() -> None:
    artists = [f"Painter Number{n}" for n in range(10_000)] + ["Painter Number7"] * 500
    column = named(described(artist=list(artists)))["artist"]
    assert len(column.terms) == 10_000
    assert np.bincount(column.codes).max() == 501


def test_columns_can_be_chosen_by_name() -> None:
    given = pa.table({"Genre": ["portrait", "landscape"], "date": ["1864", "1901"], "owner": ["a", "a"]})
    predicted = {"genre": pa.chunked_array([["landscape", "portrait"]])}
    every = describe([given], 2, predicted, None)
    assert list(named(chosen(every, ["date", "genre"]))) == ["date (half-century)", "Genre", "genre (predicted)"]
    only = chosen(every, ["genre (predicted)"])
    assert list(named(only)) == ["genre (predicted)"]
    assert only.left_out["Genre"] == "it was not asked for"
    with pytest.raises(UsageError, match=r"`columns='owner'`: every work has the same value\. .*Genre"):
        chosen(every, ["owner"])
    with pytest.raises(UsageError, match="`columns='style'`: there is no such column"):
        chosen(every, ["genre", "style"])
