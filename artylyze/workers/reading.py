"""From the addresses of images to batches of pixels: threads fetch, child processes decode, each fed by a thread.

Finished batches wait in a short queue, so that memory stays bounded when fetching outruns the rest.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import numpy.typing as npt

from artylyze.errors import ImageError
from artylyze.workers.fetching import FETCHERS, Fetches, FetchThreads, Refusals, Source
from artylyze.workers.process import ImageProcess
from artylyze.workers.protocol import Seen


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
    """Fetching threads and decoding processes, kept for shard after shard. Use as a context manager or `close` it.

    Args:
        size: side of the square that images are decoded to, pixels.
        decoders: number of decoding processes.
        colors, thumbnails: as `ImageProcess` has them.
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
        colors: bool = False,
        thumbnails: bool = False,
        fetchers: int = FETCHERS,
        deadline: float = 60.0,
        canary: str | None = None,
    ) -> None:
        self.size = size
        self._processes = [
            ImageProcess(size, colors=colors, thumbnails=thumbnails, deadline=deadline) for _ in range(decoders)
        ]
        self._threads = FetchThreads(fetchers)
        self._canary = canary

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the threads and the child processes."""
        self._threads.close()
        for process in self._processes:
            process.close()

    def read(
        self, sources: Sequence[Source], outcomes: list[Seen | ImageError | None], batch_size: int
    ) -> Generator[Batch, None, None]:
        """Yield the images in batches, in no promised order, and write into `outcomes` what was seen of each source.

        Raises:
            StorageError: if sources are refused and the canary too.
        """
        fetches = Fetches(self._threads, sources)
        batches = _Batches(self.size, batch_size)
        workers = [
            threading.Thread(target=self._decode, args=(process, fetches, outcomes, batches), daemon=True)
            for process in self._processes
        ]
        for worker in workers:
            worker.start()
        try:
            yield from batches.take(len(workers))
        finally:
            batches.stop()
            fetches.stop()
            for worker in workers:
                worker.join()
        Refusals(self._canary).settle(outcomes)

    def _decode(
        self, process: ImageProcess, fetches: Fetches, outcomes: list[Seen | ImageError | None], batches: _Batches
    ) -> None:
        filling = batches.empty()

        def deliver(rows: Sequence[int], pixels: npt.NDArray[np.uint8]) -> None:
            nonlocal filling
            batches.check()
            for row, image in zip(rows, pixels, strict=True):
                filling.pixels[len(filling.rows)] = image
                filling.rows.append(row)
                if len(filling.rows) == len(filling.pixels):
                    batches.put(filling)
                    filling = batches.empty()

        try:
            process.run(fetches, outcomes, Refusals(self._canary), deliver)
            batches.put(filling)
            batches.put(None)
        except _StoppedError:
            return
        except BaseException as error:  # whatever it is, the thread that waits must hear of it
            with suppress(_StoppedError):
                batches.put(error)


class _StoppedError(Exception):
    """Nobody takes the batches any more."""


class _Batches:
    """The short queue of batches between the threads that decode and whoever takes them."""

    def __init__(self, size: int, batch_size: int) -> None:
        self._shape = (batch_size, size, size, 3)
        self._ready: queue.Queue[Batch | BaseException | None] = queue.Queue(maxsize=2)
        self._stopped = threading.Event()

    def empty(self) -> Batch:
        return Batch(np.empty(self._shape, np.uint8))

    def put(self, item: Batch | BaseException | None) -> None:
        """Hand a batch over, an error, or None at the end. Raises _StoppedError where nobody takes it."""
        while not self._stopped.is_set():
            with suppress(queue.Full):
                return self._ready.put(item, timeout=0.2)
        raise _StoppedError

    def check(self) -> None:
        """Raise _StoppedError where nobody takes batches any more."""
        if self._stopped.is_set():
            raise _StoppedError

    def take(self, producers: int) -> Generator[Batch, None, None]:
        while producers:
            item = self._ready.get()
            if isinstance(item, BaseException):
                raise item
            if item is None:
                producers -= 1
            elif item.rows:
                yield item

    def stop(self) -> None:
        self._stopped.set()
