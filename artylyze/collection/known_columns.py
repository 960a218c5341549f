"""Names under which collections keep titles and artists, in the languages that were seen so far."""

from __future__ import annotations

ARTIST = ("artist", "artistname", "artists", "creator", "maker", "painter", "author")
"""Columns of artists, by their folded names."""

TITLE = ("title", "objecttitle", "titel", "titre", "titolo", "name")
"""Columns of titles, by their folded names."""

CONTENT = (
    *ARTIST,
    *("genre", "style", "movement", "school", "period", "epoch", "culture", "nationality", "subject", "subjects"),
    *("theme", "classification", "category", "objecttype", "type", "medium", "material", "technique", "place"),
)
"""Columns that say what a work is, by their folded names; others may say where a file came from."""


def folded(name: str) -> str:
    """Return the letters and digits of a column's name, by which `Artist Name` is `artist_name`."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())
