"""Reads the vectors of a catalog or a features file: all at once, or in pieces where memory does not hold them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from artylyze.catalog.snapshot import Part, read_parts, read_snapshot
from artylyze.collection.manifest import open_rows
from artylyze.errors import InputError
from artylyze.storage import open_store

if TYPE_CHECKING:
    from numpy.typing import NDArray

METADATA = b"artylyze"
"""Key of a features file's Parquet metadata: JSON with method, source, catalog, model_id, random_weights, settings."""
_TEXT, _LIST = pa.string(), pa.list_(pa.float32())
GROUP = 8_192
"""Rows of a row group of a features file: what is held in memory where the file is streamed."""

WHY = {
    "not_finite": "features with an infinite value or one that is no number, or far larger than those of others",
    "without_features": "rows of the features file without features",
}
"""What reasons mean for which features are left out; those of a catalog are its error codes."""


@dataclass(frozen=True, eq=False)
class Origin:
    """Where vectors come from.

    Attributes:
        source: address of a catalog or a features file.
        method: how the features were made: `embedding`, `pca`, ...
        model_id: of the model or the transform that made the features, None if unknown.
        catalog: address of the catalog, None if unknown.
        random_weights: whether the model was never trained.
        left_out: number of images without usable features, by reason.
    """

    source: str
    method: str
    model_id: str | None = None
    catalog: str | None = None
    random_weights: bool = False
    left_out: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Pieces(Origin):
    """A source in pieces: the parts of a catalog, the row groups of a features file.

    Attributes:
        dim: length of the vectors; 0 where there is none.
        sizes: rows of each piece, those without a usable vector included.
        parts: of a catalog; none for a file.
    """

    dim: int = 0
    sizes: tuple[int, ...] = ()
    parts: tuple[Part, ...] = ()

    @property
    def rows(self) -> int:
        """Rows of all pieces."""
        return sum(self.sizes)

    @property
    def vectors(self) -> int:
        """Rows that should have a vector."""
        return sum(part.ok for part in self.parts) if self.parts else self.rows


@dataclass(frozen=True, eq=False, kw_only=True)
class Vectors(Origin):
    """Vectors to cluster.

    Attributes:
        ids: image ids, (n,).
        records: record ids, (n,).
        matrix: float32 (n, d), finite.
    """

    ids: pa.Array
    records: pa.Array
    matrix: NDArray[np.float32]


def read_vectors(source: str) -> Vectors:
    """Read all usable vectors of a catalog or a features file (.parquet), in image_id order.

    Raises:
        InputError: if there is none, its rows come from several models, or no row is usable.
    """
    pieces = open_pieces(source)
    matrix = np.empty((pieces.vectors, pieces.dim), np.float32)
    names, filled = [], 0
    for block in _blocks(pieces, range(len(pieces.sizes))):
        if filled + len(block.ids) <= len(matrix):
            matrix[filled : filled + len(block.ids)] = block.matrix
        filled += len(block.ids)
        names.append((block.ids, block.records))
    left_out = dict(pieces.left_out)
    if filled != pieces.vectors:
        if pieces.parts:
            raise InputError(f"{source}: the parts hold {filled:,} embeddings, catalog.json says {pieces.vectors:,}.")
        left_out["without_features"] = left_out.get("without_features", 0) + pieces.vectors - filled
    good = usable(matrix[:filled])
    if not good.all():
        left_out["not_finite"] = int((~good).sum())
    if not good.any():
        raise InputError(f"{source} has no usable vectors ({describe_left_out(left_out)}): make it again.")
    ids, records = map(pa.concat_arrays, zip(*names, strict=True))
    origin = replace(pieces, left_out=left_out)
    return sorted_by_id(_vectors(origin, ids, records, matrix[:filled]), np.flatnonzero(good))


def open_pieces(source: str) -> Pieces:
    """Look at a source without reading its vectors; raise InputError if there is none."""
    if not source.lower().endswith(".parquet"):
        snapshot = read_snapshot(source)
        return Pieces(
            source,
            "embedding",
            snapshot.model_id,
            open_store(source).url,
            left_out=snapshot.errors,
            dim=snapshot.dim,
            sizes=tuple(part.rows for part in snapshot.parts),
            parts=snapshot.parts,
        )
    with open_rows(source) as file:
        metadata = _metadata(source, file)
        blocks = (_lists(source, batch)[2] for batch in _batches(source, file, 256))
        groups = (file.metadata.row_group(number) for number in range(file.metadata.num_row_groups))
        return Pieces(
            source,
            str(metadata.get("method", "unknown")),
            metadata.get("model_id"),
            metadata.get("catalog"),
            bool(metadata.get("random_weights", False)),
            dict(metadata.get("left_out") or {}),
            dim=next((matrix.shape[1] for matrix in blocks if len(matrix)), 0),
            sizes=tuple(group.num_rows for group in groups),
        )


def read_piece(pieces: Pieces, number: int) -> Iterator[Vectors]:
    """Yield the usable vectors of a piece in blocks of at most a part or `GROUP` rows, in the order of the source.

    Raises:
        InputError: a row of another model, or vectors of several lengths.
    """
    for block in _blocks(pieces, [number]):
        good = usable(block.matrix)
        yield block if good.all() else select(block, np.flatnonzero(good))


def select(vectors: Vectors, rows: NDArray[np.int64]) -> Vectors:
    """Return some rows of vectors."""
    places = pa.array(rows)
    return _vectors(vectors, vectors.ids.take(places), vectors.records.take(places), vectors.matrix[rows])


def _blocks(pieces: Pieces, numbers: Sequence[int]) -> Iterator[Vectors]:
    """Yield the vectors of some pieces, usable or not; rows without one are left out."""
    for table in _tables(pieces, numbers):
        rows = table
        if pieces.parts:
            rows = table.filter(pc.equal(table.column("status"), "ok"))
            if others := set(pc.unique(rows.column("model_id")).to_pylist()) - {pieces.model_id}:
                raise InputError(
                    f"{pieces.source} holds embeddings of several models ({', '.join(sorted(map(str, others)))} and "
                    f"{pieces.model_id}), which cannot be compared: tag the collection again with one of them."
                )
        ids, records, matrix = _lists(pieces.source, rows)
        if len(ids) and matrix.shape[1] != pieces.dim:
            raise InputError(f"{pieces.source} has features of several lengths: make it again.")
        yield _vectors(pieces, ids, records, matrix.reshape(len(ids), pieces.dim))


def _tables(pieces: Pieces, numbers: Sequence[int]) -> Iterator[pa.Table | pa.RecordBatch]:
    if pieces.parts:
        columns = ["image_id", "record_id", "status", "model_id", "embedding"]
        for _, table in read_parts(pieces.source, [pieces.parts[number] for number in numbers], columns):
            yield table.rename_columns([*columns[:-1], "features"])
        return
    with open_rows(pieces.source) as file:
        yield from _batches(pieces.source, file, GROUP, numbers)


def _vectors(origin: Origin, ids: pa.Array, records: pa.Array, matrix: NDArray[np.float32]) -> Vectors:
    known = {attribute.name: getattr(origin, attribute.name) for attribute in fields(Origin)}
    return Vectors(**known, ids=ids, records=records, matrix=matrix)


def sorted_by_id(vectors: Vectors, rows: NDArray[np.int64]) -> Vectors:
    """Return the vectors of some rows (ascending) in image_id order, copying the matrix once, if at all.

    Raises:
        InputError: an image_id that two rows have.
    """
    ids = vectors.ids.take(pa.array(rows))
    if len(pc.unique(ids)) < len(ids):
        raise InputError(f"{vectors.source} has several rows of one image_id: each image may have one.")
    places = rows[pc.array_sort_indices(ids).to_numpy()]
    return vectors if np.array_equal(places, np.arange(len(vectors.ids))) else select(vectors, places)


def describe_left_out(left_out: Mapping[str, int]) -> str:
    """Say how many images were left out, by reason."""
    return ", ".join(f"{count:,} {reason}" for reason, count in left_out.items())


def usable(matrix: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which rows have a length in float32: none with NaN or an infinite value, none far beyond the size of the others.

    Sizes count in that of the median row, so that it matters as little whether features are around 1e-30 or 1e30.
    """
    good, unit = np.empty(len(matrix), bool), magnitude(matrix)
    for start in range(0, len(matrix), GROUP):
        with np.errstate(over="ignore", invalid="ignore"):
            rows = matrix[start : start + GROUP] / unit
            good[start : start + GROUP] = np.isfinite(np.einsum("ij,ij->i", rows, rows))
    return good


def _lists(source: str, batch: pa.RecordBatch | pa.Table) -> tuple[pa.Array, pa.Array, NDArray[np.float32]]:
    """Read the rows of a features file or a catalog that have features: image ids, record ids, float32 (n, d).

    Other writers' types of text, lists and numbers serve too; an image without a record is its own.

    Raises:
        InputError: columns of other types, lists of several lengths, or an image without an id.
    """
    try:
        columns = [
            _whole(batch.column(name)).cast(kind)
            for name, kind in (("image_id", _TEXT), ("record_id", _TEXT), ("features", _LIST))
        ]
    except pa.ArrowException as error:
        raise InputError(
            f"{source} is not a features file: image_id and record_id are text, features are lists of numbers "
            f"({str(error).splitlines()[0]})."
        ) from error
    if columns[2].null_count:
        there = pc.is_valid(columns[2])
        columns = [column.filter(there) for column in columns]
    ids, records, lists = columns
    lengths = pc.unique(pc.list_value_length(lists)).to_pylist()
    if len(lengths) > 1 or lengths == [0]:
        raise InputError(f"{source} has features of several lengths, or of none: make it again.")
    if ids.null_count:
        raise InputError(f"{source} has rows without an image_id: make it again.")
    values = lists.flatten().to_numpy(zero_copy_only=False)  # a null among them is NaN
    matrix = np.ascontiguousarray(values.reshape(len(lists), lengths[0] if lengths else 0), np.float32)
    return ids, pc.coalesce(records, ids), matrix


def _batches(
    source: str, file: pq.ParquetFile, rows: int, groups: Sequence[int] | None = None
) -> Iterator[pa.RecordBatch]:
    """Read a features file, of some row groups or all, `rows` at a time; raise InputError where it cannot be read."""
    try:
        yield from file.iter_batches(rows, row_groups=groups, columns=["image_id", "record_id", "features"])
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{source} cannot be read: {str(error).splitlines()[0]}") from error


def _whole(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _metadata(address: str, file: pq.ParquetFile) -> dict[str, Any]:
    """Return the JSON metadata of a features file; raise InputError if it is none."""
    try:
        if not {"image_id", "record_id", "features"} <= set(file.schema_arrow.names):
            raise KeyError("features")
        metadata: dict[str, Any] = dict(json.loads((file.schema_arrow.metadata or {})[METADATA]))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{address} is not a features file. Make one with `artylyze features CATALOG -o FEATURES.parquet`."
        ) from error
    return metadata


def write_features(address: str, table: pa.Table, about: Mapping[str, Any]) -> None:
    """Write a features file: image_id, record_id, features list<float>, with what is known of them as metadata."""
    import io

    from artylyze.storage import split_target

    out = io.BytesIO()
    described = table.replace_schema_metadata({METADATA: json.dumps(about)})
    pq.write_table(described, out, row_group_size=GROUP, compression="zstd")
    folder, name = split_target(address)
    open_store(folder).put(name, out.getvalue())


ORDINARY = 16
"""Numbers between 2 ** -ORDINARY and 2 ** ORDINARY are clustered as they are."""


def sampled(rows: int, most: int, seed: int) -> NDArray[np.int64]:
    """Numbers of at most `most` rows, drawn without replacement, ascending."""
    if rows <= most:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))


def magnitude(matrix: NDArray[np.float32]) -> np.float32:
    """The power of two nearest to the size of the numbers of typical rows; dividing by it rounds nothing.

    It is 1 for numbers that float32 squares without harm, and for a matrix of zeros.
    """
    sizes = np.abs(matrix[:: max(1, len(matrix) // 8_192)]).max(axis=1, initial=0.0)
    sizes = sizes[np.isfinite(sizes) & (sizes > 0)]
    if not len(sizes):
        return np.float32(1)
    power = np.round(np.log2(np.median(sizes.astype(np.float64))))
    return np.float32(2.0 ** np.clip(power, -120, 120) if abs(power) > ORDINARY else 1)


def in_units(matrix: NDArray[np.float32]) -> tuple[NDArray[np.float32], np.float32]:
    """The matrix in units of its magnitude, and that: float32 has squares of neither 1e-25 nor 1e25."""
    unit = magnitude(matrix)
    return (matrix if unit == 1 else matrix / unit), unit
