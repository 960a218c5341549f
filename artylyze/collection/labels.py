"""The labels of each image, merged from the catalogues: a term of the taxonomy for each task, and an artist."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from artylyze.collection.names import Artist, parse
from artylyze.collection.taxonomy import normalise

NO_LABEL = frozenset(
    {"", "unknown", "unknowngenre", "unknownstyle", "undetermined", "unidentified", "none", "null", "nan", "na"}
)
"""Letters of the texts that mean no label in catalogues."""

_WITH_VOCABULARY = ("genre", "style")


Codes = npt.NDArray[np.int32] | npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Labels:
    """The labels of one task.

    Attributes:
        terms: all that occur, sorted.
        codes: int64 (images,), the index of each image's term in `terms`, -1 for none.
        outside: terms that are not in the taxonomy, as given -> number of images.
        contradicted: number of images with different terms in two catalogues; the first counts.
        several: number of images with several terms in a cell, of which one was chosen.
    """

    terms: tuple[str, ...]
    codes: npt.NDArray[np.int64]
    outside: Mapping[str, int]
    contradicted: int
    several: int = 0

    def counts(self) -> npt.NDArray[np.int64]:
        """Return the number of images with each term, int64 (terms,)."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.terms)).astype(np.int64)

    def present(self) -> list[str]:
        """Return the terms that some image has."""
        return [term for term, count in zip(self.terms, self.counts(), strict=True) if count]

    def without(self, rows: npt.NDArray[np.bool_]) -> Self:
        """Return the labels without those of the images in `rows`, a mask."""
        return replace(self, codes=np.where(rows, -1, self.codes))


@dataclass(frozen=True, eq=False)
class Artists:
    """The artists of the images.

    Attributes:
        keys: of all artists that occur, sorted.
        codes: int64 (images,), the index of each image's artist in `keys`, -1 for an unknown artist.
        own: bool (images,), False for a work near the artist ("after", "circle of").
        spelled: the preferred spellings of all artists, and of works near them, sorted.
        spelled_codes: int32 (images,), the index of each image's artist in `spelled`, -1 for an unknown artist.
        spellings: preferred spelling -> other spellings of the same artist.
    """

    keys: tuple[str, ...]
    codes: npt.NDArray[np.int64]
    own: npt.NDArray[np.bool_]
    spelled: tuple[str, ...]
    spelled_codes: npt.NDArray[np.int32]
    spellings: Mapping[str, tuple[str, ...]]

    @property
    def names(self) -> list[str | None]:
        """The preferred spelling of each image's artist, None for an unknown one."""
        return [self.spelled[code] if code >= 0 else None for code in self.spelled_codes]

    def own_keys(self) -> list[str | None]:
        """Return the key of each image's artist; None for an unknown artist and for a work near one."""
        return [self.keys[code] if own else None for code, own in zip(self.codes, self.own, strict=True)]


def read_labels(task: str, tables: Sequence[pa.Table], images: int, separator: str | None = None) -> Labels:
    """Merge the column `task` of several tables, which have one row for each image.

    Terms that are not in the taxonomy stay as given, with white space normalised. If `separator` splits a cell into
    several terms, the first in the taxonomy counts, else the first: a task has one term per image.
    """
    return labels_in(task, (table.column(task) for table in tables if task in table.column_names), images, separator)


def labels_in(task: str, columns: Iterable[pa.ChunkedArray], images: int, separator: str | None = None) -> Labels:
    """Merge columns of text, which have one row for each image; see `read_labels`."""
    place: dict[str, int] = {}
    merged = np.full(images, -1, np.int32)
    contradicted, several = np.zeros(images, bool), np.zeros(images, bool)
    for column in columns:
        texts, rows = encoded(column)
        choices = [_choose(task, text, separator) for text in texts]
        term_codes = [-1 if term is None else place.setdefault(term, len(place)) for term, _ in choices]
        row_codes = np.array([*term_codes, -1], np.int32)[rows]
        contradicted |= (merged >= 0) & (row_codes >= 0) & (row_codes != merged)
        several |= (merged < 0) & np.array([*(count > 1 for _, count in choices), False])[rows]
        merged = np.where(merged >= 0, merged, row_codes)
    known, codes = coded(list(place), merged)
    counts = np.bincount(codes[codes >= 0], minlength=len(known)).tolist()
    foreign = [code for code, term in enumerate(known) if task in _WITH_VOCABULARY and normalise(task, term) is None]
    outside = {known[code]: counts[code] for code in foreign}
    return Labels(known, codes.astype(np.int64), outside, int(contradicted.sum()), int(several.sum()))


def _choose(task: str, text: str, separator: str | None) -> tuple[str | None, int]:
    """Return the term of a cell that counts, and its number of different terms."""
    parts = [text] if separator is None else text.split(separator)
    terms = list(dict.fromkeys(term for part in parts if (term := _term(task, part)) is not None))
    known = (term for term in terms if normalise(task, term) is not None)
    return next(known, terms[0] if terms else None), len(terms)


def encoded(column: pa.ChunkedArray) -> tuple[list[str], npt.NDArray[np.int32]]:
    """Return the different texts of a column, and the index of each row's text, -1 for null."""
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    chunks = column.unify_dictionaries().chunks
    if not chunks:
        return [], np.empty(0, np.int32)
    codes = [pc.fill_null(chunk.indices, -1).to_numpy(zero_copy_only=False) for chunk in chunks]
    texts: list[str] = chunks[0].dictionary.to_pylist()
    return texts, np.concatenate(codes).astype(np.int32, copy=False)


def coded(values: Sequence[str | None], codes: Codes) -> tuple[tuple[str, ...], npt.NDArray[np.int32]]:
    """Return the values that rows have, sorted, and the index of each row's value, -1 for none.

    Args:
        values: the value of each code; several codes may have the same value, and some None.
        codes: (rows,), indices in `values`, -1 for none.
    """
    occurs = np.zeros(len(values) + 1, bool)  # the last is for -1
    occurs[codes] = True
    occurring = [value if used else None for value, used in zip(values, occurs[:-1], strict=True)]
    known = tuple(sorted({value for value in occurring if value is not None}))
    place = {value: number for number, value in enumerate(known)}
    return known, np.array([*(-1 if value is None else place[value] for value in occurring), -1], np.int32)[codes]


def filled(labels: Labels, others: Sequence[str | None]) -> Labels:
    """Return labels in which images without a term have that of `others`, which has a term or None for each image."""
    texts, codes = encoded(pa.chunked_array([pa.array(others, pa.string())]))
    return filled_by(labels, texts, codes)


def filled_by(labels: Labels, values: Sequence[str | None], codes: Codes) -> Labels:
    """Return labels in which images without a term have the value of their code, -1 for none."""
    both = np.where(labels.codes >= 0, labels.codes, np.where(codes >= 0, codes + len(labels.terms), -1))
    known, merged = coded([*labels.terms, *values], both)
    return replace(labels, terms=known, codes=merged.astype(np.int64))


def merge_artists(tables: Sequence[pa.Table], images: int) -> Artists:
    """Merge the column `artist` of several tables, which have one row for each image."""
    return artists_in((table.column("artist") for table in tables if "artist" in table.column_names), images)


def artists_in(columns: Iterable[pa.ChunkedArray], images: int) -> Artists:
    """Merge columns of artists' names, which have one row for each image; each different name is parsed once."""
    place: dict[str, int] = {}
    given = np.full(images, -1, np.int32)
    for column in columns:
        texts, rows = encoded(column)
        row_codes = np.array([*(place.setdefault(text, len(place)) for text in texts), -1], np.int32)[rows]
        given = np.where(given >= 0, given, row_codes)
    names = list(place)
    counts = np.bincount(given[given >= 0], minlength=len(names)).tolist()
    parsed = {name: parse(name) for name, count in zip(names, counts, strict=True) if count}
    preferred, spellings = _spellings({name: counts[place[name]] for name in parsed}, parsed)
    artists = [parsed.get(name) for name in names]
    keys, codes = coded([None if artist is None else artist.key for artist in artists], given)
    spelled, spelled_codes = coded([None if artist is None else preferred[artist] for artist in artists], given)
    own = np.array([*(artist is not None and artist.own for artist in artists), False])[given]
    return Artists(keys, codes.astype(np.int64), own, spelled, spelled_codes, spellings)


def _spellings(
    given: Mapping[str, int], parsed: Mapping[str, Artist | None]
) -> tuple[dict[Artist, str], dict[str, tuple[str, ...]]]:
    """Choose each artist's most frequent spelling, and list the others."""
    by_artist: dict[Artist, list[str]] = defaultdict(list)
    for name in sorted(given, key=lambda name: (-given[name], name)):
        artist = parsed[name]
        if artist is not None:
            by_artist[artist].append(name)
    several = {names[0]: tuple(names[1:]) for artist, names in by_artist.items() if artist.own and len(names) > 1}
    return {artist: names[0] for artist, names in by_artist.items()}, dict(sorted(several.items()))


def _term(task: str, text: str) -> str | None:
    if "".join(c for c in text.casefold() if c.isalnum()) in NO_LABEL:
        return None
    known = normalise(task, text)
    return " ".join(text.split()) if known is None else known.name
