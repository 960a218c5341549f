"""What a run must do on top of a snapshot: which parts it rewrites, which rows it copies, which images it tags.

An affected part is rewritten whole into the new run, its unchanged rows copied; new images become new shards; images
that are gone drop out; every other part stays where it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from artylyze.catalog.plan import Shard, plan_shards
from artylyze.catalog.snapshot import Part, Snapshot, read_parts
from artylyze.errors import ErrorCode, InputError
from artylyze.manifest import COLUMNS, ROW_GROUP, open_manifest, open_rows, write_manifest
from artylyze.storage import open_store
from artylyze.tables import open_database

if TYPE_CHECKING:
    import duckdb

COPY = (pa.field("part", pa.string()), pa.field("row", pa.int64()))
"""Two more columns of such a run's manifest: the part that a row belongs to, and its row there if it is copied."""

UNBOUNDED = 2**31
"""Images of a collection whose shards are as large as shards become: rewritten parts are cut at that size."""

INSERTED = 65_536
"""Rows from which on what was read of parts is inserted into the database."""

_OLD = ("image_id", "record_id", "uri", "validator", "status", "error_code")


@dataclass(frozen=True)
class Changes:
    """What a run does on top of a snapshot.

    Attributes:
        shards: of the run's manifest: the rewritten parts first, then the new images.
        kept: the parts that stay.
        tagged: images to read.
        copied: rows to copy.
        removed: images of the snapshot that are gone.
    """

    shards: tuple[Shard, ...]
    kept: tuple[Part, ...]
    tagged: int
    copied: int
    removed: int


def plan_changes(
    catalog: str,
    snapshot: Snapshot,
    manifest: str | None,
    target: str,
    *,
    size: Callable[[int], int],
    retry_failed: bool,
) -> Changes:
    """Write the manifest of a run on top of a snapshot to `target`, and return its plan.

    Args:
        catalog: address of the catalog.
        snapshot: its snapshot.
        manifest: address of the collection's manifest of today; None to leave the collection as the snapshot has it.
        target: where the run's manifest goes.
        size: gives the images in a shard for a number of new images.
        retry_failed: whether images are tagged again that failed for a reason that can pass.

    Raises:
        InputError: if the catalog has metadata and the manifest has none.
    """
    with open_database() as database:
        old_type = _load_old(database, catalog, snapshot)
        new_type = old_type
        if manifest is not None:
            new_type = _load_new(database, manifest)
            if new_type is None and old_type is not None:
                raise InputError(
                    f"The catalog {catalog} carries your metadata, and this source has none. Make a manifest with "
                    "`artylyze scan ... --metadata`, and give that."
                )
        else:
            database.execute("CREATE TABLE fresh AS SELECT *, NULL::BIGINT AS size FROM old")
        _judge(database, described=new_type is not None and new_type == old_type, retry_failed=retry_failed)
        metadata = () if new_type is None else (pa.field("metadata", new_type),)
        columns = ", ".join(field.name for field in (*COLUMNS, *metadata))
        everything = new_type != old_type or _lacks_warnings(catalog, snapshot)
        affected = _affected(database, columns, everything=everything)
        names = ", ".join(field.name for field in (*COLUMNS, *COPY, *metadata))
        query = f"SELECT {names} FROM work ORDER BY part NULLS LAST, image_id"
        write_manifest(database.sql(query).to_arrow_reader(ROW_GROUP), pa.schema([*COLUMNS, *COPY, *metadata]), target)
        counted = database.execute("SELECT count(*) FILTER (row IS NULL), count(row) FROM work").fetchone() or (0, 0)
        rewritten = database.execute(
            "SELECT part, count(*) FROM work WHERE part IS NOT NULL GROUP BY part ORDER BY part"
        ).fetchall()
        sizes = database.sql("SELECT size FROM work WHERE part IS NULL ORDER BY image_id").to_arrow_table()
        removed = database.execute(
            "SELECT count(*) FROM old WHERE image_id NOT IN (SELECT image_id FROM fresh)"
        ).fetchone()
    shards: list[Shard] = []
    start = 0
    largest = size(UNBOUNDED)
    for _, rows in rewritten:  # a part of a compacted catalog is more than a worker should take at once
        shards += plan_shards(pa.nulls(rows, pa.int64()), largest, len(shards), start)
        start += rows
    shards += plan_shards(
        sizes.column("size").combine_chunks().cast(pa.int64()), size(sizes.num_rows), len(shards), start
    )
    kept = tuple(part for part in snapshot.parts if part.path not in affected)
    return Changes(tuple(shards), kept, counted[0], counted[1], removed[0] if removed else 0)


def _load_old(database: duckdb.DuckDBPyConnection, catalog: str, snapshot: Snapshot) -> pa.DataType | None:
    """Fill the table `old` with the snapshot's rows, and where each of them lies."""
    with pq.ParquetFile(open_store(catalog).open(snapshot.parts[0].path)) as first:
        schema = first.schema_arrow
    columns = [*_OLD, *(["metadata"] if "metadata" in schema.names else [])]
    empty = pa.schema([*(schema.field(name) for name in columns), *COPY]).empty_table()
    database.register("rows", empty)
    database.execute("CREATE TABLE old AS SELECT * FROM rows")
    waiting: list[pa.Table] = []
    for number, (part, table) in enumerate(read_parts(catalog, snapshot.parts, columns), 1):
        rows = pa.array(np.arange(table.num_rows))
        paths = pa.repeat(part.path, table.num_rows)
        waiting.append(table.append_column("part", paths).append_column("row", rows))
        # Together: each insert is a transaction. Not all in one: that holds its rows beside the database's memory.
        if number == len(snapshot.parts) or sum(one.num_rows for one in waiting) >= INSERTED:
            database.register("rows", pa.concat_tables(waiting, promote_options="permissive"))
            database.execute("INSERT INTO old BY NAME SELECT * FROM rows")
            waiting.clear()
    return schema.field("metadata").type if "metadata" in columns else None


def _lacks_warnings(catalog: str, snapshot: Snapshot) -> bool:
    """Tell whether parts were written before `warning` was a column: all are written again, so that all have one."""
    with pq.ParquetFile(open_store(catalog).open(snapshot.parts[0].path)) as first:
        return "warning" not in first.schema_arrow.names


def _load_new(database: duckdb.DuckDBPyConnection, manifest: str) -> pa.DataType | None:
    """Fill the table `fresh` with the rows of the collection's manifest."""
    if not open_manifest(manifest).rows:  # which also finds repeated images: they would have two rows in the catalog
        raise InputError(f"{manifest} holds no images.")
    with open_rows(manifest) as file:
        schema = file.schema_arrow
        database.register("rows", pa.RecordBatchReader.from_batches(schema, file.iter_batches(ROW_GROUP)))
        database.execute("CREATE TABLE fresh AS SELECT * FROM rows")
    return schema.field("metadata").type if "metadata" in schema.names else None


def _judge(database: duckdb.DuckDBPyConnection, *, described: bool, retry_failed: bool) -> None:
    """Fill the table `judged`: for each image of today its old row, whether that stands and is touched."""
    passing = ", ".join(f"'{code}'" for code in ErrorCode if code.passes_with_time)
    again = f"(old.status = 'error' AND old.error_code IN ({passing}))" if retry_failed else "false"
    database.execute(
        f"""
        CREATE TABLE judged AS
        SELECT fresh.*, old.part AS old_part, old.row AS old_row,
               old.image_id IS NOT NULL AND old.uri = fresh.uri AND NOT {again} AND (
                   old.validator IS NULL OR fresh.validator IS NULL OR old.validator = fresh.validator
                   OR split_part(old.validator, ':', 1) <> split_part(fresh.validator, ':', 1)) AS stands,
               old.record_id IS DISTINCT FROM fresh.record_id
                   {"OR old.metadata IS DISTINCT FROM fresh.metadata" if described else ""} AS touched
        FROM fresh LEFT JOIN old ON old.image_id = fresh.image_id
        """
    )


def _affected(database: duckdb.DuckDBPyConnection, columns: str, *, everything: bool) -> set[str]:
    """Fill the table `work`; return the paths of the parts that must be written again."""
    database.execute(
        f"""
        CREATE TABLE affected AS
        SELECT old_part AS path FROM judged WHERE old_part IS NOT NULL AND (touched OR NOT stands OR {everything})
        UNION SELECT part FROM old WHERE image_id NOT IN (SELECT image_id FROM fresh);
        CREATE TABLE work AS
        SELECT {columns}, old_part AS part, CASE WHEN stands THEN old_row END AS row FROM judged
        WHERE old_part IS NULL OR old_part IN (SELECT path FROM affected)
        """
    )
    return {str(row[0]) for row in database.execute("SELECT path FROM affected").fetchall()}
