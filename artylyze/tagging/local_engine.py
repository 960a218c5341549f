"""One machine, without Ray: threads of this process drive supervised child processes.

On CPUs each thread has a child that decodes and tags, and commits what comes back. With a GPU three groups of threads
do the same steps: each reader has a child that decodes, each GPU a thread that tags, and two threads for each commit
behind it; bounded queues between them hold whole shards of uint8 pixels.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from artylyze.catalog.parts import Receipt
from artylyze.catalog.plan import Shard
from artylyze.catalog.run import RunSpec
from artylyze.errors import ArtylyzeError, ImageError, InputError
from artylyze.models.bundle import Bundle
from artylyze.models.runtimes import Outputs, resolve_device
from artylyze.tagging.engine import Workers, as_run_error
from artylyze.tagging.shard import Images, Rows, ShardReader, ShardSettings, Tagger, commit_rows, sources, to_tag
from artylyze.tagging.stages import Clock, Spent, timed
from artylyze.workers.process import TaggerProcess
from artylyze.workers.protocol import Seen
from artylyze.workers.supervision import cores

if TYPE_CHECKING:
    from artylyze.models.runtimes import Device

COMMITTERS = 2
"""Threads that commit, for each GPU: one fills several shards a second."""

CLOSING = 3.0
"""Seconds that threads have to end when a run is stopped."""

POLL = 0.2
"""Seconds after which a thread that waits looks whether the run was stopped."""


class LocalEngine:
    """Drives the shards of a run on this machine."""

    def __init__(self) -> None:
        self.spent = Spent()

    def resolve_device(self, device: str) -> Device:
        """Resolve `auto` to what this machine has."""
        return resolve_device(device)

    def choose_workers(self, spec: RunSpec, taggers: int | None, readers: int | None, separate: bool | None) -> Workers:
        """Choose the number of workers where it is None: see `Engine`."""
        readers = readers or cores()
        if spec.device == "cpu":
            return Workers(spec.device, spec.precision, taggers or cores(), readers, bool(separate))
        import torch

        gpus = torch.cuda.device_count()
        if (taggers or 1) > gpus:
            raise InputError(
                f"The run needs {taggers or 1} GPUs and this machine has {gpus}. Ask for fewer `workers`; to begin on "
                "CPUs give `device='cpu'`."
            )
        return Workers(spec.device, spec.precision, taggers or gpus, readers, separate=True)

    def tag_shards(
        self, settings: ShardSettings, bundle: Bundle, shards: Sequence[Shard], workers: Workers
    ) -> Generator[Receipt]:
        """Tag shards and yield their receipts as they are committed: see `Engine`."""
        bundle = bundle.for_device(workers.device)
        if not workers.separate:
            return _through(shards, [_Stage(lambda _: _Fused(settings, bundle, self.spent), workers.taggers)])
        return _through(
            shards,
            [
                _Stage(lambda _: _Read(settings, self.spent), workers.readers),
                _Stage(lambda number: _Tag(bundle, workers, number, self.spent), workers.taggers),
                _Stage(lambda _: _Commit(settings, self.spent), COMMITTERS * workers.taggers),
            ],
        )


class _Worker(Protocol):
    """What one thread of a stage uses, and nobody else but for `stop`."""

    def __call__(self, item: Any, /) -> Any:
        """Do the stage's step."""

    def stop(self) -> None:
        """Let a call that is going on fail soon. Called by another thread."""

    def close(self) -> None:
        """Give back what it holds. Called by its own thread, at the end."""


class _Fused:
    """Reads, tags and commits shards."""

    def __init__(self, settings: ShardSettings, bundle: Bundle, spent: Spent) -> None:
        self._settings = settings
        self._spent = spent
        self._rows = Rows(settings)
        self._process = TaggerProcess(
            lambda: bundle,
            settings.tasks,
            settings.embedding_dim,
            settings.size,
            outside=settings.outside,
            thumbnails=settings.thumbnails,
            deadline=settings.deadline,
            canary=settings.canary,
        )
        try:
            self._process.start()
        except BaseException:
            self._process.close()
            raise
        self._clock = Clock()

    def __call__(self, shard: Shard) -> Receipt:
        with self._clock.shard() as spent:
            planned = self._rows.planned(shard)
            outcomes, outputs = self._process.read_and_tag(sources(to_tag(planned)))
            spent |= self._process.process.take_seconds()
            with timed(spent, "commit"):
                receipt = commit_rows(self._settings, shard, planned, outcomes, outputs)
        self._spent.add("workers", spent, len(outcomes))
        return receipt

    def stop(self) -> None:
        self._process.stop()

    def close(self) -> None:
        self._process.close()


@dataclass(frozen=True)
class _ShardImages:
    shard: Shard
    images: Images


@dataclass(frozen=True)
class _ShardOutputs:
    shard: Shard
    outcomes: Sequence[Seen | ImageError]
    outputs: Outputs


class _Read:
    """Reads the images of shards."""

    def __init__(self, settings: ShardSettings, spent: Spent) -> None:
        self._rows = Rows(settings)
        self._reader = ShardReader(settings)
        self._spent, self._clock = spent, Clock()

    def __call__(self, shard: Shard) -> _ShardImages:
        with self._clock.shard() as spent:
            images = self._reader.read(to_tag(self._rows.planned(shard)))
            spent |= self._reader.take_seconds()
        self._spent.add("readers", spent, len(images.outcomes))
        return _ShardImages(shard, images)

    def stop(self) -> None:
        self._reader.stop()

    def close(self) -> None:
        self._reader.close()


class _Tag:
    """Tags the images of shards on one device."""

    def __init__(self, bundle: Bundle, workers: Workers, number: int, spent: Spent) -> None:
        if workers.device == "cuda":
            import torch

            torch.cuda.set_device(number)  # of this thread
        self._tagger = Tagger(bundle, workers.device, workers.precision)
        self._spent, self._clock = spent, Clock("inference")

    def __call__(self, item: _ShardImages) -> _ShardOutputs:
        with self._clock.shard() as seconds:
            outputs = self._tagger.tag(item.images.pixels)
        self._spent.add("taggers", seconds)
        return _ShardOutputs(item.shard, item.images.outcomes, outputs)  # without the pixels

    def stop(self) -> None: ...

    def close(self) -> None: ...


class _Commit:
    """Commits the rows of shards."""

    def __init__(self, settings: ShardSettings, spent: Spent) -> None:
        self._settings = settings
        self._rows = Rows(settings)
        self._spent, self._clock = spent, Clock("commit")

    def __call__(self, item: _ShardOutputs) -> Receipt:
        with self._clock.shard() as seconds:
            planned = self._rows.planned(item.shard)
            receipt = commit_rows(self._settings, item.shard, planned, item.outcomes, item.outputs)
        self._spent.add("committers", seconds)
        return receipt

    def stop(self) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class _Stage:
    """Threads that do one step: `make` returns the worker of each, which is given its number, in that thread."""

    make: Callable[[int], _Worker]
    count: int


def _through(shards: Sequence[Shard], stages: Sequence[_Stage]) -> Generator[Receipt]:
    """Send shards through the stages and yield what comes out of the last, in no promised order.

    Between two stages wait at most as many items as the later one has threads.
    """
    run = _Run()
    source: queue.Queue[Any] = queue.Queue()
    for shard in shards:
        source.put(shard)
    try:
        for number, stage in enumerate(stages):
            sink: queue.Queue[Any] = run.results if stage is stages[-1] else queue.Queue(stages[number + 1].count)
            for place in range(min(stage.count, len(shards))):
                run.start(stage, place, source, sink)
            source = sink
        for _ in shards:
            result = run.results.get()
            if isinstance(result, BaseException):
                raise explained(result) from None
            yield result
    finally:
        run.stop()


class _StoppedError(Exception):
    """The run is over: nobody waits for results any more."""


class _Run:
    """The threads of a run, and the queue of what comes out of them: receipts, or an error."""

    def __init__(self) -> None:
        self.results: queue.Queue[Any] = queue.Queue()
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []
        self._workers: list[_Worker] = []

    def start(self, stage: _Stage, number: int, source: queue.Queue[Any], sink: queue.Queue[Any]) -> None:
        """Start a thread of a stage."""
        thread = threading.Thread(
            target=self._work, args=(stage, number, source, sink), name="artylyze-worker", daemon=True
        )
        thread.start()
        self._threads.append(thread)

    def stop(self) -> None:
        """End all threads and their child processes, soon: they keep no process from ending."""
        self._stopped.set()
        for worker in list(self._workers):
            worker.stop()
        end = time.monotonic() + CLOSING
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _work(self, stage: _Stage, number: int, source: queue.Queue[Any], sink: queue.Queue[Any]) -> None:
        worker = None
        try:
            worker = stage.make(number)
            self._workers.append(worker)
            if self._stopped.is_set():  # meanwhile: `stop` may have missed it
                worker.stop()
            while True:
                self._hand_over(sink, worker(self._take(source)))
        except _StoppedError:
            return
        except BaseException as error:  # whoever waits for receipts gets it
            self.results.put(error)
        finally:
            if worker is not None:
                worker.close()

    def _take(self, source: queue.Queue[Any]) -> Any:
        while not self._stopped.is_set():
            with suppress(queue.Empty):
                return source.get(timeout=POLL)
        raise _StoppedError

    def _hand_over(self, sink: queue.Queue[Any], item: Any) -> None:
        while not self._stopped.is_set():
            with suppress(queue.Full):
                return sink.put(item, timeout=POLL)
        raise _StoppedError


def explained(error: BaseException) -> BaseException:
    """Return what an error within a worker is to the user; the log gets the traceback of one that is unforeseen."""
    known = as_run_error(error)
    if known is not None or not isinstance(error, Exception):
        return known or error
    logging.getLogger("artylyze").error("A worker failed", exc_info=error)
    lines = [line for line in str(error).splitlines() if line.strip()] or [""]
    what = lines[0] if len(lines) == 1 else f"{lines[0]}: {lines[-1]}"  # of a child that does not start, the cause
    return ArtylyzeError(
        f"A worker failed: {type(error).__name__}: {what}. The same command resumes; if it fails again, it is a defect."
    )
