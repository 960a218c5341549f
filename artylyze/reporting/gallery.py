"""The report's pictures: some works across the catalog, with their titles, so that a reader sees what it is of."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artylyze.catalog.snapshot import Snapshot, read_parts
from artylyze.drawing.thumbnails import read_thumbnails
from artylyze.profiling.columns import describe
from artylyze.profiling.works import join_descriptions
from artylyze.reporting.content import Work, picture_of, tag_of
from artylyze.workers.fetching import Source

WORKS = 24
"""Works that are shown, evenly spread over the catalog."""


def gallery(catalog: str, snapshot: Snapshot) -> tuple[Work, ...]:
    """Return works across a catalog with their pictures, titles and artists, and the tags that they were given.

    Reads the parts that hold them, and nothing else: at most WORKS of them.
    """
    if not snapshot.ok:
        return ()
    rows = _spread(catalog, snapshot)
    described = describe(join_descriptions(rows, ())[0], rows.num_rows, {}, None)
    pictures = read_thumbnails([Source(row["uri"], row["validator"]) for row in rows.to_pylist()])
    works = []
    for row, title, artist, thumbnail in zip(
        rows.to_pylist(), described.titles, described.artists, pictures, strict=True
    ):
        tags = tuple(tag_of(row, task) for task in snapshot.tasks)
        name = title or row["record_id"]
        alt = ", ".join(text for text in (name, artist, thumbnail.why) if text)
        works.append(Work(picture_of(thumbnail, alt), name, (*([artist] if artist else []), *tags)))
    return tuple(works)


def _spread(catalog: str, snapshot: Snapshot) -> pa.Table:
    """Return catalog rows with an embedding, evenly spread over the snapshot's parts."""
    ends = list(accumulate(part.ok for part in snapshot.parts))
    wanted = np.unique(np.linspace(0, snapshot.ok - 1, WORKS).astype(np.int64))
    holder = np.searchsorted(ends, wanted, side="right")
    parts = [snapshot.parts[number] for number in np.unique(holder)]
    scores = [f"{task}_score" for task in snapshot.tasks]
    names = ["image_id", "record_id", "uri", "validator", "status", *snapshot.tasks, *scores, "metadata"]
    pieces = []
    for number, (_, table) in zip(np.unique(holder), read_parts(catalog, parts, names), strict=True):
        good = table.filter(pc.equal(table.column("status"), "ok"))
        first = ends[number] - snapshot.parts[number].ok
        pieces.append(good.take(pa.array(wanted[holder == number] - first)))
    return _joined(pieces)


def _joined(pieces: Sequence[pa.Table]) -> pa.Table:
    return pa.concat_tables(pieces, promote_options="default").combine_chunks().sort_by("image_id")
