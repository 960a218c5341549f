"""The originals of works as images that a browser shows."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from typing import Any

from PIL import Image

from artylyze.errors import ErrorCode, ImageError
from artylyze.exploring.works import Works
from artylyze.storage import fetch
from artylyze.workers.fetching import Source
from artylyze.workers.protocol import Seen
from artylyze.workers.reading import Reader

LONGEST = 2048
"""Longest side of an image that is served, pixels."""

LARGEST = 2**22
"""Bytes of an original that is served as it is."""

KEPT = 32
"""Images that are kept, since a person looks at some again."""

_SHOWN = {"JPEG": "image/jpeg", "PNG": "image/png", "GIF": "image/gif", "WEBP": "image/webp"}


class Originals:
    """Reads the originals of a catalog's works, in a child process where they must be decoded. For several threads.

    Args:
        works: of the catalog.
    """

    def __init__(self, works: Works) -> None:
        self._works = works
        self._reader: Reader | None = None
        self._kept: OrderedDict[int, tuple[bytes, str]] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, row: int) -> tuple[bytes, str]:
        """Return the image of a work, its longest side at most LONGEST pixels, and its media type.

        Raises:
            ImageError: if there is no such work, or its image cannot be had or decoded.
        """
        if not 0 <= row < len(self._works):
            raise ImageError(ErrorCode.MISSING, f"there is no work {row}")
        with self._lock:
            if row in self._kept:
                self._kept.move_to_end(row)
                return self._kept[row]
            found = self._read(row)
            self._kept[row] = found
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
            return found

    def close(self) -> None:
        """End the child process."""
        with self._lock:
            if self._reader is not None:
                self._reader.close()
                self._reader = None

    def _read(self, row: int) -> tuple[bytes, str]:
        work: dict[str, Any] = self._works.rows.take(
            [row], ["uri", "validator", "width", "height", "format"]
        ).to_pylist()[0]
        small = work["width"] and max(work["width"], work["height"]) <= LONGEST
        if small and work["format"] in _SHOWN:
            data = bytes(fetch(work["uri"], work["validator"]))
            if len(data) <= LARGEST:
                return data, _SHOWN[work["format"]]
        return self._decoded(Source(work["uri"], work["validator"])), "image/jpeg"

    def _decoded(self, source: Source) -> bytes:
        if self._reader is None:
            self._reader = Reader(LONGEST, fetchers=1)
        outcomes: list[Seen | ImageError | None] = [None]
        batches = [batch.filled.copy() for batch in self._reader.read([source], outcomes, 1)]
        seen = outcomes[0]
        if not isinstance(seen, Seen) or not batches:
            raise seen if isinstance(seen, ImageError) else ImageError(ErrorCode.UNREACHABLE, "it was not read")
        scale = min(1.0, LONGEST / max(seen.width, seen.height))
        size = max(1, round(seen.width * scale)), max(1, round(seen.height * scale))
        out = io.BytesIO()
        Image.fromarray(batches[0][0]).resize(size, Image.Resampling.LANCZOS).save(out, "JPEG", quality=90)
        return out.getvalue()
