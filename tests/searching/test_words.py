"""Words and spellings: what matches, whatever the case, accents, order and small mistakes."""

from __future__ import annotations

import itertools
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artylyze.searching.words import Spellings, Words, index_words, words_of

TITLES = [
    "Étude d'un pont",
    "A River with Bridges",
    "River Landscape",
    "The Bridge",
    "Portrait of a Lady",
    None,
    "Łódź, straße",
    "富嶽三十六景",
]
NOTES = ["Rembrandt", None, "seen from the bridge", "1888", "oil on canvas", "river", None, None]


def words() -> Words:
    return index_words([(pa.array(TITLES, pa.string()), pa.array(NOTES, pa.string()))])


def best(text: str) -> list[int]:
    scores = words().match(text)
    order = np.argsort(-scores, kind="stable")
    return [int(row) for row in order if scores[row] > 0]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("etude", [0]),
        ("ÉTUDE", [0]),
        ("bridges RIVER", [1, 2, 3, 5]),
        ("Rembrant", [0]),
        ("lodz strasse", [6]),
        ("1888", [3]),
        ("富嶽", [7]),
        ("portr", [4]),
        ("zzz", []),
        ("; --", []),
    ],
)
def test_rows_are_ranked_by_their_words(text: str, rows: list[int]) -> None:
    assert best(text)[: len(rows)] == rows
    assert bool(best(text)) == bool(rows)


def test_a_title_counts_more_than_other_columns_and_a_whole_match_is_1() -> None:
    scores = words().match("the bridge")

    assert scores[3] == pytest.approx(1)
    assert 0 < scores[2] < scores[3]


@given(
    rows=st.lists(st.none() | st.text("ab é-", max_size=8), max_size=12),
    cuts=st.sets(st.integers(0, 12), max_size=4),
    text=st.text("ab é", max_size=6),
)
def test_it_does_not_matter_how_rows_are_cut(rows: list[str | None], cuts: set[int], text: str) -> None:
    whole, others = pa.array(rows, pa.string()), pa.nulls(len(rows), pa.string())
    edges = sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})
    pieces = [(whole[a:b], others[a:b]) for a, b in itertools.pairwise(edges)]

    one, several = index_words([(whole, others)]).match(text), index_words(pieces).match(text)

    assert np.allclose(one, several)
    for row, score in zip(rows, one, strict=True):
        wanted = words_of(text)
        if wanted and set(wanted) <= set(words_of(row or "")):
            assert score == pytest.approx(1)


@given(st.text(max_size=20))
def test_words_are_folded(text: str) -> None:
    for word in words_of(text):
        assert not any(unicodedata.combining(letter) for letter in word)
        assert words_of(word) == [word]


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40), max_size=9))
def test_a_spelling_is_most_similar_to_itself(names: list[str]) -> None:
    spellings = Spellings(names)

    for name in names:
        similarity = spellings.similar(name)
        assert ((similarity >= 0) & (similarity <= 1)).all()
        assert similarity[names.index(name)] == similarity.max()


def test_the_nearest_spelling_comes_first() -> None:
    assert Spellings(["monet-12", "monet-2", "manet-9"]).nearest("monet12")[0] == 0
    assert Spellings(["monet"]).nearest("zzzz") == []
