"""Label catalogues and the images they describe: which column names the images, and which row belongs to which.

DuckDB reads and joins the tables, as it does for a scan; nothing here knows what a label means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from artylyze.collection.join_names import sql_path
from artylyze.collection.joining import Matching, find_naming_column, match, name_images, nothing_matched
from artylyze.collection.manifest import COLUMNS, looks_like_manifest, open_rows
from artylyze.collection.scan import is_table, scan
from artylyze.errors import InputError, UsageError
from artylyze.tables import (
    DEFAULT_READING,
    Reading,
    column_named,
    count,
    listed,
    literal,
    load_table,
    open_database,
    quoted,
    sql_value,
    stripped,
)

if TYPE_CHECKING:
    import duckdb

METADATA = "the manifest's own metadata"


@dataclass(frozen=True)
class Catalogue:
    """What one table says about the images.

    Attributes:
        name: its address, or `METADATA`.
        column: its column that names the images; None for metadata, which are joined already.
        rows: how many it has; each is `joined` or
        repeated: describes only images that another row describes better or as well, or
        ambiguous: could mean images of several names, or one that another row could mean as well, or
        unnamed: names no image.
        ambiguous_images: images left without a row for that.
        described: (images,) whether a row describes the image, in their order.
        table: for each image the wanted columns that the table has, as text.
        notes: sentences on how it was read and what did not match.
    """

    name: str
    column: str | None
    rows: int
    joined: int
    repeated: int
    ambiguous: int
    unnamed: int
    ambiguous_images: int
    described: pa.ChunkedArray
    table: pa.Table
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Joined:
    """The images (the columns of a manifest, sorted by image_id) and what each table says about them, in order."""

    images: pa.Table
    catalogues: tuple[Catalogue, ...]


@dataclass(frozen=True)
class Wanted:
    """Which columns are looked for.

    Attributes:
        columns: our name -> names that a table may give it, the likeliest first.
        required: our name of a column that must be found -> what to do if it is not.
        id_column: the column that identifies a record, if the user says it.
        file_column: the column that names the image file, if the user says it.
        file_separator: between several files in a cell.
        reading: how tables are to be read.
    """

    columns: Mapping[str, Sequence[str]]
    required: Mapping[str, str]
    id_column: str | None = None
    file_column: str | None = None
    file_separator: str | None = None
    reading: Reading = DEFAULT_READING

    def found(self, columns: Sequence[str]) -> dict[str, str]:
        """Return our name -> the column that a table has for it."""
        there = {_folded(column): column for column in reversed(columns)}
        pairs = (
            (name, [there[_folded(c)] for c in names if _folded(c) in there]) for name, names in self.columns.items()
        )
        return {name: matches[0] for name, matches in pairs if matches}


def join(labels: Sequence[str], images: str | None, wanted: Wanted, called: str | None = None) -> Joined:
    """Join label tables to images.

    Args:
        labels: CSV, TSV or Parquet tables (.gz too); empty if the manifest brings its own metadata.
        images: a manifest, or what `collection.scan` takes; None: the first table's rows stand for images that are
            not here (their `uri` is null).
        wanted: the columns that are looked for.
        called: what the user knows the images as; None: by the address in `images`.

    Raises:
        UsageError: nothing to join, or columns that no table has.
        InputError: a table that cannot be read, or that names no image.
    """
    with open_database() as database:
        tables = [_load(database, number, address, wanted.reading) for number, address in enumerate(labels)]
        _check_named(tables, wanted)
        if images is None or not is_table(images):  # there are no metadata: do not list a bucket in vain
            _check_required({}, tables, wanted)
        described = (
            _stand_in(database, tables, wanted) if images is None else _take_images(database, images, wanted.reading)
        )
        _check_required(described, tables, wanted)
        name_images(database)
        named = called or images or "the first catalogue"
        catalogues = [_join(database, table, wanted, named) for table in tables]
        if described:
            catalogues.append(_metadata(database, described, wanted, tables))
        names = ", ".join(field.name for field in COLUMNS)
        rows = _arrow(database, f"SELECT {names} FROM images ORDER BY image_id")
        return Joined(_with_records(rows, catalogues), tuple(catalogues))


@dataclass(frozen=True)
class _Table:
    address: str
    number: int
    columns: list[str]
    notes: tuple[str, ...]


def _load(database: duckdb.DuckDBPyConnection, number: int, address: str, reading: Reading) -> _Table:
    loaded = load_table(database, address, reading)
    database.execute(f"ALTER TABLE catalogue RENAME TO labels_{number}")
    return _Table(address, number, loaded.columns, loaded.notes)


def _check_named(tables: Sequence[_Table], wanted: Wanted) -> None:
    """Check the columns that the user names, and that every table has something to say."""
    for option, name in (("`id_column`", wanted.id_column), ("`file_column`", wanted.file_column)):
        if name and not any(column_named(table.columns, name) for table in tables):
            raise UsageError(f"No catalogue has a column '{name}', which {option} names ({_columns(tables)}).")
    for table in tables:
        if not wanted.found(table.columns):
            names = ", ".join(f"'{name}'" for name in wanted.columns)
            raise InputError(f"{table.address} has no column {names} (it has: {listed(table.columns)}).")


def _check_required(described: Mapping[str, Any], tables: Sequence[_Table], wanted: Wanted) -> None:
    found = {name for table in tables for name in wanted.found(table.columns)} | set(wanted.found(list(described)))
    for name, advice in wanted.required.items():
        if name not in found:
            there = _columns(tables) if tables else f"the metadata have: {listed(list(described)) or 'nothing'}"
            raise UsageError(f"No catalogue has a column '{name}' ({there}). {advice}")


def _columns(tables: Sequence[_Table]) -> str:
    return "; ".join(f"{Path(table.address).name} has: {listed(table.columns)}" for table in tables)


def _take_images(database: duckdb.DuckDBPyConnection, images: str, reading: Reading) -> dict[str, Any]:
    """Fill the table `images` from a manifest or a scan; return the fields of its metadata."""
    with TemporaryDirectory(prefix="artylyze-") as folder:
        scanned = not (images.lower().endswith(".parquet") and looks_like_manifest(images))
        manifest = str(Path(folder, "manifest.parquet")) if scanned else images
        if scanned:
            scan(images, manifest, reading=reading if is_table(images) else DEFAULT_READING)
        with open_rows(manifest) as file:
            rows = file.read()
    database.register("rows", rows)
    database.execute(f"CREATE TABLE images AS SELECT *, {scanned} AS scanned FROM rows")
    database.unregister("rows")
    if "metadata" not in rows.column_names:
        return {}
    return {field.name: field.type for field in rows.schema.field("metadata").type}


def _stand_in(database: duckdb.DuckDBPyConnection, tables: Sequence[_Table], wanted: Wanted) -> dict[str, Any]:
    """Fill the table `images` with the first table's rows."""
    if not tables:
        raise UsageError("Give `labels`, or a manifest with metadata as `images`.")
    first = tables[0]
    _use(database, first)
    name = _named_column(first, wanted) or _unique_column(database, first)
    database.execute(
        f"""
        CREATE TABLE images AS
        SELECT DISTINCT id AS image_id, id AS record_id, NULL::VARCHAR AS uri, NULL::BIGINT AS size,
               NULL::VARCHAR AS validator, true AS scanned
        FROM (SELECT {sql_path(sql_value(name))} AS id FROM catalogue) WHERE id <> ''
        """
    )
    return {}


def _unique_column(database: duckdb.DuckDBPyConnection, table: _Table) -> str:
    for column in table.columns:
        value = sql_value(column)
        if not count(database, f"SELECT count(*) - count(DISTINCT {stripped(value)}) FROM catalogue"):
            return column
    raise UsageError(
        f"No column of {table.address} has another value in each row: say with `id_column` what names them."
    )


def _use(database: duckdb.DuckDBPyConnection, table: _Table) -> None:
    database.execute(f"CREATE OR REPLACE VIEW catalogue AS SELECT * FROM labels_{table.number}")


def _named_column(table: _Table, wanted: Wanted) -> str | None:
    asked = (name for name in (wanted.file_column, wanted.id_column) if name)
    return next((column for name in asked if (column := column_named(table.columns, name))), None)


def _join(database: duckdb.DuckDBPyConnection, labels: _Table, wanted: Wanted, images: str) -> Catalogue:
    _use(database, labels)
    column = _named_column(labels, wanted) or find_naming_column(database, labels.columns)
    chosen = wanted.found(labels.columns)
    values = {name: stripped(sql_value(own)) for name, own in chosen.items()}
    record = column_named(labels.columns, wanted.id_column or "") or chosen.get("record_id")
    if record:  # a manifest has record ids already
        values["record_id"] = f"CASE WHEN images.scanned THEN {stripped(sql_value(record))} END"
    matching = match(
        database,
        column or labels.columns[0],
        separator=wanted.file_separator,
        prefer=_fullest(values),
        labels=labels.address,
        images=images,
    )
    if not matching.described:
        raise nothing_matched(database, matching, labels.address, images)
    selected = ", ".join(f"{value} AS {quoted(name)}" for name, value in values.items())
    query = f"""
        SELECT matches.row IS NOT NULL AS described, {selected}
        FROM images LEFT JOIN matches ON matches.image = images.rowid LEFT JOIN catalogue USING (row) ORDER BY image_id
    """
    described, table = _parted(_arrow(database, query))
    return _catalogue(labels, matching, described, table)


def _fullest(values: Mapping[str, str]) -> str:
    """Return SQL that puts the row first that says most, then one that does not depend on their order."""
    missing = " + ".join(f"({value} IS NULL)::INT" for value in values.values())
    return f"{missing}, concat_ws(chr(31), {', '.join(values.values())})"


def _catalogue(labels: _Table, matching: Matching, described: pa.ChunkedArray, table: pa.Table) -> Catalogue:
    return Catalogue(
        name=labels.address,
        column=matching.column,
        rows=matching.rows,
        joined=matching.joined,
        repeated=matching.repeated,
        ambiguous=matching.ambiguous,
        unnamed=matching.unmatched,
        ambiguous_images=matching.ambiguous_images,
        described=described,
        table=table,
        notes=(*labels.notes, *matching.notes),
    )


def _metadata(
    database: duckdb.DuckDBPyConnection, described: Mapping[str, Any], wanted: Wanted, tables: Sequence[_Table]
) -> Catalogue:
    """Return the manifest's metadata as one more catalogue: the wanted columns that no table of labels has."""
    given = {name for table in tables for name in wanted.found(table.columns)}
    chosen = {name: own for name, own in wanted.found(list(described)).items() if name not in given}
    fields = [
        f"{stripped(f'struct_extract(metadata, {literal(own)})::VARCHAR')} AS {quoted(name)}"
        for name, own in chosen.items()
        if name != "record_id"
    ]
    query = f"SELECT {', '.join(['metadata IS NOT NULL AS described', *fields])} FROM images ORDER BY image_id"
    described, table = _parted(_arrow(database, query))
    joined = int(pc.sum(described).as_py() or 0)
    return Catalogue(METADATA, None, joined, joined, 0, 0, 0, 0, described, table)


def _parted(table: pa.Table) -> tuple[pa.ChunkedArray, pa.Table]:
    return table.column(0), table.remove_column(0)


def _with_records(images: pa.Table, catalogues: Sequence[Catalogue]) -> pa.Table:
    """Return the images with the record ids of the first catalogue that says them."""
    tables = (catalogue.table for catalogue in catalogues)
    columns = [table.column("record_id") for table in tables if "record_id" in table.column_names]
    records = pc.coalesce(*columns, images.column("record_id"))
    return images.set_column(images.column_names.index("record_id"), "record_id", records)


def _arrow(database: duckdb.DuckDBPyConnection, query: str) -> pa.Table:
    table: pa.Table = database.sql(query).to_arrow_table()
    return table


def _folded(name: str) -> str:
    return "".join(c for c in name.casefold() if c.isalnum())
