from __future__ import annotations

import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from artylyze.collection.names import Artist, nearest, parse

words = st.text(st.characters(categories=["Lu", "Ll"], max_codepoint=0x24F), min_size=2, max_size=9)
people = (
    st.lists(words.filter(lambda word: parse(word) is not None), min_size=1, max_size=4)  # no word for nobody
    .map(" ".join)
    .filter(lambda name: parse(name) == parse(name.title()))
)


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


@pytest.mark.parametrize(
    "name",
    [
        "unbekannter Künstler",
        "Onbekend",
        "Autore sconosciuto",
        "佚名",
        "Unidentified artist, British",
        "Anonymous, French, 17th century",
        "nach unbekanntem Meister",
        "Artiste inconnu",
        "desconocido",
        "неизвестный художник",
        "作者不詳",
        "Künstler unbekannt",
        "Unbekannt",
        "unbekannter Meister, Augsburg",
        "Onbekende kunstenaar",
        "anoniem",
        "Anonyme",
        "Inconnu(e)",
        "Ignoto",
        "Anonimo",
        "Anonimo fiorentino",
        "Autor desconocido",
        "Pintor anónimo español",
        "okänd konstnär",
        "Ukendt kunstner",
        "Ukjent",
        "tuntematon taiteilija",
        "ismeretlen művész",
        "autor nieznany",
        "Nieznany malarz",
        "neznámý umělec",
        "Неизвестный автор",
        "невідомий художник",
        "Άγνωστος καλλιτέχνης",
        "미상",
        "작자 미상",
        "佚名 (清代)",
        "无名氏",
        "Artist unknown",
        "Maker unknown, Chinese",
        "Unknown",
        "unknown American, New York",
        "an unidentified hand",
        "N/A",
        "none",
        "?",
        "-",
        "anon.",
        "Anon",
        "N.N.",
        "s.n.",
        "Photographer not identified",
        "artiste non identifié",
        "nicht identifiziert",
        "Various artists",
        "verschiedene Künstler",
        "after an unknown artist",
        "d'après un artiste inconnu",
        "French, unknown artist",
        "UNKNOWN ARTIST",
        "(unknown)",
        "[Unknown]",
        "unknown (Dutch)",
        "Unbekannt, Deutschland",
        "Artista desconhecido",
        "Anonymous (Italian)",
        "British School, unknown artist",
        "Kopie nach unbekannt",
        "unbekannte Künstlerin",
        "Unbekannter deutscher Maler",
        "مجهول",
        "לא ידוע",
        "غير معروف",
        "Autor no identificado",
        "Master, unknown",
        "bilinmiyor",
        "Artist/maker unknown",
        "Artist: unknown",
        "Unknown / unbekannt",
        "Name unknown",
        "neznani slikar",
        "ukjent kunstner",
    ],
)
def test_nobody_is_no_artist_in_many_languages_and_orders_of_words(name: str) -> None:
    assert parse(name) is None
    assert parse(name.upper()) is None
    assert parse(f"  {name} ") is None


@given(
    st.sampled_from(["unknown", "Unbekannter", "onbekende", "inconnu", "sconosciuto", "desconocido", "неизвестный"]),
    st.lists(st.sampled_from(["artist", "Künstler", "maker", "British", "17th century", "Dutch"]), max_size=3),
    st.randoms(use_true_random=False),
    st.sampled_from([" ", ", "]),
)
def test_what_is_added_to_nobody_names_nobody_either(
    unknown: str, others: list[str], chance: random.Random, between: str
) -> None:
    words = [unknown, *others]
    chance.shuffle(words)
    assert parse(between.join(words)) is None


@pytest.mark.parametrize(
    "name",
    [
        "Nan Goldin",
        "Anonymouse",
        "1010",
        "Art & Language",
        "Not Vital",
        "Anon Pairot",
        "Ignatius Loyola",
        "Max Ernst",
        "Master of the Giants",
        "British School 17th century",
        "Meister Bertram",
        "Ai Weiwei",
        "None Futbol",
        "Diverse Ruiz",
        "Paul Maitre",
        "Max Bill",
        "Charles Le Brun",
        "El Greco",
        "Pittore Mario",
        "Gerhard Richter",
        "Edward Burra",
        "不二雄",
        "Zoe Neznansky",
        "Peter Painter",
        "Van Eyck",
        "Unica Zürn",
        "Okada Beisanjin",
        "Una",
    ],
)
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
