"""What workers of a training say while they work, and who hears it: messages through a queue, in plain Python."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from artylyze.progress import Watcher

    OnEpoch = Callable[[Mapping[str, float]], None]

TOLD_EVERY = 0.5
"""Seconds between two messages of a worker on how far it is."""


class Board(Protocol):
    """A queue between processes."""

    def put(self, item: Any) -> None:
        """Add a message."""

    def get(self) -> Any:
        """Wait for the next message and take it."""


class Ear:
    """Hears what workers say, and tells whoever watches.

    `epochs` is the number of epochs that are done, `trouble` what a worker found that no retry can mend, or what the
    listener raised.

    Args:
        tasks: what is learned.
        epochs: that are done now, and that will be.
        watcher: hears how far it is.
        on_epoch: is given `epoch`, `score` and the last value of each curve after each epoch.
    """

    def __init__(
        self, tasks: Sequence[str], epochs: tuple[int, int], watcher: Watcher, on_epoch: OnEpoch | None
    ) -> None:
        self.epochs, self._all = epochs
        self.watcher = watcher
        self.trouble: BaseException | None = None
        self._tasks, self._on_epoch = tasks, on_epoch

    def hear(self, kind: str, value: Any) -> None:
        """Take one message."""
        if kind == "advance":
            self.watcher.advance(*value)
        elif kind == "begin" and value:
            self.watcher.say(f"Going on after epoch {value} of {self._all}")
        elif kind == "trouble":
            self.trouble = value
        elif kind == "epoch":
            self.epochs = value["epoch"]
            self.watcher.say(self._line(value))
            if self._on_epoch is not None:
                self._on_epoch({name: one for name, one in value.items() if name != "images_per_second"})

    def _line(self, found: Mapping[str, float]) -> str:
        tasks = []
        for task in self._tasks:
            held_out = found.get(f"{task} accuracy, held out")
            judged = "nothing measurable" if held_out is None else f"{held_out:.3f}"
            tasks.append(f"{task} {judged} held out, {found[f'{task} accuracy, train']:.3f} train")
        epoch = f"Epoch {found['epoch']} of {self._all}"
        return f"{epoch}: accuracy {'; '.join(tasks)}; {found['images_per_second']:.1f} images/s"


@contextmanager
def heard(board: Board, ear: Ear) -> Iterator[None]:
    """Listen while the body runs; raise what workers found to be wrong, or what the listener raised."""

    def listen() -> None:
        while (message := board.get()) is not None:
            try:
                if ear.trouble is None:
                    ear.hear(*message)
            except BaseException as error:  # the thread must go on to empty the board
                ear.trouble = error

    thread = threading.Thread(target=listen, name="artylyze-finetune", daemon=True)
    thread.start()
    try:
        yield
    finally:
        board.put(None)
        thread.join()
    if ear.trouble is not None:
        raise ear.trouble


class Voice:
    """Tells the driver how far a worker is, not more often than it can be of use."""

    def __init__(self, board: Board) -> None:
        self._board, self._last, self._images, self._errors = board, 0.0, 0, 0

    def advance(self, images: int, errors: int = 0) -> None:
        """Count images that were done now."""
        self._images, self._errors = self._images + images, self._errors + errors
        if time.monotonic() - self._last >= TOLD_EVERY:
            self._flush()

    def tell(self, kind: str, value: Any) -> None:
        """Say it now, and how far it is as soon as that changes."""
        self._flush()
        self._board.put((kind, value))
        self._last = 0.0

    def _flush(self) -> None:
        if self._images:
            self._board.put(("advance", (self._images, self._errors)))
        self._last, self._images, self._errors = time.monotonic(), 0, 0
