"""Numbers and names in messages: singular and plural, shortened text."""

from __future__ import annotations


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun: "1 row", "1,200 rows", "3 classes" (where the plural is given)."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def shortened(text: str, length: int = 60) -> str:
    """Return a text in one line of at most `length` characters, for a message: no control characters."""
    line = " ".join(text[: 2 * length + 200].split())
    line = "".join(letter if letter.isprintable() else "\ufffd" for letter in line)
    return line if len(line) <= length else line[: length - 3] + "..."
