"""The index of a catalog in memory: opened, made or mended, and searched.

`open_index` reads the sidecar, makes it where there is none, and indexes what a later snapshot has and it has not.
`nearest` finds rows by it alone; `artylyze.searching.exact` then compares those few by their embeddings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from artylyze.catalog.snapshot import Part, Snapshot, read_snapshot
from artylyze.errors import InputError, StorageError
from artylyze.progress import Watcher
from artylyze.searching import sidecar
from artylyze.searching.basis import Basis
from artylyze.searching.sidecar import DamagedIndexError, Piece, State
from artylyze.storage import Store, open_store
from artylyze.wording import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK = 8_192
"""Rows that are compared at once: as float32 they fit the cache of a core."""

QUERIES = 256
"""Queries that are compared at once."""


@dataclass(frozen=True, eq=False)
class Index:
    """What an index keeps of the embeddings of a snapshot: n rows in snapshot order, of images with an embedding.

    Rows come part by part as catalog.json lists them, and in a part as its Parquet file has them.

    Attributes:
        catalog: address of the catalog.
        snapshot: that was indexed.
        basis: the principal components.
        image_ids: Arrow array of text (n,).
        part: int32 (n,), number of the part in `snapshot.parts`.
        row: int32 (n,), number of the row within that part's Parquet file.
        codes: int8 (n, c), c <= 128; `codes * scales[:, None]` are the coordinates, in the principal components, of the
            embedding of length 1 less the mean.
        scales: float32 (n,).
        offsets: float32 (n,), the product of each embedding of length 1 with the mean.
    """

    catalog: str
    snapshot: Snapshot
    basis: Basis
    image_ids: pa.Array
    part: NDArray[np.int32]
    row: NDArray[np.int32]
    codes: NDArray[np.int8]
    scales: NDArray[np.float32]
    offsets: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.codes)

    def project(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the coordinates of embeddings, float32 (m, d), as float32 (m, c): the queries of `nearest`."""
        return self.basis.project(embeddings)

    def coordinates(self, rows: NDArray[np.int64] | slice) -> NDArray[np.float32]:
        """Return the coordinates of rows as they are kept, float32 (m, c): queries of `nearest` too."""
        return self.codes[rows] * self.scales[rows][:, None]


def open_index(
    catalog: str,
    snapshot: Snapshot | None = None,
    *,
    build: bool = True,
    rebuild: bool = False,
    watcher: Watcher | None = None,
) -> Index:
    """Open the index of a catalog, and make or mend it where it is missing, older than the catalog, or damaged.

    Only parts that it does not have yet are read. Where the catalog cannot be written to, the index is made in memory
    each time.

    Args:
        catalog: its address.
        snapshot: of it; None reads the current one.
        build: whether an index may be made or mended.
        rebuild: whether it is made anew, whatever is there.
        watcher: receives progress.

    Raises:
        InputError: if there is no catalog, if its embeddings are of two models, if a part is damaged; without `build`
            also if there is no index of this snapshot.
        StorageError: if the storage refuses or does not answer.
    """
    store = open_store(catalog)
    snapshot = snapshot or read_snapshot(catalog)
    state, basis = _there(store, snapshot, rebuild, watcher)
    if not build and not sidecar.fits(state, snapshot):
        what = "has no index" if state is None else "has an index of an earlier state of it"
        raise InputError(f"{catalog} {what}: run `artylyze index {catalog}`.")
    pieces = dict(_sound(store, snapshot, state, basis))
    missing = [part for part in snapshot.parts if part.path not in pieces]
    if missing and not build:
        raise InputError(f"The index of {catalog} is damaged: run `artylyze index {catalog}`.")
    sizes = {path: len(piece.rows) for path, piece in pieces.items()}
    basis = basis or sidecar.fit_basis(store, snapshot)
    pieces |= {part.path: piece for part, piece in _mended(store, snapshot, state, basis, sizes, watcher)}
    return _assembled(catalog, snapshot, basis, pieces)


@dataclass(frozen=True)
class Built:
    """What `build_index` did.

    Attributes:
        parts: of the catalog.
        made: of them whose embeddings were read.
        rows: of the index.
        left_out: images that could be read and whose embedding cannot be compared: it is 0 or not finite.
        components: numbers that are kept of an embedding.
        bytes: of the codes, as a search holds them in memory.
    """

    parts: int
    made: int
    rows: int
    left_out: int
    components: int
    bytes: int


def build_index(
    catalog: str, snapshot: Snapshot | None = None, *, rebuild: bool = False, watcher: Watcher | None = None
) -> Built:
    """Make or mend the index of a catalog as `open_index` does, and keep none of it in memory.

    Raises:
        InputError: as `open_index` does.
        StorageError: also if the catalog cannot be written to.
    """
    store = open_store(catalog)
    snapshot = snapshot or read_snapshot(catalog)
    state, basis = _there(store, snapshot, rebuild, watcher)
    sizes = {path: len(piece.rows) for path, piece in _sound(store, snapshot, state, basis)}
    made = len(snapshot.parts) - len(sizes)
    basis = basis or sidecar.fit_basis(store, snapshot)
    for _ in _mended(store, snapshot, state, basis, sizes, watcher, must=True):
        pass
    rows, kept = sum(sizes.values()), len(basis.components)
    return Built(len(snapshot.parts), made, rows, snapshot.ok - rows, kept, rows * (kept + 8))


def _there(
    store: Store, snapshot: Snapshot, rebuild: bool, watcher: Watcher | None
) -> tuple[State | None, Basis | None]:
    """Return what index.json says and the basis, None for one that is not there or does not serve the snapshot."""
    state = sidecar.read_state(store)
    if state is None or rebuild or (state.model_id, state.dim) != (snapshot.model_id, snapshot.dim):
        return state, None
    with suppress(DamagedIndexError):
        basis = sidecar.read_basis(store, state.basis, snapshot.dim)
        return state, None if sidecar.outgrown(basis, snapshot) else basis
    _say(watcher, "The index is damaged: it is made anew.")
    return state, None


def _sound(store: Store, snapshot: Snapshot, state: State | None, basis: Basis | None) -> Iterator[tuple[str, Piece]]:
    """Yield what the index has of the parts of a snapshot, by their paths."""
    if state is not None and basis is not None:
        for part, piece in sidecar.read_pieces(store, state, snapshot.parts, len(basis.components)):
            if piece is not None:
                yield part.path, piece


def _mended(
    store: Store,
    snapshot: Snapshot,
    before: State | None,
    basis: Basis,
    sizes: dict[str, int],
    watcher: Watcher | None,
    *,
    must: bool = False,
) -> Iterator[tuple[Part, Piece]]:
    """Yield each part that `sizes`, rows by path, lacks; write it and enter it there, and in the end write index.json.

    Storage that takes no writes is no hindrance unless the files `must` be written.
    """
    missing = [part for part in snapshot.parts if part.path not in sizes]
    if not missing and sidecar.fits(before, snapshot):
        return
    _say(watcher, _what_is_done(store.url, before, snapshot, missing))
    writable = _written(lambda: sidecar.write_basis(store, basis), must, watcher)
    for part, piece in sidecar.make_pieces(store, snapshot, missing, basis, watcher):
        sizes[part.path] = len(piece.rows)
        if writable:
            put = partial(store.put, f"{sidecar.FOLDER}/{sidecar.piece_key(part, basis)}", sidecar.serialise(piece))
            writable = _written(put, must, watcher)
        yield part, piece
    if writable:
        parts = {part.path: (sidecar.piece_key(part, basis), sizes[part.path]) for part in snapshot.parts}
        state = State(snapshot.run_id, snapshot.model_id, snapshot.dim, sidecar.basis_key(basis), parts)
        _written(partial(sidecar.write_state, store, state, before), must, watcher)


def _what_is_done(catalog: str, state: State | None, snapshot: Snapshot, missing: Sequence[Part]) -> str:
    if state is None:
        return f"Indexing the embeddings of {catalog}."
    if state.model_id != snapshot.model_id:
        return f"The index of {catalog} is of another model: it is made anew."
    parts = f"{counted(len(missing), 'part')} of {len(snapshot.parts):,}"
    if not sidecar.fits(state, snapshot):
        return f"The index of {catalog} is older than the catalog: indexing {parts}."
    return f"Indexing {parts} of {catalog} again."


def _written(write: Callable[[], object], must: bool, watcher: Watcher | None) -> bool:
    try:
        write()
    except (StorageError, OSError) as error:
        if must:
            raise
        _say(watcher, f"The index cannot be kept, and is made again for each search: {error}")
        return False
    return True


def _say(watcher: Watcher | None, message: str) -> None:
    if watcher is not None:
        watcher.say(message)


def _assembled(catalog: str, snapshot: Snapshot, basis: Basis, pieces: dict[str, Piece]) -> Index:
    """Put pieces together, each let go as soon as it is copied."""
    count, kept = sum(len(piece.rows) for piece in pieces.values()), len(basis.components)
    part, row = np.empty(count, np.int32), np.empty(count, np.int32)
    codes, scales, offsets = np.empty((count, kept), np.int8), np.empty(count, np.float32), np.empty(count, np.float32)
    ids: list[pa.Array] = [pa.nulls(0, pa.string())]
    start = 0
    for number, one in enumerate(snapshot.parts):
        piece = pieces.pop(one.path)
        stop = start + len(piece.rows)
        part[start:stop], row[start:stop] = number, piece.rows
        codes[start:stop], scales[start:stop] = piece.encoded.codes, piece.encoded.scales
        offsets[start:stop] = piece.encoded.offsets
        ids.append(piece.image_ids)
        start = stop
    return Index(catalog, snapshot, basis, pa.concat_arrays(ids), part, row, codes, scales, offsets)


def nearest(
    index: Index, queries: NDArray[np.float32], k: int, *, allowed: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Find the rows nearest to queries by what the index keeps of them, without reading an embedding.

    Args:
        index: of n rows.
        queries: coordinates, float32 (m, c), of `Index.project` or `Index.coordinates`.
        k: number of rows for each query.
        allowed: bool (n,), the rows that may be among them; None: all.

    Returns:
        The numbers of rows, int64 (m, k), the nearest first and of equal ones the first first; and approximate cosines,
        float32 (m, k). Those of one query are all too small or too large by the same little: what the components leave
        out of the query is not known. Where there are fewer than k rows, the numbers end in -1 and the cosines in -inf.
    """
    chosen = None if allowed is None else np.flatnonzero(allowed)
    rows, scores = np.full((len(queries), k), -1, np.int64), np.full((len(queries), k), -np.inf, np.float32)
    for start in range(0, len(queries), QUERIES):
        some = slice(start, start + QUERIES)
        rows[some], scores[some] = _nearest(index, queries[some], k, chosen)
    return rows, scores


def scores_of(index: Index, queries: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the approximate cosines of all n rows to queries, float32 (m, c), as float32 (m, n)."""
    scores = np.empty((len(queries), len(index)), np.float32)
    for some, block in _scored(index, queries, None):
        scores[:, some] = block
    return scores + _of_queries(index, queries)


def _nearest(
    index: Index, queries: NDArray[np.float32], k: int, chosen: NDArray[np.int64] | None
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    best = _Best(len(queries), k)
    for rows, scores in _scored(index, queries, chosen):
        best.add(scores, rows)
    return best.rows, best.scores + _of_queries(index, queries)


def _scored(
    index: Index, queries: NDArray[np.float32], chosen: NDArray[np.int64] | None
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Yield blocks of rows, ascending, and what is known of their cosines to queries, float32 (m, b)."""
    count = len(index) if chosen is None else len(chosen)
    block = np.empty((min(BLOCK, count), index.codes.shape[1]), np.float32)
    for start in range(0, count, BLOCK):
        stop = min(count, start + BLOCK)
        taken = slice(start, stop) if chosen is None else chosen[start:stop]
        rows = block[: stop - start]
        np.copyto(rows, index.codes[taken])
        scores = queries @ rows.T
        scores *= index.scales[taken]
        scores += index.offsets[taken]
        yield np.arange(start, stop) if chosen is None else chosen[start:stop], scores


def _of_queries(index: Index, queries: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what is to be added to the scores of each query to make cosines of them, float32 (m, 1).

    It follows from the length of the coordinates, and from the mean of what the components leave out.
    """
    mean, own = index.basis.mean, np.einsum("ij,ij->i", queries, queries)
    return np.asarray((1 - float(mean @ mean) - own - index.basis.outside) / 2, np.float32)[:, None]


class _Best:
    """The k rows with the greatest scores for each of m queries, of blocks that come one after the other."""

    def __init__(self, queries: int, k: int) -> None:
        self.rows = np.full((queries, k), -1, np.int64)
        self.scores = np.full((queries, k), -np.inf, np.float32)

    def add(self, scores: NDArray[np.float32], rows: NDArray[np.int64]) -> None:
        """Take the scores (m, b) of further rows (b,), in ascending order."""
        count, k = self.rows.shape
        if k == 0:
            return
        better = scores > self.scores[:, -1:]
        most = int(better.sum(axis=1).max(initial=0))
        if not most:
            return
        if most > 4 * k:  # the first blocks: only what can stay
            limits = -np.partition(-scores, k - 1, axis=1)[:, k - 1 : k]
            better &= scores >= limits
        query, place = np.nonzero(better)
        query = np.concatenate([np.repeat(np.arange(count), k), query])
        found = np.concatenate([self.scores.ravel(), scores[better]])
        number = np.concatenate([self.rows.ravel(), rows[place]])
        order = np.lexsort((number, -found, query))
        starts = np.searchsorted(query[order], np.arange(count))
        kept = order[starts[:, None] + np.arange(k)]
        self.rows, self.scores = number[kept], found[kept]


def describe(catalog: str, built: Built) -> str:
    """Return in a sentence or two what `build_index` did."""
    done = f"{built.made:,} of {counted(built.parts, 'part')} read" if built.made else "nothing has changed"
    out = f" {counted(built.left_out, 'embedding')} cannot be compared: 0, or not finite." if built.left_out else ""
    return f"The index of {catalog} has {counted(built.rows, 'work')} ({built.bytes / 1e6:,.1f} MB), {done}.{out}"
