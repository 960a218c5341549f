"""The vectors of a catalog or of a features file, and what was left out of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from artylyze.catalog.snapshot import embeddings, read_catalog, read_snapshot
from artylyze.errors import InputError
from artylyze.manifest import open_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

METADATA = b"artylyze"
"""Key of a features file's Parquet metadata: JSON with method, source, catalog, model_id, random_weights, settings."""
GROUP = 8_192
"""Rows of a row group of a features file: what is held in memory where the file is streamed."""


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
    good = np.isfinite(found.matrix).all(axis=1)
    left_out = dict(found.left_out)
    ids, records, matrix = found.ids, found.records, found.matrix
    if not good.all():
        left_out["not_finite"] = int((~good).sum())
        ids, records, matrix = ids.filter(pa.array(good)), records.filter(pa.array(good)), matrix[good]
    if not len(ids):
        raise InputError(f"{source} has no usable vectors ({left_out}): tag the images again.")
    return in_order(replace(found, ids=ids, records=records, matrix=matrix, left_out=left_out))


def in_order(found: Vectors) -> Vectors:
    """Return the vectors in image_id order."""
    order = pc.array_sort_indices(found.ids)
    if np.array_equal(order.to_numpy(), np.arange(len(order))):
        return found
    ids, records = found.ids.take(order), found.records.take(order)
    return replace(found, ids=ids, records=records, matrix=found.matrix[order.to_numpy()])


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
    return Vectors(ids, records, matrix, catalog, "embedding", catalog, snapshot.model_id, False, dict(snapshot.errors))


def _of_file(address: str) -> Vectors:
    named: list[pa.RecordBatch] = []
    matrix: NDArray[np.float32] | None = None
    filled = 0
    with open_rows(address) as file:
        about = about_of(address, file)
        rows = file.metadata.num_rows
        for batch in file.iter_batches(GROUP, columns=["image_id", "record_id", "features"]):
            usable = batch.filter(pc.is_valid(batch.column("features")))
            lists = usable.column("features")
            lengths = pc.unique(pc.list_value_length(lists)).to_pylist()
            if not lengths:
                continue
            if matrix is None:
                matrix = np.empty((rows, lengths[0]), np.float32)
            if lengths != [matrix.shape[1]]:
                raise InputError(f"{address} has features of several lengths, not of one: make it again.")
            part = matrix[filled : filled + len(lists)]
            part[:] = lists.flatten().to_numpy(zero_copy_only=False).reshape(part.shape)
            filled += len(lists)
            named.append(usable.select(["image_id", "record_id"]))
    if matrix is None:
        raise InputError(f"{address} has no features: make it again.")
    left_out = dict(about.get("left_out", {}))
    if filled < rows:
        left_out["without_features"] = left_out.get("without_features", 0) + rows - filled
    table = pa.Table.from_batches(named)
    ids, records = (table.column(name).combine_chunks() for name in ("image_id", "record_id"))
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
        about: dict[str, Any] = json.loads((file.schema_arrow.metadata or {})[METADATA])
    except (KeyError, ValueError) as error:
        raise InputError(
            f"{address} is not a features file. Make one with `artylyze features CATALOG -o {address}`."
        ) from error
    return about


def write_features(address: str, table: pa.Table, about: Mapping[str, Any]) -> None:
    """Write a features file: image_id, record_id, features list<float>, with what is known of them as metadata."""
    import io

    from artylyze.manifest import split_target
    from artylyze.storage import open_store

    out = io.BytesIO()
    described = table.replace_schema_metadata({METADATA: json.dumps(about)})
    pq.write_table(described, out, row_group_size=GROUP, compression="zstd")
    folder, name = split_target(address)
    open_store(folder).put(name, out.getvalue())
