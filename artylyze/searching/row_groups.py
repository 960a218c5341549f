"""Row groups of the parts of a catalog, each read once and kept while there is room: searches want few rows of many."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from artylyze.catalog.snapshot import Snapshot
from artylyze.errors import InputError
from artylyze.storage import open_store
from artylyze.storage.contract import first_line

if TYPE_CHECKING:
    from numpy.typing import NDArray

T = TypeVar("T")

READERS = 8
"""Parts that are read side by side: of one in object storage most of the time is waiting."""


class RowGroups(Generic[T]):
    """Reads row groups and keeps those that were used last. One thread at a time may use it.

    Args:
        catalog: its address.
        snapshot: whose rows are asked for.
        load: returns what is kept of a row group, from the file and the number of the group.
        size: returns its bytes.
        most: bytes that are kept, at most; what one call reads may be more.
    """

    def __init__(
        self,
        catalog: str,
        snapshot: Snapshot,
        load: Callable[[pq.ParquetFile, int], T],
        size: Callable[[T], int],
        most: int,
    ) -> None:
        self._store, self._snapshot = open_store(catalog), snapshot
        self._load, self._size, self._most = load, size, most
        self._kept: OrderedDict[tuple[int, int], tuple[T, int]] = OrderedDict()  # with its bytes
        self._starts: dict[int, NDArray[np.int64]] = {}

    def holding(
        self, parts: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.int64], T, NDArray[np.int64]]]:
        """Yield the row groups that hold some rows.

        Args:
            parts: numbers of the rows' parts, (r,).
            rows: their numbers in these, (r,).

        Returns:
            Of each row group the places of its rows among the r, what is kept of it, and their numbers in it.

        Raises:
            InputError: for a part that is damaged.
            StorageError: if the storage refuses or does not answer.
        """
        named = {int(part): np.flatnonzero(parts == part) for part in np.unique(parts)}
        missing = [part for part, places in named.items() if not self._has(part, rows[places])]
        if missing:
            with ThreadPoolExecutor(READERS) as pool:
                list(pool.map(lambda part: self._read(part, rows[named[part]]), missing))
        for part, places in named.items():
            starts = self._starts[part]
            groups = np.searchsorted(starts, rows[places], "right") - 1
            for group in np.unique(groups).tolist():
                self._kept.move_to_end((part, group))
                chosen = places[groups == group]
                yield chosen, self._kept[part, group][0], rows[chosen] - starts[group]
        total = sum(size for _, size in self._kept.values())
        while total > self._most:
            total -= self._kept.popitem(last=False)[1][1]

    def _has(self, part: int, rows: NDArray[np.int64]) -> bool:
        starts = self._starts.get(part)
        return starts is not None and all((part, group) in self._kept for group in _groups(starts, rows))

    def _read(self, part: int, rows: NDArray[np.int64]) -> None:
        """Read the row groups that hold some rows of a part, and note at which row each of its groups starts."""
        path = self._snapshot.parts[part].path
        try:
            with pq.ParquetFile(self._store.open(path)) as file:
                sizes = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
                self._starts[part] = np.concatenate([[0], np.cumsum(sizes[:-1], dtype=np.int64)])
                for group in _groups(self._starts[part], rows):
                    if (part, group) not in self._kept:
                        loaded = self._load(file, group)
                        self._kept[part, group] = loaded, self._size(loaded)
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{self._store.uri(path)} is damaged ({first_line(error)}).") from error


def _groups(starts: NDArray[np.int64], rows: NDArray[np.int64]) -> list[int]:
    """Return the numbers of the row groups that hold rows of a part."""
    return list(np.unique(np.searchsorted(starts, rows, "right") - 1).tolist())
