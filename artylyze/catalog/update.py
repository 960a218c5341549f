"""What a run must do on top of earlier parts: which of them it rewrites, which rows it copies, which images it tags.

Earlier parts are those of the snapshot and those that interrupted runs have committed. An affected part is rewritten
whole into the new run, its unchanged rows copied; new images become new shards; images that are gone drop out; every
other part stays where it is. Where several parts have a row for an image, the one that agrees with it is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from artylyze.catalog.plan import Shard, plan_shards
from artylyze.catalog.snapshot import Part, Snapshot, read_parts_with_schemas
from artylyze.collection.manifest import COLUMNS, ROW_GROUP, open_manifest, open_rows, write_manifest
from artylyze.errors import ErrorCode, InputError
from artylyze.storage import open_store
from artylyze.tables import open_database

if TYPE_CHECKING:
    import duckdb

COPY = (pa.field("part", pa.string()), pa.field("row", pa.int64()))
"""Further columns of such a run's manifest: the old part of a row, and its row number there if it is copied."""

UNBOUNDED = 2**31
"""Number of images for which shards have their maximum size: rewritten parts are cut at that size."""

INSERTED = 65_536
"""Rows of parts that are inserted into the database together."""

_OLD = ("image_id", "record_id", "uri", "validator", "status", "error_code")
_LATER = {"warning", "warnings", "colors"}
"""Columns that parts of earlier versions lack."""


@dataclass(frozen=True)
class Changes:
    """What a run changes in a snapshot.

    Attributes:
        shards: of the run's manifest: the rewritten parts first, then the new images.
        kept: parts that stay.
        tagged: number of images to read.
        new: images to read that have no row yet.
        copied: number of rows to copy.
        removed: images of the snapshot that are no longer in the collection.
        taken: images whose row an interrupted run has committed.
        unchecked: images whose row stays although the storage gives no validator to compare.
    """

    shards: tuple[Shard, ...]
    kept: tuple[Part, ...]
    tagged: int
    new: int
    copied: int
    removed: int
    taken: int
    unchecked: int


@dataclass(frozen=True)
class Spare:
    """Parts that an interrupted run has committed; `reread`: it was forced to read the same images as the new run."""

    parts: tuple[Part, ...]
    reread: bool = False


def plan_changes(
    catalog: str,
    snapshot: Snapshot | None,
    manifest: str | None,
    target: str,
    *,
    size: Callable[[int], int],
    retry_failed: bool = False,
    force: Sequence[str] = (),
    spare: Sequence[Spare] = (),
) -> Changes:
    """Write to `target` the manifest of a run that builds on earlier parts, and return its plan.

    Args:
        catalog: address of the catalog.
        snapshot: its snapshot; None without one.
        manifest: address of the collection's current manifest; None to keep the collection as in the snapshot.
        target: address of the run's manifest.
        size: returns the images in a shard, for a number of new images.
        retry_failed: whether to tag images again that failed with a transient error.
        force: globs; images whose image_id or uri matches one are tagged again.
        spare: what interrupted runs have committed, the preferred first.

    Raises:
        InputError: if the catalog has metadata and the manifest has none, or a glob matches no image.
    """
    current = () if snapshot is None else snapshot.parts
    with open_database() as database:
        new_type = None if manifest is None else _load_new(database, manifest)
        old_type = _metadata_type(catalog, current[0]) if current else new_type
        _create_old(database, old_type, digested=manifest is not None)
        _load_old(database, catalog, current, old_type, rank=0)
        if manifest is None:
            new_type = old_type
            database.execute("CREATE TABLE fresh AS SELECT *, NULL::BIGINT AS size FROM old")
        elif new_type is None and old_type is not None:
            raise InputError(
                f"The catalog {catalog} carries your metadata, and this source has none. Make a manifest with "
                "`artylyze scan SOURCE --metadata TABLE`, and tag that."
            )
        database.execute("CREATE TABLE gone AS SELECT part FROM old ANTI JOIN fresh USING (image_id)")
        removed = _count(database, "SELECT count(*) FROM gone")
        for rank, run in enumerate(spare, 1):
            _load_old(database, catalog, run.parts, old_type, rank=rank, reread=run.reread)
        if spare:
            database.execute("INSERT INTO gone SELECT part FROM old ANTI JOIN fresh USING (image_id) WHERE rank > 0")
        _find_forced(database, force)
        database.execute("CREATE TABLE lost (part VARCHAR, row BIGINT)")
        if spare:
            _drop_repeated(database, retry_failed=retry_failed)
        described = manifest is not None and new_type is not None and new_type == old_type
        _compare(database, described=described, retry_failed=retry_failed)
        metadata = () if new_type is None else (pa.field("metadata", new_type),)
        columns = ", ".join(field.name for field in (*COLUMNS, *metadata))
        affected = _affected(database, columns, everything=new_type != old_type)
        names = ", ".join(field.name for field in (*COLUMNS, *COPY, *metadata))
        query = f"SELECT {names} FROM work ORDER BY part NULLS LAST, image_id"
        write_manifest(database.sql(query).to_arrow_reader(ROW_GROUP), pa.schema([*COLUMNS, *COPY, *metadata]), target)
        rewritten = database.execute(
            "SELECT part, count(*) FROM work WHERE part IS NOT NULL GROUP BY part ORDER BY part"
        ).fetchall()
        sizes = database.sql("SELECT size FROM work WHERE part IS NULL ORDER BY image_id").to_arrow_table()
        counted = {
            "tagged": _count(database, "SELECT count(*) FILTER (row IS NULL) FROM work"),
            "new": _count(database, "SELECT count(*) FROM compared WHERE old_part IS NULL"),
            "copied": _count(database, "SELECT count(row) FROM work"),
            "taken": _count(database, "SELECT count(*) FROM compared WHERE valid AND old_rank > 0"),
            "unchecked": _count(database, "SELECT count(*) FROM compared WHERE valid AND unchecked"),
        }
    shards: list[Shard] = []
    start = 0
    largest = size(UNBOUNDED)
    for _, rows in rewritten:  # a part of a compacted catalog is more than a worker should take at once
        shards += plan_shards(pa.nulls(rows, pa.int64()), largest, len(shards), start)
        start += rows
    shards += plan_shards(
        sizes.column("size").combine_chunks().cast(pa.int64()), size(sizes.num_rows), len(shards), start
    )
    earlier = (*current, *(part for run in spare for part in run.parts))
    kept = tuple(part for part in earlier if part.path not in affected)
    return Changes(tuple(shards), kept, removed=removed, **counted)


def _metadata_type(catalog: str, part: Part) -> pa.DataType | None:
    with pq.ParquetFile(open_store(catalog).open(part.path)) as file:
        schema = file.schema_arrow
    return schema.field("metadata").type if "metadata" in schema.names else None


def _create_old(database: duckdb.DuckDBPyConnection, metadata: pa.DataType | None, *, digested: bool) -> None:
    """Create the table `old` of earlier rows, with their part, its rank (0: the snapshot's) and row number.

    Metadata that are only compared are stored as a number (`digested`): they are most of a row.
    """
    strings = pa.schema([(name, pa.string()) for name in _OLD])
    types = [*strings, *COPY]
    if metadata is not None:
        types.append(pa.field("digest", pa.uint64()) if digested else pa.field("metadata", metadata))
    flags = [pa.field("rank", pa.int64()), pa.field("retyped", pa.bool_()), pa.field("reread", pa.bool_())]
    empty = pa.schema([*types, *flags]).empty_table()
    database.register("rows", empty)
    database.execute("CREATE TABLE old AS SELECT * FROM rows")


def _load_old(
    database: duckdb.DuckDBPyConnection,
    catalog: str,
    parts: Sequence[Part],
    metadata: pa.DataType | None,
    *,
    rank: int,
    reread: bool = False,
) -> None:
    """Add the rows of parts to `old`.

    Parts with metadata of another type, or without a column that an earlier version did not write, are marked
    `retyped`: they are rewritten, so that all parts of a catalog have the same columns.
    """
    waiting: list[pa.Table] = []
    for number, (part, schema, table) in enumerate(read_parts_with_schemas(catalog, parts, [*_OLD, "metadata"]), 1):
        type_of_part = table.schema.field("metadata").type if "metadata" in table.column_names else None
        kept = table.select([*_OLD, *(["metadata"] if type_of_part is not None and type_of_part == metadata else [])])
        same = {
            "part": part.path,
            "rank": rank,
            "retyped": type_of_part != metadata or not _LATER.issubset(schema.names),
            "reread": reread,
        }
        for name, value in same.items():
            kept = kept.append_column(name, pa.repeat(value, table.num_rows))
        waiting.append(kept.append_column("row", pa.array(np.arange(table.num_rows))))
        # Several parts at once, for each insert is a transaction; not all, for they are held in memory.
        if number == len(parts) or sum(rows.num_rows for rows in waiting) >= INSERTED:
            rows = pa.concat_tables(waiting, promote_options="permissive")
            digested = "metadata" in rows.column_names and "digest" in database.table("old").columns
            chosen = f"* EXCLUDE (metadata), {_digest('metadata')} AS digest" if digested else "*"
            database.register("rows", rows)
            database.execute(f"INSERT INTO old BY NAME SELECT {chosen} FROM rows")
            waiting.clear()


def _digest(metadata: str) -> str:
    """Return SQL for a 64-bit hash of metadata; null for none."""
    return f"CASE WHEN {metadata} IS NOT NULL THEN hash({metadata}) END"


def _load_new(database: duckdb.DuckDBPyConnection, manifest: str) -> pa.DataType | None:
    """Fill the table `fresh` with the rows of the collection's manifest."""
    if not open_manifest(manifest).rows:  # also refuses repeated images, which would have two rows in the catalog
        raise InputError(f"{manifest} holds no images.")
    with open_rows(manifest) as file:
        schema = file.schema_arrow
        database.register("rows", pa.RecordBatchReader.from_batches(schema, file.iter_batches(ROW_GROUP)))
        database.execute("CREATE TABLE fresh AS SELECT * FROM rows")
    return schema.field("metadata").type if "metadata" in schema.names else None


def _find_forced(database: duckdb.DuckDBPyConnection, force: Sequence[str]) -> None:
    """Fill the table `forced` with the images that match one of the globs; each glob must match some."""
    database.execute("CREATE TABLE forced (image_id VARCHAR)")
    for glob in force:
        matching = "FROM fresh WHERE image_id GLOB $glob OR uri GLOB $glob"
        if not database.execute(f"SELECT 1 {matching} LIMIT 1", {"glob": glob}).fetchall():
            raise InputError(f"`force={glob!r}`: no image_id and no uri of the collection matches it.")
        database.execute(f"INSERT INTO forced SELECT image_id {matching}", {"glob": glob})


def _is_valid(*, retry_failed: bool) -> str:
    """Return SQL for whether a row of `old` is still valid: reading its image in `fresh` would give the same row."""
    passing = ", ".join(f"'{code}'" for code in ErrorCode if code.is_transient)
    again = f"(old.status = 'error' AND old.error_code IN ({passing}))" if retry_failed else "false"
    return f"""(old.image_id IS NOT NULL AND old.uri = fresh.uri AND NOT {again} AND (
                 old.validator IS NULL OR fresh.validator IS NULL OR old.validator = fresh.validator
                 OR split_part(old.validator, ':', 1) <> split_part(fresh.validator, ':', 1))
                 AND (old.reread OR fresh.image_id NOT IN (SELECT image_id FROM forced)))"""


def _drop_repeated(database: duckdb.DuckDBPyConnection, *, retry_failed: bool) -> None:
    """Keep one row for each image in `old`; the others go to `lost`.

    A valid row is preferred, then one without an error, then one of a part of the snapshot that stays as it is, then
    one of the preferred run. A part of the snapshot that must be rewritten comes last: an interrupted run that has
    rewritten it has all its rows.
    """
    valid = f"coalesce({_is_valid(retry_failed=retry_failed)}, false)"
    database.execute(
        f"""
        INSERT INTO lost
        WITH repeated AS (SELECT image_id FROM old GROUP BY image_id HAVING count(*) > 1),
             broken AS (SELECT DISTINCT old.part FROM old LEFT JOIN fresh ON fresh.image_id = old.image_id
                        WHERE old.rank = 0 AND NOT {valid})
        SELECT old.part, old.row FROM old JOIN repeated ON repeated.image_id = old.image_id
             LEFT JOIN fresh ON fresh.image_id = old.image_id LEFT JOIN broken ON broken.part = old.part
        QUALIFY row_number() OVER (PARTITION BY old.image_id ORDER BY {valid} DESC, old.status = 'ok' DESC,
            broken.part IS NOT NULL, old.rank, old.row) > 1;
        DELETE FROM old USING lost WHERE old.part = lost.part AND old.row = lost.row
        """
    )


def _compare(database: duckdb.DuckDBPyConnection, *, described: bool, retry_failed: bool) -> None:
    """Fill the table `compared`: for each row of `fresh` its old row, and whether that can be kept.

    `valid`: reading the image again would give the old row; `touched`: record id, metadata or columns differ.
    """
    metadata_differ = f"OR old.digest IS DISTINCT FROM {_digest('fresh.metadata')}" if described else ""
    database.execute(
        f"""
        CREATE TABLE compared AS
        SELECT fresh.rowid AS place, old.part AS old_part, old.row AS old_row, coalesce(old.rank, 0) AS old_rank,
               coalesce({_is_valid(retry_failed=retry_failed)}, false) AS valid,
               old.retyped OR old.record_id IS DISTINCT FROM fresh.record_id
                   {metadata_differ} AS touched,
               old.validator IS DISTINCT FROM fresh.validator OR fresh.validator IS NULL AS unchecked
        FROM fresh LEFT JOIN old ON old.image_id = fresh.image_id
        """
    )


def _affected(database: duckdb.DuckDBPyConnection, columns: str, *, everything: bool) -> set[str]:
    """Fill the table `work`; return the paths of the parts that must be written again."""
    database.execute(
        f"""
        CREATE TABLE affected AS
        SELECT old_part AS path FROM compared WHERE old_part IS NOT NULL AND (touched OR NOT valid OR {everything})
        UNION SELECT part FROM gone
        UNION SELECT part FROM lost;
        CREATE TABLE work AS
        SELECT {columns}, old_part AS part, CASE WHEN valid THEN old_row END AS row
        FROM compared JOIN fresh ON fresh.rowid = place
        WHERE old_part IS NULL OR old_part IN (SELECT path FROM affected)
        """
    )
    return {str(row[0]) for row in database.execute("SELECT path FROM affected").fetchall()}


def _count(database: duckdb.DuckDBPyConnection, query: str) -> int:
    ((count,),) = database.execute(query).fetchall()
    return int(count)
