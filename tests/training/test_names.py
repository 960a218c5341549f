from __future__ import annotations

import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from artylyze.training.names import Artist, nearest, parse

words = st.text(st.characters(categories=["Lu", "Ll"], max_codepoint=0x24F), min_size=2, max_size=9)
people = st.lists(words, min_size=1, max_size=4).map(" ".join).filter(lambda name: parse(name) == parse(name.title()))


def key(name: str) -> str:
    artist = parse(name)
    assert artist is not None
    return artist.key


@pytest.mark.parametrize(
    "spellings",
    [
        ("Vincent van Gogh", "Gogh, Vincent van", "Van Gogh, Vincent", "VINCENT VAN GOGH", "vincent-van-gogh"),
        (
            "Vincent van Gogh",
            "Vincent van Gogh (1853\u20131890)",
            "Gogh, Vincent van (Dutch, 1853-1890)",
            "van_gogh vincent",
        ),
        ("El Greco", "Greco, El", "el-greco"),
        ("Albrecht Dürer", "Albrecht Durer", "Du\u0308rer, Albrecht", "Albrecht Dürer, 1471-1528"),
        ("Pierre-Auguste Renoir", "Pierre Auguste Renoir", "Renoir, Pierre-Auguste"),
        ("Adriaen van de Velde", "Velde, Adriaen van de", "van de Velde, Adriaen"),
        ("Georgia O'Keeffe", "georgia-o-keeffe", "O\u2019Keeffe, Georgia"),
        ("Otto Mueller", "Mueller, Otto, b. 1874"),
        ("Peder Severin Krøyer", "Kroyer, Peder Severin"),
        ("Józef Chełmoński", "Jozef Chelmonski"),
        ("T. C. Steele", "T.C. Steele", "Steele, T.C."),
        ("Hiroshige Andō", "Ando Hiroshige"),
        ("Василий Кандинский", "КАНДИНСКИЙ, Василий"),
    ],
)
def test_spellings_of_one_name_are_one_artist(spellings: tuple[str, ...]) -> None:
    assert {parse(name) for name in spellings} == {parse(spellings[0])}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Vasiliy Kandinskiy", "Wassily Kandinsky"),
        ("Rembrandt", "Rembrandt van Rijn"),
        ("Pieter Bruegel", "Pieter Bruegel the Elder"),
        ("J.M.W. Turner", "William Turner"),
        ("Jan van Eyck", "Hubert van Eyck"),
    ],
)
def test_names_that_only_people_know_to_be_one_stay_apart(one: str, other: str) -> None:
    assert parse(one) != parse(other)


@pytest.mark.parametrize(
    "name", [None, "", " ", "?", "-", "Unknown", "unknown American", "Anonymous", "an unidentified hand", "N/A", "none"]
)
def test_nobody_is_no_artist(name: str | None) -> None:
    assert parse(name) is None


@pytest.mark.parametrize("name", ["Nan Goldin", "Anonymouse", "1010", "Art & Language"])
def test_odd_names_are_names(name: str) -> None:
    assert parse(name) is not None


@pytest.mark.parametrize(
    "name",
    [
        "after Titian",
        "Attributed to Titian",
        "circle of Titian",
        "Titian (workshop of)",
        "Titian, follower of",
        "formerly attributed to Titian",
        "Titian and workshop",
    ],
)
def test_what_is_only_near_an_artist_has_the_artist_s_key(name: str) -> None:
    assert parse(name) == Artist("titian", own=False)


@given(people, st.randoms(use_true_random=False))
def test_case_and_the_order_of_words_do_not_matter(name: str, chance: random.Random) -> None:
    shuffled = name.split()
    chance.shuffle(shuffled)
    assert parse(" ".join(shuffled).upper()) == parse(name.upper())
    assert parse("-".join(shuffled)) == parse(name)


@given(people)
@example("ŃA")
def test_the_key_of_a_key_is_itself(name: str) -> None:
    artist = parse(name)
    assert artist is None or parse(artist.key) == artist


class TestNearest:
    def test_a_transliteration_finds_its_like(self) -> None:
        wanted = key("Vasiliy Kandinskiy")
        assert nearest([wanted], map(key, ["Wassily Kandinsky", "Vasily Polenov"])) == {
            wanted: key("Wassily Kandinsky")
        }

    @pytest.mark.parametrize(
        ("short", "long"),
        [("Pieter Bruegel", "Pieter Bruegel the Elder"), ("J.M.W. Turner", "Joseph Mallord William Turner")],
    )
    def test_words_that_one_name_leaves_out_do_not_hide_it(self, short: str, long: str) -> None:
        candidates = [key(long), key("Thomas Lawrence"), key("Pieter de Hooch")]
        assert nearest([key(short)], candidates) == {key(short): key(long)}
        assert nearest([key(long)], [key(short)]) == {key(long): key(short)}

    def test_a_shared_first_name_is_not_enough(self) -> None:
        assert nearest([key("Paul Signac")], map(key, ["Paul Klee", "Paul Cezanne"])) == {}

    def test_of_two_that_are_as_like_the_one_without_more_words_is_taken(self) -> None:
        candidates = map(key, ["Jan Brueghel the Elder", "Jan Brueghel"])
        assert nearest([key("Jan Bruegel")], candidates) == {key("Jan Bruegel"): key("Jan Brueghel")}

    def test_nobody_is_like_nobody(self) -> None:
        assert nearest([], []) == {}
