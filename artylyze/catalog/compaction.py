"""Compaction: a run that rewrites the rows of a catalog into few, large, sorted parts.

The old parts stay for readers that still use the earlier snapshot, until `artylyze gc` removes them.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version

import pyarrow as pa
import pyarrow.parquet as pq

from artylyze import __version__
from artylyze.catalog.parts import Receipt, commit, read_footer, read_receipts
from artylyze.catalog.plan import Shard
from artylyze.catalog.run import Lease, RunSpec, make_run_id, probe_conditional, run_store, write_spec, write_success
from artylyze.catalog.snapshot import Part, Snapshot, read_parts, read_snapshot, write_snapshot
from artylyze.errors import InputError, StorageError
from artylyze.progress import Watcher
from artylyze.storage import Store, open_store
from artylyze.storage.contract import first_line
from artylyze.wording import counted

PART_BYTES = 128 * 10**6
"""Target size of a part, bytes: large enough for object storage, small enough to be rewritten by an update and to be
held in memory a few times."""

FULL = 0.75
"""Share of PART_BYTES from which a part is kept, as those of a compacted catalog are."""

MEMORY_RATIO = 4
"""Usual bytes in memory for each byte of a part; a part that compresses better counts as larger."""

CACHE_BYTES = 512 * 2**20
"""Bytes of source parts kept in memory, so that one whose rows go to several new parts is read once."""

READERS = 16
"""Threads that read footers at once."""


@dataclass(frozen=True, slots=True)
class Source:
    """A part of the catalog as compaction sees it.

    Attributes:
        part: of the snapshot.
        first, last: its least and its greatest image_id.
        bytes: size of the file, or 1 / MEMORY_RATIO of its size in memory if that is more.
    """

    part: Part
    first: str
    last: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Slice:
    """Rows [start, stop) of a part."""

    path: str
    start: int
    stop: int

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Target:
    """A part of the compacted catalog: a range of image ids from other parts.

    Attributes:
        slices: its rows in the old parts.
        kept: the old part, if it stays as it is.
    """

    slices: tuple[Slice, ...]
    kept: Part | None

    @property
    def rows(self) -> int:
        """Number of rows."""
        return sum(piece.rows for piece in self.slices)


@dataclass(frozen=True)
class Compacted:
    """The result of a compaction: the snapshot, the number of parts before, and the number of new parts."""

    snapshot: Snapshot
    before: int
    written: int


def compact(catalog: str, watcher: Watcher, *, part_bytes: int = PART_BYTES) -> Compacted:
    """Write the rows of a catalog into sorted parts of about `part_bytes`, and publish them as its snapshot.

    Resumes an interrupted compaction. Memory: CACHE_BYTES and about four times a part, whatever the number of rows.

    Raises:
        InputError: if there is no catalog, or one of its parts is damaged.
        StorageError: if the storage refuses, or another run replaces the snapshot in the meantime.
    """
    store = open_store(catalog)
    replaces = store.version("catalog.json")
    snapshot = read_snapshot(catalog)
    watcher.say(f"Reading the footers of {counted(len(snapshot.parts), 'part')} ...")
    targets = plan_targets(store, read_sources(store, snapshot), part_bytes)
    pending = [target for target in targets if target.kept is None]
    if not pending:
        return Compacted(snapshot, len(snapshot.parts), 0)
    conditional = probe_conditional(store)
    spec = _spec(snapshot, pending, part_bytes)
    runs = run_store(catalog, spec.run_id)
    with Lease(runs, spec.rows, conditional=conditional) as lease:
        spec = write_spec(runs, spec)
        receipts = read_receipts(runs, spec.run_id, spec.shards)
        watcher.start(spec.rows, sum(receipt.rows for receipt in receipts.values()), "Compacting")
        for receipt in _write(catalog, snapshot, runs, spec, pending, receipts, conditional=conditional):
            lease.check()
            lease.update(done=lease.status.done + receipt.rows, ok=lease.status.ok + receipt.ok)
            watcher.advance(receipt.rows, 0)
        result = _publish(catalog, runs, snapshot, spec, targets)
        write_snapshot(catalog, result, replaces=replaces, conditional=conditional)
        lease.update(state="done")
    return Compacted(result, len(snapshot.parts), len(pending))


def read_sources(store: Store, snapshot: Snapshot) -> list[Source]:
    """Read the footer of every part: one request each, and one listing for their sizes."""
    sizes = {entry.key: entry.size for entry in store.list("runs/")}

    def read(part: Part) -> Source:
        footer = read_footer(store, part.path)
        if footer is None or footer.num_rows != part.rows:
            raise InputError(f"{store.uri(part.path)} is damaged or missing: rebuild the catalog.")
        groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
        try:
            column = footer.schema.names.index("image_id")
            ranges = [group.column(column).statistics for group in groups]
            known = all(statistics is not None and statistics.has_min_max for statistics in ranges)
            ends = [(one.min, one.max) for one in ranges] if known else []
        except ValueError as error:  # no such column, or text that is not UTF-8
            raise InputError(f"{store.uri(part.path)} is damaged ({error}): rebuild the catalog.") from error
        if known:
            first, last = min(least for least, _ in ends), max(greatest for _, greatest in ends)
        else:  # writers omit the statistics of long values
            ids = _read_ids(store, part.path)
            first, last = ids[0], ids[-1]
        in_memory = sum(group.total_byte_size for group in groups)
        size = sizes.get(part.path) or _size(store, part.path)  # a store may list late what it has
        return Source(part, first, last, max(size, in_memory // MEMORY_RATIO))

    with ThreadPoolExecutor(READERS) as pool:
        return list(pool.map(read, snapshot.parts))


def _size(store: Store, path: str) -> int:
    with store.open(path) as file:
        return file.seek(0, io.SEEK_END)


def plan_targets(store: Store, sources: Sequence[Source], part_bytes: int) -> list[Target]:
    """Cut the catalog into ranges of image ids of about `part_bytes` each, in order."""
    cuts: list[str] = []  # the last image_id of each target
    size = 0
    ordered = sorted(sources, key=lambda source: source.last)
    for number, source in enumerate(ordered):
        size += source.bytes
        following = ordered[number + 1] if number + 1 < len(ordered) else None
        full = size >= FULL * part_bytes or (following is not None and size + following.bytes > 1.5 * part_bytes)
        if full or following is None:
            cuts.append(source.last)
            size = 0
    slices: list[list[Slice]] = [[] for _ in cuts]
    for source in sorted(sources, key=lambda source: source.first):
        for number, piece in _sliced(store, source, cuts):
            slices[number].append(piece)
    parts = {source.part.path: source.part for source in sources}
    return [Target(tuple(pieces), _whole(pieces, parts)) for pieces in slices if pieces]


def _sliced(store: Store, source: Source, cuts: Sequence[str]) -> Iterator[tuple[int, Slice]]:
    """Yield each target of a part's rows: its number, and the rows."""
    first, last = bisect_left(cuts, source.first), bisect_left(cuts, source.last)
    if first == last:
        yield first, Slice(source.part.path, 0, source.part.rows)
        return
    ids = _read_ids(store, source.part.path)
    ends = [*(bisect_right(ids, cut) for cut in cuts[first:last]), len(ids)]
    start = 0
    for number, end in enumerate(ends, first):
        if end > start:
            yield number, Slice(source.part.path, start, end)
        start = end


def _whole(pieces: Sequence[Slice], parts: dict[str, Part]) -> Part | None:
    """Return the part that consists of exactly these rows, if there is one."""
    part = parts[pieces[0].path]
    return part if len(pieces) == 1 and pieces[0].rows == part.rows else None


def _read_ids(store: Store, path: str) -> list[str]:
    try:
        with pq.ParquetFile(store.open(path), page_checksum_verification=True) as file:
            ids: list[str] = file.read(columns=["image_id"]).column("image_id").to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(f"{store.uri(path)} is damaged ({first_line(error)}): rebuild the catalog.") from error
    if any(first >= second for first, second in itertools.pairwise(ids)):
        raise InputError(f"{store.uri(path)} is not sorted by image_id, or repeats an image: rebuild the catalog.")
    return ids


def _spec(snapshot: Snapshot, pending: Sequence[Target], part_bytes: int) -> RunSpec:
    plan = json.dumps([[asdict(piece) for piece in target.slices] for target in pending])
    digest = hashlib.sha256(plan.encode()).hexdigest()
    shards: list[Shard] = []
    for target in pending:
        start = shards[-1].stop if shards else 0
        shards.append(Shard(len(shards), start, start + target.rows))
    settings = {"part_bytes": part_bytes}
    return RunSpec(
        run_id=make_run_id(operation="compact", parent=snapshot.run_id, plan=digest, settings=settings),
        operation="compact",
        parent=snapshot.run_id,
        model_id=snapshot.model_id,
        tasks=snapshot.tasks,
        dim=snapshot.dim,
        settings=settings,
        device="none",
        precision="none",
        versions={"artylyze": __version__, "pyarrow": version("pyarrow")},
        manifest_digest=digest,
        shards=tuple(shards),
    )


def _write(
    catalog: str,
    snapshot: Snapshot,
    runs: Store,
    spec: RunSpec,
    pending: Sequence[Target],
    done: Collection[int],
    *,
    conditional: bool,
) -> Iterator[Receipt]:
    """Write the targets that are not committed yet, one by one."""
    tables = _Tables(catalog, snapshot)
    for shard, target in zip(spec.shards, pending, strict=True):
        if shard.index in done:
            continue
        rows = tables.read(target.slices)
        _check_once(rows, runs)
        yield commit(runs, spec.run_id, shard, rows.select(["image_id"]), rows, conditional=conditional)


class _Tables:
    """Source parts in memory: the most recently used, up to CACHE_BYTES."""

    def __init__(self, catalog: str, snapshot: Snapshot) -> None:
        self._catalog = catalog
        self._parts = {part.path: part for part in snapshot.parts}
        self._kept: OrderedDict[str, pa.Table] = OrderedDict()

    def read(self, slices: Sequence[Slice]) -> pa.Table:
        """Return rows of several parts as one table, sorted by image_id."""
        missing = list(dict.fromkeys(piece.path for piece in slices if piece.path not in self._kept))
        read = read_parts(self._catalog, [self._parts[path] for path in missing])
        fresh = {part.path: table for part, table in read}
        pieces = []
        for piece in slices:
            table = fresh[piece.path] if piece.path in fresh else self._kept.pop(piece.path)
            pieces.append(table.slice(piece.start, piece.rows))
            if piece.stop < table.num_rows:  # the rest goes to later parts
                self._kept[piece.path] = table
        while self._kept and sum(table.nbytes for table in self._kept.values()) > CACHE_BYTES:
            self._kept.popitem(last=False)
        # Parts of an earlier version may lack a column of later ones: it becomes null.
        whole = pa.concat_tables(pieces, promote_options="default")
        return (whole if len(pieces) == 1 else whole.sort_by("image_id")).combine_chunks()


def _check_once(rows: pa.Table, runs: Store) -> None:
    ids = rows.column("image_id").to_pylist()
    for first, second in itertools.pairwise(ids):
        if first >= second:
            raise InputError(f"Two parts of the catalog have the image {first!r} ({runs.url}): rebuild the catalog.")


def _publish(catalog: str, runs: Store, snapshot: Snapshot, spec: RunSpec, targets: Sequence[Target]) -> Snapshot:
    """Write _SUCCESS.json from the committed parts, and return the new snapshot."""
    receipts = read_receipts(runs, spec.run_id, spec.shards, committed=True)
    new = tuple(Part.committed(spec.run_id, receipts[shard.index]) for shard in spec.shards)
    own = replace(snapshot, run_id=spec.run_id, operation="compact", parts=new)
    waiting = iter(new)
    result = replace(own, parts=tuple(target.kept or next(waiting) for target in targets))
    if (result.rows, result.ok) != (snapshot.rows, snapshot.ok):
        raise StorageError(f"{runs.url} does not hold the rows of the catalog. Remove that folder, then compact again.")
    if read_snapshot(catalog).run_id != snapshot.run_id:
        raise StorageError(f"Another run has replaced the snapshot of {catalog} since. Run the same command again.")
    write_success(runs, {"run_id": spec.run_id, "rows": own.rows, "ok": own.ok, "errors": own.errors})
    return result
