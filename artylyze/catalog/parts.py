"""Committing a shard as one part, and recognising it by its footer.

The committed part is the only record of what is done. A part appears whole under its final name or not at all, and its
key always holds the same rows; so repeating a put does no harm.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from artylyze.catalog.plan import Shard
from artylyze.errors import StorageError
from artylyze.storage import ConflictError, Store

ROW_GROUP = 256
"""Rows in a row group, at least: what a reader of one row must read, 1.3 MB of embeddings of 1,280 numbers. A search
reads some thirty."""

GROUPS = 32
"""Row groups in a part, at most: a reader of one column in object storage makes a request for each."""

_RECEIPT = b"artylyze.receipt"
_TAIL = 32 * 1024


@dataclass(frozen=True)
class Receipt:
    """A part's content, as its footer records it.

    Attributes:
        key: of the part, below the folder of its run.
        run_id: of the run that wrote it.
        shard_hash: of the planned image ids, in order.
        start: first row in the run's manifest.
        rows: number of rows.
        ok: rows with an embedding.
        errors: rows without one, by error code.
        warnings: rows with an embedding and warnings.
        outside: rows outside what the model knows; None if it does not tell.
    """

    key: str
    run_id: str
    shard_hash: str
    start: int
    rows: int
    ok: int
    errors: dict[str, int]
    warnings: int = 0
    outside: int | None = None


def shard_hash(image_ids: Iterable[str]) -> str:
    """Return a hash of image ids in their order, each delimited by its length."""
    digest = hashlib.sha256()
    for image_id in image_ids:
        data = image_id.encode()
        digest.update(struct.pack("<q", len(data)) + data)
    return digest.hexdigest()[:32]


def commit(
    store: Store, run_id: str, shard: Shard, planned: pa.Table, table: pa.Table, *, conditional: bool
) -> Receipt:
    """Publish a shard's rows with one atomic put.

    Args:
        store: of the run's folder.
        run_id: of the run.
        shard: as planned.
        planned: its manifest rows.
        table: its catalog rows.
        conditional: whether the storage supports conditional puts.

    Raises:
        StorageError: if the key holds another part, or the storage refuses.
        AssertionError: if the rows are not the planned ones: a defect of artylyze, never of the input.
    """
    if not table.column("image_id").equals(planned.column("image_id")):
        raise AssertionError(f"the rows of shard {shard.index} are not those of the plan")
    codes = Counter(table.column("error_code").drop_null().to_pylist())
    hashed = shard_hash(planned.column("image_id").to_pylist())
    receipt = Receipt(
        shard.key,
        run_id,
        hashed,
        shard.start,
        table.num_rows,
        table.num_rows - codes.total(),
        dict(sorted(codes.items())),
        pc.sum(warned(table)).as_py() or 0,
        pc.sum(pc.greater(table.column("outside"), 1)).as_py() or 0 if "outside" in table.column_names else None,
    )
    if not conditional and store.version(shard.key) is not None:
        return _committed(store, receipt)
    try:
        store.put(shard.key, serialise(table, receipt), if_absent=conditional)
    except ConflictError:  # an answer was lost, or a worker was retried while the first attempt went on
        return _committed(store, receipt)
    return receipt


def warned(table: pa.Table) -> pa.ChunkedArray:
    """Tell which rows have warnings, bool (n,); those of an earlier version have the sentence alone, or no column."""
    rows = pa.chunked_array([pa.repeat(False, len(table))])
    if "warning" in table.column_names:
        rows = table.column("warning").is_valid()
    if "warnings" in table.column_names:
        rows = pc.or_kleene(pc.greater(pc.list_value_length(table.column("warnings")), 0), rows)
    return rows


def _committed(store: Store, receipt: Receipt) -> Receipt:
    """Return the receipt of the part under this key, if it is the one to be committed."""
    committed = read_receipt(store, receipt.key)
    if committed is None or (committed.run_id, committed.shard_hash) != (receipt.run_id, receipt.shard_hash):
        raise StorageError(f"{store.url}/{receipt.key} exists and was not written by this run. Move it away.")
    return committed


def serialise(table: pa.Table, receipt: Receipt) -> memoryview:
    """Return a part as Parquet bytes with its receipt in the footer."""
    sink = pa.BufferOutputStream()
    schema = table.schema.with_metadata({_RECEIPT: json.dumps(asdict(receipt)).encode()})
    plain = [name for name in table.column_names if name not in ("embedding", "colors", "thumbnail")]
    with pq.ParquetWriter(
        sink,
        schema,
        compression="zstd",
        use_dictionary=plain,
        write_statistics=["image_id"],
        write_page_checksum=True,
    ) as writer:
        writer.write_table(table.cast(schema), row_group_size=max(ROW_GROUP, -(-len(table) // GROUPS)))
    return memoryview(sink.getvalue()).cast("B")  # obstore takes no signed bytes


def read_footer(store: Store, key: str) -> pq.FileMetaData | None:
    """Read the footer of a Parquet file in one request, or two for a long one; None if it is not a Parquet file."""
    tail = store.tail(key, _TAIL)
    if len(tail) < 8 or tail[-4:] != b"PAR1":
        return None
    length = struct.unpack("<I", tail[-8:-4])[0] + 8
    if length > len(tail):
        tail = store.tail(key, length)
    try:
        # pyarrow reads the footer alone, and checks the first four bytes.
        return pq.read_metadata(pa.BufferReader(b"PAR1" + tail[-length:]))
    except (pa.ArrowException, OSError, ValueError):  # ValueError: names that are not UTF-8
        return None


def read_receipt(store: Store, key: str) -> Receipt | None:
    """Read the receipt in a part's footer; None if artylyze did not write the object."""
    footer = read_footer(store, key)
    try:
        return None if footer is None else Receipt(**json.loads((footer.metadata or {})[_RECEIPT]))
    except (KeyError, TypeError, ValueError):
        return None


def read_receipts(store: Store, run_id: str, shards: Sequence[Shard], *, committed: bool = False) -> dict[int, Receipt]:
    """Return the receipts of the shards that are committed, by shard index.

    Args:
        store: of the run's folder.
        run_id: of the run.
        shards: of its plan.
        committed: whether all of these are, and need not be listed: a store may list late what it has.

    Raises:
        StorageError: if another run wrote a part under one of their keys, or a committed one is not there.
    """
    by_key = {shard.key: shard for shard in shards}
    keys = by_key if committed else (entry.key for entry in store.list("parts/part-"))
    listed = [by_key[key] for key in keys if key in by_key]
    with ThreadPoolExecutor(32) as pool:
        receipts = dict(
            zip((s.index for s in listed), pool.map(lambda s: read_receipt(store, s.key), listed), strict=True)
        )
    for shard in listed:
        receipt = receipts[shard.index]
        if receipt is None or (receipt.run_id, receipt.key, receipt.start, receipt.rows) != (
            run_id,
            shard.key,
            shard.start,
            shard.rows,
        ):
            raise StorageError(f"{store.url}/{shard.key} is not a part of this run. Move it away, then run again.")
    return {index: receipt for index, receipt in receipts.items() if receipt is not None}
