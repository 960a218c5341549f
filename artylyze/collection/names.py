"""Artists' names as catalogues write them, and the key under which two spellings are one artist.

It knows spelling, not people: names in another transliteration ("Vasiliy" and "Wassily") stay apart, and `nearest` says
what they may have been.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from artylyze.collection.nobody import is_nobody, only_says_nobody

SIMILAR = (0.7, 0.85)
"""What makes one name perhaps another: the Jaro-Winkler similarity that each word of the shorter name must have to one
of the longer name, and all of them in the mean. "Vasiliy" has 0.79 to "Wassily"."""

INITIAL = 0.82
"""Similarity of an initial to its name: initials alone make nobody similar."""

# Letters that Unicode does not take apart into a plain letter and its mark.
_PLAIN = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "\u0131": "i"})

_PHRASE = (
    r"(?:formerly |possibly |probably |doubtfully )?(?:(?:copy|copies|prints?) (?:after|of)|after|attributed(?: to)?"
    r"|circle of|followers? of|workshop of|studio of|school of|manner of|(?:in the )?style of|imitator of|pupil of"
    r"|d'après|atelier de|attribué à|nach|werkstatt(?: des| der| von)?|zugeschrieben|umkreis(?: des| der| von)?)"
)
_BEFORE = re.compile(rf"^\s*{_PHRASE}\s+(?=\S)", re.IGNORECASE)
_BEHIND = re.compile(
    rf"\s*[,(\[]\s*{_PHRASE}\s*[)\]]?\s*$|\s+and (?:studio|workshop|assistants?|others?|other artists)\s*$",
    re.IGNORECASE,
)

# "(Dutch, 1853-1890)", ", 1853-1890", "b. 1930": a year and what follows it is no part of a name.
_DATES = re.compile(
    r"\([^()]*\d{3}[^()]*\)|\[[^\[\]]*\d{3}[^\[\]]*\]"
    r"|[,;]?\s*\b(?:(?:born|died|active|b|d|fl|ca?)\b\.?\s*)*\d{3,4}\b.*$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Artist:
    """Whom a name means.

    Attributes:
        key: equal for every spelling of one name.
        own: False for what is only near the artist ("after", "circle of"): the key is the artist's all the same.
    """

    key: str
    own: bool = True


def parse(name: str | None) -> Artist | None:
    """Return whom a name means; None for nobody (empty, unknown, anonymous).

    Case, accents, punctuation, life dates and the order of words do not matter: "Gogh, Vincent van (1853-1890)" is
    "Vincent van Gogh" and "vincent-van-gogh". Every word counts: "Rembrandt" is not "Rembrandt van Rijn".
    """
    if name is None or is_nobody(_plain(name)):
        return None
    bare = _BEHIND.sub("", _BEFORE.sub("", name))
    key = _key(_DATES.sub(" ", bare)) or _key(bare)
    return Artist(key, own=bare == name) if key and not only_says_nobody(key) else None  # "Ñ/A" is nobody as "N/A" is


def _key(text: str) -> str:
    return " ".join(sorted(re.findall(r"[^\W_]+", _plain(text))))


def _plain(text: str) -> str:
    """Return a text in small letters without accents."""
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return "".join(c for c in decomposed if not unicodedata.combining(c)).translate(_PLAIN)


def nearest(keys: Iterable[str], candidates: Iterable[str]) -> Mapping[str, str]:
    """Return for each key the candidate most like it, where one is similar (`SIMILAR`) at all.

    Most alike is the name whose words agree best in the mean, then the one that leaves fewest words over.
    """
    import duckdb

    with duckdb.connect() as database:
        for table, names in (("wanted", keys), ("offered", candidates)):
            database.execute(
                f"CREATE TABLE {table} AS SELECT key, string_split(key, ' ') AS words FROM (SELECT unnest($1) AS key)",
                [sorted(set(names))],
            )
        closest = database.execute(
            f"""
            WITH pairs AS (
                SELECT wanted.key, offered.key AS other, wanted.words, offered.words AS others,
                       len(wanted.words) <= len(offered.words) AS shorter,
                       abs(len(wanted.words) - len(offered.words)) AS over
                FROM wanted, offered
            ), alike AS (
                SELECT key, other, over, list_transform(
                    CASE WHEN shorter THEN words ELSE others END,
                    lambda word: list_max(list_transform(
                        CASE WHEN shorter THEN others ELSE words END,
                        lambda one: CASE WHEN least(len(word), len(one)) = 1 THEN {INITIAL} * (word[1] = one[1])::INT
                                         ELSE jaro_winkler_similarity(word, one) END))) AS likeness
                FROM pairs
            )
            SELECT key, arg_min(other, (-list_avg(likeness), over, other)) FROM alike
            WHERE list_min(likeness) >= {SIMILAR[0]} AND list_avg(likeness) >= {SIMILAR[1]}
            GROUP BY key ORDER BY key
            """
        ).fetchall()
    return dict(closest)
