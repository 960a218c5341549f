"""The catalog rows of clustered images: where they are, and what stands in them, a column or a few rows at a time.

It knows parts and places, and keeps numbers for each image; what columns mean, and what is done with them, it does not.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artylyze.catalog.snapshot import Snapshot, embedding_pieces, read_parts
from artylyze.tables import open_database, stripped

if TYPE_CHECKING:
    from numpy.typing import NDArray

PIECE = 65_536
"""Rows of a catalog that are read together, at least."""


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of n clustered images in a catalog of m rows.

    Attributes:
        catalog: its address.
        snapshot: of the catalog, in which rows are numbered.
        places: int64 (n,), the row of each image, -1 where it is not in the catalog.
        records: of each image.
        ok: bool (m,), rows with an embedding.
        metadata: what the catalog's metadata have, None if there are none.
    """

    catalog: str
    snapshot: Snapshot
    places: NDArray[np.int64]
    records: pa.ChunkedArray
    ok: NDArray[np.bool_]
    metadata: pa.StructType | None

    def column(self, name: str) -> pa.ChunkedArray:
        """Read a column of text, dictionary encoded, a row for each image."""
        return self._taken(table.column(name) for table in self._pieces([name]))

    def field(self, name: str) -> pa.ChunkedArray:
        """Read a field of the metadata as text, dictionary encoded, null where there is no value."""
        with open_database() as database:
            return self._taken(
                _as_text(database, _field(table, name, self.metadata)) for table in self._pieces([f"metadata.{name}"])
            )

    def take(self, images: Sequence[int], columns: Sequence[str]) -> pa.Table:
        """Read columns of some images, from the parts that hold them."""
        ends = np.array(list(accumulate(part.rows for part in self.snapshot.parts)))
        rows = self.places[list(images)]
        holders = np.searchsorted(ends, rows, side="right")
        needed, order = np.unique(holders), np.argsort(holders, kind="stable")
        parts = [self.snapshot.parts[number] for number in needed]
        tables = []
        for number, (part, table) in zip(needed, read_parts(self.catalog, parts, columns), strict=True):
            tables.append(table.take(pa.array(rows[order][holders[order] == number] - ends[number] + part.rows)))
        found = pa.concat_tables(tables, promote_options="permissive") if tables else pa.table({c: [] for c in columns})
        return found.take(pa.array(np.argsort(order)))

    def vectors(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Read the embeddings piece by piece: images, int64 (p,), and theirs, float32 (p, d).

        An image that has none any more is in no piece.
        """
        image_of = np.full(len(self.ok), -1, np.int32)
        image_of[self.places] = np.arange(len(self.places))
        image_of, start = image_of[self.ok], 0
        for _, matrix in embedding_pieces(self.catalog, self.snapshot):
            images = image_of[start : start + len(matrix)].astype(np.int64)
            start += len(matrix)
            yield images[images >= 0], matrix[images >= 0]

    def _pieces(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        return _pieces(self.catalog, self.snapshot, columns)

    def _taken(self, pieces: Iterator[pa.ChunkedArray]) -> pa.ChunkedArray:
        """Return the images' own of the texts of all rows."""
        chunks = [chunk for piece in pieces for chunk in piece.cast(pa.large_string()).dictionary_encode().chunks]
        kind = pa.dictionary(pa.int32(), pa.large_string())
        unified = pa.chunked_array(chunks, kind).unify_dictionaries().chunks
        if not unified:
            return pa.chunked_array([], kind)
        indices = pa.concat_arrays([chunk.indices for chunk in unified]).take(pa.array(self.places))
        return pa.chunked_array([pa.DictionaryArray.from_arrays(indices, unified[0].dictionary)])


def locate(catalog: str, snapshot: Snapshot, ids: pa.ChunkedArray) -> Rows:
    """Find images in a catalog by their ids, which are quickly found if they are sorted."""
    sorted_ids = bool(pc.all(pc.less_equal(ids[:-1], ids[1:])).as_py()) if len(ids) > 1 else False
    places = np.full(len(ids), -1, np.int64)
    records, good, kinds, read = [], [np.zeros(0, bool)], dict[pa.DataType, None](), 0
    for table in _pieces(catalog, snapshot, ["image_id", "record_id", "status", "metadata"]):
        names = table.column("image_id").combine_chunks()
        start, stop = _range(ids, names) if sorted_ids else (0, len(ids))
        found = pc.fill_null(pc.index_in(ids[start:stop], value_set=names), -1).to_numpy()
        there = (found >= 0) & (places[start:stop] < 0)
        places[start:stop][there] = found[there] + read
        read += table.num_rows
        records += table.column("record_id").chunks
        good.append(pc.equal(table.column("status"), "ok").to_numpy())
        if "metadata" in table.column_names:
            kinds[table.schema.field("metadata").type] = None
    of_images = pa.chunked_array(records, pa.string()).take(pa.array(places, mask=places < 0))
    return Rows(catalog, snapshot, places, of_images, np.concatenate(good), _promoted(kinds))


def _range(ids: pa.ChunkedArray, names: pa.StringArray) -> tuple[int, int]:
    """Where in sorted ids the names can be."""
    ends = pc.min_max(names).as_py()
    return bisect_left(ids, ends["min"], key=_text), bisect_right(ids, ends["max"], key=_text)


def _text(value: pa.Scalar) -> str:
    text: str = value.as_py()
    return text


def _promoted(kinds: Iterable[pa.DataType]) -> pa.StructType | None:
    """Return the one type of metadata that parts of several have together."""
    schemas = [pa.schema([("metadata", kind)]) for kind in kinds]
    return pa.unify_schemas(schemas, promote_options="permissive").field("metadata").type if schemas else None


def _pieces(catalog: str, snapshot: Snapshot, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Read columns of a catalog, `PIECE` rows and more at a time; metadata that a part lacks are null."""
    waiting: list[pa.Table] = []
    rows = 0
    for number, (part, table) in enumerate(read_parts(catalog, snapshot.parts, columns), 1):
        waiting.append(table)
        rows += part.rows
        if rows >= PIECE or number == len(snapshot.parts):
            yield pa.concat_tables(waiting, promote_options="permissive").combine_chunks()
            waiting, rows = [], 0


def _field(table: pa.Table, name: str, metadata: pa.StructType | None) -> pa.Table:
    """Return a field of the metadata as column `value`, null where a part does not have it."""
    kind = pa.null() if metadata is None else metadata.field(name).type
    if "metadata" not in table.column_names or table.schema.field("metadata").type.get_field_index(name) < 0:
        return pa.table({"value": pa.nulls(table.num_rows, kind)})
    return pa.table({"value": pc.struct_field(table.column("metadata"), [name]).cast(kind)})


def _as_text(database: Any, values: pa.Table) -> pa.ChunkedArray:
    """Return values as text without the white space around it, null where nothing is left."""
    database.register("piece", values)
    texts: pa.Table = database.sql(f"SELECT {stripped('value::VARCHAR')} AS text FROM piece").to_arrow_table()
    database.unregister("piece")
    return texts.column("text")
