"""Fetching images: threads run ahead of whoever decodes within a bounded window, each failure kept as what it is."""

from __future__ import annotations

import contextlib
import itertools
import queue
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from artylyze.errors import ErrorCode, ImageError, StorageError
from artylyze.storage import fetch, reachable, split_page
from artylyze.workers.protocol import Seen

WINDOW_BYTES = 128 * 2**20
"""Bytes of encoded images that are fetched ahead of decoding, if more than one image is."""

FETCHERS = 8
"""Fetching threads beside each child process."""

GROUP, GROUP_BYTES = 16, 2**19
"""Small images, and bytes of them, that one thread fetches in a row: to hand over each costs more than to read it."""

MEAN_BYTES = 2 * 2**20
"""Assumed size of an image whose manifest row does not tell."""

IN_A_ROW = 16
"""Images refused one after the other, after which the canary is asked whether the rest is worth trying."""

Fetched = bytes | memoryview | ImageError
"""The bytes of an image, or why they cannot be had."""

_REFUSALS = (ErrorCode.MISSING, ErrorCode.DENIED, ErrorCode.UNREACHABLE)


@dataclass(frozen=True, slots=True)
class Source:
    """Where an image lies: its address, its validator (None: unchecked) and its size in bytes (None: unknown)."""

    uri: str
    validator: str | None = None
    size: int | None = None

    @property
    def file(self) -> tuple[str, str | None]:
        """What is fetched: equal for the pages of one file."""
        return split_page(self.uri)[0], self.validator

    @property
    def page(self) -> int | None:
        """The page of the file, from 1; None for the picture that a viewer shows first."""
        return split_page(self.uri)[1]


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
        page: of its file, None for the first.
        size: bytes that it takes, or is thought to.
        group: what the fetches of the group gave.
        place: of the image in the group.
    """

    row: int
    page: int | None
    size: int
    group: Future[list[Fetched]]
    place: int

    def result(self) -> bytes | memoryview:
        """Wait for the fetch and return what it gave. Raises ImageError: as `storage.fetch`."""
        found = self.group.result()[self.place]
        if isinstance(found, ImageError):
            raise found
        return found


class FetchThreads:
    """Threads that fetch. They keep no process from ending, as those of an executor would: a server may be slow.

    Args:
        count: of the threads.
    """

    def __init__(self, count: int = FETCHERS) -> None:
        self.count = count
        self._closed = False
        self._lock = threading.Lock()
        self._waiting: queue.SimpleQueue[tuple[Future[list[Fetched]], Sequence[Source]] | None] = queue.SimpleQueue()
        for _ in range(count):
            threading.Thread(target=self._work, name="artylyze-fetch", daemon=True).start()

    def submit(self, group: Sequence[Source]) -> Future[list[Fetched]]:
        """Fetch one after the other, each failure in its place."""
        future: Future[list[Fetched]] = Future()
        with self._lock:
            if self._closed:
                future.set_exception(_closed_error())
            else:
                self._waiting.put((future, group))
        return future

    def close(self) -> None:
        """End each thread once it has nothing in hand; what waits is not fetched, and fails."""
        with self._lock, contextlib.suppress(queue.Empty):
            self._closed = True
            while True:
                if (item := self._waiting.get_nowait()) is not None:
                    item[0].set_exception(_closed_error())
        for _ in range(self.count):
            self._waiting.put(None)

    def _work(self) -> None:
        while (item := self._waiting.get()) is not None:
            future, group = item
            try:
                future.set_result(_fetch_all(group))
            except BaseException as error:  # whoever waits for the images gets it
                future.set_exception(error)


def _closed_error() -> RuntimeError:
    return RuntimeError("the threads that fetch were closed")


class Fetches:
    """Fetches in the order of the sources, a bounded number of images and bytes ahead of whoever takes them."""

    def __init__(self, threads: FetchThreads, sources: Sequence[Source]) -> None:
        self._threads = threads
        self._sources = sources
        self._ahead = 2 * threads.count
        self._next = 0
        self._bytes = 0
        self._waiting: deque[Fetch] = deque()
        self._lock = threading.Lock()
        self._stopped = False

    def stop(self) -> None:
        """Let nobody have another image."""
        with self._lock:
            self._stopped = True

    def next(self) -> Fetch | None:
        """Return the next image, None at the end or after `stop`."""
        with self._lock:
            if self._stopped:
                return None
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
        small = sum(end <= GROUP_BYTES for end in ends)
        pages = 1
        if following[0].page is not None:  # those of one file, however large, are fetched once
            near = self._sources[self._next : self._next + GROUP]
            pages = sum(1 for _ in itertools.takewhile(lambda source: source.file == near[0].file, near))
        return self._sources[self._next : self._next + max(small, pages)]

    def _submit(self, group: Sequence[Source]) -> None:
        fetched = self._threads.submit(group)
        for place, source in enumerate(group):
            self._waiting.append(Fetch(self._next, source.page, _size(source), fetched, place))
            self._bytes += _size(source)
            self._next += 1


def _size(source: Source) -> int:
    return MEAN_BYTES if source.size is None else source.size


def _fetch_all(group: Sequence[Source]) -> list[Fetched]:
    """Fetch one after the other, the file of neighbouring pages once."""
    fetched: list[Fetched] = []
    for number, source in enumerate(group):
        again = number > 0 and source.page is not None and source.file == group[number - 1].file
        fetched.append(fetched[-1] if again else _fetch(source))
    return fetched


def _fetch(source: Source) -> Fetched:
    try:
        return fetch(source.uri, source.validator)
    except ImageError as error:
        return error


def all_of(outcomes: Sequence[Seen | ImageError | None]) -> list[Seen | ImageError]:
    """Return the outcomes of images that were all looked at."""
    found = [one for one in outcomes if one is not None]
    if len(found) < len(outcomes):
        raise AssertionError("an image was neither read nor refused")
    return found
