"""What drives the shards of a run: Ray Data on a cluster, or threads and child processes on one machine.

Both read, tag and commit a shard by the functions of `artylyze.tagging.shard`; what exists is decided by the commit
protocol alone.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from artylyze.errors import ArtylyzeError, ImageError, StorageError
from artylyze.ray_session import cluster_address
from artylyze.wording import counted

if TYPE_CHECKING:
    from artylyze.catalog.parts import Receipt
    from artylyze.catalog.plan import Shard
    from artylyze.catalog.run import RunSpec
    from artylyze.models.bundle import Bundle
    from artylyze.models.runtimes import Device
    from artylyze.progress import Watcher
    from artylyze.tagging.shard import ShardSettings
    from artylyze.tagging.stages import Spent

ENGINES = ("auto", "local", "ray")


@dataclass(frozen=True)
class Workers:
    """How a run is spread.

    Attributes:
        device: `cpu` or `cuda`.
        precision: of inference.
        taggers: workers that hold the model, at most: one for each GPU, or for each core.
        readers: workers that fetch and decode, at most, where that is a stage of its own.
        separate: whether reading, tagging and committing are three stages, as they are with a GPU.
        first_taggers: of the taggers, those that the run begins with; more follow as the cluster grows. None: all.
        first_readers: the same of the readers.
    """

    device: str
    precision: str
    taggers: int
    readers: int
    separate: bool
    first_taggers: int | None = None
    first_readers: int | None = None


class Engine(Protocol):
    """Drives the shards of a run.

    Attributes:
        spent: what its workers spent on the shards that were committed.
    """

    spent: Spent

    def resolve_device(self, device: str) -> Device:
        """Resolve `auto` to what there is."""

    def choose_workers(self, spec: RunSpec, taggers: int | None, readers: int | None, separate: bool | None) -> Workers:
        """Choose the number of workers where it is None.

        Args:
            spec: of the run: device and precision.
            taggers: workers that hold the model; None: one for each GPU or core that there is, or that comes.
            readers: workers that fetch and decode; None: one for each core that there is, or that comes.
            separate: whether the stages are separate; None: with a GPU only.

        Raises:
            InputError: if there are fewer GPUs than asked for.
        """

    def tag_shards(
        self, settings: ShardSettings, bundle: Bundle, shards: Sequence[Shard], workers: Workers
    ) -> Generator[Receipt]:
        """Tag shards and yield their receipts as they are committed; closing it ends the workers.

        Raises:
            StorageError: if the storage refuses every image, or what a worker wants to commit.
        """


def describe_start(workers: Workers, shards: int) -> str:
    """Say how many of the workers that hold the model begin with that many shards."""
    most = min(workers.taggers, shards)
    first = min(most, workers.first_taggers or most)
    more = "" if first == most else ", and more as the cluster grows"
    return f"starting {counted(first, 'worker')}{more}"


def choose_engine(engine: str, watcher: Watcher | None = None) -> Literal["local", "ray"]:
    """Resolve `auto`: Ray where RAY_ADDRESS names a cluster, as in every Ray job; else this machine alone.

    `watcher` receives a message if RAY_ADDRESS is a dashboard, which is not joined.
    """
    if engine == "local":
        return "local"
    return "ray" if cluster_address(watcher) or engine == "ray" else "local"


def as_run_error(error: BaseException) -> ArtylyzeError | None:
    """Return what an error within a worker is to the run, None for one that is unforeseen."""
    if isinstance(error, ArtylyzeError):
        return error
    return unreadable(str(error)) if isinstance(error, ImageError) else None


def unreadable(what: str) -> StorageError:
    """Return what an ImageError is that came from something else than an image, where it would have become a row."""
    return StorageError(f"A worker cannot read what it needs ({what}). The same command resumes.")
