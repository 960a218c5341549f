"""The categorical columns of a collection: which of a museum's columns sort its works into kinds, and what they say.

A column is categorical if its values repeat. Dates become half-centuries; identifiers, file names, free text and
measures are left out, each with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from artylyze.collection.artists import ArtistsFile, half_century
from artylyze.collection.known_columns import ARTIST, CONTENT, TITLE, folded
from artylyze.collection.labels import Artists, Labels, artists_in, coded, encoded, filled_by, labels_in
from artylyze.errors import UsageError

Kind = Literal["given", "predicted"]

MEASURES = 20
"""Different numbers above which a column of numbers is a measure, not a kind."""

REPEATS = 2.0
"""Works that a value must have in the mean, for its column to sort works into kinds."""

LETTERS = 80
"""Mean length of a column's values above which they are prose."""

NOT_ASKED_FOR = "it was not asked for"
"""Why a column is left out that is not among those that the user named."""

DATED = 0.5
"""Share of a date column's values in which a year must be found."""

DATE = (
    "date",
    "dated",
    "year",
    "datecreated",
    "creationdate",
    "objectdate",
    "datetext",
    "displaydate",
    "creationyear",
)
_KINDS = (*ARTIST, "nationality", "genre", "style", "period", "timeperiod", "century", "school", "culture", "medium")
"""Names of columns that sort works into kinds however seldom their values repeat."""

_NUMBER = re.compile(r"[-+]?\d+(?:[.,]\d+)?")
_YEAR = re.compile(r"(?<!\d)(?:1\d{3}|20\d{2})(?!\d)")
_EARLY = re.compile(r"(?<!\d)[3-9]\d{2}(?!\d)")
_BEFORE_CHRIST = re.compile(r"\bB\.? ?C\b|\bBCE\b|\bv\. ?Chr|\bav\. ?J|\ba\. ?C\b", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Column:
    """One categorical column of n works.

    Attributes:
        name: as people read it. What the catalog's model predicted is named so: `genre (predicted)`.
        kind: `given` by people, or `predicted` by the model.
        terms: all that occur, sorted.
        codes: int32 (n,), the place of each work's term among `terms`, -1 for none.
    """

    name: str
    kind: Kind
    terms: tuple[str, ...]
    codes: npt.NDArray[np.int32]


class DescriptionTable(Protocol):
    """Descriptions of the works from one source: columns of text, plain or dictionary encoded, a row for each work.

    An Arrow table is one. A source that lies in a catalog reads a column when it is asked for it.
    """

    @property
    def column_names(self) -> Sequence[str]:
        """Names of the columns."""

    def column(self, name: str) -> pa.ChunkedArray:
        """Return a column."""


class Texts(Sequence[Any]):
    """Texts of works, None where one has none: they stay where they are until one is asked for."""

    def __init__(self, values: pa.ChunkedArray | Sequence[str], codes: npt.NDArray[np.int32] | None = None) -> None:
        """Keep different values, and of each work the place of its own, -1 for none; else a value for each work."""
        self._values, self._codes = values, codes

    def __len__(self) -> int:
        return len(self._values if self._codes is None else self._codes)

    def __getitem__(self, work: Any) -> Any:
        place = work if self._codes is None else self._codes[work]
        value = None if self._codes is not None and place < 0 else self._values[int(place)]
        return value.as_py() if isinstance(value, pa.Scalar) else value


@dataclass(frozen=True, eq=False)
class Described:
    """Descriptions of n works.

    Attributes:
        columns: the categorical ones, by `standing`, or as they were asked for.
        left_out: name of each other column -> why it is not profiled.
        titles: of each work, None where there is none.
        artists: likewise.
    """

    columns: tuple[Column, ...]
    left_out: Mapping[str, str]
    titles: Sequence[str | None]
    artists: Sequence[str | None]


def describe(
    tables: Sequence[DescriptionTable],
    works: int,
    predicted: Mapping[str, pa.ChunkedArray],
    artists: ArtistsFile | None,
    wanted: Sequence[str] = (),
) -> Described:
    """Find the categorical columns in what several tables say of the same works.

    Args:
        tables: text columns, a row for each work; what an earlier table says counts first.
        works: how many there are.
        predicted: task -> the term that a model gave each work, null where none.
        artists: nationality and period of artists, for works whose own columns do not say them.
        wanted: columns that will be `chosen`: others are not read; none: all are.
    """
    columns: list[Column] = []
    left_out: dict[str, str] = {}
    makers = artists_in((table.column(own) for table in tables if (own := _artist_in(table))), works)
    names = list(dict.fromkeys(name for table in tables for name in table.column_names))
    for name in names:
        found = _column(name, tables, works, makers, artists) if asked_for(name, wanted) else NOT_ASKED_FOR
        if isinstance(found, str):
            left_out[name] = found
        else:
            columns.append(found)
    if artists is not None:
        absent = [name for name in artists.has if name not in map(folded, names) and asked_for(name, wanted)]
        nothing = np.full(works, -1, np.int32)
        filled = (_with_facts(Column(name, "given", (), nothing), makers, artists) for name in absent)
        columns += [column for column in filled if _why_not(column, known=True) is None]
    for task, terms in predicted.items():
        column = Column(f"{task} (predicted)", "predicted", *coded(*encoded(terms)))
        if len(column.terms) > 1:
            columns.append(column)
    columns.sort(key=lambda column: standing(column.name, column.kind))
    return Described(tuple(columns), left_out, _titles(tables, works), Texts(makers.spelled, makers.spelled_codes))


def standing(name: str, kind: Kind) -> int:
    """Return how early a column describes a cluster: 0 for what people said of works, 1 for predictions, 2 for others.

    A model that made the features agrees with their clusters by construction. Other columns often say where a file came
    from: a source with a look of its own would mark clusters before any genre.
    """
    if kind == "predicted":
        return 1
    return 0 if folded(name.partition(" (")[0]) in (*CONTENT, *DATE) else 2


def asked_for(name: str, wanted: Sequence[str]) -> bool:
    """Whether one of the wanted columns can be of a column of this name; it can if none is wanted in particular."""
    heads = {folded(one) for text in wanted for one in (text, text.partition(" (")[0])}
    return not wanted or folded(name) in heads or folded(name.partition(" (")[0]) in heads


def chosen(described: Described, names: Sequence[str]) -> Described:
    """Return the descriptions in some columns alone, in the order of `names`; raise UsageError for an unknown one.

    `genre` names a column `genre` and what a model predicted of it, `date` the half-centuries of dates.
    """
    found: list[Column] = []
    for name in names:
        mine = [
            column
            for column in described.columns
            if folded(name) in (folded(column.name), folded(column.name.partition(" (")[0]))
        ]
        why = next((reason for other, reason in described.left_out.items() if folded(other) == folded(name)), None)
        if not mine:
            there = ", ".join(column.name for column in described.columns) or "none"
            raise UsageError(f"`columns={name!r}`: {why or 'there is no such column'}. Categorical columns: {there}.")
        found += [one for one in mine if one not in found]
    others = {column.name: NOT_ASKED_FOR for column in described.columns if column not in found}
    return replace(described, columns=tuple(found), left_out={**described.left_out, **others})


def _column(
    name: str, tables: Sequence[DescriptionTable], works: int, makers: Artists, artists: ArtistsFile | None
) -> Column | str:
    key = folded(name)
    if key in TITLE:
        return "it names the works"
    if key in ARTIST:
        found = Column(name, "given", makers.spelled, makers.spelled_codes)
    else:
        labels = labels_of(name, tables, works)
        found = Column(name, "given", labels.terms, labels.codes.astype(np.int32))
    if artists is not None and key in artists.has:
        found = _with_facts(found, makers, artists)
    if key in DATE:
        return _half_centuries(found)
    return _why_not(found, known=key in _KINDS) or found


def labels_of(name: str, tables: Sequence[DescriptionTable], works: int) -> Labels:
    """Return the labels of the works in the columns of a name, however it is spelled."""
    task = folded(name) if folded(name) in ("genre", "style") else name
    there = (table.column(own) for table in tables for own in table.column_names if folded(own) == folded(name))
    return one_spelling(labels_in(task, there, works))


def one_spelling(labels: Labels) -> Labels:
    """Return labels in which terms that differ in letter case and spaces alone are one, in the commonest spelling."""
    counts = labels.counts()
    spelled: dict[str, int] = {}
    for code in sorted(range(len(labels.terms)), key=lambda code: (-counts[code], labels.terms[code])):
        spelled.setdefault(" ".join(labels.terms[code].split()).casefold(), code)
    kept = [spelled[" ".join(term.split()).casefold()] for term in labels.terms]
    terms = sorted({labels.terms[code] for code in kept})
    place = {term: number for number, term in enumerate(terms)}
    codes = np.array([*(place[labels.terms[code]] for code in kept), -1], np.int64)  # the last is "no label"
    return replace(labels, terms=tuple(terms), codes=codes[labels.codes])


def _why_not(column: Column, *, known: bool) -> str | None:
    described = int((column.codes >= 0).sum())
    if not described:
        return "it is empty"
    if len(column.terms) == 1:
        return "every work has the same value"
    if known:
        return None
    numbers = sum(_NUMBER.fullmatch(term) is not None for term in column.terms)
    if numbers > 0.95 * len(column.terms) and len(column.terms) > MEASURES:
        return "its values are measures"
    if len(column.terms) * REPEATS > described:
        return "nearly every work has a value of its own"
    if sum(map(len, column.terms)) > LETTERS * len(column.terms):
        return "its values are prose"
    return None


def _half_centuries(column: Column) -> Column | str:
    years = [_years(term) for term in column.terms]
    periods = [half_century(found[0], found[-1]) if found else None for found in years]
    works = np.bincount(column.codes[column.codes >= 0], minlength=len(periods))
    dated = int(works[[period is not None for period in periods]].sum())
    if not works.sum() or dated < DATED * works.sum():
        return "no year is found in most of its values" if works.sum() else "it is empty"
    found = Column(f"{column.name} (half-century)", "given", *coded(periods, column.codes))
    return _why_not(found, known=True) or found


def _years(term: str) -> list[int]:
    """Years AD in a text; of three figures only where no year has four: they may be measures."""
    if _BEFORE_CHRIST.search(term):
        return []
    return [int(year) for year in _YEAR.findall(term) or _EARLY.findall(term)]


def _with_facts(column: Column, makers: Artists, artists: ArtistsFile) -> Column:
    """Fill a column from the artists file, where the works' own column has no value."""
    facts = [artists.by_key.get(key) for key in makers.keys]
    known: list[str | None] = [None if fact is None else getattr(fact, folded(column.name)) for fact in facts]
    of_works = np.where(makers.own, makers.codes, -1)
    merged = filled_by(Labels(column.terms, column.codes.astype(np.int64), {}, 0), known, of_works)
    return Column(column.name, "given", merged.terms, merged.codes.astype(np.int32))


def _artist_in(table: DescriptionTable) -> str | None:
    return next((name for known in ARTIST for name in table.column_names if folded(name) == known), None)


def _titles(tables: Sequence[DescriptionTable], works: int) -> Texts:
    """Return for each work the first value in columns of titles."""
    there = [
        table.column(name)
        for known in TITLE
        for table in tables
        for name in table.column_names
        if folded(name) == known
    ]
    plain = [column.cast(pa.large_string()) for column in there]
    titles = pc.coalesce(*plain) if plain else pa.chunked_array([pa.nulls(works, pa.large_string())])
    return Texts(titles)
