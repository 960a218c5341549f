"""The year of a work from what a catalogue says of its date, for a timeline: one number, however it is written."""

from __future__ import annotations

import re

UNKNOWN = -32_768
"""In an int16 column: no year is known."""

_FOUR = re.compile(r"(?<!\d)(?:1\d{3}|20\d{2})(?!\d)")
_EARLY = re.compile(r"(?<!\d)[1-9]\d{1,2}(?!\d)")
_BEFORE_CHRIST = re.compile(r"\bB\.? ?C\b|\bBCE\b|\bv\. ?(?:Chr|u\. ?Z)|\bav\. ?J|\ba\. ?C\b", re.IGNORECASE)
_ROMAN = {"i": 1, "v": 5, "x": 10}
_CENTURY = re.compile(
    r"(?<!\w)(?:(?P<number>\d{1,2})(?:st|nd|rd|th|e|ème|eme|\.|°|º)?|(?P<roman>[ivx]+)(?:e|ème|eme|\.|°|º)?)[ -]*"
    r"(?:century|centuries|cent\b|c\.(?= |$)|jahrhundert|jh|siècle|siecle|s\.(?= |$)|secolo|siglo|eeuw)",
    re.IGNORECASE,
)
_PARTS = (
    (
        re.compile(r"\bearly\b|\banfang|\bdébut|\bfirst half|\b1\. hälfte|\berste hälfte|\b1re moitié", re.IGNORECASE),
        25,
    ),
    (
        re.compile(r"\blate\b|\bende\b|\bfin\b|\bsecond half|\b2\. hälfte|\bzweite hälfte|\b2e moitié", re.IGNORECASE),
        75,
    ),
)


def year_in(text: str) -> int:
    """Return the first year in a text, negative before Christ; of a century its middle; UNKNOWN where there is none.

    Examples:
        >>> [year_in(text) for text in ("c. 1665-67", "17. Jahrhundert", "late 15th century", "500 BC", "undated")]
        [1665, 1650, 1475, -500, -32768]
    """
    before = _BEFORE_CHRIST.search(text) is not None
    if not before and (found := _FOUR.search(text)):
        return int(found[0])
    if century := _CENTURY.search(text):
        number = int(century["number"]) if century["number"] else _roman(century["roman"])
        if 1 <= number <= 40:
            within = next((year for pattern, year in _PARTS if pattern.search(text)), 50)
            return within - 100 * number if before else 100 * (number - 1) + within
    if found := (_FOUR.search(text) or _EARLY.search(text) if before else _early(text)):
        return -int(found[0]) if before else int(found[0])
    return UNKNOWN


def _early(text: str) -> re.Match[str] | None:
    """A year of three figures, where a text has no other number: several may be measures."""
    found = re.findall(r"\d+", text)
    return re.search(r"(?<!\d)[3-9]\d{2}(?!\d)", text) if len(found) == 1 else None


def _roman(text: str) -> int:
    values = [_ROMAN[letter] for letter in text.lower()]
    return sum(
        -value if value < following else value for value, following in zip(values, [*values[1:], 0], strict=True)
    )
