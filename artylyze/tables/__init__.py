"""A user's own tables, loaded into DuckDB as text: CSV, TSV, spreadsheets and Parquet."""

from __future__ import annotations

import errno
import gzip
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pyarrow as pa

from artylyze.errors import InputError, StorageError, UsageError
from artylyze.storage import open_store, split_target
from artylyze.storage.contract import first_line
from artylyze.storage.nearest import did_you_mean
from artylyze.tables.delimited import Delimited, find_header, read_delimited
from artylyze.tables.spreadsheets import is_spreadsheet, read_sheet
from artylyze.tables.text_encoding import decode
from artylyze.wording import counted, shortened
from artylyze.workers.supervision import cores

if TYPE_CHECKING:
    import duckdb

EXTENSIONS = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet", ".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
"""Extensions that distinguish tables from folders and buckets."""

_BATCH = 16_384
_SPACES = " \t\r\n\u00a0\ufeff"


@dataclass(frozen=True)
class Reading:
    """The user's options on how to read tables.

    Attributes:
        encoding: of texts; None: by the byte order mark, else UTF-8, else guessed.
        sheet: of spreadsheets; None: the first that holds a table.
        skip_bad_rows: whether to skip and count rows that cannot be read, instead of refusing the table.
    """

    encoding: str | None = None
    sheet: str | None = None
    skip_bad_rows: bool = False


DEFAULT_READING = Reading()


def check_options(tables: str, given: bool, reading: Reading, id_column: str | None = None) -> None:
    """Raise UsageError for options on how to read tables if no table is given.

    Args:
        tables: the argument for tables, such as `labels=TABLE`.
        given: whether it was given.
        reading: the options.
        id_column: column that identifies a record.
    """
    options = {
        "`id_column`": id_column is not None,
        "`encoding`": reading.encoding is not None,
        "`sheet`": reading.sheet is not None,
        "`skip_bad_rows`": reading.skip_bad_rows,
    }
    without = next((option for option, used in options.items() if used and not given), None)
    if without is not None:
        raise UsageError(f"{without} says how to read a table, and there is none: give {tables} too.")


@dataclass(frozen=True)
class Loaded:
    """A table in the database: its columns, and messages about what was guessed, skipped or replaced."""

    columns: list[str]
    notes: tuple[str, ...] = ()


MEMORY = "2GB"
"""Memory of a database before it spills to disk; DuckDB's default is 80% of the machine's."""

THREADS = 8
"""Threads of a database at most: each needs its own memory to sort, join and write."""


@contextmanager
def open_database() -> Iterator[duckdb.DuckDBPyConnection]:
    """Open an empty DuckDB that spills to disk above MEMORY, and delete it at the end. Rows keep their order.

    Raises:
        StorageError: if the disk of temporary files is full.
    """
    import duckdb

    try:
        with TemporaryDirectory(prefix="artylyze-") as folder, duckdb.connect(f"{folder}/tables.duckdb") as database:
            database.execute("SET preserve_insertion_order = true")
            database.execute(f"SET memory_limit = '{MEMORY}'")
            database.execute(f"SET threads = {min(THREADS, cores())}")
            database.execute(f"SET temp_directory = {literal(f'{folder}/spill')}")
            database.execute("SET enable_progress_bar = false")
            yield database
    except duckdb.Error as error:
        if not _disk_is_full(error):
            raise
        raise StorageError(
            f"{first_line(error).rstrip('.')}. Make room there, or set TMPDIR to a folder on another disk."
        ) from error


def _disk_is_full(error: Exception) -> bool:
    return os.strerror(errno.ENOSPC) in str(error)


def load_table(database: duckdb.DuckDBPyConnection, address: str, reading: Reading = DEFAULT_READING) -> Loaded:
    """Load a table as `catalogue` (row, metadata struct<its columns>), with cells as they are written, null if empty.

    The kind of table is recognised by its content, whatever its name.

    Raises:
        UsageError: an unknown encoding or sheet.
        InputError: a file that does not exist, is not a table, has no rows, or has rows that cannot be read.
    """
    folder, name = split_target(address)
    data = open_store(folder).read(name)
    if data is None:
        raise InputError(f"There is no file {address}.{did_you_mean(address)}")
    data = bytes(data)
    if data.startswith(b"\x1f\x8b"):
        try:
            data = gzip.decompress(data)
        except (EOFError, OSError, zlib.error) as error:
            raise _unreadable(address, f"its compressed data are damaged ({error})") from error
    if data.startswith(b"PAR1") or name.lower().endswith(".parquet"):
        loaded = Loaded(_load_parquet(database, address, data))
    elif is_spreadsheet(data, name):
        loaded = _load_sheet(database, address, data, reading)
    else:
        _refuse_others(address, data)
        loaded = _load_text(database, address, data, reading)
    if not count(database, "SELECT count(*) FROM catalogue"):
        raise _unreadable(address, f"it has a header ({listed(loaded.columns)}) and no rows")
    return loaded


def _load_parquet(database: duckdb.DuckDBPyConnection, address: str, data: bytes) -> list[str]:
    import duckdb

    with TemporaryDirectory(prefix="artylyze-") as temporary:
        path = Path(temporary, "table.parquet")
        path.write_bytes(data)
        try:
            rows = database.read_parquet(str(path))
            names = list(rows.columns)
            rows.project(f"(row_number() OVER ()) - 1 AS row, {_struct(names)} AS metadata").create("catalogue")
        except (duckdb.Error, RuntimeError) as error:  # RuntimeError: names that are not UTF-8
            if _disk_is_full(error):
                raise
            raise _unreadable(address, "it is not a valid Parquet file") from error
    return names


def _load_sheet(database: duckdb.DuckDBPyConnection, address: str, data: bytes, reading: Reading) -> Loaded:
    sheet = read_sheet(data, address, reading.sheet)
    if not sheet.rows:
        raise _unreadable(address, f"its sheet {sheet.name!r} is empty")
    place = find_header(sheet.rows)
    names = column_names(sheet.rows[place])
    _insert(database, names, sheet.rows[place + 1 :])
    notes = []
    if sheet.others:
        others = ", ".join(map(repr, sheet.others))
        notes.append(f"{address}: the sheet {sheet.name!r} was read; `sheet=NAME` selects another ({others}).")
    if place:
        notes.append(f"{address}: {counted(place, 'row')} above the header skipped.")
    return Loaded(names, tuple(notes))


def _refuse_others(address: str, data: bytes) -> None:
    start = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    kinds = {
        "JSON": address.lower().endswith((".json", ".jsonl", ".geojson")) or start.startswith((b"{", b"[{")),
        "HTML": start.startswith((b"<!doctype html", b"<html", b"<table")),
        "XML": start.startswith(b"<?xml") or address.lower().endswith(".xml"),
        "a ZIP archive": start.startswith(b"pk\x03\x04"),
        "PDF": start.startswith(b"%pdf-"),
        "a Numbers spreadsheet": address.lower().endswith(".numbers"),
    }
    for kind, it_is in kinds.items():
        if it_is:
            raise InputError(
                f"{address} is {kind}, which cannot be read as a table: save or export it as CSV (UTF-8), XLSX, ODS or "
                "Parquet, with one row for each object."
            )


def _load_text(database: duckdb.DuckDBPyConnection, address: str, data: bytes, reading: Reading) -> Loaded:
    text = decode(data, address, reading.encoding)
    try:
        table = read_delimited(text.lines)
    except UnicodeError as error:  # the encoding requires another beginning
        raise _unreadable(address, f"it is not in the encoding {text.encoding}") from error
    if table is None:
        raise _unreadable(address, "it has no header: the file is empty")
    names = column_names(table.header)
    _insert(database, names, table.rows())
    if table.bad and not reading.skip_bad_rows:
        first, more_lines = table.bad[0], [bad.line for bad in table.bad[1:]]
        more = (
            f" {counted(len(more_lines), 'other row')} cannot be read either ({_lines(more_lines)})."
            if more_lines
            else ""
        )
        advice = "Correct the file, or skip such rows with `skip_bad_rows`"
        raise _unreadable(address, f"line {first.line:,} {first.why}.{more} {advice}")
    return Loaded(names, (*text.notes, *_notes(address, table)))


def _notes(address: str, table: Delimited) -> Iterator[str]:
    if table.titles:
        yield f"{address}: {counted(table.titles, 'line')} above the header skipped."
    if table.bad:
        lines = _lines([bad.line for bad in table.bad])
        yield f"{address}: {counted(len(table.bad), 'row')} skipped, which cannot be read ({lines})."
    if table.short:
        has = "has" if len(table.short) == 1 else "have"
        yield (
            f"{address}: {counted(len(table.short), 'row')} {has} fewer cells than the header ({_lines(table.short)}): "
            "the last cells are taken as empty."
        )
    if table.zero_bytes:
        lines = _lines(table.zero_bytes)
        yield f"{address}: zero bytes were removed from {counted(len(table.zero_bytes), 'line')} ({lines})."


def _lines(numbers: Sequence[int]) -> str:
    shown = ", ".join(f"{number:,}" for number in numbers[:5]) + (", ..." if len(numbers) > 5 else "")
    return f"{'line' if len(numbers) == 1 else 'lines'} {shown}"


def column_names(header: Sequence[str]) -> list[str]:
    """Return a name for each column, all different regardless of case, with spaces for line breaks."""
    names: dict[str, str] = {}
    for number, cell in enumerate(header):
        free = " ".join(cell.split()) or f"column{number}"
        while free.lower() in names:
            free += f"_{number}"
        names[free.lower()] = free
    return list(names.values())


def _insert(database: duckdb.DuckDBPyConnection, names: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Fill the table `catalogue` with rows of as many cells as there are names."""
    fields = [pa.field(f"c{number}", pa.string()) for number in range(len(names))]
    schema = pa.schema([pa.field("row", pa.int64()), *fields])
    packed = ", ".join(f"{quoted(name)} := c{number}" for number, name in enumerate(names))
    types = ", ".join(f"{quoted(name)} VARCHAR" for name in names)
    database.execute(f"CREATE TABLE catalogue (row BIGINT, metadata STRUCT({types}))")
    start = 0
    size = max(1, min(_BATCH, 2_000_000 // len(names)))
    source = iter(rows)
    while batch := list(islice(source, size)):  # itertools.batched is not in Python 3.11
        columns = [pa.array([cell or None for cell in column], pa.string()) for column in zip(*batch, strict=True)]
        place = pa.array(range(start, start + len(batch)), pa.int64())
        database.register("batch", pa.table([place, *columns], schema=schema))
        database.execute(f"INSERT INTO catalogue SELECT row, struct_pack({packed}) FROM batch")
        database.unregister("batch")
        start += len(batch)


def _unreadable(address: str, why: str) -> InputError:
    return InputError(f"{address} cannot be read as a table: {why}.")


def sql_value(name: str) -> str:
    """Return SQL for a column of the user's table, as text."""
    return f"struct_extract(catalogue.metadata, {literal(name)})::VARCHAR"


def stripped(text: str) -> str:
    """Return SQL for a text without surrounding white space; null if it is empty."""
    return f"nullif(trim({text}, {literal(_SPACES)}), '')"


def column_named(columns: Sequence[str], name: str) -> str | None:
    """Return the column of that name, regardless of letter case and white space; None if there is none.

    Header cells of spreadsheets may have line breaks for spaces.
    """
    if name in columns:
        return name
    return next((column for column in columns if _plain(column) == _plain(name)), None)


def _plain(name: str) -> str:
    return " ".join(name.split()).casefold()


def count(database: duckdb.DuckDBPyConnection, query: str) -> int:
    """Return the number that a query yields."""
    return int(database.execute(query).fetchall()[0][0])


def literal(text: object) -> str:
    """Return SQL for a text."""
    return "'" + str(text).replace("'", "''") + "'"


def quoted(column: str) -> str:
    """Return SQL for the name of a column."""
    return '"' + column.replace('"', '""') + '"'


def listed(columns: Sequence[str]) -> str:
    """Return the names of columns for a message: a dozen at most, long ones shortened."""
    return ", ".join(shortened(name) for name in columns[:12]) + (", ..." if len(columns) > 12 else "")


def _struct(columns: list[str]) -> str:
    return "struct_pack(" + ", ".join(f"{quoted(name)} := {quoted(name)}" for name in columns) + ")"
