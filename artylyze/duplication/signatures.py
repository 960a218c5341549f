"""What is kept of each image to compare it by: a small map of its luminance, and the hashes of that.

Maps come from the thumbnails of the catalog where it has them, else from the images. A fresh comparison reads each
once; an update takes those of unchanged images from the last one.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from artylyze.catalog.snapshot import Snapshot, read_parts
from artylyze.duplication.alignment import COARSE, reduced
from artylyze.duplication.hashes import perceptual_hashes
from artylyze.duplication.likeness import luminance
from artylyze.errors import ImageError
from artylyze.progress import Watcher
from artylyze.workers.fetching import Source
from artylyze.workers.protocol import Seen
from artylyze.workers.reading import Reader

BLANK = 3.0
"""Grey levels: standard deviation of a map below which its hash says nothing."""

COLUMNS = ("image_id", "record_id", "uri", "validator", "width", "height", "format")

_TOGETHER = 16
_READ_AT = 64  # pixels of a side at which images are decoded for their maps
Squares = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Signatures:
    """The images of a catalog, in image_id order, n of them, and what they are compared by.

    Attributes:
        images: image_id, record_id, uri, validator, width, height, format.
        maps: uint8 (n, 32, 32), luminance of the whole squeezed into a square; 0 where `read` is false.
        read: bool (n,), whether there is a map.
        unread: why others could not be read, by row.
    """

    images: pa.Table
    maps: Squares
    read: npt.NDArray[np.bool_]
    unread: Mapping[int, str]

    @property
    def usable(self) -> npt.NDArray[np.bool_]:
        """Whether the hash of an image says something, bool (n,)."""
        usable: npt.NDArray[np.bool_] = self.read & (self.maps.std(axis=(1, 2)) >= BLANK)
        return usable

    def aspects(self) -> npt.NDArray[np.float32]:
        """Width over height of each image, float32 (n,)."""
        width, height = (np.asarray(self.images.column(name).to_numpy(), np.float32) for name in ("width", "height"))
        return np.asarray(width / np.maximum(height, 1), np.float32)

    def hashes(self) -> npt.NDArray[np.uint64]:
        """The hashes of each image after each transform, uint64 (n, 8)."""
        return np.concatenate(
            [np.zeros((0, 8), np.uint64)]
            + [
                perceptual_hashes(self.maps[start : start + 1024].astype(np.float32))
                for start in range(0, len(self.maps), 1024)
            ]
        )


def read_images(catalog: str, snapshot: Snapshot) -> tuple[pa.Table, npt.NDArray[np.int64]]:
    """Read what identifies the images that could be read, in image_id order, and the place of each in the snapshot.

    Places count the images that could be read, in the order of parts and rows.
    """
    tables = [
        table.filter(pc.equal(table.column("status"), "ok")).select(COLUMNS)
        for _, table in read_parts(catalog, snapshot.parts, [*COLUMNS, "status"])
    ]
    images = pa.concat_tables(tables, promote_options="permissive").combine_chunks()
    order = pc.sort_indices(images, [("image_id", "ascending")])
    return images.take(order), order.to_numpy().astype(np.int64)


def signatures(
    catalog: str,
    snapshot: Snapshot,
    images: pa.Table,
    places: npt.NDArray[np.int64],
    known: Mapping[int, npt.NDArray[np.uint8]],
    watcher: Watcher,
) -> Signatures:
    """Make the maps of images, but for those that are known by row."""
    count = images.num_rows
    maps, read = np.zeros((count, COARSE, COARSE), np.uint8), np.zeros(count, bool)
    for row, known_map in known.items():
        maps[row], read[row] = known_map, True
    _from_thumbnails(catalog, snapshot, places, maps, read)
    unread: dict[int, str] = {}
    if missing := [int(row) for row in np.flatnonzero(~read)]:
        watcher.start(count, count - len(missing), "reading")
        unread = _from_images(images, missing, maps, read, watcher)
    return Signatures(images, maps, read, unread)


def sources(images: pa.Table, rows: Sequence[int]) -> list[Source]:
    """Where some images lie."""
    chosen = images.take(pa.array(rows, pa.int64()))
    pairs = zip(chosen.column("uri").to_pylist(), chosen.column("validator").to_pylist(), strict=True)
    return [Source(uri, validator) for uri, validator in pairs]


def decoders() -> int:
    """Child processes that decode: as many as there are cores."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _from_thumbnails(
    catalog: str, snapshot: Snapshot, places: npt.NDArray[np.int64], maps: Squares, read: npt.NDArray[np.bool_]
) -> None:
    """Fill in the maps of images that have a thumbnail in the catalog and are not read yet."""
    row_of = np.empty(len(places), np.int64)
    row_of[places] = np.arange(len(places))
    place = 0
    with ThreadPoolExecutor(decoders()) as pool:
        for part, table in read_parts(catalog, snapshot.parts, ["status", "thumbnail"]):
            rows = row_of[place : place + part.ok]
            place += part.ok
            if "thumbnail" not in table.column_names or read[rows].all():
                continue
            thumbnails = table.filter(pc.equal(table.column("status"), "ok")).column("thumbnail")
            wanted = np.flatnonzero(~read[rows])
            some = thumbnails.take(pa.array(wanted)).to_pylist()
            for row, made in zip(rows[wanted], pool.map(_map_of_jpeg, some, chunksize=64), strict=True):
                if made is not None:
                    maps[row], read[row] = made, True


def _map_of_jpeg(data: bytes | None) -> Squares | None:
    """The map of a thumbnail, None where there is none that can be decoded."""
    if not data:
        return None
    try:
        with Image.open(io.BytesIO(data)) as file:
            file.draft("L", (_READ_AT, _READ_AT))
            small = file.convert("L").resize((COARSE, COARSE), Image.Resampling.BOX)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    return np.asarray(small)


def _from_images(
    images: pa.Table, rows: Sequence[int], maps: Squares, read: npt.NDArray[np.bool_], watcher: Watcher
) -> dict[int, str]:
    """Fill in the maps of images from the images themselves; return why some could not be read, by row."""
    outcomes: list[Seen | ImageError | None] = [None] * len(rows)
    with Reader(_READ_AT, decoders=decoders()) as reader:
        for batch in reader.read(sources(images, rows), outcomes, _TOGETHER):
            for place, picture in zip(batch.rows, batch.filled, strict=True):
                small = np.rint(reduced(luminance(picture), COARSE)).astype(np.uint8)
                maps[rows[place]], read[rows[place]] = small, True
            watcher.advance(len(batch.rows), 0)
    failed = {
        row: str(outcome.code) for row, outcome in zip(rows, outcomes, strict=True) if isinstance(outcome, ImageError)
    }
    watcher.advance(len(failed), len(failed))
    return failed
