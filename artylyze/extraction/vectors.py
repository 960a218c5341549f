"""The vectors of a catalog or of a features file, and what was left out of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from artylyze.catalog.snapshot import embeddings, read_catalog, read_snapshot
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
class Vectors:
    """Vectors to cluster, in image_id order.

    Attributes:
        ids: image ids, (n,).
        records: record ids, (n,).
        matrix: float32 (n, d), finite.
        source: a catalog or a features file.
        method: how the features were made: `embedding`, `pca`, ...
        catalog: its address, None if unknown.
        model_id: of the model or the transform that made the features, None if unknown.
        random_weights: whether that model was never trained.
        left_out: number of images without usable features, by reason.
    """

    ids: pa.Array
    records: pa.Array
    matrix: NDArray[np.float32]
    source: str
    method: str
    catalog: str | None = None
    model_id: str | None = None
    random_weights: bool = False
    left_out: Mapping[str, int] = field(default_factory=dict)


def read_vectors(source: str) -> Vectors:
    """Read a catalog, or a features file (.parquet).

    Raises:
        InputError: if there is none, its rows come from several models, or no row is usable.
    """
    found = _of_file(source) if source.lower().endswith(".parquet") else _of_catalog(source)
    good = usable(found.matrix)
    left_out = dict(found.left_out)
    if not good.all():
        left_out["not_finite"] = int((~good).sum())
    if not good.any():
        raise InputError(f"{source} has no usable vectors ({left_out}): tag the images again.")
    return in_order(replace(found, left_out=left_out), np.flatnonzero(good))


def in_order(found: Vectors, rows: NDArray[np.int64]) -> Vectors:
    """Return the vectors of some rows (ascending) in image_id order, copying the matrix once, if at all.

    Raises:
        InputError: an image_id that two rows have.
    """
    ids = found.ids.take(pa.array(rows))
    if len(pc.unique(ids)) < len(ids):
        raise InputError(f"{found.source} has several rows of one image_id: each image may have one.")
    order = pc.array_sort_indices(ids).to_numpy()
    places = rows[order]
    if np.array_equal(places, np.arange(len(found.ids))):
        return found
    return replace(
        found, ids=ids.take(pa.array(order)), records=found.records.take(pa.array(places)), matrix=found.matrix[places]
    )


def in_words(left_out: Mapping[str, int]) -> str:
    """Say how many images were left out, by reason."""
    return ", ".join(f"{count:,} {reason}" for reason, count in left_out.items())


def usable(matrix: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which rows have a length in float32: none with NaN or an infinite value, none far beyond the size of the others.

    Sizes count in that of the median row, so that it matters as little whether features are around 1e-30 or 1e30.
    """
    good, unit = np.empty(len(matrix), bool), unit_of(matrix)
    for start in range(0, len(matrix), GROUP):
        with np.errstate(over="ignore", invalid="ignore"):
            rows = matrix[start : start + GROUP] / unit
            good[start : start + GROUP] = np.isfinite(np.einsum("ij,ij->i", rows, rows))
    return good


def lists_of(source: str, batch: pa.RecordBatch | pa.Table) -> tuple[pa.Array, pa.Array, NDArray[np.float32]]:
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


def batches_of(
    source: str, file: pq.ParquetFile, rows: int, groups: Sequence[int] | None = None
) -> Iterator[pa.RecordBatch]:
    """Read a features file, of some row groups or all, `rows` at a time; raise InputError where it cannot be read."""
    try:
        yield from file.iter_batches(rows, row_groups=groups, columns=["image_id", "record_id", "features"])
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{source} cannot be read: {str(error).splitlines()[0]}") from error


def _whole(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _of_catalog(catalog: str) -> Vectors:
    snapshot = read_snapshot(catalog)
    rows = read_catalog(catalog, ["image_id", "record_id", "status", "model_id"])
    models = sorted({one for one in pc.unique(rows.column("model_id")).to_pylist() if one is not None})
    if len(models) > 1:
        raise InputError(
            f"{catalog} holds embeddings of {len(models)} models ({', '.join(models)}), which cannot be compared: tag "
            "the collection again with one of them."
        )
    if not snapshot.ok:
        raise InputError(f"None of the {snapshot.rows:,} images of {catalog} could be read ({snapshot.errors}).")
    found, matrix = embeddings(catalog)
    ids = pa.array(found, pa.string())
    places = pc.index_in(ids, value_set=rows.column("image_id").combine_chunks())
    records = rows.column("record_id").combine_chunks().take(places)
    return Vectors(
        ids,
        records,
        matrix,
        catalog,
        "embedding",
        open_store(catalog).url,
        snapshot.model_id,
        False,
        dict(snapshot.errors),
    )


def _of_file(address: str) -> Vectors:
    named: list[tuple[pa.Array, pa.Array]] = []
    matrix: NDArray[np.float32] | None = None
    filled = 0
    with open_rows(address) as file:
        about = about_of(address, file)
        rows = file.metadata.num_rows
        for batch in batches_of(address, file, GROUP):
            ids, records, part = lists_of(address, batch)
            if not len(ids):
                continue
            if matrix is None:
                matrix = np.empty((rows, part.shape[1]), np.float32)
            if part.shape[1] != matrix.shape[1]:
                raise InputError(f"{address} has features of several lengths: make it again.")
            matrix[filled : filled + len(ids)] = part
            filled += len(ids)
            named.append((ids, records))
    if matrix is None:
        raise InputError(f"{address} has no features: make it again.")
    left_out = dict(about.get("left_out") or {})
    if filled < rows:
        left_out["without_features"] = left_out.get("without_features", 0) + rows - filled
    ids, records = map(pa.concat_arrays, zip(*named, strict=True))
    return Vectors(
        ids,
        records,
        matrix[:filled],
        address,
        str(about.get("method", "unknown")),
        about.get("catalog"),
        about.get("model_id"),
        bool(about.get("random_weights", False)),
        left_out,
    )


def about_of(address: str, file: pq.ParquetFile) -> dict[str, Any]:
    """What a features file says of itself; raise InputError if it is none."""
    try:
        if not {"image_id", "record_id", "features"} <= set(file.schema_arrow.names):
            raise KeyError("features")
        about: dict[str, Any] = dict(json.loads((file.schema_arrow.metadata or {})[METADATA]))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{address} is not a features file. Make one with `artylyze features CATALOG -o FEATURES.parquet`."
        ) from error
    return about


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


def unit_of(matrix: NDArray[np.float32]) -> np.float32:
    """The power of two nearest to the size of the numbers of typical rows; dividing by it rounds nothing.

    It is 1 for numbers that float32 squares without harm, and for a matrix of zeros.
    """
    sizes = np.abs(matrix[:: max(1, len(matrix) // 8_192)]).max(axis=1, initial=0.0)
    sizes = sizes[np.isfinite(sizes) & (sizes > 0)]
    if not len(sizes):
        return np.float32(1)
    power = np.round(np.log2(np.median(sizes.astype(np.float64))))
    return np.float32(2.0 ** np.clip(power, -120, 120) if abs(power) > ORDINARY else 1)
