from __future__ import annotations

import pyarrow as pa
import pytest

from artylyze.collection.labels import filled, merge_artists, read_labels


def said(**columns: list[str | None]) -> pa.Table:
    return pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})


def terms(task: str, *tables: pa.Table) -> list[str | None]:
    found = read_labels(task, tables, tables[0].num_rows)
    return [None if code < 0 else found.terms[code] for code in found.codes]


def test_terms_take_the_spelling_of_the_taxonomy() -> None:
    given = ["Post_Impressionism", "post impressionism", "Naive_Art_Primitivism", None]
    assert terms("style", said(style=given)) == ["Post-Impressionism", "Post-Impressionism", "Na\u00efve Art", None]


@pytest.mark.parametrize("nothing", ["unknown", "Unknown Genre", "N/A", "-", "?", "none", "undetermined"])
def test_a_word_for_nothing_is_no_label(nothing: str) -> None:
    assert terms("genre", said(genre=[nothing, "landscape"])) == [None, "landscape"]


def test_a_term_outside_the_taxonomy_is_kept_as_given_and_counted() -> None:
    found = read_labels("style", [said(style=["Vorticism", " Vorticism", "Cubism"])], 3)
    assert found.terms == ("Cubism", "Vorticism")
    assert found.outside == {"Vorticism": 2}


def test_a_task_without_a_vocabulary_has_nothing_outside_it() -> None:
    found = read_labels("classification", [said(classification=["on  paper", "relief"])], 2)
    assert found.terms == ("on paper", "relief")
    assert found.outside == {}


def test_the_first_catalogue_counts_and_contradictions_are_counted() -> None:
    tables = [said(style=["Cubism", None, "Pop Art", None]), said(style=["cubism", "Fauvism", "Baroque", None])]
    assert terms("style", *tables) == ["Cubism", "Fauvism", "Pop Art", None]
    assert read_labels("style", tables, 4).contradicted == 1


def test_of_several_terms_in_a_cell_the_first_known_one_counts() -> None:
    cells = ["portrait; religious painting", "devotional ; landscape", "a;b", "portrait;Portrait", "; ;", None]
    found = read_labels("genre", [said(genre=cells)], 6, ";")
    chosen = [None if code < 0 else found.terms[code] for code in found.codes]
    assert chosen == ["portrait", "landscape", "a", "portrait", None, None]
    assert found.several == 3


def test_a_separator_parts_only_where_it_was_asked_for() -> None:
    assert terms("classification", said(classification=["oil; canvas"])) == ["oil; canvas"]


def test_a_catalogue_may_lack_the_column() -> None:
    assert terms("style", said(genre=["portrait"]), said(style=["Cubism"])) == ["Cubism"]


def test_labels_that_are_missing_are_filled() -> None:
    found = filled(read_labels("period", [said(period=["1800-1849", None, None])], 3), ["1900-1949", "1900-1949", None])
    assert [None if code < 0 else found.terms[code] for code in found.codes] == ["1800-1849", "1900-1949", None]


class TestArtists:
    def test_spellings_of_one_artist_share_a_key_and_the_commonest_is_preferred(self) -> None:
        names = ["Gogh, Vincent van", "Vincent van Gogh", "Vincent van Gogh", None, "Unknown"]
        found = merge_artists([said(artist=names)], 5)
        assert found.keys == ("gogh van vincent",)
        assert found.codes.tolist() == [0, 0, 0, -1, -1]
        assert found.names == ["Vincent van Gogh"] * 3 + [None] * 2
        assert found.spellings == {"Vincent van Gogh": ("Gogh, Vincent van",)}

    def test_works_near_an_artist_share_the_key_but_are_not_the_artist_s(self) -> None:
        found = merge_artists([said(artist=["Titian", "after Titian"])], 2)
        assert found.codes.tolist() == [0, 0]
        assert found.own_keys() == ["titian", None]
        assert found.names == ["Titian", "after Titian"]
        assert found.spellings == {}

    def test_a_later_catalogue_names_those_that_an_earlier_one_does_not(self) -> None:
        found = merge_artists([said(artist=[None, "Titian"]), said(artist=["Raphael", "Michelangelo"])], 2)
        assert found.names == ["Raphael", "Titian"]

    def test_without_a_column_there_is_nobody(self) -> None:
        assert merge_artists([said(style=["Cubism"])], 1).names == [None]
