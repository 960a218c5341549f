"""The work on one shard, in three steps: read its images, tag them, commit its rows. Plain Python, no Ray."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from artylyze.catalog.parts import Receipt, commit
from artylyze.catalog.plan import Shard
from artylyze.catalog.run import run_store
from artylyze.catalog.schema import FROM_MANIFEST, build_rows, catalog_schema
from artylyze.collection.manifest import open_rows, read_rows
from artylyze.errors import ImageError
from artylyze.models.bundle import Bundle, Task
from artylyze.models.runtimes import Outputs, load_runtime
from artylyze.models.scores import score
from artylyze.storage import open_store
from artylyze.workers.fetching import Fetches, FetchThreads, Refusals, Source, all_of
from artylyze.workers.process import ImageProcess
from artylyze.workers.protocol import Seen


@dataclass(frozen=True)
class ShardSettings:
    """What every worker of a run needs to know, besides its shards and the model.

    Attributes:
        catalog: address of the catalog.
        run_id: of the run.
        model_id: of the model.
        tasks: of the model.
        embedding_dim: of the model.
        size: side of the decoded square, pixels.
        top_k: terms kept for each task.
        conditional: whether the storage honours a put that must not replace.
        outside: whether the model tells how far an image lies from what it learned.
        thumbnails: whether the catalog keeps a thumbnail of each image.
        deadline: seconds that one image may take to decode.
        canary: address of an object that could be read when the run began.
        session: of the command that drives the run.
    """

    catalog: str
    run_id: str
    model_id: str
    tasks: tuple[Task, ...]
    embedding_dim: int
    size: int
    top_k: int
    conditional: bool
    outside: bool = False
    thumbnails: bool = False
    deadline: float = 60.0
    canary: str | None = None
    session: str = ""

    @property
    def manifest(self) -> str:
        """Address of the run's manifest."""
        return f"{self.catalog.rstrip('/')}/runs/{self.run_id}/manifest.parquet"


@dataclass(frozen=True)
class Images:
    """The images of a shard that were read.

    Attributes:
        outcomes: for each row to tag what was seen, or why it could not be.
        pixels: uint8 (m, size, size, 3) of those that were seen, in the order of the rows.
    """

    outcomes: Sequence[Seen | ImageError]
    pixels: npt.NDArray[np.uint8]


class Rows:
    """The rows of a run's manifest, opened once."""

    def __init__(self, settings: ShardSettings) -> None:
        self._file = open_rows(settings.manifest)

    def planned(self, shard: Shard) -> pa.Table:
        """Return the manifest rows of a shard."""
        return read_rows(self._file, shard.start, shard.stop)


def to_tag(planned: pa.Table) -> pa.Table:
    """Return the rows whose images must be read: all, but those that an update copies."""
    if "row" not in planned.column_names:
        return planned
    return planned.filter(planned.column("row").is_null())


def rows_to_read(manifest: pq.ParquetFile) -> npt.NDArray[np.int64]:
    """Return the numbers of the rows whose images must be read, int64 (n), ascending: as `to_tag`, of all rows."""
    if "row" not in manifest.schema_arrow.names:
        return np.arange(manifest.metadata.num_rows)
    copied = manifest.read(columns=["row"]).column("row").is_valid().to_numpy()
    return np.flatnonzero(~copied)


def sources(rows: pa.Table) -> list[Source]:
    """Return where the images of manifest rows lie."""
    columns = (rows.column(name).to_pylist() for name in ("uri", "validator", "size"))
    return [Source(*values) for values in zip(*columns, strict=True)]


class ShardReader:
    """Reads the images of shards: threads that fetch, and a child that decodes."""

    def __init__(self, settings: ShardSettings) -> None:
        self._size = settings.size
        self._canary = settings.canary
        self._threads = FetchThreads()
        self._process = ImageProcess(
            settings.size, colors=True, thumbnails=settings.thumbnails, deadline=settings.deadline
        )

    def stop(self) -> None:
        """End the child and the threads, from any thread: a `read` that is going on fails soon."""
        self._threads.close()
        self._process.stop()

    def close(self) -> None:
        """End the child and the threads, when no `read` is going on."""
        self._threads.close()
        self._process.close()

    def take_seconds(self) -> dict[str, float]:
        """Return what `read` spent on fetching and decoding since the last call."""
        taken = self._process.take_seconds()
        return {stage: taken[stage] for stage in ("fetch", "decode")}

    def read(self, rows: pa.Table) -> Images:
        """Read the images of manifest rows into one array.

        Raises:
            StorageError: if images are refused and the canary too.
        """
        wanted = sources(rows)
        outcomes: list[Seen | ImageError | None] = [None] * len(wanted)
        slots = np.empty((len(wanted), self._size, self._size, 3), np.uint8)

        def deliver(numbers: Sequence[int], pixels: npt.NDArray[np.uint8]) -> None:
            slots[numbers] = pixels

        refusals = Refusals(self._canary)
        self._process.run(Fetches(self._threads, wanted), outcomes, refusals, deliver)
        refusals.settle(outcomes)
        seen = all_of(outcomes)
        good = [number for number, outcome in enumerate(seen) if isinstance(outcome, Seen)]
        return Images(seen, slots if len(good) == len(seen) else slots[good])


class Tagger:
    """A model on a device: pixels in, embeddings and logits out.

    Args:
        bundle: the model.
        device: `cpu` or `cuda`.
        precision: of inference.
    """

    def __init__(self, bundle: Bundle, device: str = "cpu", precision: str = "float32") -> None:
        self._runtime = load_runtime(bundle, device, precision)
        self.nothing = Outputs(
            np.empty((0, bundle.embedding_dim), np.float32),
            {task.name: np.empty((0, len(task.terms)), np.float32) for task in bundle.tasks},
            np.empty(0, np.float32) if bundle.outside else None,
        )

    def tag(self, pixels: npt.NDArray[np.uint8]) -> Outputs:
        """Return what the model says of uint8 (n, size, size, 3)."""
        return self._runtime.run(pixels) if len(pixels) else self.nothing


def commit_rows(
    settings: ShardSettings, shard: Shard, planned: pa.Table, outcomes: Sequence[Seen | ImageError], outputs: Outputs
) -> Receipt:
    """Make the catalog rows of a shard and publish them.

    Args:
        settings: of the run.
        shard: what the plan asks for.
        planned: its manifest rows (n).
        outcomes: of the m rows that were to be tagged.
        outputs: of the images among them that could be read.
    """
    metadata = planned.schema.field("metadata").type if "metadata" in planned.column_names else None
    names = [task.name for task in settings.tasks]
    uris = {task.name: dict(zip(task.terms, task.uris, strict=True)) for task in settings.tasks if task.uris}
    schema = catalog_schema(names, metadata, thumbnails=settings.thumbnails, outside=settings.outside, uris=uris)
    table = build_rows(
        schema,
        to_tag(planned),
        outcomes,
        outputs.embedding,
        {task.name: score(outputs.logits[task.name], task, settings.top_k, outputs.outside) for task in settings.tasks},
        outside=outputs.outside,
        uris=uris,
        model_id=settings.model_id,
        run_id=settings.run_id,
    )
    if table.num_rows < planned.num_rows:
        table = _with_copies(settings.catalog, planned, table)
    store = run_store(settings.catalog, settings.run_id)
    return commit(store, settings.run_id, shard, planned, table, conditional=settings.conditional)


def _with_copies(catalog: str, planned: pa.Table, tagged: pa.Table) -> pa.Table:
    """Return the rows of a rewritten part: what was tagged now, and the old rows under today's names and metadata."""
    copied = planned.filter(planned.column("row").is_valid())
    path = copied.column("part")[0].as_py()
    with pq.ParquetFile(open_store(catalog).open(path), page_checksum_verification=True) as file:
        old = _take_rows(file, copied.column("row").to_numpy())
    columns: dict[str, Any] = {name: old.column(name) for name in tagged.column_names if name in old.column_names}
    for field in tagged.schema:  # a part of an earlier version may lack columns of this one
        columns.setdefault(field.name, pa.nulls(old.num_rows, field.type))
    today = [name for name in FROM_MANIFEST if name in copied.column_names and name != "validator"]
    columns |= {name: copied.column(name) for name in today}  # the validator stays: it tells which version was read
    whole = pa.concat_tables([tagged, pa.table(columns).select(tagged.column_names).cast(tagged.schema)])
    return whole.sort_by("image_id")


def _take_rows(file: pq.ParquetFile, rows: npt.NDArray[np.int64]) -> pa.Table:
    """Read rows of an open part by their ascending numbers, int64 (n): only the row groups that hold them."""
    groups = range(file.metadata.num_row_groups)
    ends = np.cumsum([file.metadata.row_group(group).num_rows for group in groups])
    first, last = np.searchsorted(ends, [rows[0], rows[-1]], side="right").tolist()
    start = int(ends[first - 1]) if first else 0
    return file.read_row_groups(list(range(first, last + 1))).take(pa.array(rows - start))
