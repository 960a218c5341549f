"""The comparison of pairs by their images: read in blocks, so that memory does not grow with the collection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from threadpoolctl import threadpool_limits

from artylyze.duplication.likeness import SIDE
from artylyze.duplication.reasons import Reason, compare
from artylyze.duplication.signatures import decoders, sources
from artylyze.duplication.store import Verdict
from artylyze.errors import ImageError
from artylyze.progress import Watcher
from artylyze.storage import fetch
from artylyze.workers.fetching import Source
from artylyze.workers.protocol import Seen
from artylyze.workers.reading import Reader

BLOCK = 2_000
"""Images that are held at once, about 100 kB each."""

LARGEST_FILE = 2**28
"""Bytes of a file above which it is not asked whether another has the same."""

_TOGETHER = 16
Squares = npt.NDArray[np.uint8]
Key = tuple[int, int, int]
"""Rows of two images, and the transform of the second."""


@dataclass
class Confirmed:
    """What comparisons say.

    Attributes:
        verdicts: of each pair that could be compared.
        unread: why images could not be read, by row.
    """

    verdicts: dict[Key, Verdict] = field(default_factory=dict)
    unread: dict[int, str] = field(default_factory=dict)


def confirm(keys: Sequence[Key], images: pa.Table, aspects: npt.NDArray[np.float32], watcher: Watcher) -> Confirmed:
    """Compare pairs of images.

    Args:
        keys: the pairs.
        images: of the catalog: uri, validator.
        aspects: of each image, width over height.
        watcher: receives the number of images read.
    """
    confirmed = Confirmed()
    if not keys:
        return confirmed
    blocks = list(_blocks(_by_component(keys, len(aspects))))
    watcher.start(sum(len(rows) for rows, _ in blocks), 0, "comparing")
    threads = threadpool_limits(1)  # the matrices of a pair are small
    with threads, Reader(SIDE, decoders=decoders()) as reader, ThreadPoolExecutor(decoders()) as pool:
        for rows, some in blocks:
            pictures = _read(reader, images, rows, confirmed.unread, watcher)
            ready = [key for key in some if key[0] in pictures and key[1] in pictures]

            def look(key: Key, pictures: Mapping[int, Squares] = pictures) -> Verdict:
                first, second, transform = key
                one, other = pictures[first], pictures[second]
                if not transform and np.array_equal(one, other) and _same_bytes(sources(images, (first, second))):
                    return Reason.FILE, 1.0
                aspect = float(aspects[second])
                return compare(one, other, transform, (1 / aspect if transform % 2 else aspect) / float(aspects[first]))

            confirmed.verdicts |= dict(zip(ready, pool.map(look, ready), strict=True))
    return confirmed


def _read(
    reader: Reader, images: pa.Table, rows: Sequence[int], unread: dict[int, str], watcher: Watcher
) -> dict[int, Squares]:
    """The pictures of some rows, uint8 (180, 180, 3); why others could not be read is noted."""
    outcomes: list[Seen | ImageError | None] = [None] * len(rows)
    pictures: dict[int, Squares] = {}
    for batch in reader.read(sources(images, rows), outcomes, _TOGETHER):
        pictures |= {rows[place]: picture for place, picture in zip(batch.rows, batch.filled.copy(), strict=True)}
        watcher.advance(len(batch.rows), 0)
    failed = {row: str(one.code) for row, one in zip(rows, outcomes, strict=True) if isinstance(one, ImageError)}
    watcher.advance(len(failed), len(failed))
    unread |= failed
    return pictures


def _by_component(keys: Sequence[Key], count: int) -> list[Key]:
    """Pairs with those that they are connected with next to them, so that most images are read once."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first, second = np.array([key[:2] for key in keys]).T
    graph = coo_array((np.ones(len(keys), bool), (first, second)), shape=(count, count))
    component = connected_components(graph, directed=False)[1]
    return sorted(keys, key=lambda key: (component[key[0]], key))


def _blocks(keys: Sequence[Key]) -> Iterator[tuple[list[int], list[Key]]]:
    """Cut pairs into blocks with few enough images: their rows, and the pairs."""
    rows: set[int] = set()
    some: list[Key] = []
    for key in keys:
        if some and len(rows | set(key[:2])) > BLOCK:
            yield sorted(rows), some
            rows, some = set(), []
        rows |= set(key[:2])
        some.append(key)
    if some:
        yield sorted(rows), some


def _same_bytes(pair: Sequence[Source]) -> bool:
    """Whether two files are the same, by their validators or sizes where those say it, else byte by byte."""
    first, second = pair
    if first.page != second.page:
        return False
    marks = [source.validator or "" for source in pair]
    if marks[0] == marks[1] and marks[0].startswith("etag:"):
        return True
    sizes = [mark.rpartition(":")[2] for mark in marks if mark.startswith("mtime:")]
    if len(sizes) == 2 and sizes[0] != sizes[1]:
        return False
    try:
        return _digest(first) == _digest(second)
    except ImageError:
        return False


def _digest(source: Source) -> bytes:
    return sha256(fetch(source.uri, source.validator, LARGEST_FILE)).digest()
