"""What the catalogues say of each image, merged: one term for each task, in the taxonomy's spelling, and one artist."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from artylyze.taxonomy import normalise
from artylyze.training.names import Artist, parse

NO_LABEL = frozenset(
    {"", "unknown", "unknowngenre", "unknownstyle", "undetermined", "unidentified", "none", "null", "nan", "na"}
)
"""What stands in catalogues for no label, its letters alone."""

_WITH_VOCABULARY = ("genre", "style")


@dataclass(frozen=True, eq=False)
class Labels:
    """The labels of one task.

    Attributes:
        terms: all that occur, sorted.
        codes: (images,) the place of each image's term among `terms`, -1 for none.
        outside: terms that the taxonomy does not know, kept as given -> images.
        contradicted: images of which two catalogues say different things; the first counts.
        several: images with several terms in a cell, of which one was chosen.
    """

    terms: tuple[str, ...]
    codes: npt.NDArray[np.int64]
    outside: Mapping[str, int]
    contradicted: int
    several: int = 0

    def counts(self) -> npt.NDArray[np.int64]:
        """Return how many images have each term, (terms,)."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.terms)).astype(np.int64)

    def present(self) -> list[str]:
        """Return the terms that images have."""
        return [term for term, count in zip(self.terms, self.counts(), strict=True) if count]

    def without(self, rows: npt.NDArray[np.bool_]) -> Self:
        """Return the labels without those of the images in `rows`, a mask."""
        return replace(self, codes=np.where(rows, -1, self.codes))


@dataclass(frozen=True, eq=False)
class Artists:
    """The artists of the images.

    Attributes:
        keys: of all artists that occur, sorted.
        codes: (images,) the place of each image's artist among `keys`, -1 for nobody.
        own: (images,) False where the work is only near the artist ("after", "circle of").
        names: (images,) the preferred spelling of each image's artist, None for nobody.
        spellings: preferred spelling -> the others that were taken for the same artist.
    """

    keys: tuple[str, ...]
    codes: npt.NDArray[np.int64]
    own: npt.NDArray[np.bool_]
    names: Sequence[str | None]
    spellings: Mapping[str, tuple[str, ...]]

    def own_keys(self) -> list[str | None]:
        """Return the key of each image's artist; None for nobody, and where the work is only near the artist."""
        return [self.keys[code] if own else None for code, own in zip(self.codes, self.own, strict=True)]


def read_labels(task: str, tables: Sequence[pa.Table], images: int, separator: str | None = None) -> Labels:
    """Merge the column `task` of several tables, which have one row for each image.

    A term that the taxonomy does not know stays as given, with its white space made plain. Where `separator` parts a
    cell into several terms, the first that the taxonomy knows counts, or the first where it knows none: a model of one
    answer learns one.
    """
    merged: list[str | None] = [None] * images
    contradicted, several = np.zeros(images, bool), np.zeros(images, bool)
    for table in tables:
        if task not in table.column_names:
            continue
        column = table.column(task).combine_chunks().dictionary_encode()
        choices = [_choose(task, text, separator) for text in column.dictionary.to_pylist()]
        for row, code in enumerate(column.indices.to_pylist()):
            term, count = (None, 0) if code is None else choices[code]
            if merged[row] is None:
                merged[row], several[row] = term, count > 1
            elif term is not None and term != merged[row]:
                contradicted[row] = True
    counts = Counter(term for term in merged if term is not None)
    known = tuple(sorted(counts))
    foreign = [term for term in known if normalise(task, term) is None] if task in _WITH_VOCABULARY else []
    outside = {term: counts[term] for term in foreign}
    return Labels(known, _codes(merged, known), outside, int(contradicted.sum()), int(several.sum()))


def _choose(task: str, text: str, separator: str | None) -> tuple[str | None, int]:
    """Return the term of a cell that counts, and how many different ones it has."""
    parts = [text] if separator is None else text.split(separator)
    terms = list(dict.fromkeys(term for part in parts if (term := _term(task, part)) is not None))
    known = (term for term in terms if normalise(task, term) is not None)
    return next(known, terms[0] if terms else None), len(terms)


def filled(labels: Labels, others: Sequence[str | None]) -> Labels:
    """Return labels in which images without one have another's: `others` has a term or None for each image."""
    merged = [labels.terms[code] if code >= 0 else other for code, other in zip(labels.codes, others, strict=True)]
    known = tuple(sorted({term for term in merged if term is not None}))
    return replace(labels, terms=known, codes=_codes(merged, known))


def _codes(merged: Sequence[str | None], known: Sequence[str]) -> npt.NDArray[np.int64]:
    place = {term: code for code, term in enumerate(known)}
    return np.array([-1 if term is None else place[term] for term in merged], np.int64)


def read_artists_of(tables: Sequence[pa.Table], images: int) -> Artists:
    """Merge the column `artist` of several tables, which have one row for each image."""
    given: list[str | None] = [None] * images
    for table in tables:
        if "artist" in table.column_names:
            given = [one if one is not None else other for one, other in zip(given, _texts(table), strict=True)]
    parsed = {name: parse(name) for name in set(given) if name is not None}
    preferred, spellings = _spellings(Counter(name for name in given if name is not None), parsed)
    found = [None if name is None else parsed[name] for name in given]
    keys = tuple(sorted({artist.key for artist in found if artist is not None}))
    place = {key: code for code, key in enumerate(keys)}
    return Artists(
        keys,
        np.array([-1 if artist is None else place[artist.key] for artist in found], np.int64),
        np.array([artist is not None and artist.own for artist in found], bool),
        [None if artist is None else preferred[artist] for artist in found],
        spellings,
    )


def _texts(table: pa.Table) -> list[str | None]:
    texts: list[str | None] = table.column("artist").to_pylist()
    return texts


def _spellings(
    given: Counter[str], parsed: Mapping[str, Artist | None]
) -> tuple[dict[Artist, str], dict[str, tuple[str, ...]]]:
    """Choose for each artist the spelling that most images have, and list the others."""
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
