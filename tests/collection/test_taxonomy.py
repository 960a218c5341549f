from __future__ import annotations

import re
import unicodedata
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artylyze.collection.taxonomy import GENRES, STYLES, Term, normalise

VOCABULARIES = {"genre": GENRES, "style": STYLES}
FORMS = [
    (task, term, form) for task, terms in VOCABULARIES.items() for term in terms for form in (term.name, *term.synonyms)
]
WIKIART_STYLES = [
    *("Impressionism", "Realism", "Romanticism", "Expressionism", "Post_Impressionism"),
    *("Symbolism", "Art_Nouveau", "Baroque", "Abstract_Expressionism", "Northern_Renaissance"),
    *("Naive_Art_Primitivism", "Cubism", "Rococo", "Color_Field_Painting", "Pop_Art"),
    *("Early_Renaissance", "High_Renaissance", "Minimalism", "Mannerism_Late_Renaissance", "Ukiyo_e"),
    *("Fauvism", "Pointillism", "Contemporary_Realism", "New_Realism", "Synthetic_Cubism"),
    *("Analytical_Cubism", "Action_painting"),
]
WIKIART_GENRES = [
    *("portrait", "landscape", "genre painting", "religious painting", "abstract painting", "cityscape"),
    *("sketch and study", "still life", "nude painting", "illustration", "history painting", "self-portrait"),
    *("marina", "flower painting", "animal painting", "symbolic painting", "figurative", "design", "abstract"),
]


@pytest.mark.parametrize("text", WIKIART_STYLES)
def test_every_wikiart_style_is_a_term(text: str) -> None:
    assert normalise("style", text) is not None


@pytest.mark.parametrize("text", WIKIART_GENRES)
def test_every_wikiart_genre_is_a_term(text: str) -> None:
    assert normalise("genre", text) is not None


@given(st.sampled_from(FORMS))
def test_every_form_finds_its_own_term(case: tuple[str, Term, str]) -> None:
    task, term, form = case
    assert normalise(task, form) is term


@given(st.sampled_from(FORMS))
def test_normalising_twice_changes_nothing(case: tuple[str, Term, str]) -> None:
    task, _, form = case
    once = normalise(task, form)
    assert once is not None
    assert normalise(task, once.name) is once


@given(st.sampled_from(FORMS), st.sampled_from(" _-.,'"), st.booleans(), st.sampled_from(["NFC", "NFD"]))
def test_spelling_does_not_matter(case: tuple[str, Term, str], joint: str, upper: bool, form: str) -> None:
    task, term, text = case
    respelt = unicodedata.normalize(form, joint + re.sub(r"[ -]", joint, text) + joint)  # type: ignore[arg-type]
    assert normalise(task, respelt.upper() if upper else respelt) is term


@given(st.sampled_from(FORMS))
def test_accents_may_be_left_out(case: tuple[str, Term, str]) -> None:
    task, term, text = case
    plain = "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))
    assert normalise(task, plain) is term


@pytest.mark.parametrize("terms", VOCABULARIES.values(), ids=VOCABULARIES.keys())
def test_names_and_identifiers_are_unique(terms: tuple[Term, ...]) -> None:
    assert not [name for name, n in Counter(t.name for t in terms).items() if n > 1]
    assert not [uri for uri, n in Counter(t.uri for t in terms if t.uri).items() if n > 1]


def test_identifiers_are_of_the_aat_and_say_where_they_were_checked() -> None:
    identified = [t for t in GENRES + STYLES if t.uri is not None]
    assert identified
    for term in identified:
        assert re.fullmatch(r"http://vocab\.getty\.edu/aat/300\d{6}", term.uri or "")
        assert term.checked


def test_an_unchecked_identifier_is_refused() -> None:
    with pytest.raises(ValueError, match="checked"):
        Term("Vorticism", uri="http://vocab.getty.edu/aat/300000000")


@pytest.mark.parametrize("text", ["", "   ", "___", "not a style at all", "portrait"])
def test_what_is_no_term_is_none(text: str) -> None:
    assert normalise("style", text) is None


def test_a_task_without_a_vocabulary_knows_no_terms() -> None:
    assert normalise("technique", "portrait") is None
