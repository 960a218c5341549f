"""The shard plan: which rows of a run's manifest a worker reads, tags and commits together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from artylyze.errors import UsageError

MAX_IMAGES = 1024
"""Images in a shard at most: at 256, dispatching shards alone limits a run to some 8,900 images/s."""

MAX_BYTES = 2 * 10**9
"""Source bytes in a shard at most: with large scans shards have fewer images, so that a crash loses little work."""

MAX_PIXEL_BYTES = 64 * 10**6
"""Bytes of decoded pixels in a shard at most: with a GPU, several shards are in memory between the stages. 425 images
of 224 pixels: dispatching shards then limits a run to some 14,000 images/s."""

MIN_IMAGES = 16
"""Images in a shard of a small collection: with fewer, commits take a notable share of the time."""

SHARDS_PER_WORKER = 6
"""Shards for each worker at least, if the collection is large enough, so that all workers end together."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Rows [start, stop) of a run's manifest, committed as one part."""

    index: int
    start: int
    stop: int

    def __post_init__(self) -> None:
        if self.index < 0 or not 0 <= self.start < self.stop:
            raise ValueError(f"not a shard: {self}")

    @property
    def rows(self) -> int:
        """Number of images."""
        return self.stop - self.start

    @property
    def key(self) -> str:
        """The name of its part below the run's folder."""
        return f"parts/part-{self.index:05d}.parquet"


def shard_size(rows: int, workers: int, side: int) -> int:
    """Choose the number of images in a shard so that each worker gets several.

    Args:
        rows: images of the run.
        workers: that share the shards.
        side: of the decoded square, pixels.
    """
    most = min(MAX_IMAGES, MAX_PIXEL_BYTES // (3 * side**2))
    return max(1, min(most, max(MIN_IMAGES, -(-rows // (workers * SHARDS_PER_WORKER)))))


def known_sizes(sizes: pa.Int64Array) -> npt.NDArray[np.int64]:
    """Return bytes of each image, int64 (rows), the unknown ones with the mean of the others (0 if none is known)."""
    mean = round(pc.mean(sizes).as_py() or 0)
    return np.asarray(sizes.fill_null(mean).to_numpy(zero_copy_only=False), np.int64)


def plan_shards(
    sizes: pa.Int64Array, size: int, first: int = 0, start: int = 0, *, workers: int | None = None
) -> list[Shard]:
    """Cut rows into shards of at most `size` images and MAX_BYTES source bytes (one larger image is a shard alone).

    Args:
        sizes: int64 (rows), bytes of each image, null where unknown (counted as the mean of the others).
        size: images in a shard, at least 1.
        workers: that share the shards: towards the end shards become smaller, so that no worker waits long for the
            last (factoring: Hummel, Schonberg and Flynn, CACM 35(8), 1992). None: all of one size.
        first: index of the first shard.
        start: row of the manifest at which these rows begin.
    """
    if size < 1:
        raise UsageError("A shard holds at least one image.")
    shards: list[Shard] = []
    ends = np.cumsum(known_sizes(sizes), dtype=np.int64)
    begin = 0
    while begin < len(ends):
        before = ends[begin - 1] if begin else 0
        by_bytes = int(np.searchsorted(ends, before + MAX_BYTES, side="right"))
        rows = size if workers is None else min(size, max(MIN_IMAGES, -(-(len(ends) - begin) // (2 * workers))))
        stop = max(begin + 1, min(begin + rows, by_bytes))
        shards.append(Shard(first + len(shards), start + begin, start + stop))
        begin = stop
    return shards
