"""A user's own tables: CSV, TSV and Parquet as they come, loaded into DuckDB as text."""

from __future__ import annotations

import codecs
import csv
import functools
import gzip
import io
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from artylyze.errors import InputError
from artylyze.manifest import split_target
from artylyze.storage import open_store
from artylyze.storage.nearest import did_you_mean

if TYPE_CHECKING:
    import duckdb

_SPACES = " \t\r\n\u00a0\ufeff"
_SPREADSHEETS = (".xlsx", ".xls", ".ods", ".numbers")


MEMORY = "2GB"
"""What a database holds in memory before it spills to disk; DuckDB itself would take 80% of the machine's."""

THREADS = 8
"""Threads of a database at most: each needs memory of its own to sort, to join and to write."""


@contextmanager
def open_database() -> Iterator[duckdb.DuckDBPyConnection]:
    """Open an empty DuckDB that spills to disk what does not fit into MEMORY, and remove it in the end.

    Rows keep the order in which they come.
    """
    import duckdb

    with TemporaryDirectory(prefix="artylyze-") as folder, duckdb.connect(f"{folder}/tables.duckdb") as database:
        database.execute("SET preserve_insertion_order = true")
        database.execute(f"SET memory_limit = '{MEMORY}'")
        database.execute(f"SET threads = {min(THREADS, os.cpu_count() or 1)}")
        database.execute(f"SET temp_directory = {literal(f'{folder}/spill')}")
        database.execute("SET enable_progress_bar = false")
        yield database


def load_table(database: duckdb.DuckDBPyConnection, address: str) -> list[str]:
    """Load a CSV, TSV or Parquet table as `catalogue` (row, metadata struct<its columns>); return its columns."""
    import duckdb

    lower = address.lower()
    if lower.endswith(_SPREADSHEETS):
        raise InputError(f"{address} is a spreadsheet: save it as CSV (UTF-8) and give that.")
    folder, name = split_target(address)
    data = open_store(folder).read(name)
    if data is None:
        raise InputError(f"There is no file {address}.{did_you_mean(address)}")
    with TemporaryDirectory(prefix="artylyze-") as temporary:
        path = Path(temporary, "table")
        try:
            if lower.endswith(".parquet"):
                path.write_bytes(data)
                rows = database.read_parquet(str(path))
            else:
                text = _utf8(data)
                path.write_bytes(text)
                rows = _read_csv(database, str(path), text)
            names = list(rows.columns)
            rows.project(f"(row_number() OVER ()) - 1 AS row, {_struct(names)} AS metadata").create("catalogue")
        except (duckdb.Error, csv.Error, EOFError, OSError, zlib.error) as error:
            what = " ".join(str(error).splitlines()[:3])
            raise InputError(f"{address} cannot be read as a table: {what}") from error
    return names


def value_of(name: str) -> str:
    """Return SQL for a column of the user's table, as text."""
    return f"struct_extract(catalogue.metadata, {literal(name)})::VARCHAR"


def stripped(text: str) -> str:
    """Return SQL for a text without the white space around it; null where nothing is left."""
    return f"nullif(trim({text}, {literal(_SPACES)}), '')"


def column_named(columns: Sequence[str], name: str) -> str | None:
    """Return the column of that name: spelled so, or alike but for letter case and white space; None if there is none.

    A header cell that was wrapped by hand in a spreadsheet has a line break where people write a space.
    """
    if name in columns:
        return name
    return next((column for column in columns if _plain(column) == _plain(name)), None)


def _plain(name: str) -> str:
    return " ".join(name.split()).casefold()


def literal(text: object) -> str:
    """Return SQL for a text."""
    return "'" + str(text).replace("'", "''") + "'"


def quoted(column: str) -> str:
    """Return SQL for the name of a column."""
    return '"' + column.replace('"', '""') + '"'


def listed(columns: Sequence[str]) -> str:
    """Return the names of columns for a message, not more than a dozen."""
    return ", ".join(columns[:12]) + (", ..." if len(columns) > 12 else "")


def _struct(columns: list[str]) -> str:
    return "struct_pack(" + ", ".join(f"{quoted(name)} := {quoted(name)}" for name in columns) + ")"


def _read_csv(database: duckdb.DuckDBPyConnection, path: str, text: bytes) -> duckdb.DuckDBPyRelation:
    """Read a CSV as text. Its first line is its header, and decides what separates columns.

    DuckDB's own guess skips a first line that does not fit the others: a list of `a;b.jpg` would lose its header.
    """
    lines = functools.partial(io.TextIOWrapper, encoding="utf-8", newline="")
    headers = [(next(csv.reader(lines(io.BytesIO(text)), delimiter=mark), []), mark) for mark in ",;\t|"]
    header, mark = max(headers, key=lambda found: len(found[0]))
    names: dict[str, str] = {}
    for number, name in enumerate(header):
        free = name.strip() or f"column{number}"
        while free.lower() in names:
            free += f"_{number}"
        names[free.lower()] = free
    if not names:
        raise csv.Error("it has no header.")
    types = dict.fromkeys(names.values(), "VARCHAR")
    return database.read_csv(
        path, auto_detect=False, header=True, columns=types, delimiter=mark, quotechar='"', escapechar='"'
    )


def _utf8(data: bytes) -> bytes:
    """Return a CSV as UTF-8: what spreadsheets export is UTF-8, UTF-16 with a mark, or Windows-1252."""
    if data.startswith(b"\x1f\x8b"):
        data = gzip.decompress(data)
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace").lstrip("\r\n").encode()
    data = data.removeprefix(codecs.BOM_UTF8).lstrip(b"\r\n")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace").encode()
    return data
