"""A sheet of a dataset's images with their labels: what a person should look at before a model learns from it."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from artylyze.datasets.classes import random_order
from artylyze.drawing.contact_sheet import Tile, contact_sheet
from artylyze.drawing.thumbnails import read_thumbnails
from artylyze.wording import counted
from artylyze.workers.fetching import Source

if TYPE_CHECKING:
    import pyarrow as pa

LEAST, MOST = 24, 60
"""Images on a sheet: one of each class at least, up to MOST of them; where classes are few, several."""


def sample_sheet(table: pa.Table, tasks: Sequence[str], seed: int) -> bytes:
    """Draw some images of a dataset with their labels, artists and sides. Returns a PNG.

    An image that cannot be read is a grey field that says why.
    """
    chosen = table.take(sample_rows(table, tasks, seed))
    sources = [Source(*row) for row in zip(*(chosen.column(n).to_pylist() for n in _SOURCE), strict=True)]
    tiles = [
        Tile(picture.pixels, picture.aspect, tuple(_caption(row, tasks, picture.why)))
        for row, picture in zip(chosen.to_pylist(), read_thumbnails(sources), strict=True)
    ]
    title = f"{len(tiles):,} of {counted(table.num_rows, 'image')} with their labels, drawn from each class in turn"
    out = io.BytesIO()
    contact_sheet(title, tiles).save(out, "PNG")
    return out.getvalue()


def sample_rows(table: pa.Table, tasks: Sequence[str], seed: int) -> list[int]:
    """Return rows of a sample: from each class of each task in turn, at random, which no order of the rows changes."""
    order = np.argsort(random_order(seed, table.column("image_id").to_pylist()), kind="stable").tolist()
    waiting: dict[tuple[str, str], list[int]] = {}
    for task in tasks:
        terms = table.column(task).to_pylist()
        for row in order:
            if terms[row] is not None:
                waiting.setdefault((task, terms[row]), []).append(row)
    queues = [iter(waiting[key]) for key in sorted(waiting)]
    most = min(max(LEAST, min(MOST, len(queues))), len({row for rows in waiting.values() for row in rows}))
    taken = dict[int, None]()
    while len(taken) < most:
        for queue in queues:
            row = next((row for row in queue if row not in taken), None)
            if row is not None and len(taken) < most:
                taken[row] = None
    return list(taken)


_SOURCE = ("uri", "validator", "size")


def _caption(row: dict[str, object], tasks: Sequence[str], why: str | None) -> Iterator[str]:
    yield from (f"{task}: {row[task] or '-'}" for task in tasks)
    yield f"{row['split']}, {row['artist'] or 'artist unknown'}"
    if why:
        yield why
