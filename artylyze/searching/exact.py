"""The embeddings of few rows, read from the parts: what candidates of an index are compared by in the end."""

from __future__ import annotations

from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from artylyze.errors import InputError
from artylyze.searching.basis import unit
from artylyze.storage import open_store
from artylyze.storage.contract import first_line
from artylyze.workers.supervision import cores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from artylyze.searching.index import Index

CACHE_BYTES = 2**30
"""Bytes of embeddings that are kept between searches."""


class Embeddings:
    """Reads embeddings of the rows of an index, whole row groups at a time, and keeps those that were used last.

    One thread at a time may use it.

    Args:
        index: whose rows are asked for.
        cache_bytes: that are kept, at most; what one call reads may be more.
    """

    def __init__(self, index: Index, cache_bytes: int = CACHE_BYTES) -> None:
        self._index, self._most = index, cache_bytes
        self._store = open_store(index.catalog)
        self._kept: OrderedDict[tuple[int, int], NDArray[np.float32]] = OrderedDict()
        self._starts: dict[int, NDArray[np.int64]] = {}

    def cosines(self, queries: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the cosines between queries, float32 (m, d), and rows (r,), as float32 (m, r)."""
        return np.asarray(unit(queries) @ self.read(rows).T, np.float32)

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the embeddings of rows (r,), divided by their lengths, float32 (r, d).

        Raises:
            InputError: for a part that is damaged.
            StorageError: if the storage refuses or does not answer.
        """
        vectors = np.empty((len(rows), self._index.snapshot.dim), np.float32)
        parts = self._index.part[rows]
        named = {int(part): np.flatnonzero(parts == part) for part in np.unique(parts)}
        with ThreadPoolExecutor(max(1, min(cores(), len(named)))) as pool:
            list(pool.map(lambda part: self._fill(vectors, part, rows, named[part]), named))
        while self._kept and sum(matrix.nbytes for matrix in self._kept.values()) > self._most:
            self._kept.popitem(last=False)
        return vectors

    def _fill(
        self, vectors: NDArray[np.float32], part: int, rows: NDArray[np.int64], places: NDArray[np.int64]
    ) -> None:
        """Write the embeddings of the rows of a part into their places."""
        there = self._index.row[rows[places]]
        starts = self._starts.get(part)
        kept = starts is not None and all((part, group) in self._kept for group in _groups(starts, there))
        if starts is None or not kept:
            starts = self._load(part, there)
        groups = np.searchsorted(starts, there, "right") - 1
        for group in np.unique(groups).tolist():
            self._kept.move_to_end((part, group))
            chosen = groups == group
            vectors[places[chosen]] = self._kept[part, group][there[chosen] - starts[group]]

    def _load(self, part: int, there: NDArray[np.int32]) -> NDArray[np.int64]:
        """Read the row groups that hold some rows of a part; return the row at which each of its groups starts."""
        path = self._index.snapshot.parts[part].path
        try:
            with pq.ParquetFile(self._store.open(path)) as file:
                sizes = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
                starts = np.concatenate([[0], np.cumsum(sizes[:-1], dtype=np.int64)])
                for group in _groups(starts, there):
                    if (part, group) not in self._kept:
                        table = file.read_row_group(group, columns=["embedding"], use_threads=False)
                        self._kept[part, group] = _matrix(table, self._index.snapshot.dim)
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{self._store.uri(path)} is damaged ({first_line(error)}).") from error
        self._starts[part] = starts
        return starts


def _groups(starts: NDArray[np.int64], rows: NDArray[np.int32]) -> list[int]:
    """Return the numbers of the row groups that hold rows of a part."""
    return list(np.unique(np.searchsorted(starts, rows, "right") - 1).tolist())


def _matrix(table: pa.Table, dim: int) -> NDArray[np.float32]:
    """Return the embeddings of all rows, float32 (n, d), divided by their lengths; 0 for a row without one."""
    lists = table.column("embedding").combine_chunks()
    vectors = unit(lists.flatten().to_numpy(zero_copy_only=False).reshape(-1, dim))
    if not lists.null_count:
        return vectors
    matrix = np.zeros((len(lists), dim), np.float32)
    matrix[lists.is_valid().to_numpy(zero_copy_only=False)] = vectors
    return matrix
