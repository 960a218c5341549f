"""From a folder, a bucket or a list of addresses to a manifest: lists the images and joins the catalogue.

DuckDB joins, sorts and checks for repeated ids, on disk if memory is short.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from rich.filesize import decimal

from artylyze.collection.exclusion import Exclusion, LeftOut
from artylyze.collection.join_names import sql_stem
from artylyze.collection.joining import match, name_images, nothing_matched
from artylyze.collection.manifest import COLUMNS, ROW_GROUP, write_manifest
from artylyze.collection.products import Description, descriptions, remove_products
from artylyze.collection.versions import Unknown, add_versions
from artylyze.errors import InputError, UsageError
from artylyze.storage import Entry, Store, Survey, check_output, is_url, open_store, split_target
from artylyze.storage.nearest import check_there
from artylyze.tables import (
    DEFAULT_READING,
    EXTENSIONS,
    Loaded,
    Reading,
    check_options,
    column_named,
    count,
    listed,
    load_table,
    open_database,
    sql_value,
    stripped,
)
from artylyze.wording import counted

if TYPE_CHECKING:
    import duckdb

_LISTING = pa.schema(
    [("image_id", pa.string()), ("uri", pa.string()), ("size", pa.int64()), ("validator", pa.string())]
)


@dataclass(frozen=True)
class MetadataTable:
    """A collection's catalogue, and how it names the images. Raises UsageError for arguments that do not fit together.

    Attributes:
        table: CSV, TSV, spreadsheet or Parquet.
        id_column: its column that becomes `record_id`.
        file_column: its column that names the image file; None: `id_column`.
        file_separator: between several files in one cell; None: a cell names one.
        reading: how to read it.
    """

    table: str
    id_column: str
    file_column: str | None = None
    file_separator: str | None = None
    reading: Reading = DEFAULT_READING

    @classmethod
    def from_options(
        cls,
        table: str | None,
        id_column: str | None,
        file_column: str | None = None,
        file_separator: str | None = None,
        reading: Reading = DEFAULT_READING,
    ) -> MetadataTable | None:
        """Return the table that these arguments describe; None if none of them is given."""
        if table is None:
            names = {"`id_column`": id_column, "`file_column`": file_column, "`file_separator`": file_separator}
            if without := next((option for option, name in names.items() if name is not None), None):
                raise UsageError(
                    f"{without} says how `metadata` is joined to images: give `metadata=TABLE` too. For a list of "
                    "addresses, make a manifest with `artylyze scan LIST --id-column COLUMN`."
                )
            return None
        if not id_column:
            raise UsageError("`metadata` needs `id_column`: the column of that table that identifies an image.")
        return cls(table, id_column, file_column, file_separator, reading)

    def __post_init__(self) -> None:
        if self.file_separator == "":
            raise UsageError("`file_separator` is what stands between two files in a cell, for example ';'.")


@dataclass(frozen=True)
class ScanReport:
    """The result of a scan.

    Attributes:
        images: rows of the manifest.
        bytes: of all images whose size is known.
        passed_over: files that are not images by their extension, or that the user's patterns exclude.
        without_metadata: images that no catalogue row describes.
        ambiguous: images without metadata because several rows match them equally well.
        unused_metadata: catalogue rows that describe no image.
        repeated_ids: catalogue rows with the same name as an earlier row; the first counts.
        shared_records: images beyond the first of a record (recto and verso, 1.tif and 1.jpg).
        without_address: rows of a list of addresses without an address.
        listed_again: rows of such a list that repeat another row.
        left_out: folders and links that were not followed, and what could not be read.
        notes: messages about how the catalogue was read, what did not match, and what an update cannot detect.
        unknown: addresses of a list whose version is not known.
        documents: files of several pages, whose pages are rows.
    """

    images: int
    bytes: int
    passed_over: int
    without_metadata: int
    unused_metadata: int
    repeated_ids: int
    shared_records: int
    ambiguous: int = 0
    without_address: int = 0
    listed_again: int = 0
    left_out: LeftOut = field(default_factory=LeftOut)
    notes: tuple[str, ...] = ()
    unknown: Unknown = field(default_factory=Unknown)
    documents: int = 0

    @property
    def summary(self) -> str:
        """The number of images, their size, and the number of other files."""
        size = f", {decimal(self.bytes)}" if self.bytes else ""
        return f"{counted(self.images, 'image')}{size}; {counted(self.passed_over, 'other file')} skipped."


def is_table(source: str) -> bool:
    """Whether a source is a list of addresses (CSV, TSV, spreadsheet, Parquet), not a folder or a bucket."""
    return source.lower().endswith(EXTENSIONS) and not (not is_url(source) and Path(source).is_dir())


def scan(
    source: str,
    target: str,
    *,
    metadata: str | None = None,
    id_column: str | None = None,
    file_column: str | None = None,
    file_separator: str | None = None,
    glob: str | None = None,
    exclude: Sequence[str] = (),
    pages: bool = False,
    reading: Reading = DEFAULT_READING,
) -> ScanReport:
    """Write the manifest of a collection.

    Args:
        source: a folder, `s3://bucket/prefix` (gs, az likewise), or a table with a `uri` column.
        target: path or address of the manifest.
        metadata: the collection's catalogue: CSV, TSV, spreadsheet or Parquet.
        id_column: its column that becomes `record_id`.
        file_column: its column that names the image file, if that is not `id_column`.
        file_separator: between several files in a cell of that column.
        glob: take the keys that match, instead of those with an image's extension.
        exclude: skip keys, and files and folders by name, that match one of these patterns.
        pages: make each page of a TIFF or PDF a row; reads these files.
        reading: how to read tables.

    Raises:
        UsageError: arguments that do not go together.
        InputError: no images, repeated image ids, a table that cannot be read, lacks a column or names no image.
        StorageError: storage that refuses or does not answer.
    """
    if not target.lower().endswith(".parquet"):
        raise UsageError("A manifest is a .parquet file: give `output` a name that ends in .parquet.")
    check_output(target)
    listed_rows = metadata is None and is_table(source)  # whose own column --id-column names
    catalogue = MetadataTable.from_options(
        metadata, None if listed_rows else id_column, file_column, file_separator, reading
    )
    check_options("`metadata=TABLE`", metadata is not None or is_table(source), reading)
    check_there(source)
    passed_over = 0
    found: dict[str, Any] = {}
    with open_database() as database:
        left_out = LeftOut()
        if is_table(source):
            if catalogue or glob or exclude:
                raise UsageError(
                    "A list of addresses has its own metadata and names its images: omit `metadata`, `glob`, `exclude`."
                )
            found = _take_addresses(database, source, id_column, reading)
            unknown = add_versions(database)
            found |= {"unknown": unknown, "notes": (*found["notes"], *unknown.notes())}
        else:
            passed_over, left_out = _take_listing(database, open_store(source), Exclusion(exclude, glob, pages))
            if catalogue and count(database, "SELECT count(*) FROM images"):
                found = _join(database, catalogue, source)
        if pages:
            from artylyze.collection.pages import add_pages  # loads what decodes

            found["documents"] = add_pages(database)
        return replace(_write(database, source, target, passed_over, left_out), **found)


def describe(report: ScanReport, metadata: str | None) -> str:
    """Return a report in words; `metadata` is the joined catalogue, or None."""
    lines = [report.summary, *report.left_out.notes()]
    if metadata is not None:
        matched = report.images - report.without_metadata
        lines.append(
            f"{counted(matched, 'image')} matched with {metadata}, {report.ambiguous:,} ambiguous, "
            f"{report.without_metadata - report.ambiguous:,} unmatched; {counted(report.unused_metadata, 'row')} "
            f"without an image, {counted(report.repeated_ids, 'row')} repeating a name, "
            f"{counted(report.shared_records, 'image')} sharing a record with another."
        )
    if report.documents:
        lines.append(f"{counted(report.documents, 'file')} of several pages: each page is a row.")
    if report.without_address:
        lines.append(f"{counted(report.without_address, 'row')} without an address skipped.")
    if report.listed_again:
        lines.append(f"{counted(report.listed_again, 'row')} repeating another row skipped.")
    return "\n".join(lines)


def _take_listing(database: duckdb.DuckDBPyConnection, store: Store, exclusion: Exclusion) -> tuple[int, LeftOut]:
    """Fill the table `images` from a listing; return the number of skipped files, and what else was left out."""
    passed_over = 0
    survey = Survey(exclusion.skips_folder)
    described: list[Description] = []

    def wanted() -> Iterator[Entry]:
        nonlocal passed_over
        for entry in store.survey(survey):
            described.extend(descriptions(entry, _text(entry.key)))
            if exclusion.takes_file(entry.key):
                yield entry
            else:
                passed_over += 1

    database.execute(
        "CREATE TABLE images "
        "(image_id VARCHAR, uri VARCHAR, size BIGINT, validator VARCHAR, record_id VARCHAR, row BIGINT)"
    )
    for batch in _batches(store, wanted()):  # one by one, for DuckDB would wrap an error of the storage
        database.register("listing", pa.table(batch))
        database.execute("INSERT INTO images BY NAME SELECT * FROM listing")
    written, folders = remove_products(database, store, described)
    return passed_over, replace(LeftOut.from_survey(survey), written=written, written_in=folders)


def _batches(store: Store, entries: Iterator[Entry]) -> Iterator[pa.RecordBatch]:
    rows: list[tuple[str, str, int, str | None]] = []
    for entry in entries:
        rows.append((_text(entry.key), store.uri(entry.key), entry.size, entry.validator))
        if len(rows) == ROW_GROUP:
            yield _batch(rows)
            rows = []
    if rows:
        yield _batch(rows)


def _batch(rows: list[tuple[str, str, int, str | None]]) -> pa.RecordBatch:
    columns = zip(*rows, strict=True)
    return pa.record_batch([pa.array(list(c), f.type) for c, f in zip(columns, _LISTING, strict=True)], schema=_LISTING)


def _text(key: str) -> str:
    r"""Return a file name as text; bytes that are not UTF-8 are written as \xNN."""
    return key.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _take_addresses(
    database: duckdb.DuckDBPyConnection, source: str, id_column: str | None, reading: Reading
) -> dict[str, Any]:
    """Fill the tables `images` and `catalogue` from a list of addresses: one image for each row that has one.

    Relative addresses start at the list's folder. Returns fields of the report.
    """
    loaded = load_table(database, source, reading)
    columns = loaded.columns
    uri, image = column_named(columns, "uri"), column_named(columns, "image_id")
    record = column_named(columns, id_column or "record_id")
    if uri is None:
        raise InputError(
            f"{source} has no column `uri` (it has: {listed(columns)}). A list of images needs their addresses in a "
            "column `uri`. To join a table of objects to a folder of images: "
            f"`artylyze scan FOLDER --metadata {source} --id-column COLUMN`."
        )
    if id_column and record is None:
        raise InputError(f"{source} has no column '{id_column}' (it has: {listed(columns)}).")
    folder = split_target(source)[0] if is_url(source) else str(Path(source).absolute().parent)
    database.execute(
        f"""
        CREATE TABLE images AS
        SELECT {"image" if image else "uri"} AS image_id,
               CASE WHEN regexp_matches(uri, '^([A-Za-z][A-Za-z0-9+.-]+:/)?/') THEN uri
                    ELSE $folder || '/' || uri END AS uri,
               NULL::BIGINT AS size, NULL::VARCHAR AS validator, record AS record_id, row
        FROM (SELECT {stripped(sql_value(uri))} AS uri,
                     {stripped(sql_value(image)) if image else "NULL"} AS image,
                     {stripped(sql_value(record)) if record else "NULL::VARCHAR"} AS record, row FROM catalogue)
        WHERE uri IS NOT NULL
        """,
        {"folder": folder},
    )
    if unnamed := count(database, "SELECT count(*) FROM images WHERE image_id IS NULL"):
        raise InputError(
            f"{counted(unnamed, 'row')} of {source} {'has' if unnamed == 1 else 'have'} no image_id: fill it in, "
            "or omit that column."
        )
    without = count(database, "SELECT count(*) FROM catalogue") - count(database, "SELECT count(*) FROM images")
    again = _merge_repeats(database, source)
    return {"without_address": without, "listed_again": again, "notes": loaded.notes}


def _merge_repeats(database: duckdb.DuckDBPyConnection, source: str) -> int:
    """Keep one of identical rows for an image; return the number of others.

    Raises InputError for an image with differing rows.
    """
    before = count(database, "SELECT count(*) FROM images")
    database.execute(
        """
        CREATE TEMP TABLE again AS
        WITH twice AS (SELECT image_id FROM images GROUP BY 1 HAVING count(*) > 1)
        SELECT image_id, metadata, min(row) AS first, list(row) AS rows
        FROM images JOIN twice USING (image_id) JOIN catalogue USING (row) GROUP BY image_id, metadata;
        DELETE FROM images WHERE row IN (
            SELECT other FROM (SELECT first, unnest(rows) AS other FROM again) WHERE other <> first)
        """
    )
    differing = database.execute(
        "SELECT image_id, count(*) FROM again GROUP BY 1 HAVING count(*) > 1 ORDER BY 1 LIMIT 3"
    ).fetchall()
    if differing:
        which = "; ".join(f"{name!r} in {count:,} rows" for name, count in differing)
        raise InputError(
            f"{source} lists an image more than once, with differing rows: {which}. A catalog has one row for each "
            "image: keep one of these rows, or add a column `image_id` with a different value in each, and the image "
            "is tagged once for each row."
        )
    return before - count(database, "SELECT count(*) FROM images")


def _join(database: duckdb.DuckDBPyConnection, metadata: MetadataTable, images: str) -> dict[str, Any]:
    """Give each image the catalogue row that names it; return fields of the report.

    Raises InputError if no row names an image.
    """
    loaded = load_table(database, metadata.table, metadata.reading)
    id_column = _column(loaded, metadata.table, metadata.id_column)
    file_column = _column(loaded, metadata.table, metadata.file_column or metadata.id_column)
    name_images(database)
    matching = match(database, file_column, separator=metadata.file_separator, labels=metadata.table, images=images)
    if not matching.described:
        raise nothing_matched(database, matching, metadata.table, images)
    database.execute(
        f"""
        CREATE OR REPLACE TABLE images AS
        SELECT images.image_id, images.uri, images.size, images.validator,
               {stripped(sql_value(id_column))} AS record_id, matches.row
        FROM images LEFT JOIN matches ON matches.image = images.rowid
             LEFT JOIN catalogue ON catalogue.row = matches.row
        """
    )
    repeated = count(database, "SELECT count(*) - count(DISTINCT value) FROM named")
    return {
        "repeated_ids": repeated,
        "ambiguous": matching.ambiguous_images,
        "notes": (*loaded.notes, *matching.notes),
    }


def _column(loaded: Loaded, address: str, name: str) -> str:
    column = column_named(loaded.columns, name)
    if column is None:
        raise InputError(f"{address} has no column '{name}' (it has: {listed(loaded.columns)}).")
    return column


def _write(
    database: duckdb.DuckDBPyConnection, source: str, target: str, passed_over: int, left_out: LeftOut
) -> ScanReport:
    if not count(database, "SELECT count(*) FROM images"):
        message = f"There are no images in {source} ({counted(passed_over, 'other file')} skipped)."
        raise InputError(" ".join([message, *left_out.notes()]))
    tables = {str(row[0]) for row in database.execute("SHOW TABLES").fetchall()}
    described = "catalogue" in tables
    query = f"""
        SELECT image_id, coalesce(record_id, {sql_stem("image_id")}) AS record_id, uri, size, validator
               {", metadata" if described else ""}
        FROM images {"LEFT JOIN catalogue ON catalogue.row = images.row" if described else ""} ORDER BY image_id
    """
    reader = database.sql(query).to_arrow_reader(ROW_GROUP)
    metadata = (reader.schema.field("metadata"),) if described else ()
    images = write_manifest(reader, pa.schema([*COLUMNS, *metadata]), target)
    unused = "SELECT count(*) FROM catalogue WHERE row NOT IN (SELECT row FROM images WHERE row IS NOT NULL)"
    return ScanReport(
        images=images,
        bytes=count(database, "SELECT coalesce(sum(size), 0)::BIGINT FROM images"),
        passed_over=passed_over,
        left_out=left_out,
        without_metadata=count(database, "SELECT count(*) FROM images WHERE row IS NULL") if described else 0,
        unused_metadata=count(database, unused) if described else 0,
        repeated_ids=0,
        shared_records=images
        - count(database, f"SELECT count(DISTINCT coalesce(record_id, {sql_stem('image_id')})) FROM images"),
    )
