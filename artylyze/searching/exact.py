"""The embeddings of few rows, read from the parts: what candidates of an index are compared by in the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from artylyze.searching.basis import unit
from artylyze.searching.light import as_numpy
from artylyze.searching.row_groups import RowGroups

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from artylyze.searching.index import Index

CACHE_BYTES = 2**30
"""Bytes of embeddings that are kept between searches."""


class Embeddings:
    """Reads embeddings of the rows of an index, whole row groups at a time. One thread at a time may use it.

    Args:
        index: whose rows are asked for.
        cache_bytes: that are kept, at most; what one call reads may be more.
    """

    def __init__(self, index: Index, cache_bytes: int = CACHE_BYTES) -> None:
        self._index = index
        dim = index.snapshot.dim

        def load(file: pq.ParquetFile, group: int) -> NDArray[np.float32]:
            return _matrix(file.read_row_group(group, columns=["embedding"], use_threads=False), dim)

        self._groups = RowGroups(index.catalog, index.snapshot, load, lambda matrix: matrix.nbytes, cache_bytes)

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
        parts, numbers = self._index.part[rows].astype(np.int64), self._index.row[rows].astype(np.int64)
        for places, matrix, inside in self._groups.holding(parts, numbers):
            vectors[places] = matrix[inside]
        return vectors


def _matrix(table: pa.Table, dim: int) -> NDArray[np.float32]:
    """Return the embeddings of all rows, float32 (n, d), divided by their lengths; 0 for a row without one."""
    lists = table.column("embedding").combine_chunks()
    vectors = unit(as_numpy(lists.flatten()).reshape(-1, dim))
    if not lists.null_count:
        return vectors
    matrix = np.zeros((len(lists), dim), np.float32)
    matrix[as_numpy(pc.indices_nonzero(lists.is_valid()))] = vectors
    return matrix
