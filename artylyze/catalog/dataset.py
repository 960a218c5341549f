"""A catalog as one Arrow dataset: reads selected columns and rows from any storage."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow.fs import FileInfo, FileSelector, FileSystemHandler, FileType, LocalFileSystem, PyFileSystem

from artylyze.catalog.schema import catalog_schema
from artylyze.catalog.snapshot import Snapshot
from artylyze.errors import InputError
from artylyze.storage import is_url, open_store
from artylyze.storage.contract import first_line
from artylyze.tables import listed, open_database


def open_dataset(catalog: str, snapshot: Snapshot) -> ds.Dataset:
    """Return the parts of a snapshot as one `pyarrow.dataset.Dataset`, in the order of the parts.

    Arrow reads local parts itself, and those in object storage through artylyze's client, with its credentials.

    Raises:
        InputError: if the first part is missing or damaged.
    """
    store = open_store(catalog)
    keys = [part.path for part in snapshot.parts]
    if not keys:
        return ds.dataset(catalog_schema(snapshot.tasks, None).empty_table())
    try:
        with pq.ParquetFile(store.open(keys[0])) as file:
            schema = file.schema_arrow
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{store.uri(keys[0])} is damaged ({first_line(error)}).") from error
    paths, system = [store.uri(key) for key in keys], LocalFileSystem()
    if any(map(is_url, paths)):
        paths, system = keys, PyFileSystem(_Objects(catalog))
    return ds.FileSystemDataset.from_paths(paths, schema=schema, format=ds.ParquetFileFormat(), filesystem=system)


def read_table(
    catalog: str, snapshot: Snapshot, columns: Sequence[str] | None = None, where: str | None = None
) -> pa.Table:
    """Read some columns (None: all) of the rows for which a condition holds (None: all) into memory.

    Args:
        catalog: its address.
        snapshot: of the catalog.
        columns: names, in the order of the returned table.
        where: a condition on the catalog's columns in DuckDB's SQL, without WHERE.

    Raises:
        InputError: for a column that the catalog does not have, a condition that DuckDB rejects, or a damaged part.
    """
    dataset = open_dataset(catalog, snapshot)
    names = list(dataset.schema.names if columns is None else columns)
    if unknown := [name for name in names if name not in dataset.schema.names]:
        raise InputError(f"There is no column {unknown[0]!r}.{_columns(dataset.schema, unknown[0])}")
    try:
        return dataset.to_table(columns=names) if where is None else _select(dataset, names, where)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{catalog} cannot be read: {first_line(error)}.") from error


def _select(dataset: ds.Dataset, names: Sequence[str], where: str) -> pa.Table:
    """Filter with DuckDB, which reads only the columns and row groups that it needs."""
    import duckdb

    wanted = pa.schema([dataset.schema.field(name) for name in names])
    listed = ", ".join('"{}"'.format(name.replace('"', '""')) for name in names)
    with open_database() as database:
        database.register("catalog", dataset)
        try:
            table = database.sql(f"SELECT {listed} FROM catalog WHERE (\n{where}\n)").to_arrow_table()
        except (duckdb.ParserException, duckdb.BinderException, duckdb.ConversionException) as error:
            reason = first_line(error)
            missing = re.search(r'(?:column|key) "([^"]*)"', reason)
            advice = _columns(dataset.schema, None if missing is None else missing[1])
            raise InputError(f"`where` {where!r}: {reason.rstrip('.!')}.{advice}") from error
        except duckdb.Error as error:
            raise InputError(f"`where` {where!r} failed: {first_line(error).rstrip('.')}.") from error
    return table.cast(wanted)


def _columns(schema: pa.Schema, missing: str | None) -> str:
    """Return a sentence on the columns that there are, after another on those spelled like one that is missing."""
    kind = schema.field("metadata").type if "metadata" in schema.names else None
    fields = [f"metadata.{field.name}" for field in kind] if kind is not None and pa.types.is_struct(kind) else []
    named = {name.removeprefix("metadata.").casefold(): name for name in (*reversed(fields), *schema.names)}
    close = [] if missing is None else difflib.get_close_matches(missing.casefold(), named, n=3, cutoff=0.6)
    guess = f" Did you mean {' or '.join(named[name] for name in close)}?" if close else ""
    own = f", and of your own {listed(fields)}" if fields else ""
    return f"{guess} The catalog has the columns {', '.join(schema.names)}{own}."


@dataclass(frozen=True)
class _Objects(FileSystemHandler):  # type: ignore[misc]
    """The objects of a catalog as a read-only file system for Arrow; paths are keys below its root."""

    root: str

    def get_type_name(self) -> str:
        return "artylyze"

    def normalize_path(self, path: str) -> str:
        return path

    def get_file_info(self, paths: Sequence[str]) -> list[FileInfo]:
        store = open_store(self.root)
        return [FileInfo(path, FileType.NotFound if store.version(path) is None else FileType.File) for path in paths]

    def get_file_info_selector(self, selector: FileSelector) -> list[FileInfo]:
        under = f"{selector.base_dir.rstrip('/')}/" if selector.base_dir else ""
        return [FileInfo(entry.key, FileType.File, size=entry.size) for entry in open_store(self.root).list(under)]

    def open_input_file(self, path: str) -> pa.PythonFile:
        return pa.PythonFile(open_store(self.root).open(path), mode="r")

    def open_input_stream(self, path: str) -> pa.PythonFile:
        return self.open_input_file(path)

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise NotImplementedError("a catalog is read-only here: only `artylyze tag` changes it")

    create_dir = delete_dir = delete_dir_contents = delete_root_dir_contents = delete_file = _refuse
    move = copy_file = open_output_stream = open_append_stream = _refuse
