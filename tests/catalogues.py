"""Catalogues and images for the tests of curation, which reads catalogues and never opens an image."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

Row = dict[str, str]


class Silent:
    """Nobody follows."""

    def say(self, message: str) -> None:
        pass

    def start(self, rows: int, done: int, what: str) -> None:
        pass

    def advance(self, rows: int, errors: int) -> None:
        pass


def table(path: Path, rows: Sequence[Row]) -> str:
    """Write rows as a CSV with the columns of the first, and return its address."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


def pictures(folder: Path, *names: str) -> str:
    """Write files with these names, and return the folder's address."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return str(folder)


def works(counts: Mapping[tuple[str, str], int], task: str = "style") -> list[Row]:
    """Return one row for each work: (artist, term) -> how many, in files 000.jpg, 001.jpg and so on."""
    pairs = [pair for pair, count in counts.items() for _ in range(count)]
    return [{"file": f"{n:03d}.jpg", "artist": artist, task: term} for n, (artist, term) in enumerate(pairs)]
