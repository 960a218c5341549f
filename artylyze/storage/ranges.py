"""An object of a bucket as a file for random access: what Parquet readers want."""

from __future__ import annotations

import io
from typing import Any

from artylyze.errors import StorageError
from artylyze.storage.contract import first_line

BUFFER = 2**20
"""Bytes that a ranged request asks for at least."""


class RangeReader(io.RawIOBase):
    """Reads ranges of one object. obstore's own reader lacks `closed`: pyarrow takes it for a file that was closed.

    Raises what obstore raises on construction (no such object), StorageError on reading.
    """

    def __init__(self, store: Any, name: str) -> None:
        import obstore

        self._store, self._name = store, name
        self._size: int = obstore.head(store, name)["size"]
        self._at = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """Return the position, bytes."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move the position and return it."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer from the position on; return the number of bytes, 0 at the end."""
        import obstore

        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self._size - self._at))
        if count:
            try:
                view[:count] = obstore.get_range(self._store, self._name, start=self._at, length=count)
            except (obstore.exceptions.BaseError, OSError) as error:
                raise StorageError(f"{self._name} cannot be read any more: {first_line(error)}.") from error
            self._at += count
        return count


def open_ranges(store: Any, name: str) -> io.BufferedReader:
    """Open an object of an obstore store for random access."""
    return io.BufferedReader(RangeReader(store, name), BUFFER)
