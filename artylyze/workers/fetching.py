"""Fetch and decode: from the addresses of a shard to batches of pixels, each failure kept as what it is.

Fetching threads run ahead of decoding within a bounded window; each decoder is a supervised child process fed by a
thread of its own; finished batches wait in a short queue, so that memory stays bounded when fetching outruns the rest.
"""

from __future__ import annotations

import itertools
import queue
import threading
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import numpy.typing as npt

from artylyze.errors import ErrorCode, ImageError, StorageError
from artylyze.storage import fetch, reachable
from artylyze.workers.decoder import DecoderProcess, Seen

WINDOW_BYTES = 128 * 2**20
"""Bytes of encoded images that are fetched ahead of decoding, if more than one image is."""

FETCHERS = 8
"""Fetching threads beside each decoder process."""

GROUP, GROUP_BYTES = 16, 2**19
"""Small images, and bytes of them, that one thread fetches in a row: to hand over each costs more than to read it."""

MEAN_BYTES = 2 * 2**20
"""Assumed size of an image whose manifest row does not tell."""

IN_A_ROW = 16
"""Images refused one after the other, after which the canary is asked whether the rest is worth trying."""

_REFUSALS = (ErrorCode.MISSING, ErrorCode.DENIED, ErrorCode.UNREACHABLE)


@dataclass(frozen=True, slots=True)
class Source:
    """Where an image lies: its address, its validator (None: unchecked) and its size in bytes (None: unknown)."""

    uri: str
    validator: str | None = None
    size: int | None = None


@dataclass
class Batch:
    """Images that were read, filled up to `count`.

    Attributes:
        pixels: uint8 (capacity, size, size, 3).
        rows: for each image its row among the sources.
    """

    pixels: npt.NDArray[np.uint8]
    rows: list[int] = field(default_factory=list)

    @property
    def filled(self) -> npt.NDArray[np.uint8]:
        """The pixels of the images that were read, uint8 (n, size, size, 3)."""
        return self.pixels[: len(self.rows)]


class Reader:
    """Fetching threads and decoder processes, kept for shard after shard. Use as a context manager or `close` it.

    Args:
        size: side of the square that images are decoded to, pixels.
        decoders: number of decoder processes.
        fetchers: number of fetching threads.
        deadline: seconds that one image may take to decode.
        canary: address of an object that could be read when the run began: if images are refused and this one too,
            it is the storage that fails and not they.
    """

    def __init__(
        self,
        size: int,
        *,
        decoders: int = 1,
        fetchers: int = FETCHERS,
        deadline: float = 60.0,
        canary: str | None = None,
    ) -> None:
        self.size = size
        self._decoders = [DecoderProcess(size, deadline=deadline) for _ in range(decoders)]
        self._pool = ThreadPoolExecutor(fetchers, thread_name_prefix="artylyze-fetch")
        self._ahead = 2 * fetchers
        self._canary = canary

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the threads and the child processes."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for decoder in self._decoders:
            decoder.close()

    def read(
        self, sources: Sequence[Source], outcomes: list[Seen | ImageError | None], batch_size: int
    ) -> Generator[Batch, None, None]:
        """Yield the images in batches, in no promised order, and write into `outcomes` what was seen of each source.

        Raises:
            StorageError: if sources are refused and the canary too.
        """
        ahead = Fetches(self._pool, sources, self._ahead)
        ready: queue.Queue[Batch | BaseException | None] = queue.Queue(maxsize=2)
        stopped = threading.Event()
        workers = [
            threading.Thread(
                target=self._decode, args=(decoder, ahead, outcomes, batch_size, ready, stopped), daemon=True
            )
            for decoder in self._decoders
        ]
        for worker in workers:
            worker.start()
        try:
            running = len(workers)
            while running:
                found = ready.get()
                if isinstance(found, BaseException):
                    raise found
                if found is None:
                    running -= 1
                elif found.rows:
                    yield found
        finally:
            stopped.set()
            with suppress(queue.Empty):
                while True:
                    ready.get_nowait()
            for worker in workers:
                worker.join()
        Refusals(self._canary).settle(outcomes)

    def _decode(
        self,
        decoder: DecoderProcess,
        ahead: Fetches,
        outcomes: list[Seen | ImageError | None],
        batch_size: int,
        ready: queue.Queue[Batch | BaseException | None],
        stopped: threading.Event,
    ) -> None:
        def hand_over(item: Batch | BaseException | None) -> None:
            while not stopped.is_set():
                with suppress(queue.Full):
                    ready.put(item, timeout=0.2)
                    return

        try:
            batch, refusals = self._empty(batch_size), Refusals(self._canary)
            while not stopped.is_set() and (found := ahead.next()) is not None:
                row = found.row
                try:
                    header = decoder.decode(found.result(), batch.pixels[len(batch.rows)])
                except ImageError as error:
                    outcomes[row] = error
                    refusals.count(error)
                    continue
                refusals.count(None)
                outcomes[row] = header
                batch.rows.append(row)
                if len(batch.rows) == batch_size:
                    hand_over(batch)
                    batch = self._empty(batch_size)
            hand_over(batch)
            hand_over(None)
        except BaseException as error:  # whatever it is, the thread that waits must hear of it
            hand_over(error)

    def _empty(self, batch_size: int) -> Batch:
        return Batch(np.empty((batch_size, self.size, self.size, 3), np.uint8))


class Refusals:
    """Tells storage that refuses everybody from images that are refused.

    Args:
        canary: address of an object that could be read when the run began, None if there is none.
    """

    def __init__(self, canary: str | None) -> None:
        self._canary = canary
        self._in_a_row = 0

    def count(self, error: ImageError | None) -> None:
        """Count what became of an image. Raises StorageError if too many in a row were refused, and the canary too."""
        self._in_a_row = self._in_a_row + 1 if error is not None and error.code in _REFUSALS else 0
        if error is not None and self._in_a_row == IN_A_ROW:
            self._ask(error)

    def settle(self, outcomes: Sequence[Seen | ImageError | None]) -> None:
        """Judge all images of a shard. Raises StorageError if some were refused, and the canary too."""
        refused = [one for one in outcomes if isinstance(one, ImageError) and one.code in _REFUSALS]
        if refused:
            self._ask(refused[-1])

    def _ask(self, error: ImageError) -> None:
        if self._canary is not None and not reachable(self._canary):
            raise StorageError(
                f"The storage refuses every image since a moment ago ({error.detail}). "
                "Restore access, then run the same command again: it resumes."
            )


@dataclass(frozen=True, slots=True)
class Fetch:
    """An image that is being fetched, with its neighbours if they are small.

    Attributes:
        row: of the image among the sources.
        size: bytes that it takes, or is thought to.
        group: what the fetches of the group gave.
        place: of the image in the group.
    """

    row: int
    size: int
    group: Future[list[bytes | memoryview | ImageError]]
    place: int

    def result(self) -> bytes | memoryview:
        """Wait for the fetch and return what it gave. Raises ImageError: as `storage.fetch`."""
        found = self.group.result()[self.place]
        if isinstance(found, ImageError):
            raise found
        return found


class Fetches:
    """Fetches in the order of the sources, a bounded number of images and bytes ahead of whoever takes them."""

    def __init__(self, pool: ThreadPoolExecutor, sources: Sequence[Source], ahead: int) -> None:
        self._pool = pool
        self._sources = sources
        self._ahead = ahead
        self._next = 0
        self._bytes = 0
        self._waiting: deque[Fetch] = deque()
        self._lock = threading.Lock()

    def next(self) -> Fetch | None:
        """Return the next image, None at the end."""
        with self._lock:
            while self._next < len(self._sources) and self._room():
                self._submit(self._group())
            if not self._waiting:
                return None
            taken = self._waiting.popleft()
            self._bytes -= taken.size
            return taken

    def _room(self) -> bool:
        few = len(self._waiting) < self._ahead or self._bytes < self._ahead * GROUP_BYTES
        return not self._waiting or (few and self._bytes < WINDOW_BYTES)

    def _group(self) -> Sequence[Source]:
        """Return the next images for one thread: single ones at first, so that work begins at once, later more."""
        most = min(1 + self._next // self._ahead, GROUP)
        following = self._sources[self._next : self._next + most]
        ends = itertools.accumulate(_size(source) for source in following)
        return following[: max(1, sum(end <= GROUP_BYTES for end in ends))]

    def _submit(self, group: Sequence[Source]) -> None:
        fetched = self._pool.submit(_fetch_all, group)
        for place, source in enumerate(group):
            self._waiting.append(Fetch(self._next, _size(source), fetched, place))
            self._bytes += _size(source)
            self._next += 1


def _size(source: Source) -> int:
    return MEAN_BYTES if source.size is None else source.size


def _fetch_all(group: Sequence[Source]) -> list[bytes | memoryview | ImageError]:
    """Fetch one after the other, each failure in its place."""
    found: list[bytes | memoryview | ImageError] = []
    for source in group:
        try:
            found.append(fetch(source.uri, source.validator))
        except ImageError as error:
            found.append(error)
    return found


def all_of(outcomes: Sequence[Seen | ImageError | None]) -> list[Seen | ImageError]:
    """Return the outcomes of images that were all looked at."""
    found = [one for one in outcomes if one is not None]
    if len(found) < len(outcomes):
        raise AssertionError("an image was neither read nor refused")
    return found
