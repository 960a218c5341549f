"""One supervised child that decodes images and tags them: the whole work of a CPU worker but fetching and committing.

Decoder and model in one process cost no copy of pixels and no other process's turn between them. If an image brings the
child down, it is that image's row; a new child takes up what had not been tagged.

This is the parent's half, `artylyze.tagging.child` the child's.
"""

from __future__ import annotations

import pickle
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from artylyze.catalog.schema import Seen
from artylyze.decoder import REQUEST, Header, check_size, receive_header, timed_out
from artylyze.errors import ErrorCode, ImageError
from artylyze.images import MAX_PIXELS
from artylyze.models.bundle import Bundle, Task
from artylyze.models.runtimes import CPU_BATCH, Outputs
from artylyze.reading import FETCHERS, Fetch, Fetches, Refusals, Source, all_of
from artylyze.supervision import Child, receive_into, send, send_until_answered
from artylyze.tagging import child
from artylyze.tagging.child import TAG_NOW

if TYPE_CHECKING:
    import socket

AHEAD = 2 * CPU_BATCH
"""Images that are sent before the answer to the first is there: the child never waits for its parent's turn."""

AHEAD_BYTES = 32 * 2**20
"""Bytes of them, if more than one."""


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
        talk = _Talk(self._child, fetches, refusals, outcomes, self._deadline, self._receive_outputs)
        talk.run()
        refusals.settle(outcomes)
        none = self._split(np.empty((0, self._width), np.float32))
        return all_of(outcomes), _in_order(talk.order, [none, *talk.outputs])

    @property
    def _width(self) -> int:
        return self._dim + sum(self._widths.values())

    def _receive_outputs(self, link: socket.socket, count: int, end: float) -> Outputs:
        """Take the outputs of `count` images, which the child sends as one float32 (count, width)."""
        rows = np.empty((count, self._width), np.float32)
        receive_into(link, rows.data.cast("B"), end)
        return self._split(rows)

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

    The parent sends images and the child answers each in order with its header; after `CPU_BATCH` that could be
    decoded, or `TAG_NOW`, it sends their outputs. So the parent knows what comes next, and whose turn it was when the
    child died.
    """

    def __init__(
        self,
        child: Child,
        fetches: Fetches,
        refusals: Refusals,
        outcomes: list[Seen | ImageError | None],
        deadline: float,
        receive_outputs: Callable[[socket.socket, int, float], Outputs],
    ) -> None:
        self.order: list[int] = []
        self.outputs: list[Outputs] = []
        self._child = child
        self._fetches = fetches
        self._refusals = refusals
        self._outcomes = outcomes
        self._deadline = deadline
        self._receive_outputs = receive_outputs
        self._next_fetch: Fetch | None = None
        self._link: socket.socket | None = None  # to a child that was asked for something
        self._sent: deque[_Image] = deque()  # or about to be, and not yet answered
        self._unsent: deque[bytes | memoryview] = deque()  # of them, what the socket had no room for
        self._batch: list[_Image] = []  # decoded, not yet tagged
        self._again: deque[_Image] = deque()  # what a dead child left
        self._tagging = False
        self._died_tagging = 0

    def run(self) -> None:
        """Talk until every image has an outcome, and every one that could be decoded its outputs."""
        more = True
        while more:
            try:
                more = self._turn()
            except TimeoutError:
                self._child.kill()
                self._blame(timed_out(self._deadline))
            except (OSError, EOFError):
                self._blame(ImageError(ErrorCode.CRASHED_DECODER, self._child.cause_of_death()))
            except BaseException:  # half an answer may be in the socket
                self._child.kill()
                raise

    def _turn(self) -> bool:
        """Send what there is room for, and take one answer; False where none is due any more."""
        self._take_images()
        if not (self._sent or self._batch):
            return False
        self._link = link = self._link or self._child.connect()
        end = time.monotonic() + self._deadline
        if self._sent:
            send_until_answered(link, self._unsent, end)
            self._take_header(receive_header(link, end))
            self._tagging = len(self._batch) == CPU_BATCH
        else:
            self._tagging = True
            send(link, [TAG_NOW], end)
        if self._tagging:
            self.outputs.append(self._receive_outputs(link, len(self._batch), end + self._deadline))
            self.order += [image.row for image in self._batch]
            self._batch = []
            self._tagging, self._died_tagging = False, 0
        return True

    def _take_images(self) -> None:
        """Take images to be sent until they are enough; wait for a fetch only where no answer is due."""
        while not self._sent or (len(self._sent) < AHEAD and sum(len(one.data) for one in self._sent) < AHEAD_BYTES):
            image = self._again.popleft() if self._again else self._fetch(wait=not self._sent)
            if image is None:
                return
            if not self._sent and self._child.died():  # while nobody asked it for anything
                self._child.kill()
                self._again.append(image)
                self._start_over()
                continue
            self._sent.append(image)
            self._unsent += [REQUEST.pack(len(image.data)), image.data]

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

    def _take_header(self, header: Header | ImageError) -> None:
        image = self._sent.popleft()
        if isinstance(header, ImageError):
            self._outcomes[image.row] = header
        else:
            self._outcomes[image.row] = Seen(*header)
            self._batch.append(image)

    def _blame(self, error: ImageError) -> None:
        """The child is dead: of the image whose answer was due, or of the model."""
        if self._tagging:
            self._died_tagging += 1
            if self._died_tagging > 1:
                raise RuntimeError(f"the process of the model ends while it tags: {error.detail}")
        else:
            self._outcomes[self._sent.popleft().row] = error
        self._start_over()

    def _start_over(self) -> None:
        """Keep what was not tagged for the next child."""
        self._again.extendleft(reversed([*self._batch, *self._sent]))
        self._sent.clear()
        self._unsent.clear()
        self._link, self._batch, self._tagging = None, [], False


def _in_order(order: Sequence[int], outputs: Sequence[Outputs]) -> Outputs:
    """Join the outputs of batches in the order of the rows."""
    places = np.argsort(order)
    logits = {name: np.concatenate([one.logits[name] for one in outputs])[places] for name in outputs[0].logits}
    return Outputs(np.concatenate([one.embedding for one in outputs])[places], logits)
