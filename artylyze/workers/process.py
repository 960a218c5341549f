"""The parent's half of a supervised child that decodes images, and tags them if it has a model.

Decoder and model in one process cost no copy of pixels and no other process's turn between them. If an image brings the
child down, it is that image's row; a new child takes up what was not answered. `artylyze.workers.child` is the child's
half, `artylyze.workers.protocol` what the two say.
"""

from __future__ import annotations

import io
import pickle
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from artylyze.errors import ErrorCode, ImageError
from artylyze.images import MAX_PIXELS
from artylyze.models.bundle import Bundle, Task
from artylyze.models.runtimes import Outputs
from artylyze.workers import child
from artylyze.workers.fetching import Fetch, Fetches, FetchThreads, Refusals, Source, all_of
from artylyze.workers.protocol import IMAGE, LENGTH, TIMES, Seen, read_header
from artylyze.workers.supervision import LARGEST_FILE, Child, receive, receive_into, send_until_answered

if TYPE_CHECKING:
    import socket

BATCH, BATCH_BYTES = 16, 4 * 2**20
"""Images of a request, and bytes of them, if more than one: to wake the parent for each takes time from the child."""

AHEAD = 2
"""Requests that are sent before the answer to the first is there: the child never waits for its parent's turn."""

Deliver = Callable[[Sequence[int], npt.NDArray[Any]], None]
"""Takes the numbers of some sources, and a row for each: its pixels, or the outputs of the model."""


class ImageProcess:
    """A child process that decodes images, started when first needed and again after each death.

    Not for several threads at once, but for `stop`.

    Args:
        size: side of the square that images are decoded to, pixels; 0: nothing but their pages is counted, into `Seen`.
        bundle: returns a model, for a child that tags too; called when a child starts.
        width: float32 values in a row of the model: its embedding and the logits of all tasks.
        colors: whether `Seen` has the dominant colours.
        thumbnails: whether `Seen` has a thumbnail.
        deadline: seconds that one image may take to decode, and again to tag.
        max_pixels: as in `images.decode`.
    """

    def __init__(
        self,
        size: int,
        *,
        bundle: Callable[[], Bundle] | None = None,
        width: int = 0,
        colors: bool = False,
        thumbnails: bool = False,
        deadline: float = 60.0,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        payload = bytes if bundle is None else lambda: pickle.dumps(bundle())
        self.child = Child(child.__name__, (size, max_pixels, deadline, int(colors), int(thumbnails)), payload)
        self.deadline = deadline
        self.seconds = {"fetch": 0.0, "decode": 0.0, "inference": 0.0}
        self._row: tuple[tuple[int, ...], type[np.generic]] = (
            ((size, size, 3), np.uint8) if bundle is None else ((width,), np.float32)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Start the child now, not with the first image. Raises ChildStartError."""
        self.child.connect()

    def take_seconds(self) -> dict[str, float]:
        """Return what was spent since the last call: in `fetch` the child waits for an image that is to come."""
        taken, self.seconds = self.seconds, dict.fromkeys(self.seconds, 0.0)
        return taken

    def stop(self) -> None:
        """End the child for good, from any thread: a `run` that is going on fails soon."""
        self.child.end()

    def close(self) -> None:
        """End the child for good, when no `run` is going on."""
        self.child.end()
        self.child.kill()

    def empty(self, count: int) -> npt.NDArray[Any]:
        """Room for `count` rows: uint8 (count, size, size, 3), or float32 (count, width) with a model."""
        shape, dtype = self._row
        return np.empty((count, *shape), dtype)

    def run(
        self, fetches: Fetches, outcomes: list[Seen | ImageError | None], refusals: Refusals, deliver: Deliver
    ) -> None:
        """Take images from `fetches` until there are no more, write what was seen of each, and deliver their rows.

        Rows come in batches of at most BATCH, in no promised order.

        Raises:
            StorageError: if images are refused and the canary too.
            RuntimeError: if the child dies again and again once it has decoded an image.
            ChildStartError: if it does not come up, or was closed.
        """
        _Talk(self, fetches, outcomes, refusals, deliver).run()


class TaggerProcess:
    """A child with a model, and the threads that fetch for it, kept for shard after shard.

    Args:
        bundle: returns the model; called when a child starts.
        tasks: of the model.
        embedding_dim: of the model.
        size: side of the square that the model takes, pixels.
        outside: whether the model gives `Outputs.outside`.
        thumbnails: whether `Seen` has a thumbnail.
        deadline: seconds that one image may take to decode, and again to tag.
        canary: as `Reader` has it.
    """

    def __init__(
        self,
        bundle: Callable[[], Bundle],
        tasks: Sequence[Task],
        embedding_dim: int,
        size: int,
        *,
        outside: bool = False,
        thumbnails: bool = False,
        deadline: float = 60.0,
        canary: str | None = None,
    ) -> None:
        self._widths = {task.name: len(task.terms) for task in tasks}
        self._dim, self._outside = embedding_dim, outside
        self._canary = canary
        width = embedding_dim + sum(self._widths.values()) + outside
        self.process = ImageProcess(
            size, bundle=bundle, width=width, colors=True, thumbnails=thumbnails, deadline=deadline
        )
        self._threads = FetchThreads()

    def start(self) -> None:
        """Start the child now, not with the first image. Raises ChildStartError."""
        self.process.start()

    def stop(self) -> None:
        """End the child and the threads, from any thread: a `read_and_tag` that is going on fails soon."""
        self._threads.close()
        self.process.stop()

    def close(self) -> None:
        """End the child and the threads, when no `read_and_tag` is going on."""
        self._threads.close()
        self.process.close()

    def read_and_tag(self, sources: Sequence[Source]) -> tuple[list[Seen | ImageError], Outputs]:
        """Read and tag images.

        Returns:
            For each source what was seen, or why it could not be read; and the outputs for those that were, in their
            order.

        Raises:
            StorageError: if sources are refused and the canary too.
            RuntimeError: if the child dies again and again while it tags.
        """
        outcomes: list[Seen | ImageError | None] = [None] * len(sources)
        refusals = Refusals(self._canary)
        order: list[int] = []
        parts = [self.process.empty(0)]

        def deliver(rows: Sequence[int], outputs: npt.NDArray[Any]) -> None:
            order.extend(rows)
            parts.append(outputs)

        self.process.run(Fetches(self._threads, sources), outcomes, refusals, deliver)
        refusals.settle(outcomes)
        return all_of(outcomes), self._split(np.concatenate(parts)[np.argsort(order)])

    def _split(self, rows: npt.NDArray[np.float32]) -> Outputs:
        ends = np.cumsum([self._dim, *self._widths.values()])
        embedding, *logits, outside = np.split(rows, ends, axis=1)
        return Outputs(
            embedding, dict(zip(self._widths, logits, strict=True)), outside[:, 0] if self._outside else None
        )


@dataclass(frozen=True)
class _Image:
    row: int
    page: int | None
    data: bytes | memoryview


class _Talk:
    """What parent and child say about the images of one shard.

    The parent sends images in batches; the child answers each batch with the headers of all, and then the rows of those
    that could be decoded. If the child dies over a batch, even of one image, its images are sent again one by one, and
    the one over which it dies again is to blame: what others cause, the system's want of memory for instance, costs no
    image. An image alone that is not decoded in time is to blame at once.
    """

    def __init__(
        self,
        process: ImageProcess,
        fetches: Fetches,
        outcomes: list[Seen | ImageError | None],
        refusals: Refusals,
        deliver: Deliver,
    ) -> None:
        self._process = process
        self._child = process.child
        self._deadline = process.deadline
        self._fetches = fetches
        self._outcomes = outcomes
        self._refusals = refusals
        self._deliver = deliver
        self._link: socket.socket
        self._next_fetch: Fetch | None = None
        self._filling: list[_Image] = []  # not yet a batch
        self._sent: deque[list[_Image]] = deque()  # or about to be, and not yet answered
        self._unsent: deque[bytes | memoryview] = deque()  # of them, what the socket had no room for
        self._again: deque[list[_Image]] = deque()  # what a dead child left
        self._suspects: set[int] = set()  # rows of batches over which a child died
        self._died_later = 0

    def run(self) -> None:
        """Talk until every image has an outcome, and the row of every one that could be decoded is delivered."""
        try:
            while self._send_batches():
                self._take_answer()
        except BaseException:  # half an answer may be in the socket
            self._child.kill()
            raise

    def _send_batches(self) -> bool:
        """Prepare what may be sent, and wait for a fetch only where no answer is due. False where nothing is left."""
        while len(self._sent) < AHEAD:
            batch = self._again.popleft() if self._again else self._fetch_batch(wait=not self._sent)
            if not batch:
                break
            if not self._sent:
                self._link = self._child.connect()  # another, if it died while nobody asked it for anything
            self._sent.append(batch)
            self._unsent.append(LENGTH.pack(len(batch)))
            for image in batch:
                self._unsent += [IMAGE.pack(len(image.data), image.page or 0), image.data]
        return bool(self._sent)

    def _take_answer(self) -> None:
        """Send, and take the answer to the first batch: from the child, or from its death."""
        batch = self._sent[0]
        end = time.monotonic() + len(batch) * self._deadline
        headers: list[Seen | ImageError] = []
        try:
            send_until_answered(self._link, self._unsent, end)
            (size,) = LENGTH.unpack(receive(self._link, LENGTH.size, end))
            answer = io.BytesIO(receive(self._link, size, end))
            headers += [read_header(answer.read) for _ in batch]
            rows = self._process.empty(sum(isinstance(header, Seen) for header in headers))
            if rows.size:
                receive_into(self._link, rows.data.cast("B"), end + self._deadline)
            decoding, on_model = TIMES.unpack(receive(self._link, TIMES.size, end + self._deadline))
        except TimeoutError:
            self._child.kill()
            error = ImageError(ErrorCode.TIMEOUT, f"not decoded within {self._deadline:g} s")
            self._start_over(error, decoded=bool(headers))
        except (OSError, EOFError):
            error = ImageError(ErrorCode.CRASHED_DECODER, self._child.cause_of_death())
            self._start_over(error, decoded=bool(headers))
        else:
            self._sent.popleft()
            self._died_later = 0
            self._process.seconds["decode"] += decoding
            self._process.seconds["inference"] += on_model
            for image, header in zip(batch, headers, strict=True):
                self._outcomes[image.row] = header
            if len(rows):
                decoded = [image.row for image in batch if isinstance(self._outcomes[image.row], Seen)]
                self._deliver(decoded, rows)

    def _start_over(self, error: ImageError, *, decoded: bool) -> None:
        """The child is dead: find out which image it was, or blame it, or the model. Keep the others for the next."""
        first, *rest = self._sent
        if self._child.ended:
            raise error
        if len(first) == 1 and decoded:
            self._died_later += 1
            if self._died_later > 1:
                raise RuntimeError(f"the process of the model ends while it tags: {error.detail}")
        elif len(first) == 1 and (error.code is ErrorCode.TIMEOUT or first[0].row in self._suspects):
            self._outcomes[first.pop().row] = error
        self._suspects |= {image.row for image in first}
        self._again.extendleft(reversed([*([image] for image in first), *rest]))
        self._sent.clear()
        self._unsent.clear()

    def _fetch_batch(self, *, wait: bool) -> list[_Image]:
        """Return the next images that could be fetched: none where there are no more, or without `wait` too few yet.

        With `wait` they are those that are there, and one at least.
        """
        batch = self._filling
        while len(batch) < BATCH and sum(len(image.data) for image in batch) < BATCH_BYTES:
            image = self._fetch(wait=wait and not batch)
            if image is not None:
                batch.append(image)
            elif wait or self._next_fetch is None:
                break
            else:
                return []
        self._filling = []
        return batch

    def _fetch(self, *, wait: bool) -> _Image | None:
        """Return the next image that could be fetched: None where there is none, or without `wait` none yet."""
        while (following := self._next_fetch or self._fetches.next()) is not None:
            self._next_fetch = following
            if not (wait or following.group.done()):
                return None
            self._next_fetch = None
            began = time.monotonic()
            try:
                data = following.result()
                if len(data) > LARGEST_FILE:
                    raise ImageError(ErrorCode.TOO_LARGE, f"a file of {len(data) / 1e6:.0f} MB")
            except ImageError as error:
                self._outcomes[following.row] = error
                self._refusals.count(error)
                continue
            finally:
                self._process.seconds["fetch"] += time.monotonic() - began
            self._refusals.count(None)
            return _Image(following.row, following.page, data)
        return None
