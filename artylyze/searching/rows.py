"""The rows of a snapshot by their numbers: columns of all, all columns of a few, and which meet a condition.

Row g is the row `g - start` of the part whose rows start at `start`, in the order of catalog.json.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from artylyze.catalog.snapshot import Part, Snapshot, read_parts
from artylyze.collection.known_columns import ARTIST, TITLE, folded
from artylyze.searching.light import numbers
from artylyze.searching.row_groups import RowGroups
from artylyze.storage import open_store

if TYPE_CHECKING:
    from numpy.typing import NDArray

NOT_TAKEN = ("embedding", "thumbnail")
"""Columns that results do not have: large, and of no use to a reader of a table."""

CACHE_BYTES = 2**28
"""Bytes of rows that are kept between searches."""

PIECE = 65_536
"""Rows whose texts are taken together, at least."""


def starts_of(snapshot: Snapshot) -> NDArray[np.int64]:
    """Return the number of the first row of each part, and in the end that of all rows: int64 (parts + 1,)."""
    return np.cumsum([0, *(part.rows for part in snapshot.parts)], dtype=np.int64)


def pieces(catalog: str, snapshot: Snapshot, columns: Sequence[str]) -> Iterator[tuple[Part, pa.Table]]:
    """Yield the parts with those of the columns that they have."""
    return read_parts(catalog, snapshot.parts, columns)


def holding(catalog: str, snapshot: Snapshot, image_ids: pa.ChunkedArray, where: str) -> NDArray[np.bool_]:
    """Return for which rows a condition holds, bool (n,).

    Args:
        catalog: its address.
        snapshot: of n rows.
        image_ids: of all rows.
        where: in DuckDB's SQL.

    Raises:
        InputError: for a condition that DuckDB rejects, with the names of the columns that are spelled alike.
    """
    from artylyze.catalog.dataset import read_table  # Arrow's datasets import pandas, for most of a second

    chosen = read_table(catalog, snapshot, ["image_id"], where).column("image_id")
    held = pc.is_in(image_ids, value_set=chosen.combine_chunks())
    return np.asarray(held.to_numpy(zero_copy_only=False) if isinstance(held, pa.Array) else held.to_numpy())


class Rows:
    """Reads some rows with all columns but the embedding and the thumbnail. One thread at a time may use it.

    Args:
        catalog: its address.
        snapshot: whose rows are asked for.
    """

    def __init__(self, catalog: str, snapshot: Snapshot) -> None:
        self._catalog, self._snapshot = catalog, snapshot
        self._groups = RowGroups(catalog, snapshot, _load, lambda table: int(table.nbytes), CACHE_BYTES)

    def take(self, rows: NDArray[np.int64]) -> pa.Table:
        """Return some rows, by their numbers in the snapshot, in this order; null where a part lacks a column.

        Raises:
            InputError: for a part that is damaged.
            StorageError: if the storage refuses or does not answer.
        """
        starts = starts_of(self._snapshot)
        parts = np.searchsorted(starts, rows, "right") - 1
        tables, places = [], []
        for some, table, inside in self._groups.holding(parts, rows - starts[parts]):
            tables.append(table.take(numbers(inside)))
            places.append(some)
        if not tables:
            store, first = open_store(self._catalog), self._snapshot.parts[0]
            with pq.ParquetFile(store.open(first.path)) as file:
                return file.schema_arrow.empty_table().select(_taken(file))
        order = np.argsort(np.concatenate(places))
        return pa.concat_tables(tables, promote_options="permissive").take(numbers(order))


def _load(file: pq.ParquetFile, group: int) -> pa.Table:
    return file.read_row_group(group, columns=_taken(file), use_threads=False)


def _taken(file: pq.ParquetFile) -> list[str]:
    return [name for name in file.schema_arrow.names if name not in NOT_TAKEN]


def texts(catalog: str, snapshot: Snapshot) -> Iterator[tuple[pa.Array, pa.Array]]:
    """Yield what the collection says of its works, many rows at once: titles and artists, and all else, as text.

    Numbers and dates are text too, lists are joined. All else begins with the record.
    """
    waiting: list[tuple[pa.Array, pa.Array]] = []
    rows = 0
    for number, (part, table) in enumerate(read_parts(catalog, snapshot.parts, ["record_id", "metadata"]), 1):
        waiting.append(_texts(table))
        rows += part.rows
        if rows >= PIECE or number == len(snapshot.parts):
            leading, others = zip(*waiting, strict=True)
            yield pa.concat_arrays(leading), pa.concat_arrays(others)
            waiting, rows = [], 0


def _texts(table: pa.Table) -> tuple[pa.Array, pa.Array]:
    leading: list[pa.Array] = []
    others = [table.column("record_id").combine_chunks()]
    if "metadata" in table.column_names:
        for name, column in _leaves(table.column("metadata").combine_chunks()):
            (leading if folded(name) in (*TITLE, *ARTIST) else others).append(column)
    return _joined(leading, table.num_rows), _joined(others, table.num_rows)


def _joined(columns: Sequence[pa.Array], count: int) -> pa.Array:
    if not columns:
        return pa.nulls(count, pa.string())
    # Not null_handling="skip": pyarrow 25 then returns fewer rows than it is given, if one has nothing but nulls.
    options = {"null_handling": "replace", "null_replacement": ""}
    return pc.binary_join_element_wise(*columns, pa.scalar("\n"), **options).cast(pa.string())


def _leaves(column: pa.StructArray) -> Iterator[tuple[str, pa.Array]]:
    for number, field in enumerate(column.type):
        values = pc.struct_field(column, [number])
        kind = field.type
        if pa.types.is_struct(kind):
            yield from _leaves(values)
        elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
            if pa.types.is_string(kind.value_type) or pa.types.is_large_string(kind.value_type):
                yield field.name, pc.binary_join(values, " ").cast(pa.string())
        elif not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_boolean(kind)):
            try:
                yield field.name, values.cast(pa.string())
            except pa.ArrowException:  # a type that has no text: maps, intervals
                continue


def first_of(table: pa.Table, names: Sequence[str]) -> list[str | None]:
    """Return for each row the first text in the fields of its metadata that are called so, None where there is none."""
    if "metadata" not in table.column_names or not table.num_rows:
        return [None] * table.num_rows
    leaves = _leaves(table.column("metadata").combine_chunks())
    columns = [column.to_pylist() for name, column in leaves if folded(name) in names]
    return [next((text for text in row if text and text.strip()), None) for row in zip(*columns, strict=True)] or [
        None
    ] * table.num_rows
