"""The Ray Data pipeline: one block per shard, carrying only (shard, start, stop); receipts come back.

On CPUs one fused stage reads, tags and commits a shard: its batches go from decoder to model inside one worker. With a
GPU three stages do the same steps, kept apart by their resources; uint8 pixels of a whole shard are all that enters the
object store between them. Ray schedules; what exists is decided by the commit protocol alone.
"""

from __future__ import annotations

import json
import pickle
import re
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import ray
import ray.data
from ray.data._internal.cluster_autoscaler.resource_utilization_gauge import ClusterUtil
from ray.exceptions import OutOfDiskError

from artylyze import errors
from artylyze.catalog.parts import Receipt
from artylyze.catalog.plan import Shard
from artylyze.catalog.run import RunSpec, run_store
from artylyze.errors import ArtylyzeError, InputError, StorageError
from artylyze.models.bundle import Bundle
from artylyze.models.runtimes import Outputs, resolve_device
from artylyze.ray_session import connect, end_actors, living_nodes, may_grow, reporting_waits, resources
from artylyze.tagging.attempts import Attempts
from artylyze.tagging.engine import Workers, as_run_error, unreadable
from artylyze.tagging.shard import (
    Rows,
    ShardReader,
    ShardSettings,
    Tagger,
    commit_rows,
    sources,
    to_tag,
)
from artylyze.tagging.stages import Clock, Seconds, Spent, timed
from artylyze.workers.process import TaggerProcess
from artylyze.workers.supervision import end_with_parent

if TYPE_CHECKING:
    from artylyze.models.runtimes import Device

NO_ROOM = (
    "A node has no room for the images between two stages: Ray's object store there is full, and so is the disk to "
    "which it spills. Start Ray with more `--object-store-memory`, or with `--object-spilling-directory` on another "
    "disk: the same command resumes."
)

COMMITTERS = 2
"""Actors that commit, for each that holds the model: a GPU fills several shards a second."""

_RUNNING: list[ray.data.Dataset] = []
"""Of this process: as long as there is one, actors may be its own."""

COMMIT_CPUS = 0.1
"""Logical CPUs of each of them."""

MANY_SHARDS = 2_000
"""Shards that Ray takes seconds to accept, before the first worker starts."""

Pool = tuple[int, int]
"""Actors of a stage: at first and at most."""


class RayEngine:
    """Drives the shards of a run on the Ray cluster that the environment names, or one that it starts here.

    Args:
        say: called by another thread with what the run waits for.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.logs = connect()
        self.spent = Spent()
        self._say = say

    def resolve_device(self, device: str) -> Device:
        """Resolve `auto` to what the cluster has; one that autoscales may still grow the GPUs that are asked for."""
        if resources().get("GPU") or (device == "cuda" and may_grow()):
            return "cpu" if device == "cpu" else "cuda"
        return resolve_device("cpu" if device == "auto" else device)

    def choose_workers(self, spec: RunSpec, taggers: int | None, readers: int | None, separate: bool | None) -> Workers:
        """Choose the number of workers: see `Engine`.

        A number that was given is asked for at once, and an autoscaling cluster grows to it. Where none was given, the
        workers on such a cluster follow it: they begin with what is there, and Ray Data asks for more and more.
        """
        there, grows, many = resources(), may_grow(), len(spec.shards)
        cpus, gpus = max(1, int(there.get("CPU", 1))), int(there.get("GPU", 0))
        if spec.device == "cpu":
            first = (taggers or cpus, readers or cpus)
        else:
            if not grows and gpus < (taggers or 1):
                raise InputError(
                    f"The run needs {taggers or 1} GPUs and the Ray cluster has {gpus}. Run where they are; to begin "
                    "on CPUs give `device='cpu'`."
                )
            first_taggers = taggers or max(1, gpus)
            committing = COMMIT_CPUS * COMMITTERS * first_taggers
            first = (first_taggers, readers or (max(1, int(cpus - committing)) if grows else cpus))
        most_taggers, most_readers = (
            given or (max(least, many) if grows else least)
            for given, least in zip((taggers, readers), first, strict=True)
        )
        in_stages = spec.device != "cpu" or bool(separate)
        return Workers(spec.device, spec.precision, most_taggers, most_readers, in_stages, *first)

    def tag_shards(
        self, settings: ShardSettings, bundle: Bundle, shards: Sequence[Shard], workers: Workers
    ) -> Generator[Receipt]:
        """Tag shards on the cluster and yield their receipts as they are committed: see `Engine`.

        Raises:
            StorageError: too if a shard kills its worker again and again.
        """
        if not shards:
            return
        if len(shards) >= MANY_SHARDS:
            self._say(f"Handing {len(shards):,} shards to Ray ...")
        dataset = build(settings, ray.put(bundle.for_device(workers.device)), shards, workers)
        _RUNNING.append(dataset)
        try:
            holds_nodes = may_grow()
            with reporting_waits(self._say):
                for number, receipt in enumerate(self._receipts(dataset), 1):
                    yield receipt
                    if holds_nodes and len(shards) - number <= resources().get("CPU", 0):
                        let_idle_nodes_go(dataset)
                        holds_nodes = False
        except ray.exceptions.RayError as error:
            raise _ours(error) from error
        finally:
            _RUNNING.remove(dataset)
            if not _RUNNING and ray.is_initialized():
                end_actors([stage.__name__ for stage in (FusedStage, ReadStage, TagStage, CommitStage)])

    def _receipts(self, dataset: ray.data.Dataset) -> Generator[Receipt]:
        batches: Any = dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
        for batch in batches:
            for row in batch.to_pylist():
                for kind, seconds in json.loads(row["spent"]).items():
                    self.spent.add(kind, seconds)
                self.spent.images += row["images"]
                yield Receipt(**json.loads(row["receipt"]))


def let_idle_nodes_go(dataset: ray.data.Dataset) -> None:
    """Take back what Ray Data asks the autoscaler for: twice as much as there is, as long as the cluster is busy.

    Ray Data gives up its idle actors when no shard is left for them, but repeats its last request for as long as the
    run lasts, for which the autoscaler starts and keeps nodes.
    """
    autoscaler: Any = dataset._current_executor._cluster_autoscaler  # type: ignore[union-attr]
    never = sys.float_info.max
    autoscaler._cluster_scaling_up_util_threshold = ClusterUtil(never, never, never, never)
    autoscaler._last_resource_request = []


def _reader_cpus(workers: Workers) -> float:
    """Logical CPUs that each reader asks for: all of them and the committers fit on a cluster that does not grow."""
    if workers.device == "cpu":
        return 0.4
    free = resources().get("CPU", 1) - COMMIT_CPUS * COMMITTERS * workers.taggers
    return 1.0 if may_grow() else max(0.05, min(1.0, free / workers.readers))


def build(settings: ShardSettings, bundle: Any, shards: Sequence[Shard], workers: Workers) -> ray.data.Dataset:
    """Return the dataset of receipts, not yet executed.

    Args:
        settings: of the run.
        bundle: object reference of the model.
        shards: in the order in which they are to be tagged.
        workers: how to spread them.
    """
    dataset = as_dataset(shards)

    def pool(most: int, first: int | None, each: int = 1) -> Pool:
        most = min(most, len(shards))
        return each * min(most, first or most), each * most

    taggers = pool(workers.taggers, workers.first_taggers)
    if not workers.separate:
        return stage(dataset, FusedStage, taggers, {"num_cpus": 1}, settings, bundle)
    readers = pool(workers.readers, workers.first_readers)
    committers = pool(workers.taggers, workers.first_taggers, COMMITTERS)
    # A GPU's worker asks for no CPU: readers, which are placed first, could leave it none beside its GPU.
    holds_model = {"num_cpus": 0, "num_gpus": 1} if workers.device == "cuda" else {"num_cpus": 0.35}
    cpus = _reader_cpus(replace(workers, taggers=taggers[0], readers=readers[0]))
    read = stage(dataset, ReadStage, readers, {"num_cpus": cpus}, settings)
    tagged = stage(read, TagStage, taggers, holds_model, settings, bundle, workers)
    committed = stage(tagged, CommitStage, committers, {"num_cpus": COMMIT_CPUS}, settings)
    if readers[0] == readers[1] and taggers[0] == taggers[1]:
        _bound_memory(committed, settings, shards, readers[1] + 2 * taggers[1] + 1)
    return committed


def as_dataset(shards: Sequence[Shard]) -> ray.data.Dataset:
    """Return a dataset with a block of one row for each shard.

    Most of its time is Ray's put of each block; `from_items` took 1.2 times as long. `ray.data.range` reads in tasks of
    its own, which wait for ever where the actors hold all CPUs.
    """
    dataset: ray.data.Dataset = ray.data.from_blocks([pa.Table.from_pylist([asdict(shard)]) for shard in shards])
    return dataset


def stage(
    dataset: ray.data.Dataset, step: type, pool: Pool, resources: dict[str, Any], *arguments: Any
) -> ray.data.Dataset:
    """Add a stage to a dataset: actors of the class `step`, made with `arguments`, which take blocks of one shard."""
    # Ray Data starts dead actors again, and tries their shards again, without a bound: `Attempts` has one.
    return dataset.map_batches(
        step,
        fn_constructor_args=arguments,
        batch_size=1,  # a block has one row: one shard
        batch_format="pyarrow",
        zero_copy_batch=True,
        compute=ray.data.ActorPoolStrategy(min_size=pool[0], max_size=pool[1], max_tasks_in_flight_per_actor=2),
        **resources,
    )


def _bound_memory(dataset: ray.data.Dataset, settings: ShardSettings, shards: Sequence[Shard], held: int) -> None:
    """Bound the pixels between the stages: each tagger has one shard in hand and one waiting, each reader one.

    Where the pools follow the cluster, Ray Data's own bound does: half of the object stores that there are.
    """
    shard_bytes = max(shard.rows for shard in shards) * settings.size**2 * 3
    limits = ray.data.ExecutionResources(object_store_memory=shard_bytes * held)
    dataset.context.execution_options.resource_limits = limits


class Guard:
    """Ends the run instead of trying a shard again that killed its worker several times."""

    def __init__(self, settings: ShardSettings, stage: str) -> None:
        context = ray.get_runtime_context()
        self._settings = settings
        self._stage = stage
        self._actor = context.get_actor_id()
        self._attempts = Attempts(
            run_store(settings.catalog, settings.run_id),
            settings.session,
            context.get_node_id(),
            living_nodes,
            restarted=bool(context.was_current_actor_reconstructed),
        )

    def start(self) -> AbstractContextManager[None]:
        """While the worker gets ready."""
        return self._attempts.record(f"start-{self._actor}", lambda: "The start of a worker")

    def shard(self, shard: Shard) -> AbstractContextManager[None]:
        """While the worker has a shard in hand."""

        def describe() -> str:
            names = Rows(self._settings).planned(shard).column("image_id")
            return f"Shard {shard.index} ({shard.rows} images, {names[0]} to {names[-1]})"

        return self._attempts.record(f"{self._stage}-{shard.index:05}", describe)


class FusedStage:
    """Reads, tags and commits shards, all in one CPU worker and its child."""

    def __init__(self, settings: ShardSettings, bundle: Any) -> None:
        end_with_parent()
        self._settings = settings
        self._guard = Guard(settings, "fused")
        with self._guard.start():
            self._rows = Rows(settings)
            self._process = TaggerProcess(
                lambda: ray.get(bundle),
                settings.tasks,
                settings.embedding_dim,
                settings.size,
                outside=settings.outside,
                thumbnails=settings.thumbnails,
                deadline=settings.deadline,
                canary=settings.canary,
            )
            self._process.start()
        self._clock = Clock()

    def __call__(self, block: pa.Table) -> pa.Table:
        """Take a block of one shard, return its receipt."""
        shard = _shard(block)
        with self._clock.shard() as spent, self._guard.shard(shard):
            planned = self._rows.planned(shard)
            outcomes, outputs = self._process.read_and_tag(sources(to_tag(planned)))
            spent |= self._process.process.take_seconds()
            with timed(spent, "commit"):
                receipt = commit_rows(self._settings, shard, planned, outcomes, outputs)
        return _receipt(receipt, len(outcomes), {"workers": spent})


class ReadStage:
    """Reads the images of shards."""

    def __init__(self, settings: ShardSettings) -> None:
        end_with_parent()
        self._guard = Guard(settings, "read")
        with self._guard.start():
            self._rows = Rows(settings)
            self._reader = ShardReader(settings)
        self._clock = Clock()

    def __call__(self, block: pa.Table) -> pa.Table:
        """Take a block of one shard, add what was seen of its images, and their pixels."""
        shard = _shard(block)
        with self._clock.shard() as spent, self._guard.shard(shard):
            images = self._reader.read(to_tag(self._rows.planned(shard)))
            spent |= self._reader.take_seconds()
        return _with(
            block, outcomes=pickle.dumps(images.outcomes), pixels=images.pixels, readers=json.dumps(spent).encode()
        )


class TagStage:
    """Tags the images of shards."""

    def __init__(self, settings: ShardSettings, bundle: Any, workers: Workers) -> None:
        end_with_parent()
        self._size = settings.size
        self._guard = Guard(settings, "tag")
        with self._guard.start():
            self._tagger = Tagger(ray.get(bundle), workers.device, workers.precision)
        self._clock = Clock("inference")

    def __call__(self, block: pa.Table) -> pa.Table:
        """Take a block of one shard with pixels, put the model's outputs in their place."""
        with self._clock.shard() as spent, self._guard.shard(_shard(block)):
            pixels = np.frombuffer(_bytes(block, "pixels"), np.uint8).reshape(-1, self._size, self._size, 3)
            outputs = self._tagger.tag(pixels)
        block = block.drop_columns("pixels")
        return _with(block, outputs=pickle.dumps(outputs), taggers=json.dumps(spent).encode())


class CommitStage:
    """Commits the rows of shards."""

    def __init__(self, settings: ShardSettings) -> None:
        end_with_parent()
        self._settings = settings
        self._guard = Guard(settings, "commit")
        with self._guard.start():
            self._rows = Rows(settings)
        self._clock = Clock("commit")

    def __call__(self, block: pa.Table) -> pa.Table:
        """Take a block of one shard with outputs, return its receipt."""
        shard = _shard(block)
        with self._clock.shard() as spent, self._guard.shard(shard):
            outputs: Outputs = pickle.loads(_bytes(block, "outputs"))  # noqa: S301 - written by TagStage a moment ago
            outcomes = pickle.loads(_bytes(block, "outcomes"))  # noqa: S301 - written by ReadStage
            receipt = commit_rows(self._settings, shard, self._rows.planned(shard), outcomes, outputs)
        before = {kind: json.loads(bytes(_bytes(block, kind))) for kind in ("readers", "taggers")}
        return _receipt(receipt, len(outcomes), {**before, "committers": spent})


def _shard(block: pa.Table) -> Shard:
    return Shard(**{name: block.column(name)[0].as_py() for name in ("index", "start", "stop")})


def _receipt(receipt: Receipt, images: int, spent: dict[str, Seconds]) -> pa.Table:
    return pa.table({"receipt": [json.dumps(asdict(receipt))], "images": [images], "spent": [json.dumps(spent)]})


def _with(block: pa.Table, **columns: bytes | npt.NDArray[np.uint8]) -> pa.Table:
    """Add columns of one large binary value each, without a copy."""
    for name, value in columns.items():
        data = pa.py_buffer(np.ascontiguousarray(value) if isinstance(value, np.ndarray) else value)
        offsets = pa.py_buffer(np.array([0, data.size], np.int64))
        block = block.append_column(name, pa.LargeBinaryArray.from_buffers(pa.large_binary(), 1, [None, offsets, data]))
    return block


def _bytes(block: pa.Table, column: str) -> pa.Buffer:
    return block.column(column)[0].as_buffer()


def _ours(error: BaseException) -> ArtylyzeError:
    """Find our own error in what Ray wraps around it, or say what happened."""
    wrapper: BaseException | None = error
    while wrapper is not None:
        if isinstance(wrapper, OutOfDiskError):
            return StorageError(NO_ROOM)
        cause = getattr(wrapper, "cause", None)
        for original in (cause, wrapper):  # the wrapper is of its class too, but says a traceback
            if isinstance(original, BaseException) and (ours := as_run_error(original)):
                return ours
        wrapper = cause if isinstance(cause, BaseException) else wrapper.__cause__
    # An actor that fails while it starts leaves no cause, only the text of its traceback, the last line its error.
    if lines := re.findall(r"^artylyze\.errors\.(\w+): (.+)", str(error), re.MULTILINE):
        name, message = lines[-1]
        kind = getattr(errors, name, ArtylyzeError)
        return kind(message) if issubclass(kind, ArtylyzeError) else unreadable(message)
    return ArtylyzeError(f"A worker failed: {_innermost(error)}. This is a defect: Ray's logs hold the traceback.")


def _innermost(error: BaseException) -> str:
    cause = getattr(error, "cause", None)
    while isinstance(cause, BaseException):
        error, cause = cause, getattr(cause, "cause", None) or cause.__cause__
    return f"{type(error).__name__}: {error}".splitlines()[0]
