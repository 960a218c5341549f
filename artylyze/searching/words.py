"""Words in what a collection says of its works: which rows have those that are looked for, or some spelled alike.

Letter case and accents do not matter ("etude" is "Étude"), nor does the order of words. DuckDB's full-text search is an
extension that would have to be downloaded; this is a match of words and of their trigrams (groups of three letters, as
PostgreSQL's pg_trgm compares them), which needs nothing and also finds what was misspelled. It knows texts and numbers
of rows; what the columns of a catalog mean it does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artylyze.searching.light import texts

if TYPE_CHECKING:
    from numpy.typing import NDArray

EXACT, BEGINS, CONTAINS, ALIKE = 1.0, 0.8, 0.6, 0.5
"""What a word counts that is the one looked for, begins with it, contains it, or is spelled alike; the last times the
similarity."""

SIMILAR, PERHAPS = 0.7, 0.5
"""Similarity (0 to 1, twice the common trigrams over those of both words) from which a word is spelled alike: "bridge"
has 0.8 to "bridges"; and from which it is where no other word matches: "Rembrant" has 0.74 to "Rembrandt"."""

LESSER = 0.5
"""What a match counts outside titles and artists."""

LONGEST = 32
"""Letters of a word by which it is compared."""

_BLOCK = 50_000
_PLAIN = {"ß": "ss", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "\u0131": "i"}
_NO_SPACES = (("\u2e80", "\ua4cf"), ("\uac00", "\ud7af"), ("\u0e00", "\u0e7f"))  # scripts without spaces between words


def fold(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Return texts in lower case, without accents, as they are compared."""
    plain = pc.utf8_lower(pc.replace_substring_regex(pc.utf8_normalize(column, form="NFKD"), r"\p{M}+", ""))
    for letter, replacement in _PLAIN.items():
        plain = pc.replace_substring(plain, letter, replacement)
    return plain


def words_of(text: str) -> list[str]:
    """Return the words of a text, folded, each once, in their order."""
    return list(dict.fromkeys(_split(texts([text]))[0].to_pylist()))


def _split(column: pa.Array) -> tuple[pa.Array, NDArray[np.int64]]:
    """Return the words of texts, and the number of the text of each."""
    lists = pc.split_pattern_regex(pc.fill_null(fold(column), ""), r"[^\p{L}\p{N}]+")
    words, rows = pc.list_flatten(lists), pc.list_parent_indices(lists)
    there = pc.not_equal(words, "")
    return words.filter(there), rows.filter(there).to_numpy().astype(np.int64)


class Spellings:
    """Words or names that are compared by their spelling, each shortened to LONGEST letters.

    Args:
        words: folded text (v,).
    """

    def __init__(self, words: Iterable[str]) -> None:
        self.words = np.array([word[:LONGEST] for word in words], f"U{LONGEST}")

    def similar(self, word: str) -> NDArray[np.float32]:
        """Return the similarity (0 to 1) of each word to one, float32 (v,)."""
        wanted = np.unique(_trigrams(np.array([word[:LONGEST]], self.words.dtype))[0])
        wanted = wanted[wanted > 0]
        similarity = np.zeros(len(self.words), np.float32)
        for start in range(0, len(self.words), _BLOCK):
            trigrams = _trigrams(self.words[start : start + _BLOCK])
            common = np.isin(trigrams, wanted).sum(axis=1)
            similarity[start : start + _BLOCK] = 2 * common / ((trigrams > 0).sum(axis=1) + len(wanted))
        return np.minimum(similarity, 1)

    def nearest(self, word: str, most: int = 3, least: float = 0.3) -> list[int]:
        """Return the numbers of the words that are spelled most alike, the nearest first."""
        similarity = self.similar(word)
        order = np.argsort(-similarity, kind="stable")[:most]
        return [int(number) for number in order if similarity[number] >= least]


def _trigrams(words: NDArray[np.str_]) -> NDArray[np.uint64]:
    """Return the trigrams of words as numbers, uint64 (v, t), 0 where a word has no more: two spaces go before each."""
    letters = np.ascontiguousarray(words).view(np.uint32).reshape(len(words), -1).astype(np.uint64)
    lengths = (letters > 0).sum(axis=1)
    padded = np.zeros((len(words), letters.shape[1] + 3), np.uint64)
    padded[:, :2] = ord(" ")
    padded[:, 2:-1] = letters
    padded[np.arange(len(words)), lengths + 2] = ord(" ")
    trigrams = (padded[:, :-2] << np.uint64(42)) | (padded[:, 1:-1] << np.uint64(21)) | padded[:, 2:]
    return np.where(padded[:, 2:] > 0, trigrams, np.uint64(0))


@dataclass(frozen=True, eq=False)
class Words:
    """The words of n rows.

    Attributes:
        rows: n.
        spellings: the v different words.
        starts: int64 (v + 1,), where the rows of each word begin in `holders`.
        holders: int32 (p,), rows that have a word.
        weights: float32 (p,), what the word counts there: 1 in titles and artists, LESSER elsewhere.
        numbers: of the words, by themselves.
    """

    rows: int
    spellings: Spellings
    starts: NDArray[np.int64]
    holders: NDArray[np.int32]
    weights: NDArray[np.float32]
    numbers: Mapping[str, int] = field(repr=False)

    def match(self, text: str) -> NDArray[np.float32]:
        """Return how well each row matches the words of a text, float32 (n,): 0 not at all, 1 in title and artist all.

        A word counts by how rare it is among the rows (its inverse document frequency), so that "a" and "with" hardly
        matter beside "bridge".
        """
        scores, total = np.zeros(self.rows, np.float32), 0.0
        for word in words_of(text):
            matches = np.zeros(self.rows, np.float32)
            qualities = self._qualities(word)
            for number in np.flatnonzero(qualities).tolist():
                some = slice(self.starts[number], self.starts[number + 1])
                holders = self.holders[some]
                matches[holders] = np.maximum(matches[holders], qualities[number] * self.weights[some])
            having = self._having(word) or np.count_nonzero(matches)
            rarity = np.log((self.rows + 1) / (having + 0.5))
            scores += np.float32(rarity) * matches
            total += rarity
        return scores / np.float32(total) if total else scores

    def _having(self, word: str) -> int:
        """Return the number of rows that have a word as it is spelled."""
        number = self.numbers.get(word)
        return 0 if number is None else int(self.starts[number + 1] - self.starts[number])

    def _qualities(self, word: str) -> NDArray[np.float32]:
        """Return how well each word of the collection is the one that is looked for, float32 (v,)."""
        spelled, short = self.spellings.words, word[:LONGEST]
        letters = 1 if any(low <= word[0] <= high for low, high in _NO_SPACES) else len(word)
        any_script = letters < len(word) or (letters == 1 and not word.isascii())
        qualities = np.zeros(len(spelled), np.float32)
        if any_script or letters >= 4:
            qualities[np.strings.find(spelled, short) >= 0] = CONTAINS
        if any_script or letters >= 3:
            qualities[np.strings.startswith(spelled, short)] = BEGINS
        if word in self.numbers:
            qualities[self.numbers[word]] = EXACT
        if letters >= 4 and not any(map(str.isdigit, word)):  # one number is as unlike as any other
            similarity = self.spellings.similar(word)
            least = SIMILAR if qualities.any() else PERHAPS
            qualities = np.maximum(qualities, np.where(similarity >= least, ALIKE * similarity, 0).astype(np.float32))
        return qualities


def index_words(pieces: Iterable[tuple[pa.Array, pa.Array]]) -> Words:
    """Return the words of rows that come in pieces: texts (m,) of titles and artists, and other texts (m,)."""
    words: list[pa.Array] = []
    holders: list[NDArray[np.int32]] = []
    weights: list[NDArray[np.float32]] = []
    rows = 0
    for piece in pieces:
        for column, weight_of in zip(piece, (1.0, LESSER), strict=True):
            found, places = _split(column)
            words.append(found.dictionary_encode())
            holders.append((places + rows).astype(np.int32))
            weights.append(np.full(len(places), weight_of, np.float32))
        rows += len(piece[0])
    encoded = pa.chunked_array(words, pa.dictionary(pa.int32(), pa.string())).unify_dictionaries()
    vocabulary = encoded.chunk(0).dictionary.to_pylist() if encoded.num_chunks else []
    codes = np.concatenate([np.empty(0, np.int32), *(chunk.indices.to_numpy() for chunk in encoded.chunks)])
    held, weight = (
        np.concatenate([np.empty(0, np.int32), *holders]),
        np.concatenate([np.empty(0, np.float32), *weights]),
    )
    order = np.lexsort((-weight, held, codes))
    codes, held, weight = codes[order], held[order], weight[order]
    first = np.ones(len(codes), bool)  # of several places of a word in a row the one that counts most
    first[1:] = (codes[1:] != codes[:-1]) | (held[1:] != held[:-1])
    codes, held, weight = codes[first], held[first], weight[first]
    starts = np.searchsorted(codes, np.arange(len(vocabulary) + 1)).astype(np.int64)
    numbers = {word: number for number, word in enumerate(vocabulary)}
    return Words(rows, Spellings(vocabulary), starts, held, weight, numbers)
