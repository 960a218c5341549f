"""One supervised child that decodes images and tags them: the whole work of a CPU worker but fetching and committing.

Decoder and model in one process cost no copy of pixels and no other process's turn between them. If an image brings the
child down, it is that image's row; a new child takes up what had not been tagged.

This is the parent's half, `artylyze.workers.child` the child's.
"""

from __future__ import annotations

import io
import pickle
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from artylyze.errors import ErrorCode, ImageError
from artylyze.images import MAX_PIXELS
from artylyze.models.bundle import Bundle, Task
from artylyze.models.runtimes import Outputs
from artylyze.workers import child
from artylyze.workers.decoder import Seen, check_size, read_header, timed_out
from artylyze.workers.fetching import FETCHERS, Fetch, Fetches, Refusals, Source, all_of
from artylyze.workers.supervision import LENGTH, Child, receive, receive_into, send_until_answered

if TYPE_CHECKING:
    import socket

BATCH, BATCH_BYTES = 16, 16 * 2**20
"""Images of a request, and bytes of them, if more than one: to wake the parent for each takes time from the child."""

AHEAD = 2
"""Requests that are sent before the answer to the first is there: the child never waits for its parent's turn."""


class TaggerProcess:
    """A child with a model, and the threads that fetch for it, kept for shard after shard.

    Args:
        bundle: returns the model; called when a child starts.
        tasks: of the model.
        embedding_dim: of the model.
        deadline: seconds that one image may take to decode, or a batch to be tagged.
        canary: as `Reader` has it.
        fetchers: number of fetching threads.
    """

    def __init__(
        self,
        bundle: Callable[[], Bundle],
        tasks: Sequence[Task],
        embedding_dim: int,
        *,
        deadline: float = 60.0,
        canary: str | None = None,
        fetchers: int = FETCHERS,
    ) -> None:
        self._widths = {task.name: len(task.terms) for task in tasks}
        self._dim = embedding_dim
        self._deadline = deadline
        self._canary = canary
        self._child = Child(child.__name__, (MAX_PIXELS, deadline), lambda: pickle.dumps(bundle()))
        self._pool = ThreadPoolExecutor(fetchers, thread_name_prefix="artylyze-fetch")
        self._ahead = 2 * fetchers

    def start(self) -> None:
        """Start the child now, not with the first image. Raises ChildStartError."""
        self._child.connect()

    def close(self) -> None:
        """End the child and the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._child.kill()

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
        fetches = Fetches(self._pool, sources, self._ahead)
        talk = _Talk(self._child, fetches, refusals, outcomes, self._deadline, self._dim + sum(self._widths.values()))
        talk.run()
        refusals.settle(outcomes)
        return all_of(outcomes), self._split(talk.outputs())

    def _split(self, rows: npt.NDArray[np.float32]) -> Outputs:
        ends = np.cumsum([self._dim, *self._widths.values()])
        embedding, *logits = np.split(rows, ends[:-1], axis=1)
        return Outputs(embedding, dict(zip(self._widths, logits, strict=True)))


@dataclass(frozen=True)
class _Image:
    row: int
    data: bytes | memoryview


class _Talk:
    """What parent and child say about the images of one shard.

    The parent sends images in batches; the child answers each batch with the headers of all, and then the outputs of
    those that could be decoded. If the child dies over a batch, its images are sent again one by one, and the one over
    which it dies again is to blame: what others cause, the system's want of memory for instance, costs no image.
    """

    def __init__(
        self,
        child: Child,
        fetches: Fetches,
        refusals: Refusals,
        outcomes: list[Seen | ImageError | None],
        deadline: float,
        width: int,
    ) -> None:
        self._child = child
        self._fetches = fetches
        self._refusals = refusals
        self._outcomes = outcomes
        self._deadline = deadline
        self._width = width
        self._order: list[int] = []
        self._outputs = [np.empty((0, width), np.float32)]
        self._link: socket.socket
        self._next_fetch: Fetch | None = None
        self._filling: list[_Image] = []  # not yet a batch
        self._sent: deque[list[_Image]] = deque()  # or about to be, and not yet answered
        self._unsent: deque[bytes | memoryview] = deque()  # of them, what the socket had no room for
        self._again: deque[list[_Image]] = deque()  # what a dead child left
        self._died_tagging = 0

    def run(self) -> None:
        """Talk until every image has an outcome, and every one that could be decoded its outputs."""
        try:
            while self._send_batches():
                self._take_answer()
        except BaseException:  # half an answer may be in the socket
            self._child.kill()
            raise

    def outputs(self) -> npt.NDArray[np.float32]:
        """Return the outputs of the images that could be decoded, float32 (n, width), in the order of the sources."""
        return np.concatenate(self._outputs)[np.argsort(self._order)]

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
                self._unsent += [LENGTH.pack(len(image.data)), image.data]
        return bool(self._sent)

    def _take_answer(self) -> None:
        """Send, and take the answer to the first batch: from the child, or from its death."""
        batch = self._sent[0]
        end = time.monotonic() + len(batch) * self._deadline
        headers: list[Seen | ImageError] = []
        try:
            send_until_answered(self._link, self._unsent, end)
            (size,) = LENGTH.unpack(receive(self._link, LENGTH.size, end))
            said = io.BytesIO(receive(self._link, size, end))
            headers += [read_header(said.read) for _ in batch]
            rows = np.empty((sum(isinstance(one, Seen) for one in headers), self._width), np.float32)
            if len(rows):
                receive_into(self._link, rows.data.cast("B"), end + self._deadline)
        except TimeoutError:
            self._child.kill()
            self._start_over(timed_out(self._deadline), tagging=bool(headers))
        except (OSError, EOFError):
            error = ImageError(ErrorCode.CRASHED_DECODER, self._child.cause_of_death())
            self._start_over(error, tagging=bool(headers))
        else:
            self._sent.popleft()
            self._died_tagging = 0
            self._outputs.append(rows)
            for image, header in zip(batch, headers, strict=True):
                self._outcomes[image.row] = header
                if isinstance(header, Seen):
                    self._order.append(image.row)

    def _start_over(self, error: ImageError, *, tagging: bool) -> None:
        """The child is dead: find out which image it was, or blame it, or the model. Keep the others for the next."""
        first, *rest = self._sent
        if len(first) == 1 and tagging:
            self._died_tagging += 1
            if self._died_tagging > 1:
                raise RuntimeError(f"the process of the model ends while it tags: {error.detail}")
        elif len(first) == 1:
            self._outcomes[first.pop().row] = error
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
            try:
                data = following.result()
                check_size(data)
            except ImageError as error:
                self._outcomes[following.row] = error
                self._refusals.count(error)
                continue
            self._refusals.count(None)
            return _Image(following.row, data)
        return None
