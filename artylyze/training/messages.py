"""Messages from the workers of a training to its driver, through a queue, in plain Python."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from artylyze.progress import Watcher

    OnEpoch = Callable[[Mapping[str, float]], None]

SEND_EVERY = 0.5
"""Seconds between two messages of a worker on how far it is."""


class Channel(Protocol):
    """A queue between processes."""

    def put(self, item: Any) -> None:
        """Add a message."""

    def get(self) -> Any:
        """Wait for the next message and take it."""


class Listener:
    """Receives the messages of workers and passes them on to whoever watches.

    `epochs` is the number of epochs that are done, `failure` an error of a worker that no retry can mend, or what
    `on_epoch` raised.

    Args:
        tasks: what is learned.
        epochs: that are done now, and that will be.
        watcher: is shown the progress.
        on_epoch: is given `epoch`, `score` and the last value of each curve after each epoch.
    """

    def __init__(
        self, tasks: Sequence[str], epochs: tuple[int, int], watcher: Watcher, on_epoch: OnEpoch | None
    ) -> None:
        self.epochs, self._all = epochs
        self.watcher = watcher
        self.failure: BaseException | None = None
        self._tasks, self._on_epoch = tasks, on_epoch

    def receive(self, kind: str, value: Any) -> None:
        """Take one message."""
        if kind == "advance":
            self.watcher.advance(*value)
        elif kind == "begin" and value:
            self.watcher.say(f"Going on after epoch {value} of {self._all}")
        elif kind == "failure":
            self.failure = value
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
def listening(channel: Channel, listener: Listener) -> Iterator[None]:
    """Receive messages while the body runs; raise the failure of a worker, or of `on_epoch`."""

    def listen() -> None:
        while (message := channel.get()) is not None:
            try:
                if listener.failure is None:
                    listener.receive(*message)
            except BaseException as error:  # the thread must go on to empty the queue
                listener.failure = error

    thread = threading.Thread(target=listen, name="artylyze-finetune", daemon=True)
    thread.start()
    try:
        yield
    finally:
        channel.put(None)
        thread.join()
    if listener.failure is not None:
        raise listener.failure


class Sender:
    """Sends the progress of a worker to the driver, at most every SEND_EVERY seconds."""

    def __init__(self, channel: Channel) -> None:
        self._channel, self._last, self._images, self._errors = channel, 0.0, 0, 0

    def advance(self, images: int, errors: int = 0) -> None:
        """Count images that were done now."""
        self._images, self._errors = self._images + images, self._errors + errors
        if time.monotonic() - self._last >= SEND_EVERY:
            self._flush()

    def send(self, kind: str, value: Any) -> None:
        """Send a message now, and the progress as soon as it changes."""
        self._flush()
        self._channel.put((kind, value))
        self._last = 0.0

    def _flush(self) -> None:
        if self._images:
            self._channel.put(("advance", (self._images, self._errors)))
        self._last, self._images, self._errors = time.monotonic(), 0, 0
