"""A small labelled collection for the tests of training: what is red or blue, plain or striped, is easily learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from artylyze.datasets.dataset import Dataset, schema, write_dataset

GENRES, STYLES, ARTISTS = ("landscape", "portrait"), ("Cubism", "Impressionism"), 6


@dataclass
class Listener:
    """Who follows a training, and remembers it."""

    said: list[str] = field(default_factory=list)
    rows: int = 0
    done: int = 0

    def say(self, message: str) -> None:
        self.said.append(message)

    def start(self, rows: int, done: int, what: str) -> None:  # noqa: ARG002 - the interface
        self.rows, self.done = rows, done

    def advance(self, rows: int, errors: int) -> None:  # noqa: ARG002 - the protocol's
        self.done += rows


def paint(path: Path, number: int, side: int = 72) -> None:
    """Write picture `number`: red or blue by its genre, plain or striped by its style."""
    genre, style = kinds(number)
    pixels = np.random.default_rng(number).integers(0, 60, (side, side, 3))
    pixels[:, :, 0 if genre == GENRES[0] else 2] += 160
    if style == STYLES[1]:
        pixels[:, ::4] //= 4
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def kinds(number: int) -> tuple[str, str]:
    """The genre and the style of picture `number`."""
    return GENRES[number % 2], STYLES[number // 2 % 2]


def collection(folder: Path, count: int, *, unreadable: Sequence[int] = (), artists: int = ARTISTS) -> Dataset:
    """Write pictures and their dataset, `folder`/dataset.parquet: a quarter of them is the test split.

    Each artist has works of every genre and style, and is in one split; every fifth picture has no style.
    `artists` is a multiple of `ARTISTS`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[Mapping[str, object]] = []
    for number in range(count):
        path = folder / f"{number:03d}.png"
        paint(path, number)
        if number in unreadable:
            path.write_bytes(path.read_bytes()[:90])
        genre, style = kinds(number)
        artist = f"artist {number // 4 % artists}"
        rows.append(
            {
                "image_id": path.name,
                "record_id": path.stem,
                "uri": str(path),
                "size": path.stat().st_size,
                "artist": artist.title(),
                "group": artist,
                "split": "test" if number // 4 % ARTISTS in (0, 1) and count > 30 else "train",
                "genre": genre,
                "style": None if number % 5 == 0 else style,
            }
        )
    tasks = {"genre": GENRES, "style": STYLES}
    table = pa.Table.from_pylist(rows, schema=schema(list(tasks)))
    return write_dataset(str(folder / "dataset.parquet"), table, tasks, {"seed": 0})
