"""The artists file: names, nationalities, and the half-century in which each artist worked.

The period is derived from life dates: dates of works are rarer in catalogues and written in more ways.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from artylyze.collection.names import parse
from artylyze.errors import InputError
from artylyze.tables import listed, load_table, open_database, sql_value

BEGINS = 20
"""Assumed age at the start of an artist's work, years."""

LIVES = 70
"""Assumed age at death if it is unknown, years."""

SPAN = 50
"""Length of a period, years."""

_NAME = ("name", "artist", "artistname", "fullname", "displayname", "creator", "maker", "painter", "author")
_NATIONALITY = ("nationality", "nationalities", "artistnationality")
_BIRTH = ("birth", "born", "birthyear", "yearofbirth", "birthdate", "dateofbirth", "artistbirth")
_DEATH = ("death", "died", "deathyear", "yearofdeath", "deathdate", "dateofdeath", "artistdeath")
_YEARS = ("years", "dates", "lifedates", "lifespan", "life", "active")

_YEAR = re.compile(r"(?<!\d)\d{4}(?!\d)|(?<!\d)\d{3}(?!\d)")
_ACTIVE = re.compile(r"\b(?:active|fl|flourished|working)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Facts:
    """An artist's entry in the file; None for what is missing or contradictory."""

    name: str
    nationality: str | None
    period: str | None


@dataclass(frozen=True)
class ArtistsFile:
    """An artists file.

    Attributes:
        address: of the file.
        rows: number of rows that name an artist.
        by_key: key of the artist (names.py) -> facts.
        ambiguous: names with different facts in several rows, of which none is taken.
        has: which of `nationality` and `period` its columns give.
    """

    address: str
    rows: int
    by_key: Mapping[str, Facts]
    ambiguous: tuple[str, ...]
    has: tuple[str, ...]

    @property
    def name(self) -> str:
        """Its file name."""
        return self.address.rpartition("/")[2]


def period(birth: int | None, death: int | None) -> str | None:
    """Return the half-century in which an artist worked, as "1850-1899"; None if no year is known.

    That is the half-century of the middle of the artist's activity, from `BEGINS` years after birth to death. An
    unknown death is assumed `LIVES` years after birth, an unknown start `LIVES - BEGINS` years before death.
    """
    if birth is None and death is None:
        return None
    end = birth + LIVES if death is None and birth is not None else death or 0
    start = end - (LIVES - BEGINS) if birth is None else min(birth + BEGINS, end)
    return half_century(start, end)


def read_artists(address: str) -> ArtistsFile:
    """Read a CSV, TSV or Parquet table of artists.

    Columns are recognised by their names: name (or artist), nationality, and years ("1840 - 1926") or birth and death.

    Raises:
        InputError: if it cannot be read, has no column of names, or names no artist.
    """
    with open_database() as database:
        columns = load_table(database, address).columns
        column_for = {what: _first(columns, names) for what, names in _KNOWN.items()}
        if column_for["name"] is None:
            raise InputError(f"{address} has no column of artists' names: call it `name` (it has: {listed(columns)}).")
        values = ", ".join("NULL" if column is None else sql_value(column) for column in column_for.values())
        rows = database.execute(f"SELECT {values} FROM catalogue").fetchall()
    known: dict[str, list[Facts]] = defaultdict(list)
    for name, *facts in sorted(rows, key=repr):
        artist = parse(name)
        if artist is not None:
            known[artist.key].append(Facts(name.strip(), _nationality(facts[0]), _period(*facts[1:])))
    if not known:
        raise InputError(f"{address} names no artist in its column '{column_for['name']}'.")
    by_key = {key: _agreed(same) for key, same in sorted(known.items())}
    ambiguous = tuple(
        by_key[key].name
        for key, same in sorted(known.items())
        if len({(row.nationality, row.period) for row in same}) > 1
    )
    times = any(column_for[what] for what in ("birth", "death", "years"))
    has = tuple(name for name, given in (("nationality", column_for["nationality"]), ("period", times)) if given)
    return ArtistsFile(address, sum(map(len, known.values())), by_key, ambiguous, has)


_KNOWN: Mapping[str, Sequence[str]] = {
    "name": _NAME,
    "nationality": _NATIONALITY,
    "birth": _BIRTH,
    "death": _DEATH,
    "years": _YEARS,
}


def _first(columns: Sequence[str], names: Sequence[str]) -> str | None:
    by_letters = {"".join(c for c in column.casefold() if c.isalnum()): column for column in reversed(columns)}
    return next((by_letters[name] for name in names if name in by_letters), None)


def _nationality(text: str | None) -> str | None:
    """Return the first of several nationalities: "Spanish,Greek" is Spanish."""
    return re.split(r"[,;/|]", text or "")[0].strip() or None


def _period(birth: str | None, death: str | None, years: str | None) -> str | None:
    born, died = (next(iter(_years(text)), None) for text in (birth, death))
    if born is None and died is None:
        life = _years(years)
        if _ACTIVE.search(years or "") and life:
            return half_century(life[0], life[-1])
        only_death = len(life) == 1 and re.match(r"\s*(?:d|died)\b", years or "", re.IGNORECASE)
        born = life[0] if life and not only_death else None
        died = life[-1] if len(life) > 1 or only_death else None
    if born is not None and died is not None and died < born:
        return None
    return period(born, died)


def _years(text: str | None) -> list[int]:
    return [int(year) for year in _YEAR.findall(text or "")]


def half_century(start: int, end: int) -> str:
    """Return the half-century that holds the middle of two years, as "1850-1899"."""
    first = (start + end) // 2 // SPAN * SPAN
    return f"{first}-{first + SPAN - 1}"


def _agreed(same: Sequence[Facts]) -> Facts:
    """Return the facts on which several rows of the same name agree."""
    nationalities = {row.nationality for row in same if row.nationality}
    periods = {row.period for row in same if row.period}
    return Facts(
        same[0].name,
        nationalities.pop() if len(nationalities) == 1 else None,
        periods.pop() if len(periods) == 1 else None,
    )
