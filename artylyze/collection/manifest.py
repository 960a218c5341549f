"""The manifest: one row per image of a collection, sorted and frozen, from which every run is planned."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from artylyze.errors import InputError
from artylyze.storage import is_url, open_store, split_target
from artylyze.storage.nearest import did_you_mean

ROW_GROUP = 16_384
"""Rows in a row group: the least that a worker reads to get its own rows."""

COLUMNS = (
    pa.field("image_id", pa.string(), nullable=False),
    pa.field("record_id", pa.string(), nullable=False),
    pa.field("uri", pa.string(), nullable=False),
    pa.field("size", pa.int64()),
    pa.field("validator", pa.string()),
)
"""The columns of every manifest; `metadata struct<...>` follows where the collection has any."""


@dataclass(frozen=True)
class Manifest:
    """A checked manifest.

    Attributes:
        url: its path or address.
        digest: SHA-256 of its rows, in hexadecimal: equal rows, equal digest.
        sizes: int64 (rows), bytes of each image, null where unknown.
        metadata: type of the metadata struct, None where there is none.
    """

    url: str
    digest: str
    sizes: pa.Int64Array
    metadata: pa.StructType | None

    @property
    def rows(self) -> int:
        """Number of images."""
        count: int = len(self.sizes)
        return count

    @property
    def bytes(self) -> int:
        """Total size, bytes; images of unknown size count with the mean of the others."""
        known: int = pc.sum(self.sizes).as_py() or 0
        mean: float = known / max(1, self.rows - self.sizes.null_count)
        return round(mean * self.rows)


def write_manifest(batches: Iterable[pa.RecordBatch], schema: pa.Schema, target: str) -> int:
    """Write sorted rows as a manifest, atomically; return the number of rows."""
    folder, name = split_target(target)
    with TemporaryDirectory(prefix="artylyze-") as temporary:
        path = Path(temporary, "manifest.parquet")
        rows = 0
        with pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True) as writer:
            for table in _in_groups(batches, schema):
                writer.write_table(table, row_group_size=ROW_GROUP)
                rows += table.num_rows
        open_store(folder).upload(name, path)
    return rows


def open_manifest(url: str, *, ordered: bool = True) -> Manifest:
    """Open and check a manifest: its columns, one row per image id, and (unless it is a run's own) their order.

    Raises:
        InputError: if it is not a manifest, or image ids are repeated or out of order.
    """
    with open_rows(url) as file:
        schema = file.schema_arrow
        _check_columns(url, schema)
        if ordered and (foreign := set(schema.names) - {field.name for field in COLUMNS} - {"metadata"}):
            raise InputError(
                f"{url} has columns that do not belong in a manifest: {', '.join(sorted(foreign))}. Join your "
                "own columns with `artylyze scan --metadata`."
            )
        digest, sizes, last = hashlib.sha256(), [], None
        for batch in _batches(url, file):
            _check_nulls(url, batch)
            if ordered:
                last = _check_order(url, batch.column("image_id"), last)
            digest.update(_canonical(batch))
            sizes.append(batch.column("size"))
    metadata = schema.field("metadata").type if "metadata" in schema.names else None
    return Manifest(url, digest.hexdigest(), pa.chunked_array(sizes, pa.int64()).combine_chunks(), metadata)


def copy_manifest(url: str, target: str) -> None:
    """Copy a manifest with row groups of ROW_GROUP rows: every shard reads whole row groups."""
    with open_rows(url) as file:
        groups = (file.metadata.row_group(number).num_rows for number in range(file.metadata.num_row_groups))
        if is_url(url) or any(rows > ROW_GROUP for rows in groups):
            write_manifest(_batches(url, file), file.schema_arrow, target)
            return
    folder, name = split_target(target)
    open_store(folder).upload(name, Path(url))


def looks_like_manifest(url: str) -> bool:
    """Whether a Parquet file is a manifest, by its columns."""
    with open_rows(url) as file:
        return {field.name for field in COLUMNS} <= set(file.schema_arrow.names)


def open_rows(url: str) -> pq.ParquetFile:
    """Open a manifest for `read_rows`; raise InputError if there is none."""
    folder, name = split_target(url)
    store = open_store(folder)
    if store.version(name) is None:
        raise InputError(f"There is no file {url}.{did_you_mean(url)}")
    try:
        return pq.ParquetFile(store.open(name), page_checksum_verification=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _unreadable(url, error) from error


def read_rows(file: pq.ParquetFile, start: int, stop: int) -> pa.Table:
    """Read the rows [start, stop) of an open manifest: only the row groups that hold them."""
    groups: list[int] = []
    first, row = start, 0
    for group in range(file.metadata.num_row_groups):
        count = file.metadata.row_group(group).num_rows
        if row < stop and row + count > start:
            first = row if not groups else first
            groups.append(group)
        row += count
    return file.read_row_groups(groups).slice(start - first, stop - start).combine_chunks()


def _batches(url: str, file: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    try:
        for batch in file.iter_batches(batch_size=ROW_GROUP):
            batch.validate(full=True)  # text that is not UTF-8
            yield batch
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _unreadable(url, error) from error


def _unreadable(url: str, error: Exception) -> InputError:
    return InputError(f"{url} cannot be read as a Parquet file: {str(error).splitlines()[0]}")


def _check_columns(url: str, schema: pa.Schema) -> None:
    for field in COLUMNS:
        if field.name not in schema.names or schema.field(field.name).type != field.type:
            raise InputError(
                f"{url} is not a manifest (no column `{field.name}` of type {field.type}). "
                "Make one with `artylyze scan`."
            )


def _check_nulls(url: str, batch: pa.RecordBatch) -> None:
    for field in COLUMNS:
        if not field.nullable and batch.column(field.name).null_count:
            raise InputError(f"{url} has rows without `{field.name}`. Make it again with `artylyze scan`.")


def _check_order(url: str, ids: pa.StringArray, last: str | None) -> str | None:
    if not len(ids):
        return last
    before = pa.concat_arrays([pa.array([last], pa.string()), ids.slice(0, len(ids) - 1)])
    wrong = pc.indices_nonzero(pc.fill_null(pc.less_equal(ids, before), False))
    if len(wrong):
        row = wrong[0].as_py()
        repeated = ids[row].as_py() == before[row].as_py()
        what = f"repeats the image_id {ids[row].as_py()!r}" if repeated else "is not sorted by image_id"
        raise InputError(f"{url} {what}. Each image must have one row: make the manifest again with `artylyze scan`.")
    return str(ids[-1].as_py())


def _canonical(batch: pa.RecordBatch) -> bytes:
    """Return bytes that depend on the rows only, not on slices or files.

    `take` writes zeros below nulls, where readers leave arbitrary values.
    """
    sink = pa.BufferOutputStream()
    clean = batch.replace_schema_metadata().take(pa.array(np.arange(batch.num_rows)))
    with pa.ipc.new_stream(sink, clean.schema) as writer:
        writer.write_batch(clean)
    return bytes(sink.getvalue())


def _in_groups(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    """Yield tables of ROW_GROUP rows, the last one smaller, whatever the sizes of the batches."""
    waiting: list[pa.Table] = []
    rows = 0
    for batch in batches:
        # Cast at once: in batches every column is nullable, in the schema it is not.
        waiting.append(pa.Table.from_batches([batch]).cast(schema))
        rows += batch.num_rows
        if rows >= ROW_GROUP:
            table = pa.concat_tables(waiting)
            whole = rows - rows % ROW_GROUP
            yield from (table.slice(start, ROW_GROUP) for start in range(0, whole, ROW_GROUP))
            waiting, rows = [table.slice(whole)], rows - whole
    if rows:
        yield pa.concat_tables(waiting)
