"""The categorical columns of a collection: which of a museum's columns sort its works into kinds, and what they say.

A column is categorical if its values repeat. Dates become half-centuries; identifiers, file names, free text and
measures are left out, each with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from artylyze.errors import UsageError
from artylyze.training.artists import ArtistsFile, half_century
from artylyze.training.labels import Artists, Labels, filled, read_artists_of, read_labels

Kind = Literal["given", "predicted"]

MEASURES = 20
"""Different numbers above which a column of numbers is a measure, not a kind."""

REPEATS = 2.0
"""Works that a value must have in the mean, for its column to sort works into kinds."""

LETTERS = 80
"""Mean length of a column's values above which they are prose."""

DATED = 0.5
"""Share of a date column's values in which a year must be found."""

ARTIST = ("artist", "artistname", "artists", "creator", "maker", "painter", "author")
TITLE = ("title", "objecttitle", "titel", "titre", "titolo", "name")
_DATE = (
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
        codes: int64 (n,), the place of each work's term among `terms`, -1 where nothing is said.
    """

    name: str
    kind: Kind
    terms: tuple[str, ...]
    codes: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Described:
    """What is said of n works.

    Attributes:
        columns: the categorical ones.
        left_out: name of each other column -> why it is not profiled.
        titles: of each work, None where there is none.
        artists: likewise.
    """

    columns: tuple[Column, ...]
    left_out: Mapping[str, str]
    titles: Sequence[str | None]
    artists: Sequence[str | None]


def describe(
    tables: Sequence[pa.Table], works: int, predicted: Mapping[str, pa.ChunkedArray], artists: ArtistsFile | None
) -> Described:
    """Find the categorical columns in what several tables say of the same works.

    Args:
        tables: text columns, a row for each work; what an earlier table says counts first.
        works: how many there are.
        predicted: task -> the term that a model gave each work, null where none.
        artists: nationality and period of artists, for works whose own columns do not say them.
    """
    columns: list[Column] = []
    left_out: dict[str, str] = {}
    makers = read_artists_of([_as_artist(table) for table in tables], works)
    names = list(dict.fromkeys(name for table in tables for name in table.column_names))
    for name in names:
        found = _column(name, tables, works, makers, artists)
        if isinstance(found, str):
            left_out[name] = found
        else:
            columns.append(found)
    if artists is not None:
        absent = [name for name in artists.has if name not in map(folded, names)]
        told = (_with_facts(Column(name, "given", (), np.full(works, -1)), makers, artists) for name in absent)
        columns += [column for column in told if _why_not(column, known=True) is None]
    for task, terms in predicted.items():
        column = _plain(f"{task} (predicted)", "predicted", terms)
        if len(column.terms) > 1:
            columns.append(column)
    return Described(tuple(columns), left_out, _first(tables, TITLE, works), makers.names)


def chosen(said: Described, names: Sequence[str]) -> Described:
    """Return what is said in some columns alone, in the order of `names`; raise UsageError for one that is not there.

    `genre` names a column `genre` and what a model predicted of it, `date` the half-centuries of dates.
    """
    found: list[Column] = []
    for name in names:
        mine = [one for one in said.columns if folded(name) in (folded(one.name), folded(one.name.partition(" (")[0]))]
        why = next((reason for other, reason in said.left_out.items() if folded(other) == folded(name)), None)
        if not mine:
            there = ", ".join(column.name for column in said.columns) or "none"
            raise UsageError(f"--columns {name}: {why or 'there is no such column'}. Categorical columns: {there}.")
        found += [one for one in mine if one not in found]
    others = {column.name: "it was not asked for" for column in said.columns if column not in found}
    return replace(said, columns=tuple(found), left_out={**said.left_out, **others})


def folded(name: str) -> str:
    """Return the letters and digits of a column's name, by which `Artist Name` is `artist_name`."""
    return "".join(c for c in name.casefold() if c.isalnum())


def _column(
    name: str, tables: Sequence[pa.Table], works: int, makers: Artists, artists: ArtistsFile | None
) -> Column | str:
    key = folded(name)
    if key in TITLE:
        return "it names the works"
    if key in ARTIST:
        found = _plain(name, "given", pa.chunked_array([pa.array(makers.names, pa.string())]))
    else:
        labels = labels_of(name, tables, works)
        found = Column(name, "given", labels.terms, labels.codes)
    if artists is not None and key in artists.has:
        found = _with_facts(found, makers, artists)
    if key in _DATE:
        return _half_centuries(found)
    return _why_not(found, known=key in _KINDS) or found


def labels_of(name: str, tables: Sequence[pa.Table], works: int) -> Labels:
    """Return what tables say of the works in the columns of a name, however it is spelled."""
    task = folded(name) if folded(name) in ("genre", "style") else name
    there = [(table, own) for table in tables for own in table.column_names if folded(own) == folded(name)]
    return one_spelling(read_labels(task, [table.select([own]).rename_columns([task]) for table, own in there], works))


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
    said = int((column.codes >= 0).sum())
    if not said:
        return "it is empty"
    if len(column.terms) == 1:
        return "it says the same of every work"
    if known:
        return None
    numbers = sum(_NUMBER.fullmatch(term) is not None for term in column.terms)
    if numbers > 0.95 * len(column.terms) and len(column.terms) > MEASURES:
        return "its values are measures"
    if len(column.terms) * REPEATS > said:
        return "nearly every work has a value of its own"
    if sum(map(len, column.terms)) > LETTERS * len(column.terms):
        return "its values are prose"
    return None


def _half_centuries(column: Column) -> Column | str:
    years = [_years(term) for term in column.terms]
    periods = [half_century(found[0], found[-1]) if found else None for found in years]
    said = [periods[code] for code in column.codes[column.codes >= 0]]
    if not said or sum(period is not None for period in said) < DATED * len(said):
        return "no year is found in most of its values" if said else "it is empty"
    found = _plain(
        f"{column.name} (half-century)",
        "given",
        pa.chunked_array([pa.array([periods[code] if code >= 0 else None for code in column.codes], pa.string())]),
    )
    return _why_not(found, known=True) or found


def _years(term: str) -> list[int]:
    """Years AD in a text; of three figures only where no year has four: they may be measures."""
    if _BEFORE_CHRIST.search(term):
        return []
    return [int(year) for year in _YEAR.findall(term) or _EARLY.findall(term)]


def _with_facts(column: Column, makers: Artists, artists: ArtistsFile) -> Column:
    """Fill a column with what the artists file says of the artists, where the works' own column says nothing."""
    facts = [artists.by_key.get(key) if key else None for key in makers.own_keys()]
    said: list[str | None] = [None if fact is None else getattr(fact, folded(column.name)) for fact in facts]
    merged = filled(Labels(column.terms, column.codes, {}, 0), said)
    return Column(column.name, "given", merged.terms, merged.codes)


def _plain(name: str, kind: Kind, texts: pa.ChunkedArray) -> Column:
    encoded = texts.combine_chunks().dictionary_encode()
    terms = encoded.dictionary.to_pylist()
    order = sorted(range(len(terms)), key=lambda place: terms[place])
    place = np.full(len(terms) + 1, -1, np.int64)  # the last is for what is not said
    place[order] = np.arange(len(order))
    indices = pc.fill_null(encoded.indices, len(terms)).to_numpy(zero_copy_only=False)
    return Column(name, kind, tuple(terms[one] for one in order), place[indices])


def _as_artist(table: pa.Table) -> pa.Table:
    own = next((name for known in ARTIST for name in table.column_names if folded(name) == known), None)
    return table.select([own]).rename_columns(["artist"]) if own else table.select([])


def _first(tables: Sequence[pa.Table], names: Sequence[str], works: int) -> list[str | None]:
    """Return for each work the first value in columns of these names."""
    there = [
        table.column(name)
        for known in names
        for table in tables
        for name in table.column_names
        if folded(name) == known
    ]
    found: list[str | None] = pc.coalesce(*there).to_pylist() if there else [None] * works
    return found
