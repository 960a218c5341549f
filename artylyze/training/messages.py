"""Progress from the processes of a training to its driver, through a queue.

Ray Train's UserCallback does not replace it: it runs in the controller's process, not the driver's, and only when all
workers have reported an epoch; images are decoded long before the first report.
"""

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
        """Add a message: the name of a method of the listener, and its arguments."""

    def get(self) -> Any:
        """Wait for the next message and take it."""


@contextmanager
def relayed(channel: Channel, listener: object) -> Iterator[None]:
    """Call the methods of `listener` that messages name, in a thread, while the body runs; raise what one raises."""
    errors: list[BaseException] = []

    def listen() -> None:
        while (message := channel.get()) is not None:
            method, arguments = message
            try:
                if not errors:
                    getattr(listener, method)(*arguments)
            except BaseException as error:  # the thread must go on to empty the queue
                errors.append(error)

    thread = threading.Thread(target=listen, name="artylyze-messages", daemon=True)
    thread.start()
    try:
        yield
    finally:
        channel.put(None)
        thread.join()
    if errors:
        raise errors[0]


class Listener:
    """Passes what workers send on to whoever watches the training; `epochs` is the number of epochs that are done.

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
        self.watcher, self.advance = watcher, watcher.advance
        self._tasks, self._on_epoch = tasks, on_epoch

    def begin(self, epochs: int) -> None:
        """Workers begin after so many epochs."""
        if epochs:
            self.watcher.say(f"Going on after epoch {epochs} of {self._all}")

    def fail(self, error: BaseException) -> None:
        """A worker met an error that no retry can mend."""
        raise error

    def epoch(self, values: Mapping[str, float], images_per_second: float) -> None:
        """An epoch is done, with these values of `epoch`, `score` and the curves."""
        self.epochs = int(values["epoch"])
        tasks = []
        for task in self._tasks:
            held_out = values.get(f"{task} accuracy, held out")
            accuracy = "nothing measurable" if held_out is None else f"{held_out:.3f}"
            tasks.append(f"{task} {accuracy} held out, {values[f'{task} accuracy, train']:.3f} train")
        self.watcher.say(
            f"Epoch {self.epochs} of {self._all}: accuracy {'; '.join(tasks)}; {images_per_second:.1f} images/s"
        )
        if self._on_epoch is not None:
            self._on_epoch(values)


class Sender:
    """Sends messages of a worker, those on its progress at most every SEND_EVERY seconds."""

    def __init__(self, channel: Channel) -> None:
        self._channel, self._last, self._images, self._errors = channel, 0.0, 0, 0

    def advance(self, images: int, errors: int = 0) -> None:
        """Count images that were done now."""
        self._images, self._errors = self._images + images, self._errors + errors
        if time.monotonic() - self._last >= SEND_EVERY:
            self._flush()

    def send(self, method: str, *arguments: Any) -> None:
        """Send a message now, and the progress as soon as it changes."""
        self._flush()
        self._channel.put((method, arguments))
        self._last = 0.0

    def _flush(self) -> None:
        if self._images:
            self._channel.put(("advance", (self._images, self._errors)))
        self._last, self._images, self._errors = time.monotonic(), 0, 0
